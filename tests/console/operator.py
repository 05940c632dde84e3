"""An operator for tests: presses keys and looks at what the screen shows."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from textual.pilot import Pilot
from textual.screen import Screen

from console.states import until
from tsconsole.app import TsConsole
from tsconsole.models import RollupStatus
from tsconsole.screens.activity import ActivityScreen
from tsconsole.screens.indexes import IndexesScreen
from tsconsole.screens.maintenance import MaintenanceScreen
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.screens.partitions import PartitionsScreen
from tsconsole.screens.rollup_screen import RollupScreen
from tsconsole.screens.schedule import ScheduleScreen
from tsconsole.screens.table_screen import TableScreen

SomeScreen = TypeVar("SomeScreen", bound=Screen[Any])
SomeView = TypeVar("SomeView", bound=TableScreen[Any])

VIEWS: dict[str, type[TableScreen[Any]]] = {
    "5": PartitionsScreen, "6": MaintenanceScreen, "7": ScheduleScreen, "8": IndexesScreen,
    "9": ActivityScreen,
}  # fmt: skip
"""The screens of one topic each, by the keys that lead to them."""

PLACES = {
    "monitor": "1", "details": "enter", "errors": "E", "steps": "w", "explorer": "d",
    "partitions": "5", "maintenance": "6", "schedule": "7", "indexes": "8", "activity": "9",
}  # fmt: skip
"""Where everything that is polled is shown, with the key that leads there from the monitor."""


class Operator:
    """Presses keys and looks at the screen."""

    def __init__(self, app: TsConsole, pilot: Pilot[Any]) -> None:
        self.app, self.pilot = app, pilot

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], Any]) -> None:
        await until(self.pilot, condition)

    async def type(self, text: str) -> None:
        await self.pilot.press(*["space" if c == " " else c for c in text])

    @property
    def said(self) -> list[str]:
        return [notification.message for notification in self.app._notifications]

    def screen(self, kind: builtins.type[SomeScreen]) -> SomeScreen:
        """The screen that is seen, which is of this kind."""
        screen = self.app.screen
        assert isinstance(screen, kind)
        return screen

    async def at(self, kind: builtins.type[SomeScreen]) -> SomeScreen:
        """Wait for a screen of this kind."""
        await self.until(lambda: isinstance(self.app.screen, kind))
        return self.screen(kind)

    async def at_view(self, kind: builtins.type[SomeView]) -> SomeView:
        """Wait for a screen of one topic and for its rows."""
        screen = await self.at(kind)
        await self.until(lambda: screen.data is not None)
        return screen

    @property
    def monitor(self) -> MonitorScreen:
        return self.screen(MonitorScreen)

    @property
    def subject(self) -> RollupStatus:
        """The rollup that is under the cursor, or whose details are seen."""
        screen = self.app.screen
        assert isinstance(screen, RollupScreen)
        subject: RollupStatus | None = screen.subject
        assert subject is not None
        return subject

    def status(self, target: str) -> RollupStatus:
        """What the console knows of a rollup."""
        snapshot = self.app.session.snapshot
        rollups = snapshot.operations if snapshot else ()
        found = next((r for r in rollups if r.target_table == target), None)
        assert found is not None, f"{target} is not known"
        return found

    async def at_monitor(self) -> None:
        await self.at(MonitorScreen)
        await self.until(lambda: self.app.session.snapshot is not None)

    async def at_rollups(self) -> None:
        """At the monitor, with a rollup under the cursor."""
        await self.at_monitor()
        await self.until(lambda: self.monitor.subject is not None)

    async def ended(self, verb: str) -> str:
        """Wait until the last operation of that name has ended, and return how."""

        def last() -> Any:
            done = self.app.session.background.operations.values()
            return next((op for op in reversed(list(done)) if op.verb == verb), None)

        await self.until(lambda: last() is not None and not last().is_running)
        await self.pilot.pause()
        return last().result.message if last().result else ""


def rows(db: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, in an order that does not depend on the server."""
    return sorted(db.execute(query.encode()).fetchall())


async def at_rollups(app: TsConsole, pilot: Pilot[Any]) -> Operator:
    """An operator at the monitor, with a rollup under the cursor."""
    operator = Operator(app, pilot)
    await operator.at_rollups()
    return operator


async def at_view(app: TsConsole, pilot: Pilot[Any], key: str) -> Operator:
    """From the monitor, on silver.meters_1h, go to the screen of a key and wait for its rows."""
    operator = await at_rollups(app, pilot)
    assert operator.monitor.operations_pane.select(operator.status("silver.meters_1h"))
    await pilot.pause()
    await operator.press(key)
    await operator.at_view(VIEWS[key])
    await pilot.pause()
    return operator
