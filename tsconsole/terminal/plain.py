"""Terminals that have only ASCII: every line is translated on its way out."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from tsconsole.health import STATES

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
        **dict.fromkeys("─━▔", "-"),
        **dict.fromkeys("│┃▌▐▎▏▍▋▊▉▕", "|"),
        **dict(zip("▁▂▃▄▅▆▇█▀■", "_.-=+*####", strict=True)),
        **{state.glyph: state.plain for state in STATES},
        "×": "x",
        "●": "*",
        "→": ">",
        "·": ".",
        "░": ":",
        "▒": "%",
        "○": "o",
        "…": "~",
        "⟳": "@",
        "▼": "v",
        "▲": "^",
        "“": '"',
        "”": '"',
        **{chr(braille): "*" for braille in range(0x2801, 0x2900)},
    }
)


class PlainText(LineFilter):
    """Replaces what is drawn with characters by characters that every terminal has."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Translate one line, character by character: its width stays."""
        return [
            Segment(text.translate(_PLAIN), style, control) for text, style, control in segments
        ]
