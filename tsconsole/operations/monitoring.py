"""What the rollups are doing: the monitor, retries, errors, runs, progress, what is due."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from psycopg import AsyncCursor
from psycopg.rows import tuple_row

from tsconsole.models import (
    ActivityMinute,
    DueRollup,
    ErrorEntry,
    MonitorSnapshot,
    PartitionStat,
    Progress,
    RefreshRun,
    RetryEntry,
    RollupActivity,
    RollupStatus,
    RunningStep,
    StepCost,
)
from tsconsole.operations.calls import (
    Connection,
    Parameters,
    Query,
    fetch,
    model_cursor,
    only_row,
    operation,
)

T = TypeVar("T")

# Both names of a rollup are written by a cast: of a thousand that takes half a millisecond, where a
# function takes 18. A table that is not on the search path is named with its schema.
PATH = "set local search_path = pg_catalog, pg_temp"
OPERATIONS = """
    select m.id,
           case when pg_table_is_visible(m.source_table) is not null then m.source_table::text
                else '(dropped table ' || m.source_table::oid || ')' end as source_table,
           case when pg_table_is_visible(m.target_table) is not null then m.target_table::text
                else '(dropped table ' || m.target_table::oid || ')' end as target_table,
           m.status, m.started_at, m.last_processed_time, m.last_processed_rows, m.retry_count,
           m.last_error_time, m.next_retry_time, m.health_status, m.latest_error, m.avg_duration,
           m.success_rate::float8 as success_rate, m.health_reason, m.lag, m.pending_ranges,
           m.worker_pid, m.rollup_interval::text as rollup_interval, m.max_retries,
           m.backfill_fraction, m.rows_per_second, m.last_duration, m.backfill_remaining,
           m.backfill_rows_per_second::float8 as backfill_rows_per_second, m.late_rows_per_minute
      from silver.timeseries_operations_monitor as m
     order by m.id
"""

STEPS = """
    select s.rollup_id,
           coalesce(tsconsole.qualified_name(s.source_table), s.source_table::text) as source_table,
           coalesce(tsconsole.qualified_name(s.target_table), s.target_table::text) as target_table,
           s.work, s.worker_pid, s.role_name, s.application_name, s.started_at, s.running_for,
           s.window_start, s.window_end, s.max_execution_time::text as max_execution_time,
           s.cancel_obstacle
      from silver.timeseries_running_steps as s
"""

RETRIES = """
    select q.rollup_id,
           coalesce(tsconsole.qualified_name(q.source_table), q.source_table::text) as source_table,
           coalesce(tsconsole.qualified_name(q.target_table), q.target_table::text) as target_table,
           q.work, q.retry_count, q.max_retries, q.next_retry_time, q.gave_up_at,
           q.last_error_time, q.sql_state, q.error_message, q.error_id
      from silver.timeseries_retry_queue as q
     order by q.next_retry_time nulls last, q.rollup_id, q.work
"""

ERRORS = """
    select e.id, e.rollup_id, e.source_table, e.target_table, e.work, e.window_start, e.window_end,
           e.error_timestamp, e.sql_state, e.error_message, e.error_detail, e.error_hint,
           e.error_context, e.schema_name, e.table_name, e.constraint_name, e.attempted_query,
           e.retry_count, e.worker_pid
      from silver.timeseries_error_log as e
     where (%(target)s::text is null or e.target_table = %(target)s)
       and (%(since)s::timestamptz is null or e.error_timestamp >= %(since)s)
       and (%(id)s::bigint is null or e.id = %(id)s)
     order by e.error_timestamp desc, e.id desc
     limit %(limit)s
"""

RUNS = """
    select l.id, l.rollup_id, l.table_name, l.work, l.start_time, l.end_time, l.duration,
           l.window_start, l.window_end, l.rows_read, l.rows_written, l.rows_deleted, l.worker_pid,
           l.predicted_duration, l.estimated_rows
      from silver.timeseries_refresh_log as l
     where %(target)s::text is null or l.table_name = %(target)s
     order by l.id desc
     limit %(limit)s
"""

# A table that was dropped meanwhile gives no rows, not an error that ends the whole pipeline; a
# partition that was dropped while this reads has no size.
PARTITIONS = """
    select p.partition_name, p.range_start, p.range_end, p.row_estimate, p.estimated_at,
           p.table_bytes, p.index_bytes, p.total_bytes, p.bytes_per_row, p.dead_rows,
           p.last_vacuum, p.last_analyze, p.state
      from (select to_regclass(%(target)s::text)) as named (relation)
     cross join lateral tsconsole.newest_partition_stats(named.relation, %(limit)s) as p
     where named.relation is not null
       and p.total_bytes is not null
     order by p.range_start desc nulls last, p.partition_name
     limit %(limit)s
"""


ACTIVITY = """
    with begin as (
        select date_trunc('minute', clock_timestamp()) - make_interval(mins => %(minutes)s) as at
    ), runs as (
        select date_trunc('minute', l.end_time) as minute, sum(l.rows_read) as rows_read,
               sum(l.rows_written + l.rows_deleted)
                   filter (where l.work = 'recompute') as late_rows,
               max(l.end_time - l.window_end) filter (where l.work = 'frontier') as delay
          from silver.timeseries_refresh_log as l
         where l.end_time >= (select b.at from begin as b)
         group by 1
    ), errors as (
        select date_trunc('minute', e.error_timestamp) as minute, count(*) as errors
          from silver.timeseries_error_log as e
         where e.error_timestamp >= (select b.at from begin as b)
         group by 1
    )
    select minute, coalesce(r.rows_read, 0)::bigint as rows_read,
           coalesce(r.late_rows, 0)::bigint as late_rows, coalesce(e.errors, 0) as errors, r.delay
      from runs as r full join errors as e using (minute)
     order by minute
"""


ROLLUP_ACTIVITY = """
    with begin as (
        select clock_timestamp() - interval '1 hour' as at
    ), runs as (
        select l.table_name as target_table, count(*) as steps, sum(l.rows_read) as rows_read,
               sum(l.rows_written) as rows_written,
               sum(l.rows_written + l.rows_deleted)
                   filter (where l.work = 'recompute') as late_rows,
               avg(l.duration) as avg_duration, max(l.duration) as max_duration,
               max(l.end_time - l.window_end) filter (where l.work = 'frontier') as delay
          from silver.timeseries_refresh_log as l
         where l.end_time >= (select b.at from begin as b)
         group by 1
    ), errors as (
        select e.target_table, count(*) as errors
          from silver.timeseries_error_log as e
         where e.error_timestamp >= (select b.at from begin as b)
         group by 1
    )
    select target_table, coalesce(r.steps, 0) as steps,
           coalesce(r.rows_read, 0)::bigint as rows_read,
           coalesce(r.rows_written, 0)::bigint as rows_written,
           coalesce(r.late_rows, 0)::bigint as late_rows, coalesce(e.errors, 0) as errors,
           r.avg_duration, r.max_duration, r.delay
      from runs as r full join errors as e using (target_table)
     order by 3 desc, 1
"""


NOTHING = MonitorSnapshot(datetime.min, (), (), None, None)


@operation
async def activity(connection: Connection, minutes: int = 60) -> list[ActivityMinute]:
    """What all rollups together did in the last minutes, minute by minute."""
    return await fetch(connection, ActivityMinute, ACTIVITY, {"minutes": minutes})


@operation
async def activity_by_rollup(connection: Connection) -> list[RollupActivity]:
    """What each rollup did in the last hour; those that did nothing are not in it."""
    return await fetch(connection, RollupActivity, ROLLUP_ACTIVITY)


@operation
async def list_operations(connection: Connection) -> list[RollupStatus]:
    """Every rollup with its state, its health and the reason for it."""
    async with connection.pipeline():
        rollups = await alone(model_cursor(connection, RollupStatus), OPERATIONS, path=True)
    return await rollups.fetchall()


@operation
async def list_steps(connection: Connection) -> list[RunningStep]:
    """The steps that other sessions run now, the oldest first."""
    return await fetch(connection, RunningStep, STEPS)


@operation
async def list_retries(connection: Connection) -> list[RetryEntry]:
    """What is failing: next try first, then what waits for an operator."""
    return await fetch(connection, RetryEntry, RETRIES)


@operation
async def list_errors(
    connection: Connection,
    limit: int = 100,
    target: str | None = None,
    since: datetime | None = None,
) -> list[ErrorEntry]:
    """The error log, newest first."""
    parameters = {"limit": limit, "target": target, "since": since, "id": None}
    return await fetch(connection, ErrorEntry, ERRORS, parameters)


@operation
async def get_error(connection: Connection, error_id: int) -> ErrorEntry | None:
    """One entry of the error log; None when it has been pruned."""
    parameters = {"limit": 1, "target": None, "since": None, "id": error_id}
    found = await fetch(connection, ErrorEntry, ERRORS, parameters)
    return found[0] if found else None


@operation
async def list_runs(
    connection: Connection, target: str | None = None, limit: int = 100
) -> list[RefreshRun]:
    """The steps that succeeded, newest first."""
    return await fetch(connection, RefreshRun, RUNS, {"target": target, "limit": limit})


@operation
async def step_costs(connection: Connection, target: str) -> list[StepCost]:
    """What steps of the rollup cost, predicted and measured, for each kind of work it has done."""
    query = """
        select c.work, c.runs, c.aim, c.overhead, c.rows_per_second,
               c.next_window::text as next_window, c.last_predicted, c.last_duration,
               c.typical_ratio
          from silver.step_costs(%s::text::regclass) as c
    """
    return await fetch(connection, StepCost, query, [target])


@operation
async def progress(connection: Connection, target: str) -> Progress | None:
    """How far the rollup has come, and how long the rest will take."""
    query = """
        select p.total, p.done, p.fraction, p.rows_per_second, p.remaining, p.pending_ranges
          from silver.progress(%s::text::regclass) as p
    """
    found = await fetch(connection, Progress, query, [target])
    return found[0] if found else None


@operation
async def due_rollups(connection: Connection) -> list[DueRollup]:
    """What a worker should step now, most urgent first."""
    query = """
        select d.rollup_id, tsconsole.qualified_name(d.target_table) as target_table, d.work,
               d.due_since
          from tsconsole.due_rollups() with ordinality
               as d (rollup_id, target_table, work, due_since, position)
         order by d.position
    """
    return await fetch(connection, DueRollup, query)


@operation
async def monitor_snapshot(
    connection: Connection,
    selected_target: str | None = None,
    error_limit: int | None = 100,
    partition_limit: int = 200,
    activity_minutes: int | None = None,
    with_steps: bool = False,
    before: MonitorSnapshot | None = None,
) -> MonitorSnapshot:
    """Everything the monitor shows, in one round trip; the activity only of so many minutes, the
    errors only with a limit, and the running steps only when they are asked for.

    What is as it was in the snapshot before is the same object again.
    """
    errors = {"limit": error_limit, "target": None, "since": None, "id": None}
    partitions = {"target": selected_target, "limit": partition_limit}
    old = before or NOTHING
    async with connection.pipeline():
        clock = connection.cursor(row_factory=tuple_row)
        await clock.execute("select clock_timestamp(), pg_is_in_recovery()")
        rollups = model_cursor(connection, RollupStatus, old.operations)
        await alone(rollups, OPERATIONS, path=True)
        retries = await alone(model_cursor(connection, RetryEntry, old.retries), RETRIES)
        error_log = model_cursor(connection, ErrorEntry, old.errors or ())
        if error_limit is not None:
            await alone(error_log, ERRORS, errors)
        parts = model_cursor(connection, PartitionStat, old.partitions)
        if selected_target is not None:
            await alone(parts, PARTITIONS, partitions)
        minutes = model_cursor(connection, ActivityMinute)
        if activity_minutes is not None:
            await alone(minutes, ACTIVITY, {"minutes": activity_minutes})
        if with_steps:
            steps = await alone(model_cursor(connection, RunningStep), STEPS)
    now, is_standby = await only_row(clock)
    return MonitorSnapshot(
        database_time=now,
        operations=await all_rows(rollups, old.operations),
        retries=await all_rows(retries, old.retries),
        errors=None if error_limit is None else await all_rows(error_log, old.errors),
        selected_target=selected_target,
        partitions=() if selected_target is None else await all_rows(parts, old.partitions),
        is_standby=is_standby,
        activity=tuple(await minutes.fetchall()) if activity_minutes is not None else None,
        steps=tuple(await steps.fetchall()) if with_steps else (),
    )


async def all_rows(cursor: AsyncCursor[T], before: tuple[T, ...] | None) -> tuple[T, ...]:
    """The rows of a query; when none of them has changed, the tuple of before."""
    rows = tuple(await cursor.fetchall())
    return before if before is not None and rows == before else rows


async def alone(
    cursor: AsyncCursor[T], query: Query, parameters: Parameters | None = None, path: bool = False
) -> AsyncCursor[T]:
    """Queue a query as a transaction of its own, with a search path that has no schema of ours when
    the query wants that.

    Without that a pipeline is one transaction: it would hold what each query locked until the last
    one has ended, and deadlock with whoever drops a rollup or a partition meanwhile.
    """
    await cursor.connection.execute("begin read only")
    if path:
        await cursor.connection.execute(PATH)
    await cursor.execute(query, parameters)
    await cursor.connection.execute("commit")
    return cursor
