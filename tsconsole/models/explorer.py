"""What the data explorer asks for: a range of time, and the level of a ladder that suits it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from tsconsole.models.data import DataLevel

SHORTEST = timedelta(seconds=10)
LONGEST = timedelta(days=36525)


@dataclass(frozen=True)
class Window:
    """A range of time that one looks at; it ends now when it follows the clock."""

    start: datetime
    end: datetime
    follows: bool = True

    @property
    def span(self) -> timedelta:
        """Its length."""
        return self.end - self.start

    def zoomed(self, factor: float) -> Window:
        """Longer or shorter by a factor: about its middle, or up to now when it follows."""
        span = min(max(self.span * factor, SHORTEST), LONGEST)
        if self.follows:
            return replace(self, start=_earlier(self.end, span))
        middle = self.start + self.span / 2
        return replace(self, start=_earlier(middle, span / 2), end=_later(middle, span / 2))

    def panned(self, fraction: float, now: datetime) -> Window:
        """Earlier or later by a part of its length; never beyond now, where it follows again."""
        step = self.span * fraction
        end = _later(self.end, step) if fraction > 0 else _earlier(self.end, -step)
        if end >= now:
            return Window(_earlier(now, self.span), now, True)
        return Window(_earlier(end, self.span), end, False)

    def moved(self, now: datetime) -> Window:
        """The same at a later time, when it follows."""
        return Window(_earlier(now, self.span), now, True) if self.follows else self


@dataclass(frozen=True)
class View:
    """What is asked for."""

    target: str
    measure: str
    window: Window
    filters: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    """The value that is wanted of a dimension; dimensions that are not named are added up."""


@dataclass(frozen=True)
class Choice:
    """The level that is read, and the width of a point when it is wider than its bucket."""

    level: DataLevel
    width: timedelta | None = None


def choose_level(levels: Sequence[DataLevel], view: View, points: int) -> Choice:
    """The finest level that fills the range with at most so many points.

    When even the coarsest has more, its buckets are put together, as many as it takes.

    >>> minute = DataLevel("m", timedelta(minutes=1), "ts", "timestamptz", (), ("x",))
    >>> hour = DataLevel("h", timedelta(hours=1), "ts", "timestamptz", (), ("x",))
    >>> start = datetime(2026, 3, 1)
    >>> def chosen(**span):
    ...     window = Window(start, start + timedelta(**span))
    ...     choice = choose_level([minute, hour], View("m", "x", window), 100)
    ...     return choice.level.target, choice.width
    >>> chosen(hours=1), chosen(days=2), chosen(days=40)
    (('m', None), ('h', None), ('h', datetime.timedelta(seconds=36000)))
    """
    fitting = [level for level in levels if fits(level, view)]
    ordered = sorted(fitting, key=lambda level: level.interval) or [
        level for level in levels if level.target == view.target
    ]
    for level in ordered:
        if view.window.span / level.interval <= points:
            return Choice(level)
    coarsest = ordered[-1]
    buckets = math.ceil(view.window.span / coarsest.interval / max(points, 1))
    return Choice(coarsest, coarsest.interval * buckets)


def fits(level: DataLevel, view: View) -> bool:
    """Whether a level has the measure and every dimension that is filtered by."""
    return view.measure in level.measures and all(d in level.dimensions for d in view.filters)


def first_window(now: datetime, interval: timedelta, points: int) -> Window:
    """The range to begin with: as many buckets as there is room for, up to now."""
    return Window(_earlier(now, max(interval * points, SHORTEST)), now, True)


def _earlier(moment: datetime, span: timedelta) -> datetime:
    try:
        return moment - span
    except OverflowError:
        return datetime.min.replace(tzinfo=moment.tzinfo)


def _later(moment: datetime, span: timedelta) -> datetime:
    try:
        return moment + span
    except OverflowError:
        return datetime.max.replace(tzinfo=moment.tzinfo)
