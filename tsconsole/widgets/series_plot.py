"""A line over time, broken where there are no buckets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from textual.color import Color

from tsconsole.formatting import short_number
from tsconsole.models import DataPoint, DataSeries
from tsconsole.models.explorer import Window
from tsconsole.themes import palette
from tsconsole.widgets.plot import Plot

AXIS = 12
"""Characters that the frame and the axis take from the width."""
TICK = 16
"""Characters of the width for one date at the axis."""


class SeriesPlot(Plot):
    """The points of a view."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._series: DataSeries | None = None
        self._window: Window | None = None

    def display_series(self, series: DataSeries, window: Window) -> None:
        """Draw these points; the same cost nothing."""
        if (series, window) != (self._series, self._window):
            self._series, self._window = series, window
            self.redraw()

    def on_resize(self) -> None:
        """As many dates as fit into the new width."""
        self.redraw()

    def redraw(self) -> None:
        """Draw again, in the colours of the theme."""
        plt, series, window = self.plt, self._series, self._window
        plt.clear_data()
        if series is None or window is None:
            return
        known = [point for point in series.points if point.value is not None]
        plt.yaxes(True, False)
        plt.xaxes(True, False)
        plt.xlim(0, window.span.total_seconds())
        colour = Color.parse(palette(self.app).accent).rgb
        for stretch in stretches(known, series.width):
            places = [(point.time - window.start).total_seconds() for point in stretch]
            values = [point.value for point in stretch]
            marker = "braille" if len(stretch) > 1 else "dot"
            plt.plot(places, values, marker=marker, color=colour)
        if known:
            low, high = _limits([point.value or 0.0 for point in known])
            ticks = [low + (high - low) * part / 4 for part in range(5)]
            plt.ylim(low, high)
            plt.yticks(ticks, figures(ticks))
        dates = round_times(window, max(self.size.width // TICK, 2))
        # A date that would reach over the edge is moved by plotext, now here, now there.
        edge = window.span.total_seconds() * (1 - TICK / 2 / max(self.size.width, TICK))
        dates = [(place, label) for place, label in dates if place < edge]
        plt.xticks([place for place, _ in dates], [label for _, label in dates])
        self.refresh()


def stretches(points: Sequence[DataPoint], width: timedelta) -> list[list[DataPoint]]:
    """The points, parted where a bucket is missing between two of them."""
    found: list[list[DataPoint]] = []
    for point in points:
        # Months are of different lengths.
        if found and point.time - found[-1][-1].time <= width * 1.5:
            found[-1].append(point)
        else:
            found.append([point])
    return found


def figures(values: Sequence[float]) -> list[str]:
    """Values at the axis: short, and as exact as it takes to tell them apart.

    >>> figures([0.5, 12400]), figures([3401, 3404])
    (['0.5', '12.4 k'], ['3401', '3404'])
    """
    for digits in range(3, 16):
        found = [
            short_number(value) if abs(value) >= 1000 and digits == 3 else f"{value:.{digits}g}"
            for value in values
        ]
        if len(set(found)) == len(set(values)):
            break
    return found


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


STEPS = [
    timedelta(seconds=seconds)
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600,
                    43200, 86400, 172800, 432000, 864000, 2592000, 7776000, 31536000)
]  # fmt: skip
"""How far dates at the axis may lie from each other."""


def round_times(window: Window, most: int) -> list[tuple[float, str]]:
    """Round moments in a range, in the zone of this terminal: where they are, and how they read.

    >>> start = datetime(2026, 3, 1, 10, 20).astimezone()
    >>> round_times(Window(start, start + timedelta(hours=2)), 3)
    [(2400.0, '11:00'), (6000.0, '12:00')]
    """
    step = next((step for step in STEPS if window.span / step <= most), window.span / most)
    try:
        start = window.start.astimezone()
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        first = midnight - (midnight - midnight.replace(month=1, day=1)) % step
        place = first + step * -(-(start - first) // step)
        found = []
        while place <= window.end.astimezone():
            found.append(((place - start).total_seconds(), _label(place, step, window.span)))
            place += step
    except (OverflowError, ValueError):
        return []
    return found


def _label(moment: datetime, step: timedelta, span: timedelta) -> str:
    if step >= timedelta(days=30):
        return f"{moment:%Y-%m}"
    if step >= timedelta(days=1):
        return f"{moment:%m-%d}"
    if span > timedelta(hours=20):
        return f"{moment:%m-%d %H:%M}"
    return f"{moment:%H:%M}" if step >= timedelta(minutes=1) else f"{moment:%H:%M:%S}"
