"""The rollups with their states, worst first: what is wrong, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from tsconsole.actions.spoken_keys import spoken
from tsconsole.formatting import (
    ABSENT,
    age,
    bar,
    day_of,
    fit_names,
    number,
    one_line,
    short_number,
    shorten,
    took,
    when,
)
from tsconsole.health import STATE, reason
from tsconsole.intervals import short_interval
from tsconsole.models import RollupStatus
from tsconsole.presentation.marks import marked_words
from tsconsole.presentation.monitor_view import View
from tsconsole.themes import Palette, palette
from tsconsole.widgets.live_table import Column
from tsconsole.widgets.pane import Pane

PADDING = 2
"""What DataTable puts around each cell."""

_LABELS = {
    "state": ("STATE", False),
    "target": ("TARGET", False),
    "every": ("EVERY", True),
    "watermark": ("WATERMARK", True),
    "lag": ("LAG", True),
    "pending": ("PENDING", True),
    "rows": ("ROWS/RUN", True),
    "took": ("TOOK", True),
    "reason": ("REASON", False),
}
_WIDTHS = {"state": 9, "every": 6, "watermark": 11, "lag": 8, "rows": 9, "took": 6}


class OperationsPane(Pane):
    """Pane 1."""

    number = 1
    title = "Operations"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rollups: Sequence[RollupStatus] = ()
        self._by_key: dict[str, RollupStatus] = {}
        self._total = 0
        self._view = View()
        self._marked: frozenset[int] = frozenset()
        self._now: datetime | None = None

    @property
    def selected(self) -> RollupStatus | None:
        """The rollup under the cursor; never one that is hidden."""
        return self._by_key.get(self.table.selected or "")

    def select(self, rollup: RollupStatus) -> bool:
        """Put the cursor on a rollup; False when it is not shown."""
        return self.table.select(str(rollup.id))

    @property
    def shown(self) -> Sequence[RollupStatus]:
        """The rollups that are not hidden, in the order of the rows."""
        return self._rollups

    def display_rollups(
        self,
        rollups: Sequence[RollupStatus],
        total: int,
        view: View,
        now: datetime | None,
        marked: frozenset[int] = frozenset(),
    ) -> None:
        """Show these of all rollups; some are marked, by their ids."""
        self._now = now
        if self.is_given(rollups, total, view, marked, now and day_of(now)):
            return
        self._rollups, self._total, self._view, self._marked = rollups, total, view, marked
        self._by_key = {str(rollup.id): rollup for rollup in rollups}
        self.draw()

    def draw(self) -> None:
        """Write the rows."""
        if self.size.width <= 0 or self._now is None:
            return
        names = self._names()
        widths = self._widths()
        fitted = fit_names(names, widths["target"])
        columns = [Column("mark", "", 1)] * bool(self._marked) + self._columns(widths)
        self.table.lay_out(columns)
        colours, now, marked = palette(self.app), self._now, self._marked
        rollups = self._by_key

        def draw(key: str) -> list[Text]:
            rollup = rollups[key]
            cells = rollup_cells(rollup, fitted[rollup.target_table], now, colours, widths)
            mark = Text("●" if rollup.id in marked else "", style=colours.accent)
            return [mark] * bool(marked) + [cells[key] for key in widths]

        # With a thousand rollups most of a poll's cost would be cells that nobody sees.
        self.table.show_drawn(rollups, draw)
        self.say("" if self._rollups else self._nothing())
        self.draw_titles()

    def draw_titles(self) -> None:
        """Say how many there are and in which order; below, the reason that did not fit."""
        noun = "rollup" if self._total == 1 else "rollups"
        words = f"{self._total} {noun} · {self._view.words}"
        shown = {rollup.id for rollup in self._rollups}
        hidden = self._view.hidden_words(self._total - len(self._rollups))
        words = " · ".join(filter(None, (words, marked_words(self._marked, shown), hidden)))
        below, rollup = "", self.selected
        if rollup is not None:
            why = one_line(reason(rollup))
            if len(why) > self._widths()["reason"]:
                below = f"{rollup.target_table}: {why}"
        self.set_titles(words, below)

    def _widths(self) -> dict[str, int]:
        room = self.size.width - self.table.scrollbar_size_vertical - 3 * bool(self._marked)
        return column_widths(room, max(map(len, self._names()), default=8))

    def _names(self) -> list[str]:
        return [rollup.target_table for rollup in self._rollups]

    def _nothing(self) -> str:
        if self._view.is_narrowed:
            shows = spoken("Press {clear} to show them again.")
            return f"All {self._total} rollups are hidden. {shows}"
        return (
            "There are no rollups in this database yet.\n\n"
            + spoken("Press {create} to create the first: choose a table, and the console ")
            + "proposes the rest."
        )

    def _columns(self, widths: dict[str, int]) -> list[Column]:
        columns = []
        for key, width in widths.items():
            label, right = _LABELS[key]
            if key == self._view.sorted_by.column:
                label += "▲" if self._view.is_reversed else "▼"
            columns.append(Column(key, label, width, right))
        return columns


def column_widths(room: int, longest_name: int) -> dict[str, int]:
    """The columns that fit into a width; what is left is for the reason."""
    if room < 98:
        keys = ["state", "target", "lag", "pending", "reason"]
        widest, pending = 22, 8
    elif room < 138:
        keys = [key for key in _LABELS if key != "took"]
        widest, pending = 22, 8
    else:
        keys, widest, pending = list(_LABELS), 40, 11
    widths = {key: _WIDTHS.get(key, 0) for key in keys}
    if "watermark" in widths and room < 138:
        widths["watermark"] = 9
    widths["target"] = min(max(longest_name, 8), widest)
    widths["pending"] = pending
    widths["reason"] = max(room - sum(widths.values()) - PADDING * len(keys), 8)
    return widths


def rollup_cells(
    rollup: RollupStatus,
    name: str,
    now: datetime,
    colours: Palette,
    widths: dict[str, int],
) -> dict[str, Text]:
    """The cells of one rollup: coloured only where something is wrong."""
    state = STATE[rollup.health_status]
    style = colours.of(state.style)
    quiet = colours.muted if state.health in ("OK", "PAUSED") else ""
    why = shorten(one_line(reason(rollup)), widths["reason"])
    return {
        "state": Text(f"{state.glyph} {state.health}", style=style or quiet),
        "target": Text(name, style="bold" if state.style else ""),
        "every": _right(short_interval(rollup.rollup_interval), colours.muted),
        "watermark": _right(
            when(rollup.last_processed_time, now, is_brief=widths.get("watermark", 0) < 11)
        ),
        "lag": _right(age(rollup.lag), style if _lags(rollup) else ""),
        "pending": _pending(rollup, widths["pending"], colours),
        "rows": _right(_rows(rollup.last_processed_rows)),
        "took": _right(took(rollup.last_duration)),
        "reason": Text(why, style=style or quiet, no_wrap=True),
    }


def _lags(rollup: RollupStatus) -> bool:
    """Whether the lag is part of what is wrong: nothing has failed, so it must be."""
    return rollup.retry_count == 0 and rollup.health_status in ("WARNING", "ALERT")


def _pending(rollup: RollupStatus, width: int, colours: Palette) -> Text:
    fraction = rollup.backfill_fraction
    if fraction is not None and fraction < 1:
        percent = f"{min(round(fraction * 100), 99)} %"
        room = width - 5
        if room < 5:
            return _right(percent)
        return Text.assemble(
            f"{percent:>4} ", (f"{bar(fraction, room):{room}}", colours.bar), no_wrap=True
        )
    if rollup.pending_ranges:
        return _right(short_number(rollup.pending_ranges))
    return _right(ABSENT, colours.muted)


def _rows(rows: int | None) -> str:
    return number(rows) if rows is None or rows < 10_000_000 else short_number(rows)


def _right(text: str, style: str = "") -> Text:
    return Text(text, style=style, justify="right", no_wrap=True)
