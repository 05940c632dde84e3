"""Pictures of the data explorer. Look at them before accepting them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from textual.pilot import Pilot

from console.conftest import MakeConsole
from console.pictures import settle
from console.states import FixedServer, healthy, server_gone, until
from console.test_snapshots import MIDDLE, NARROW, WIDE, at_monitor, pytestmark
from tsconsole import operations

__all__ = ["pytestmark"]


@pytest.fixture
def well(console: MakeConsole, db: psycopg.Connection, fixed_server: FixedServer) -> MakeConsole:
    """A console at rollups of three days of 2024."""
    fixed_server.t0 = healthy(db)
    db.execute(
        "delete from raw.meters where ts >= '2024-03-11 06:00Z' and ts < '2024-03-11 09:00Z'"
    )
    return console


def at_explorer(*keys: str) -> Any:
    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        screen: Any = pilot.app.screen
        while screen.subject.target_table != "silver.meters_1h":
            await pilot.press("down")
        await pilot.press("d")
        await until(pilot, lambda: getattr(pilot.app.screen, "data", None) is not None)
        screen = pilot.app.screen
        await pilot.press("home")
        await until(pilot, lambda: not screen.data.view.window.follows)
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
        await until(pilot, lambda: screen.data.view == screen.view or screen.failure)
        await settle(pilot)

    return before


@pytest.mark.parametrize("size", [NARROW, MIDDLE, WIDE])
def test_plot(snap_compare: Any, well: MakeConsole, size: tuple[int, int]) -> None:
    assert snap_compare(well(), terminal_size=size, run_before=at_explorer())


@pytest.mark.parametrize("size", [NARROW, MIDDLE])
def test_table_of_one_series(snap_compare: Any, well: MakeConsole, size: tuple[int, int]) -> None:
    before = at_explorer("f", "down", "enter", "v")
    assert snap_compare(well(), terminal_size=size, run_before=before)


def test_choose_a_measure(snap_compare: Any, well: MakeConsole) -> None:
    assert snap_compare(well(), terminal_size=NARROW, run_before=at_explorer("m"))


def test_no_rows_here(snap_compare: Any, well: MakeConsole) -> None:
    before = at_explorer(*["left"] * 5)
    assert snap_compare(well(), terminal_size=NARROW, run_before=before)


def test_server_lost(snap_compare: Any, well: MakeConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at_explorer()(pilot)

        monkeypatch.setattr(operations, "data_series", server_gone)
        screen: Any = pilot.app.screen
        await pilot.press("up")
        await until(pilot, lambda: screen.failure is not None)
        await settle(pilot)

    assert snap_compare(well(), terminal_size=MIDDLE, run_before=before)
