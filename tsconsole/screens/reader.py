"""A text to read in full: an error with its query, the differences that a check found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from tsconsole.actions.action import Place
from tsconsole.formatting import break_sql, moment
from tsconsole.models import ErrorEntry
from tsconsole.screens.base import ConsoleScreen, bindings
from tsconsole.session import Session
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.line import Line


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    body: str
    kind: str = ""
    """A class for the styles: error, code."""


class ReaderScreen(ConsoleScreen[None]):
    """Sections of text."""

    place: ClassVar[Place] = "reader"
    CSS_PATH = "reader.tcss"
    BINDINGS = bindings("reader")
    AUTO_FOCUS = "#text"

    def __init__(self, session: Session, title: str, sections: Sequence[Section]) -> None:
        super().__init__(session)
        self._title = title
        self._sections = [section for section in sections if section.body]

    def compose(self) -> ComposeResult:
        """The title, the sections, the keys."""
        yield Line(classes="title")
        with VerticalScroll(id="text"):
            for section in self._sections:
                yield Static(Text(section.heading), classes="heading")
                yield Static(Text(section.body), classes=f"body {section.kind}")
        yield KeyBar(self.place)

    def on_mount(self) -> None:
        """Show the title."""
        self.query_one(".title", Line).show(Text(self._title, no_wrap=True))

    def add_section(self, section: Section) -> None:
        """Put one more section at the end."""
        self._sections.append(section)
        heading = Static(Text(section.heading), classes="heading")
        body = Static(Text(section.body), classes=f"body {section.kind}")
        self.query_one("#text", VerticalScroll).mount(heading, body)

    def action_copy(self) -> None:
        """Copy everything to the clipboard of the terminal (OSC 52)."""
        parts = [f"{section.heading}\n{section.body}" for section in self._sections]
        self.app.copy_to_clipboard("\n\n".join([self._title, *parts]))
        self.say("copied")


def error_sections(error: ErrorEntry) -> list[Section]:
    """Everything the log knows about an error."""
    window = ""
    if error.window_start and error.window_end:
        window = f"{moment(error.window_start)} to {moment(error.window_end)}"
    facts = [
        ("when", moment(error.error_timestamp)),
        ("rollup", error.target_table or ""),
        ("source", error.source_table or ""),
        ("work", error.work or ""),
        ("window", window),
        ("SQLSTATE", error.sql_state or ""),
        ("tries", "" if error.retry_count is None else str(error.retry_count)),
        ("backend", "" if error.worker_pid is None else str(error.worker_pid)),
        ("table", ".".join(n for n in (error.schema_name, error.table_name) if n)),
        ("constraint", error.constraint_name or ""),
    ]
    return [
        Section("What went wrong", error.error_message, "error"),
        Section("Detail", error.error_detail or ""),
        Section("Hint", error.error_hint or ""),
        Section("Where", "\n".join(f"{name:11}{value}" for name, value in facts if value)),
        Section("The query that was attempted", break_sql(error.attempted_query or ""), "code"),
        Section("Context", error.error_context or "", "code"),
    ]
