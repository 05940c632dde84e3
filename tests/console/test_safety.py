"""Acting safely: the log of statements, questions that name what will happen, read-only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from textual.widgets import Static

from console.conftest import MakeConsole
from console.operator import Operator
from tsconsole import operations
from tsconsole.app import TsConsole
from tsconsole.database import Settings, connected
from tsconsole.errors import OperationError
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.log import LogScreen
from tsconsole.screens.reader import ReaderScreen
from tsconsole.screens.statements import StatementsScreen
from tsconsole.statements import KEPT, StatementLog
from tsconsole.widgets.live_table import LiveTable
from tsconsole.widgets.tray import Tray


@asynccontextmanager
async def after_a_run(app: TsConsole) -> AsyncIterator[Operator]:
    """An operator at the monitor who has run the rollup under the cursor."""
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("r")
        await operator.ended("run")
        yield operator


async def test_statements_are_logged_with_parameters_rows_and_duration(
    rollups: psycopg.Connection, database: str
) -> None:
    log = StatementLog()
    async with connected(Settings(database), log) as connection:
        await operations.monitor_snapshot(connection, "silver.b_1h")
        with pytest.raises(OperationError):
            await operations.pause(connection, "silver.nothing")
        await connection.execute("select generate_series(1, %s), pg_sleep(0.05)", [3])
    found = list(log)
    polled = [entry for entry in found if "silver.b_1h" in entry.parameters]
    assert polled and "partition_name" in polled[0].text and polled[0].seconds is not None
    failed = [entry for entry in found if entry.error]
    assert len(failed) == 1 and "silver.nothing" in str(failed[0].parameters)
    last = found[-1]
    assert last.rows == 3 and last.seconds is not None and 0.14 < last.seconds < 5
    assert all(entry.seconds is not None for entry in found), "nothing seems to run still"


def test_the_log_is_bounded_and_counts_what_is_polled() -> None:
    log = StatementLog()
    for number in range(KEPT + 20):
        log.end(log.begin(f"select {number}", [number], False), 0.5, 1)
    assert len(list(log)) == KEPT
    for seconds in (0.3, 0.1):
        log.end(log.begin("select 'poll'", None, True), seconds, 7)
    last = list(log)[-1]
    assert (last.count, last.seconds, last.slowest, last.rows) == (2, 0.1, 0.3, 7)


async def test_one_key_shows_the_statements(
    console: MakeConsole, rollups: psycopg.Connection
) -> None:
    async with after_a_run(console()) as operator:
        app = operator.app
        await operator.press("l")
        await operator.until(lambda: isinstance(app.screen, StatementsScreen))
        table = app.screen.query_one(LiveTable)
        await operator.until(lambda: table.row_count > 4)
        sent = " ".join(entry.text for entry in app.session.statements)
        assert "run_rollup_step" in sent or "silver.run" in sent, sent
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, ReaderScreen))
        words = " ".join(str(part.content) for part in app.screen.query(Static))
        assert "took" in words and "select" in words
        await operator.press("escape", "escape")
        await operator.at_monitor()


async def test_a_question_says_what_would_go(
    console: MakeConsole, rollups: psycopg.Connection
) -> None:
    async with after_a_run(console()) as operator:
        app = operator.app
        await operator.press("ctrl+d")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        facts = app.screen.query_one("#facts", Static)
        await operator.until(lambda: "Gone would be about" in str(facts.content))
        assert "partition" in str(facts.content) and "kB" in str(facts.content)
        await operator.type("silver.b_1")
        await operator.press("enter")
        assert isinstance(app.screen, ConfirmScreen), "a wrong name drops nothing"
        await operator.press("escape")
        await operator.at_monitor()
        await operator.press("colon", *"maintain all", "enter")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        facts = app.screen.query_one("#facts", Static)
        await operator.until(lambda: "Nothing is expired" in str(facts.content))
        assert app.screen.focused is not None and app.screen.focused.id == "cancel"
        await operator.press("enter")
        await operator.at_monitor()
        assert [op.verb for op in app.session.background.operations.values()] == ["run"]


async def test_cancel_asks_which_when_several_run(
    console: MakeConsole, rollups: psycopg.Connection
) -> None:
    app = console()

    async def sleep(connection: Any, report: Any) -> Any:
        report("sleeping")
        await connection.execute("select pg_sleep(60)")

    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        operator.monitor.start("first", None, sleep)
        operator.monitor.start("second", None, sleep)
        await operator.until(lambda: len(app.session.running) == 2)
        await operator.press("o")
        await operator.until(lambda: isinstance(app.screen, LogScreen))
        assert app.screen.query_one(Tray).display, "the tray is on other screens too"
        await operator.press("escape", "x")
        await operator.until(lambda: isinstance(app.screen, ChooseScreen))
        await operator.press("up", "enter")
        await operator.until(lambda: [o.verb for o in app.session.running] == ["second"])
        await operator.press("q")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("escape", "x")
        await operator.until(lambda: not app.session.running)
