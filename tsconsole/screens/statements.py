"""Every statement that the console has sent, the latest first, with how long it took."""

from __future__ import annotations

from datetime import timedelta

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable

from tsconsole.formatting import break_sql, one_line, shorten, took
from tsconsole.screens.base import ConsoleScreen, bindings
from tsconsole.screens.reader import ReaderScreen, Section
from tsconsole.statements import Statement
from tsconsole.themes import palette
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.line import Line
from tsconsole.widgets.live_table import Column, LiveTable
from tsconsole.widgets.tray import Tray

SHOWN = 200
"""How many are listed: the latest."""


class StatementsScreen(ConsoleScreen[None]):
    """A table of statements; what is polled is one row with a count."""

    place = "statements"
    CSS_PATH = "log.tcss"
    BINDINGS = bindings("statements")

    def compose(self) -> ComposeResult:
        """The title, the table, the keys."""
        yield Line(classes="title")
        yield LiveTable(id="log")
        yield Tray()
        yield KeyBar("statements")

    def on_mount(self) -> None:
        """Show what there is."""
        self.query_one(".title", Line).show(
            Text("Statements of this session; what is polled is one row with a count")
        )
        self.draw_soon(self.draw)

    def on_resize(self) -> None:
        """Fit into the new width."""
        self.draw_soon(self.draw)

    def tick(self) -> None:
        """Show what was sent meanwhile."""
        super().tick()
        self.draw()

    @on(DataTable.RowSelected)
    def read(self, event: DataTable.RowSelected) -> None:
        """Show a statement in full."""
        for entry in self.session.statements:
            if str(entry.id) == event.row_key.value:
                self.app.push_screen(ReaderScreen(self.session, "A statement", _sections(entry)))

    def draw(self) -> None:
        """Write the table."""
        entries = sorted(self.session.statements, key=lambda entry: entry.sent_at, reverse=True)
        entries = entries[:SHOWN]
        room = self.size.width - 4
        widths = {"AT": 8, "TIMES": 6, "TOOK": 7, "SLOWEST": 7, "ROWS": 6}
        if room < 70:
            del widths["SLOWEST"], widths["ROWS"]
        rest = max(room - sum(widths.values()) - 2 * len(widths), 10)
        columns = [Column(name, name, width, name != "AT") for name, width in widths.items()]
        table = self.query_one(LiveTable)
        table.lay_out([*columns, Column("STATEMENT", "STATEMENT", rest)])
        table.show({str(entry.id): self._cells(entry, list(widths), rest) for entry in entries})

    def _cells(self, entry: Statement, columns: list[str], rest: int) -> list[Text]:
        colours = palette(self.app)
        values = {
            "AT": Text(f"{entry.sent_at.astimezone():%H:%M:%S}", style=colours.muted),
            "TIMES": Text(f"{entry.count}", justify="right"),
            "TOOK": Text(_took(entry.seconds), justify="right"),
            "SLOWEST": Text(_took(entry.slowest) if entry.slowest else "·", justify="right"),
            "ROWS": Text("·" if entry.rows is None else str(entry.rows), justify="right"),
        }
        words = f"✗ {entry.error}" if entry.error else entry.text
        style = colours.error if entry.error else ""
        statement = Text(shorten(one_line(words), rest), style=style, no_wrap=True)
        return [values[name] for name in columns] + [statement]


def _took(seconds: float | None) -> str:
    return "runs" if seconds is None else took(timedelta(seconds=seconds))


def _sections(entry: Statement) -> list[Section]:
    facts = [
        f"sent       {entry.sent_at.astimezone():%Y-%m-%d %H:%M:%S}, {entry.count} times",
        f"took       {_took(entry.seconds)}, at most {_took(entry.slowest)}",
        f"rows       {'·' if entry.rows is None else entry.rows}",
    ]
    return [
        Section("What went wrong", entry.error or "", "error"),
        Section("The statement", break_sql(entry.text), "code"),
        Section("Its parameters", entry.parameters, "code"),
        Section("How it went", "\n".join(facts)),
    ]
