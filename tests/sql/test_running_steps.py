"""Who runs what, which range, since when; and cancelling a step that another session runs."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sql.support import (
    add_readings,
    call_run,
    create,
    make_readings,
    make_recent_readings,
    run,
    value,
)

Connect = Callable[..., psycopg.Connection]


def steps(db: psycopg.Connection) -> list[dict[str, Any]]:
    with db.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute("select * from silver.timeseries_running_steps").fetchall()


@contextmanager
def held_steps(
    holder: psycopg.Connection, *workers: psycopg.Connection
) -> Iterator[list[dict[str, Any]]]:
    """A step of silver.r1h by each worker, in threads, which waits for a lock on the target until
    it is cancelled or the block ends; what they came to is in the list after the block."""
    results: list[dict[str, Any]] = []
    holder.execute("lock table silver.r1h in exclusive mode")

    def step(worker: psycopg.Connection) -> None:
        with worker.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            results.extend(cursor.execute("select * from silver.perform_step('silver.r1h')"))

    threads = [threading.Thread(target=step, args=[worker]) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield results
    finally:
        time.sleep(0.1)
        holder.rollback()
        for thread in threads:
            thread.join(20)


def wait_for_steps(db: psycopg.Connection, count: int = 1) -> list[dict[str, Any]]:
    """The steps, once so many wait for the lock on the target."""
    waiting = (
        "select count(*) from pg_locks where relation = 'silver.r1h'::regclass and not granted"
    )
    end = time.monotonic() + 10
    while value(db, waiting) < count:
        assert time.monotonic() < end, "no step was seen"
        time.sleep(0.02)
    return steps(db)


def test_nothing_runs(db: psycopg.Connection) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour")
    assert steps(db) == []
    run(db)
    assert steps(db) == []


def test_each_worker_of_a_backfill_has_its_own_range(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_readings(db, 20_000)
    create(db, "raw.readings", "r1h", "1 hour", processing_window="6 hours")
    # As the short transaction before a step does: else the first holds its lock to the end.
    db.execute("select tsconsole.ensure_partitions(1, '2025-03-01', '2025-03-16')")
    workers = [connect(), connect()]
    with held_steps(connect(autocommit=False), *workers) as results:
        found = wait_for_steps(db, 2)
    assert {step["worker_pid"] for step in found} == {w.info.backend_pid for w in workers}
    for step in found:
        assert (step["target_table"], step["work"]) == ("silver.r1h", "history")
        assert step["role_name"] == db.info.user
        assert step["started_at"] is not None and step["running_for"].total_seconds() >= 0
        assert step["cancel_obstacle"] is None
    # A step claims whole entries (also those in which it finds no rows), and does a part of them.
    claimed = sorted((step["window_end"], step["window_start"]) for step in found)
    done = sorted((result["window_end"], result["window_start"]) for result in results)
    for (claimed_end, claimed_start), (end, start) in zip(claimed, done, strict=True):
        assert claimed_start <= start < end <= claimed_end
    assert claimed[0][0] <= claimed[1][1], "they do not overlap"
    assert steps(db) == []


def test_a_frontier_step_is_shown_from_the_watermark_on(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r1h", "1 minute")
    run(db)
    db.execute(
        "update silver.timeseries_rollup_config"
        " set last_processed_time = last_processed_time - interval '20 minutes'"
    )
    watermark = value(db, "select last_processed_time from silver.timeseries_rollup_config")
    db.execute("delete from silver.r1h where ts >= %s", [watermark])
    with held_steps(connect(autocommit=False), connect()) as results:
        [step] = wait_for_steps(db)
    assert (step["work"], results[0]["work"]) == ("frontier", "frontier")
    assert step["window_start"] == watermark
    assert step["window_end"] >= results[0]["window_end"]


def test_a_recompute_step_is_shown_with_what_is_pending(
    db: psycopg.Connection, connect: Connect
) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour")
    run(db)
    add_readings(db, "2025-03-01 05:00Z", 90)
    with held_steps(connect(autocommit=False), connect()) as results:
        [step] = wait_for_steps(db)
    assert (step["work"], results[0]["work"]) == ("recompute", "recompute")
    shown = (step["window_start"], step["window_end"])
    assert (
        shown
        == db.execute(
            "select '2025-03-01 05:00Z'::timestamptz, '2025-03-01 07:00Z'::timestamptz"
        ).fetchone()
    )


@pytest.fixture
def hourly(db: psycopg.Connection) -> psycopg.Connection:
    """Two rollups whose partitions are there, with work to do."""
    make_readings(db, 10)
    create(db, "raw.readings", "r1h", "1 hour")
    create(db, "raw.readings", "other_1h", "1 hour")
    db.execute("select tsconsole.ensure_partitions(1, '2025-03-01', '2025-03-02')")
    return db


def test_cancel_a_step(hourly: psycopg.Connection, connect: Connect) -> None:
    cancel = "select silver.cancel_step(%s, %s)"
    with held_steps(connect(autocommit=False), connect()) as results:
        pid = wait_for_steps(hourly)[0]["worker_pid"]
        # Another rollup's step, or another session, is not what was meant.
        assert not value(hourly, cancel, ["silver.other_1h", pid])
        assert not value(hourly, cancel, ["silver.r1h", hourly.info.backend_pid])
        assert steps(hourly)
        assert value(hourly, cancel, ["silver.r1h", pid])
    assert [(r["outcome"], r["sql_state"]) for r in results] == [("failed", "57014")]
    # It is over: the same call cancels nothing any more.
    assert not value(hourly, cancel, ["silver.r1h", pid])
    assert value(hourly, "select retry_count from tsconsole.retry") == 1


def test_cancel_says_what_is_wrong(hourly: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error, match="worker_pid is null") as error:
        hourly.execute("select silver.cancel_step('silver.r1h', null)")
    assert error.value.sqlstate == "TS001"
    with pytest.raises(psycopg.Error, match="is not a rollup") as error:
        hourly.execute("select silver.cancel_step('raw.readings'::regclass, 1)")
    assert error.value.sqlstate == "TS002"


@pytest.fixture
def viewer(db: psycopg.Connection, superuser_dsn: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection, acting as a role that may only look."""
    name = f"tsconsole_viewer_{uuid.uuid4().hex[:8]}"
    role = sql.Identifier(name)
    with psycopg.connect(superuser_dsn, dbname=db.info.dbname, autocommit=True) as admin:
        admin.execute(sql.SQL(
            "create role {0}; grant usage on schema silver, tsconsole to {0};"
            "grant select on all tables in schema silver, tsconsole to {0};"
            "set session authorization {0}").format(role))  # fmt: skip
        yield admin
        admin.execute("reset session authorization")
        admin.execute(sql.SQL("drop owned by {0}; drop role {0}").format(role))


def test_cancel_needs_the_role_of_the_step_or_a_right(
    hourly: psycopg.Connection, connect: Connect, viewer: psycopg.Connection
) -> None:
    name = value(viewer, "select current_user::text")
    with held_steps(connect(autocommit=False), connect()):
        pid = wait_for_steps(hourly)[0]["worker_pid"]
        [step] = steps(viewer)
        assert "neither a member of it nor of pg_signal_backend" in step["cancel_obstacle"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as error:
            viewer.execute("select silver.cancel_step('silver.r1h', %s)", [pid])
        assert f"grant pg_signal_backend to {name}" in (error.value.diag.message_hint or "")
        viewer.execute(sql.SQL(
            "reset session authorization; grant pg_signal_backend to {0};"
            "set session authorization {0}").format(sql.Identifier(name)))  # fmt: skip
        assert steps(viewer)[0]["cancel_obstacle"] is None
        assert value(viewer, "select silver.cancel_step('silver.r1h', %s)", [pid])


def test_a_superusers_step_cannot_be_cancelled_by_others(
    db: psycopg.Connection, superuser_dsn: str
) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1h", "1 hour")
    with psycopg.connect(superuser_dsn, dbname=db.info.dbname) as admin:
        admin.execute("select silver.perform_step('silver.r1h')")
        [step] = steps(db)
        assert "a superuser: only a superuser can cancel it" in step["cancel_obstacle"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="a superuser"):
            db.execute("select silver.cancel_step('silver.r1h', %s)", [admin.info.backend_pid])
        admin.rollback()


def test_late_rows_per_minute(db: psycopg.Connection) -> None:
    make_readings(db)
    create(db, "raw.readings", "r1m", "1 minute")
    run(db)
    rate = "select late_rows_per_minute from silver.timeseries_operations_monitor"
    assert value(db, rate) == 0
    add_readings(db, "2025-03-01 05:00Z", 30)
    run(db)
    assert value(db, rate) == pytest.approx(3.0), "30 rows written again, over 10 minutes"
    db.execute(
        "update silver.timeseries_refresh_log set start_time = start_time - interval '1 hour',"
        " end_time = end_time - interval '1 hour'"
    )
    assert value(db, rate) == 0


def test_backfill_rate_and_estimate(db: psycopg.Connection) -> None:
    make_readings(db, 20_000)
    create(db, "raw.readings", "r1h", "1 hour", processing_window="50 hours")
    query = (
        "select backfill_fraction, backfill_remaining, backfill_rows_per_second"
        " from silver.timeseries_operations_monitor"
    )
    assert db.execute(query).fetchone() == (0, None, None), "nothing was measured yet"
    call_run(db, "silver.r1h", 3)
    fraction, remaining, rate = db.execute(query).fetchone()
    assert 0 < fraction < 1
    assert remaining.total_seconds() > 0 and rate > 0
    run(db)
    assert db.execute(query).fetchone()[:2] == (None, None)


def test_the_work_of_a_step_is_asked_for_once(db: psycopg.Connection) -> None:
    """Asked again for each column, it was null in a row whose step ended between two of them."""
    plan = db.execute("explain (verbose) select * from silver.timeseries_running_steps").fetchall()
    assert sum(line.count("claimed_work(") for (line,) in plan) == 1
