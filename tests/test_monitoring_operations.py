"""The operations that look: the monitor, runs, statistics, running steps, and all of a rollup."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from support import HOURLY, check_types

from tsconsole import operations
from tsconsole.database import Settings, connected
from tsconsole.errors import OperationError

pytestmark = pytest.mark.sql

Connection = psycopg.AsyncConnection[Any]


async def test_the_monitor(rolled_up: Connection) -> None:
    snapshot = await operations.monitor_snapshot(rolled_up, "silver.readings_1h")
    (rollup,) = snapshot.operations
    check_types(snapshot)
    check_types(rollup)
    assert rollup.health_status == "OK" and rollup.rollup_interval == "01:00:00"
    assert rollup.success_rate == 100
    assert snapshot.retries == () and snapshot.errors == ()
    assert snapshot.partitions
    for partition in snapshot.partitions:
        check_types(partition)
    (again,) = await operations.list_operations(rolled_up)
    assert replace(again, lag=rollup.lag) == rollup


async def test_the_monitor_survives_a_selection_that_is_gone(rolled_up: Connection) -> None:
    for target in ("silver.gone", None):
        snapshot = await operations.monitor_snapshot(rolled_up, target)
        assert snapshot.partitions == () and len(snapshot.operations) == 1


async def test_names_are_whole_whatever_the_search_path(rolled_up: Connection) -> None:
    await rolled_up.execute("set search_path = silver, raw")
    (rollup,) = (await operations.monitor_snapshot(rolled_up)).operations
    (again,) = await operations.list_operations(rolled_up)
    (rung,) = (await operations.rollup_details(rolled_up, "silver.readings_1h")).ladder
    for found in (rollup, again, rung):
        assert (found.source_table, found.target_table) == ("raw.readings", "silver.readings_1h")
    await rolled_up.execute('alter table silver.readings_1h rename to "Odd one"')
    (rollup,) = (await operations.monitor_snapshot(rolled_up)).operations
    assert rollup.target_table == 'silver."Odd one"'


async def test_what_has_not_changed_is_the_same_object_again(
    rolled_up: Connection, db: psycopg.Connection
) -> None:
    db.execute("update silver.timeseries_rollup_config set last_processed_time = '-infinity'")
    db.execute(
        "insert into silver.timeseries_error_log"
        " (rollup_id, source_table, target_table, error_message)"
        " values (1, 'raw.readings', 'silver.readings_1h', 'error 0'),"
        " (1, 'raw.readings', 'silver.readings_1h', 'error 1')"
    )
    first = await operations.monitor_snapshot(rolled_up, "silver.readings_1h")
    second = await operations.monitor_snapshot(rolled_up, "silver.readings_1h", before=first)
    assert second.operations is first.operations and second.operations[0].lag is None
    assert second.errors is first.errors and second.partitions is first.partitions
    db.execute("delete from silver.timeseries_error_log where error_message = 'error 1'")
    db.execute("update silver.timeseries_rollup_config set is_active = false")
    third = await operations.monitor_snapshot(rolled_up, "silver.readings_1h", before=second)
    assert [rollup.health_status for rollup in third.operations] == ["PAUSED"]
    assert [error.error_message for error in third.errors] == ["error 0"]


async def test_errors_and_partitions_are_only_read_when_they_are_asked_for(
    rolled_up: Connection,
) -> None:
    snapshot = await operations.monitor_snapshot(rolled_up, error_limit=None)
    assert snapshot.errors is None and snapshot.partitions == ()
    assert (await operations.monitor_snapshot(rolled_up)).errors == ()


async def test_runs_and_progress(rolled_up: Connection) -> None:
    runs = await operations.list_runs(rolled_up, "silver.readings_1h")
    assert runs and sum(run.rows_read or 0 for run in runs) == 3000
    check_types(runs[0])
    assert await operations.list_runs(rolled_up, "silver.other") == []
    progress = await operations.progress(rolled_up, "silver.readings_1h")
    assert progress is not None and progress.fraction == 1.0
    check_types(progress)


async def test_statistics(rolled_up: Connection) -> None:
    (stat,) = await operations.detailed_stats(rolled_up)
    check_types(stat)
    assert stat.target_table == "silver.readings_1h" and stat.rows_read_24h == 3000
    for check in await operations.validate_config(rolled_up):
        check_types(check)
    for partition in await operations.partition_stats(rolled_up, "silver.readings_1h"):
        check_types(partition)
    (choice,) = await operations.optimize_chunk_interval(rolled_up, "silver.readings_1h")
    check_types(choice)


async def test_step_costs(rolled_up: Connection) -> None:
    costs = await operations.step_costs(rolled_up, "silver.readings_1h")
    assert [cost.work for cost in costs] == ["history"]
    for cost in costs:
        check_types(cost)
    assert costs[0].aim == timedelta(seconds=5) and costs[0].rows_per_second > 0
    runs = await operations.list_runs(rolled_up, "silver.readings_1h")
    assert runs[0].estimated_rows


async def test_running_steps_and_cancel(rolled_up: Connection, db: psycopg.Connection) -> None:
    target, me = "silver.readings_1h", db.info.backend_pid
    assert await operations.list_steps(rolled_up) == []
    with db.transaction():
        db.execute("select pg_advisory_xact_lock(tsconsole.lock_class('history'), 1)")
        [step] = await operations.list_steps(rolled_up)
        check_types(step)
        assert (step.target_table, step.work, step.worker_pid) == (target, "history", me)
        assert not await operations.cancel_step(rolled_up, target, 2**30)
        assert await operations.cancel_step(rolled_up, target, me)
    assert not await operations.cancel_step(rolled_up, target, me)


async def test_a_read_only_session_can_look_at_everything(
    rolled_up: Connection, database: str
) -> None:
    target = "silver.readings_1h"
    async with connected(Settings(database, read_only=True)) as looking:
        await operations.server_info(looking)
        await operations.monitor_snapshot(looking, target)
        await operations.list_runs(looking, target)
        await operations.detailed_stats(looking)
        await operations.validate_config(looking)
        await operations.progress(looking, target)
        await operations.due_rollups(looking)
        await operations.source_tables(looking)
        await operations.source_columns(looking, "raw.readings")
        assert await operations.definition(looking, target) is not None
        assert await operations.verify(looking, target) == []
        with pytest.raises(OperationError, match="read-only transaction"):
            await operations.pause(looking, target)


async def test_everything_about_a_rollup(rolled_up: Connection, db: psycopg.Connection) -> None:
    target = "silver.readings_1h"
    await operations.create_rollup(
        rolled_up,
        replace(HOURLY, source=target, target="silver.readings_1d", rollup_interval="1 day"),
    )
    await operations.invalidate(
        rolled_up, target, datetime(2025, 3, 1, tzinfo=timezone.utc),
        datetime(2025, 3, 1, 2, tzinfo=timezone.utc),
    )  # fmt: skip
    for message in ("no", "no", "never"):
        db.execute(
            "insert into silver.timeseries_error_log (rollup_id, source_table, target_table,"
            " error_message) values (1, 'raw.readings', %s, %s)", [target, message],
        )  # fmt: skip
    found = await operations.rollup_details(rolled_up, target)
    check_types(found.definition)
    assert [one.target_table for one in found.ladder] == [target, "silver.readings_1d"]
    assert found.definition is not None and found.definition.target_table == target
    assert found.progress is not None and found.progress.fraction == 1
    assert found.runs and found.partitions and not found.steps
    for row in (*found.runs, *found.pending, *found.errors):
        check_types(row)
    [pending] = found.pending
    assert pending.work == "recompute" and pending.range_start and pending.range_end
    assert pending.range_end - pending.range_start == timedelta(hours=2)
    assert [(g.error_message, g.errors) for g in found.errors] == [("never", 1), ("no", 2)]
    assert found.error is not None and found.error.error_message == "never"

    # Gone: no error, nothing found.
    gone = await operations.rollup_details(rolled_up, "silver.nothing")
    assert gone.definition is None and not gone.ladder and not gone.runs and gone.error is None
