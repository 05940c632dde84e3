"""The screens of one topic each, by keys, on a real database."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from textual.widgets import Static

from console.conftest import MakeConsole
from console.operator import VIEWS, Operator, at_view, rows
from console.states import healthy
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
from tsconsole.widgets.grid import Grid
from tsconsole.widgets.strip import Strip

PARTITIONS = "select count(*) from silver.get_partition_stats('silver.meters_1h')"


async def test_retention_by_keys(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = await at_view(app, pilot, "5")
        screen = operator.screen(PartitionsScreen)
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
        await operator.until(lambda: any(p.state == "expired" for p in screen.main.shown))
        await operator.press("d")
        reader = await operator.at(ReaderScreen)
        assert any(section.heading.startswith("Would go") for section in reader._sections)
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
        screen = operator.screen(PartitionsScreen)
        await operator.press("c")
        await operator.until(lambda: isinstance(app.screen, PaletteScreen))
        await operator.type("bil")
        await operator.press("enter")
        await operator.until(lambda: "gold.billing_1h" in str(screen.main.border_title))
        assert screen.table_in_view == "gold.billing_1h"
        names = [part.range_start for part in screen.main.shown]
        await operator.press("N")
        assert [part.range_start for part in screen.main.shown] == sorted(names)
        await operator.press("N")
        assert [part.range_start for part in screen.main.shown] == sorted(names, reverse=True)


async def test_maintenance_by_keys(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    log = "select task, outcome from silver.timeseries_maintenance_log order by id"
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_view(app, pilot, "6")
        screen = operator.screen(MaintenanceScreen)
        await operator.press("slash")
        await operator.type("meters_1h premake")
        await operator.press("enter")
        assert [task.task for task in screen.main.shown] == ["premake"]
        assert rows(db, log) == []
        await operator.press("r")
        await operator.ended("maintain")
        assert [task for task, _ in rows(db, log)] == ["premake"]
        entries = screen.query_one("#log", Grid)
        await operator.until(lambda: len(entries.shown) == 1)
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


async def test_the_advisor_drops_what_is_in_the_way(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    db.execute("create index twice on raw.meters (ts)")
    app = console()
    there = "select count(*) from pg_index where indrelid = 'raw.meters'::regclass"
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_view(app, pilot, "8")
        screen = operator.screen(IndexesScreen)
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
            await operator.at(screen)
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
        screen = await operator.at_view(VIEWS[key])
        await pilot.pause()
        assert "no rollups here yet" in str(screen.main.query_one(".empty", Static).content)
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
        screen = await operator.at_view(IndexesScreen)
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
        screen = await operator.at_view(ActivityScreen)
        await operator.until(lambda: len(screen.main.shown) >= 2)
        assert screen.main.shown[0].target_table == "silver.flows_1h"
        assert screen.main.shown[0].late_rows == 42
        await operator.press("R")
        first = screen.main.shown[0]
        assert (first.target_table, first.rows_read) == ("silver.meters_1h", 600_000)
        assert first.delay.total_seconds() == 60
        assert "most 10.0 k" in str(screen.query_one("#plots", Static).content)
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, DetailsScreen))
        await operator.press("escape", "escape")
        await operator.at_monitor()
