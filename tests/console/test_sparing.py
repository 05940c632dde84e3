"""What is sent to the terminal leaves there what Textual has drawn, and is little."""

from __future__ import annotations

import doctest
import re
from typing import Any

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from console.conftest import MakeConsole
from console.test_terminal import Terminal as Pty
from tsconsole.terminal import cells as cells_module
from tsconsole.terminal import sequences
from tsconsole.terminal.cells import Terminal, cells
from tsconsole.terminal.sequences import OFF, ON, PLAIN, Cell, Look, of_blank

STYLES = [
    Style(color="red"),
    Style(bold=True),
    Style(),
    Style(meta={"row": 1}),
    Style(dim=True, underline=True, bgcolor="blue"),
    Style(reverse=True),
]
WIDTH, HEIGHT = 24, 3
SEQUENCE = re.compile(r"\x1b\[([\d;]*)([HCXm])")


class Screen:
    """A terminal that understands what is sent, and fails on anything else."""

    def __init__(self) -> None:
        self.lines: list[list[Cell | None]] = [[None] * WIDTH for _ in range(HEIGHT)]
        self.y = self.x = 0
        self.look = PLAIN

    def feed(self, text: str) -> None:
        while text:
            found = SEQUENCE.match(text)
            if found:
                self.obey(found[2], [int(number or 0) for number in found[1].split(";")])
                text = text[found.end() :]
                continue
            width = cell_len(text[0])
            look = of_blank(self.look) if text[0] == " " else self.look
            assert text[0].isprintable() and width
            self.lines[self.y][self.x : self.x + width] = [(text[0], look), ("", look)][:width]
            self.x += width
            text = text[1:]

    def obey(self, letter: str, numbers: list[int]) -> None:
        if letter == "H":
            self.y, self.x = numbers[0] - 1, (numbers[1] if len(numbers) > 1 else 1) - 1
        elif letter == "C":
            self.x += numbers[0] or 1
        elif letter == "X":
            blank = (" ", Look(PLAIN.colour, self.look.ground, 0))
            self.lines[self.y][self.x : self.x + numbers[0]] = [blank] * numbers[0]
        else:
            self.look = after(self.look, numbers)


def after(look: Look, codes: list[int]) -> Look:
    """How is written after a sequence of such codes."""
    while codes:
        code, *codes = codes
        if code == 0:
            look = PLAIN
        elif code in (38, 48):
            length = {5: 2, 2: 4}[codes[0]]
            part = ";".join(map(str, [code, *codes[:length]]))
            look = look._replace(**{"colour" if code == 38 else "ground": part})
            codes = codes[length:]
        elif code in range(30, 40):
            look = look._replace(colour=str(code))
        elif code in range(40, 50):
            look = look._replace(ground=str(code))
        elif str(code) in ON.values():
            [bit] = [bit for bit, begins in ON.items() if begins == str(code)]
            look = look._replace(attributes=look.attributes | 1 << bit)
        else:
            gone = sum(1 << bit for bit, ends in OFF.items() if ends == code)
            assert gone
            look = look._replace(attributes=look.attributes & ~gone)
    return look


def strip_of(parts: list[tuple[str, int]]) -> Strip:
    segments = [Segment(text, STYLES[style]) for text, style in parts]
    return Strip(segments).adjust_cell_length(WIDTH, STYLES[2])


def drawn(terminal: Terminal, *lines: Strip) -> str:
    """What is sent for these lines, on a terminal of that height."""
    terminal.draw(LayoutUpdate([[line] for line in lines], Region(0, 0, WIDTH, len(lines))))
    return terminal.sequence(WIDTH, len(lines))


LINE = st.lists(
    st.tuples(st.text("ab   ─✗中文", max_size=12), st.integers(0, len(STYLES) - 1)), max_size=6
).map(strip_of)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(LINE, min_size=HEIGHT, max_size=HEIGHT), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from(ColorSystem),
)
def test_the_terminal_shows_what_was_drawn(
    pictures: list[list[Strip]], erases: bool, system: ColorSystem
) -> None:
    terminal, screen = Terminal(system, erases), Screen()
    for lines in pictures:
        screen.feed(drawn(terminal, *lines))
        assert screen.lines == [cells(line, system) for line in lines]
        assert screen.look == PLAIN


LOOK = st.builds(
    Look,
    st.sampled_from(["39", "31", "38;5;9", "38;2;1;2;3"]),
    st.sampled_from(["49", "44", "48;5;9"]),
    st.integers(0, 2 ** len(ON) - 1),
)


@given(LOOK, LOOK)
def test_one_look_becomes_another(old: Look, new: Look) -> None:
    found = sequences.change(old, new)
    assert found or old == new
    screen = Screen()
    screen.look = old
    screen.feed(found)
    assert screen.look == new


def test_what_is_there_already_is_not_sent_again() -> None:
    terminal = Terminal()
    line = strip_of([("a line that is seen", 0)])
    assert drawn(terminal, line, line).count("that is seen") == 2
    assert drawn(terminal, line, line) == ""

    # Of a line that has changed, what has changed.
    gone = strip_of([("a line that is gone", 0)])
    assert "gone" in (sent := drawn(terminal, gone, line))
    assert "line" not in sent

    terminal.forget()
    assert drawn(terminal, gone, line).count("line") == 2


def test_what_is_drawn_twice_is_sent_once() -> None:
    terminal = Terminal()
    for text in ("reading", "42 rows"):
        lines = [[strip_of([(text, 0)])]]
        terminal.draw(LayoutUpdate(lines, Region(0, 0, WIDTH, 1)))
    sent = terminal.sequence(WIDTH, 1)
    assert "42 rows" in sent
    assert "reading" not in sent


def test_the_colour_of_a_blank_is_not_sent() -> None:
    terminal = Terminal()
    assert drawn(terminal, strip_of([("a", 0), (" ", 1), ("b", 0)])).count("m") == 2
    assert drawn(terminal, strip_of([("a", 0), (" ", 0), ("b", 0)])) == ""


def test_what_is_beyond_a_smaller_terminal_is_not_sent() -> None:
    terminal = Terminal()
    line = strip_of([("0123456789", 0)])
    terminal.draw(LayoutUpdate([[line], [line]], Region(0, 0, WIDTH, 2)))
    assert terminal.sequence(4, 1) == "\x1b[1H\x1b[31m0123\x1b[m"


def test_a_text_of_the_database_gives_the_terminal_no_orders() -> None:
    sent = drawn(Terminal(), strip_of([("a\x1b[2Jb\x9b2J\x07中\x08", 0)]))
    assert "a[2Jb2J中" in sent
    assert set(re.findall(r"[\x00-\x1f\x7f-\x9f]", sent)) == {"\x1b"}
    assert sent.count("\x1b") == len(SEQUENCE.findall(sent))


def test_examples() -> None:
    assert doctest.testmod(cells_module).failed == 0
    assert doctest.testmod(sequences).failed == 0


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


SCREENS = [
    ("w", "Running steps", "Operations", 3_500),
    ("\r", "Ladder", "Operations", 14_000),
    ("5", "Partitions", "Operations", 3_500),
    ("6", "premake", "Operations", 6_000),
    ("v", "Verify", "", 2_000),
    ("?", "Keys that work", "", 6_000),
]
"""Keys, what they show, what comes back, and the bytes that may take: 1,000 are a second at 9,600
baud."""


def test_little_is_sent_over_a_slow_line(database: str, db: psycopg.Connection) -> None:
    db.execute("""
        create table raw.meters (ts timestamptz not null, device int, power float8);
        select silver.create_rollup_table('raw.meters', 'silver.meters_1h', '1 hour');
    """)
    program = Pty(database, size=(120, 36))
    try:
        program.wait_for("meters_1h")
        program.read(1.5)
        for key, text, back, most in SCREENS:
            assert sent(program, key, text) < most, text
            program.read(0.3)
            begin = len(program.output)
            program.read(2.5)
            # Only ages change, and behind a dialog not even those.
            assert len(program.output) - begin < 250, text
            assert sent(program, "\x1b", back) < 6_000, text
        # All of it on request: something else may have written on it.
        assert 2_000 < sent(program, "\x0c", "Operations") < 8_000
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
