"""Widgets that are taken away at any moment of their making, and a console that ends meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from textual.app import App
from textual.containers import Vertical
from textual.widget import Widget

from console.conftest import MakeConsole
from console.operator import Operator
from tsconsole.polling import PollFailure
from tsconsole.screens.polling_screen import PollFailed
from tsconsole.widgets.errors_pane import ErrorsPane
from tsconsole.widgets.field import Field
from tsconsole.widgets.operations_pane import OperationsPane
from tsconsole.widgets.partitions_pane import PartitionsPane
from tsconsole.widgets.quiet_input import QuietInput
from tsconsole.widgets.retries_pane import RetriesPane

MOMENTS = 6
"""Turns of the event loop within which each of them is made."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: OperationsPane(id="made"),
        lambda: PartitionsPane(id="made"),
        lambda: ErrorsPane(id="made"),
        lambda: RetriesPane(id="made"),
        lambda: Field("name", "Name", QuietInput(id="made")),
    ],
    ids=["operations", "partitions", "errors", "retries", "field"],
)
@pytest.mark.parametrize("moment", range(MOMENTS))
async def test_a_widget_may_go_before_it_is_made(make: Callable[[], Widget], moment: int) -> None:
    async with App[None]().run_test() as pilot:
        box = Vertical()
        await pilot.app.mount(box)
        box.mount(make())
        for _ in range(moment):
            await asyncio.sleep(0)
        box.remove()
        await pilot.pause(0.1)


async def test_a_poll_may_fail_while_the_console_ends(
    console: MakeConsole, rollups: psycopg.Connection
) -> None:
    """Textual takes all screens away before it stops what they have begun."""
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        monitor = operator.monitor
        stack = app._screen_stacks[app._current_mode]
        screens = stack[:]
        stack.clear()
        monitor.lose(PollFailed(PollFailure("gone", None, True, 1, 1000.0)))
        stack[:] = screens
    assert not app.return_code
