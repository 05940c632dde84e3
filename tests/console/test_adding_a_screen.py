"""The page that says how to add a screen is true: here one is added from it."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.text import Text

from console.conftest import MakeConsole
from console.operator import Operator
from tsconsole import operations
from tsconsole.actions import explanations
from tsconsole.actions import registry as actions
from tsconsole.actions.action import Action
from tsconsole.models import Extension
from tsconsole.screens import base, views
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.screens.reader import ReaderScreen, Section
from tsconsole.screens.table_screen import TableScreen
from tsconsole.widgets.grid import Field, Grid, words

PAGE = Path(__file__).parents[2] / "docs" / "console.md"


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry, the screen and the explanation of the page, for one test."""
    registry, screen, places = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    names: dict[str, Any] = {"Action": Action}
    exec(registry, names)
    shared = tuple(
        replace(action, places=(*action.places, "extensions"))  # type: ignore[arg-type]
        if {"indexes", "schedule", "maintenance", "partitions"} <= set(action.places)
        else action
        for action in actions.ACTIONS
    )
    every = (*names["EXTENSION_ACTIONS"], *shared)
    monkeypatch.setattr(actions, "ACTIONS", every)
    monkeypatch.setattr(MonitorScreen, "BINDINGS", base.bindings("monitor"))
    module = ModuleType("tsconsole.screens.extensions")
    module.__file__ = str(Path(base.__file__).with_name("extensions.py"))  # its styles are there
    module.__dict__.update(
        TableScreen=TableScreen, Extension=Extension, Grid=Grid, Field=Field, words=words,
        Text=Text, operations=operations, bindings=base.bindings, ReaderScreen=ReaderScreen,
        Section=Section,
    )  # fmt: skip
    exec(screen, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(views, "VIEWS", dict(views.VIEWS))
    monkeypatch.setattr(explanations, "EXPLANATIONS", dict(explanations.EXPLANATIONS))
    known = {"VIEWS": views.VIEWS, "EXPLANATIONS": explanations.EXPLANATIONS}
    exec(places, known | {"Explanation": explanations.Explanation})


async def test_the_screen_of_the_page_works(console: MakeConsole, added: None) -> None:
    assert actions.clashes() == []
    app = console()
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("X")
        await operator.until(lambda: getattr(app.screen, "place", "") == "extensions")
        screen: Any = app.screen
        await operator.until(lambda: screen.data is not None)
        await operator.until(lambda: screen.main.table.row_count == len(screen.data))
        assert "pg_cron" in {row.name for row in screen.main.shown}
        await operator.press("N", "N")
        names = [row.name for row in screen.main.shown]
        assert names == sorted(names, reverse=True)
        await operator.press("slash")
        await operator.type("cron")
        await operator.press("enter")
        assert [row.name for row in screen.main.shown] == ["pg_cron"]
        await operator.press("enter")
        await operator.until(lambda: isinstance(app.screen, ReaderScreen))
        await operator.press("escape", "f1")
        await operator.until(lambda: isinstance(app.screen, ReaderScreen))
        await operator.press("escape", "escape", "escape")
        await operator.at_monitor()
