"""Everything about one rollup, in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.rows import tuple_row

from tsconsole.models import (
    ErrorEntry,
    ErrorGroup,
    PartitionStat,
    PendingRange,
    Progress,
    RefreshRun,
    RollupDefinition,
    RollupDetails,
    RollupStatus,
    RunningStep,
)
from tsconsole.operations.calls import Connection, model_cursor, only_row, operation
from tsconsole.operations.catalog import DEFINITION
from tsconsole.operations.monitoring import OPERATIONS, PARTITIONS, STEPS, alone

if TYPE_CHECKING:
    from typing_extensions import LiteralString

# By the configuration, so that a rollup that was dropped meanwhile gives no rows instead of an
# error that ends the whole pipeline.
OF_TARGET = """
    (select c.id, c.target_table
       from silver.timeseries_rollup_config as c
      where c.target_table = to_regclass(%(target)s::text))
"""


LAST_ERRORS = """
      from (select *
              from silver.timeseries_error_log as e
             where e.rollup_id = (select r.id from {rollup} as r)
             order by e.id desc
             limit 1000) as e
"""


def of_rollup(query: LiteralString) -> LiteralString:
    """Write into a query which rollup it is about; its name stays a parameter."""
    return query.replace("{errors}", LAST_ERRORS).replace("{rollup}", OF_TARGET)


LADDER = OPERATIONS.replace(
    "     order by m.id",
    of_rollup("""     where m.target_table = any (array(
               select l from {rollup} as r,
                      lateral tsconsole.ladder_of(r.target_table) as l))
     order by m.id"""),
)

DEFINITION_OF = DEFINITION.replace(
    "from tsconsole.rollup_definition(%s::text::regclass) as d",
    of_rollup(
        "from {rollup} as r cross join lateral tsconsole.rollup_definition(r.target_table) as d"
    ),
)

PROGRESS = of_rollup("""
    select p.total, p.done, p.fraction, p.rows_per_second, p.remaining, p.pending_ranges
      from {rollup} as r
     cross join lateral silver.progress(r.target_table) as p
""")

RUNS = of_rollup("""
    select l.id, l.rollup_id, l.table_name, l.work, l.start_time, l.end_time, l.duration,
           l.window_start, l.window_end, l.rows_read, l.rows_written, l.rows_deleted, l.worker_pid,
           l.predicted_duration
      from silver.timeseries_refresh_log as l
     where l.rollup_id = (select r.id from {rollup} as r)
     order by l.id desc
     limit %(runs)s
""")

ERROR = of_rollup("""
    select e.id, e.rollup_id, e.source_table, e.target_table, e.work, e.window_start, e.window_end,
           e.error_timestamp, e.sql_state, e.error_message, e.error_detail, e.error_hint,
           e.error_context, e.schema_name, e.table_name, e.constraint_name, e.attempted_query,
           e.retry_count, e.worker_pid
    {errors}
     order by e.id desc
     limit 1
""")

ERROR_GROUPS = of_rollup("""
    select e.target_table, e.sql_state, e.error_message, count(*) as errors,
           min(e.error_timestamp) as first_time, max(e.error_timestamp) as last_time,
           max(e.id) as last_id
    {errors}
     group by e.target_table, e.sql_state, e.error_message
     order by max(e.id) desc
     limit 10
""")

PENDING = of_rollup("""
    select p.work, p.range_start, p.range_end
      from {rollup} as r
     cross join lateral silver.pending_ranges(r.target_table) as p
""")


@operation
async def rollup_details(
    connection: Connection, target: str, runs: int = 60, partitions: int = 200
) -> RollupDetails:
    """Everything about one rollup; its definition is None when it is no rollup any more."""
    values = {"target": target, "runs": runs, "limit": partitions}

    async with connection.pipeline():
        clock = connection.cursor(row_factory=tuple_row)
        await clock.execute("select clock_timestamp(), pg_is_in_recovery()")
        ladder = model_cursor(connection, RollupStatus)
        await alone(ladder, LADDER, values, path=True)
        definition = await alone(model_cursor(connection, RollupDefinition), DEFINITION_OF, values)
        progress = await alone(model_cursor(connection, Progress), PROGRESS, values)
        steps = await alone(model_cursor(connection, RunningStep), STEPS)
        run_log = await alone(model_cursor(connection, RefreshRun), RUNS, values)
        errors = await alone(model_cursor(connection, ErrorGroup), ERROR_GROUPS, values)
        error = await alone(model_cursor(connection, ErrorEntry), ERROR, values)
        pending = await alone(model_cursor(connection, PendingRange), PENDING, values)
        parts = await alone(model_cursor(connection, PartitionStat), PARTITIONS, values)
    now, is_standby = await only_row(clock)
    return RollupDetails(
        database_time=now,
        is_standby=is_standby,
        ladder=tuple(await ladder.fetchall()),
        definition=await definition.fetchone(),
        progress=await progress.fetchone(),
        steps=tuple(step for step in await steps.fetchall() if step.target_table == target),
        runs=tuple(await run_log.fetchall()),
        errors=tuple(await errors.fetchall()),
        error=await error.fetchone(),
        pending=tuple(await pending.fetchall()),
        partitions=tuple(await parts.fetchall()),
    )
