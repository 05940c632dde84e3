"""Pictures of states that every screen has: nothing read yet, nothing there, the server lost, only
reading allowed, something running. Look at them before accepting them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.pilot import Pilot

from console.conftest import MakeConsole
from console.operator import PLACES
from console.pictures import settle
from console.states import NOW, server_gone, until
from console.test_snapshots import MIDDLE, NARROW, at_monitor, pytestmark
from tsconsole import operations
from tsconsole.background.operation import Operation
from tsconsole.screens.dialog import Dialog
from tsconsole.statements import Statement

__all__ = ["pytestmark"]

READS = {
    "monitor": "monitor_snapshot", "details": "rollup_details", "errors": "failures",
    "steps": "monitor_snapshot", "explorer": "data_series", "partitions": "partitions_overview",
    "maintenance": "maintenance_overview", "schedule": "schedule_snapshot",
    "indexes": "advice_overview", "activity": "hour_overview",
}  # fmt: skip
"""What each screen asks the server for."""
WITHOUT_MADE_UP_ROWS = ["details", "errors", "steps", "explorer"]
"""Those of the others are in test_view_pictures."""


async def silent(*_: Any, **__: Any) -> Any:
    await asyncio.Event().wait()


async def go_to(pilot: Pilot[Any], place: str) -> Any:
    await at_monitor(pilot)
    await pilot.press(PLACES[place])
    await until(pilot, lambda: getattr(pilot.app.screen, "place", "") == place)
    return pilot.app.screen


async def at_place(pilot: Pilot[Any], place: str) -> Any:
    screen = await go_to(pilot, place)
    await until(pilot, lambda: screen.is_complete)
    await settle(pilot)
    return screen


@pytest.mark.parametrize("place", list(PLACES))
def test_nothing_read_yet(
    snap_compare: Any, ill: MakeConsole, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        if place == "monitor":
            await until(pilot, lambda: getattr(pilot.app.screen, "place", "") == place)
        else:
            await at_monitor(pilot)
            monkeypatch.setattr(operations, READS[place], silent)
            await pilot.press(PLACES[place])
            await until(pilot, lambda: getattr(pilot.app.screen, "place", "") == place)
        await settle(pilot)

    if place == "monitor":
        monkeypatch.setattr(operations, READS[place], silent)
    assert snap_compare(ill(), terminal_size=NARROW, run_before=before)


@pytest.mark.parametrize("place", WITHOUT_MADE_UP_ROWS)
def test_server_lost(
    snap_compare: Any, ill: MakeConsole, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        screen = await at_place(pilot, place)
        monkeypatch.setattr(operations, READS[place], server_gone)
        # The explorer asks for nothing as long as its view stands still.
        await pilot.press("up" if place == "explorer" else "ctrl+r")
        await until(pilot, lambda: screen.failure is not None)
        await settle(pilot)

    assert snap_compare(ill(), terminal_size=NARROW, run_before=before)


@pytest.mark.parametrize("place", WITHOUT_MADE_UP_ROWS)
def test_read_only(snap_compare: Any, ill: MakeConsole, place: str) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at_place(pilot, place)

    assert snap_compare(ill(read_only=True), terminal_size=NARROW, run_before=before)


def test_nothing_runs(snap_compare: Any, well: MakeConsole) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at_place(pilot, "steps")

    assert snap_compare(well(), terminal_size=NARROW, run_before=before)


@pytest.mark.parametrize("size", [NARROW, MIDDLE])
def test_server_lost_behind_a_dialog(
    snap_compare: Any, ill: MakeConsole, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        monitor: Any = pilot.app.screen
        await pilot.press("v")
        await until(pilot, lambda: isinstance(pilot.app.screen, Dialog))
        monkeypatch.setattr(operations, "server_info", server_gone)
        monitor.poller.poke()
        await until(pilot, lambda: monitor.failure is not None)
        await settle(pilot)

    assert snap_compare(ill(), terminal_size=size, run_before=before)


def running(app: Any) -> Any:
    """The console, with two operations that run."""
    app.session.background.operations = {
        1: Operation(1, "verify", "silver.meters_1h", NOW, 940.0, note="reading the source"),
        2: Operation(2, "run", "silver.meters_1d", NOW, 998.0, note="3 steps"),
    }
    return app


@pytest.mark.parametrize("keys", ["", "q"], ids=["tray", "quitting"])
def test_something_runs(snap_compare: Any, ill: MakeConsole, keys: str) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        await pilot.press("ctrl+r", *keys)
        await until(pilot, lambda: isinstance(pilot.app.screen, Dialog) == bool(keys))
        await settle(pilot)

    assert snap_compare(running(ill()), terminal_size=NARROW, run_before=before)


def test_statements(snap_compare: Any, well: MakeConsole) -> None:
    sent = [
        Statement(1, "select silver.pause_rollup('silver.meters_1h')", "", NOW, False, 1, 0.003,
                  0.003, 1),
        Statement(2, "select m.id, m.target_table from silver.timeseries_operations_monitor as m",
                  "", NOW.replace(second=9), True, 214, 0.021, 0.180, 7),
        Statement(3, "select * from silver.verify_rollup(%s)", "('silver.meters_1d',)",
                  NOW.replace(second=8), False, 1, 4.2, 4.2, None,
                  "canceling statement due to statement timeout"),
        Statement(4, "call silver.run_rollups()", "", NOW.replace(second=7), False, 1),
    ]  # fmt: skip

    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        app: Any = pilot.app
        app.session.statements = sent
        await pilot.press("l")
        await until(pilot, lambda: getattr(pilot.app.screen, "place", "") == "statements")
        await settle(pilot)

    assert snap_compare(well(), terminal_size=NARROW, run_before=before)
