"""The first look at the database, before there is a screen."""

from __future__ import annotations

import psycopg
import pytest

from console.operator import Operator
from tsconsole.app import TsConsole
from tsconsole.database import Settings
from tsconsole.screens.connect import ConnectScreen
from tsconsole.start import Start


@pytest.mark.sql
async def test_what_was_seen_before_is_the_first_screen(
    rollups: psycopg.Connection, database: str
) -> None:
    settings = Settings(database)
    start = Start(settings)
    start.look(error_limit=100)
    assert start._looking is not None
    await start._looking
    app = TsConsole(settings, start=start, ticks=False)
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        assert not any(isinstance(screen, ConnectScreen) for screen in app.screen_stack)
        await operator.at_monitor()
        assert app.session.server is not None and app.session.activity.is_known
        assert operator.monitor.operations_pane.shown
        # The partitions of the rollup under the cursor come with the next poll, at once.
        await operator.until(lambda: app.session.snapshot and app.session.snapshot.selected_target)


async def test_a_look_that_fails_leads_to_the_screen_that_says_why() -> None:
    settings = Settings("host=127.0.0.1 port=1 dbname=iot connect_timeout=2")
    start = Start(settings)
    start.look(error_limit=100)
    app = TsConsole(settings, start=start, ticks=False)
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.until(lambda: isinstance(app.screen, ConnectScreen))
        await operator.until(lambda: operator.screen(ConnectScreen)._failure is not None)


@pytest.mark.sql
async def test_a_database_without_the_core_is_not_monitored(empty_database: str) -> None:
    start = Start(Settings(empty_database))
    start.look(error_limit=100)
    assert start._looking is not None
    assert await start._looking is None
    await start.database.close()
