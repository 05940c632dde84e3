"""The health of everything in two lines: the first thing the eye meets.

It can have the focus: then left and right choose a figure, and enter shows what is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tsconsole.formatting import age, coming, short_number, sparkline
from tsconsole.health import STATES, Summary
from tsconsole.presentation import activity
from tsconsole.presentation.activity import Activity
from tsconsole.themes import palette
from tsconsole.widgets.line import Line


@dataclass(frozen=True)
class Part:
    """One figure of the strip."""

    key: str
    """What enter on it shows: a health state, or the name of the figure."""
    text: Text


class Strip(Line, can_focus=True):
    """A count for each state, then the figures that say how bad it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", show=False),
        Binding("right", "move(1)", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Chosen(Message):
        """Somebody wants to see what is behind a figure."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self) -> None:
        super().__init__(classes="strip")
        self._summary: Summary | None = None
        self._activity = Activity()
        self._now: datetime | None = None
        self._given: tuple[object, ...] = ()
        self._selected = 0
        self._places: list[tuple[int, int, int, str]] = []
        """Line, first and last column, and key of each figure that is shown."""

    def display_summary(self, summary: Summary, activity: Activity, now: datetime | None) -> None:
        """Show this summary, as of now."""
        self._summary, self._activity, self._now = summary, activity, now
        # A retry is counted down; all else that moves with the clock does so once a minute.
        moment = now and (activity.as_of(now), summary.next_retry and now)
        before, self._given = self._given, (summary, activity, moment, self.app.theme)
        if self._given != before:
            self.draw()

    def on_resize(self, _: events.Resize) -> None:
        """Fit into the new width."""
        self.draw()

    def on_focus(self) -> None:
        """Show which figure is chosen."""
        self.draw()

    def on_blur(self) -> None:
        """None is chosen any more."""
        self.draw()

    def on_click(self, event: events.Click) -> None:
        """A click on a figure shows what is behind it."""
        for line, start, end, key in self._places:
            if line == event.y and start <= event.x - self.gutter.left < end:
                self.post_message(self.Chosen(key))

    def action_move(self, by: int) -> None:
        """Choose the next figure."""
        self._selected += by
        self.draw()

    def action_choose(self) -> None:
        """Show what is behind the chosen figure."""
        parts = self._parts()
        if parts:
            self.post_message(self.Chosen(parts[self._selected % len(parts)].key))

    def draw(self) -> None:
        """Write the lines."""
        if self._summary is None or not self.size.width:
            return
        lines = self._lines(self._summary)
        count = sum(map(len, lines))
        self._places.clear()
        first = 0
        drawn = []
        for number, parts in enumerate(lines):
            drawn.append(self._line(number, parts, self._selected % count - first))
            first += len(parts)
        self.show(Text("\n").join(drawn))

    def _parts(self) -> list[Part]:
        lines = self._lines(self._summary) if self._summary is not None else []
        return [part for line in lines for part in line]

    def _lines(self, summary: Summary) -> list[list[Part]]:
        """The figures of each line; where there is one line only, the lag comes first."""
        counts, wrong = self._counts(summary), self._wrong(summary)
        figures = self._figures(summary)
        if self.size.height < 2:
            return [counts + figures[:1] + wrong + figures[1:]]
        return [counts + wrong, figures]

    def _line(self, number: int, parts: list[Part], selected: int) -> Text:
        """As many of the parts as fit; the chosen one always does."""
        separator = Text("  " if self.size.width < 98 else "    ")
        is_chosen = self.has_focus and 0 <= selected < len(parts)
        begin = 0
        while is_chosen and begin < selected:
            needed = sum(p.text.cell_len + separator.cell_len for p in parts[begin : selected + 1])
            if needed - separator.cell_len <= self.size.width:
                break
            begin += 1
        line = Text(no_wrap=True)
        for position, part in enumerate(parts[begin:], start=begin):
            needed = part.text.cell_len + (separator.cell_len if line.cell_len else 0)
            if line.cell_len + needed > self.size.width:
                break
            if line.cell_len:
                line.append_text(separator)
            start = line.cell_len
            line.append_text(part.text)
            self._places.append((number, start, line.cell_len, part.key))
            if is_chosen and position == selected:
                line.stylize("reverse", start, line.cell_len)
        return line

    def _counts(self, summary: Summary) -> list[Part]:
        colours = palette(self.app)
        parts = []
        for state in STATES:
            count = summary.counts[state.health]
            style = colours.of(state.style) if count else f"dim {colours.muted}"
            text = Text(f"{state.glyph} {count} {state.health.lower()}", style=style)
            parts.append(Part(state.health, text))
        return parts

    def _wrong(self, summary: Summary) -> list[Part]:
        parts = []
        if summary.failing:
            words = f"{summary.failing} failing"
            words += f", {summary.gave_up}" if summary.gave_up else ""
            parts.append(Part("failing", self._plotted(words, activity.errors)))
        if summary.next_retry is not None and self._now is not None:
            words = f"retry {coming(summary.next_retry - self._now)}"
            parts.append(Part("retry", Text(words)))
        return parts

    def _figures(self, summary: Summary) -> list[Part]:
        parts = []
        if summary.worst_lag is not None:
            words = f"{age(summary.worst_lag)} overdue"
            if self.size.height >= 2:
                words += f", median {age(summary.median_lag)}"
            parts.append(Part("lag", self._plotted(words, activity.delay)))
        if self._now is not None and self._activity.is_known:
            rate = self._activity.rate(activity.rows_read, self._now)
            words = f"{short_number(rate)} rows/s"
            parts.append(Part("rows", self._plotted(words, activity.rows_read)))
        if summary.pending_ranges:
            parts.append(Part("pending", Text(f"{short_number(summary.pending_ranges)} pending")))
        if late := self._activity.total(activity.late_rows):
            words = f"{short_number(late)} late rows"
            parts.append(Part("late", self._plotted(words, activity.late_rows)))
        return parts

    def _plotted(self, words: str, figure: activity.Figure) -> Text:
        """Words, and beside them the last hour as a line where there is room for it."""
        text = Text(words)
        columns = 20 if self.size.width >= 138 else 12
        if self.size.width < 98 or self._now is None or not self._activity.total(figure):
            return text
        drawn = sparkline(self._activity.series(figure, columns, self._now))
        return Text.assemble(text, " ", (drawn, palette(self.app).bar))
