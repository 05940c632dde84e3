"""What is sent to the terminal leaves there what Textual has drawn, and is little."""

from __future__ import annotations

import doctest
from typing import Any

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from console.conftest import MakeConsole
from console.test_terminal import Terminal as Pty
from tsconsole import sparing
from tsconsole.sparing import Cell, Change, Terminal, cells, pieces

STYLES = [Style(color="red"), Style(bold=True), Style(), Style(meta={"row": 1})]
WIDTH = 24


def strip_of(parts: list[tuple[str, int]]) -> Strip:
    segments = [Segment(text, STYLES[style]) for text, style in parts]
    return Strip(segments).adjust_cell_length(WIDTH, STYLES[2])


LINE = st.lists(st.tuples(st.text("ab ─✗中文", max_size=9), st.integers(0, 3)), max_size=6).map(
    strip_of
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(LINE, min_size=3, max_size=3), min_size=1, max_size=6))
def test_the_terminal_shows_what_was_drawn(screens: list[list[Strip]]) -> None:
    terminal = Terminal()
    shown: dict[int, list[Cell | None]] = {y: [None] * WIDTH for y in range(3)}
    for lines in screens:
        update = LayoutUpdate([[line] for line in lines], Region(0, 0, WIDTH, 3))
        for piece in pieces(update):
            for y, x, strip in terminal.changes(piece):
                sent = cells(strip)
                assert sent and len(sent) == strip.cell_length
                shown[y][x : x + len(sent)] = sent
        assert shown == {y: cells(line) for y, line in enumerate(lines)}


def test_what_is_there_already_is_not_sent_again() -> None:
    terminal, console = Terminal(), Console()
    line = strip_of([("a line that is seen", 0)])
    update = LayoutUpdate([[line], [line]], Region(0, 0, WIDTH, 2))
    first = Change(update, terminal).render_segments(console)
    assert first.count("that is seen") == 2
    assert Change(update, terminal).render_segments(console) == ""

    # Of a line that has changed, what has changed.
    other = LayoutUpdate([[strip_of([("a line that is gone", 0)])], [line]], update.region)
    assert "gone" in (sent := Change(other, terminal).render_segments(console))
    assert "line" not in sent

    terminal.forget()
    assert Change(other, terminal).render_segments(console).count("line") == 2


def test_examples() -> None:
    assert doctest.testmod(sparing).failed == 0


def sent(program: Pty, keys: str, text: str) -> int:
    """The bytes that come back until a text is there and nothing follows."""
    begin = len(program.output)
    program.send(keys)
    program.output, before = "", program.output
    program.wait_for(text)
    program.read(0.4)
    count = len(program.output.encode())
    program.output = before + program.output
    assert begin == len(before)
    return count


def test_little_is_sent_over_a_slow_line(database: str, db: psycopg.Connection) -> None:
    db.execute("""
        create table raw.meters (ts timestamptz not null, device int, power float8);
        select silver.create_rollup_table('raw.meters', 'silver.meters_1h', '1 hour');
    """)
    program = Pty(database, size=(120, 36))
    try:
        program.wait_for("meters_1h")
        program.read(1.5)
        assert sent(program, "w", "Running steps") < 20_000
        program.send("\x1b")
        program.read(1.0)
        # A dialog costs what it covers; while it is open nothing is sent.
        assert sent(program, "v", "Verify") < 8_000
        program.read(0.5)
        begin = len(program.output)
        program.read(2.5)
        assert len(program.output) - begin < 200
        program.send("\x1b")
        program.read(1.0)
        # All of it on request: something else may have written on it.
        assert sent(program, "\x0c", "Operations") > 6_000
    finally:
        program.close()


async def test_nothing_ticks_behind_another_screen(console: MakeConsole, db: Any) -> None:
    from tsconsole.screens.create import CreateScreen

    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause(0.5)
        below = app.screen
        await app.push_screen(CreateScreen(app.session))
        ticks: list[str] = []
        # Not of the class: only this one screen's ticks are counted.
        below.tick = lambda: ticks.append("tick")  # type: ignore[attr-defined,method-assign]
        below._tick_when_seen()  # type: ignore[attr-defined]
        assert not ticks
