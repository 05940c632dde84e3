"""Retention by DETACH CONCURRENTLY: nobody waits, nothing is lost, what is cut off is taken up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from sql.support import add_readings, run, value
from sql.test_retention import MIDNIGHT, apply, assert_ladder, partitions, retain, source

from tsconsole.database import Settings
from tsconsole.worker import Worker, WorkerOptions

Connect = Callable[..., psycopg.Connection]
__all__ = ["source"]

BEGIN = (
    "select format('%%I.%%I', partition_schema, partition_name) "
    "from tsconsole.begin_detachments(%s)"
)
DETACH = "alter table raw.readings detach partition {} concurrently"


def begin(db: psycopg.Connection, table: str = "raw.readings") -> list[str]:
    return [row[0] for row in db.execute(BEGIN, [table]).fetchall()]


def test_a_source(source: psycopg.Connection) -> None:
    retain(source, "raw.readings", "3 days", "archive")
    chosen = begin(source)
    assert chosen == ["raw.day0", "raw.day1", "raw.day2"]
    for name in chosen:
        source.execute(DETACH.format(name))
        run(source)
        assert_ladder(source)
    assert [row[:2] for row in apply(source)] == [(name, "archive") for name in chosen]
    assert value(source, "select count(*) from tsconsole.detachment") == 0
    assert value(source, "select to_regclass('raw_archive.day2') is not null")
    source.execute("select silver.bulk_load('raw.readings', '-infinity', 'infinity')")
    run(source)
    assert_ladder(source)


def test_a_late_row_during_the_detachment_brings_it_back(
    source: psycopg.Connection, connect: Connect
) -> None:
    """Written after the decision, committed while DETACH waits for it, looked at by a step."""
    retain(source, "raw.readings", "5 days")
    assert begin(source) == ["raw.day0"]
    row = f"({MIDNIGHT} - interval '6 days', 'd0', 1, 5, 5)"
    writer, detacher = connect(autocommit=False), connect()
    writer.execute(f"insert into raw.readings values {row}")
    source.execute(f"insert into ever values {row}")
    thread = threading.Thread(target=detacher.execute, args=[DETACH.format("raw.day0").encode()])
    thread.start()
    while not value(source, "select bool_or(inhdetachpending) from pg_inherits"):
        pass
    run(source)
    writer.commit()
    thread.join()
    run(source)
    [(name, action, reason)] = apply(source)
    assert (name, action) == ("raw.day0", "keep") and "still has to compute" in reason
    assert "raw.day0" in partitions(source)
    run(source)
    assert_ladder(source)
    assert apply(source)[0][:2] == ("raw.day0", "drop")
    run(source)
    assert_ladder(source)


def test_one_that_was_cancelled_is_finished_next_time(
    source: psycopg.Connection, connect: Connect
) -> None:
    retain(source, "raw.readings", "5 days")
    [name] = begin(source)
    reader = connect(autocommit=False)
    reader.execute("select count(*) from raw.readings")
    source.execute("set lock_timeout = '100ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        source.execute(DETACH.format(name))
    # It is invisible already, and its rows are in no danger.
    assert name not in partitions(source)
    run(source)
    assert_ladder(source)
    assert apply(source)[0] == (
        name,
        "keep",
        "it is being detached, and an older transaction is still open",
    )
    reader.rollback()
    assert apply(source)[0][:2] == (name, "drop")
    assert value(source, "select to_regclass(%s) is null", [name])
    run(source)
    assert_ladder(source)


def test_one_that_was_only_decided_on_goes_the_plain_way(source: psycopg.Connection) -> None:
    retain(source, "raw.readings", "5 days")
    assert begin(source) == ["raw.day0"]
    assert apply(source) == [("raw.day0", "drop", "it is older than 5 days")]
    assert value(source, "select count(*) from tsconsole.detachment") == 0


def test_retention_that_is_taken_back(source: psycopg.Connection, connect: Connect) -> None:
    """What was half detached is finished all the same, by maintenance if need be."""
    retain(source, "raw.readings", "5 days")
    [name] = begin(source)
    reader = connect(autocommit=False)
    reader.execute("select count(*) from raw.readings")
    source.execute("set lock_timeout = '100ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        source.execute(DETACH.format(name))
    retain(source, "raw.readings", None)
    assert value(source, "select count(*) from tsconsole.detachment") == 1
    reader.rollback()
    source.execute("select silver.maintain_timeseries_tables('silver.r_1m')")
    assert value(source, "select count(*) from tsconsole.detachment") == 0
    run(source)
    assert_ladder(source)


def test_a_target(source: psycopg.Connection) -> None:
    source.execute("select silver.alter_rollup('silver.r_1m', chunk_interval := '1 day')")
    source.execute("call silver.rebuild_partitions('silver.r_1m')")
    source.execute("select silver.create_rollup_table('silver.r_1h', 'r_1d', '1 day')")
    run(source)
    retain(source, "silver.r_1m", "3 days")
    total = value(source, "select sum(rollup_count) from silver.r_1d")
    chosen = begin(source, "silver.r_1m")
    assert len(chosen) >= 3
    add_readings(source, value(source, f"select ({MIDNIGHT} - interval '6 days')::text"), 5)
    run(source)
    for name in chosen:
        source.execute(f"alter table silver.r_1m detach partition {name} concurrently".encode())
    run(source)
    assert [row[1] for row in apply(source, "silver.r_1m")] == ["drop"] * len(chosen)
    run(source)
    assert value(source, "select sum(rollup_count) from silver.r_1d") == total
    for target in ("r_1m", "r_1h", "r_1d"):
        assert value(source, f"select count(*) from silver.verify_rollup('silver.{target}')") == 0


def test_a_target_that_a_step_is_writing_to_waits(
    source: psycopg.Connection, connect: Connect
) -> None:
    """What the step hands on to the readers is not committed yet."""
    source.execute("select silver.alter_rollup('silver.r_1m', chunk_interval := '1 day')")
    source.execute("call silver.rebuild_partitions('silver.r_1m')")
    retain(source, "silver.r_1m", "3 days")
    step = connect(autocommit=False)
    step.execute("select tsconsole.claim(c.id, 'recompute') from tsconsole.rollup('silver.r_1m') c")
    assert begin(source, "silver.r_1m") == []
    step.rollback()
    assert len(begin(source, "silver.r_1m")) >= 2


def test_one_that_nobody_detached_is_forgotten(source: psycopg.Connection) -> None:
    retain(source, "raw.readings", "5 days")
    assert begin(source) == ["raw.day0"]
    forget = "select count(*) from tsconsole.finish_detachments(null)"
    for age, left in (("50 minutes", 1), ("20 minutes", 0)):
        source.execute(f"update tsconsole.detachment set begun_at = begun_at - interval '{age}'")
        assert value(source, forget) == 0
        assert value(source, "select count(*) from tsconsole.detachment") == left
    assert "raw.day0" in partitions(source)


def test_not_with_a_default_partition_nor_for_what_is_needed(source: psycopg.Connection) -> None:
    retain(source, "raw.readings", "3 days")
    source.execute("select silver.invalidate('silver.r_1m', '-infinity', 'infinity')")
    assert begin(source) == []
    run(source)
    source.execute("create table raw.rest partition of raw.readings default")
    assert begin(source) == []
    assert [row[1] for row in apply(source)] == ["drop"] * 3


def test_another_session_looks_between_the_decision_and_the_statement(
    source: psycopg.Connection,
) -> None:
    """What is detached afterwards is still known, and nobody leaves it lying about."""
    retain(source, "raw.readings", "5 days")
    [name] = begin(source)
    assert source.execute("select * from tsconsole.finish_detachments(null)").fetchall() == []
    source.execute(DETACH.format(name))
    assert apply(source)[0][:2] == (name, "drop")
    assert value(source, "select to_regclass(%s) is null", [name])


async def test_a_worker_does_it_that_way(
    source: psycopg.Connection, database: str, connect: Connect
) -> None:
    """It waits for a reader; the plain way would give up, and others would wait behind it."""

    async def until(query: str) -> None:
        deadline = time.monotonic() + 60
        while not value(source, query):
            assert time.monotonic() < deadline, query
            await asyncio.sleep(0.02)

    retain(source, "raw.readings", "5 days")
    source.execute("update silver.timeseries_rollup_config set created_at = now() - interval '2 d'")
    reader = connect(autocommit=False)
    reader.execute("select count(*) from raw.readings")
    worker = Worker(Settings(dsn=database), WorkerOptions(poll_interval=0.05))
    working = asyncio.create_task(worker.run())
    try:
        await until("select bool_or(inhdetachpending) from pg_inherits")
        reader.rollback()
        await until("select to_regclass('raw.day0') is null")
    finally:
        worker.stop()
        await asyncio.wait_for(working, 60)
    assert_ladder(source)
