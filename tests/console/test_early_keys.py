"""Keys that come sooner than what they are for: a slow line delivers many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import psycopg
import pytest
from textual.events import Key, Paste
from textual.keys import _character_to_key
from textual.widgets import OptionList

from console.conftest import MakeConsole
from console.operator import Operator, at_rollups, at_view
from console.states import healthy
from tsconsole import operations
from tsconsole.polling import PollFailure
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.create import CreateScreen
from tsconsole.screens.details import DetailsScreen
from tsconsole.screens.maintenance import MaintenanceScreen
from tsconsole.screens.polling_screen import Polled, PollFailed
from tsconsole.terminal.early_keys import LONGEST
from tsconsole.widgets.grid import Grid
from tsconsole.widgets.live_table import LiveTable


async def test_a_key_waits_for_the_screen_that_it_is_for(
    console: MakeConsole, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy(db)

    async def wait(_: object) -> None:
        await asyncio.sleep(0.3)

    # As on a machine that has other things to do.
    monkeypatch.setattr(DetailsScreen, "on_compose", wait, raising=False)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        before = app.session.interval
        screen = DetailsScreen(app.session, operator.subject)
        app.push_screen(screen)
        # A key bubbles up from the screen below, and finds this one in front.
        await app.run_action("slower", screen)
        assert screen.poller.interval > before


async def test_what_is_told_to_a_screen_that_is_being_left(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = await at_rollups(app, pilot)
        screen = DetailsScreen(app.session, operator.subject)
        assert not screen.query("*")
        screen.on_resize()
        screen.take(Polled(None))
        screen.lose(PollFailed(PollFailure("gone", None, True, 1, 1000.0)))
        assert screen.failure is None


async def test_what_was_left_is_not_drawn_any_more(
    console: MakeConsole, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_view(app, pilot, "6")
        screen = operator.screen(MaintenanceScreen)
        grid = screen.main
        await operator.press("escape")
        await operator.until(lambda: not grid.query(LiveTable))

        def at_once(_: object, callback: Any, *arguments: Any) -> bool:
            callback(*arguments)
            return True

        for kind in (Grid, MaintenanceScreen):
            monkeypatch.setattr(kind, "call_after_refresh", at_once)
        grid.on_resize()
        screen._redraw()


async def test_no_page_is_turned_where_there_is_no_room(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    healthy(db)
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        await operator.press("v")
        screen = await operator.at(ChooseScreen)
        screen.query_one(OptionList).styles.height = 0
        await pilot.pause()
        await operator.press("pagedown", "pageup")
        assert app.screen is screen


SPECIAL = ("tab", "enter", "ctrl+u", "escape")


def burst(app: Any, *keys: str) -> None:
    """Keys and texts that come all at once."""
    for words in keys:
        for key in [words] if words in SPECIAL else words:
            character = key if len(key) == 1 else None
            name = _character_to_key(key) if character else key
            app._driver.send_message(Key(name, character))


@asynccontextmanager
async def at_monitor(console: MakeConsole) -> AsyncIterator[tuple[Any, Operator]]:
    """A console that shows its monitor, and its operator."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        yield app, operator


async def form_with(app: Any, operator: Operator, **wanted: str) -> Any:
    """The form for a new rollup, once what was typed is in these fields: each change makes another
    form."""

    def is_so() -> bool:
        if not isinstance(app.screen, CreateScreen) or app._early:
            return False
        return all(getattr(app.screen.form, name) == text for name, text in wanted.items())

    await operator.until(is_so)
    return app.screen.form


async def test_what_is_typed_at_once_is_where_it_was_meant_to_be(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    async with at_monitor(console) as (app, operator):
        # Before the form is there, before it knows the tables, before it knows the columns.
        burst(app, "n", "raw.billing", "enter", "tab", "tab", "ctrl+u", "1h,1d", "tab", "ctrl+u",
              "gold.fast")  # fmt: skip
        form = await form_with(app, operator, target="gold.fast")
        assert (form.source, form.intervals) == ("raw.billing", "1h,1d")


async def test_what_is_pasted_is_where_it_was_meant_to_be(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    async with at_monitor(console) as (app, operator):
        burst(app, "n", "raw.billing", "enter", "tab", "tab", "ctrl+u")
        app._driver.send_message(Paste("1h,1d"))
        burst(app, "tab")
        form = await form_with(app, operator, intervals="1h,1d")
        assert form.source == "raw.billing"


async def test_going_back_waits_for_no_server(
    console: MakeConsole, billing: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def silent(*_: object) -> None:
        asked.append(_)
        await asyncio.Event().wait()

    monkeypatch.setattr(operations, "source_tables", silent)
    async with at_monitor(console) as (app, operator):
        begin = monotonic()
        burst(app, "n", "escape")
        await operator.until(lambda: asked and not app._early and len(app.screen_stack) == 2)
        assert monotonic() - begin < LONGEST
