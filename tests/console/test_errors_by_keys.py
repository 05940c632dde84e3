"""Errors and retries by keys, on a real database."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from support import find_psql
from textual.widgets import Static

from console.conftest import MakeConsole
from console.operator import Operator, rows
from console.test_terminal import Terminal
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.errors import ErrorsScreen
from tsconsole.screens.failure import FailureScreen


@pytest.fixture
def failed(billing: psycopg.Connection) -> psycopg.Connection:
    """Three rollups over a source that divides by zero; each has failed, the first twice."""
    billing.execute("update raw.billing set parts = 0 where account_id = 3")
    for target in ("a_1h", "b_1h", "c_1h"):
        billing.execute("select silver.create_rollup_table('raw.ratio', %s, '1 hour')", [target])
        billing.execute("select silver.perform_rollup(%s)", [f"silver.{target}"])
    billing.execute("select silver.retry_rollup('silver.a_1h')")
    return billing


async def at_errors(operator: Operator) -> ErrorsScreen:
    await operator.at_monitor()
    await operator.press("E")
    screen = await operator.at(ErrorsScreen)
    await operator.until(lambda: screen.data is not None and screen.main.selected is not None)
    return screen


async def test_why_did_it_fail_acknowledge_and_retry(
    console: MakeConsole, failed: psycopg.Connection
) -> None:
    app = console()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = Operator(app, pilot)
        screen = await at_errors(operator)
        assert [(e.target_table, e.errors) for e in screen.main.shown] == [
            ("silver.a_1h", 2), ("silver.c_1h", 1), ("silver.b_1h", 1),
        ]  # fmt: skip

        # one by one, and back
        await operator.press("u")
        await operator.until(lambda: len(screen.main.shown) == 4)
        await operator.press("u")
        await operator.until(lambda: len(screen.main.shown) == 3)

        # enter: the attempted query; x: its plan
        await operator.press("enter")
        failure = await operator.at(FailureScreen)

        def text() -> str:
            return "\n".join(
                str(part.content) for part in failure.query("#text Static").results(Static)
            )

        assert "division by zero" in text() and "insert into" in text().lower()
        await operator.press("x")
        await operator.until(lambda: "Insert on" in text())
        await operator.press("x")
        assert "its plan is below" in operator.said[-1]
        await operator.press("escape")

        # a: acknowledged, and hidden by !
        await operator.press("a")
        assert await operator.ended("acknowledge") == "2 errors acknowledged"
        await operator.until(lambda: screen.main.shown[0].unseen == 0)
        await operator.press("a")
        assert "acknowledged already" in operator.said[-1]
        await operator.press("exclamation_mark")
        await operator.until(lambda: len(screen.main.shown) == 2)
        await operator.press("exclamation_mark")
        acknowledged = (
            "select distinct target_table from silver.timeseries_error_log"
            " where acknowledged_at is not null"
        )
        assert rows(failed, acknowledged) == [("silver.a_1h",)]

        # mended: y tries the one under the cursor
        failed.execute("update raw.billing set parts = 2")
        await operator.press("y")
        assert "rows read" in await operator.ended("retry")
        left = "select count(*) from tsconsole.retry"
        assert rows(failed, left) == [(2,)]

        # ctrl+e names what is left, and tries it
        await operator.until(lambda: len(screen.queue.shown) == 2)
        await operator.press("ctrl+e")
        await operator.until(lambda: isinstance(app.screen, ConfirmScreen))
        await operator.press("right", "enter")
        await operator.until(lambda: not app.session.running)
        assert rows(failed, left) == [(0,)]
        await operator.press("escape")
        await operator.at_monitor()


async def test_retry_what_is_marked(console: MakeConsole, failed: psycopg.Connection) -> None:
    failed.execute("update raw.billing set parts = 2")
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        screen = await at_errors(operator)
        screen.queue.table.focus()
        await operator.press("space", "space")
        marked = [entry.target_table for entry in screen.queue.chosen]
        assert len(marked) == 2 and "2 marked" in str(screen.queue.border_title)
        await operator.press("y")
        await operator.until(lambda: len(screen.queue.shown) == 1)
        assert screen.queue.shown[0].target_table not in marked


async def test_acknowledge_what_is_marked(console: MakeConsole, failed: psycopg.Connection) -> None:
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        screen = await at_errors(operator)
        await operator.press("space", "space", "a")
        assert (await operator.ended("acknowledge")).startswith("2 done")
        await operator.until(lambda: [e.unseen > 0 for e in screen.main.shown].count(False) == 2)
        # The marks stay until escape takes them away, and only then the screen goes.
        assert len(screen.main.marked) == 2
        await operator.press("escape")
        assert not screen.main.marked and app.screen is screen


async def test_a_read_only_console_changes_nothing(
    console: MakeConsole, failed: psycopg.Connection
) -> None:
    app = console(read_only=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        operator = Operator(app, pilot)
        await at_errors(operator)
        for key in ("a", "y", "ctrl+y", "ctrl+e", "ctrl+k"):
            app.clear_notifications()
            await operator.press(key)
            assert any("read-only" in words for words in operator.said), key
        assert app.session.background.operations == {}


def test_psql_on_the_same_connection(
    database: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(find_psql(server.bin_folder).parent), prepend=":")
    program = Terminal(database)
    try:
        program.wait_for("There are no rollups")
        program.send("\\")
        program.wait_for("psql (")
        program.send("select current_setting('application_name') || '-' || 6 * 7;\r")
        program.wait_for("tsconsole-42")
        program.send("\x03")
        program.read(0.5)
        program.send("\\q\r")
        program.wait_for("back from psql")
        program.send("q")
        assert program.wait() == 0
        assert "Traceback" not in program.output
    finally:
        program.close()
