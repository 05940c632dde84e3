"""A question before something that cannot be taken back, or that costs a lot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from tsconsole.errors import TsconsoleError
from tsconsole.formatting import one_line
from tsconsole.screens.dialog import Dialog
from tsconsole.widgets.quiet_input import QuietInput


class ConfirmScreen(Dialog[bool]):
    """Says what will happen to what; Cancel has the focus. It may want a name typed."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "cancel", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(
        self,
        title: str,
        question: Text,
        verb: str,
        typed: str | None = None,
        facts: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._question = question
        self._verb = verb
        self._typed = typed
        self._facts = facts
        self.is_complete = facts is None
        """Whether nothing is awaited any more that stands in it."""

    def compose(self) -> ComposeResult:
        """The question, the name to be typed, the two ways out."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Static(self._question, id="question")
            if self._facts is not None:
                yield Static("reading what it would take …", id="facts")
            if self._typed is not None:
                yield Static(Text.assemble("Type ", (self._typed, "bold"), " to confirm:"))
                yield QuietInput(id="typed")
            with Horizontal(id="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(self._verb, id="go", compact=True, disabled=self._typed is not None)

    def on_mount(self) -> None:
        """The harmless way out is the nearest."""
        self.query_one("#typed" if self._typed is not None else "#cancel").focus()
        if self._facts is not None:
            self.run_worker(self._read(self._facts), exit_on_error=False)

    async def _read(self, facts: Callable[[], Awaitable[str]]) -> None:
        try:
            words = await facts()
        except TsconsoleError as error:
            words = f"What it would take is not known: {one_line(error.message)}"
        self.is_complete = True
        self.query_one("#facts", Static).update(Text(words))

    @on(Input.Changed, "#typed")
    def compare(self, event: Input.Changed) -> None:
        """Open the way only when the name is right."""
        self.query_one("#go", Button).disabled = event.value.strip() != self._typed

    @on(Input.Submitted, "#typed")
    def typed(self, event: Input.Submitted) -> None:
        """Enter after the right name confirms; after a wrong one it does nothing."""
        if event.value.strip() == self._typed:
            self.dismiss(True)

    @on(Button.Pressed, "#go")
    def go(self) -> None:
        """Yes."""
        self.dismiss(True)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """No."""
        self.dismiss(False)
