"""A line of text that is drawn only when it changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import Static


class Line(Static):
    """One line, written over and over: an identical text costs nothing on the wire."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__("", id=id, classes=classes)
        self._shown: Text | None = None

    def show(self, text: Text) -> None:
        """Show this text."""
        if self._shown is not None and same(self._shown, text):
            return
        self._shown = text
        self.update(text, layout=False)


def same(one: Text, other: Text) -> bool:
    """Whether two texts look the same."""
    return one.plain == other.plain and one.spans == other.spans and one.style == other.style


def justified(left: Text, right: Text, width: int) -> Text:
    """Two texts at the two ends of a line; the left one is cut when both do not fit."""
    room = width - right.cell_len
    if left.cell_len > room - 1:
        left = left.copy()
        left.truncate(max(room - 1, 0), overflow="ellipsis")
    return Text.assemble(left, " " * max(room - left.cell_len, 0), right, no_wrap=True)


def fitting(parts: Sequence[Text], width: int, separator: Text) -> Text:
    """As many of the parts, in order, as fit into the width."""
    line = Text(no_wrap=True)
    for part in parts:
        if not part.cell_len:
            continue
        if not line.cell_len and part.cell_len > width:
            part = part.copy()
            part.truncate(max(width, 0), overflow="ellipsis")
        needed = part.cell_len + (separator.cell_len if line.cell_len else 0)
        if line.cell_len + needed > width:
            break
        if line.cell_len:
            line.append_text(separator)
        line.append_text(part)
    return line
