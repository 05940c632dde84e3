"""Databases in a known state: every time in them is told from one moment, `T0`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from textual.pilot import Pilot

from tsconsole import operations
from tsconsole.errors import ConnectionLost
from tsconsole.models import (
    ErrorEntry,
    MonitorSnapshot,
    PartitionStat,
    PendingRange,
    RollupDetails,
    RollupStatus,
    RunningStep,
)

NOW = datetime(2026, 3, 14, 12, 7, 10, tzinfo=timezone.utc)
"""The clock of the database, as the pictures show it."""


async def until(pilot: Pilot[Any], condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Let the app run until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain")
        await pilot.pause(0.02)


async def server_gone(*_: Any, **__: Any) -> Any:
    """An operation while nobody answers."""
    raise ConnectionLost("Connection refused", "Check that the server runs.")


def moved(value: Any, by: timedelta) -> Any:
    """The same rows at another time: every datetime in them is moved."""
    if isinstance(value, datetime):
        return value + by
    if isinstance(value, (list, tuple)):
        return type(value)(moved(item, by) for item in value)
    # The rows of a target lie at fixed dates, and so do its partitions.
    if is_dataclass(value) and not isinstance(value, (type, PartitionStat, PendingRange)):
        changes = {field.name: moved(getattr(value, field.name), by) for field in fields(value)}
        return replace(value, **changes)
    return value


class FixedServer:
    """Lets the operations see a server on which it is NOW and whose address never changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.t0 = NOW
        """The moment from which the state's times were told, on the real clock."""
        self._monkeypatch = monkeypatch
        for name in ("list_errors", "list_runs", "get_error", "definition"):
            self._replace(name, self._moved)
        self._replace("monitor_snapshot", self._snapshot)
        self._replace("rollup_details", self._details)
        self._replace("failures", lambda found: replace(self._moved(found), database_time=NOW))
        self._replace("server_info", lambda found: replace(
            found, version="16.4", user="operator", host="bastion-db", port=5432, database="iot",
            is_superuser=False))  # fmt: skip

    def _replace(self, name: str, change: Callable[[Any], Any]) -> None:
        real = getattr(operations, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return change(await real(*args, **kwargs))

        self._monkeypatch.setattr(operations, name, call)

    def _moved(self, found: Any) -> Any:
        return moved(found, NOW - self.t0)

    def _snapshot(self, found: MonitorSnapshot) -> MonitorSnapshot:
        snapshot: MonitorSnapshot = self._moved(found)
        return replace(
            snapshot, operations=_with_lag(snapshot.operations), steps=_the_same(snapshot.steps),
            database_time=NOW,
        )  # fmt: skip

    def _details(self, found: RollupDetails) -> RollupDetails:
        details: RollupDetails = self._moved(found)
        return replace(
            details, ladder=_with_lag(details.ladder), steps=_the_same(details.steps),
            database_time=NOW,
        )  # fmt: skip


def _with_lag(rollups: tuple[RollupStatus, ...]) -> tuple[RollupStatus, ...]:
    return tuple(
        replace(rollup, lag=NOW - rollup.last_processed_time)
        if rollup.last_processed_time
        else rollup
        for rollup in rollups
    )


def _the_same(steps: tuple[RunningStep, ...]) -> tuple[RunningStep, ...]:
    """Which backend it is, and how far it can come by now, is another in every run."""
    return tuple(
        replace(step, worker_pid=4711, role_name="rollup", application_name="tsconsole worker",
                window_end=NOW.replace(minute=0, second=0))
        for step in steps
    )  # fmt: skip


SOURCE = """
    create table raw.meters (ts timestamptz not null, device int, power float8);
    insert into raw.meters
    select timestamptz '2024-03-10 00:00Z' + i * interval '10 minutes', i % 4, i % 50
      from generate_series(0, 143 * 3) as i;
    create index on raw.meters (ts);
"""

HEALTHY = (
    # target, bucket, lag
    ("silver.meters_15m", "15 minutes", "6 minutes 30 seconds"),
    ("silver.meters_1h", "1 hour", "12 minutes 30 seconds"),
    ("silver.meters_1d", "1 day", "12 hours 7 minutes 30 seconds"),
    ("silver.pressure_sensors_north_plant_1h", "1 hour", "22 minutes 30 seconds"),
    ("silver.pressure_sensors_south_plant_1h", "1 hour", "31 minutes 30 seconds"),
    ("gold.billing_1h", "1 hour", "7 minutes 30 seconds"),
    ("silver.flows_1h", "1 hour", "41 minutes 30 seconds"),
)


def healthy(db: psycopg.Connection) -> datetime:
    """Seven rollups that have done their work; returns T0."""
    db.execute(SOURCE)
    for target, bucket, _ in HEALTHY:
        db.execute(
            "select silver.create_rollup_table('raw.meters', %s, %s::interval,"
            " dimensions := '{device}', chunk_interval := '1 day')",
            [target, bucket],
        )
    db.execute("call silver.run_rollups(null, null, false, null)")
    # What was inserted is reported late, and would be counted again on top of ANALYZE's count.
    db.execute("select pg_stat_force_next_flush()")
    db.execute("select pg_sleep(0.01)")
    db.execute("analyze")
    with db.transaction():
        t0: datetime
        [(t0,)] = db.execute("select now()")
        db.execute("delete from silver.timeseries_refresh_log")
        for number, (target, _, lag) in enumerate(HEALTHY, start=1):
            db.execute(
                "update silver.timeseries_rollup_config set refresh_interval = '1 day',"
                " last_processed_time = now() - %s::interval, created_at = now() - interval '3 d',"
                " first_bucket = now() - interval '30 d', history_from = null, history_to = null"
                " where target_table = %s::text::regclass",
                [lag, target],
            )
            for run in range(12):
                _log_run(db, target, number, run)
    return t0


def _log_run(db: psycopg.Connection, target: str, number: int, run: int) -> None:
    seconds = round(0.4 * number + 0.05 * ((run * 7) % 5), 3)
    db.execute(
        "insert into silver.timeseries_refresh_log (rollup_id, table_name, work, start_time,"
        " end_time, records_processed, window_start, window_end, rows_read, rows_written,"
        " rows_deleted, worker_pid)"
        " select c.id, %(target)s, 'frontier', ended - make_interval(secs => %(took)s), ended,"
        " %(rows)s, ended - interval '2 h', ended - interval '1 h', %(rows)s, %(rows)s / 60, 0, 77"
        " from silver.timeseries_rollup_config c,"
        " lateral (select now() - make_interval(hours => %(ago)s) as ended) e"
        " where c.target_table = %(target)s::text::regclass",
        {"target": target, "took": seconds, "rows": 6000 * number + run * 100, "ago": 12 - run},
    )


def failing(db: psycopg.Connection, connect: Callable[..., psycopg.Connection]) -> datetime:
    """The same, and one that gave up, one that waits, one that runs, one that is paused."""
    t0 = healthy(db)
    _fail(db, "gold.billing_1h", "22012", "division by zero", 8, None, 240)
    message = "canceling statement due to lock timeout"
    _fail(db, "silver.flows_1h", "55P03", message, 3, "10 minutes 30 seconds", 540)
    db.execute("select silver.pause_rollup('silver.pressure_sensors_south_plant_1h')")
    _run(connect(autocommit=False), "silver.meters_15m")
    db.execute(
        "update silver.timeseries_rollup_config set last_processed_time = %s - interval '3 h 2 m'"
        " where target_table = 'gold.billing_1h'::regclass",
        [t0],
    )
    return t0


def _fail(
    db: psycopg.Connection, target: str, state: str, message: str, times: int, wait: str | None,
    ago: int,
) -> None:  # fmt: skip
    """`times` errors in the log, 9 minutes apart, the last `ago` seconds before T0."""
    db.execute(
        "insert into silver.timeseries_error_log (rollup_id, source_table, target_table, work,"
        " window_start, window_end, error_timestamp, sql_state, error_message, error_detail,"
        " error_hint, error_context, attempted_query, retry_count, worker_pid)"
        " select c.id, c.source_name, c.target_name, 'frontier', at - interval '2 h',"
        " at - interval '1 h', at, %(state)s, %(message)s, 'A device sent no parts.',"
        " 'Look at the newest rows.', 'PL/pgSQL function tsconsole.do_work(text) line 24',"
        " 'insert into ' || c.target_name || ' select ts, avg(amount / parts) from raw.meters"
        " where ts >= $1 group by 1', n, 77"
        " from silver.timeseries_rollup_config c, generate_series(1, %(times)s) n,"
        " lateral (select (select max(end_time) from silver.timeseries_refresh_log)"
        " + interval '1 h' - make_interval(secs => %(ago)s + (%(times)s - n) * 540) as at) e"
        " where c.target_table = %(target)s::text::regclass",
        {"target": target, "state": state, "message": message, "times": times, "ago": ago},
    )
    db.execute(
        "insert into tsconsole.retry select e.rollup_id, 'frontier', %(times)s,"
        " e.error_timestamp + make_interval(secs => %(ago)s) + %(wait)s::interval,"
        " case when %(wait)s::interval is null then e.error_timestamp end,"
        " e.error_timestamp, e.id"
        " from silver.timeseries_error_log e where e.target_table = %(target)s"
        " order by e.id desc limit 1",
        {"target": target, "times": times, "wait": wait, "ago": ago},
    )


def _run(claim: psycopg.Connection, target: str) -> None:
    """Hold the claim of a step, as a worker would, until the connection is closed."""
    row = claim.execute(
        "select id from silver.timeseries_rollup_config where target_table = %s::text::regclass",
        [target],
    ).fetchone()
    assert row is not None
    claim.execute(
        "insert into tsconsole.attempt (rollup_id, work, pid, started_at)"
        " values (%s, 'frontier', pg_backend_pid(), now() - interval '5 minutes 30 seconds')",
        [row[0]],
    )
    claim.commit()
    claim.execute("select pg_advisory_xact_lock(tsconsole.lock_class('frontier'), %s)", [row[0]])


def one_worker(db: psycopg.Connection) -> None:
    """A worker on the host etl-7."""
    db.execute(
        "insert into tsconsole.worker (name, host, pid, version, jobs)"
        " values ('w', 'etl-7', 4711, '0.1.0', 2)"
    )


def error_entry(id: int, message: str) -> ErrorEntry:
    """An entry of the error log."""
    return ErrorEntry(
        id, 1, "raw.x", "silver.x", "frontier", NOW, NOW, NOW, "22012", message, None, None, None,
        None, None, None, None, 1, 77,
    )  # fmt: skip
