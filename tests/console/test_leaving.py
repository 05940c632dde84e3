"""Widgets that are taken away at any moment of their making."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from textual.app import App
from textual.containers import Vertical
from textual.widget import Widget

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
