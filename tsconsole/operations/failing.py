"""What failed: errors in groups, one by one, acknowledged and explained; what is retried."""

from __future__ import annotations

from psycopg.rows import tuple_row

from tsconsole.models import ErrorGroup, Failures, LoggedError, RetryEntry
from tsconsole.operations.calls import (
    Connection,
    fetch_value,
    fetch_values,
    model_cursor,
    only_row,
    operation,
)
from tsconsole.operations.monitoring import RETRIES, alone

# As many as a screen can be filled from without reading a log of 100,000 entries at each poll.
GROUPS = """
    select e.target_table, e.sql_state, e.error_message, count(*) as errors,
           min(e.error_timestamp) as first_time, max(e.error_timestamp) as last_time,
           max(e.id) as last_id, count(*) filter (where e.acknowledged_at is null) as unseen
      from (select *
              from silver.timeseries_error_log as l
             where %(target)s::text is null or l.target_table = %(target)s
             order by l.id desc
             limit %(newest)s) as e
     group by e.target_table, e.sql_state, e.error_message
     order by max(e.error_timestamp) desc, max(e.id) desc
"""

TAIL = """
    select e.id, e.target_table, e.work, e.error_timestamp, e.sql_state, e.error_message,
           e.window_start, e.window_end, e.retry_count, e.acknowledged_at, e.acknowledged_by
      from silver.timeseries_error_log as e
     where %(target)s::text is null or e.target_table = %(target)s
     order by e.id desc
     limit %(shown)s
"""


@operation
async def failures(
    connection: Connection,
    target: str | None = None,
    one_by_one: bool = False,
    newest: int = 5000,
    shown: int = 300,
) -> Failures:
    """The errors, those that say the same as one or each by itself, and the retry queue."""
    values = {"target": target, "newest": newest, "shown": shown}
    async with connection.pipeline():
        clock = connection.cursor(row_factory=tuple_row)
        await clock.execute("select clock_timestamp()")
        groups, tail = model_cursor(connection, ErrorGroup), model_cursor(connection, LoggedError)
        if one_by_one:
            await alone(tail, TAIL, values)
        else:
            await alone(groups, GROUPS, values)
        retries = await alone(model_cursor(connection, RetryEntry), RETRIES)
    [now] = await only_row(clock)
    return Failures(
        database_time=now,
        groups=() if one_by_one else tuple(await groups.fetchall()),
        tail=tuple(await tail.fetchall()) if one_by_one else (),
        retries=tuple(await retries.fetchall()),
    )


@operation
async def acknowledge(connection: Connection, error_id: int | None) -> int:
    """Acknowledge an error with all earlier ones that say the same, or all (None); how many."""
    query = "select silver.acknowledge_error(%s::bigint)"
    return int(await fetch_value(connection, query, [error_id]))


@operation
async def explain_error(connection: Connection, error_id: int) -> str:
    """The plan of the query that a failed step has attempted."""
    query = "select * from silver.explain_error(%s::bigint)"
    return "\n".join(await fetch_values(connection, query, [error_id]))
