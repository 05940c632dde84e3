"""Every key of the screen one comes from, with what it does; enter presses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tsconsole.actions.registry import Action, shown_key
from tsconsole.health import STATES
from tsconsole.screens.dialog import Dialog
from tsconsole.themes import palette


class HelpScreen(Dialog[str | None]):
    """A list of actions, grouped, with the reason beside what does not work now."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1", "close", show=False),
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
    ]

    def __init__(self, lines: Sequence[tuple[Action, str | None]]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """The keys, then the states in words."""
        with Vertical(id="box") as box:
            box.border_title = Content("Keys that work here")
            box.border_subtitle = Content(f"{shown_key('enter')} does it   esc closes")
            yield OptionList(*self._options(), id="keys", compact=True)

    def on_key(self, event: events.Key) -> None:
        """The key that opened it closes it, whichever it is."""
        helps = ("help", "help_here")
        opened = [action.keys.split(",") for action, _ in self._lines if action.method in helps]
        if any(event.key in keys for keys in opened):
            event.stop()
            self.dismiss(None)

    def action_close(self) -> None:
        """Close without doing anything."""
        self.dismiss(None)

    def action_down(self) -> None:
        """Go down, as in vi."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Go up, as in vi."""
        self.query_one(OptionList).action_cursor_up()

    @on(OptionList.OptionSelected)
    def press(self, event: OptionList.OptionSelected) -> None:
        """Do what was chosen."""
        self.dismiss(event.option_id)

    def _options(self) -> list[Option]:
        options: list[Option] = []
        groups = dict.fromkeys(action.group for action, _ in self._lines)
        for group in groups:
            if options:
                options.append(Option("", disabled=True))
            heading = Text(group, style=f"bold {palette(self.app).accent}")
            options.append(Option(heading, disabled=True))
            for action, reason in self._lines:
                if action.group == group:
                    options.append(self._option(action, reason))
        return options + self._states()

    def _option(self, action: Action, reason: str | None) -> Option:
        keys = " ".join(shown_key(key) for key in action.keys.split(","))
        muted = palette(self.app).muted
        line = Text.assemble((f"{keys:>6}  ", "bold" if reason is None else muted))
        line.append(action.meaning, style="" if reason is None else muted)
        if reason is not None:
            line.append(f"  ({reason})", style=f"italic {muted}")
        return Option(line, id=action.name, disabled=reason is not None)

    def _states(self) -> list[Option]:
        colours = palette(self.app)
        heading = Text("What the states mean", style=f"bold {colours.accent}")
        options = [Option("", disabled=True), Option(heading, disabled=True)]
        for state in STATES:
            line = Text(f"{state.glyph:>2} {state.health:9}", style=colours.of(state.style))
            line.append(state.meaning, style=colours.muted)
            options.append(Option(line, disabled=True))
        return options
