"""What the screens of one topic each show, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tsconsole.models import (
    ActivityMinute,
    IndexAdvice,
    MaintenanceEntry,
    PartitionStat,
    PlannedTask,
    Retention,
    RollupActivity,
)
from tsconsole.operations.calls import Connection, Parameters, Query, model_cursor, operation
from tsconsole.operations.indexes import ADVICE
from tsconsole.operations.maintenance import LOG, PLAN
from tsconsole.operations.monitoring import ACTIVITY, ROLLUP_ACTIVITY, alone
from tsconsole.operations.partitions import PARTITIONS, RETENTION

Asked = tuple[type[Any], Query, Parameters | None]
"""A model, and the query that gives its rows."""


@operation
async def maintenance_overview(
    connection: Connection, limit: int = 100
) -> tuple[list[PlannedTask], list[MaintenanceEntry]]:
    """Every task of every rollup, and the newest of what maintenance did."""
    everything = {"table": None, "tasks": None, "only_due": False}
    newest = {"target": None, "task": None, "limit": limit}
    tasks, log = await _together(
        connection, (PlannedTask, PLAN, everything), (MaintenanceEntry, LOG, newest)
    )
    return tasks, log


@operation
async def partitions_overview(
    connection: Connection, table: str | None, limit: int = 1000
) -> tuple[list[Retention], list[PartitionStat]]:
    """How long every table keeps its rows, and the newest partitions of this one."""
    wanted = (PartitionStat, PARTITIONS, {"table": table, "limit": limit})
    return await _of_a_table(connection, wanted, table)


@operation
async def advice_overview(
    connection: Connection, table: str | None
) -> tuple[list[Retention], list[IndexAdvice]]:
    """How long every table keeps its rows, and which indexes of this one would pay."""
    return await _of_a_table(connection, (IndexAdvice, ADVICE, {"table": table}), table)


@operation
async def hour_overview(
    connection: Connection, minutes: int | None
) -> tuple[list[ActivityMinute] | None, list[RollupActivity]]:
    """The last minutes, where they are asked for, and what each rollup did in the last hour."""
    hour: Asked = (ActivityMinute, ACTIVITY, {"minutes": minutes})
    asked = [hour] if minutes is not None else []
    *first, rollups = await _together(connection, *asked, (RollupActivity, ROLLUP_ACTIVITY, None))
    return (first[0] if first else None), rollups


async def _of_a_table(
    connection: Connection, wanted: Asked, table: str | None
) -> tuple[list[Retention], list[Any]]:
    """What is wanted of a table, if there is one; and which tables there are."""
    asked = [wanted] if table is not None else []
    tables, *found = await _together(connection, (Retention, RETENTION, None), *asked)
    return tables, found[0] if found else []


async def _together(connection: Connection, *asked: Asked) -> Sequence[list[Any]]:
    """The rows of each query, each a transaction of its own."""
    async with connection.pipeline():
        cursors = [
            await alone(model_cursor(connection, model), query, parameters)
            for model, query, parameters in asked
        ]
    return [await cursor.fetchall() for cursor in cursors]
