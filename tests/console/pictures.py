"""Pictures of screens that only what is seen can change, taken when nothing moves any more."""

from __future__ import annotations

import asyncio
import difflib
import html
import io
import re
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.app import App
from textual.geometry import Region
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

QUIET = 4
"""How many looks in a row must find the same before a screen counts as still."""
PATIENCE = 20.0
"""Seconds after which a picture is taken of what moves nevertheless."""

TEXT = re.compile(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>')


async def settle(pilot: Pilot[Any]) -> None:
    """No message is on its way any more, no cursor blinks, and the screen stays as it is."""
    for box in pilot.app.screen.query(Input):
        box.cursor_blink = False
    seen, same, end = list[list[Segment]](), 0, monotonic() + PATIENCE
    while same < QUIET and monotonic() < end:
        await pilot.pause(0.05)
        await asyncio.sleep(0)
        now = lines_of(pilot.app)
        seen, same = now, same + 1 if now == seen else 0


def lines_of(app: App[Any]) -> list[list[Segment]]:
    """The lines of the screen as they are drawn now."""
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    assert isinstance(update, LayoutUpdate)
    return [list(as_seen(line)) for line in update.strips]


def export_screenshot(app: App[Any], *, title: str | None = None, simplify: bool = True) -> str:
    """The screen as SVG. Textual's own shows, too, of which pieces a line was put together, and
    that depends on what was drawn when."""
    console = Console(
        width=app.size.width,
        height=app.size.height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
        safe_box=False,
    )
    lines: list[Iterable[Strip]] = [[Strip(line)] for line in lines_of(app)]
    console.print(LayoutUpdate(lines, Region(0, 0, *app.size)))
    return console.export_svg(title=title or app.title)


def as_seen(line: Iterable[Strip]) -> Iterable[Segment]:
    """A line of the screen in as few pieces as it can be drawn with."""
    return Segment.simplify(
        Segment(text, look)
        for strip in line
        for text, style, control in strip
        if not control
        for text, look in visible(text, style or Style.null())
    )


def visible(text: str, style: Style) -> Iterator[tuple[str, Style]]:
    """A piece without what nobody sees: what a click on it does, and the colour of a blank."""
    style = style.clear_meta_and_links()
    if style.underline or style.underline2 or style.strike or style.overline or style.reverse:
        yield text, style
        return
    kept = text.strip(" ")
    blank = Style(bgcolor=style.bgcolor)
    before = len(text) - len(text.lstrip(" "))
    for part, look in (
        (text[:before], blank),
        (kept, style),
        (text[before + len(kept) :], blank),
    ):
        if part:
            yield part, look


def difference(expected: str, actual: str, most: int = 60) -> str:
    """In which lines of text two pictures differ; if in none, in which pieces."""
    for form in (rows, pieces):
        changed = list(
            difflib.unified_diff(form(expected), form(actual), "kept", "taken", n=0, lineterm="")
        )
        if changed:
            return "\n".join(changed[:most])
    return "nothing that is drawn differs"


def rows(picture: str) -> list[str]:
    """The text of a picture, line by line."""
    lines: dict[float, dict[float, str]] = {}
    for x, y, text in TEXT.findall(picture):
        lines.setdefault(float(y), {})[float(x)] = html.unescape(text).replace("\xa0", " ")
    return ["|".join(line[x] for x in sorted(line)) for _, line in sorted(lines.items())]


def pieces(picture: str) -> list[str]:
    """Everything a picture is made of, without the names it gave them."""
    return re.sub(r"terminal-(\d+-)?", "", picture).splitlines()
