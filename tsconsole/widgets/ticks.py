"""A list of which any number can be chosen; a tick is a character, not only a colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tsconsole.themes import palette


class Ticks(OptionList):
    """Space or enter ticks the line under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "select", show=False)]

    class Changed(Message):
        """Another line was ticked, or no longer."""

        def __init__(self, ticks: Ticks, chosen: tuple[str, ...]) -> None:
            super().__init__()
            self.ticks = ticks
            self.chosen = chosen

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, compact=True)
        self._choices: dict[str, Text] = {}
        self._chosen: set[str] = set()

    def offer(self, choices: Iterable[tuple[str, Text]], chosen: Iterable[str]) -> None:
        """Put these lines into the list, some of them ticked."""
        self._choices = dict(choices)
        self._chosen = set(chosen) & set(self._choices)
        self.clear_options()
        self.add_options(Option(self._line(key), id=key) for key in self._choices)

    @on(OptionList.OptionSelected)
    def toggle(self, event: OptionList.OptionSelected) -> None:
        """Tick it, or no longer."""
        event.stop()
        key = event.option_id or ""
        self._chosen ^= {key}
        self.replace_option_prompt(key, self._line(key))
        chosen = tuple(key for key in self._choices if key in self._chosen)
        self.post_message(self.Changed(self, chosen))

    def _line(self, key: str) -> Text:
        is_chosen = key in self._chosen
        colours = palette(self.app)
        box = ("[x] ", colours.accent) if is_chosen else ("[ ] ", "")
        return Text.assemble(box, self._choices[key])
