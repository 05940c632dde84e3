"""A pane with a table of rows of one kind: sorted, filtered, and laid out by its fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Generic, TypeVar

from rich.text import Text

from tsconsole.actions.spoken_keys import spoken
from tsconsole.formatting import fit_names, shorten
from tsconsole.presentation.filtering import hidden_words, passes
from tsconsole.presentation.marks import all_marked, marked_words
from tsconsole.themes import Palette, palette
from tsconsole.widgets.live_table import Column
from tsconsole.widgets.pane import Pane

Row = TypeVar("Row")
PADDING = 2
"""What DataTable puts around each cell."""
BEGINNING = datetime.min.replace(tzinfo=timezone.utc)
NEVER = datetime.max.replace(tzinfo=timezone.utc)
"""Where rows without a time stand among those with one."""


@dataclass(frozen=True)
class Look:
    """What a cell needs to know besides its row."""

    colours: Palette
    now: datetime
    width: int
    rows: Sequence[Any] = ()
    """Every row that is shown, for what is drawn in proportion."""
    room: int = 0
    """The width of the whole table."""
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Names of this column, shortened so that no two of them become alike."""


@dataclass(frozen=True)
class Field(Generic[Row]):
    """One column of a grid."""

    key: str
    label: str
    width: int
    """Characters; 0: what the others leave."""
    cell: Callable[[Row, Look], Text]
    """How a row looks in this column; `named` for a column of names."""
    order: Callable[[Row], Any] | None = None
    """What to sort by; None: not at all."""
    right: bool = False
    from_room: int = 0
    """The width of the table from which on the column is shown."""
    name: Callable[[Row], str] | None = None
    """The name that the cell shows, where it shows one: see `named`."""


class Grid(Pane, Generic[Row]):
    """Rows with keys; the screen says which, the fields say how they look."""

    def __init__(
        self,
        *,
        id: str,
        number: int,
        title: str,
        fields: Sequence[Field[Row]],
        key: Callable[[Row], str],
        text: Callable[[Row], str] = str,
        is_problem: Callable[[Row], bool] = lambda _: False,
        noun: str = "row",
        nouns: str | None = None,
        words: str = "Nothing here.",
        can_be_marked: bool = False,
        worst_first: Callable[[Row], Any] | None = None,
    ) -> None:
        super().__init__(id=id)
        self.number, self.title = number, title
        self.fields = fields
        self.key, self.text, self.is_problem = key, text, is_problem
        self.noun, self.nouns, self.words = noun, nouns or f"{noun}s", words
        self.can_be_marked = can_be_marked
        """Whether actions can be done to several rows at once."""
        self.worst_first = worst_first
        """What puts the worst rows before the rest, until another order is chosen."""
        self.marked: frozenset[str] = frozenset()
        """The keys of the marked rows."""
        self.about = ""
        """What the rows belong to, for the title."""
        self.below = ""
        """What stands in the lower edge."""
        self.sorted_by: str | None = None
        self.is_reversed = False
        self.problems_only = False
        self._all: Sequence[Row] = ()
        self._now: datetime | None = None
        self.shown: Sequence[Row] = ()
        """The rows that are not hidden, in their order."""

    @property
    def selected(self) -> Row | None:
        """The row under the cursor; never one that is hidden."""
        key = self.table.selected
        return next((row for row in self.shown if self.key(row) == key), None)

    @property
    def chosen(self) -> list[Row]:
        """The rows that an action is done to: the marked ones that are shown; where none is marked,
        the one under the cursor."""
        if self.marked:
            return [row for row in self.shown if self.key(row) in self.marked]
        return [self.selected] if self.selected is not None else []

    def toggle_mark(self) -> None:
        """Mark the row under the cursor, or no longer, and go on to the next."""
        if self.can_be_marked and self.selected is not None:
            self.marked ^= {self.key(self.selected)}
            self.draw()
            self.table.go_down()

    def toggle_all_marks(self) -> None:
        """Mark every row that is shown; none when all of them are marked."""
        if self.can_be_marked:
            self.marked = all_marked(self.marked, [self.key(row) for row in self.shown])
            self.draw()

    def unmark(self) -> bool:
        """Take every mark away; False when there was none."""
        was_marked = bool(self.marked)
        self.marked = frozenset()
        self.draw()
        return was_marked

    @property
    def is_narrowed(self) -> bool:
        """Whether rows may be hidden."""
        return bool(self.filter) or self.problems_only

    def display_rows(self, rows: Sequence[Row], now: datetime) -> None:
        """Show these rows."""
        self._all, self._now = rows, now
        self.draw()

    def next_order(self) -> None:
        """Sort by the next column that can be sorted by."""
        keys = [field.key for field in self.fields if field.order is not None]
        if keys:
            here = keys.index(self.sorted_by) if self.sorted_by in keys else -1
            self.sorted_by, self.is_reversed = keys[(here + 1) % len(keys)], False
            self.draw()

    def sort_by(self, key: str) -> None:
        """Sort by a column; again: the other way round."""
        self.is_reversed = not self.is_reversed if self.sorted_by == key else False
        self.sorted_by = key
        self.draw()

    def widen(self) -> bool:
        """Show every row again; False when none was hidden."""
        was_narrowed = self.is_narrowed
        self.filter, self.problems_only = "", False
        self.draw()
        return was_narrowed

    def draw(self) -> None:
        """Write the rows."""
        room = self.size.width - self.table.scrollbar_size_vertical
        if room <= 0 or self._now is None:
            return
        if self.marked:
            self.marked &= frozenset(map(self.key, self._all))
        fields, widths = self._laid_out(room)
        columns = [
            Column(field.key, self._label(field), widths[field.key], field.right)
            for field in fields
        ]
        self.table.lay_out(columns)
        self.shown = self._wanted()
        colours = palette(self.app)
        looks = [
            Look(
                colours, self._now, widths[field.key], self.shown, room,
                self._names(field, widths),
            )
            for field in fields
        ]  # fmt: skip
        rows = {self.key(row): row for row in self.shown}
        self.table.show_drawn(
            rows,
            lambda key: [
                self._cell(field, rows[key], look)
                for field, look in zip(fields, looks, strict=True)
            ],
        )
        self.say("" if rows else self._nothing())
        self.draw_titles()

    def draw_titles(self) -> None:
        """What, how many, in which order, how many hidden; below what the screen has to say."""
        total = len(self._all)
        count = f"{total} {self.noun if total == 1 else self.nouns}" if total else ""
        order = "worst first" if self.worst_first and not self.sorted_by and total else ""
        parts = [self.about, count, order]
        reasons = ["problems only"] * self.problems_only
        reasons += [f"filter “{self.filter}”"] * bool(self.filter)
        parts.append(marked_words(self.marked, [self.key(row) for row in self.shown]))
        parts.append(hidden_words(total - len(self.shown), reasons))
        self.set_titles(" · ".join(filter(None, parts)), self.below)

    def _wanted(self) -> list[Row]:
        rows = [
            row
            for row in self._all
            if passes(self.text(row), self.filter)
            and (not self.problems_only or self.is_problem(row))
        ]
        order = next((field.order for field in self.fields if field.key == self.sorted_by), None)
        if order is not None:
            return sorted(rows, key=order, reverse=self.is_reversed)
        return sorted(rows, key=self.worst_first) if self.worst_first else rows

    def _laid_out(self, room: int) -> tuple[list[Field[Row]], dict[str, int]]:
        fields = [field for field in self.fields if room >= field.from_room]
        if self.marked:
            fields.insert(0, Field("mark", "", 1, self._mark))
        widths = {field.key: field.width for field in fields}
        rest = room - sum(widths.values()) - PADDING * len(fields)
        flexible = [field for field in fields if not field.width]
        # A column of names takes no more than they need: the others have more to say.
        for field in sorted(flexible, key=lambda field: field.name is None):
            share = max(rest // len(flexible), 6)
            if field.name is not None and len(flexible) > 1:
                share = min(share, max(map(len, map(field.name, self._all)), default=share))
                share = max(share, len(field.label) + 1)
            widths[field.key] = share
            rest -= share
            flexible = flexible[1:]
        return fields, widths

    def _names(self, field: Field[Row], widths: Mapping[str, int]) -> dict[str, str]:
        if field.name is None:
            return {}
        return fit_names([field.name(row) for row in self.shown], widths[field.key])

    def _mark(self, row: Row, look: Look) -> Text:
        return Text("●" if self.key(row) in self.marked else "", look.colours.accent)

    def _label(self, field: Field[Row]) -> str:
        arrow = ("▲" if self.is_reversed else "▼") if field.key == self.sorted_by else ""
        return field.label + arrow

    def _cell(self, field: Field[Row], row: Row, look: Look) -> Text:
        cell = field.cell(row, look)
        cell.no_wrap = True
        if field.right:
            cell.justify = "right"
        if cell.cell_len > look.width and not field.right:
            cell.truncate(look.width, overflow="ellipsis")
        return cell

    def _nothing(self) -> str:
        if self.is_narrowed and self._all:
            shows = spoken("Press {back} to show them again.")
            return f"All {len(self._all)} are hidden. {shows}"
        return self.words


def words(text: str | None, look: Look, style: str = "") -> Text:
    """A text cut to the width of its column."""
    return Text(shorten(text or "", look.width), style=style)


def named(name: str, look: Look, style: str = "") -> Text:
    """A name as far as it fits, never cut where it differs from the others."""
    return Text(look.names.get(name, name), style=style)
