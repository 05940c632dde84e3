"""A screen that was left is forgotten, with all that it had read."""

from __future__ import annotations

import psycopg
import pytest

from console.conftest import MakeConsole
from console.operator import Operator
from tsconsole.app import TsConsole
from tsconsole.screens.monitor import MonitorScreen

pytestmark = pytest.mark.sql


@pytest.mark.parametrize("key", ["5", "E", "l", "enter", "d", "w", "9"])
async def test_the_app_holds_no_screen_that_was_left(
    console: MakeConsole, rollups: psycopg.Connection, key: str
) -> None:
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_rollups()
        before = held(app)
        for _ in range(2):
            await operator.press(key)
            await operator.until(lambda: not isinstance(app.screen, MonitorScreen))
            await operator.press("escape")
            await operator.at_monitor()
        await operator.until(lambda: len(held(app)) <= len(before))
        assert held(app) == before


def held(app: TsConsole) -> list[object]:
    """Whom the App tells of changes: nobody else of it would be there for ever."""
    watchers = vars(app).get("__watchers", {}).values()
    return [node for one in watchers for node, _ in one] + [
        *app.theme_changed_signal._subscriptions
    ]
