"""Ways of moving and choosing: palette, filters, marks, zoom, the strip, and what F1 explains."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from textual.widgets import Input, OptionList

from console.conftest import MakeConsole
from console.operator import Operator, at_rollups, rows
from console.states import failing, healthy
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.details import DetailsScreen
from tsconsole.screens.errors import ErrorsScreen
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.screens.palette import PaletteScreen
from tsconsole.screens.reader import ReaderScreen
from tsconsole.widgets.errors_pane import ErrorsPane
from tsconsole.widgets.strip import Strip

Connect = Callable[..., psycopg.Connection]
PAUSED = "select target_name from silver.timeseries_rollup_config where not is_active"


def title(operator: Operator, pane: str = "operations") -> str:
    return str(operator.monitor.query_one(f"#{pane}").border_title)


async def test_the_palette_finds_actions_and_rollups(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("colon")
        await operator.until(lambda: isinstance(app.screen, PaletteScreen))
        await operator.type("flo1h")
        assert app.screen.query_one(OptionList).option_count >= 1
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, DetailsScreen))
        assert operator.subject.target_table == "silver.flows_1h"
        await operator.press("escape")
        await operator.at_monitor()

        # an action, found by its name, with the key it has
        await operator.press("ctrl+p")
        await operator.until(lambda: isinstance(app.screen, PaletteScreen))
        await operator.type("pause")
        await operator.press("enter")
        await operator.ended("pause")
        assert len(rows(db, PAUSED)) == 1

        # what has no key can be found too, and what cannot be done says why
        await operator.press("colon")
        await operator.type("maintain all")
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("escape")
        await operator.press("colon")
        await operator.type("qqq")
        assert app.screen.query_one("#nothing").display
        await operator.press("enter", "escape")
        await operator.at_monitor()


async def test_one_action_on_all_marked_rollups_and_on_no_hidden_one(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("slash")
        await operator.type("silver.meters")
        await operator.press("enter", "a")
        assert "3 marked" in title(operator)
        await operator.press("slash", "ctrl+u")
        await operator.type("silver.meters !15m")
        await operator.press("enter")
        assert "1 of them hidden" in title(operator)
        await operator.press("p")
        assert (await operator.ended("pause")).startswith("2 done: paused")
        assert rows(db, PAUSED) == [("silver.meters_1d",), ("silver.meters_1h",)]

        # all that are marked are hidden: nothing is done, and it is said why
        await operator.press("slash", "ctrl+u")
        await operator.type("gold")
        await operator.press("enter", "p", "r", "ctrl+d")
        assert isinstance(app.screen, MonitorScreen)
        assert len(app.session.background.operations) == 1
        assert any("hides the 3 marked" in words for words in operator.said)

        # escape shows them again, then the marks go
        await operator.press("escape")
        assert "hidden" not in title(operator) and "3 marked" in title(operator)
        await operator.press("escape")
        assert "marked" not in title(operator)


async def test_marked_rollups_are_dropped_once_it_is_typed_what(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("N", "g", "space", "space", "ctrl+d")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.type("gold.billing_1h")
        await operator.press("enter")
        assert isinstance(app.screen, ConfirmScreen)
        await operator.press("ctrl+u")
        await operator.type("drop 2")
        await operator.press("enter")
        assert (await operator.ended("drop")).startswith("2 done: dropped")
    left = {name for (name,) in rows(db, "select target_name from silver.timeseries_rollup_config")}
    assert len(left) == 5 and not left & {"gold.billing_1h", "silver.flows_1h"}


async def test_every_pane_has_its_own_filter(
    console: MakeConsole, db: psycopg.Connection, connect: Connect
) -> None:
    failing(db, connect)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("3", "slash")
        await operator.type("!billing")
        await operator.press("enter")
        assert "1 hidden by filter" in title(operator, "errors")
        assert operator.monitor.query_one(ErrorsPane).table.row_count == 1
        assert "hidden" not in title(operator)
        assert operator.subject.target_table == "silver.flows_1h"
        await operator.press("4", "slash")
        await operator.type("gave")
        await operator.press("enter")
        assert operator.subject.target_table == "gold.billing_1h"
        await operator.press("escape")
        assert "hidden" not in title(operator, "retries")
        await operator.press("3")
        assert app.screen.query_one("#filter", Input).value == "gave"
        await operator.press("slash")
        assert app.screen.query_one("#filter", Input).value == "!billing"
        await operator.press("escape")
        assert "hidden" not in title(operator, "errors")


async def test_strip_and_panes_say_alike_how_many_gave_up(
    console: MakeConsole, db: psycopg.Connection, connect: Connect
) -> None:
    failing(db, connect)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        strip = operator.monitor.query_one(Strip)
        assert "2 failing, 1 gave up" in str(strip.content)
        assert " · 1 gave up[" in title(operator, "retries")

        # Of one rollup, two tasks: it is still one that gave up.
        db.execute("insert into tsconsole.retry select rollup_id, 'history', retry_count,"
                   " next_retry_time, gave_up_at, last_error_time, error_id"
                   " from tsconsole.retry where gave_up_at is not null")  # fmt: skip
        await operator.press("ctrl+r")
        await operator.until(lambda: "tasks" in title(operator, "retries"))
        assert "2 failing, 1 gave up (2 tasks)" in str(strip.content)
        assert " · 1 gave up (2 tasks)[" in title(operator, "retries")
        await operator.press("E")
        screen = await operator.at_view(ErrorsScreen)
        await operator.until(lambda: "1 gave up (2 tasks)" in str(screen.queue.border_title))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_zoom_follows_the_pane(
    console: MakeConsole, db: psycopg.Connection, size: tuple[int, int]
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=size) as pilot:
        operator = await at_rollups(app, pilot)
        before = operator.monitor.operations_pane.size.height
        await operator.press("z")
        await pilot.pause()
        assert operator.monitor.operations_pane.size.height > before + 4
        await operator.press("3")
        await pilot.pause()
        errors = operator.monitor.query_one("#errors")
        assert errors.size.width > size[0] - 5 and errors.size.height > 10
        assert operator.monitor.operations_pane.size.height == 0
        await operator.press("escape")
        await pilot.pause()
        assert operator.monitor.operations_pane.size.height == before


async def test_sorting_by_shift_and_a_letter_shows_the_direction(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(160, 45)) as pilot:
        operator = await at_rollups(app, pilot)

        def names() -> list[str]:
            return [rollup.target_table for rollup in operator.monitor.operations_pane.shown]

        def label(column: str) -> str:
            columns = operator.monitor.operations_pane.table.columns
            return next(str(c.label) for key, c in columns.items() if key.value == column)

        await operator.press("N")
        assert names() == sorted(names()) and label("target") == "TARGET▼"
        await operator.press("N")
        assert names() == sorted(names(), reverse=True) and label("target") == "TARGET▲"
        await operator.press("L")
        assert names()[0] == "silver.meters_1d" and label("lag") == "LAG▼"
        await operator.press("L")
        assert names()[-1] == "silver.meters_1d" and label("lag") == "LAG▲"


async def test_the_strip_leads_to_what_is_behind_a_figure(
    console: MakeConsole, db: psycopg.Connection, connect: Connect
) -> None:
    failing(db, connect)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("0", "right", "enter")
        assert [r.target_table for r in operator.monitor.operations_pane.shown] == [
            "silver.flows_1h"
        ]
        assert "8 hidden" not in title(operator) and "6 hidden by WARNING only" in title(operator)
        await operator.press("escape")
        assert len(operator.monitor.operations_pane.shown) == 7
        await operator.press("0", *["right"] * 4, "enter")
        assert operator.monitor.focused is operator.monitor.query_one("#retries-table")
        await operator.press("0", *["right"] * 2, "enter")
        assert operator.monitor.view.sorted_by.column == "lag"
        assert not isinstance(operator.monitor.focused, Strip)


async def test_f1_explains_the_focused_pane(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        for key, words in (("0", "health"), ("1", "rollups"), ("2", "Partitions")):
            await operator.press(key, "f1")
            reader = await operator.at(ReaderScreen)
            assert words in reader._title
            await operator.press("escape")
            await operator.at_monitor()


async def test_what_a_hidden_pane_has_is_not_asked_for(
    console: MakeConsole, rollups: psycopg.Connection
) -> None:
    rollups.execute(
        "insert into silver.timeseries_error_log"
        " (rollup_id, source_table, target_table, error_message)"
        " values (1, 'raw.billing', 'silver.b_1h', 'it failed')"
    )
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("2", "ctrl+r")
        await operator.until(lambda: app.session.snapshot.errors is None)
        await operator.press("3")
        await operator.until(lambda: operator.monitor.query_one(ErrorsPane).selected)
        assert app.session.snapshot.partitions == ()
