"""Writers of a tracked source: nothing the engine does makes their statements fail or go unseen."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sql.support import (
    add_readings,
    assert_true_rollup,
    assert_verified,
    create,
    create_ladder,
    make_readings,
    perform,
    refuse,
    refuse_create,
    run,
    value,
)

Connect = Callable[..., psycopg.Connection]
MINUTE = "date_trunc('minute', ts, 'UTC')"
HOUR = "date_trunc('hour', ts, 'UTC')"


@pytest.fixture
def tracked(db: psycopg.Connection) -> psycopg.Connection:
    """raw.readings with a ladder on it, all of it rolled up."""
    make_readings(db, 3000)
    create_ladder(db, "raw.readings", "r", ["1 minute", "1 hour"], dimensions=["device"])
    run(db)
    return db


def assert_ladder(db: psycopg.Connection) -> None:
    assert_true_rollup(db, "silver.r_1m", MINUTE, keys="device")
    assert_true_rollup(db, "silver.r_1h", HOUR, keys="device")


@pytest.mark.parametrize("name", ["device", "ts", "power", "site"])
def test_a_renamed_column_breaks_no_writer(tracked: psycopg.Connection, name: str) -> None:
    """Steps may fail and say so; when the name is right again, every late change is found."""
    tracked.execute(f"alter table raw.readings rename column {name} to other")
    columns = ", ".join("other" if c == name else c for c in ("ts", "device", "site", "power"))
    tracked.execute(
        f"insert into raw.readings ({columns}) values ('2025-03-01 10:00:30Z', 'd1', 1, 5000)"
    )
    column = "other" if name == "ts" else "ts"
    tracked.execute(f"delete from raw.readings where {column} = '2025-03-01 12:00Z'")
    tracked.execute(
        f"update raw.readings set {column} = {column} - interval '1 hour' "
        f"where {column} = '2025-03-01 15:00Z'"
    )
    perform(tracked)
    tracked.execute(f"alter table raw.readings rename column other to {name}")
    tracked.execute("select silver.retry_rollup('r_1m')")
    run(tracked)
    assert_ladder(tracked)


@pytest.mark.parametrize("renamed", ["device", "site"])
def test_tracking_made_anew_while_a_column_has_another_name(
    tracked: psycopg.Connection, renamed: str
) -> None:
    """A rollup that is dropped meanwhile takes itself out of what is generated for the source."""
    create(tracked, "raw.readings", "high", "1 hour", dimensions=["site + 1 as floor"])
    create(tracked, "raw.readings", "gone", "1 hour", dimensions=[])
    run(tracked)
    tracked.execute(f"alter table raw.readings rename column {renamed} to kept")
    tracked.execute("select silver.drop_rollup('silver.gone')")
    columns = ", ".join("kept" if c == renamed else c for c in ("ts", "device", "site", "power"))
    tracked.execute(
        f"insert into raw.readings ({columns}) values ('2025-03-01 10:00:30Z', 'd1', 1, 5000)"
    )
    tracked.execute(f"alter table raw.readings rename column kept to {renamed}")
    tracked.execute("select silver.retry_rollup('r_1m'), silver.retry_rollup('high')")
    run(tracked)
    assert_ladder(tracked)
    assert_verified(tracked, "silver.high")


@pytest.mark.parametrize(
    "name, other", [("ts", "integer"), ("ts", "date"), ("device", "integer"), ("device", "point")]
)
def test_a_column_of_another_type_breaks_no_writer(
    tracked: psycopg.Connection, name: str, other: str
) -> None:
    tracked.execute(f"alter table raw.readings rename column {name} to kept")
    tracked.execute(f"alter table raw.readings add column {name} {other}")
    columns = ", ".join("kept" if c == name else c for c in ("ts", "device", "power"))
    tracked.execute(
        f"insert into raw.readings ({columns}) values ('2025-03-01 10:00:30Z', 'd1', 5000)"
    )
    steps = perform(tracked, "silver.r_1m")
    assert "is not the one that silver.r_1m was made for" in steps[0][4]
    tracked.execute(f"alter table raw.readings drop column {name} cascade")
    tracked.execute(f"alter table raw.readings rename column kept to {name}")
    tracked.execute("select silver.refresh_source('raw.readings', recompute := false)")
    run(tracked)
    assert_ladder(tracked)


@pytest.mark.parametrize(
    "change",
    [
        "disable trigger all",
        "disable trigger user",
        "drop column site cascade, add column site integer default 7",
    ],
)
def test_without_its_triggers_no_step_is_made(tracked: psycopg.Connection, change: str) -> None:
    create(tracked, "raw.readings", "by_site", "1 hour", dimensions=["site"])
    run(tracked)
    tracked.execute(f"alter table raw.readings {change}")
    tracked.execute(
        "insert into raw.readings (ts, device, power) values ('2025-03-01 10:00:30Z', 'd1', 5000)"
    )
    health = "select health_reason from silver.timeseries_operations_monitor where id = 1"
    tracked.execute("select silver.invalidate('silver.r_1m', '2025-03-01Z', '2025-03-01 01:00Z')")
    steps = perform(tracked, "silver.r_1m")
    assert "its triggers named tsconsole_… were dropped or disabled" in steps[0][4]
    assert "dropped or disabled" in value(tracked, health)
    tracked.execute("select silver.refresh_source('raw.readings')")
    run(tracked)
    assert_ladder(tracked)
    assert_true_rollup(tracked, "silver.by_site", HOUR, keys="site")


def test_a_rollup_dropped_beside_writers_breaks_none(
    tracked: psycopg.Connection, connect: Connect
) -> None:
    for number in range(4):
        create(tracked, "raw.readings", f"extra{number}", "1 hour", dimensions=["site"])
    ended = threading.Event()

    def write(writer: psycopg.Connection) -> int:
        written = 0
        while not ended.is_set():
            with writer.transaction():
                writer.execute(
                    "insert into raw.readings select timestamptz '2025-03-01Z' "
                    "+ random() * interval '2 days', 'd' || i % 3, i % 2, i, i "
                    "from generate_series(1, 3) i"
                )
            written += 3
        return written

    def drop(number: int) -> None:
        connect().execute("select silver.drop_rollup(%s)", [f"silver.extra{number}"])

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, connect()) for _ in range(2)]
        try:
            for dropped in [pool.submit(drop, number) for number in range(4)]:
                dropped.result(60)
            create(tracked, "raw.readings", "later", "1 hour", dimensions=["device"])
        finally:
            ended.set()
        assert sum(writer.result(20) for writer in writers) > 0
    run(tracked)
    assert_ladder(tracked)
    assert_true_rollup(tracked, "silver.later", HOUR, keys="device")


def test_an_open_writer_holds_up_creation_and_drop_with_a_clear_word(
    tracked: psycopg.Connection, connect: Connect
) -> None:
    writer = connect(autocommit=False)
    writer.execute("insert into raw.readings values (now(), 'd0', 0, 0, 0)")
    refuse_create(tracked, "TS005", "could not lock source raw.readings")
    writer.rollback()
    tracked.execute("select silver.drop_rollup('r_1h')")
    writer.execute("insert into raw.readings values (now(), 'd0', 0, 0, 0)")
    refuse(tracked, "select silver.drop_rollup('r_1m')", None, "TS005", "raw.readings")


@pytest.fixture
def guest(tracked: psycopg.Connection, server: Any) -> Iterator[str]:
    """A role with nothing but what it is granted."""
    if not value(tracked, "select rolcreaterole from pg_roles where rolname = current_user"):
        pytest.skip("needs a role with CREATEROLE")
    name = f"tsconsole_guest_{uuid.uuid4().hex[:8]}"
    tracked.execute(f"create role {name}; grant {name} to current_user")
    yield name
    tracked.execute("reset role")
    cleaner = psycopg.connect(server.superuser_dsn or server.dsn, dbname=tracked.info.dbname)
    with cleaner as connection:
        connection.execute(f"drop owned by {name} cascade; drop role {name}")


def test_a_writer_needs_no_right_on_anything_of_ours(
    tracked: psycopg.Connection, guest: str
) -> None:
    tracked.execute(
        f"grant usage on schema raw to {guest};"
        f"grant select, insert, update, delete, truncate on raw.readings to {guest};"
        f"set role {guest}"
    )
    tracked.execute("insert into raw.readings values ('2025-03-01 10:00:30Z', 'd9', 1, 1, 1)")
    tracked.execute("update raw.readings set power = 4000 where ts < '2025-03-01 00:10Z'")
    tracked.execute(
        "delete from raw.readings where ts between '2025-03-01 5:00Z' and '2025-03-01 7:00Z'"
    )
    tracked.execute("reset role")
    run(tracked)
    assert_ladder(tracked)
    tracked.execute(f"set role {guest}; truncate raw.readings; reset role")
    run(tracked)
    assert value(tracked, "select count(*) from silver.r_1m") == 0
    assert value(tracked, "select count(*) from silver.r_1h") == 0


def test_a_stranger_can_do_nothing_with_the_private_schema(
    tracked: psycopg.Connection, guest: str
) -> None:
    partitions = value(tracked, "select count(*) from tsconsole.partitions('silver.r_1m')")
    tracked.execute(f"set role {guest}")
    for statement in (
        "select tsconsole.ensure_partitions(1, '1990-01-01', '2010-01-01')",
        "select tsconsole.execute_step(1)",
        "select tsconsole.queue_late(c, now(), now()) from silver.timeseries_rollup_config c",
        "delete from tsconsole.pending_1",
        "select * from tsconsole.pending_1",
        "select silver.drop_rollup('silver.r_1h')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tracked.execute(statement)
    tracked.execute("reset role")
    assert value(tracked, "select count(*) from tsconsole.partitions('silver.r_1m')") == partitions


def test_savepoints_and_rollbacks_hide_no_late_row(tracked: psycopg.Connection) -> None:
    row = "insert into raw.readings values ('2025-03-01 10:00:30Z', 'd1', 1, 1, %s)"
    with tracked.transaction():
        tracked.execute("savepoint a")
        tracked.execute(row, [1])
        tracked.execute("rollback to savepoint a")
        # What was remembered as logged was rolled back with the log.
        tracked.execute(row, [2])
    run(tracked)
    assert_ladder(tracked)
    with tracked.transaction():
        tracked.execute(row, [3])
        run(tracked)
        # The step took the entry away; the next row of the same bucket must be logged again.
        tracked.execute(row, [4])
        tracked.execute("savepoint b")
        run(tracked)
        tracked.execute("rollback to savepoint b")
    run(tracked)
    assert_ladder(tracked)


def test_a_step_between_two_bulk_loads_of_a_transaction(tracked: psycopg.Connection) -> None:
    with tracked.transaction():
        tracked.execute("select silver.bulk_load('raw.readings', '2025-03-01', '2025-03-02')")
        add_readings(tracked, "2025-03-01 05:00:30Z", 10)
        run(tracked)
        add_readings(tracked, "2025-03-01 08:00:30Z", 10)
    run(tracked)
    assert_ladder(tracked)


def test_a_level_dropped_beside_a_step_below_it_fails_nothing(
    tracked: psycopg.Connection, connect: Connect
) -> None:
    tracked.execute("update raw.readings set power = power + 1 where ts < '2025-03-01 02:00Z'")
    dropper = connect(autocommit=False)
    dropper.execute("select silver.drop_rollup('silver.r_1h')")
    tracked.execute("set statement_timeout = '10 s'")
    step = tracked.execute("select outcome from silver.perform_step('silver.r_1m')").fetchone()
    assert step[0] in ("busy", "idle")
    dropper.commit()
    run(tracked)
    assert value(tracked, "select count(*) from silver.timeseries_error_log") == 0
    assert_true_rollup(tracked, "silver.r_1m", MINUTE, keys="device")


def test_temporary_tables_are_refused(db: psycopg.Connection) -> None:
    db.execute("create temporary table passing (ts timestamptz, v integer)")
    refuse_create(db, "TS004", "temporary", source_table_name="passing")


def test_a_row_that_comes_while_partitions_are_made_finds_one(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_readings(db, 60)
    create(db, "raw.readings", "r", "1 hour", chunk_interval="1 day")
    add_readings(db, "2025-02-24 10:00Z", 1)
    run(db)
    db.execute("select silver.bulk_load('raw.readings', '2025-02-20Z', '2025-02-25Z')")
    db.execute(
        "alter function tsconsole.make_room rename to made;"
        "create function tsconsole.make_room(config silver.timeseries_rollup_config, work text, "
        "range tsconsole.work_range) returns void language plpgsql as "
        "'begin perform tsconsole.made(config, work, range); "
        "perform pg_advisory_xact_lock(77); end'"
    )
    db.execute("select pg_advisory_lock(77)")
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(run, connect(), "silver.r")
        waits = "select from pg_locks where locktype = 'advisory' and objid = 77 and not granted"
        while not db.execute(waits).fetchall():
            time.sleep(0.01)
        add_readings(db, "2025-02-21 10:00Z", 1)
        db.execute("select pg_advisory_unlock(77)")
        step.result(30)
    run(db)
    assert_true_rollup(db, "silver.r", HOUR)


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("change", ["drop column power", "rename power to old_power"])
def test_a_column_that_is_another_now_is_read_again(
    tracked: psycopg.Connection, prepared: bool, change: str
) -> None:
    create(tracked, "raw.readings", "by_site", "1 hour", dimensions=["site"])
    run(tracked)
    with tracked.transaction():
        if prepared:
            tracked.execute("select silver.prepare_source_ddl('raw.readings')")
        tracked.execute(f"alter table raw.readings {change}{cascade(change, prepared)}")
        # A default that rewrites nothing.
        tracked.execute("alter table raw.readings add power integer default 7")
        tracked.execute("select silver.refresh_source('raw.readings')")
    run(tracked)
    assert_true_rollup(tracked, "silver.r_1m", MINUTE, keys="device")
    assert_true_rollup(tracked, "silver.by_site", HOUR, keys="site")


def cascade(change: str, prepared: bool) -> str:
    """The live view depends on the column that is dropped."""
    return " cascade" if change.startswith("drop") and not prepared else ""
