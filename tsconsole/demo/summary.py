"""What a demo without a screen waits for, checks and tells at its end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tsconsole import operations
from tsconsole.demo.rollups import LADDERS, expectation
from tsconsole.demo.sources import Connection
from tsconsole.formatting import ABSENT, took
from tsconsole.models import RefreshRun, RollupStatus

_ALL_RUNS = 1_000_000


@dataclass(frozen=True)
class RollupSummary:
    """One rollup at the end of the demo; `seconds` is the time its steps took together."""

    target: str
    source: str
    every: str
    steps: int
    rows_in: int
    rows_out: int
    seconds: float
    health: str
    reason: str
    differences: int | None
    """Values that are not what GROUP BY over the source says; None: not compared."""
    as_expected: bool


@dataclass(frozen=True)
class Summary:
    """The whole demo; `seconds` from its start to its end."""

    dsn: str
    seconds: float
    rollups: tuple[RollupSummary, ...]

    @property
    def as_expected(self) -> bool:
        """Whether every rollup is in the state it should be in, and no value differs."""
        return all(rollup.as_expected for rollup in self.rollups)


async def wait_until_settled(connection: Connection, seconds: float) -> bool:
    """Wait until the healthy have caught up and the failing have given up, but not for ever."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if await _is_settled(connection):
            return True
        await asyncio.sleep(0.5)
    return False


async def _is_settled(connection: Connection) -> bool:
    due = {rollup.target_table for rollup in await operations.due_rollups(connection)}
    for rollup in await operations.list_operations(connection):
        expected = expectation(rollup.target_table)
        if rollup.health_status not in expected.healthy:
            return False
        # A level whose first bucket has not ended yet has no watermark, and may be due in vain.
        is_behind = rollup.target_table in due and rollup.last_processed_time is not None
        if not expected.is_on_purpose and (rollup.pending_ranges or is_behind):
            return False
    return await _all_have_data(connection)


async def _all_have_data(connection: Connection) -> bool:
    """The first level of each ladder has written something."""
    for ladder in LADDERS:
        first_level = (await operations.targets_of(connection, ladder.source))[:1]
        runs = [run for name in first_level for run in await operations.list_runs(connection, name)]
        if not any(run.rows_written for run in runs):
            return False
    return True


async def summarise(connection: Connection, dsn: str, started_at: float) -> Summary:
    """Compare every healthy rollup with GROUP BY, and add up what was done."""
    runs = await operations.list_runs(connection, None, _ALL_RUNS)
    rollups = [
        await _summarise_one(
            connection, rollup, [run for run in runs if run.rollup_id == rollup.id]
        )
        for rollup in await operations.list_operations(connection)
    ]
    return Summary(dsn, round(time.monotonic() - started_at, 1), tuple(rollups))


async def _summarise_one(
    connection: Connection, rollup: RollupStatus, runs: Sequence[RefreshRun]
) -> RollupSummary:
    expected = expectation(rollup.target_table)
    differences = None
    if not expected.is_on_purpose:
        differences = len(await operations.verify(connection, rollup.target_table))
    return RollupSummary(
        target=rollup.target_table,
        source=rollup.source_table,
        every=rollup.rollup_interval,
        steps=len(runs),
        rows_in=sum(run.rows_read or 0 for run in runs),
        rows_out=sum((run.rows_written or 0) - (run.rows_deleted or 0) for run in runs),
        seconds=round(sum((run.duration or timedelta()).total_seconds() for run in runs), 3),
        health=rollup.health_status,
        reason=rollup.health_reason,
        differences=differences,
        as_expected=rollup.health_status in expected.healthy and not differences,
    )


def print_summary(summary: Summary, *, as_json: bool) -> None:
    """On stdout, for machines or for people."""
    console = Console(soft_wrap=as_json)
    if as_json:
        result = asdict(summary) | {"as_expected": summary.as_expected}
        console.print_json(json.dumps(result))
        return
    console.print(_table(summary.rollups))
    for rollup in summary.rollups:
        if rollup.health != "OK":
            console.print(Text(f"{rollup.target}: {rollup.health}, {rollup.reason}"))
    compared = [rollup for rollup in summary.rollups if rollup.differences is not None]
    differences = sum(rollup.differences or 0 for rollup in compared)
    console.print(
        Text(
            f"\n{len(compared)} rollups compared with GROUP BY over their sources: "
            f"{f'{differences:,}' if differences else 'no'} differences.\n"
            f"{summary.seconds:.1f} s in all. The database stays: tsconsole demo"
        )
    )
    wrong = [rollup.target for rollup in summary.rollups if not rollup.as_expected]
    if wrong:
        console.print(Text(f"Not as expected: {', '.join(wrong)}"), style="bold")


def _table(rollups: Sequence[RollupSummary]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("rollup", no_wrap=True)
    for heading in ("rows in", "rows out", "steps", "took", "differ"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("health", no_wrap=True)
    for rollup in rollups:
        table.add_row(
            Text(rollup.target),
            f"{rollup.rows_in:,}",
            f"{rollup.rows_out:,}",
            f"{rollup.steps:,}",
            took(timedelta(seconds=rollup.seconds)),
            ABSENT if rollup.differences is None else f"{rollup.differences:,}",
            rollup.health,
        )
    return table
