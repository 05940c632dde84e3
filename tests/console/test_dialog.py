"""A dialog says that the server is gone, and that it is back."""

from __future__ import annotations

import psycopg
import pytest
from textual.containers import Vertical

from console.conftest import MakeConsole
from console.operator import at_rollups
from console.states import server_gone
from tsconsole import operations
from tsconsole.app import TsConsole
from tsconsole.screens.dialog import Dialog


def title(app: TsConsole) -> str:
    assert isinstance(app.screen, Dialog)
    return str(app.screen.query_one("#box", Vertical).border_title)


@pytest.mark.parametrize(
    ("key", "name"),
    [("ctrl+d", "Drop"), ("v", "Verify"), ("question_mark", "Keys"), ("colon", "Palette")],
)
async def test_a_dialog_says_that_the_server_is_gone(
    console: MakeConsole, rollups: psycopg.Connection, monkeypatch: pytest.MonkeyPatch,
    key: str, name: str,
) -> None:  # fmt: skip
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = await at_rollups(app, pilot)
        monitor = operator.monitor
        monitor.poller.interval = 0.1
        await operator.press(key)
        await operator.at(Dialog)
        assert title(app).startswith(name)
        own = title(app)

        real = operations.server_info

        monkeypatch.setattr(operations, "server_info", server_gone)
        await operator.until(lambda: "SERVER LOST" in title(app))
        assert "Connection refused" in title(app)
        assert title(app).startswith(own)

        monkeypatch.setattr(operations, "server_info", real)
        monitor.poller.poke()
        await operator.until(lambda: title(app) == own)
        assert not app.session.is_lost


async def test_below_the_dialog_it_is_said_once_it_closes(
    console: MakeConsole, rollups: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = await at_rollups(app, pilot)
        operator.monitor.poller.interval = 0.1
        await operator.press("v")
        await operator.at(Dialog)

        monkeypatch.setattr(operations, "server_info", server_gone)
        monkeypatch.setattr(operations, "monitor_snapshot", server_gone)
        await operator.until(lambda: "SERVER LOST" in title(app))
        await operator.press("escape")
        await operator.at_rollups()
        banner = operator.monitor.query_one(".banner")
        await operator.until(lambda: banner.display)
        assert operator.monitor.has_class("-stale")
