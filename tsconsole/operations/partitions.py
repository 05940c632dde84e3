"""Partitions and their retention: how long rows are kept, what would go, and letting it go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from psycopg import sql

from tsconsole.models import (
    ExpiredPartition,
    PartitionRebuild,
    PartitionStat,
    PartmanSetting,
    RebuildStep,
    Retention,
)
from tsconsole.operations.calls import Connection, fetch, fetch_values, operation

OnPartition = Callable[[ExpiredPartition], None]
OnRebuild = Callable[[RebuildStep], None]

BUSY_TRIES = 20
"""Half a second each: how long a rebuild waits for a reader or a step before it gives up."""

RETENTION = """
    select r.table_name, r.is_source, r.retention_period::text as retention_period,
           r.retention_action
      from silver.timeseries_retention as r
     order by r.is_source desc, r.table_name
"""

PARTITIONS = """
    select p.partition_name, p.range_start, p.range_end, p.row_estimate, p.estimated_at,
           p.table_bytes, p.index_bytes, p.total_bytes, p.bytes_per_row, p.dead_rows,
           p.last_vacuum, p.last_analyze, p.state
      from tsconsole.newest_partition_stats(
           tsconsole.find_table(%(table)s, tsconsole.visible_table(%(table)s)), %(limit)s) as p
     order by p.range_start desc nulls last, p.partition_name
"""

EXPIRED = """
    select e.partitioned_table, e.partition_name, e.range_start, e.range_end,
           coalesce(e.total_bytes, 0) as total_bytes, e.action, e.reason
      from silver.apply_retention(
           tsconsole.find_table(%(table)s, tsconsole.visible_table(%(table)s)), %(dry_run)s) as e
"""


@operation
async def partitions_of(
    connection: Connection, table: str, limit: int = 1000
) -> list[PartitionStat]:
    """The partitions of a table, newest first; an error when there is no such table."""
    return await fetch(connection, PartitionStat, PARTITIONS, {"table": table, "limit": limit})


@operation
async def partman_settings(connection: Connection, table: str) -> list[PartmanSetting]:
    """How pg_partman is configured for a table; empty when it does not manage it."""
    query = "select s.setting, s.value from silver.partman_settings(%s::text) as s"
    return await fetch(connection, PartmanSetting, query, [table])


@operation
async def list_retention(connection: Connection) -> list[Retention]:
    """How long every source and every target keeps its rows, sources first."""
    return await fetch(connection, Retention, RETENTION)


@operation
async def set_retention(
    connection: Connection, table: str, period: str | None, action: str = "drop"
) -> None:
    """Keep the rows of a target or a source this long, then drop or archive them; None: for ever.

    A period is text as PostgreSQL reads it, such as `90 days`.
    """
    query = "select silver.set_retention(%s::text, %s::interval, %s)"
    await connection.execute(query, [table, period, action])


@operation
async def expired_partitions(
    connection: Connection, table: str | None = None
) -> list[ExpiredPartition]:
    """What retention would take away now, and what it would keep and why; changes nothing."""
    return await fetch(connection, ExpiredPartition, EXPIRED, {"table": table, "dry_run": True})


@operation
async def detach_concurrently(connection: Connection, table: str | None = None) -> int:
    """Detach what is older than retention without keeping anybody waiting; how many it took on.

    `apply_retention` finishes it. What is interrupted, or does not come about in ten seconds,
    stays invisible and is taken up by the next call.
    """
    chosen = """
        select d.parent_schema, d.parent_name, d.partition_schema, d.partition_name
          from tsconsole.begin_detachments(
               tsconsole.find_table(%(table)s, tsconsole.visible_table(%(table)s))) as d
    """
    statement = sql.SQL("alter table {} detach partition {} concurrently")
    async with connection.cursor() as cursor:
        await cursor.execute(chosen, {"table": table})
        partitions = await cursor.fetchall()
    if not partitions:
        return 0
    [before] = await fetch_values(connection, "select current_setting('lock_timeout')")
    await connection.execute("select set_config('lock_timeout', '10s', false)")
    try:
        for parent_schema, parent, schema, name in partitions:
            try:
                await connection.execute(
                    statement.format(
                        sql.Identifier(parent_schema, parent), sql.Identifier(schema, name)
                    )
                )
            except psycopg.errors.UndefinedTable:
                # Another session has taken it away meanwhile.
                continue
            except (psycopg.errors.LockNotAvailable, psycopg.errors.ObjectNotInPrerequisiteState):
                # It waits for a transaction that is older; the others would wait for it, too.
                break
    finally:
        if not connection.closed:
            await connection.execute("select set_config('lock_timeout', %s, false)", [before])
    return len(partitions)


@operation
async def apply_retention(
    connection: Connection, table: str | None = None, on_partition: OnPartition | None = None
) -> list[ExpiredPartition]:
    """Take away what is older than retention; what has to stay comes last, with the reason.

    They are detached concurrently where that is possible; a call for the others holds its locks
    for half a second at most, so there may be several.
    """
    await detach_concurrently(connection, table)
    gone: list[ExpiredPartition] = []
    while True:
        found = await fetch(
            connection, ExpiredPartition, EXPIRED, {"table": table, "dry_run": False}
        )
        went = [partition for partition in found if partition.action != "keep"]
        for partition in went:
            gone.append(partition)
            if on_partition is not None:
                on_partition(partition)
        if not went:
            return gone + found


@operation
async def plan_rebuild(connection: Connection, target: str) -> list[PartitionRebuild]:
    """The partitions that do not have the target's present interval, oldest first."""
    query = """
        select p.work, p.range_start, p.range_end, p.partitions, p.becomes,
               coalesce(p.total_bytes, 0) as total_bytes
          from silver.plan_partition_rebuild(%s::text) as p
    """
    return await fetch(connection, PartitionRebuild, query, [target])


@operation
async def rebuild_partitions(
    connection: Connection, target: str, on_step: OnRebuild | None = None
) -> list[RebuildStep]:
    """Split and merge the target's partitions to its present interval, a transaction a step.

    Can be interrupted between any two steps and called again. When the last step is `busy`, its
    detail says what stood in the way for ten seconds.
    """
    query = """
        select s.outcome, s.detail
          from tsconsole.rebuild_step(
               tsconsole.find_table(%(table)s, tsconsole.visible_table(%(table)s))) as s
    """
    steps: list[RebuildStep] = []
    waited = 0
    while True:
        [step] = await fetch(connection, RebuildStep, query, {"table": target})
        if on_step is not None:
            on_step(step)
        if step.outcome == "done":
            return steps
        if step.outcome != "busy":
            waited = 0
            steps.append(step)
        elif waited < BUSY_TRIES:
            waited += 1
            await asyncio.sleep(0.5)
        else:
            return [*steps, step]
