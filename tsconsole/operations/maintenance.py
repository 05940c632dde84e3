"""Maintenance: run tasks, and see what each said and when it is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg.types.json import Jsonb

from tsconsole.models import MaintenanceEntry, MaintenanceTask, PlannedTask
from tsconsole.operations.calls import Connection, fetch, fetch_value, fetch_values, operation
from tsconsole.operations.partitions import detach_concurrently
from tsconsole.operations.running import statement_timeout

OnTask = Callable[[MaintenanceTask, int, int], None]
"""Called after each task, with its position from 1 and how many there are."""

PLAN = """
    select t.rollup_id, t.target_table, t.task, t.purpose, t.run_every::text as run_every,
           t.last_run, t.last_duration, t.last_outcome, t.last_detail, t.next_run, t.is_due
      from silver.timeseries_maintenance_tasks as t
     where (%(only_due)s::boolean is not true or t.is_due)
       and (%(tasks)s::text[] is null or t.task = any(%(tasks)s))
       and (%(table)s::text is null or t.rollup_id in (select tsconsole.rollups_of(
            tsconsole.find_table(%(table)s, tsconsole.visible_table(%(table)s)))))
     order by t.rollup_id, t.position
"""

CHECK = """
    select tsconsole.check_tasks(%(tasks)s::text[]),
           tsconsole.check_has_rollups(
               tsconsole.find_table(%(table)s, tsconsole.visible_table(%(table)s)))
"""

LOG = """
    select l.id, l.rollup_id, l.target_table, l.task, l.outcome, l.detail, l.start_time, l.end_time,
           l.duration, l.runs, l.worker_pid
      from silver.timeseries_maintenance_log as l
     where (%(target)s::text is null or l.target_table = %(target)s)
       and (%(task)s::text is null or l.task = %(task)s)
     order by l.end_time desc, l.id desc
     limit %(limit)s
"""

RUN = """
    select r.target_table, r.task, r.outcome, r.detail, r.duration
      from jsonb_to_record(tsconsole.run_planned_task(%s)) as r
           (target_table text, task text, outcome text, detail text, duration interval)
     where r.task is not null
"""

# The task takes from the source, too, when its rollup is the first on it.
RETAINED = """
    select tsconsole.qualified_name(c.target_table)
      from silver.timeseries_rollup_config as c
      join pg_catalog.pg_class as t on t.oid = c.target_table
     where c.id = %(id)s
     union all
    select tsconsole.qualified_name(c.source_table)
      from silver.timeseries_rollup_config as c
      join silver.timeseries_source_retention as s on s.source_table = c.source_table
      join pg_catalog.pg_class as t on t.oid = c.source_table
     where c.id = %(id)s
       and not exists (select from silver.timeseries_rollup_config as o
                        where o.source_table = c.source_table and o.id < c.id)
"""


@operation
async def maintain(
    connection: Connection,
    table: str | None = None,
    tasks: Sequence[str] | None = None,
    on_task: OnTask | None = None,
) -> list[MaintenanceTask]:
    """Do the upkeep of one rollup, or of all: every task, or those that are named.

    Each task is a transaction of its own, so that no lock is kept for long.
    """
    query = """
        select tsconsole.planned_maintenance(
               %(table)s::text, tsconsole.visible_table(%(table)s), %(tasks)s::text[], false)
    """
    wanted = {"table": table, "tasks": None if tasks is None else list(tasks)}
    planned = await fetch_value(connection, query, wanted)
    done: list[MaintenanceTask] = []
    async with statement_timeout(connection, None):
        for position, item in enumerate(planned, 1):
            for task in await fetch(connection, MaintenanceTask, RUN, [Jsonb(item)]):
                done.append(task)
                if on_task is not None:
                    on_task(task, position, len(planned))
    return done


@operation
async def run_due_task(connection: Connection, planned: PlannedTask) -> MaintenanceTask | None:
    """Run one task of the plan; None when the rollup is gone."""
    item = {"rollup_id": planned.rollup_id, "task": planned.task}
    async with statement_timeout(connection, None):
        found = await fetch(connection, MaintenanceTask, RUN, [Jsonb(item)])
    return found[0] if found else None


@operation
async def detach_for_task(connection: Connection, planned: PlannedTask) -> None:
    """Before a task of retention: detach concurrently what it is about to take away."""
    for table in await fetch_values(connection, RETAINED, {"id": planned.rollup_id}):
        await detach_concurrently(connection, table)


@operation
async def planned_tasks(
    connection: Connection,
    table: str | None = None,
    tasks: Sequence[str] | None = None,
    only_due: bool = False,
) -> list[PlannedTask]:
    """Every task of every rollup, or of those that a table's name means, in their order."""
    wanted = None if tasks is None else list(tasks)
    parameters = {"table": table, "tasks": wanted, "only_due": only_due}
    await connection.execute(CHECK, parameters)
    return await fetch(connection, PlannedTask, PLAN, parameters)


@operation
async def maintenance_log(
    connection: Connection, target: str | None = None, task: str | None = None, limit: int = 100
) -> list[MaintenanceEntry]:
    """What maintenance did, newest first."""
    parameters = {"target": target, "task": task, "limit": limit}
    return await fetch(connection, MaintenanceEntry, LOG, parameters)
