"""What is sent to the terminal so that cells look as they should, in as few bytes as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from rich.color import Color, ColorSystem
from rich.style import Style


class Look(NamedTuple):
    """How a cell looks: the codes of its colours, and a bit for each of Rich's attributes."""

    colour: str
    ground: str
    attributes: int


Cell = tuple[str, Look]
"""What stands in one column, and how it looks; the text is empty behind a wide character."""

PLAIN = Look("39", "49", 0)
ON = Style._style_map
OFF = {0: 22, 1: 22, 2: 23, 3: 24, 4: 25, 5: 25, 6: 27, 7: 28, 8: 29, 9: 24, 10: 54, 11: 54, 12: 55}
"""The codes that begin and end an attribute; some end two."""
ON_BLANKS = sum(1 << bit for bit in (3, 6, 8, 9, 10, 11, 12))
"""The attributes that are seen where nothing is written: lines, and reverse."""
WORTH_ERASING = 8
"""Blanks that are longer than the sequence that stands for them."""


@lru_cache(8192)
def look_of(style: Style | None, system: ColorSystem) -> Look:
    """What of a style is seen; a table puts into it, too, which cell it is of."""
    if style is None:
        return PLAIN
    attributes = style._attributes & style._set_attributes
    return Look(_codes(style.color, system, True), _codes(style.bgcolor, system, False), attributes)


def _codes(colour: Color | None, system: ColorSystem, is_text: bool) -> str:
    if colour is None:
        return PLAIN.colour if is_text else PLAIN.ground
    return ";".join(colour.downgrade(system).get_ansi_codes(is_text))


def of_blank(look: Look) -> Look:
    """How a blank looks: the colour of what is not written is not seen."""
    return look if look.attributes & ON_BLANKS else Look(PLAIN.colour, look.ground, 0)


@lru_cache(8192)
def change(old: Look, new: Look) -> str:
    """The sequence between two looks.

    >>> change(PLAIN, Look("31", "49", 1))
    '\\x1b[1;31m'
    >>> change(Look("31", "48;5;16", 1), Look("31", "48;5;16", 0))
    '\\x1b[22m'
    """
    if old == new:
        return ""
    ended = {code for bit, code in OFF.items() if old.attributes & ~new.attributes & 1 << bit}
    kept = sum(1 << bit for bit, code in OFF.items() if code not in ended) & old.attributes
    step = [*map(str, sorted(ended)), *_begun(new.attributes & ~kept)]
    step += [new.colour] if new.colour != old.colour else []
    step += [new.ground] if new.ground != old.ground else []
    anew = ["0", *_begun(new.attributes)] if new != PLAIN else [""]
    anew += [new.colour] if new.colour != PLAIN.colour else []
    anew += [new.ground] if new.ground != PLAIN.ground else []
    return f"\x1b[{min(';'.join(step), ';'.join(anew), key=len)}m"


def _begun(attributes: int) -> list[str]:
    return [code for bit, code in ON.items() if attributes & 1 << bit]


class Pen:
    """Writes cells, and remembers where the cursor is and how it writes."""

    def __init__(self, erases: bool = False) -> None:
        self._erases = erases
        """Whether the terminal erases in the colour that is set (terminfo: bce)."""
        self._parts: list[str] = []
        self._look = PLAIN
        self._at = (-1, -1)

    def write(self, y: int, x: int, cells: Sequence[Cell]) -> None:
        """Write cells beside each other, from a place on."""
        for (is_blank, look), run in groupby(cells, _kind):
            text = [character for character, _ in run]
            self._move(y, x)
            if is_blank:
                now = self._look
                look = Look(now.colour, look.ground, now.attributes & ~ON_BLANKS)
            self._parts.append(change(self._look, look))
            self._look = look
            if is_blank and self._erases and len(text) >= WORTH_ERASING:
                self._parts.append(f"\x1b[{len(text)}X")  # The cursor stays where it is.
            else:
                self._parts.extend(text)
                self._at = (y, x + len(text))
            x += len(text)

    def text(self) -> str:
        """Everything that was written; what follows looks plain again."""
        return "".join(self._parts) + change(self._look, PLAIN)

    def _move(self, y: int, x: int) -> None:
        if self._at == (y, x):
            return
        by = x - self._at[1]
        if self._at[0] != y or by < 0:
            self._parts.append(f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H")
        else:
            self._parts.append(f"\x1b[{by}C" if by > 1 else "\x1b[C")
        self._at = (y, x)


def _kind(cell: Cell) -> tuple[bool, Look]:
    text, look = cell
    return text == " " and not look.attributes & ON_BLANKS, look
