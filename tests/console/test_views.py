"""The screens of one topic each, by keys, on a real database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from console.conftest import MakeConsole
from console.states import healthy
from console.test_by_keys import Operator, rows
from tests.conftest import install_core
from tsconsole.screens.activity import ActivityScreen
from tsconsole.screens.ask import AskScreen
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.details import DetailsScreen
from tsconsole.screens.indexes import IndexesScreen
from tsconsole.screens.maintenance import MaintenanceScreen
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.screens.palette import PaletteScreen
from tsconsole.screens.partitions import PartitionsScreen
from tsconsole.screens.reader import ReaderScreen
from tsconsole.screens.schedule import ScheduleScreen
from tsconsole.widgets.strip import Strip

VIEWS = {
    "5": PartitionsScreen, "6": MaintenanceScreen, "7": ScheduleScreen, "8": IndexesScreen,
    "9": ActivityScreen,
}  # fmt: skip
PARTITIONS = "select count(*) from silver.get_partition_stats('silver.meters_1h')"


async def at_view(console: Any, pilot: Any, key: str) -> Operator:
    """At the monitor, on silver.meters_1h, go to the screen of a key and wait for its rows."""
    operator = Operator(console, pilot)
    await operator.at_monitor()
    await operator.until(lambda: operator.monitor.subject is not None)
    wanted = operator.status("silver.meters_1h")
    assert wanted is not None and operator.monitor.operations_pane.select(wanted)
    await pilot.pause()
    await operator.press(key)
    await operator.until(lambda: isinstance(console.screen, VIEWS[key]))
    await operator.until(lambda: console.screen.data is not None)
    await pilot.pause()
    return operator


async def test_retention_by_keys(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = await at_view(app, pilot, "5")
        screen = app.screen
        assert isinstance(screen, PartitionsScreen)
        assert screen.table_name == "silver.meters_1h" and screen.main.table.row_count >= 3
        before = rows(db, PARTITIONS)[0][0]

        # nothing is expired yet
        await operator.press("ctrl+d")
        await operator.until(lambda: any("nothing of" in words for words in operator.said))

        # keep 90 days, then drop; the dry run says what would go
        await operator.press("i")
        await operator.until(lambda: isinstance(app.screen, AskScreen))
        await operator.press("ctrl+u")
        await operator.type("90d")
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, ChooseScreen))
        await operator.press("enter")
        assert "kept for 90 days" in await operator.ended("retention of")
        await operator.until(lambda: any(p.state == "expired" for p in screen.data.partitions))
        await operator.press("d")
        await operator.until(lambda: isinstance(app.screen, ReaderScreen))
        assert any(section.heading.startswith("Would go") for section in app.screen._sections)
        await operator.press("escape")
        assert rows(db, PARTITIONS)[0][0] == before

        # expired ones only; the name has to be typed before they go
        await operator.press("exclamation_mark")
        assert {part.state for part in screen.main.shown} == {"expired"}
        expired = len(screen.main.shown)
        await operator.press("ctrl+d")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("enter")
        assert isinstance(app.screen, ConfirmScreen)
        await operator.type("silver.meters_1h")
        await operator.press("enter")
        await operator.until(lambda: not app.session.running)
        assert f"{expired} partitions went" in await operator.ended("retention of")
        assert rows(db, PARTITIONS)[0][0] == before - expired


async def test_another_table_s_partitions(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_view(app, pilot, "5")
        await operator.press("c")
        await operator.until(lambda: isinstance(app.screen, PaletteScreen))
        await operator.type("bil")
        await operator.press("enter")
        await operator.until(lambda: app.screen.data.table == "gold.billing_1h")
        assert "gold.billing_1h" in str(app.screen.main.border_title)
        names = [part.range_start for part in app.screen.main.shown]
        await operator.press("N")
        assert [part.range_start for part in app.screen.main.shown] == sorted(names)
        await operator.press("N")
        assert [part.range_start for part in app.screen.main.shown] == sorted(names, reverse=True)


async def test_maintenance_by_keys(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    log = "select task, outcome from silver.timeseries_maintenance_log order by id"
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_view(app, pilot, "6")
        screen = app.screen
        assert isinstance(screen, MaintenanceScreen)
        await operator.press("slash")
        await operator.type("meters_1h premake")
        await operator.press("enter")
        assert [task.task for task in screen.main.shown] == ["premake"]
        assert rows(db, log) == []
        await operator.press("r")
        await operator.ended("maintain")
        assert [task for task, _ in rows(db, log)] == ["premake"]
        await operator.until(lambda: len(screen.data.log) == 1)
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, ReaderScreen))
        await operator.press("escape", "escape")
        assert len(screen.main.shown) > 8, "escape has cleared the filter"

        # all of a rollup, once it is confirmed
        await operator.press("m")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("right", "enter")
        await operator.until(lambda: len(app.session.background.operations) == 2)
        await operator.until(lambda: not app.session.running)
        assert len(rows(db, log)) > 4


async def test_the_schedule_by_keys(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    db.execute(
        "insert into tsconsole.worker (name, host, pid, version, jobs)"
        " values ('w', 'etl-7', 4711, '0.1.0', 2)"
    )
    app = console()
    config = (
        "select refresh_interval::text, is_active from silver.timeseries_rollup_config"
        " where target_name = 'silver.meters_1h'"
    )
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_view(app, pilot, "7")
        screen = app.screen
        assert isinstance(screen, ScheduleScreen)
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


async def test_the_advisor_drops_what_is_in_the_way(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    db.execute("create index twice on raw.meters (ts)")
    app = console()
    there = "select count(*) from pg_index where indrelid = 'raw.meters'::regclass"
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_view(app, pilot, "8")
        screen = app.screen
        assert isinstance(screen, IndexesScreen)
        await operator.press("c")
        await operator.until(lambda: isinstance(app.screen, PaletteScreen))
        await operator.type("raw.meters")
        await operator.press("enter")
        await operator.until(lambda: screen.data is not None and screen.data.table == "raw.meters")
        assert rows(db, there) == [(2,)]
        await operator.press("exclamation_mark")
        await operator.until(lambda: screen.main.selected is not None)
        assert {advice.advice for advice in screen.main.shown} == {"drop"}
        await operator.press("b")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("right", "enter")
        assert "dropped" in await operator.ended("drop")
        assert rows(db, there) == [(1,)]
        await operator.until(lambda: not screen.main.shown)


async def test_numbers_lead_from_anywhere_to_anywhere(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = await at_view(app, pilot, "5")
        for key, screen in VIEWS.items():
            await operator.press(key)
            await operator.until(lambda wanted=screen: isinstance(app.screen, wanted))
            assert len(app.screen_stack) == 3, "one topic takes the place of another"
        await operator.press("escape")
        await operator.at_monitor()
        await operator.press("7")
        await operator.until(lambda: isinstance(app.screen, ScheduleScreen))
        await operator.press("4")
        await operator.at_monitor()
        await operator.until(lambda: operator.monitor.lower == 4)
        await operator.press("1", "enter")
        await operator.until(lambda: isinstance(app.screen, DetailsScreen))
        await operator.press("3")
        await operator.at_monitor()
        await operator.until(lambda: operator.monitor.lower == 3)


@pytest.mark.parametrize(
    ("key", "changing"),
    [
        ("5", ["ctrl+d", "i", "w"]), ("6", ["r", "m", "y", "ctrl+e"]),
        ("7", ["r", "i", "p", "k", "ctrl+d"]), ("8", ["b"]),
    ],
)  # fmt: skip
async def test_read_only_refuses_on_every_screen(
    console: MakeConsole, db: psycopg.Connection, key: str, changing: list[str]
) -> None:
    healthy(db)
    app = console(read_only=True)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = await at_view(app, pilot, key)
        for one in changing:
            app.clear_notifications()
            await operator.press(one)
            assert isinstance(app.screen, VIEWS[key]), one
            assert any("read-only" in words for words in operator.said), one
        assert app.session.background.operations == {}


@pytest.mark.parametrize("key", [key for key in VIEWS if key != "9"])
async def test_a_database_without_rollups(console: MakeConsole, key: str) -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press(key)
        await operator.until(lambda: isinstance(app.screen, VIEWS[key]))
        await operator.until(lambda: app.screen.data is not None)
        await pilot.pause()
        assert "no rollups here yet" in str(app.screen.main.query_one(".empty").content)
        await operator.press("escape")
        await operator.until(lambda: isinstance(app.screen, MonitorScreen))


async def test_an_index_that_pays_is_built_in_the_background(
    console: MakeConsole, db: psycopg.Connection, require_extension: Any
) -> None:
    require_extension(db, "hypopg")
    db.execute("""
        create table raw.fleet (ts timestamptz, device int, v float8);
        insert into raw.fleet
        select now() - i * interval '20 s', i % 500, i from generate_series(1, 60000) i;
        select silver.create_rollup_table('raw.fleet', 'silver.fleet_1h', '1 hour',
                                          dimensions => '{device}');
    """)
    db.execute("call silver.run_rollups(null, null, false, null)")
    db.execute("analyze raw.fleet")
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("8")
        await operator.until(lambda: getattr(app.screen, "data", None) is not None)
        screen = app.screen
        assert isinstance(screen, IndexesScreen)
        await operator.press("c")
        await operator.type("raw.fleet")
        await operator.press("enter")
        await operator.until(lambda: screen.data is not None and screen.data.table == "raw.fleet")
        await operator.until(lambda: screen.main.selected is not None)
        first = screen.main.selected
        assert first is not None and first.definition == "using btree (ts)"
        await operator.press("b")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("right", "enter")
        assert "built" in await operator.ended("build")
        there = "select count(*) from pg_indexes where tablename = 'fleet'"
        assert rows(db, there) == [(1,)]
        await operator.until(lambda: first not in screen.main.shown)


async def test_the_last_hour_by_minute_and_by_rollup(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    db.execute("""
        insert into silver.timeseries_refresh_log (rollup_id, table_name, work, start_time,
            end_time, records_processed, window_start, window_end, rows_read, rows_written,
            rows_deleted)
        select c.id, c.target_name, work, at - interval '2 s', at, read, at - interval '2 min',
               at - interval '1 min', read, 40, 2
          from silver.timeseries_rollup_config c,
               (values ('silver.meters_1h', 'frontier', 600000),
                       ('silver.flows_1h', 'recompute', 90)) v (name, work, read),
               lateral (select date_trunc('minute', now()) - interval '30 s' as at) m
         where c.target_name = v.name
    """)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.until(
            lambda: "10.0 k rows/s" in str(operator.monitor.query_one(Strip).content)
        )
        assert "42 late rows" in str(operator.monitor.query_one(Strip).content)
        # the figure of late rows leads to the rollup that had them
        strip = operator.monitor.query_one(Strip)
        keys = [part.key for part in strip._parts()]
        await operator.press("0", *["right"] * keys.index("late"), "enter")
        await operator.until(lambda: isinstance(app.screen, ActivityScreen))
        await operator.until(lambda: app.screen.data is not None)
        screen: Any = app.screen
        await operator.until(lambda: len(screen.main.shown) >= 2)
        assert screen.main.shown[0].target_table == "silver.flows_1h"
        assert screen.main.shown[0].late_rows == 42
        await operator.press("R")
        first = screen.main.shown[0]
        assert (first.target_table, first.rows_read) == ("silver.meters_1h", 600_000)
        assert first.delay.total_seconds() == 60
        assert "most 10.0 k" in str(screen.query_one("#plots").content)
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, DetailsScreen))
        await operator.press("escape", "escape")
        await operator.at_monitor()


@pytest.fixture
def home(dsn: str) -> Iterator[str]:
    """The database in which pg_cron lives, with the core for a while."""
    if os.environ.get("TSCONSOLE_REQUIRE_EXTENSIONS") != "1":
        pytest.skip("needs pg_cron in the database postgres: TSCONSOLE_REQUIRE_EXTENSIONS=1")
    drop = "drop schema if exists raw, silver, gold, tsconsole cascade"
    found = make_conninfo(dsn, dbname="postgres")
    with psycopg.connect(found, autocommit=True) as db:
        db.execute(drop)
        install_core(found)
        try:
            yield found
        finally:
            db.execute("select cron.unschedule(jobid) from cron.job")
            db.execute(drop)


async def test_jobs_of_pg_cron_are_made_and_removed(console: MakeConsole, home: str) -> None:
    count = "select count(*) from cron.job"
    app = console(dsn=home)
    with psycopg.connect(home, autocommit=True) as db:
        async with app.run_test(size=(120, 36)) as pilot:
            operator = Operator(app, pilot)
            await operator.at_monitor()
            await operator.press("7")
            await operator.until(lambda: getattr(app.screen, "data", None) is not None)
            screen: Any = app.screen
            jobs = screen.query_one("#jobs")
            assert "k makes them" in str(jobs.query_one(".empty").content)
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
