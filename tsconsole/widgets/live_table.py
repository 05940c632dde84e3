"""A table that is updated in place: the cursor stays on its row, and only what changed is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets.data_table import RowKey


@dataclass(frozen=True)
class Column:
    """One column: its key, its title, and its width in characters."""

    key: str
    label: str
    width: int
    right: bool = False


class LiveTable(DataTable[Text]):
    """A DataTable of rows with keys, refreshed as a whole but written cell by cell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
        Binding("g", "scroll_top", show=False),
        Binding("G", "scroll_bottom", show=False),
    ]

    class Selected(Message):
        """The cursor is on another row now (None: there is no row)."""

        def __init__(self, table: LiveTable, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LiveTable:
            """The table, for `@on` selectors."""
            return self.table

    def __init__(self, *, id: str | None = None, show_header: bool = True) -> None:
        super().__init__(
            id=id,
            cursor_type="row",
            show_header=show_header,
            cursor_foreground_priority="renderable",
            header_height=1,
        )
        self._layout: tuple[Column, ...] = ()
        self._row_height = 1
        self._selected: str | None = None
        self._given: dict[str, Sequence[Text]] = {}
        """The rows as they were given last: the same object again means that nothing changed."""

    @property
    def selected(self) -> str | None:
        """The key of the row under the cursor."""
        return self._selected

    @property
    def room(self) -> int:
        """Characters for the columns together, without the padding around each."""
        return max(self.size.width - self.scrollbar_size_vertical, 0)

    def lay_out(self, columns: Sequence[Column], row_height: int = 1) -> bool:
        """Set the columns; when they differ the table is emptied, and True is returned."""
        if (tuple(columns), row_height) == (self._layout, self._row_height):
            return False
        self._layout, self._row_height = tuple(columns), row_height
        self._given = {}
        with self.app.batch_update():
            self.clear(columns=True)
            for column in columns:
                label = Text(column.label, justify="right" if column.right else "left")
                self.add_column(label, width=column.width, key=column.key)
        return True

    def show(self, rows: Mapping[str, Sequence[Text]]) -> None:
        """Show these rows, in this order."""
        selected, line = self._selected, self.cursor_row
        with self.prevent(DataTable.RowHighlighted):
            for key in [key.value or "" for key in self.rows]:
                if key not in rows:
                    self.remove_row(key)
            for key, cells in rows.items():
                if RowKey(key) in self.rows:
                    if cells is not self._given.get(key):
                        self._write(key, cells)
                else:
                    self.add_row(*cells, key=key, height=self._row_height)
            self._given = dict(rows)
            self._put_in_order(list(rows))
            self._put_cursor(selected, line)
        self._tell()

    def select(self, key: str) -> bool:
        """Put the cursor on a row; False when it is not there."""
        if RowKey(key) not in self.rows:
            return False
        self.move_cursor(row=self.get_row_index(key), animate=False)
        self._tell()
        return True

    def go_down(self) -> None:
        """Put the cursor on the next row, if there is one."""
        if self.cursor_row < self.row_count - 1:
            self.move_cursor(row=self.cursor_row + 1, animate=False)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Notice that the operator moved the cursor."""
        event.stop()
        self._tell()

    def _write(self, key: str, cells: Sequence[Text]) -> None:
        """Write the cells that changed and draw nothing else: the public `update_cell` would
        send the whole table over the line, some 10 to 20 KB each time."""
        row = self._data[RowKey(key)]
        for (column_key, old), cell in zip(tuple(row.items()), cells, strict=True):
            if old == cell and old.spans == cell.spans and old.style == cell.style:
                continue
            row[column_key] = cell
            self._update_count += 1
            self.refresh_coordinate(
                Coordinate(self.get_row_index(key), self.get_column_index(column_key))
            )

    def _put_in_order(self, keys: list[str]) -> None:
        if [key.value for key in (row.key for row in self.ordered_rows)] == keys:
            return
        positions = {key: position for position, key in enumerate(keys)}
        # sort() asks for the rows in the order of self.rows, once each, and passes no row key.
        order = iter([positions[key.value or ""] for key in self.rows])
        self.sort(key=lambda _: next(order))

    def _put_cursor(self, selected: str | None, line: int) -> None:
        if not self.row_count:
            return
        if selected is not None and RowKey(selected) in self.rows:
            line = self.get_row_index(selected)
        line = min(line, self.row_count - 1)
        if line != self.cursor_row:
            self.move_cursor(row=line, animate=False)

    def _tell(self) -> None:
        key = None
        if self.row_count and self.is_valid_row_index(self.cursor_row):
            key = self.coordinate_to_cell_key(Coordinate(self.cursor_row, 0)).row_key.value
        if key != self._selected:
            self._selected = key
            self.post_message(self.Selected(self, key))
