"""The results of the subcommands as tables for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.text import Text

from tsconsole.commands.output import Output
from tsconsole.formatting import age, moment, number, one_line, short_number, took, when
from tsconsole.health import STATE, STATES, plain_glyphs, worst_first
from tsconsole.intervals import short_interval
from tsconsole.models import (
    CheckUp,
    Difference,
    MaintenanceTask,
    MonitorSnapshot,
    PlannedTask,
    RollupStatus,
    StepResult,
)

SNAPSHOT_PARTS = ("operations", "retries", "errors")
SHOWN_DIFFERENCES = 50
_COLOURS = {"error": "bold red", "warning": "yellow", "ok": ""}
_SIGNS = {"ok": ("✓", "+"), "warning": ("!", "!"), "error": ("✗", "X")}


def print_snapshot(output: Output, snapshot: MonitorSnapshot) -> None:
    """The monitor: every rollup, worst first, and what each failing one waits for."""
    if not snapshot.operations:
        output.line("There are no rollups yet; `tsconsole create` makes the first.")
        return
    rollups = sorted(snapshot.operations, key=worst_first)
    output.table(
        ("STATE", "TARGET", "EVERY", "WATERMARK", "LAG", "PENDING", "ROWS/RUN", "TOOK", "REASON"),
        [_rollup_row(rollup, snapshot) for rollup in rollups],
        right=("LAG", "PENDING", "ROWS/RUN", "TOOK"),
        whole=("STATE", "TARGET", "EVERY", "WATERMARK"),
    )
    counts = Counter(rollup.health_status for rollup in rollups)
    output.line(
        ", ".join(
            f"{counts[state.health]} {state.health}" for state in STATES if counts[state.health]
        )
    )


def _rollup_row(rollup: RollupStatus, snapshot: MonitorSnapshot) -> list[str | Text]:
    pending = number(rollup.pending_ranges) if rollup.pending_ranges else ""
    if rollup.backfill_fraction is not None and rollup.backfill_fraction < 1:
        pending = f"{rollup.backfill_fraction:.0%}"
    return [
        _state(rollup),
        rollup.target_table,
        short_interval(rollup.rollup_interval),
        when(rollup.last_processed_time, snapshot.database_time),
        age(rollup.lag),
        pending,
        short_number(rollup.last_processed_rows),
        took(rollup.last_duration or rollup.avg_duration),
        one_line(rollup.health_reason),
    ]


def print_steps(
    output: Output, steps: Sequence[StepResult], rollups: Sequence[RollupStatus]
) -> None:
    """One line a rollup: what its steps did together, and how it stands now."""
    if not rollups:
        output.line("Nothing was due.")
        return
    output.table(
        ("STATE", "TARGET", "STEPS", "ROWS READ", "ROWS WRITTEN", "REASON"),
        [
            _steps_row(rollup, [step for step in steps if step.target_table == rollup.target_table])
            for rollup in rollups
        ],
        right=("STEPS", "ROWS READ", "ROWS WRITTEN"),
        whole=("STATE", "TARGET"),
    )


def _steps_row(rollup: RollupStatus, steps: Sequence[StepResult]) -> list[str | Text]:
    done = [step for step in steps if step.outcome == "done"]
    return [
        _state(rollup),
        rollup.target_table,
        number(len(done)),
        number(sum(step.rows_read or 0 for step in done)),
        number(sum(step.rows_written or 0 for step in done)),
        one_line(rollup.health_reason),
    ]


def _state(rollup: RollupStatus) -> Text:
    state = STATE[rollup.health_status]
    glyph = state.plain if plain_glyphs() else state.glyph
    return Text(f"{glyph} {rollup.health_status}", style=_COLOURS.get(state.style, ""))


def step_line(step: StepResult) -> str:
    """A step in a few words, beside the bar."""
    rows = f", {number(step.rows_read)} rows" if step.rows_read else ""
    work = f" {step.work}" if step.work else ""
    return f"{step.target_table}{work} {step.outcome}{rows}"


def print_tasks(output: Output, tasks: Sequence[MaintenanceTask]) -> None:
    """What maintenance did."""
    if not tasks:
        output.line("There is nothing to maintain.")
        return
    output.table(
        ("TARGET", "TASK", "OUTCOME", "TOOK", "DETAIL"),
        [
            [
                task.target_table,
                task.task,
                Text(task.outcome, style=_COLOURS["error"] if task.outcome == "failed" else ""),
                took(task.duration),
                one_line(task.detail),
            ]
            for task in tasks
        ],
        right=("TOOK",),
        whole=("TARGET", "TASK", "OUTCOME"),
    )


def print_plan(output: Output, plan: Sequence[PlannedTask], now: datetime) -> None:
    """The tasks of maintenance: what the last run said, and when the next is due."""
    if not plan:
        output.line("There are no rollups yet; `tsconsole create` makes the first.")
        return
    output.table(
        ("TARGET", "TASK", "EVERY", "LAST RUN", "OUTCOME", "TOOK", "NEXT RUN", "DETAIL"),
        [
            [
                task.target_table,
                task.task,
                short_interval(task.run_every),
                when(task.last_run, now),
                Text(
                    task.last_outcome or "",
                    style=_COLOURS["error"] if task.last_outcome == "failed" else "",
                ),
                took(task.last_duration),
                "now" if task.is_due else when(task.next_run, now),
                one_line(task.last_detail or task.purpose),
            ]
            for task in plan
        ],
        right=("EVERY", "TOOK"),
        whole=("TARGET", "TASK", "OUTCOME"),
    )


def print_differences(output: Output, found: Mapping[str, Sequence[Difference]]) -> None:
    """What differs, some of it row by row, and a line for each rollup."""
    rows = [
        [target, moment(one.bucket), _dimensions(one), one.column_name, one.expected, one.found]
        for target, differences in found.items()
        for one in differences
    ]
    if rows:
        shown = [[cell if cell is not None else "null" for cell in row] for row in rows]
        output.table(
            ("TARGET", "BUCKET", "DIMENSIONS", "COLUMN", "EXPECTED", "FOUND"),
            shown[:SHOWN_DIFFERENCES],
            right=("EXPECTED", "FOUND"),
            whole=("TARGET", "BUCKET"),
        )
    if len(rows) > SHOWN_DIFFERENCES:
        output.line(f"… and {number(len(rows) - SHOWN_DIFFERENCES)} more; --json shows all.")
    for target, differences in found.items():
        end = f"differs in {number(len(differences))} values" if differences else "is exact"
        output.line(f"{target} {end}.")
    if not found:
        output.line("There are no rollups to verify.")


def _dimensions(difference: Difference) -> str:
    if not difference.dimensions:
        return ""
    return json.dumps(difference.dimensions, ensure_ascii=False, default=str)


def print_findings(output: Output, findings: Sequence[CheckUp]) -> None:
    """What the doctor found, each with its advice."""
    plain = plain_glyphs()
    output.table(
        ("", "WHAT", "FOUND", "ADVICE"),
        [
            [
                Text(_SIGNS[one.level][plain], style=_COLOURS[one.level]),
                one.name,
                one.found,
                one.advice or "",
            ]
            for one in findings
        ],
    )
    counts = Counter(one.level for one in findings)
    output.line(f"{counts['ok']} well, {counts['warning']} warnings, {counts['error']} errors")
