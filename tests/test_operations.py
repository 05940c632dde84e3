"""Every operation against the real core, with the types that the models promise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, get_type_hints

import psycopg
import pytest
from support import make_readings

from tsconsole import operations
from tsconsole.database import Settings, connected
from tsconsole.errors import OperationError
from tsconsole.models import LadderRequest, RollupRequest, StepResult

pytestmark = pytest.mark.sql

Connection = psycopg.AsyncConnection[Any]

HOURLY = RollupRequest(
    source="raw.readings",
    target="silver.readings_1h",
    rollup_interval="1 hour",
    dimensions=("device",),
)


@pytest.fixture
async def connection(database: str, db: psycopg.Connection) -> AsyncIterator[Connection]:
    make_readings(db)
    async with connected(Settings(database)) as connected_once:
        yield connected_once


@pytest.fixture
async def rolled_up(connection: Connection) -> Connection:
    await operations.create_rollup(connection, HOURLY)
    await operations.run_all(connection)
    return connection


def check_types(row: Any) -> None:
    """Every field of a model has the type that it says; None only where that is said."""
    for name, hint in get_type_hints(type(row)).items():
        found = getattr(row, name)
        said = str(hint)
        if found is None:
            assert "None" in said or said == "typing.Any", f"{type(row).__name__}.{name} is None"
        for kind in (int, float, str, bool):
            if hint is kind or hint == (kind | None):
                assert found is None or type(found) is kind, f"{name} is {found!r}, not {kind}"
        if "datetime" in said and "timedelta" not in said and found is not None:
            assert isinstance(found, datetime) and found.tzinfo is not None
        if "timedelta" in said and found is not None:
            assert isinstance(found, timedelta)


async def test_the_server(connection: Connection) -> None:
    server = await operations.server_info(connection)
    check_types(server)
    assert server.is_supported and not server.is_superuser and not server.is_standby
    extensions = await operations.extensions(connection)
    assert [one.name for one in extensions][:2] == ["pg_partman", "pg_cron"]


async def test_sources(connection: Connection) -> None:
    tables = {one.source_table: one for one in await operations.source_tables(connection)}
    check_types(tables["raw.readings"])
    columns = {
        c.column_name: c for c in await operations.source_columns(connection, "raw.readings")
    }
    check_types(columns["temperature"])
    assert columns["ts"].proposed_role == "time" and columns["ts"].is_indexed
    assert columns["device"].proposed_role == "dimension"
    assert columns["temperature"].proposed_role == "measure"
    assert "max" in columns["temperature"].aggregates


async def test_create_and_definition(connection: Connection) -> None:
    created = await operations.create_rollup(connection, HOURLY)
    assert created.targets == ("silver.readings_1h",)
    definition = await operations.definition(connection, "silver.readings_1h")
    assert definition is not None
    check_types(definition)
    assert definition.source_table == "raw.readings" and list(definition.dimensions) == ["device"]
    assert definition.rollup_interval == "01:00:00" and not definition.reads_rollup
    tables = {one.source_table: one for one in await operations.source_tables(connection)}
    assert tables["silver.readings_1h"].is_rollup
    await operations.drop_rollup(connection, "silver.readings_1h")
    assert await operations.list_operations(connection) == []
    await connection.execute(definition.create_statement.encode())
    assert await operations.definition(connection, "silver.readings_1h") is not None


async def test_the_statement_that_is_shown_is_the_one_that_runs(connection: Connection) -> None:
    request = RollupRequest(
        source='raw."it\'s"',
        target="silver.x",
        rollup_interval="1 hour",
        dimensions=(),
        measures={"a 'quoted' \\ one": ["min"]},
        is_active=False,
    )
    assert operations.create_statement(request) == (
        "select silver.create_rollup_table(\n"
        "    source_table_name => 'raw.\"it''s\"'::regclass,\n"
        "    target_table_name => 'silver.x'::text,\n"
        "    rollup_interval => '1 hour'::interval,\n"
        "    dimensions => '{}'::text[],\n"
        "    measures =>  E'{\"a ''quoted'' \\\\\\\\ one\": [\"min\"]}'::jsonb,\n"
        "    is_active => false::boolean\n"
        ");"
    )
    await connection.execute(operations.create_statement(HOURLY).encode())
    assert len(await operations.list_operations(connection)) == 1


async def test_validate_changes_nothing(connection: Connection) -> None:
    created = await operations.validate_create(connection, HOURLY)
    assert created.targets == ("silver.readings_1h",)
    assert await operations.list_operations(connection) == []
    with pytest.raises(OperationError, match="zero"):
        await operations.validate_create(
            connection,
            RollupRequest(source="raw.readings", target="silver.x", rollup_interval="0"),
        )
    assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


async def test_a_notice_is_handed_on(connection: Connection) -> None:
    await connection.execute("drop index raw.readings_ts_idx")
    created = await operations.create_rollup(connection, HOURLY)
    assert any("CREATE INDEX CONCURRENTLY" in notice.upper() for notice in created.notices)


async def test_a_ladder(connection: Connection) -> None:
    request = LadderRequest(
        source="raw.readings",
        rollup_intervals=("1 minute", "1 hour", "1 day"),
        target_prefix="silver.r",
        retention_periods=("9000 days", None, None),
        dimensions=("device",),
    )
    created = await operations.create_ladder(connection, request)
    assert created.targets == ("silver.r_1m", "silver.r_1h", "silver.r_1d")
    seen: list[StepResult] = []
    steps = await operations.run_table(connection, "raw.readings", seen.append)
    assert steps == seen and {step.outcome for step in steps} <= {"done", "idle"}
    for target in created.targets:
        assert await operations.verify(connection, target) == []
    assert await operations.targets_of(connection, "raw.readings") == list(created.targets)
    assert await operations.targets_of(connection, "silver.r_1h") == ["silver.r_1h"]
    assert await operations.targets_of(connection) == list(created.targets)


async def test_step_results(connection: Connection) -> None:
    await operations.create_rollup(connection, HOURLY)
    steps = await operations.run_all(connection)
    for step in steps:
        check_types(step)
    done = [step for step in steps if step.outcome == "done"]
    assert {step.target_table for step in steps} == {"silver.readings_1h"}
    assert sum(step.rows_read or 0 for step in done) == 3000
    assert all(step.window_start and step.window_end and step.duration for step in done)


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


async def test_failure_retry_and_recovery(rolled_up: Connection) -> None:
    target = "silver.readings_1h"
    await rolled_up.execute(
        f"alter table {target} add constraint wrong check (rollup_count < 0) not valid".encode()
    )
    await rolled_up.execute(
        "insert into raw.readings"
        " values (date_trunc('hour', now()) - interval '2 hours', 'd', 1, true)"
    )
    await rolled_up.execute(
        "update silver.timeseries_rollup_config"
        " set last_processed_time = date_trunc('hour', now()) - interval '3 hours'"
    )
    steps = await operations.run_table(rolled_up, target)
    (failed,) = [step for step in steps if step.outcome == "failed"]
    assert failed.sql_state == "23514" and 'constraint "wrong"' in (failed.error_message or "")
    (entry,) = await operations.list_retries(rolled_up)
    check_types(entry)
    assert entry.target_table == target and entry.retry_count == 1 and entry.next_retry_time
    (error,) = await operations.list_errors(rolled_up)
    check_types(error)
    assert error.constraint_name == "wrong" and error.attempted_query
    assert await operations.get_error(rolled_up, error.id) == error
    assert await operations.get_error(rolled_up, -1) is None
    assert await operations.list_errors(rolled_up, since=error.error_timestamp + timedelta(1)) == []
    assert await operations.list_errors(rolled_up, target="silver.other") == []
    assert await operations.retry_due(rolled_up) == []
    await rolled_up.execute(f"alter table {target} drop constraint wrong".encode())
    again = await operations.retry(rolled_up, target)
    assert "done" in {step.outcome for step in again}
    assert await operations.list_retries(rolled_up) == []


async def test_pause_and_resume(rolled_up: Connection) -> None:
    target = "silver.readings_1h"
    await operations.pause(rolled_up, target)
    assert (await operations.list_operations(rolled_up))[0].health_status == "PAUSED"
    assert await operations.due_rollups(rolled_up) == []
    await operations.resume(rolled_up, target)
    assert (await operations.list_operations(rolled_up))[0].health_status == "OK"


async def test_due(connection: Connection) -> None:
    await operations.create_rollup(connection, HOURLY)
    due = await operations.due_rollups(connection)
    assert due and {one.target_table for one in due} == {"silver.readings_1h"}
    for one in due:
        check_types(one)


async def test_verify_and_invalidate(rolled_up: Connection) -> None:
    target = "silver.readings_1h"
    await rolled_up.execute(
        "update silver.readings_1h set max_temperature = -1 where device = 'd1'"
    )
    found = await operations.verify(rolled_up, target)
    assert len(found) == 50
    check_types(found[0])
    assert found[0].dimensions == {"device": "d1"} and found[0].found == "-1"
    start, end = (datetime(2025, 3, day, tzinfo=timezone.utc) for day in (1, 5))
    assert len(await operations.verify(rolled_up, target, start, start + timedelta(hours=2))) == 2
    await operations.invalidate(rolled_up, target, start, end)
    await operations.run_table(rolled_up, target)
    assert await operations.verify(rolled_up, target) == []


async def test_bulk_load(rolled_up: Connection) -> None:
    start = datetime(2025, 3, 1, tzinfo=timezone.utc)
    await rolled_up.execute(
        "update raw.readings set temperature = 99 where ts < '2025-03-01 04:00Z'"
    )
    assert await operations.bulk_load(rolled_up, "raw.readings", start, start + timedelta(hours=4))
    await operations.run_all(rolled_up)
    assert await operations.verify(rolled_up, "silver.readings_1h") == []


async def test_step_costs(rolled_up: Connection) -> None:
    costs = await operations.step_costs(rolled_up, "silver.readings_1h")
    assert [cost.work for cost in costs] == ["history"]
    for cost in costs:
        check_types(cost)
    assert costs[0].aim == timedelta(seconds=5) and costs[0].rows_per_second > 0
    runs = await operations.list_runs(rolled_up, "silver.readings_1h")
    assert runs[0].estimated_rows


async def test_maintain(rolled_up: Connection) -> None:
    tasks = await operations.maintain(rolled_up)
    assert tasks and {task.outcome for task in tasks} <= {"done", "skipped"}
    for task in tasks:
        check_types(task)
    only = await operations.maintain(rolled_up, "silver.readings_1h")
    assert {task.target_table for task in only} == {"silver.readings_1h"}
    seen: list[tuple[str, int, int]] = []
    await operations.maintain(
        rolled_up,
        "silver.readings_1h",
        ["premake", "watchdog"],
        lambda task, position, count: seen.append((task.task, position, count)),
    )
    assert seen == [("watchdog", 1, 2), ("premake", 2, 2)]
    plan = await operations.planned_tasks(rolled_up, "silver.readings_1h")
    assert [task.task for task in plan if task.last_run is None] == []
    for planned in plan:
        check_types(planned)
    assert await operations.planned_tasks(rolled_up, only_due=True) == []
    again = await operations.run_due_task(rolled_up, plan[0])
    assert again is not None and again.task == "watchdog"
    for entry in await operations.maintenance_log(rolled_up, "silver.readings_1h"):
        check_types(entry)
    [entry] = await operations.maintenance_log(rolled_up, "silver.readings_1h", "watchdog")
    assert entry.runs == 4


async def test_a_session_setting_is_as_before(rolled_up: Connection) -> None:
    await rolled_up.execute("set statement_timeout = '7s'")
    await operations.run_step(rolled_up, "silver.readings_1h")
    await operations.verify(rolled_up, "silver.readings_1h")
    cursor = await rolled_up.execute("show statement_timeout")
    assert await cursor.fetchone() == ("7s",)


async def test_errors_are_sentences_with_hints(connection: Connection) -> None:
    with pytest.raises(OperationError) as caught:
        await operations.run_table(connection, "raw.nothing")
    assert caught.value.sqlstate == "TS002" and caught.value.hint
    with pytest.raises(OperationError, match="is not a rollup"):
        await operations.run_step(connection, "raw.readings")


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


async def test_a_session_that_was_ended_is_a_lost_connection(
    connection: Connection, database: str
) -> None:
    async with connected(Settings(database)) as other:
        await other.execute("select pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        with pytest.raises(operations.ConnectionLost):
            await operations.server_info(connection)
        with pytest.raises(operations.ConnectionLost, match="connection to the server was lost"):
            await operations.server_info(connection)


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
    assert [(p.work, p.range_end - p.range_start) for p in found.pending] == [  # type: ignore[operator]
        ("recompute", timedelta(hours=2))
    ]
    assert [(g.error_message, g.errors) for g in found.errors] == [("never", 1), ("no", 2)]
    assert found.error is not None and found.error.error_message == "never"

    # Gone: no error, nothing found.
    gone = await operations.rollup_details(rolled_up, "silver.nothing")
    assert gone.definition is None and not gone.ladder and not gone.runs and gone.error is None
