"""Advice on indexes, and doing what it says in a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tsconsole.database import Settings, connected
from tsconsole.errors import OperationError, explain
from tsconsole.models import IndexAdvice, IndexProgress
from tsconsole.operations.calls import Connection, fetch, fetch_value, operation

OnProgress = Callable[[IndexProgress], None]

POLL_SECONDS = 0.25
LOCK_TIMEOUT = "1s"
LOCK_TRIES = 30
CLEAN_UP_SECONDS = 30

# How much of a CREATE INDEX CONCURRENTLY each phase is, roughly, and the counters that divide it.
_PHASES: Sequence[tuple[str, float, float, str]] = (
    ("waiting for writers before build", 0.0, 0.0, ""),
    ("building index: scanning table", 0.0, 0.4, "blocks"),
    ("building index: sorting", 0.4, 0.0, ""),
    ("building index: loading", 0.45, 0.2, "tuples"),
    ("building index", 0.0, 0.65, "blocks"),
    ("waiting for writers before validation", 0.65, 0.0, ""),
    ("index validation: scanning index", 0.65, 0.15, "blocks"),
    ("index validation: sorting", 0.8, 0.0, ""),
    ("index validation: scanning table", 0.8, 0.15, "blocks"),
    ("waiting for", 0.95, 0.0, ""),
)

ADVICE = """
    select tsconsole.qualified_name(t.found) as table_name, r.advice, r.kind, r.index_name,
           r.definition, r.cost_before, r.cost_after, r.size_bytes, r.reason, r.statement
      from (select tsconsole.find_table(%(table)s, tsconsole.visible_table(%(table)s))) as t (found)
           cross join lateral silver.recommend_indexes(t.found) as r
"""

REMAINING = "select s.step, s.builds from tsconsole.index_steps(%s::text::regclass, %s, %s) as s"

PROGRESS = """
    select p.phase, nullif(p.current_locker_pid, 0)::int as waits_for,
           p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total
      from pg_catalog.pg_stat_progress_create_index as p
     where p.pid = %s
"""

IS_INVALID = """
    select exists (select from pg_catalog.pg_index as x
                    where x.indexrelid = to_regclass(%s) and not x.indisvalid)
"""


@dataclass(frozen=True)
class _Step:
    """One statement, and the index that is left invalid when it is interrupted."""

    statement: str
    builds: str | None = None


@operation
async def recommend_indexes(connection: Connection, table: str) -> list[IndexAdvice]:
    """Which indexes of a target or a source would pay, and which are in the way."""
    return await fetch(connection, IndexAdvice, ADVICE, {"table": table})


@operation
async def follow_advice(
    settings: Settings, advice: IndexAdvice, on_progress: OnProgress | None = None
) -> list[str]:
    """Build or drop an index as advised, without blocking anybody; the statements that ran.

    It runs in a connection of its own. Cancelling the task, or the backend, ends it: what would be
    left invalid is dropped again. Of a partitioned table the partitions that are done stay, and
    following the same advice again goes on with the others.
    """
    if advice.index_name is None or advice.statement is None:
        raise OperationError(
            f"There is nothing to build or drop: {advice.reason}.", "Choose another advice."
        )
    async with connected(settings) as builder, connected(settings) as watcher:
        await builder.execute("select set_config('statement_timeout', '0', false)")
        done: list[str] = []
        while steps := await _remaining(builder, advice, bool(done)):
            report = _Report(on_progress, len(done) + 1, len(done) + len(steps))
            await _run_step(settings, builder, watcher, steps[0], report)
            done.append(steps[0].statement)
    return done


async def _remaining(connection: Connection, advice: IndexAdvice, has_begun: bool) -> list[_Step]:
    """Asked again after each step: partitions come and go meanwhile."""
    if advice.definition is None:
        return [] if has_begun else [_Step((advice.statement or "").rstrip(";"))]
    values = [advice.table_name, advice.index_name, advice.definition]
    rows = await (await connection.execute(REMAINING, values)).fetchall()
    return [_Step(*row) for row in rows]


async def _run_step(
    settings: Settings, builder: Connection, watcher: Connection, step: _Step, report: _Report
) -> None:
    """Run one statement; whatever interrupts it, it leaves nothing invalid."""
    try:
        await _run_with_retries(builder, watcher, step, report)
    except BaseException as error:
        if step.builds is not None:
            await asyncio.shield(_clean_up(settings, step.builds, error))
        raise


async def _run_with_retries(
    builder: Connection, watcher: Connection, step: _Step, report: _Report
) -> None:
    # CONCURRENTLY waits for old transactions while nobody waits for it. What else is here takes a
    # short lock that others would queue behind: it asks for a moment only, and again.
    waits_freely = " concurrently " in step.statement
    await builder.execute(
        "select set_config('lock_timeout', %s, false)", ["0" if waits_freely else LOCK_TIMEOUT]
    )
    for tries in range(1, LOCK_TRIES + 1):
        try:
            await _watch(builder, watcher, step, report)
            return
        except psycopg.errors.LockNotAvailable as error:
            if tries == LOCK_TRIES:
                raise OperationError(
                    f"{step.statement}: the table was locked by others {tries} times.",
                    "Follow the advice again when long transactions have ended; it goes on here.",
                    "55P03",
                ) from error
            await asyncio.sleep(min(0.1 * tries, 1.0))


async def _watch(builder: Connection, watcher: Connection, step: _Step, report: _Report) -> None:
    """Run the statement and report on it from the second connection."""
    pid = builder.info.backend_pid
    report.tell(step.statement, None)
    work = asyncio.create_task(_execute(builder, step.statement))
    try:
        while not (await asyncio.wait({work}, timeout=POLL_SECONDS))[0]:
            async with watcher.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(PROGRESS, [pid])
                report.tell(step.statement, await cursor.fetchone())
    except BaseException:
        # Told to end, or the watching failed: the statement must not go on unwatched.
        with suppress(psycopg.Error):
            await watcher.execute("select pg_cancel_backend(%s)", [pid])
        work.cancel()
        with suppress(psycopg.Error, asyncio.CancelledError):
            await work
        raise
    await work


async def _execute(connection: Connection, statement: str) -> None:
    await connection.execute(statement.encode())


async def _clean_up(settings: Settings, index_name: str, error: BaseException) -> None:
    """Drop what the interrupted statement left, or say that it is left."""
    limit = replace(settings, statement_timeout=float(CLEAN_UP_SECONDS))
    try:
        async with connected(limit) as connection:
            if await fetch_value(connection, IS_INVALID, [index_name]):
                await _execute(connection, f"drop index concurrently if exists {index_name}")
    except (psycopg.Error, OperationError) as failure:
        cause = explain(error) if isinstance(error, psycopg.Error) else error
        raise OperationError(
            f"{cause} The invalid index {index_name} is left, because it could not be dropped: "
            f"{failure}",
            "`tsconsole advise` names it, with the statement that drops it.",
        ) from error


class _Report:
    """Tells how far one of several statements is."""

    def __init__(self, on_progress: OnProgress | None, step: int, steps: int) -> None:
        self._on_progress, self._step, self._steps = on_progress, step, steps

    def tell(self, statement: str, row: dict[str, Any] | None) -> None:
        """Report the statement, with its row of pg_stat_progress_create_index if it has one."""
        if self._on_progress is None:
            return
        within = _fraction(row) if row else 0.0
        self._on_progress(
            IndexProgress(
                statement=statement,
                step=self._step,
                steps=self._steps,
                phase=row["phase"] if row else None,
                waits_for=row["waits_for"] if row else None,
                fraction=(self._step - 1 + within) / self._steps,
            )
        )


def _fraction(row: dict[str, Any]) -> float:
    """How much of one statement is done, from the phase and its counters."""
    for phase, start, width, counter in _PHASES:
        if row["phase"].startswith(phase):
            total = row[f"{counter}_total"] if counter else 0
            return start + (width * min(row[f"{counter}_done"] / total, 1.0) if total else 0.0)
    return 0.0
