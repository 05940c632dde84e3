"""A question that is answered in words: a period, an interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tsconsole.actions.action import shown_key
from tsconsole.screens.dialog import Dialog
from tsconsole.themes import palette
from tsconsole.widgets.quiet_input import QuietInput


class AskScreen(Dialog[str | None]):
    """Returns what was written, once nothing is wrong with it; None when nothing was."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", show=False)]

    def __init__(
        self, title: str, question: Text, value: str, problem: Callable[[str], str | None]
    ) -> None:
        super().__init__()
        self._title = title
        self._question = question
        self._value = value
        self._problem = problem
        """What is wrong with an answer; None when it will do."""

    def compose(self) -> ComposeResult:
        """The question, the answer, what is wrong with it."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            box.border_subtitle = Content(f"{shown_key('enter')} does it   esc cancels")
            yield Static(self._question, id="question")
            yield QuietInput(self._value, id="typed")
            yield Static("", id="wrong")

    def on_mount(self) -> None:
        """One can write at once."""
        self.query_one(Input).focus()

    @on(Input.Changed)
    def compare(self) -> None:
        """An error goes when one goes on writing."""
        self.query_one("#wrong", Static).update("")

    @on(Input.Submitted)
    def answer(self, event: Input.Submitted) -> None:
        """This answer, if it will do."""
        value = event.value.strip()
        problem = self._problem(value)
        if problem is None:
            self.dismiss(value)
        else:
            wrong = Text(f"✗ {problem}", style=palette(self.app).error)
            self.query_one("#wrong", Static).update(wrong)

    def action_cancel(self) -> None:
        """No answer."""
        self.dismiss(None)
