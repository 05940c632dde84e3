"""What the reference got wrong when work fails, is slow or runs twice; named after the fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sql.support import (
    assert_true_rollup,
    call_run,
    create,
    make_readings,
    monitor,
    perform,
    run,
    value,
    wait_until,
)

Connect = Callable[..., psycopg.Connection]
HOUR = "date_trunc('hour', ts, 'UTC')"
DUE = "update tsconsole.retry set next_retry_time = now() - interval '1 second'"


def break_source(db: psycopg.Connection) -> None:
    db.execute("alter table raw.readings rename column power to strength")


def repair_source(db: psycopg.Connection) -> None:
    db.execute("alter table raw.readings rename column strength to power")


def make_slow_source(db: psycopg.Connection, rows: int = 400, seconds: float = 0.005) -> None:
    """raw.slow: a view on raw.readings that takes its time for every row."""
    make_readings(db, rows, start=value(db, "select (now() - interval '12 hours')::text"))
    db.execute(
        "create function raw.slowly(given integer) returns integer language plpgsql stable as $$ "
        f"begin perform pg_sleep({seconds}); return given; end $$;"
        "create view raw.slow as select ts, device, site, temperature, raw.slowly(power) as power "
        "from raw.readings"
    )


def reads_slowly(db: psycopg.Connection, pid: int) -> bool:
    """Whether this session is at the rows of raw.slow."""
    event = "select wait_event = 'PgSleep' from pg_stat_activity where pid = %s"
    return bool(value(db, event, [pid]))


def retry_of(db: psycopg.Connection, target: str) -> tuple[Any, ...] | None:
    return db.execute(
        "select work, retry_count, extract(epoch from next_retry_time - last_error_time)::float8, "
        "gave_up_at is not null from silver.timeseries_retry_queue "
        "where target_table = %s::regclass",
        [target],
    ).fetchone()


def test_retry__persists_backs_off_and_gives_up(db: psycopg.Connection, connect: Connect) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour", max_retries=3)
    break_source(db)
    assert perform(db)[0][:2] == ("history", "failed")
    for number, wait in enumerate((10, 20, 40), start=1):
        # Another session sees it: the log and the retry outlive the failed step.
        work, count, pause, gave_up = retry_of(connect(), "silver.r1h")
        assert (work, count, gave_up) == ("history", number, False)
        assert 0.79 * wait < pause < 1.21 * wait
        assert perform(db)[0][1] == "waiting"
        assert perform(db, "silver.r1h") == [(None, "waiting", 0, 0, None)]
        db.execute(DUE)
        assert value(db, "select outcome from silver.handle_rollup_retries()") == "failed"
    assert retry_of(db, "silver.r1h") == ("history", 3, None, True)
    assert db.execute("select * from silver.handle_rollup_retries()").fetchall() == []
    assert perform(db)[0][1] == "waiting"
    state = monitor(db, "silver.r1h")
    assert (state["status"], state["health_status"]) == ("failed", "ALERT")
    assert "gave up after 3 retries" in state["health_reason"]
    assert value(db, "select array_agg(retry_count order by id) from silver.timeseries_error_log") \
        == [0, 1, 2, 3]  # fmt: skip


def test_retry__resets_only_on_success(db: psycopg.Connection) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour", max_retries=0)
    break_source(db)
    perform(db)
    assert retry_of(db, "silver.r1h") == ("history", 0, None, True)
    db.execute("select * from silver.retry_rollup('silver.r1h')")
    assert retry_of(db, "silver.r1h") == ("history", 0, None, True), "it failed again"
    # Pausing and resuming is no success.
    db.execute("select silver.pause_rollup('silver.r1h')")
    db.execute("select silver.resume_rollup('silver.r1h')")
    assert retry_of(db, "silver.r1h") is not None
    repair_source(db)
    outcome = "select outcome from silver.retry_rollup('silver.r1h') limit 1"
    assert value(db, outcome) == "done"
    assert retry_of(db, "silver.r1h") is None
    state = monitor(db, "silver.r1h")
    assert (state["health_status"], state["retry_count"]) == ("OK", 0)
    assert_true_rollup(db, "silver.r1h", HOUR)


@pytest.mark.parametrize("work", ["history", "frontier"])
def test_retry__ends_when_the_failing_work_is_gone(db: psycopg.Connection, work: str) -> None:
    """The bad rows are deleted, so nothing is left to retry: health must not warn for ever."""
    make_readings(db, 0)
    if work == "frontier":
        create(db, "raw.readings", "r1h", "1 hour")
    db.execute(
        "insert into raw.readings (ts, temperature) select timestamptz '2025-03-01' + i * interval "
        "'1 minute', 1e308 from generate_series(1, 10) i"
    )
    if work == "history":
        create(db, "raw.readings", "r1h", "1 hour")
    assert perform(db, "silver.r1h")[0][:2] == (work, "failed")
    db.execute("delete from raw.readings")
    db.execute("select * from silver.retry_rollup('silver.r1h')")
    assert retry_of(db, "silver.r1h") is None
    assert monitor(db, "silver.r1h")["health_status"] == "OK"


def test_retry__the_log_says_all_there_is_to_say(db: psycopg.Connection) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour")
    db.execute("alter table silver.r1h add constraint cool check (max_temperature < 50)")
    assert perform(db)[0][4] is not None
    with db.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        error = cursor.execute("select * from silver.timeseries_error_log").fetchone()
    assert error is not None
    assert (error["source_table"], error["target_table"]) == ("raw.readings", "silver.r1h")
    assert (error["work"], error["sql_state"]) == ("history", "23514")
    assert "cool" in error["error_message"]
    assert error["constraint_name"] == "cool"
    assert "Failing row contains" in error["error_detail"]
    assert "PL/pgSQL function" in error["error_context"]
    assert (error["schema_name"], error["worker_pid"]) == ("silver", db.info.backend_pid)
    # The query can be run by hand: its range is written in.
    assert "insert into silver.r1h" in error["attempted_query"]
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(error["attempted_query"])
    assert error["window_start"] < error["window_end"]


def test_retry__logs_name_tables_as_they_are_called_now(db: psycopg.Connection) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour")
    db.execute("alter table raw.readings rename to werte; alter table silver.r1h rename to stunden")
    db.execute("alter table raw.werte rename column power to strength")
    perform(db, "silver.stunden")
    names = db.execute("select source_table, target_table from silver.timeseries_error_log")
    assert names.fetchall() == [("raw.werte", "silver.stunden")]
    db.execute("alter table raw.werte rename column strength to power")
    db.execute("select * from silver.retry_rollup('silver.stunden')")
    back = "update silver.timeseries_rollup_config set last_processed_time = now() - interval '3 h'"
    db.execute(back)
    run(db, "silver.stunden")
    db.execute("drop table raw.werte cascade")
    assert "raw.werte" in monitor(db, "silver.stunden")["health_reason"]


def test_timeout_cancel_kill__a_timeout_is_logged_as_one(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_slow_source(db)
    create(db, "raw.slow", "r1h", "1 hour")
    hurried = connect(options="-c statement_timeout=300ms")
    started = time.monotonic()
    results = call_run(hurried)
    assert time.monotonic() - started < 2
    assert [(r["outcome"], r["sql_state"]) for r in results] == [("failed", "57014")]
    message = value(db, "select error_message from silver.timeseries_error_log")
    assert message == "canceling statement due to statement timeout"
    assert "r.power" not in message
    assert retry_of(db, "silver.r1h")[0] == "history"
    # The function logs it just as well.
    db.execute(DUE)
    assert perform(hurried)[0][:2] == ("history", "failed")
    assert value(db, "select count(*) from silver.timeseries_error_log") == 2


def test_timeout_cancel_kill__a_timeout_while_the_range_is_chosen_is_logged_too(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_readings(db, 0)
    db.execute(
        "create view raw.slow as select * from raw.readings where pg_sleep(0.05) is not null"
    )
    create(db, "raw.slow", "r1h", "1 hour")
    db.execute(
        "insert into raw.readings select timestamptz '2025-03-01' + i * interval '1 min' "
        "from generate_series(1, 100) i"
    )
    hurried = connect(options="-c statement_timeout=300ms")
    for _ in range(2):
        try:
            call_run(hurried)
        except psycopg.errors.QueryCanceled:
            hurried.rollback()
    assert value(db, "select min(sql_state) from silver.timeseries_error_log") == "57014"
    assert monitor(db, "silver.r1h")["health_status"] == "WARNING"


@pytest.mark.parametrize(
    ("function", "sql_state", "says"),
    [
        ("pg_cancel_backend", "57014", "canceling statement due to user request"),
        ("pg_terminate_backend", "TS007", "ended without finishing it"),
    ],
    ids=["cancel", "kill"],
)
def test_timeout_cancel_kill__logged_as_what_it_was(
    db: psycopg.Connection, connect: Connect, function: str, sql_state: str, says: str
) -> None:
    make_slow_source(db)
    create(db, "raw.slow", "r1h", "1 hour")
    worker = connect()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(call_run, worker)
        wait_until(lambda: reads_slowly(db, worker.info.backend_pid))
        assert monitor(db, "silver.r1h")["health_status"] == "RUNNING"
        db.execute(f"select {function}(%s)", [worker.info.backend_pid])
        if function == "pg_cancel_backend":
            assert running.result(20)[0]["sql_state"] == "57014"
        else:
            with pytest.raises(psycopg.OperationalError):
                running.result(20)
    wait_until(lambda: monitor(db, "silver.r1h")["status"] != "running")
    # Recovered at once: the claim is free, and the next step knows what happened.
    db.execute(
        "create or replace function raw.slowly(given integer) returns integer language sql "
        "as $$ select given $$"
    )
    db.execute("select * from silver.perform_step('silver.r1h')")
    logged = db.execute("select sql_state, error_message, work from silver.timeseries_error_log")
    (found,) = logged.fetchall()
    assert (found[0], found[2]) == (sql_state, "history")
    assert says in found[1]
    assert retry_of(db, "silver.r1h")[1] == 1
    db.execute("select * from silver.retry_rollup('silver.r1h')")
    assert retry_of(db, "silver.r1h") is None
    assert value(db, "select count(*) from tsconsole.attempt") == 0
    assert_true_rollup(db, "silver.r1h", HOUR)


def test_timeout_cancel_kill__a_cancel_before_the_first_row_is_logged_too(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour")
    worker, holder = connect(), connect(autocommit=False)
    # A step waits here: it looks for crashes of others before it reads anything.
    holder.execute("lock table tsconsole.attempt in share mode")
    waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(perform, worker)
        wait_until(lambda: bool(value(db, waits, [worker.info.backend_pid])))
        db.execute("select pg_cancel_backend(%s)", [worker.info.backend_pid])
        time.sleep(0.1)
        holder.rollback()
        assert running.result(20)[0][:2] == ("history", "failed")
    assert value(db, "select sql_state from silver.timeseries_error_log") == "57014"
    assert retry_of(db, "silver.r1h")[1] == 1


def test_max_execution_time__enforced_by_the_watchdog_and_the_workers_timeout(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_slow_source(db)
    create(db, "raw.slow", "r1h", "1 hour", max_execution_time="0.3 s")
    worker = connect()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(call_run, worker)
        wait_until(lambda: monitor(db, "silver.r1h")["health_status"] == "RUNNING")
        time.sleep(0.5)
        done = db.execute(
            "select outcome, detail from silver.maintain_timeseries_tables('silver.r1h') "
            "where task = 'watchdog'"
        ).fetchone()
        assert done[0] == "done"
        assert f"cancelled pid {worker.info.backend_pid}" in done[1]
        assert running.result(20)[0]["sql_state"] == "57014"
    assert value(db, "select count(*) from silver.timeseries_error_log") == 1
    # A step in time is let alone.
    detail = "select detail from silver.maintain_timeseries_tables('silver.r1h') limit 1"
    assert "no step runs longer" in value(db, detail)


def test_max_execution_time__a_claim_is_never_stale(
    db: psycopg.Connection, connect: Connect
) -> None:
    """A session that is gone holds nothing, whatever it left in the tables."""
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour", max_execution_time="1 s")
    db.execute(
        "insert into tsconsole.attempt (rollup_id, work, pid, started_at) "
        "values (1, 'history', 999999, now() - interval '3 days')"
    )
    assert monitor(db, "silver.r1h")["status"] == "idle"
    db.execute("select * from silver.perform_step('silver.r1h')")
    db.execute("select * from silver.retry_rollup('silver.r1h')")
    assert_true_rollup(db, "silver.r1h", HOUR)
    assert value(db, "select count(*) from tsconsole.attempt") == 0


@pytest.mark.parametrize("work", ["frontier", "recompute"])
def test_locking__second_caller_skips(db: psycopg.Connection, connect: Connect, work: str) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour")
    run(db)
    if work == "recompute":
        db.execute("select silver.invalidate('silver.r1h', '2025-03-01', '2025-03-02')")
    else:
        db.execute(
            "update silver.timeseries_rollup_config "
            "set last_processed_time = last_processed_time - interval '2 hours'"
        )
    first, second = connect(autocommit=False), connect()
    step = "select work, outcome from silver.perform_step('silver.r1h')"
    assert first.execute(step).fetchone() == (work, "done")
    started = time.monotonic()
    assert second.execute(step).fetchone() == (None, "busy")
    assert [r["outcome"] for r in call_run(second)] == ["busy"]
    assert time.monotonic() - started < 1
    first.rollback()
    assert second.execute(step).fetchone() == (work, "done")
    assert_true_rollup(db, "silver.r1h", HOUR)
