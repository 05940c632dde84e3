"""The operations on partitions against the real core."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from test_operations import check_types

from tsconsole import operations
from tsconsole.database import Settings, connected
from tsconsole.errors import OperationError
from tsconsole.models import RollupRequest
from tsconsole.operations.calls import Connection


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    async with connected(Settings(database)) as opened:
        yield opened


async def test_retention_of_a_source(connection: Connection) -> None:
    await connection.execute(
        """
        create table raw.parts (ts timestamptz, v int) partition by range (ts);
        create table raw.old partition of raw.parts
            for values from ('2020-01-01') to ('2021-01-01');
        insert into raw.parts values ('2020-05-05', 1);
        """
    )
    request = RollupRequest(source="raw.parts", target="silver.parts", rollup_interval="1 hour")
    await operations.create_rollup(connection, request)
    await operations.set_retention(connection, "raw.parts", "30 days", "archive")
    [source, *_] = await operations.list_retention(connection)
    check_types(source)
    assert (source.table_name, source.is_source, source.retention_period) == (
        "raw.parts",
        True,
        "30 days",
    )
    [behind] = await operations.expired_partitions(connection, "raw.parts")
    check_types(behind)
    assert behind.action == "keep" and "silver.parts" in behind.reason
    await operations.run_table(connection, "raw.parts")
    gone: list[str] = []
    [went] = await operations.apply_retention(
        connection, None, lambda partition: gone.append(partition.partition_name)
    )
    assert went.action == "archive" and gone == ["raw.old"]
    assert await operations.expired_partitions(connection) == []
    assert await operations.verify(connection, "silver.parts") == []


async def test_rebuilding(connection: Connection) -> None:
    await connection.execute(
        "create table raw.m (ts timestamptz, v int); create index on raw.m (ts); "
        "insert into raw.m select '2025-01-01Z'::timestamptz + i * interval '1 hour', i "
        "from generate_series(0, 400) i"
    )
    request = RollupRequest(
        source="raw.m", target="silver.m", rollup_interval="1 hour", chunk_interval="1 day"
    )
    await operations.create_rollup(connection, request)
    await operations.run_table(connection, "raw.m")
    assert await operations.plan_rebuild(connection, "silver.m") == []
    await connection.execute("select silver.alter_rollup('silver.m', chunk_interval := '1 month')")
    [group] = await operations.plan_rebuild(connection, "silver.m")
    check_types(group)
    assert (group.work, group.becomes) == ("merge", 1)
    seen: list[str] = []
    steps = await operations.rebuild_partitions(
        connection, "silver.m", lambda step: seen.append(step.outcome)
    )
    check_types(steps[0])
    assert [step.outcome for step in steps] == ["begun", "copied", "swapped"]
    assert seen[-1] == "done"
    assert len(await operations.partitions_of(connection, "silver.m")) == 1
    assert await operations.verify(connection, "silver.m") == []
    assert await operations.partman_settings(connection, "silver.m") == []
    with pytest.raises(OperationError, match="is not a rollup"):
        await operations.rebuild_partitions(connection, "raw.m")
