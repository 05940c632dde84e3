"""The worker against a real database: it fills, shares, survives, and stops when told."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from tests.support import CommandLine
from tests.worker_support import ACTIVE, QUICK, SOURCE, count, rows, until, working
from tsconsole import operations
from tsconsole.database import Settings
from tsconsole.models import StepResult
from tsconsole.worker import Worker, WorkerOptions
from tsconsole.worker.choice import Refusals
from tsconsole.worker.reporting import step_line

STEPPING = ACTIVE + "'call silver.run_rollups%'"
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


# Stable, so that only who reads the column waits, not who looks for the first row of a view.
LINGER = """
    create function raw.linger(seconds float8) returns text stable language plpgsql
    as $$ begin perform pg_sleep(seconds); return null; end $$
"""


def pending(db: psycopg.Connection) -> int:
    """Pending ranges of all rollups."""
    query = "select coalesce(sum(pending_ranges), 0) from silver.timeseries_operations_monitor"
    return int(db.execute(query).fetchone()[0])


async def test_worker_fills_a_ladder_exactly(database: str, db: psycopg.Connection) -> None:
    db.execute(SOURCE)
    steps: list[StepResult] = []
    async with working(Worker(Settings(dsn=database), QUICK, steps.append)):
        await until(lambda: pending(db) == 0 and rows(db, "silver.readings_10m") > 0)
    assert {step.outcome for step in steps} <= {"done", "idle", "busy"}
    assert db.execute(DIFFERENT).fetchone() == (0,)


async def test_several_workers_share_the_work(database: str, db: psycopg.Connection) -> None:
    db.execute(SOURCE)
    steps: list[StepResult] = []
    workers = [Worker(Settings(dsn=database), QUICK, steps.append) for _ in range(3)]
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
    async with working(Worker(Settings(dsn=database), QUICK, steps.append)):
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
    async with working(Worker(settings, QUICK, steps.append)):
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
    async with working(Worker(Settings(dsn="host=/nonexistent dbname=nothing user=nobody"), QUICK)):
        await asyncio.sleep(2.5)
    assert len(caplog.records) == 1
    assert "trying again until it works" in caplog.text


async def test_step_in_hand_ends_before_the_worker_does(
    database: str, db: psycopg.Connection
) -> None:
    db.execute(LINGER)
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
    worker = Worker(Settings(dsn=database), QUICK)
    running = asyncio.create_task(worker.run())
    await until(lambda: rows(db, "tsconsole.attempt") > 0)
    worker.stop()
    await asyncio.wait_for(running, 20)
    assert rows(db, "silver.timeseries_refresh_log") > 0
    assert rows(db, "tsconsole.attempt") == 0


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


def workers(db: psycopg.Connection) -> list[tuple[str, int, bool]]:
    query = "select name, jobs, seen_at > now() - interval '10 seconds' from tsconsole.worker"
    return db.execute(query).fetchall()


async def test_a_worker_is_listed_while_it_runs(database: str, db: psycopg.Connection) -> None:
    db.execute(SOURCE)
    options = WorkerOptions(poll_interval=0.05, jobs=3, name="the first")
    async with working(Worker(Settings(dsn=database), options)):
        await until(lambda: workers(db) == [("the first", 3, True)])
        await until(lambda: pending(db) == 0)
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            [listed] = await operations.list_workers(connection)
    assert listed.pid == os.getpid() and listed.host
    assert workers(db) == []


async def test_work_begins_when_it_is_announced(database: str, db: psycopg.Connection) -> None:
    """The next look would be in an hour."""
    options = WorkerOptions(poll_interval=3600)
    async with working(Worker(Settings(dsn=database), options)):
        await until(lambda: len(workers(db)) == 1)
        await asyncio.sleep(0.5)
        started = time.monotonic()
        db.execute(SOURCE)
        await until(lambda: pending(db) == 0 and rows(db, "silver.readings_10m") > 0, 20)
        first = time.monotonic() - started
        db.execute("select silver.invalidate('silver.readings_1m', now() - interval '1 h', now())")
        started = time.monotonic()
        await until(lambda: pending(db) == 0, 20)
        assert time.monotonic() - started < 2, (first, time.monotonic() - started)
    assert db.execute(DIFFERENT).fetchone() == (0,)


async def test_new_data_does_not_wait_for_a_backfill(database: str, db: psycopg.Connection) -> None:
    """Of two places one is kept: while a step of the past sleeps, the frontier advances."""
    db.execute(LINGER)
    db.execute(
        """
        create view raw.slow as
        select ts, raw.linger(1) as nothing
        from   generate_series(now() - interval '19 minutes', now() - interval '9 minutes',
                               '1 second') as ts;
        create table raw.quick (ts timestamptz not null, value integer);
        create index on raw.quick (ts);
        insert into raw.quick
        select now() - second * interval '1 second', 1 from generate_series(1, 60) as second;
        """
    )
    create = (
        "select silver.create_rollup_table(%s, %s, %s::interval, look_back_window => '20 minutes',"
        " dimensions => '{}', allowed_lateness => '0', processing_window => %s::interval)"
    )
    db.execute(create, ["raw.slow", "slow_1m", "1 minute", "1 hour"])
    db.execute(create, ["raw.quick", "quick_1s", "1 second", None])
    steps: list[StepResult] = []
    options = replace(QUICK, stop_within=0.5)
    async with working(Worker(Settings(dsn=database), options, steps.append)):
        await until(lambda: rows(db, "silver.timeseries_running_steps") > 0)
        await until(lambda: count(steps, "silver.quick_1s", "frontier") >= 4)
        assert count(steps, "silver.slow_1m", "history") == 0


async def test_a_step_that_does_not_end_is_cancelled(
    database: str, db: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Told to stop, it waits so long and no longer; the step is logged as a failure."""
    caplog.set_level(logging.INFO, "tsconsole.worker")
    db.execute(LINGER)
    db.execute(
        """
        create table raw.delay (seconds integer);
        insert into raw.delay values (0);
        create view raw.endless as
        select date_trunc('minute', now()) - minutes * interval '1 minute' as ts,
               raw.linger(seconds) as nothing
        from   raw.delay, generate_series(1, 20) minutes;
        """
    )
    db.execute(
        "select silver.create_rollup_table('raw.endless', 'endless_1m', '1 minute', "
        "look_back_window => '10 minutes', dimensions => '{}')"
    )
    db.execute("update raw.delay set seconds = 600")
    options = WorkerOptions(poll_interval=0.05, stop_within=0.5)
    worker = Worker(Settings(dsn=database), options)
    running = asyncio.create_task(worker.run())
    await until(lambda: rows(db, "tsconsole.attempt") > 0)
    await asyncio.sleep(0.3)
    worker.stop()
    await asyncio.wait_for(running, 10)
    assert "cancelling 1 steps that did not end in 0.5 s" in caplog.text
    await until(lambda: rows(db, STEPPING) == 0)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--jobs", "0", "--jobs is 0; expected a whole number from 1 to 64."),
        ("--jobs", "65", "--jobs is 65"),
        ("--poll", "0", "--poll is 0; expected seconds from 0.05 to 3600."),
        ("--stop-within", "-1", "--stop-within is -1; expected seconds"),
    ],
)
def test_options_are_checked(
    capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    ended = CommandLine(capsys)("worker", option, value)
    assert ended.code == 2 and message in ended.err, ended


async def test_fewer_steps_side_by_side_under_load(
    database: str, db: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Steps of anybody that took nine times what was predicted halve what this worker begins."""
    caplog.set_level(logging.INFO, "tsconsole.worker")
    options = WorkerOptions(poll_interval=0.05, jobs=4)
    parallel = "tsconsole.worker where parallel = {}"
    async with working(Worker(Settings(dsn=database), options)):
        await until(lambda: rows(db, parallel.format(4)) == 1)
        db.execute(
            "insert into silver.timeseries_refresh_log (table_name, work, start_time, end_time,"
            " records_processed, predicted_duration)"
            " select 'silver.x', 'history', now() - interval '9 s', now(), 1, '1 s'"
            " from generate_series(1, 3)"
        )
        await until(lambda: rows(db, parallel.format(2)) == 1, 15)
    assert "2 steps side by side: steps took 9.0 times the predicted time" in caplog.text
