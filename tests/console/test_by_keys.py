"""An operator's work by keys, on a real database: what each key did is asserted there."""

from __future__ import annotations

import time

import psycopg
import pytest
from psycopg import sql
from textual.widgets import Input, Select

from console.conftest import MakeConsole
from console.operator import Operator, at_rollups, rows
from console.states import healthy
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.create import CreateScreen
from tsconsole.screens.details import DetailsScreen
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.screens.reader import ReaderScreen
from tsconsole.widgets.field import Field

EXPECTED = """
    select ts, account_id, sum(ratio) as sum_ratio, count(*) as rollup_count from (
        select date_trunc('hour', ts) as ts, account_id, ratio from raw.ratio) r group by 1, 2
"""
FOUND = "select ts, account_id, sum_ratio, rollup_count from silver.ratio_1h"


async def test_create_run_break_and_retry(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    db, app = billing, console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()

        # n, choose the view, 1h, create
        await operator.press("n")
        await operator.until(lambda: isinstance(app.screen, CreateScreen))
        await operator.until(lambda: app.screen.query_one("#source", Select).expanded)
        await operator.type("raw.ratio")
        await operator.press("enter")
        await operator.until(lambda: app.screen.query_one("#target", Input).value != "")
        app.screen.query_one("#intervals", Input).focus()
        await operator.press("ctrl+u")
        await operator.type("1h")
        assert app.screen.query_one("#target", Input).value == "silver.ratio_1h"
        await operator.press("ctrl+s")
        assert await operator.ended("create") == "silver.ratio_1h created; r runs it now"
        await operator.at_rollups()
        assert rows(db, "select target_name from silver.timeseries_rollup_config") == [
            ("silver.ratio_1h",)
        ]

        # run it: what it wrote is what GROUP BY says
        await operator.press("r")
        assert "rows read" in await operator.ended("run")
        assert rows(db, FOUND) == rows(db, EXPECTED)

        # break the source, run again: it fails, and the monitor says why
        db.execute("update raw.billing set parts = 0 where account_id = 3")
        db.execute("select silver.invalidate('silver.ratio_1h', min(ts), max(ts)) from raw.billing")
        await operator.press("r")
        assert "division by zero" in (await operator.ended("run")).lower()
        await operator.until(lambda: operator.subject.health_status == "WARNING")
        assert "division by zero" in operator.status("silver.ratio_1h").health_reason
        assert len(rows(db, "select rollup_id from tsconsole.retry")) == 1
        await operator.press("e")
        await operator.until(lambda: isinstance(app.screen, ReaderScreen))
        await operator.press("escape")

        # mend the source, retry without waiting: equal again
        db.execute("update raw.billing set parts = 4 where account_id = 3")
        await operator.at_monitor()
        await operator.press("y")
        assert "rows read" in await operator.ended("retry")
        assert rows(db, "select rollup_id from tsconsole.retry") == []
        assert rows(db, FOUND) == rows(db, EXPECTED)
        await operator.until(lambda: operator.status("silver.ratio_1h").health_status == "OK")


async def test_run_a_marked_ladder_from_the_bottom_up_and_drop_it_from_the_top_down(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    """The list shows the widest level first: it would find nothing to do there. And what is read by
    another cannot be dropped."""
    billing.execute(
        "select silver.create_rollup_ladder('raw.billing', '{10 minutes, 1 hour, 1 day}', 'b')"
    )
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("a", "r")
        assert (await operator.ended("run")).startswith("3 done")
        counted = "select min(n), max(n) from (select sum(rollup_count) as n from silver.b_{}) n"
        for level in ("10m", "1h"):
            assert rows(billing, counted.format(level)) != [(None, None)], level
        left = "select target_table::text from silver.timeseries_operations_monitor"
        assert rows(billing, f"{left} where backfill_fraction < 1") == []
        # Sorted by name the day comes after the levels below it.
        await operator.press("N", "ctrl+d")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.type("drop 3")
        await operator.press("enter")
        assert (await operator.ended("drop")).startswith("3 done")
        assert rows(billing, left) == []


async def test_pause_resume_verify_maintain_and_drop(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    db, app = billing, console()
    db.execute("select silver.create_rollup_table('raw.billing', 'silver.b_1h', '1 hour')")
    active = "select is_active from silver.timeseries_rollup_config"
    async with app.run_test(size=(80, 24)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("p")
        await operator.ended("pause")
        assert rows(db, active) == [(False,)]
        await operator.until(lambda: operator.subject.health_status == "PAUSED")
        await operator.press("p")
        await operator.ended("resume")
        assert rows(db, active) == [(True,)]
        await operator.press("v", "end", "enter")
        await operator.until(lambda: not app.session.running)
        assert "wait to be computed, and were left out" in await operator.ended("verify")
        await operator.press("r")
        await operator.ended("run")
        await operator.press("m")
        await operator.ended("maintain")
        await operator.press("v", "down", "down", "enter")
        await operator.until(lambda: not app.session.running)
        assert (await operator.ended("verify")).startswith("equal to GROUP BY")
        db.execute(
            "update silver.b_1h set rollup_count = 99 where ts = (select max(ts) from silver.b_1h)"
        )
        await operator.press("v", "down", "down", "enter")
        await operator.until(lambda: not app.session.running)
        assert "differ from the source" in await operator.ended("verify")

        # the name has to be typed, and escape leaves everything as it is
        await operator.press("ctrl+d")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.type("silver.b_1")
        await operator.press("enter")
        assert isinstance(app.screen, ConfirmScreen)
        await operator.press("escape")
        await operator.at_monitor()
        assert len(rows(db, active)) == 1
        await operator.press("ctrl+d")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.type("silver.b_1h")
        await operator.press("enter")
        assert (await operator.ended("drop")).startswith("dropped")
        assert rows(db, active) == []


async def test_a_confirmation_focuses_cancel(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    billing.execute("select silver.create_rollup_table('raw.billing', 'silver.b_1h', '1 hour')")
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("ctrl+e", "enter")
        await pilot.pause()
        assert app.session.background.operations == {}
        await operator.press("ctrl+e", "right", "enter")
        await operator.ended("run all rollups")
        assert rows(billing, "select count(*) > 0 from silver.b_1h") == [(True,)]


async def test_actions_never_reach_a_hidden_row(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("slash")
        await operator.type("billing")
        await operator.press("enter")
        assert operator.subject.target_table == "gold.billing_1h"
        assert "6 hidden" in str(operator.monitor.operations_pane.border_title)
        await operator.press("slash")
        await operator.type("x")
        await operator.press("enter")
        assert operator.monitor.subject is None
        await operator.press("p", "r", "ctrl+d", "m")
        assert app.session.background.operations == {}
        assert isinstance(app.screen, MonitorScreen)
        await operator.press("escape")
        assert operator.monitor.subject is not None


async def test_the_cursor_stays_on_its_row(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        table = operator.monitor.operations_pane.table
        await operator.until(lambda: table.row_count == 7)
        await operator.press("down", "down", "down")
        chosen, line = operator.monitor.subject, table.cursor_row
        assert chosen is not None
        await operator.press("S")
        assert operator.monitor.subject == chosen
        assert table.cursor_row != line or line == 3
        db.execute("select silver.pause_rollup(%s::text::regclass)", [chosen.target_table])
        await operator.press("ctrl+r")
        await operator.until(lambda: operator.subject.health_status == "PAUSED")
        assert operator.subject.target_table == chosen.target_table
        for _ in range(6):
            await operator.press("s")
            assert operator.subject.target_table == chosen.target_table


async def test_read_only_refuses_and_says_why(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    billing.execute("select silver.create_rollup_table('raw.billing', 'silver.b_1h', '1 hour')")
    app = console(read_only=True)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = await at_rollups(app, pilot)
        for key in ("n", "r", "ctrl+e", "p", "m", "ctrl+d", "y", "ctrl+y"):
            app.clear_notifications()
            await operator.press(key)
            assert isinstance(app.screen, MonitorScreen), key
            assert any("read-only" in words for words in operator.said), key
        assert app.session.background.operations == {}
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, DetailsScreen))


async def test_cancel_ends_the_query_on_the_server(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    billing.execute("""
        create view raw.slow as select ts, account_id, amount from raw.billing, lateral pg_sleep(1);
        select silver.create_rollup_table('raw.slow', 'silver.slow_1h', '1 hour');
    """)
    busy = """
        select count(*) from pg_stat_activity
         where state = 'active' and query ilike '%run_rollups%' and pid <> pg_backend_pid()
           and datname = current_database()
    """
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("r")
        await operator.until(lambda: rows(billing, busy) == [(1,)])
        await operator.press("q")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("escape", "x")
        await operator.until(lambda: not app.session.running)
        assert "cancelled" in await operator.ended("run")
        await operator.until(lambda: rows(billing, busy) == [(0,)])


async def test_a_lost_server_is_found_again(
    console: MakeConsole, billing: psycopg.Connection, superuser_dsn: str
) -> None:
    billing.execute("select silver.create_rollup_table('raw.billing', 'silver.b_1h', '1 hour')")
    name = billing.info.dbname
    app = console(clock=time.monotonic, ticks=True)
    with psycopg.connect(superuser_dsn, autocommit=True) as other:

        def allow(yes: bool) -> None:
            word = sql.SQL("true" if yes else "false")
            statement = sql.SQL("alter database {} allow_connections {}")
            other.execute(statement.format(sql.Identifier(name), word))

        async with app.run_test(size=(120, 36)) as pilot:
            operator = await at_rollups(app, pilot)
            allow(False)
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = %s and application_name = 'tsconsole'", [name],
            )  # fmt: skip
            await operator.until(lambda: operator.monitor.failure is not None)
            assert operator.monitor.query_one("Banner").display
            assert operator.monitor.subject is not None, "the last data stays"
            allow(True)
            await operator.press("ctrl+r")
            await operator.until(lambda: operator.monitor.failure is None)
            assert not operator.monitor.query_one("Banner").display


async def test_errors_stand_beside_their_field(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("n")
        await operator.until(lambda: app.screen.query_one("#source", Select).expanded)
        await operator.type("raw.billing")
        await operator.press("enter")
        await operator.until(lambda: app.screen.query_one("#target", Input).value != "")
        app.screen.query_one("#intervals", Input).focus()
        await operator.press("end")
        await operator.type(", 7x")
        assert app.screen.query_one("#field-intervals", Field).has_class("-wrong")
        await operator.press("ctrl+s")
        assert app.session.background.operations == {}
        for _ in range(4):
            await operator.press("backspace")
        assert not app.screen.query_one("#field-intervals", Field).has_class("-wrong")

        # the server's own refusal lands beside the field it is about
        app.screen.query_one("#timezone", Input).focus()
        await operator.press("ctrl+u")
        await operator.type("Mars/Crater")
        await operator.press("ctrl+s")
        await operator.ended("create")
        assert app.screen.query_one("#field-timezone", Field).has_class("-wrong")
        assert rows(billing, "select count(*) from silver.timeseries_rollup_config") == [(0,)]

        # escape asks, because something was typed
        await operator.press("escape")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("right", "enter")
        await operator.at_monitor()


async def test_a_ladder_by_keys(console: MakeConsole, billing: psycopg.Connection) -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("n")
        await operator.until(lambda: app.screen.query_one("#source", Select).expanded)
        await operator.type("raw.billing")
        await operator.press("enter")
        await operator.until(lambda: app.screen.query_one("#target", Input).value != "")
        await operator.press("tab", "tab", "ctrl+u")
        await operator.type("10m, 1h, 1d")
        await operator.press("ctrl+s")
        await operator.ended("create")
        await operator.at_monitor()
    found = rows(billing, "select target_name, source_name from silver.timeseries_rollup_config")
    assert found == [
        ("silver.billing_10m", "raw.billing"),
        ("silver.billing_1d", "silver.billing_1h"),
        ("silver.billing_1h", "silver.billing_10m"),
    ]


async def test_install_by_keys(console: MakeConsole, empty_database: str) -> None:
    app = console(dsn=empty_database)
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.until(lambda: app.screen.query("#plan").__len__() == 1)
        await operator.press("i")
        assert (await operator.ended("install the core")).startswith("installed:")
        await operator.press("enter")
        await operator.at_monitor()
    with psycopg.connect(empty_database) as connection:
        assert rows(connection, "select count(*) > 5 from tsconsole.schema_history") == [(True,)]


@pytest.mark.parametrize("key", ["question_mark", "o", "t", "1", "2", "3", "4", "tab", "space"])
async def test_keys_that_only_look(console: MakeConsole, db: psycopg.Connection, key: str) -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press(key, "escape")
        await operator.at_monitor()
        assert app.session.background.operations == {}
