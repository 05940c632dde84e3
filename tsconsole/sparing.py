"""Sends to the terminal only what is not on it yet.

Textual draws whole screens again: two to four times when one is opened, 13 KB each time, and that
is 14 seconds on a line of 9,600 baud. What differs from what was sent last is often a tenth of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.style import Style
from textual import events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.screen import Screen
from textual.strip import Strip

Cell = tuple[str, Any]
"""What stands in one column, and how it looks; the text is empty behind a wide character."""
Piece = tuple[int, int, Strip]
"""Line, column, and what is drawn there."""

NEAR = 8
"""Columns between two changes that cost less than to move the cursor over them."""


class SparingApp(App[int]):
    """An App that remembers what the terminal shows."""

    def __init__(self) -> None:
        super().__init__()
        self._terminal = Terminal()

    def on_load(self) -> None:
        """After another program had the terminal, nothing is known of it."""
        self.app_resume_signal.subscribe(self, lambda _: self._terminal.forget())

    def on_resize(self, _: events.Resize) -> None:
        """A terminal of another size may have moved its lines."""
        self._terminal.forget()

    def action_redraw(self) -> None:
        """Send the whole screen again, in case something else wrote on it."""
        self._terminal.forget()
        self.screen.refresh()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, (LayoutUpdate, ChopsUpdate)):
            renderable = Change(renderable, self._terminal)
        super()._display(screen, renderable)


class Terminal:
    """What the terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """Nothing is known any more."""
        self._lines.clear()

    def changes(self, piece: Piece) -> Iterator[Piece]:
        """The parts of a piece that are not there yet; from now on they are."""
        y, x, strip = piece
        new = cells(strip)
        line = self._lines.setdefault(y, [])
        if len(line) < x + len(new):
            line.extend([None] * (x + len(new) - len(line)))
        old = line[x : x + len(new)]
        if old == new:
            return
        for start, end in differing(old, new):
            yield y, x + start, strip.crop(start, end).discard_meta().simplify()
        line[x : x + len(new)] = new


class Change(CompositorUpdate):
    """An update of Textual's, without what the terminal shows already."""

    def __init__(self, update: LayoutUpdate | ChopsUpdate, terminal: Terminal) -> None:
        self._update = update
        self._terminal = terminal

    def render_segments(self, console: Console) -> str:
        """The characters and sequences that are sent."""
        return "".join(
            f"{Control.move_to(x, y).segment.text}{strip.render(console)}"
            for piece in pieces(self._update)
            for y, x, strip in self._terminal.changes(piece)
        )


def pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[Piece]:
    """What an update draws, and where."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            yield y, update.region.x, Strip.join(strips)
        return
    for y, x1, x2 in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=True):
            if strip is not None and x <= x2 and end > x1:
                yield y, x, strip.crop(0, min(end, x2) - x)


def cells(strip: Strip) -> list[Cell | None]:
    """The columns of a strip."""
    found: list[Cell | None] = []
    for text, style, control in strip:
        if control:
            continue
        seen = look(style) if style is not None else None
        if text.isascii():
            found.extend((character, seen) for character in text)
            continue
        for character in text:
            width = cell_len(character)
            if not width and found and found[-1] is not None:
                found[-1] = (found[-1][0] + character, seen)
            elif width:
                found.append((character, seen))
                found.extend([("", seen)] * (width - 1))
    return found


@lru_cache(8192)
def look(style: Style) -> tuple[Any, ...]:
    """What of a style is seen; a table puts into it, too, which cell it is of."""
    return style.color, style.bgcolor, style._attributes, style._set_attributes, style.link


def differing(old: list[Cell | None], new: list[Cell | None]) -> list[tuple[int, int]]:
    """From which column up to which the two differ, no wide character cut in two.

    >>> differing([("a", None), ("b", None)], [("a", None), ("c", None)])
    [(1, 2)]
    """
    spans: list[tuple[int, int]] = []
    for position, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        if spans and position - spans[-1][1] < NEAR:
            spans[-1] = (spans[-1][0], position + 1)
        else:
            spans.append((position, position + 1))
    whole = []
    for start, end in spans:
        while start > 0 and (_is_rest(new[start]) or _is_rest(old[start])):
            start -= 1
        while end < len(new) and (_is_rest(new[end]) or _is_rest(old[end])):
            end += 1
        whole.append((start, end))
    return whole


def _is_rest(cell: Cell | None) -> bool:
    return cell is not None and not cell[0]
