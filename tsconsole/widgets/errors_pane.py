"""The error log: equal errors of one rollup are one row, with a count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from rich.text import Text

from tsconsole.formatting import day_of, fit_names, one_line, shorten, when
from tsconsole.models import ErrorEntry
from tsconsole.presentation.filtering import passes
from tsconsole.themes import palette
from tsconsole.widgets.live_table import Column
from tsconsole.widgets.pane import Pane


@dataclass(frozen=True)
class ErrorGroup:
    """Errors of one rollup that say the same."""

    latest: ErrorEntry
    count: int = 1

    @cached_property
    def key(self) -> str:
        """What stays the same while the count grows."""
        return _key(self.latest)

    @property
    def text(self) -> str:
        """What a filter looks at."""
        error = self.latest
        return f"{error.target_table} {error.source_table} {error.sql_state} {error.error_message}"


def group_errors(errors: Sequence[ErrorEntry]) -> list[ErrorGroup]:
    """Group a log that has its newest entry first; the newest groups come first."""
    latest: dict[str, ErrorEntry] = {}
    for error in errors:
        latest.setdefault(_key(error), error)
    counts = Counter(map(_key, errors))
    return [ErrorGroup(error, counts[key]) for key, error in latest.items()]


def _key(error: ErrorEntry) -> str:
    return f"{error.target_table}/{error.sql_state}/{error.error_message}"


class ErrorsPane(Pane):
    """Pane 3."""

    number = 3
    title = "Errors"
    show_header = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._all: list[ErrorGroup] = []
        self._groups: list[ErrorGroup] = []
        self._total = 0
        self._now: datetime | None = None

    @property
    def selected(self) -> ErrorEntry | None:
        """The latest error of the row under the cursor."""
        key = self.table.selected
        return next((group.latest for group in self._groups if group.key == key), None)

    def display_errors(self, errors: Sequence[ErrorEntry], now: datetime | None) -> None:
        """Show these errors."""
        self._now = now
        if self.is_given(errors, now and day_of(now)):
            return
        self._all, self._total = group_errors(errors), len(errors)
        self.draw()

    def draw(self) -> None:
        """Write the rows: in two lines each where the pane is narrow."""
        room = self.size.width - self.table.scrollbar_size_vertical
        if room <= 0 or self._now is None:
            return
        self._groups = [group for group in self._all if passes(group.text, self.filter)]
        names = [group.latest.target_table or "(no table)" for group in self._groups]
        moments = [when(group.latest.error_timestamp, self._now) for group in self._groups]
        first = max(map(len, moments), default=5)
        is_tall = room < 70
        if is_tall:
            columns = [Column("at", "", first), Column("error", "", room - first - 4)]
        else:
            second = min(max(map(len, names), default=8), 24)
            columns = [
                Column("at", "", first), Column("target", "", second), Column("state", "", 10),
                Column("error", "", room - first - second - 18),
            ]  # fmt: skip
        self.table.lay_out(columns, 2 if is_tall else 1)
        fitted = fit_names(names, max(room - first - 15, 8) if is_tall else columns[1].width)
        rows = {
            group.key: (group, fitted[name], moment)
            for group, name, moment in zip(self._groups, names, moments, strict=True)
        }
        rest = columns[-1].width
        self.table.show_drawn(rows, lambda key: self._cells(*rows[key], rest, is_tall))
        words = "No errors: nothing has failed."
        self.say("" if rows else self.empty_or(words, len(self._all)))
        hidden = self.hidden_words(len(self._all) - len(rows))
        parts = [f"{self._total} logged" if self._total else "", hidden]
        self.set_titles(" · ".join(filter(None, parts)))

    def _cells(
        self, group: ErrorGroup, name: str, moment: str, rest: int, is_tall: bool
    ) -> list[Text]:  # fmt: skip
        muted = palette(self.app).muted
        error = group.latest
        state = error.sql_state or ""
        count = f" ×{group.count}" if group.count > 1 else ""
        message = shorten(one_line(error.error_message), rest)
        at = Text(moment, style=muted)
        if is_tall:
            both = Text.assemble((name, "bold"), (f"  {state}{count}", muted), f"\n{message}")
            both.no_wrap = True
            return [at, both]
        return [at, Text(name, style="bold"), Text(state + count, style=muted), Text(message)]
