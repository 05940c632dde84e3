"""Pictures of every screen in every state at the two larger sizes: 80x24 is in the other files.

One console goes from screen to screen and its terminal grows, for a database and a start take
longer than a picture. Look at them before accepting them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from console.conftest import MakeConsole
from console.operator import PLACES
from console.pictures import difference, export_screenshot, lines_of, settle
from console.states import FixedServer, server_gone, until
from console.test_snapshots import MIDDLE, NARROW, WIDE, at_monitor, pytestmark
from console.test_state_pictures import READS, silent
from console.test_view_pictures import KEYS, topics
from tsconsole import operations

__all__ = ["pytestmark", "topics"]

OF_A_ROLLUP = ("details", "explorer")


class Walk:
    """Goes from screen to screen, and takes pictures that are compared with those that are kept."""

    def __init__(self, pilot: Pilot[Any], kept: Any = None) -> None:
        self.pilot, self._kept = pilot, kept
        self.wrong: list[str] = []
        """What differs from the pictures that are kept."""

    @property
    def screen(self) -> Any:
        return self.pilot.app.screen

    @asynccontextmanager
    async def at(self, place: str, is_complete: bool = True) -> AsyncIterator[None]:
        """At a screen, and back."""
        if place != "monitor":
            await self.pilot.press(PLACES[place])
            await until(self.pilot, lambda: getattr(self.screen, "place", "") == place)
        if is_complete:
            await until(self.pilot, lambda: self.screen.is_complete)
        yield
        if place != "monitor":
            await self.pilot.press("escape")
            await until(self.pilot, lambda: getattr(self.screen, "place", "") == "monitor")

    async def take(self, name: str, *sizes: tuple[int, int]) -> None:
        """Take a picture at each of these sizes."""
        for width, height in sizes:
            await self.pilot.resize_terminal(width, height)
            await settle(self.pilot)
            kept = self._kept(name=f"{name}-{width}x{height}")
            if kept != export_screenshot(self.pilot.app):
                found = list(kept.executions.values())[-1]
                changed = difference(str(found.recalled_data), str(found.asserted_data))
                self.wrong.append(f"{name} at {width}x{height}:\n{changed}")


@pytest.fixture
def walk(snapshot: SnapshotAssertion) -> Callable[[Any], Any]:
    """Starts a walk through a console, and fails if a picture of it differs."""

    @asynccontextmanager
    async def start(app: Any) -> AsyncIterator[Walk]:
        async with app.run_test(size=MIDDLE) as pilot:
            walk = Walk(pilot, snapshot.use_extension(SVGImageExtension))
            yield walk
        assert not walk.wrong, "\n\n".join(walk.wrong)

    return start


async def test_nothing_read_yet(
    walk: Any, ill: MakeConsole, topics: MakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as first:
        first.setattr(operations, READS["monitor"], silent)
        async with walk(topics()) as at_start:
            await until(at_start.pilot, lambda: getattr(at_start.screen, "place", "") == "monitor")
            await at_start.take("monitor", MIDDLE, WIDE)
    async with walk(topics()) as here:
        await at_monitor(here.pilot)
        for place in list(PLACES)[1:]:
            with monkeypatch.context() as now:
                now.setattr(operations, READS[place], silent)
                async with here.at(place, is_complete=False):
                    await here.take(place, MIDDLE, WIDE)


async def test_server_lost(
    walk: Any, ill: MakeConsole, topics: MakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with walk(topics()) as here:
        await at_monitor(here.pilot)
        for place in [*list(PLACES)[1:], "monitor"]:
            async with here.at(place):
                with monkeypatch.context() as now:
                    now.setattr(operations, READS[place], server_gone)
                    # The explorer asks for nothing as long as its view stands still.
                    await here.pilot.press("up" if place == "explorer" else "ctrl+r")
                    await until(here.pilot, lambda: here.screen.failure is not None)
                    await here.take(place, MIDDLE, WIDE)
                await here.pilot.press("down" if place == "explorer" else "ctrl+r")
                await until(here.pilot, lambda: here.screen.failure is None)


async def test_read_only(walk: Any, ill: MakeConsole, topics: MakeConsole) -> None:
    async with walk(topics(read_only=True)) as here:
        await at_monitor(here.pilot)
        for place in PLACES:
            async with here.at(place):
                other = NARROW if place in KEYS or place == "monitor" else MIDDLE
                await here.take(place, other, WIDE)


async def test_nothing_there(walk: Any, console: MakeConsole, fixed_server: FixedServer) -> None:
    async with walk(console()) as here:
        await at_monitor(here.pilot)
        for place in PLACES:
            if place not in OF_A_ROLLUP:
                async with here.at(place):
                    await here.take(place, MIDDLE, WIDE)


async def test_ascii_is_all_that_is_drawn(
    ill: MakeConsole, topics: MakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSCONSOLE_ASCII", "1")
    app = topics()
    async with app.run_test(size=WIDE) as pilot:
        here = Walk(pilot)
        await at_monitor(pilot)
        for place in PLACES:
            async with here.at(place):
                await settle(pilot)
                assert not foreign(app), place
        for key in ("question_mark", "colon", "v", "e", "f1"):
            await pilot.press(key)
            await until(pilot, lambda: len(app.screen_stack) > 2)
            await settle(pilot)
            assert not foreign(app), key
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 2)
        drawn = "".join(segment.text for line in lines_of(app) for segment in line)
        assert "enter Details" in drawn


def foreign(app: Any) -> list[str]:
    """The lines with characters that are not ASCII."""
    lines = ("".join(segment.text for segment in line) for line in lines_of(app))
    return [line for line in lines if not line.isascii()]
