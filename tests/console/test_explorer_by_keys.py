"""The data explorer by keys, on a real database."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import psycopg
import pytest
from textual.widgets import Input

from console.conftest import MakeConsole
from console.operator import Operator
from tsconsole.screens.ask import AskScreen
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.explorer import ExplorerScreen
from tsconsole.screens.reader import ReaderScreen


@pytest.fixture
def ladder(billing: psycopg.Connection) -> psycopg.Connection:
    """raw.billing by 10 minutes, by hour and by day, for each account."""
    billing.execute(
        "select silver.create_rollup_ladder('raw.billing', '{10 minutes,1 hour,1 day}', 'b',"
        " dimensions => '{account_id}')"
    )
    billing.execute("select silver.perform_rollup('raw.billing')")
    return billing


async def at_explorer(operator: Operator, target: str) -> Any:
    await operator.at_rollups()
    for _ in range(5):
        if operator.subject.target_table == target:
            break
        await operator.press("down")
    await operator.press("d")
    await operator.until(
        lambda: isinstance(operator.app.screen, ExplorerScreen) and operator.app.screen.data
    )
    return operator.app.screen


def shown(screen: Any) -> list[tuple[Any, Any]]:
    return [(point.time, point.value) for point in screen.data.series.points]


async def choose(operator: Operator, key: str, *keys: str) -> None:
    """Open a list by a key, go to an answer, and take it."""
    await operator.press(key)
    await operator.until(lambda: isinstance(operator.app.screen, ChooseScreen))
    await operator.press(*keys, "enter")


async def plot_a_sum_of_one_account(operator: Operator, screen: Any) -> None:
    await operator.press("home")
    await operator.until(lambda: not screen.data.view.window.follows)
    names = list(screen._own_level().measures)
    here, wanted = names.index(screen.view.measure), names.index("sum_amount")
    await choose(operator, "m", *["down" if wanted > here else "up"] * abs(wanted - here))
    await operator.until(lambda: screen.data.view.measure == "sum_amount")
    await choose(operator, "f", "down", "down")
    await operator.until(lambda: screen.data.view.filters == {"account_id": "1"})


async def test_plot_zoom_and_filter(console: MakeConsole, ladder: psycopg.Connection) -> None:
    app = console()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = Operator(app, pilot)
        screen = await at_explorer(operator, "silver.b_1h")
        room = screen.data.points
        assert screen.data.view.window.follows

        # everything, by hour; a sum, of one account: what GROUP BY says
        await plot_a_sum_of_one_account(operator, screen)
        assert screen.data.series.level.target == "silver.b_1h"
        by_hour = ladder.execute(
            "select date_trunc('hour', ts), sum(amount)::float8 from raw.billing"
            " where account_id = 1 group by 1 order by 1"
        ).fetchall()
        assert shown(screen) == by_hour and len(by_hour) <= room

        # out: coarser levels; in: finer ones; never more points than there is room for
        for _ in range(4):
            await operator.press("down")
        await operator.until(lambda: screen.data.series.level.target == "silver.b_1d")
        for _ in range(9):
            await operator.press("up")
        await operator.until(lambda: screen.data.series.level.target == "silver.b_10m")
        before = screen.data.view.window
        await operator.press("left")
        await operator.until(lambda: screen.data.view.window.end < before.end)
        assert screen.data.view.window.span == before.span
        assert len(screen.data.series.points) <= room + 2

        # a typed range
        await operator.press("i")
        await operator.until(lambda: isinstance(app.screen, AskScreen))
        app.screen.query_one(Input).value = "soon"
        await operator.press("enter")
        assert isinstance(app.screen, AskScreen), "it says what is wrong"
        ends = [by_hour[place][0].astimezone() for place in (-5, -1)]
        text = " ".join(f"{end:%Y-%m-%d %H:%M}" for end in ends)
        app.screen.query_one(Input).value = text
        await operator.press("enter")
        await operator.until(lambda: screen.data.view.window.end == ends[1])


async def test_sql_table_clipboard_and_file(
    console: MakeConsole, ladder: psycopg.Connection, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    app = console()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = Operator(app, pilot)
        screen = await at_explorer(operator, "silver.b_1h")
        await plot_a_sum_of_one_account(operator, screen)
        await operator.press("s")
        await operator.until(lambda: isinstance(app.screen, ReaderScreen))
        await operator.press("escape")
        assert ladder.execute(screen.data.series.statement.encode()).fetchall() == [
            (p.time, p.value, p.rows) for p in screen.data.series.points
        ]
        await operator.press("v")
        await operator.until(lambda: screen.query_one("#points").row_count > 0)
        await operator.press("c")
        assert app.clipboard.splitlines()[0] == "time\tvalue\trows"
        assert len(app.clipboard.splitlines()) == len(screen.data.series.points) + 1
        await operator.press("w")
        await operator.until(lambda: isinstance(app.screen, AskScreen))
        await operator.press("enter")
        file = tmp_path / "silver.b_1h-sum_amount.csv"
        await operator.until(lambda: any("written to" in words for words in operator.said))
        with file.open() as lines:
            read = list(csv.DictReader(lines))
        assert [float(row["value"]) for row in read] == [value for _, value in shown(screen)]
        # Never over a file that is there.
        await operator.press("w")
        await operator.until(lambda: isinstance(app.screen, AskScreen))
        await operator.press("enter")
        assert isinstance(app.screen, AskScreen)
        await operator.press("escape", "escape")
        await operator.at_monitor()


async def test_the_tail_is_live(console: MakeConsole, ladder: psycopg.Connection) -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = Operator(app, pilot)
        screen = await at_explorer(operator, "silver.b_10m")
        await operator.press("m", "home", "enter")
        count = len(screen.data.series.points)
        # No step runs: what is new is in the live view.
        ladder.execute("insert into raw.billing values (now(), 7, 1000000, 2)")
        await operator.press("end", "ctrl+r")
        await operator.until(lambda: len(screen.data.series.points) > count)
        assert screen.data.view.window.follows


async def test_a_rollup_without_rows(console: MakeConsole, db: psycopg.Connection) -> None:
    db.execute("create table raw.e (ts timestamptz, v int)")
    db.execute("select silver.create_rollup_table('raw.e', 'e_1h', '1 hour')")
    app = console()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        operator = Operator(app, pilot)
        screen = await at_explorer(operator, "silver.e_1h")
        assert screen.query_one("#nothing").display
        await operator.press("home")
        await operator.until(lambda: "nothing is stored yet" in operator.said)
        for key in ("up", "down", "left", "right", "v", "v", "f"):
            await operator.press(key)
        await operator.press("escape")
        await operator.at_monitor()
