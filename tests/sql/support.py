"""What the tests of the SQL core share: sources, runs, and the comparison with GROUP BY."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

Row = tuple[Any, ...]


@contextmanager
def shared_database(dsn: str, template: str) -> Iterator[psycopg.Connection]:
    """A database with the core for tests that leave it as it was."""
    name = sql.Identifier(f"tsconsole_test_{uuid.uuid4().hex[:16]}")
    with psycopg.connect(dsn, autocommit=True) as server:
        create = sql.SQL("create database {} template {}")
        server.execute(create.format(name, sql.Identifier(template)))
        with psycopg.connect(dsn, dbname=name.as_string().strip('"'), autocommit=True) as db:
            yield db
        server.execute(sql.SQL("drop database {} with (force)").format(name))


def make_readings(db: psycopg.Connection, rows: int = 3000, **options: str) -> None:
    """raw.readings: one row a minute from 2025-03-01 on, of three devices at two sites.

    The temperatures are whole numbers, so that sums of floats are exact in any order.
    """
    db.execute(
        "create table raw.readings (ts timestamptz, device text, site integer, "
        "temperature double precision, power integer)"
    )
    if options.get("index", "yes") == "yes":
        db.execute("create index on raw.readings (ts)")
    add_readings(db, options.get("start", "2025-03-01 00:00Z"), rows)


def add_readings(
    db: psycopg.Connection, start: str, rows: int, step: str = "1 minute", table: str = "readings"
) -> None:
    db.execute(
        sql.SQL(
            "insert into raw.{} select %s::timestamptz + i * %s::interval, 'd' || i %% 3, "
            "i %% 2, (i * 37) %% 101, (i::bigint * 7919) %% 1009 from generate_series(0, %s - 1) i"
        ).format(sql.Identifier(table)),
        [start, step, rows],
    )


def make_daily_readings(db: psycopg.Connection, days: int) -> None:
    """raw.readings as make_readings has it, in partitions of a day: raw.day1, raw.day2, …"""
    db.execute(
        "create table raw.readings (ts timestamptz, device text, site integer, "
        "temperature double precision, power integer) partition by range (ts);"
        "create index on raw.readings (ts)"
    )
    for day in range(1, days + 1):
        db.execute(
            f"create table raw.day{day} partition of raw.readings "
            f"for values from ('2025-03-0{day}Z') to ('2025-03-0{day + 1}Z')"
        )
    add_readings(db, "2025-03-01 00:00Z", days * 1440)


def make_recent_readings(db: psycopg.Connection, rows: int = 600) -> None:
    """raw.readings with rows, one a minute, up to a few minutes ago."""
    start = value(db, f"select (now() - interval '{rows + 3} minutes')::text")
    make_readings(db, rows, start=start)


def watermark(target: str) -> str:
    """In SQL: below it a rollup holds every row; whatever the clock says, no later bucket does."""
    return (
        "(select last_processed_time from silver.timeseries_rollup_config "
        f"where target_table = '{target}'::regclass)"
    )


def clear_of_midnight(db: psycopg.Connection) -> None:
    """Wait until midnight UTC is not near, nor so new that buckets of the day before are open.

    For tests of which rows and partitions are today's: the server's clock cannot be set.
    """
    seconds = "extract(epoch from clock_timestamp() - date_trunc('day', clock_timestamp(), 'UTC'))"
    while not value(db, f"select {seconds} between 40 and 24 * 3600 - 60"):
        time.sleep(1)


def call(function: str, arguments: dict[str, Any]) -> tuple[sql.Composed, list[Any]]:
    """The statement that calls a function of silver with named arguments, and its values."""
    names = sql.SQL(", ").join(
        sql.SQL("{} := %s").format(sql.Identifier(name)) for name in arguments
    )
    values = [json.dumps(v) if isinstance(v, dict) else v for v in arguments.values()]
    statement = sql.SQL("select silver.{}({})").format(sql.Identifier(function), names)
    return statement, values


def create(db: psycopg.Connection, source: str, target: str, interval: str, **options: Any) -> str:
    """Create a rollup; the target's name as regclass writes it."""
    arguments = {
        "source_table_name": source,
        "target_table_name": target,
        "rollup_interval": interval,
    }
    statement, values = call("create_rollup_table", arguments | options)
    return str(db.execute(statement, values).fetchone()[0])


def create_ladder(
    db: psycopg.Connection, source: str, prefix: str, intervals: list[str], **options: Any
) -> list[str]:
    arguments = {
        "source_table_name": source,
        "target_prefix": prefix,
        "rollup_intervals": "{" + ",".join(intervals) + "}",
    }
    statement, values = call("create_rollup_ladder", arguments | options)
    return [str(row[0]) for row in db.execute(statement, values).fetchall()]


def perform(db: psycopg.Connection, table: str | None = None) -> list[Row]:
    """Run to the end in one transaction: (work, outcome, rows_read, rows_written, error)."""
    return db.execute(
        "select work, outcome, rows_read, rows_written, error_message "
        "from silver.perform_rollup(%s)",
        [table],
    ).fetchall()


def run(db: psycopg.Connection, table: str | None = None) -> list[Row]:
    """Run to the end; nothing may fail."""
    steps = perform(db, table)
    assert all(outcome in ("done", "idle") for _, outcome, *_ in steps), steps
    return steps


def call_run(
    db: psycopg.Connection,
    table: str | None = None,
    max_steps: int | None = None,
    raise_failures: bool = False,
) -> list[dict[str, Any]]:
    """CALL run_rollups: the results it gives back."""
    row = db.execute(
        "call silver.run_rollups(%s, %s, %s, null)", [table, max_steps, raise_failures]
    ).fetchone()
    results: list[dict[str, Any]] = row[0]
    return results


def column(db: psycopg.Connection, query: str, values: list[Any] | None = None) -> list[Any]:
    return [row[0] for row in db.execute(query, values).fetchall()]


def value(db: psycopg.Connection, query: str, values: list[Any] | None = None) -> Any:
    return db.execute(query, values).fetchone()[0]


def assert_same(db: psycopg.Connection, expected: str, found: str) -> None:
    """Both queries give the same rows, as bags."""
    both_ways = sql.SQL(
        "(select 'missing', * from ({e}) a except all select 'missing', * from ({f}) b) union all "
        "(select 'not expected', * from ({f}) b except all select 'not expected', * from ({e}) a) "
        "limit 6"
    )
    differences = db.execute(both_ways.format(e=sql.SQL(expected), f=sql.SQL(found))).fetchall()
    assert not differences, differences


def assert_true_rollup(
    db: psycopg.Connection,
    target: str,
    bucket: str,
    source: str = "raw.readings",
    keys: str = "",
    where: str = "true",
) -> None:
    """A rollup of raw.readings equals GROUP BY, in every column; `where` limits both sides."""
    dimensions = f", {keys}" if keys else ""
    grouped = ", ".join(str(n + 1) for n in range(1 + (keys.count(",") + 1 if keys else 0)))
    assert_same(
        db,
        f"select * from (select {bucket} as ts{dimensions}, count(*), min(temperature), "
        "max(temperature), avg(temperature), sum(temperature), count(temperature), min(power), "
        f"max(power), avg(power), sum(power), count(power) from {source} "
        f"where isfinite(ts) group by {grouped}) q where {where}",
        f"select ts{dimensions}, rollup_count, min_temperature, max_temperature, "
        "avg_temperature, sum_temperature, count_temperature, min_power, max_power, avg_power, "
        f"sum_power, count_power from {target} where {where}",
    )


def assert_verified(db: psycopg.Connection, target: str) -> None:
    found = db.execute("select * from silver.verify_rollup(%s) limit 5", [target]).fetchall()
    assert not found, found


def monitor(db: psycopg.Connection, target: str) -> dict[str, Any]:
    """The row of a rollup in the operations monitor."""
    with db.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(
            "select * from silver.timeseries_operations_monitor "
            "where target_table = to_regclass(%s)",
            [target],
        ).fetchone()
    assert row is not None, f"{target} is not in the monitor"
    return row


def wait_until(holds: Callable[[], Any], seconds: float = 20) -> Any:
    """Ask again until it holds; its last value."""
    stops = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < stops, f"waited {seconds} s"
        time.sleep(0.01)
    return found


STATE = """
    select format('%s %s %s %s', c.oid::regclass, c.relkind, c.relnatts, c.relacl)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    union all select format('function %s', p.oid::regprocedure) from pg_proc p
              join pg_namespace n on n.oid = p.pronamespace where n.nspname !~ '^pg_|^information'
    union all select format('type %s', t.oid::regtype) from pg_type t where t.typtype <> 'b'
    union all select format('schema %s', n.nspname) from pg_namespace n where n.nspname !~ '^pg_'
    union all select format('trigger %s', g.tgname) from pg_trigger g
    union all select format('rollup %s', c) from silver.timeseries_rollup_config c
    union all select format('dimension %s', d) from silver.timeseries_dimension_config d
    union all select format('run %s', l) from silver.timeseries_refresh_log l
    union all select format('error %s', e) from silver.timeseries_error_log e
    union all select format('retry %s', r) from tsconsole.retry r
    union all select format('attempt %s', a) from tsconsole.attempt a
    union all select format('key %s', d) from tsconsole.rollup_dimension d
    union all select format('measure %s', m) from tsconsole.rollup_measure m
    union all select format('setting %s', current_setting('search_path'))
    union all select format('lock %s', l.objid) from pg_locks l
              where l.locktype = 'advisory' and l.pid = pg_backend_pid()
    order by 1
"""


def state(db: psycopg.Connection) -> list[str]:
    """What a refused call must leave as it was: catalogs, configuration, logs, locks."""
    return column(db, STATE)


def refuse(
    db: psycopg.Connection,
    statement: str | sql.Composed,
    values: list[Any] | None,
    sqlstate: str,
    message: str,
) -> psycopg.errors.Diagnostic:
    """The statement is refused with this SQLSTATE, a sentence, a hint; and nothing changes."""
    before = state(db)
    with pytest.raises(psycopg.Error) as caught:
        db.execute(statement, values)
    said = caught.value.diag
    assert said.sqlstate == sqlstate, (said.sqlstate, said.message_primary)
    assert message in (said.message_primary or ""), said.message_primary
    assert said.message_hint, f"no hint with: {said.message_primary}"
    assert "\n" not in (said.message_primary or ""), said.message_primary
    assert state(db) == before
    return said


def refuse_create(
    db: psycopg.Connection, sqlstate: str, message: str, **arguments: Any
) -> psycopg.errors.Diagnostic:
    """create_rollup_table is refused; by default of an hourly rollup of raw.readings."""
    usual = {
        "source_table_name": "raw.readings",
        "target_table_name": "readings_1h",
        "rollup_interval": "1 hour",
    }
    statement, values = call("create_rollup_table", usual | arguments)
    return refuse(db, statement, values, sqlstate, message)
