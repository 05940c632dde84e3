"""Marks on the screens of one topic: one action is done to all that are marked, and shown."""

from __future__ import annotations

import psycopg
from textual.widgets import Static

from console.conftest import MakeConsole
from console.operator import at_view, rows
from console.states import healthy
from tsconsole.screens.ask import AskScreen
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.indexes import IndexesScreen
from tsconsole.screens.maintenance import MaintenanceScreen
from tsconsole.screens.schedule import ScheduleScreen
from tsconsole.widgets.grid import Grid

PAUSED = "select target_name from silver.timeseries_rollup_config where not is_active"
EVERY = (
    "select target_name from silver.timeseries_rollup_config"
    " where refresh_interval = interval '9 minutes'"
)


async def test_rollups_of_the_schedule(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = await at_view(app, pilot, "7")
        screen = operator.screen(ScheduleScreen)
        await operator.press("slash")
        await operator.type("silver.meters")
        await operator.press("enter", "a")
        assert "3 marked" in str(screen.main.border_title)

        # never to a row that a filter hides
        await operator.press("slash", "ctrl+u")
        await operator.type("silver.meters !15m")
        await operator.press("enter", "p")
        assert "1 of them hidden" in str(screen.main.border_title)
        assert (await operator.ended("pause")).startswith("2 done")
        assert rows(db, PAUSED) == [("silver.meters_1d",), ("silver.meters_1h",)]

        # all that are marked are hidden: nothing is done, and it is said why
        await operator.press("slash", "ctrl+u")
        await operator.type("gold")
        await operator.press("enter", "p", "i", "r")
        assert app.screen is screen and len(app.session.background.operations) == 1
        assert any("hides the 3 marked" in words for words in operator.said)

        # one question for all
        await operator.press("escape", "i")
        asked = await operator.at(AskScreen)
        assert "3 rollups" in str(asked.query_one(Static).content)
        await operator.press("ctrl+u")
        await operator.type("9m")
        await operator.press("enter")
        assert (await operator.ended("schedule")).startswith("3 done")
        assert len(rows(db, EVERY)) == 3

        # workers are not for marking; escape takes the marks before the screen
        screen.query_one("#workers", Grid).table.focus()
        screen.main.table.focus()
        await operator.press("escape")
        assert not screen.main.marked and app.screen is screen


async def test_tasks_of_maintenance(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = await at_view(app, pilot, "6")
        screen = operator.screen(MaintenanceScreen)
        await operator.press("slash")
        await operator.type("analyze silver.meters")
        await operator.press("enter", "a")
        assert len(screen.main.chosen) == 3
        await operator.press("escape", "r")
        question = await operator.at(ConfirmScreen)
        assert "3 tasks" in str(question.query_one("#question", Static).content)
        await operator.press("right", "enter")
        await operator.ended("maintain")
        await operator.until(
            lambda: (
                len({e.target_table for e in screen.data.log if e.task == "analyze"}) == 3
                if screen.data
                else False
            )
        )

        # what cannot be marked says so
        log = screen.query_one("#log", Grid)
        log.table.focus()
        await operator.press("space")
        assert not log.marked
        assert any("several of these" in words for words in operator.said)


async def test_index_advice(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    db.execute("create index twice on raw.meters (ts)")
    db.execute("create index thrice on raw.meters (ts)")
    app = console()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = await at_view(app, pilot, "8")
        screen = operator.screen(IndexesScreen)
        screen.table_name = "raw.meters"
        await operator.press("ctrl+r")
        await operator.until(lambda: sum(a.advice == "drop" for a in screen.main.shown) == 2)
        await operator.press("slash")
        await operator.type("drop")
        await operator.press("enter", "a", "b")
        question = await operator.at(ConfirmScreen)
        words = str(question.query_one("#question", Static).content)
        assert "2 indexes" in words and "one after the other" in words
        await operator.press("right", "enter")
        assert (await operator.ended("drop")).startswith("2 done")
    left = "select indexname from pg_indexes where schemaname = 'raw' and tablename = 'meters'"
    assert len(rows(db, left)) == 1
