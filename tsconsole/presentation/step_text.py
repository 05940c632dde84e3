"""Running steps in words."""

from __future__ import annotations

from datetime import datetime

from tsconsole.formatting import ABSENT, when
from tsconsole.models import RunningStep

STEP_WORDS = {
    "frontier": "new buckets, from the watermark on",
    "history": "the past, queued when the rollup was created",
    "recompute": "buckets that late changes made stale",
}


def range_words(step: RunningStep, now: datetime | None) -> str:
    """Write the range of a step.

    A frontier step and a recompute know where they begin and how far they can come at most.
    """
    if step.window_start is None:
        return "from the first row" if step.work == "frontier" else ABSENT
    start, end = when(step.window_start, now), when(step.window_end, now)
    if step.window_end is None:
        return f"from {start}"
    if step.window_start.astimezone().date() == step.window_end.astimezone().date():
        end = f"{step.window_end.astimezone():%H:%M}"
    return f"{start} to {end}"


def step_line(step: RunningStep, now: datetime) -> str:
    """Write a step in one line: who does what, since when, on which range."""
    since = f"since {when(step.started_at, now)}" if step.started_at else ""
    who = (
        f"pid {step.worker_pid} ({step.role_name})" if step.role_name else f"pid {step.worker_pid}"
    )
    return f"{step.work} {range_words(step, now)}, {who} {since}".rstrip()
