"""What happened in the last hour, minute by minute: read once, then only what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from tsconsole.models import ActivityMinute

KEPT = 60
"""Minutes."""
FRESH = 10.0
"""Seconds for which what was read is good enough."""

Figure = Callable[[ActivityMinute], float]


def rows_read(minute: ActivityMinute) -> float:
    """Rows that steps read."""
    return minute.rows_read


def late_rows(minute: ActivityMinute) -> float:
    """Rows that were put right after late changes."""
    return minute.late_rows


def errors(minute: ActivityMinute) -> float:
    """Steps that failed."""
    return minute.errors


def delay(minute: ActivityMinute) -> float:
    """Seconds from the end of a bucket to its row, at worst."""
    return minute.delay.total_seconds() if minute.delay else 0.0


class Activity:
    """The last hour of all rollups together."""

    def __init__(self) -> None:
        self._minutes: dict[datetime, ActivityMinute] = {}
        self._read_at: float | None = None
        self._times_read = 0

    @property
    def is_known(self) -> bool:
        """Whether it was read at all."""
        return self._read_at is not None

    def wanted(self, clock: float) -> int | None:
        """How many minutes to read now; None while what is known is fresh."""
        if self._read_at is None:
            return KEPT
        passed = clock - self._read_at
        return None if passed < FRESH else min(KEPT, int(passed // 60) + 1)

    def add(self, minutes: Iterable[ActivityMinute], now: datetime, clock: float) -> None:
        """Take in what was read; what is older than an hour goes."""
        self._read_at = clock
        self._times_read += 1
        self._minutes |= {minute.minute: minute for minute in minutes}
        oldest = now - timedelta(minutes=KEPT)
        self._minutes = {at: m for at, m in self._minutes.items() if at > oldest}

    def as_of(self, now: datetime) -> tuple[int, int]:
        """What stays the same as long as all that is said here does."""
        return self._times_read, int(now.timestamp() // 60)

    def total(self, figure: Figure) -> float:
        """The sum over the hour."""
        return sum(figure(minute) for minute in self._minutes.values())

    def rate(self, figure: Figure, now: datetime) -> float:
        """The figure a second, over the last whole minute."""
        return sum(figure(m) for at, m in self._minutes.items() if _ago(at, now) == 1) / 60

    def series(self, figure: Figure, columns: int, now: datetime) -> list[float]:
        """The hour in so many values, the oldest first: each the largest of its minutes."""
        values = [0.0] * columns
        for at, minute in self._minutes.items():
            ago = _ago(at, now)
            if 0 <= ago < KEPT:
                column = columns - 1 - ago * columns // KEPT
                values[column] = max(values[column], figure(minute))
        return values


def _ago(minute: datetime, now: datetime) -> int:
    """How many minutes ago a minute began, in whole minutes."""
    return int((now - minute).total_seconds() // 60)
