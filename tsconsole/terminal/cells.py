"""The terminal as columns and lines: what it shows, what it should show, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.color import ColorSystem
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.strip import Strip

from tsconsole.terminal.sequences import Cell, Pen, look_of, of_blank

Piece = tuple[int, int, Strip]
"""Line, column, and what is drawn there."""
Line = list[Cell | None]
"""The columns of a line; None where nothing is known."""

NEAR = 5
"""Columns between two changes that cost less than to move the cursor over them."""
CONTROLS = dict.fromkeys((*range(32), *range(127, 160)))
"""Characters that a terminal obeys. A text of the database may have some in it."""


class Terminal:
    """What the terminal shows, as far as it is known, and what it should show."""

    def __init__(self, system: ColorSystem = ColorSystem.TRUECOLOR, erases: bool = False) -> None:
        self.system, self.erases = system, erases
        self._shown: dict[int, Line] = {}
        self._wanted: dict[int, Line] = {}
        self._changed: set[int] = set()
        """The lines of which something may have to be sent."""

    def forget(self) -> None:
        """Nothing is known any more of what it shows."""
        self._shown.clear()
        self._changed.update(self._wanted)

    def draw(self, update: LayoutUpdate | ChopsUpdate) -> None:
        """From now on it should show this."""
        for y, x, strip in pieces(update):
            new = cells(strip, self.system)
            line = self._wanted.setdefault(y, [])
            if len(line) < x + len(new):
                line.extend([None] * (x + len(new) - len(line)))
            line[x : x + len(new)] = new
            self._changed.add(y)

    def sequence(self, width: int, height: int) -> str:
        """What makes it show what it should; from now on it does."""
        pen = Pen(self.erases)
        for y in sorted(self._changed):
            if y >= height:
                continue  # It has become smaller.
            wanted = self._wanted[y][:width]
            shown = self._shown.get(y, [])
            shown = (shown + [None] * (len(wanted) - len(shown)))[: len(wanted)]
            for start, end in differing(shown, wanted):
                pen.write(y, start, [cell for cell in wanted[start:end] if cell is not None])
            self._shown[y] = [new or old for old, new in zip(shown, wanted, strict=True)]
        self._changed.clear()
        return pen.text()


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


def cells(strip: Strip, system: ColorSystem) -> list[Cell]:
    """The columns of a strip."""
    found: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        look = look_of(style, system)
        blank = of_blank(look)
        if not text.isprintable():
            text = text.translate(CONTROLS)
        if text.isascii():
            found.extend((character, blank if character == " " else look) for character in text)
            continue
        for character in text:
            width = 1 if character == " " else cell_len(character)
            if not width and found:
                place = -1 if found[-1][0] else -2  # A wide character is before its rest.
                found[place] = (found[place][0] + character, look)
            elif width:
                found.append((character, blank if character == " " else look))
                found.extend([("", look)] * (width - 1))
    return found


def differing(old: Line, new: Line) -> list[tuple[int, int]]:
    """From which column up to which the two differ, no wide character cut in two; what is not
    wanted does not.

    >>> from tsconsole.terminal.sequences import PLAIN
    >>> differing([("a", PLAIN), ("b", PLAIN)], [("a", PLAIN), ("c", PLAIN)])
    [(1, 2)]
    """
    if old == new:
        return []
    spans: list[tuple[int, int]] = []
    for position, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after or after is None:
            continue
        last = spans[-1][1] if spans else -NEAR
        if position - last < NEAR and None not in new[last:position]:
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
