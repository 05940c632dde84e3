"""The parts of the details screen as text: pure functions of the rows."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.text import Text

from tsconsole.actions.spoken_keys import spoken
from tsconsole.formatting import (
    ABSENT,
    age,
    break_sql,
    fit_names,
    moment,
    number,
    one_line,
    short_number,
    shorten,
    took,
    when,
)
from tsconsole.health import STATE
from tsconsole.intervals import short_interval
from tsconsole.models import (
    ErrorEntry,
    ErrorGroup,
    Progress,
    RefreshRun,
    RollupDefinition,
    RollupStatus,
    RunningStep,
)
from tsconsole.presentation.ladder import ladder_of
from tsconsole.presentation.step_text import step_line
from tsconsole.themes import Palette

TRACK = 30
"""The width of a progress bar."""
LABEL = 14
"""The width of the names of the settings."""


def ladder_text(rollups: Sequence[RollupStatus], target: str, colours: Palette, room: int) -> Text:
    """The chain that the rollup stands in, with each level's state and lag."""
    lines = Text(no_wrap=True)
    rungs = ladder_of(rollups, target)
    deepest = max(rung.depth for rung in rungs)
    names = fit_names([rung.name for rung in rungs], max(room - 2 * deepest - 22, 12))
    width = max(len(names[rung.name]) + 2 * rung.depth for rung in rungs) + 2
    for rung in rungs:
        branch = "  " * (rung.depth - 1) + "└ " if rung.depth else ""
        name = f"{branch}{names[rung.name]}".ljust(width)
        lines.append(name, style="bold" if rung.name == target else "")
        if rung.rollup is not None:
            state = STATE[rung.rollup.health_status]
            words = f"{state.glyph} {state.health:8}"
            lines.append(words, style=colours.of(state.style) or colours.muted)
            lines.append(f"{age(rung.rollup.lag):>8}", style="")
        else:
            lines.append("source", style=colours.muted)
        lines.append("\n")
    lines.rstrip()
    return lines


def settings_text(definition: RollupDefinition, colours: Palette, width: int) -> Text:
    """What defines the rollup, one setting a line, or more where it does not fit."""
    every = short_interval(definition.rollup_interval)
    settings = [
        ("source", definition.source_table),
        ("every", f"{every}, buckets in {definition.timezone}"),
        ("time", f"{definition.time_column} ({definition.time_type})"),
        ("dimensions", ", ".join(definition.dimensions or ()) or "none"),
        ("measures", measures_text(definition.measures)),
        ("starts at", moment(definition.first_bucket)),
        ("watermark", moment(definition.last_processed_time)),
        ("refreshes", f"every {_interval(definition.refresh_interval)}"),
        ("lateness", f"{_interval(definition.allowed_lateness)} counts as on time"),
        ("late changes", definition.change_tracking),
        ("look-back", _interval(definition.look_back_window, "from the first row")),
        ("step", _interval(definition.processing_window, "as long as was learned")),
        ("partitions", f"{_interval(definition.chunk_interval)}, {definition.partition_manager}"),
        ("retention", _retention(definition)),
        ("source keeps", _interval(definition.source_retention, "everything")),
        ("retries", f"{definition.max_retries}, then it waits for you"),
        ("alerts after", _interval(definition.alert_threshold)),
        ("time limit", _interval(definition.max_execution_time)),
        ("created", f"{moment(definition.created_at)} by {definition.created_by}"),
    ]
    lines = Text()
    for name, value in settings:
        folded = textwrap.wrap(value, max(width - LABEL, 20)) or [ABSENT]
        lines.append(f"{name:{LABEL}}", style=colours.muted)
        lines.append(f"\n{' ' * LABEL}".join(folded) + "\n")
    lines.rstrip()
    return lines


def _retention(definition: RollupDefinition) -> str:
    """How long rows are kept, and what becomes of them then where that is not to go."""
    kept = _interval(definition.retention_period, "for ever")
    is_archived = definition.retention_period and definition.retention_action == "archive"
    return f"{kept}, then archived" if is_archived else kept


def measures_text(measures: object) -> str:
    """Columns with their aggregates."""
    if not isinstance(measures, Mapping):
        return str(measures or "none")
    return ", ".join(
        f"{name} ({' '.join(kinds) if isinstance(kinds, Sequence) else kinds})"
        for name, kinds in measures.items()
    ) or "none"  # fmt: skip


def progress_text(
    rollup: RollupStatus,
    progress: Progress | None,
    steps: Sequence[RunningStep],
    now: datetime,
    colours: Palette,
    room: int,
) -> Text:
    """How far the past is rolled up, what is left, what comes late, and who works on it."""
    lines = Text()
    if progress is not None and progress.fraction is not None and progress.fraction < 1:
        done = round(progress.fraction * TRACK)
        lines.append(f"{progress.fraction * 100:3.0f} % ")
        lines.append("━" * done, style=colours.accent)
        lines.append("─" * (TRACK - done), style=colours.muted)
        lines.append(f"  {age(progress.remaining)} left\n" if progress.remaining else "\n")
        rate = short_number(progress.rows_per_second)
        lines.append(f"{age(progress.done)} of {age(progress.total)} of history", colours.muted)
        lines.append(f", {rate} rows/s\n" if progress.rows_per_second else "\n", colours.muted)
    else:
        lines.append("history complete\n")
    pending = progress.pending_ranges if progress else rollup.pending_ranges
    facts = [
        f"{number(pending)} pending range{'s' if pending != 1 else ''}"
        if pending
        else "nothing pending",
        f"{age(rollup.lag)} behind the clock",
        late_words(rollup),
    ]
    if rollup.success_rate is not None:
        facts.append(f"{rollup.success_rate:.0f} % succeed")
    if rollup.avg_duration is not None:
        facts.append(f"{took(rollup.avg_duration)} each")
    lines.append(folded(facts, room), style=colours.muted)
    for step in steps:
        lines.append("\n▶ ", style=colours.accent)
        lines.append(step_line(step, now))
    return lines


def folded(facts: Sequence[str], room: int) -> str:
    """Facts beside each other, in as many lines as they need; none is broken.

    >>> print(folded(["one fact", "another", "a third"], 20))
    one fact · another
    a third
    """
    lines = [""]
    for fact in facts:
        longer = f"{lines[-1]} · {fact}" if lines[-1] else fact
        if len(longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(fact)
    return "\n".join(lines)


def late_words(rollup: RollupStatus) -> str:
    """How many rows late changes made the rollup write again."""
    rate = rollup.late_rows_per_minute or 0.0
    if not rate:
        return "no late rows"
    return f"{short_number(rate) if rate >= 10 else f'{rate:.1f}'} late rows/min"


def runs_text(runs: Sequence[RefreshRun], now: datetime, colours: Palette, width: int) -> Text:
    """The last runs as a table: what each took, beside what it was expected to take."""
    if not runs:
        return Text(spoken("It has not run yet. {run} runs it now."), style=colours.muted)
    is_predicted = width >= 76 and any(run.predicted_duration is not None for run in runs)
    has_window = width >= 100
    head = f"{'ENDED':>11}  {'WORK':9}  {'TOOK':>7}  "
    head += f"{'PREDICTED':>9}  " if is_predicted else ""
    head += f"{'READ':>10}  {'WRITTEN':>10}  {'DELETED':>8}"
    lines = Text(no_wrap=True)
    lines.append(f"{head}  WINDOW\n" if has_window else f"{head}\n", style=colours.muted)
    for run in runs:
        lines.append(f"{when(run.end_time, now):>11}  {run.work or ABSENT:9}  ")
        lines.append(f"{took(run.duration):>7}  ")
        if is_predicted:
            lines.append(f"{took(run.predicted_duration):>9}  ", style=colours.muted)
        lines.append(
            f"{number(run.rows_read):>10}  {number(run.rows_written):>10}  "
            f"{number(run.rows_deleted):>8}"
        )
        if has_window and run.window_start and run.window_end:
            window = f"{when(run.window_start, now)} to {when(run.window_end, now)}"
            lines.append(f"  {window}", style=colours.muted)
        lines.append("\n")
    lines.rstrip()
    return lines


def errors_text(
    groups: Sequence[ErrorGroup], now: datetime, colours: Palette, room: int
) -> Text:  # fmt: skip
    """The errors of the rollup, those that say the same as one, the newest first."""
    if not groups:
        return Text("It has never failed, as far as the log goes.", style=colours.muted)
    lines = Text(no_wrap=True)
    for group in groups:
        times = when(group.last_time, now)
        if group.errors > 1:
            times = f"{when(group.first_time, now)} to {times}"
        head = f"{times}  {group.sql_state or ''} ×{group.errors}  "
        lines.append(head, style=colours.muted)
        lines.append(f"{shorten(one_line(group.error_message), max(room - len(head), 10))}\n")
    lines.rstrip()
    return lines


def error_text(error: ErrorEntry | None, now: datetime, colours: Palette) -> Text:
    """The last error with its query."""
    if error is None:
        return Text("It has never failed, as far as the log goes.", style=colours.muted)
    lines = Text()
    lines.append(f"{when(error.error_timestamp, now)}  {error.sql_state or ''}  ", colours.muted)
    lines.append(one_line(error.error_message), style=f"bold {colours.error}")
    for name, value in (("Detail", error.error_detail), ("Hint", error.error_hint)):
        if value:
            lines.append(f"\n{name}: ", style=colours.muted)
            lines.append(one_line(value))
    if error.attempted_query:
        lines.append("\n\n")
        lines.append(break_sql(error.attempted_query))
    return lines


def _interval(text: str | None, otherwise: str = ABSENT) -> str:
    return shorten(short_interval(text), 40) if text else otherwise
