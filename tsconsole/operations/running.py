"""Making rollups work: steps, retries, pauses, maintenance, verification."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from tsconsole.errors import OperationError
from tsconsole.models import ChunkChoice, Difference, StepResult
from tsconsole.operations.calls import (
    Connection,
    OnNotice,
    fetch,
    fetch_value,
    fetch_values,
    notices_to,
    operation,
)

OnStep = Callable[[StepResult], None]

STEP_COLUMNS = """
    select coalesce(tsconsole.qualified_name(s.target_table), s.target_table::text) as target_table,
           s.work, s.outcome, s.window_start, s.window_end, s.rows_read, s.rows_written,
           s.duration, s.sql_state, s.error_message
"""


@operation
async def targets_of(connection: Connection, table: str | None = None) -> list[str]:
    """The rollups that a table's name means: a target, or all that read a source; None means all.

    Lower levels come first, so that running them in this order fills a ladder upwards.
    """
    query = """
        select tsconsole.qualified_name(c.target_table)
          from tsconsole.rollups_of(tsconsole.find_table(%(table)s, to_regclass(%(table)s)))
               with ordinality as meant (id, position)
          join silver.timeseries_rollup_config as c on c.id = meant.id
         order by meant.position
    """
    targets = await fetch_values(connection, query, {"table": table})
    if table is not None and not targets:
        raise OperationError(
            f"{table} is neither the target nor the source of a rollup.",
            "`tsconsole status` lists the rollups.",
        )
    return targets


@operation
async def run_step(connection: Connection, target: str) -> list[StepResult]:
    """Run one step of one rollup, within its own max_execution_time."""
    limit = await _execution_limit(connection, target)
    async with statement_timeout(connection, limit):
        results = await fetch_value(
            connection, "call silver.run_rollups(%s::text, 1, false, null)", [target]
        )
    return await _step_results(connection, results)


async def run_table(
    connection: Connection, table: str | None, on_step: OnStep | None = None
) -> list[StepResult]:
    """Run every rollup that the name means until none has anything left to do.

    The last result of each rollup says why it stopped: idle, failed, waiting, busy or paused.
    """
    done: list[StepResult] = []
    worked = True
    while worked:
        # Again from the bottom: a level that wrote may have given the level above it work.
        worked = False
        for target in await targets_of(connection, table):
            results = await run_until_quiet(connection, target, on_step)
            worked = worked or any(result.outcome == "done" for result in results)
            done += results
    return done


async def run_until_quiet(
    connection: Connection, target: str, on_step: OnStep | None = None
) -> list[StepResult]:
    """Step one rollup until a step does not end in `done`."""
    done: list[StepResult] = []
    while True:
        results = await run_step(connection, target)
        for result in results:
            done.append(result)
            if on_step is not None:
                on_step(result)
        if not any(result.outcome == "done" for result in results):
            return done


async def run_all(connection: Connection, on_step: OnStep | None = None) -> list[StepResult]:
    """Run every rollup until none has anything left to do."""
    return await run_table(connection, None, on_step)


@operation
async def retry(
    connection: Connection, target: str, on_step: OnStep | None = None
) -> list[StepResult]:
    """Run the rollup now, whatever it was waiting for, until a step does not end in `done`.

    `silver.retry_rollup` does the same in one transaction; here every step is committed.
    """
    query = """
        select tsconsole.end_wait(c.id)
          from silver.timeseries_rollup_config as c
         where c.target_table = %s::text::regclass
    """
    await connection.execute(query, [target])
    return await run_until_quiet(connection, target, on_step)


@operation
async def retry_due(connection: Connection) -> list[StepResult]:
    """Try again everything whose next retry time has come."""
    return await fetch(
        connection, StepResult, STEP_COLUMNS + " from silver.handle_rollup_retries() as s"
    )


@operation
async def pause(connection: Connection, target: str) -> None:
    """Let no worker run this rollup until it is resumed."""
    await connection.execute("select silver.pause_rollup(%s::text::regclass)", [target])


@operation
async def resume(connection: Connection, target: str) -> None:
    """Let workers run this rollup again."""
    await connection.execute("select silver.resume_rollup(%s::text::regclass)", [target])


@operation
async def invalidate(
    connection: Connection, target: str, from_time: datetime, to_time: datetime
) -> int:
    """Queue a range of the rollup for being computed again; returns the entries made."""
    query = "select silver.invalidate(%s::text::regclass, %s::timestamptz, %s::timestamptz)"
    return int(await fetch_value(connection, query, [target, from_time, to_time]))


@operation
async def bulk_load(
    connection: Connection, source: str, from_time: datetime, to_time: datetime
) -> int:
    """Tell every rollup of the source that this range was loaded in bulk."""
    query = "select silver.bulk_load(%s::text::regclass, %s::timestamptz, %s::timestamptz)"
    return int(await fetch_value(connection, query, [source, from_time, to_time]))


@operation
async def optimize_chunk_interval(
    connection: Connection, target: str, target_bytes: int | None = None
) -> list[ChunkChoice]:
    """Choose the width of the target's coming partitions from its measured growth."""
    query = """
        select c.target_table, c.previous_interval::text as previous_interval,
               c.chunk_interval::text as chunk_interval, c.bytes_per_hour, c.reason
          from silver.optimize_chunk_interval(%s::text::regclass,
                                              coalesce(%s::bigint, 268435456)) as c
    """
    return await fetch(connection, ChunkChoice, query, [target, target_bytes])


@operation
async def verify(
    connection: Connection,
    target: str,
    from_time: datetime | None = None,
    to_time: datetime | None = None,
    on_notice: OnNotice | None = None,
) -> list[Difference]:
    """Compare the rollup with GROUP BY over its source; no rows when they are equal.

    on_notice hears, as a notice, which range is compared when it is not the one that was asked
    for, and, as a warning, how much of it waits to be computed and is left out.
    """
    query = """
        select v.bucket, v.dimensions, v.column_name, v.expected, v.found
          from silver.verify_rollup(%s::text::regclass, %s::timestamptz, %s::timestamptz) as v
    """
    async with statement_timeout(connection, None):
        with notices_to(connection, on_notice):
            return await fetch(connection, Difference, query, [target, from_time, to_time])


@operation
async def repair(
    connection: Connection,
    target: str,
    from_time: datetime | None = None,
    to_time: datetime | None = None,
) -> int:
    """Verify the rollup and queue every bucket that differs; how many there were."""
    query = "select silver.repair_rollup(%s::text::regclass, %s::timestamptz, %s::timestamptz)"
    async with statement_timeout(connection, None):
        return int(await fetch_value(connection, query, [target, from_time, to_time]))


@operation
async def cancel_step(connection: Connection, target: str, pid: int) -> bool:
    """Cancel the step of this rollup that the backend runs; False when it runs none any more."""
    query = "select silver.cancel_step(%s::text::regclass, %s::integer)"
    return bool(await fetch_value(connection, query, [target, pid]))


@asynccontextmanager
async def statement_timeout(connection: Connection, limit: timedelta | None) -> AsyncIterator[None]:
    """Set statement_timeout for a while, None for no limit; within a CALL it would do nothing."""
    milliseconds = 0 if limit is None else max(1, int(limit / timedelta(milliseconds=1)))
    setting = "select set_config('statement_timeout', %s, false)"
    before = await fetch_value(connection, "select current_setting('statement_timeout')")
    await connection.execute(setting, [str(milliseconds)])
    try:
        yield
    finally:
        if not connection.broken and not connection.closed:
            await connection.execute(setting, [before])


async def _execution_limit(connection: Connection, target: str) -> timedelta:
    query = """
        select c.max_execution_time
          from silver.timeseries_rollup_config as c
         where c.target_table = %s::text::regclass
    """
    limit = await fetch_value(connection, query, [target])
    if limit is None:
        raise OperationError(f"{target} is not a rollup.", "See `tsconsole status` for those here.")
    return limit if isinstance(limit, timedelta) else timedelta(hours=1)


async def _step_results(connection: Connection, results: Sequence[Any] | None) -> list[StepResult]:
    """The json of a CALL as rows: PostgreSQL itself reads its own times and intervals back."""
    if not results:
        return []
    query = (
        STEP_COLUMNS
        + " from jsonb_populate_recordset(null::silver.step_result, %s::jsonb)"
        + " with ordinality as s order by s.ordinality"
    )
    return await fetch(connection, StepResult, query, [Jsonb(results)])
