"""Health states as people read them: a glyph, a word, a colour, and what each asks of them."""

from __future__ import annotations

import locale
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tsconsole.formatting import age, approximate_seconds, short_number
from tsconsole.models import Health, RetryEntry, RollupStatus


@dataclass(frozen=True)
class State:
    """How one health state looks and what it means."""

    health: Health
    glyph: str
    plain: str
    """The glyph for terminals that have only ASCII."""
    style: str
    """The name of the theme's colour; empty where nothing is wrong."""
    meaning: str


STATES: tuple[State, ...] = (
    State("ALERT", "✗", "X", "error", "it failed for too long or too often and needs you"),
    State("WARNING", "!", "!", "warning", "it failed and tries again by itself, or it lags"),
    State("RUNNING", "▶", ">", "", "a step is running now"),
    State("OK", "✓", "+", "", "complete up to its watermark, and on time"),
    State("PAUSED", "⏸", "=", "", "paused by somebody: it does not run until it is resumed"),
)
"""Worst first: the order in which the console lists them."""

STATE = {state.health: state for state in STATES}
RANK = {state.health: position for position, state in enumerate(STATES)}


def plain_glyphs(wanted: str = "auto") -> bool:
    """Whether this terminal shows ASCII only, or somebody says that it does."""
    if wanted != "auto":
        return wanted == "ascii"
    # Python takes UTF-8 for the locale C, which has it not; where no locale is set it sets one.
    if os.environ.get("TSCONSOLE_ASCII") or os.environ.get("LC_ALL") in {"C", "POSIX"}:
        return True
    return "utf" not in locale.getpreferredencoding(False).lower()


@dataclass(frozen=True)
class Summary:
    """The health of everything, in one line."""

    counts: dict[Health, int]
    worst_lag: timedelta | None
    """How far the worst is behind, one bucket of its own allowed: a bucket that is not over is not
    missing."""
    worst_lag_target: str | None
    median_lag: timedelta | None
    """The same of the one in the middle."""
    pending_ranges: int
    next_retry: datetime | None
    gave_up: str
    """Those of the failing rollups of which some work is not tried again by itself, in words."""
    failing: int
    """Rollups with work that failed and is not done yet."""


def summarize(operations: Iterable[RollupStatus], retries: Iterable[RetryEntry]) -> Summary:
    """Count the states and find the figures that matter most."""
    rollups = list(operations)
    counts: dict[Health, int] = {state.health: 0 for state in STATES}
    for rollup in rollups:
        counts[rollup.health_status] += 1
    lagging = [r for r in rollups if r.lag is not None and r.health_status != "PAUSED"]
    worst = max(lagging, key=_overdue, default=None)
    waiting = list(retries)
    times = [entry.next_retry_time for entry in waiting if entry.next_retry_time is not None]
    return Summary(
        counts=counts,
        worst_lag=_behind(worst) if worst else None,
        worst_lag_target=worst.target_table if worst else None,
        median_lag=median([_behind(rollup) for rollup in lagging]) if lagging else None,
        pending_ranges=sum(rollup.pending_ranges for rollup in rollups),
        next_retry=min(times, default=None),
        gave_up=gave_up_words(waiting),
        failing=len({entry.rollup_id for entry in waiting}),
    )


def gave_up_words(retries: Iterable[RetryEntry]) -> str:
    """How many rollups gave up, the same everywhere; of how many tasks, where these are more."""
    entries = [entry for entry in retries if entry.gave_up_at is not None]
    rollups = len({entry.rollup_id for entry in entries})
    tasks = f" ({len(entries)} tasks)" if len(entries) > rollups else ""
    return f"{rollups} gave up{tasks}" if entries else ""


def median(spans: Sequence[timedelta]) -> timedelta:
    """The one in the middle; the lower of the two where there are two.

    >>> median([timedelta(9), timedelta(1), timedelta(2)])
    datetime.timedelta(days=2)
    """
    return sorted(spans)[(len(spans) - 1) // 2]


def _overdue(rollup: RollupStatus) -> float:
    """How much more than its own bucket a rollup lags: a daily one is always hours behind."""
    lag = rollup.lag.total_seconds() if rollup.lag else 0.0
    return lag - approximate_seconds(rollup.rollup_interval)


def reason(rollup: RollupStatus) -> str:
    """Why a rollup is in its state; of a backfill, how fast it goes and how long it takes yet."""
    is_well = rollup.health_status in ("OK", "RUNNING")
    if rollup.backfill_fraction is None or rollup.backfill_fraction >= 1 or not is_well:
        return rollup.health_reason
    words = ["backfill"]
    if rollup.backfill_rows_per_second:
        words.append(f"{short_number(rollup.backfill_rows_per_second)} rows/s")
    if rollup.backfill_remaining:
        words.append(f"{age(rollup.backfill_remaining)} left")
    return ", ".join(words) if len(words) > 1 else rollup.health_reason


def _behind(rollup: RollupStatus) -> timedelta:
    return timedelta(seconds=max(_overdue(rollup), 0.0))


def worst_first(rollup: RollupStatus) -> tuple[int, float, str]:
    """The order of urgency: state, then lag, then name."""
    lag = rollup.lag.total_seconds() if rollup.lag else 0.0
    return RANK[rollup.health_status], -lag, rollup.target_table
