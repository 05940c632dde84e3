"""What this session has done: every operation, its outcome, and its result in full."""

from __future__ import annotations

from datetime import timedelta

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable, Static

from tsconsole.background.operation import Operation
from tsconsole.formatting import one_line, shorten, took
from tsconsole.screens.base import ConsoleScreen, bindings
from tsconsole.screens.reader import ReaderScreen, Section
from tsconsole.themes import palette
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.line import Line
from tsconsole.widgets.live_table import Column, LiveTable
from tsconsole.widgets.tray import Tray

_GLYPHS = {"running": "▶", "done": "✓", "failed": "✗", "cancelled": "×"}


class LogScreen(ConsoleScreen[None]):
    """A table of operations, the newest first."""

    place = "log"
    CSS_PATH = "log.tcss"
    BINDINGS = bindings("log")

    def compose(self) -> ComposeResult:
        """The title, the table, the keys."""
        yield Line(classes="title")
        yield LiveTable(id="log")
        yield Static("Nothing yet: what you do in this session is written down here.", id="none")
        yield Tray()
        yield KeyBar("log")

    def on_mount(self) -> None:
        """Show what there is."""
        self.query_one(".title", Line).show(Text("Done in this session"))
        self.draw_soon(self.draw)

    def on_resize(self) -> None:
        """Fit into the new width."""
        self.draw_soon(self.draw)

    def operation_changed(self, operation: Operation) -> None:
        """Show the change."""
        super().operation_changed(operation)
        self.draw()

    @on(DataTable.RowSelected)
    def read(self, event: DataTable.RowSelected) -> None:
        """Show a result in full."""
        operation = self.session.background.operations.get(int(event.row_key.value or 0))
        if operation is not None and operation.result is not None:
            text = operation.result.text or operation.result.message
            sections = [Section(operation.result.message, text, "code")]
            self.app.push_screen(ReaderScreen(self.session, operation.title, sections))

    def draw(self) -> None:
        """Write the table."""
        table = self.query_one(LiveTable)
        operations = list(reversed(self.session.background.operations.values()))
        table.display, self.query_one("#none").display = bool(operations), not operations
        room = self.size.width - 4
        widths = (8, 11, min(44, room // 3), 7)
        rest = max(room - sum(widths) - 8, 10)
        names = ("AT", "OUTCOME", "WHAT", "TOOK", "RESULT")
        columns = [
            Column(name, name, width, name == "TOOK")
            for name, width in zip(names, (*widths, rest), strict=True)
        ]
        table.lay_out(columns)
        table.show({str(op.id): self._cells(op, widths[2], rest) for op in operations})

    def _cells(self, operation: Operation, width: int, rest: int) -> list[Text]:
        colours = palette(self.app)
        style = colours.error if operation.outcome == "failed" else ""
        ended = operation.ended if operation.ended is not None else self.session.clock()
        spent = timedelta(seconds=ended - operation.began)
        words = operation.result.message if operation.result else operation.note
        return [
            Text(f"{operation.began_at.astimezone():%H:%M:%S}", style=colours.muted),
            Text(f"{_GLYPHS[operation.outcome]} {operation.outcome}", style=style),
            Text(shorten(operation.title, width)),
            Text(took(spent), justify="right"),
            Text(shorten(one_line(words), rest), no_wrap=True),
        ]
