"""The health of everything in one line: the first thing the eye meets."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text
from textual import events

from tsconsole.formatting import age, countdown, short_number
from tsconsole.health import STATES, Summary
from tsconsole.themes import palette
from tsconsole.widgets.line import Line, fitting


class Strip(Line):
    """A count for each state, then the figures that say how bad it is."""

    def __init__(self) -> None:
        super().__init__(classes="strip")
        self._summary: Summary | None = None
        self._now: datetime | None = None

    def display_summary(self, summary: Summary, now: datetime | None) -> None:
        """Show this summary, as of now."""
        self._summary, self._now = summary, now
        self.draw()

    def on_resize(self, _: events.Resize) -> None:
        """Fit into the new width."""
        self.draw()

    def draw(self) -> None:
        """Write the line."""
        if self._summary is None or not self.size.width:
            return
        width = self.size.width
        counts = self._counts(self._summary)
        line = Text("   " if width >= 100 else "  ").join(counts)
        rest = fitting(
            self._figures(self._summary),
            width - line.cell_len - 5,
            Text("  │  ", style=palette(self.app).muted),
        )
        if rest.cell_len:
            line.append("  │  ", style=palette(self.app).muted)
            line.append_text(rest)
        self.show(line)

    def _counts(self, summary: Summary) -> list[Text]:
        colours = palette(self.app)
        parts = []
        for state in STATES:
            count = summary.counts[state.health]
            style = colours.of(state.style) if count else f"dim {colours.muted}"
            parts.append(Text(f"{state.glyph} {count} {state.health.lower()}", style=style))
        return parts

    def _figures(self, summary: Summary) -> list[Text]:
        parts = []
        if summary.worst_lag is not None:
            parts.append(Text(f"worst lag {age(summary.worst_lag)}"))
        if summary.next_retry is not None and self._now is not None:
            left = countdown(summary.next_retry - self._now)
            parts.append(Text("retry now" if left == "now" else f"retry in {left}"))
        if summary.rows_per_second:
            parts.append(Text(f"{short_number(summary.rows_per_second)} rows/s"))
        if summary.pending_ranges:
            parts.append(Text(f"{short_number(summary.pending_ranges)} pending"))
        return parts
