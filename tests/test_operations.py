"""Every operation against the real core, with the types that the models promise."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from support import HOURLY, check_types

from tsconsole import operations
from tsconsole.database import Settings, connected
from tsconsole.errors import OperationError
from tsconsole.models import LadderRequest, RollupRequest, StepResult

pytestmark = pytest.mark.sql

Connection = psycopg.AsyncConnection[Any]


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


async def test_a_session_that_was_ended_is_a_lost_connection(
    connection: Connection, database: str
) -> None:
    async with connected(Settings(database)) as other:
        await other.execute("select pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        with pytest.raises(operations.ConnectionLost):
            await operations.server_info(connection)
        with pytest.raises(operations.ConnectionLost, match="connection to the server was lost"):
            await operations.server_info(connection)


async def test_a_rollup_too_large_to_drop_at_once_is_dropped_in_parts(
    rolled_up: psycopg.AsyncConnection, db: psycopg.Connection
) -> None:
    db.execute(
        "select tsconsole.ensure_partitions(id, '2020-01-01', '2027-01-01')"
        " from silver.timeseries_rollup_config"
    )
    db.execute(
        "create or replace function tsconsole.lock_room() returns bigint language sql volatile"
        " set search_path = pg_catalog, pg_temp as 'select 500::bigint'"
    )
    rests: list[int] = []
    await operations.drop_rollup(rolled_up, "silver.readings_1h", on_rest=rests.append)
    assert len(rests) > 1 and rests == sorted(rests, reverse=True)
    assert db.execute("select to_regclass('silver.readings_1h')").fetchone() == (None,)
