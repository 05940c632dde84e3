"""The schedule by keys, on a real database: intervals, pauses, and the jobs of pg_cron."""

from __future__ import annotations

import psycopg
import pytest
from textual.widgets import Static

from console.conftest import MakeConsole
from console.operator import Operator, at_view, rows
from console.states import healthy, one_worker
from tsconsole.screens.ask import AskScreen
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.reader import ReaderScreen
from tsconsole.screens.schedule import ScheduleScreen
from tsconsole.widgets.grid import Grid


async def test_the_schedule_by_keys(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    one_worker(db)
    app = console()
    config = (
        "select refresh_interval::text, is_active from silver.timeseries_rollup_config"
        " where target_name = 'silver.meters_1h'"
    )
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_view(app, pilot, "7")
        screen = operator.screen(ScheduleScreen)
        assert "1 worker on etl-7" in str(screen.main.border_title)
        await operator.press("slash")
        await operator.type("silver.meters_1h")
        await operator.press("enter", "i")
        await operator.until(lambda: isinstance(app.screen, AskScreen))
        await operator.press("ctrl+u")
        await operator.press("enter")
        assert isinstance(app.screen, AskScreen), "nothing is no interval"
        await operator.type("10m")
        await operator.press("enter")
        assert "10 minutes" in await operator.ended("schedule")
        assert rows(db, config) == [("00:10:00", True)]

        # zero is refused by the server, and said
        await operator.press("i")
        await operator.press("ctrl+u")
        await operator.type("0s")
        await operator.press("enter")
        await operator.until(lambda: len(app.session.background.operations) == 2)
        await operator.ended("schedule")
        assert list(app.session.background.operations.values())[-1].outcome == "failed"
        assert rows(db, config) == [("00:10:00", True)]

        await operator.press("p")
        await operator.ended("pause")
        assert rows(db, config) == [("00:10:00", False)]


# Run by CI on its server with pg_cron, which only the tests with this mark meet.
@pytest.mark.sql
@pytest.mark.timeout(600)  # may have to wait for the other tests of pg_cron
async def test_jobs_of_pg_cron_are_made_and_removed(console: MakeConsole, cron_home: str) -> None:
    count = "select count(*) from cron.job"
    app = console(dsn=cron_home)
    with psycopg.connect(cron_home, autocommit=True) as db:
        async with app.run_test(size=(120, 36)) as pilot:
            operator = Operator(app, pilot)
            await operator.at_monitor()
            await operator.press("7")
            jobs = (await operator.at_view(ScheduleScreen)).query_one("#jobs", Grid)
            assert "k makes them" in str(jobs.query_one(".empty", Static).content)
            await operator.press("k")
            await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
            await operator.press("right", "enter")
            assert "4 of 4 jobs" in await operator.ended("schedule jobs of pg_cron")
            assert rows(db, count) == [(4,)]
            await operator.until(lambda: jobs.table.row_count == 4)
            jobs.table.focus()
            await operator.press("enter")
            await operator.until(lambda: isinstance(app.screen, ReaderScreen))
            await operator.press("escape", "ctrl+d")
            await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
            await operator.press("right", "enter")
            assert "4 jobs removed" in await operator.ended("remove jobs of pg_cron")
            assert rows(db, count) == [(0,)]
