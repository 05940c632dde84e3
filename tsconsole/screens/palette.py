"""The palette: any action and any rollup, found by a few letters of its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tsconsole.actions.action import shown_key
from tsconsole.presentation.fuzzy import best_matches, matched_letters
from tsconsole.screens.dialog import Dialog
from tsconsole.themes import palette
from tsconsole.widgets.quiet_input import QuietInput

SHOWN = 200
"""More matches than anybody reads."""


@dataclass(frozen=True)
class Entry:
    """One thing that can be found: an action (`run`) or a rollup (`target`)."""

    title: str
    detail: str = ""
    key: str = ""
    run: str | None = None
    """The action to run."""
    target: str | None = None
    """The rollup to go to."""
    reason: str | None = None
    """Why it cannot be done now."""


class PaletteScreen(Dialog[Entry | None]):
    """Type, choose, enter; the keys of the actions are shown beside them."""

    CSS_PATH = "palette.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+p", "close", show=False),
        Binding("down,ctrl+n", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
    ]

    def __init__(
        self,
        entries: Sequence[Entry],
        title: str = "Palette",
        hint: str = "an action or a rollup, by any of its letters",
    ) -> None:
        super().__init__()
        self._entries = entries
        self._title = title
        self._hint = hint
        self._found: list[Entry] = []

    def compose(self) -> ComposeResult:
        """What is looked for, and what was found."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            box.border_subtitle = Content(f"{shown_key('enter')} does it   esc closes")
            yield QuietInput(placeholder=self._hint, id="wanted")
            yield OptionList(id="found", compact=True)
            yield Static("Nothing matches.", id="nothing")

    def on_mount(self) -> None:
        """Show everything there is."""
        found = self.query_one(OptionList)
        found.can_focus = False
        self._find("")

    @on(Input.Changed)
    def narrow(self, event: Input.Changed) -> None:
        """Show what matches."""
        self._find(event.value)

    @on(Input.Submitted)
    def submit(self) -> None:
        """Do what is under the cursor."""
        highlighted = self.query_one(OptionList).highlighted
        if highlighted is not None and highlighted < len(self._found):
            self._choose(self._found[highlighted])

    @on(OptionList.OptionSelected)
    def click(self, event: OptionList.OptionSelected) -> None:
        """Do what was clicked."""
        self._choose(self._found[event.option_index])

    def action_move(self, lines: int) -> None:
        """Move the cursor while the focus stays where one types."""
        found = self.query_one(OptionList)
        if self._found:
            here = found.highlighted or 0
            found.highlighted = max(0, min(here + lines, len(self._found) - 1))

    def action_close(self) -> None:
        """Close without doing anything."""
        self.dismiss(None)

    def _choose(self, entry: Entry) -> None:
        if entry.reason is None:
            self.dismiss(entry)
        else:
            self.notify(f"{entry.title}: {entry.reason}", severity="warning", markup=False)

    def _find(self, wanted: str) -> None:
        matching = best_matches(
            wanted, self._entries, lambda entry: entry.title, lambda entry: entry.detail
        )
        # What cannot be done stands below, so that enter never lands on it by chance.
        self._found = sorted(matching[:SHOWN], key=lambda entry: entry.reason is not None)
        found = self.query_one(OptionList)
        found.clear_options()
        found.add_options([Option(self._line(entry, wanted)) for entry in self._found])
        found.highlighted = 0 if self._found else None
        self.query_one("#nothing").display = not self._found

    def _line(self, entry: Entry, wanted: str) -> Text:
        colours = palette(self.app)
        possible = entry.reason is None
        title = Text(entry.title, style="" if possible else colours.muted)
        for position in matched_letters(wanted, entry.title):
            title.stylize(f"bold {colours.accent}", position, position + 1)
        line = Text(no_wrap=True)
        line.append(f"{entry.key:>4}  ", f"bold {colours.accent}" if possible else colours.muted)
        line.append_text(title)
        if entry.detail or entry.reason:
            words = entry.detail if possible else f"({entry.reason})"
            line.append(f"   {words}", f"{'' if possible else 'italic '}{colours.muted}")
        return line
