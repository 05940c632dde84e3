"""A field of a form: its name, the control, and below it what is wrong or what to write."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Label, Static

from tsconsole.themes import palette


class Field(Horizontal):
    """One field."""

    def __init__(self, name: str, label: str, control: Widget, hint: str = "") -> None:
        super().__init__(id=f"field-{name}", classes="field")
        self.field_name = name
        self._label = label
        self._control = control
        self._hint = hint
        self._error = ""

    def compose(self) -> ComposeResult:
        """Name left, control right, the line below it."""
        yield Label(self._label, classes="field-label")
        with Vertical(classes="field-body"):
            yield self._control
            yield Static(Text(self._hint), classes="field-note")

    def on_descendant_focus(self) -> None:
        """Show where the operator is."""
        self.add_class("-focused")

    def on_descendant_blur(self) -> None:
        """And where no longer."""
        self.remove_class("-focused")

    def set_hint(self, hint: str) -> None:
        """Say what to write."""
        self._hint = hint
        self._draw()

    def set_error(self, error: str) -> None:
        """Say what is wrong; empty when nothing is."""
        if error != self._error:
            self._error = error
            self.set_class(bool(error), "-wrong")
            self._draw()

    def _draw(self) -> None:
        if not self.query(".field-note"):
            return  # It is being left before it was made.
        note = self.query_one(".field-note", Static)
        if self._error:
            note.update(Text(f"✗ {self._error}", style=palette(self.app).error))
        else:
            note.update(Text(self._hint))
        note.display = bool(self._error or self._hint)

    def on_mount(self) -> None:
        """No empty line below a field without a note."""
        self._draw()
