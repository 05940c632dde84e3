"""A table that is updated in place: the cursor stays on its row, and only what changed is drawn.

It may have thousands of rows: those that are not seen have no cells until they are scrolled to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual._two_way_dict import TwoWayDict
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.geometry import Region
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey, Row, RowKey

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Column:
    """One column: its key, its title, and its width in characters."""

    key: str
    label: str
    width: int
    right: bool = False


Draw = Callable[[str], Sequence[Text]]
"""Makes the cells of the row with a key."""
_NOT_DRAWN: dict[ColumnKey, Text] = {}
KEPT_CELLS, KEPT_LINES = 1000, 100
"""About two screenfuls of what was drawn."""


class LiveTable(DataTable[Text]):
    """A DataTable of rows with keys, refreshed as a whole but written cell by cell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
        # The cursor is a whole row: Textual's own home and end, which find a column, do nothing.
        Binding("g,home", "scroll_top", show=False),
        Binding("G,end", "scroll_bottom", show=False),
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
        self._keys: tuple[str, ...] = ()
        """The keys of the rows, in their order."""
        self._draw: Draw = lambda _: ()
        self._keep_little()

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
        with self.app.batch_update():
            self.clear(columns=True)
            for column in columns:
                label = Text(column.label, justify="right" if column.right else "left")
                self.add_column(label, width=column.width, key=column.key)
        return True

    def show(self, rows: Mapping[str, Sequence[Text]]) -> None:
        """Show these rows, in this order."""
        self.show_drawn(rows, rows.__getitem__)

    def show_drawn(self, keys: Iterable[str], draw: Draw) -> None:
        """Show rows with these keys, in this order; their cells are made when they are seen."""
        selected, line = self._selected, self.cursor_row
        before, cells = self._keys, self._data
        self._keys, self._draw = tuple(keys), draw
        with self.prevent(DataTable.RowHighlighted):
            if self._keys != before:
                self._put_rows(len(before))
            self._data = dict.fromkeys(self.rows, _NOT_DRAWN)
            self._update_count += 1
            for index in self._seen():
                known = cells.get(RowKey(before[index])) if index < len(before) else None
                self._write(index, known or _NOT_DRAWN)
            if self._keys != before:
                self._put_cursor(selected, line)
        self._tell()

    def clear(self, columns: bool = False) -> Self:
        """Show no row."""
        self._keys = ()
        return super().clear(columns)

    def get_row(self, row_key: RowKey | str) -> list[Text]:
        """The cells of a row, made now if it was not seen before."""
        key = RowKey(row_key) if isinstance(row_key, str) else row_key
        if key in self.rows and not self._data[key]:
            self._make_cells(key)
        return super().get_row(row_key)

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

    def on_focus(self) -> None:
        """Of sixteen colours one is that of an alarm and of no cursor: under the cursor of the
        table in use, every word is written in the cursor's own colour then."""
        if self.app.console.color_system == "standard":
            self.cursor_foreground_priority = "css"

    def on_blur(self) -> None:
        """The cursor of another table is not seen on the words."""
        self.cursor_foreground_priority = "renderable"

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Notice that the operator moved the cursor."""
        event.stop()
        self._tell()

    def _keep_little(self) -> None:
        """Let DataTable forget sooner what it drew: it draws anew after each poll, and would keep
        ten thousand cells from before. To search all those for garbage takes 0.1 s, in which no
        key is answered."""
        self._cell_render_cache.maxsize = KEPT_CELLS
        self._row_renderable_cache.maxsize = KEPT_LINES
        self._row_render_cache.maxsize = KEPT_LINES
        self._line_cache.maxsize = KEPT_LINES

    def _seen(self) -> range:
        """The positions of the rows of which something is on the screen."""
        room = self.size.height - (self.header_height if self.show_header else 0)
        top = int(self.scroll_offset.y)
        end = -(-(top + max(room, 0)) // self._row_height)
        return range(top // self._row_height, min(end, len(self._keys)))

    def _render_line_in_row(
        self,
        row_key: RowKey,
        line_no: int,
        base_style: Style,
        cursor_location: Coordinate,
        hover_location: Coordinate,
    ) -> tuple[list[list[Segment]], list[list[Segment]]]:
        """A row of one line, as DataTable draws it but in a fifth of the time: a page of rows that
        was scrolled to is on the screen before the next key. Others are left to DataTable."""
        index = self._row_locations.get(row_key)
        is_hovered = self._show_hover_cursor and hover_location.row == index
        if index is None or is_hovered or self._row_height != 1:
            return super()._render_line_in_row(
                row_key, line_no, base_style, cursor_location, hover_location
            )
        added, after = self._get_styles_to_render_cell(
            False, False, False, False, cursor_location.row == index, self.show_cursor, False,
            self.cursor_foreground_priority == "css", self.cursor_background_priority == "css",
        )  # fmt: skip
        style, room, line = base_style + added, self.size.width, []
        for position, (column, cell) in enumerate(
            zip(self.columns.values(), self.get_row(row_key), strict=True)
        ):
            width = column.get_render_width(self)
            drawn = self._draw_cell(cell, width - 2 * self.cell_padding)
            place = Style.from_meta({"row": index, "column": position})
            line.append(list(Segment.apply_style(drawn, style + place, after)))
            room -= width
        place = Style.from_meta({"row": index, "column": 0, "out_of_bounds": True})
        line.append([Segment(" " * max(room, 0), style + place)])
        return [], line

    def _draw_cell(self, cell: Text, width: int) -> list[Segment]:
        """A cell with what stands around it."""
        space = Segment(" " * self.cell_padding)
        rest = width - cell.cell_len
        if rest < 0 or cell.justify == "right":
            cell = cell.copy()
            cell.truncate(width)
            if cell.justify == "right":
                cell.pad_left(max(rest, 0))
                rest = 0
        console = self.app.console
        if cell.spans:
            parts = list(Text("").join([cell]).render(console))
        else:
            parts = [Segment(cell.plain, console.get_style(cell.style))]
        return [space, *parts, Segment(" " * max(rest, 0)), space]

    def _make_cells(self, key: RowKey) -> dict[ColumnKey, Text]:
        cells = dict(zip(self.columns, self._draw(key.value or ""), strict=True))
        self._data[key] = cells
        return cells

    def _write(self, index: int, before: Mapping[ColumnKey, Text]) -> None:
        """Draw the cells of a line that differ from what stood there, and nothing else: the public
        `update_cell` would send the whole table over the line, some 10 to 20 KB each time."""
        cells = self._make_cells(RowKey(self._keys[index]))
        x, top = 0, self.header_height if self.show_header else 0
        for key, cell in cells.items():
            width, old = self.columns[key].get_render_width(self), before.get(key)
            if not (
                old is not None
                and old == cell
                and old.spans == cell.spans
                and old.style == cell.style
            ):
                y = top + index * self._row_height
                self._refresh_region(Region(x, y, width, self._row_height))
            x += width

    def _put_rows(self, before: int) -> None:
        """Make rows for the keys at once: to add and remove one after the other takes a second
        for a thousand."""
        known = self.rows
        rows = [
            known.get(key) or Row(key, self._row_height, None) for key in map(RowKey, self._keys)
        ]
        self.rows = {row.key: row for row in rows}
        self._row_locations = TwoWayDict({row.key: index for index, row in enumerate(rows)})
        if len(rows) == before:
            return
        self._require_update_dimensions = True
        self.cursor_coordinate = self.cursor_coordinate
        self.hover_coordinate = self.hover_coordinate
        if not before:
            self._highlight_cursor()
        self.refresh(layout=len(rows) < before)
        self.check_idle()

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
