"""What another session drops or makes at the very moment at which ours looks for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sql.support import assert_verified, column, create, make_readings, run, value, wait_until

Connect = Callable[..., psycopg.Connection]
WAITS = "select exists (select from pg_locks where pid = %s and not granted)"


def meanwhile(
    db: psycopg.Connection, connect: Connect, other: psycopg.Connection, query: str
) -> list[tuple[Any, ...]]:
    """Run a query in a session of its own; once it waits, `other` commits. The query's rows."""
    ours = connect()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: ours.execute(query.encode()).fetchall())
        wait_until(lambda: asked.done() or value(db, WAITS, [ours.info.backend_pid]))
        assert not asked.done(), "it did not wait for the other session"
        other.commit()
        return asked.result(30)


@pytest.fixture
def tree(db: psycopg.Connection) -> psycopg.Connection:
    """raw.readings in two days; the second one has partitions itself."""
    db.execute(
        """
        create table raw.readings (ts timestamptz, v integer) partition by range (ts);
        create table raw.day1 partition of raw.readings
            for values from ('2025-03-01Z') to ('2025-03-02Z');
        create table raw.day2 partition of raw.readings
            for values from ('2025-03-02Z') to ('2025-03-03Z') partition by range (ts);
        create table raw.morning partition of raw.day2
            for values from ('2025-03-02 00:00Z') to ('2025-03-02 12:00Z');
        create table raw.evening partition of raw.day2
            for values from ('2025-03-02 12:00Z') to ('2025-03-03 00:00Z');
        """
    )
    return db


@pytest.mark.parametrize("gone", ["day1", "day2", "morning"])
def test_a_partition_that_goes_while_its_source_is_being_locked(
    tree: psycopg.Connection, connect: Connect, gone: str
) -> None:
    """It was there when the lock was asked for, and is not when the lock is to be had."""
    dropper = connect(autocommit=False)
    dropper.execute(f"drop table raw.{gone}")
    meanwhile(tree, connect, dropper, "select tsconsole.lock_source('raw.readings')")
    left = column(tree, "select p::regclass::text from tsconsole.with_partitions('raw.readings') p")
    assert f"raw.{gone}" not in left


def test_two_sessions_make_an_archive_schema_at_once(
    tree: psycopg.Connection, connect: Connect
) -> None:
    first = connect(autocommit=False)
    archive = "select tsconsole.archive_schema('raw.readings')"
    assert value(first, archive) == "raw_archive"
    assert meanwhile(tree, connect, first, archive) == [("raw_archive",)]
    said = "select obj_description('raw_archive'::regnamespace) like 'Partitions that retention%'"
    assert value(tree, said)


def test_a_worker_waits_for_another_that_makes_the_partitions_of_a_backfill(
    db: psycopg.Connection, connect: Connect
) -> None:
    """It would have gone away with nothing done, and left the backfill to the other alone."""
    make_readings(db)
    create(db, "raw.readings", "readings_1h", "1 hour", chunk_interval="1 day")
    prepare = "select tsconsole.prepare_step(id) from silver.timeseries_rollup_config"
    first = connect(autocommit=False)
    first.execute(prepare)
    meanwhile(db, connect, first, prepare)
    done = connect().execute("call silver.run_rollups(max_steps => 1, results => null)").fetchone()
    assert done is not None and [step["outcome"] for step in done[0]] == ["done"]
    run(db)
    assert_verified(db, "readings_1h")


def test_workers_that_share_a_backfill_do_not_wait_to_sum_up_their_runs(
    db: psycopg.Connection, connect: Connect
) -> None:
    """The step of a session that stays open keeps nobody up; what it left out the next run adds."""
    make_readings(db)
    create(db, "raw.readings", "readings_1m", "1 minute", processing_window="10 hours")
    db.execute("select tsconsole.prepare_step(id) from silver.timeseries_rollup_config")
    open_step = connect(autocommit=False)
    assert value(open_step, "select outcome from silver.perform_step('readings_1m')") == "done"
    beside = connect()
    beside.execute("set statement_timeout = '10s'")
    assert value(beside, "select outcome from silver.perform_step('readings_1m')") == "done"
    open_step.commit()
    run(db)
    summed_up, logged = (
        db.execute(f"select count(*), {query}").fetchall()
        for query in (
            "sum(runs), sum(took), sum(rows_read), max(since) from tsconsole.recent_runs",
            "count(*), sum(duration), sum(rows_read)::float8, min(start_time) from"
            " silver.timeseries_refresh_log",
        )
    )
    assert summed_up[0][1:] == logged[0][1:]
    assert summed_up[0][1] >= 4


def test_a_partition_that_goes_while_retention_waits_for_it(
    db: psycopg.Connection, connect: Connect
) -> None:
    """It was there when it was looked for, and has been detached when its lock is had."""
    make_readings(db)
    create(db, "raw.readings", "readings_1h", "1 hour", chunk_interval="1 day")
    run(db)
    first = connect(autocommit=False)
    day = "silver.readings_1h_p20250301"
    first.execute(f"alter table silver.readings_1h detach partition {day}")
    retire = (
        f"select tsconsole.retire_partition('silver.readings_1h', '{day}', '2025-03-01Z', "
        "'2025-03-02Z', 'drop')"
    )
    said = meanwhile(db, connect, first, retire)
    assert said == [("another session has taken it away meanwhile",)]
