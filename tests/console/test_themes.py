"""What the eye does not show to everybody: contrast, colour-blindness, 16 colours."""

from __future__ import annotations

import itertools

import pytest
from rich._palettes import EIGHT_BIT_PALETTE
from rich.color import Color, ColorSystem
from textual.theme import Theme

from tsconsole.themes import DARK, LIGHT, for_terminal

Linear = tuple[float, float, float]

XTERM = (
    "#000000", "#cd0000", "#00cd00", "#cdcd00", "#0000ee", "#cd00cd", "#00cdcd", "#e5e5e5",
    "#7f7f7f", "#ff0000", "#00ff00", "#ffff00", "#5c5cff", "#ff00ff", "#00ffff", "#ffffff",
)  # fmt: skip

# How colours look without one kind of cones (Machado, Oliveira, Fernandes 2009, severity 1).
BLINDNESS = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip


def linear(colour: str) -> Linear:
    parts = [part / 255 for part in Color.parse(colour).get_truecolor()]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return red, green, blue


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def lab(colour: Linear) -> Linear:
    rows = (
        (0.4124, 0.3576, 0.1805, 0.95047), (0.2126, 0.7152, 0.0722, 1.0),
        (0.0193, 0.1192, 0.9505, 1.08883),
    )  # fmt: skip
    red, green, blue = colour
    values = [(r * red + g * green + b * blue) / white for r, g, b, white in rows]
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in values)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: str, other: str, kind: str) -> float:
    seen = []
    for colour in (one, other):
        red, green, blue = linear(colour)
        seen.append(lab(tuple(  # type: ignore[arg-type]
            min(max(r * red + g * green + b * blue, 0.0), 1.0) for r, g, b in BLINDNESS[kind]
        )))  # fmt: skip
    return float(sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5)


def words(theme: Theme) -> dict[str, str]:
    """The colours in which words are written."""
    return {
        "error": str(theme.error), "warning": str(theme.warning), "accent": str(theme.accent),
        "plain": str(theme.foreground), "muted": theme.variables["muted"],
    }  # fmt: skip


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_words_can_be_read(theme: Theme) -> None:
    for name, colour in words(theme).items():
        assert contrast(colour, str(theme.background)) >= 4.5, name
        assert contrast(colour, str(theme.panel)) >= 4.0, name
        if name != "accent":  # no cell is written in it
            limit = 2.5 if name == "muted" else 3.0
            assert contrast(colour, theme.variables["block-cursor-background"]) >= limit, name


@pytest.mark.parametrize("kind", list(BLINDNESS))
@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_states_differ_for_the_colour_blind(theme: Theme, kind: str) -> None:
    colours = words(theme)
    for one, other in itertools.combinations(("error", "warning", "plain"), 2):
        assert difference(colours[one], colours[other], kind) >= 20, (one, other)


def downgraded(colour: str, system: ColorSystem) -> str:
    """What a terminal of fewer colours shows, as xterm draws its sixteen."""
    number = Color.parse(colour).downgrade(system).number
    assert number is not None
    if system is ColorSystem.STANDARD:
        return XTERM[number]
    return str(EIGHT_BIT_PALETTE[number].hex)


def grounds(theme: Theme) -> dict[str, str]:
    """What words stand on."""
    cursor = theme.variables["block-cursor-background"]
    return {"screen": str(theme.background), "panel": str(theme.panel), "cursor": cursor}


@pytest.mark.parametrize("system", [ColorSystem.STANDARD, ColorSystem.EIGHT_BIT])
@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_fewer_colours_are_enough(theme: Theme, system: ColorSystem) -> None:
    colours = "standard" if system is ColorSystem.STANDARD else "256"
    seen = for_terminal(theme, colours)
    under_cursor = seen.variables["block-cursor-foreground"]
    for name, colour in words(seen).items():
        for place, ground in grounds(seen).items():
            if place == "cursor" and name in ("error", "warning") and colours == "standard":
                colour = under_cursor  # So does a table: see LiveTable.
            found = contrast(downgraded(colour, system), downgraded(ground, system))
            assert found >= (2.5 if name == "muted" else 3.0), (name, place, found)
    cursor, screen = (
        downgraded(ground, system) for ground in (grounds(seen)["cursor"], str(seen.background))
    )
    assert cursor != screen, "the cursor is seen"
    if system is ColorSystem.EIGHT_BIT:
        assert downgraded(str(seen.panel), system) != screen, "fields are seen"
    for line in ("line", "bar"):
        drawn = downgraded(seen.variables[line], system)
        assert contrast(drawn, screen) >= (3.0 if system is ColorSystem.STANDARD else 1.4), line


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_an_alarm_is_seen_first_without_colours(theme: Theme) -> None:
    seen = words(for_terminal(theme, is_grey=True))
    for ground in grounds(theme).values():
        for alarm in ("error", "warning"):
            assert contrast(seen[alarm], ground) >= contrast(seen["plain"], ground)
            assert contrast(seen[alarm], ground) >= 4.5
