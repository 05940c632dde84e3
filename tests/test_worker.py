"""The worker against a real database: it fills, shares, survives, and stops when told."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from tsconsole import operations
from tsconsole.database import Settings
from tsconsole.errors import OperationError
from tsconsole.models import DueRollup, StepResult
from tsconsole.worker import Refusals, Worker, step_line

SOURCE = """
create table raw.readings (ts timestamptz not null, device integer not null, value integer);
create index on raw.readings (ts);
insert into raw.readings
select now() - second * interval '1 second', second % 3, second
from   generate_series(0, 7200, 2) as second;
select silver.create_rollup_ladder('raw.readings', '{1 minute, 10 minutes}', 'readings',
                                   dimensions => '{device}', allowed_lateness => '1 second');
"""

DIFFERENT = """
with expected as (
    select date_bin('1 minute', ts, '2000-01-03 00:00:00+00') as ts, device,
           sum(value) as total, count(*)
    from   raw.readings group by 1, 2
)
select count(*)
from   expected
       full join silver.readings_1m as found using (ts, device)
where  coalesce(expected.ts, found.ts) < (select last_processed_time
                                          from   silver.timeseries_rollup_config
                                          where  target_table = 'silver.readings_1m'::regclass)
       and (expected.total, expected.count) is distinct from (found.sum_value, found.rollup_count)
"""


@asynccontextmanager
async def working(*workers: Worker) -> AsyncIterator[None]:
    """The workers run while the block does, and must all end when they are told to."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that a worker does meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def pending(db: psycopg.Connection) -> int:
    """Pending ranges of all rollups."""
    query = "select coalesce(sum(pending_ranges), 0) from silver.timeseries_operations_monitor"
    return int(db.execute(query).fetchone()[0])


def rows(db: psycopg.Connection, table: str) -> int:
    return int(db.execute(f"select count(*) from {table}").fetchone()[0])


async def test_worker_fills_a_ladder_exactly(database: str, db: psycopg.Connection) -> None:
    db.execute(SOURCE)
    steps: list[StepResult] = []
    async with working(Worker(Settings(dsn=database), 0.05, steps.append)):
        await until(lambda: pending(db) == 0 and rows(db, "silver.readings_10m") > 0)
    assert {step.outcome for step in steps} <= {"done", "idle", "busy"}
    assert db.execute(DIFFERENT).fetchone() == (0,)


async def test_several_workers_share_the_work(database: str, db: psycopg.Connection) -> None:
    db.execute(SOURCE)
    steps: list[StepResult] = []
    workers = [Worker(Settings(dsn=database), 0.05, steps.append) for _ in range(3)]
    async with working(*workers):
        await until(lambda: pending(db) == 0)
    assert "failed" not in {step.outcome for step in steps}
    assert db.execute(DIFFERENT).fetchone() == (0,)
    assert rows(db, "silver.timeseries_error_log") == 0


async def test_worker_notices_new_data(database: str, db: psycopg.Connection) -> None:
    db.execute(SOURCE)
    db.execute("select silver.drop_rollup('silver.readings_10m')")
    db.execute("select silver.drop_rollup('silver.readings_1m')")
    db.execute(
        "select silver.create_rollup_table('raw.readings', 'readings_1s', '1 second', "
        "allowed_lateness => '0', refresh_interval => '100 milliseconds', dimensions => '{}')"
    )
    steps: list[StepResult] = []
    async with working(Worker(Settings(dsn=database), 0.05, steps.append)):
        await until(lambda: pending(db) == 0)
        db.execute("insert into raw.readings values (clock_timestamp(), 1, 424242)")
        await until(
            lambda: rows(db, "(select from silver.readings_1s where max_value = 424242) as x") == 1
        )


async def test_worker_goes_on_after_losing_its_connection(
    database: str, db: psycopg.Connection, superuser_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tsconsole.worker")
    db.execute(SOURCE)
    settings = Settings(dsn=database, application_name="worker under test")
    steps: list[StepResult] = []
    async with working(Worker(settings, 0.05, steps.append)):
        await until(lambda: bool(steps))
        with psycopg.connect(superuser_dsn, autocommit=True) as superuser:
            superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'worker under test'"
            )
        await until(lambda: "the server is back" in caplog.text)
        await until(lambda: pending(db) == 0)
    assert db.execute(DIFFERENT).fetchone() == (0,)


async def test_server_that_is_away_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tsconsole.worker")
    async with working(Worker(Settings(dsn="host=/nonexistent dbname=nothing user=nobody"), 0.05)):
        await asyncio.sleep(2.5)
    assert len(caplog.records) == 1
    assert "trying again until it works" in caplog.text


async def test_step_in_hand_ends_before_the_worker_does(
    database: str, db: psycopg.Connection
) -> None:
    db.execute(
        """
        create view raw.slow as
        select generate_series(now() - interval '10 minutes', now(), '1 second') as ts,
               pg_sleep(0.002)::text as nothing;
        """
    )
    db.execute(
        "select silver.create_rollup_table('raw.slow', 'slow_1m', '1 minute', "
        "look_back_window => '5 minutes', dimensions => '{}')"
    )
    worker = Worker(Settings(dsn=database), 0.05)
    running = asyncio.create_task(worker.run())
    await until(lambda: rows(db, "tsconsole.attempt") > 0)
    worker.stop()
    await asyncio.wait_for(running, 20)
    assert rows(db, "silver.timeseries_refresh_log") > 0
    assert rows(db, "tsconsole.attempt") == 0


async def test_frontier_first_and_backfills_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    due = [DueRollup(1, "a", "history", None), DueRollup(2, "b", "history", None)]
    due += [DueRollup(3, "c", "frontier", None)]
    stepped: list[str] = []

    async def due_rollups(connection: object) -> list[DueRollup]:
        return due

    async def run_step(connection: object, target: str) -> list[StepResult]:
        stepped.append(target)
        return [result(target, "done")]

    monkeypatch.setattr(operations, "due_rollups", due_rollups)
    monkeypatch.setattr(operations, "run_step", run_step)
    worker = Worker(Settings())
    for _ in range(4):
        assert await worker._round(FakeConnection(), due)
    assert stepped == ["c", "a", "c", "b", "c", "a", "c", "b"]


async def test_rollup_that_refuses_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def run_step(connection: object, target: str) -> list[StepResult]:
        asked.append(target)
        raise OperationError("dropped meanwhile")

    monkeypatch.setattr(operations, "run_step", run_step)
    worker = Worker(Settings())
    due = [DueRollup(1, "gone", "frontier", None)]
    assert not await worker._round(FakeConnection(), due)
    assert not await worker._round(FakeConnection(), due)
    assert asked == ["gone"]


def test_refusals_are_forgotten() -> None:
    refusals = Refusals()
    refusals.remember("x")
    assert refusals.must_wait("x")
    assert not refusals.must_wait("y")
    refusals.forget("x")
    assert not refusals.must_wait("x")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_ends_with_0_when_told(
    database: str, db: psycopg.Connection, number: signal.Signals
) -> None:
    db.execute(SOURCE)
    command = [sys.executable, "-m", "tsconsole", "--dsn", database, "worker", "--poll", "0.1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as run:
        deadline = time.monotonic() + 60
        while run.poll() is None and pending(db) > 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run.send_signal(number)
        _, said = run.communicate(timeout=20)
    assert run.returncode == 0, said
    assert "silver.readings_1m: history done" in said
    assert "told to stop" in said
    assert db.execute(DIFFERENT).fetchone() == (0,)


def test_step_line() -> None:
    assert step_line(result("silver.x", "done")) == (
        "silver.x: frontier done, 2026-11-24 12:00:00 to 2026-11-24 12:05:00, "
        "1,200 rows read, 20 written, 0.4 s"
    )
    assert step_line(result("silver.x", "failed", "22012", "division by zero")) == (
        "silver.x: frontier failed, 2026-11-24 12:00:00 to 2026-11-24 12:05:00, 0.4 s, "
        "division by zero (22012)"
    )


class FakeConnection:
    """Enough of a connection for a round of steps that are faked too."""

    broken = False


def result(
    target: str, outcome: str, sql_state: str | None = None, message: str | None = None
) -> StepResult:
    start = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
    return StepResult(
        target_table=target,
        work="frontier",
        outcome=outcome,  # type: ignore[arg-type]
        window_start=start,
        window_end=start + timedelta(minutes=5),
        rows_read=1200,
        rows_written=20,
        duration=timedelta(milliseconds=400),
        sql_state=sql_state,
        error_message=message,
    )
