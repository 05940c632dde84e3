"""The monitor says the truth: every health state, provoked as it comes about in operation."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from sql.support import (
    create,
    make_readings,
    make_recent_readings,
    monitor,
    perform,
    run,
    value,
)

Connect = Callable[..., psycopg.Connection]


def health(db: psycopg.Connection, target: str = "silver.r1m") -> tuple[str, str, str]:
    row = monitor(db, target)
    return row["health_status"], row["status"], row["health_reason"]


def test_monitor__ok_when_all_is_done(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r1m", "1 minute")
    run(db)
    assert health(db) == ("OK", "idle", "up to date")
    row = monitor(db, "silver.r1m")
    assert (row["success_rate"], row["last_processed_rows"], row["pending_ranges"]) == (100, 600, 0)
    assert row["latest_error"] is None
    assert 0 <= row["lag"].total_seconds() < 120


def test_monitor__an_empty_source_is_no_alarm(db: psycopg.Connection) -> None:
    make_readings(db, 0)
    create(db, "raw.readings", "r1m", "1 minute")
    run(db)
    assert health(db) == ("OK", "idle", "the source has no rows yet")


def test_monitor__running_while_another_session_steps(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r1m", "1 minute")
    worker = connect(autocommit=False)
    worker.execute("select * from silver.perform_step('silver.r1m')")
    status, state, reason = health(db)
    assert (status, state) == ("RUNNING", "running")
    assert "a step has run for" in reason
    assert monitor(db, "silver.r1m")["worker_pid"] == worker.info.backend_pid
    assert monitor(db, "silver.r1m")["started_at"] is not None
    db.execute("update silver.timeseries_rollup_config set alert_threshold = '1 ms'")
    assert health(db)[0] == "ALERT", "it runs longer than alert_threshold"
    worker.rollback()
    assert health(db)[1] == "idle"


def test_monitor__warning_while_a_retry_waits(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r1m", "1 minute")
    run(db)
    db.execute("alter table raw.readings rename column power to strength")
    db.execute("select silver.invalidate('silver.r1m', now() - interval '1 hour', now())")
    assert perform(db, "silver.r1m")[-1][1] in ("failed", "waiting")
    status, state, reason = health(db)
    assert (status, state) == ("WARNING", "retrying")
    assert "retry 1 of 8 in" in reason
    assert "column s.power does not exist" in reason
    row = monitor(db, "silver.r1m")
    assert row["retry_count"] == 1
    assert row["next_retry_time"] > row["last_error_time"]
    assert row["success_rate"] < 100, "failures count"


def test_monitor__warning_then_alert_when_nobody_works(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r1m", "1 minute")
    run(db)
    back = "update silver.timeseries_rollup_config set last_processed_time = now() - %s::interval"
    db.execute(back, ["5 minutes"])
    assert health(db)[:2] == ("WARNING", "idle")
    assert "is a worker up?" in health(db)[2]
    db.execute(back, ["70 minutes"])
    assert health(db)[:2] == ("ALERT", "idle")


def test_monitor__alert_when_it_gave_up(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r1m", "1 minute", max_retries=0)
    db.execute("alter table raw.readings rename column power to strength")
    perform(db)
    status, state, reason = health(db)
    assert (status, state) == ("ALERT", "failed")
    assert "gave up after the first try: column s.power does not exist" in reason


@pytest.mark.parametrize("gone", ["raw.readings", "silver.r1m"])
def test_monitor__alert_when_a_table_was_dropped(db: psycopg.Connection, gone: str) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r1m", "1 minute")
    db.execute(f"drop table {gone} cascade")
    row = db.execute(
        "select health_status, health_reason from silver.timeseries_operations_monitor"
    )
    status, reason = row.fetchone()
    assert status == "ALERT"
    assert reason.endswith(f"{gone} was dropped")
    assert db.execute("select * from silver.get_detailed_stats(null)").fetchall()
    assert value(db, "select bool_or(severity = 'error') from silver.validate_rollup_config()")
    # The operator can end it by the name it had.
    db.execute("select silver.drop_rollup('silver.r1m')")
    assert value(db, "select count(*) from silver.timeseries_rollup_config") == 0
    assert db.execute("select to_regclass('tsconsole.pending_1')").fetchone() == (None,)


def test_monitor__paused(db: psycopg.Connection) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r1m", "1 minute")
    db.execute("select silver.pause_rollup('silver.r1m')")
    assert perform(db)[0][1] == "paused"
    assert health(db) == ("PAUSED", "paused", "paused by an operator")
    db.execute("select silver.resume_rollup('silver.r1m')")
    run(db)
    assert health(db)[0] == "OK"


def test_monitor__lag_is_measured_on_the_clock_of_the_source(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.w (ts timestamp, v integer); create index on raw.w (ts);"
        "insert into raw.w select (now() at time zone 'Asia/Tokyo') - i * interval '1 min', i "
        "from generate_series(1, 50) i"
    )
    create(db, "raw.w", "r1m", "1 minute", timezone="Asia/Tokyo")
    run(db)
    assert 0 <= monitor(db, "silver.r1m")["lag"].total_seconds() < 120
    assert health(db)[0] == "OK"


@pytest.mark.parametrize(("refresh_interval", "minutes"), [("1 second", 5), ("1 day", 12)])
def test_monitor__a_backfill_that_nobody_goes_on_with_is_a_warning(
    db: psycopg.Connection, refresh_interval: str, minutes: int
) -> None:
    """The bucket is so wide that the frontier is not behind."""
    make_recent_readings(db, 3000)
    create(db, "raw.readings", "r", "1 day", refresh_interval=refresh_interval)
    health = "select health_status, health_reason from silver.timeseries_operations_monitor"
    assert db.execute(health).fetchone()[0] == "OK"
    db.execute(
        "update silver.timeseries_rollup_config set created_at = now() - %s * interval '1 min'",
        [minutes],
    )
    status, reason = db.execute(health).fetchone()
    assert status == "WARNING"
    assert f"no step has run for {minutes} min, backfill:" in reason
    assert reason.endswith("is a worker up?")
