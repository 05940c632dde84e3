"""A question with a few answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tsconsole.actions.action import shown_key
from tsconsole.screens.dialog import Dialog


class ChooseScreen(Dialog[int | None]):
    """Returns the position of the answer; None when there was none."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "cancel", show=False),
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
    ]

    def __init__(
        self, title: str, question: Text, answers: Sequence[str], default: int = 0
    ) -> None:
        super().__init__()
        self._title = title
        self._question = question
        self._answers = answers
        self._default = default

    def compose(self) -> ComposeResult:
        """The question and the answers."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            box.border_subtitle = Content(f"{shown_key('enter')} starts   esc cancels")
            yield Static(self._question, id="question")
            options = [Option(Text(f" {answer} ")) for answer in self._answers]
            yield OptionList(*options, id="answers", compact=True)

    def on_mount(self) -> None:
        """The likely answer is under the cursor."""
        answers = self.query_one(OptionList)
        answers.highlighted = self._default
        answers.focus()

    def action_cancel(self) -> None:
        """No answer."""
        self.dismiss(None)

    def action_down(self) -> None:
        """Go down, as in vi."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Go up, as in vi."""
        self.query_one(OptionList).action_cursor_up()

    @on(OptionList.OptionSelected)
    def answer(self, event: OptionList.OptionSelected) -> None:
        """This answer."""
        self.dismiss(event.option_index)
