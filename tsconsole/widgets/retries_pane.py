"""The retry queue: what failed, how often it was tried, and when it is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from tsconsole.formatting import coming, fit_names, one_line, shorten
from tsconsole.health import gave_up_words
from tsconsole.models import RetryEntry
from tsconsole.presentation.filtering import passes
from tsconsole.themes import palette
from tsconsole.widgets.live_table import Column
from tsconsole.widgets.pane import Pane


class RetriesPane(Pane):
    """Pane 4."""

    number = 4
    title = "Retries"
    show_header = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._all: Sequence[RetryEntry] = ()
        self._entries: list[RetryEntry] = []
        self._now: datetime | None = None

    @property
    def selected(self) -> RetryEntry | None:
        """The entry under the cursor."""
        key = self.table.selected
        return next((entry for entry in self._entries if _key(entry) == key), None)

    def display_retries(self, entries: Sequence[RetryEntry], now: datetime | None) -> None:
        """Show these entries."""
        self._now = now
        # What waits is counted down.
        if self.is_given(entries, now if entries else None):
            return
        self._all = entries
        self.draw()

    def draw(self) -> None:
        """Write the rows: next try first, then what waits for an operator."""
        room = self.size.width - self.table.scrollbar_size_vertical
        if room <= 0 or self._now is None:
            return
        self._entries = [entry for entry in self._all if passes(_text(entry), self.filter)]
        names = [entry.target_table for entry in self._entries]
        is_wide = room >= 70
        # Where a rollup stands here twice, it takes the work to tell its rows apart.
        has_works = len(set(names)) < len(names)
        room -= 6 + 10 + 6
        first = min(max(map(len, names), default=8), 24) if is_wide else max(room, 8)
        columns = [
            Column("target", "", first), Column("try", "", 6, True), Column("next", "", 10),
        ]  # fmt: skip
        rest = room - first - 2 if is_wide else 0
        if is_wide:
            columns.append(Column("error", "", rest))
        self.table.lay_out(columns, 2 if has_works and not is_wide else 1)
        fitted = fit_names(names, first)
        rows = {}
        for entry in self._entries:
            cells = self._cells(entry, fitted[entry.target_table], has_works, rest)
            rows[_key(entry)] = cells[: len(columns)]
        self.table.show(rows)
        self.say("" if rows else self.empty_or("Nothing waits for a retry.", len(self._all)))
        hidden = self.hidden_words(len(self._all) - len(rows))
        parts = [gave_up_words(self._all), hidden]
        self.set_titles(" · ".join(filter(None, parts)))

    def _cells(self, entry: RetryEntry, name: str, has_works: bool, rest: int) -> list[Text]:
        colours = palette(self.app)
        if entry.gave_up_at is not None:
            following = Text("gave up", style=f"bold {colours.error}")
        elif entry.next_retry_time is None or self._now is None:
            following = Text("", style=colours.muted)
        else:
            following = Text(coming(entry.next_retry_time - self._now))
        target, message = Text(name, style="bold"), one_line(entry.error_message)
        if has_works and rest:
            message = f"{entry.work}: {message}"
        elif has_works:
            target = Text.assemble(target, (f"\n{entry.work}", colours.muted))
        return [
            target,
            Text(f"{entry.retry_count}/{entry.max_retries}", justify="right"),
            following,
            Text(shorten(message, rest), style=colours.muted, no_wrap=True),
        ]


def _key(entry: RetryEntry) -> str:
    return f"{entry.rollup_id}/{entry.work}"


def _text(entry: RetryEntry) -> str:
    """What a filter looks at."""
    state = "gave up" if entry.gave_up_at is not None else "waits"
    return f"{entry.target_table} {entry.work} {state} {entry.sql_state} {entry.error_message}"
