"""One registry of actions: bindings, footer and help cannot disagree."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import psycopg
import pytest
from textual.binding import Binding

import tsconsole
from console.conftest import MakeConsole
from console.states import until
from tsconsole.actions.explanations import EXPLANATIONS, OPERATIONS_COLUMNS, explain
from tsconsole.actions.registry import (
    ACTIONS,
    actions_at,
    clashes,
    find_action,
    footer_at,
    use_keys,
)
from tsconsole.actions.spoken_keys import jump_key
from tsconsole.app import TsConsole
from tsconsole.background.jobs import conclude_run
from tsconsole.models import StepResult
from tsconsole.presentation.monitor_view import ORDERS
from tsconsole.screens.activity import ActivityScreen
from tsconsole.screens.base import ConsoleScreen
from tsconsole.screens.connect import ConnectScreen
from tsconsole.screens.create import CreateScreen
from tsconsole.screens.details import DetailsScreen
from tsconsole.screens.errors import ErrorsScreen
from tsconsole.screens.explorer import ExplorerScreen
from tsconsole.screens.failure import FailureScreen
from tsconsole.screens.help import HelpScreen
from tsconsole.screens.indexes import IndexesScreen
from tsconsole.screens.install import InstallScreen
from tsconsole.screens.log import LogScreen
from tsconsole.screens.maintenance import MaintenanceScreen
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.screens.partitions import PartitionsScreen
from tsconsole.screens.reader import ReaderScreen
from tsconsole.screens.schedule import ScheduleScreen
from tsconsole.screens.statements import StatementsScreen
from tsconsole.screens.steps import StepsScreen
from tsconsole.widgets.key_bar import KeyBar
from tsconsole.widgets.operations_pane import _LABELS
from tsconsole.widgets.tray import Tray

SCREENS = [
    ConnectScreen, InstallScreen, MonitorScreen, DetailsScreen, CreateScreen, LogScreen,
    ReaderScreen, StatementsScreen, StepsScreen, ErrorsScreen, FailureScreen, PartitionsScreen,
    MaintenanceScreen, ScheduleScreen, IndexesScreen, ActivityScreen, ExplorerScreen,
]  # fmt: skip


def test_no_key_means_two_things_on_one_screen() -> None:
    assert clashes() == []


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_can_do_what_the_registry_says(screen: type[ConsoleScreen[object]]) -> None:
    for action in actions_at(screen.place):
        name = action.name.split("(")[0]
        owner = TsConsole if name.startswith("app.") else screen
        assert callable(getattr(owner, f"action_{name.removeprefix('app.')}", None)), name


@pytest.mark.parametrize("screen", SCREENS)
def test_bindings_are_the_registry(screen: type[ConsoleScreen[object]]) -> None:
    bound = {b.action: b.key for b in screen.__dict__["BINDINGS"] if isinstance(b, Binding)}
    assert bound == {a.name: a.keys for a in actions_at(screen.place) if a.keys}


def test_every_action_is_explained_and_can_be_found() -> None:
    for action in ACTIONS:
        assert action.meaning and action.label and action.places
        for place in action.places:
            name = action.name.split("(")[0].removeprefix("app.")
            assert find_action(name, place) is not None


def test_what_f1_explains_is_explained() -> None:
    for action in ACTIONS:
        if action.name == "explain":
            for place in set(action.places) - {"monitor"}:
                assert explain(place).sections, place
    for topic in ("operations", "partitions_pane", "errors", "retries", "strip"):
        assert explain(topic).sections
    assert list(OPERATIONS_COLUMNS) == [label for label, _ in _LABELS.values()]


def test_every_sort_is_a_column_of_the_rollups() -> None:
    sorts = {
        a.name.split("'")[1] for a in ACTIONS if a.method == "sort_by" and "monitor" in a.places
    }
    assert sorts == {order.column for order in ORDERS} and sorts <= set(_LABELS)


def test_footers_lead_to_the_help() -> None:
    for screen in SCREENS:
        assert any("help" in action.name for action in footer_at(screen.place)), screen


def test_keys_that_terminals_and_tmux_take_are_not_used() -> None:
    used = {key for action in ACTIONS for key in action.keys.split(",")}
    assert not used & {"ctrl+a", "ctrl+b", "ctrl+enter", "ctrl+c", "ctrl+q"}


def test_what_changes_the_database_says_so() -> None:
    changing = {action.name for action in ACTIONS if action.changes}
    assert changing == {
        "run", "retry", "maintain", "pause", "drop", "create", "run_all", "retry_all",
        "maintain_all", "create_now", "install", "apply", "retention", "optimize", "run_task",
        "run_table", "run_due", "run_now", "interval", "switch", "cron", "cron_remove", "follow",
        "acknowledge", "acknowledge_all", "retry_failing",
    }  # fmt: skip


@pytest.mark.parametrize(
    "module",
    [
        "actions.action",
        "presentation.create_form",
        "actions.explanations",
        "models.explorer",
        "presentation.export",
        "presentation.filtering",
        "formatting",
        "presentation.fuzzy",
        "health",
        "intervals",
        "presentation.marks",
        "terminal.psql",
        "screens.details_text",
        "actions.spoken_keys",
        "presentation.time_axis",
        "widgets.banner",
        "widgets.series_plot",
    ],
)
def test_examples_in_docstrings(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"tsconsole.{module}"))
    assert result.attempted and not result.failed


def test_one_name_has_one_key() -> None:
    """Sentences name an action, whatever the screen."""
    keys: dict[str, set[str]] = {}
    for action in ACTIONS:
        keys.setdefault(action.name, set()).add(action.keys.split(",")[0])
    assert {name: found for name, found in keys.items() if len(found) > 1} == {}


SOURCES = sorted((Path(tsconsole.__file__).parent).rglob("*.py"))


def test_what_is_said_about_actions_names_actions() -> None:
    names = {action.name for action in ACTIONS}
    said = set()
    for path in SOURCES:
        text = path.read_text("utf-8")
        for sentence in re.findall(r"spoken\(\s*\"([^\"]*)\"", text):
            said |= set(re.findall(r"\{([^{}]+)\}", sentence))
    for explanation in EXPLANATIONS.values():
        for _, body in explanation.sections:
            said |= set(re.findall(r"\{([^{}]+)\}", body))
    assert len(said) > 20 and said <= names


def test_sentences_name_the_operator_s_own_keys() -> None:
    use_keys({"retry": "f6", "apply": "ctrl+x", "pause": "f8", "view('schedule')": "f7"})
    try:
        (text,) = [body for heading, body in explain("retries").sections if "do" in heading]
        assert "then f6 tries again" in text
        (text,) = [body for heading, body in explain("partitions").sections if "do" in heading]
        assert "\nctrl+x       takes it away" in text and "\ni            changes" in text
        assert conclude_run([]).message == "nothing to do"
        step = StepResult("silver.x", None, "paused", None, None, None, None, None, None, None)
        assert conclude_run([step]).message == "paused; f8 lets it go on"
        assert jump_key(7) == "f7" and jump_key(6) == "6"
    finally:
        use_keys({})


async def test_palette_tray_and_titles_show_the_operator_s_own_keys(
    console: MakeConsole, db: psycopg.Connection
) -> None:
    use_keys({"run_task": "f3", "create": "f4", "pane(4)": "f2", "cancel": "f9"})
    try:
        app = console()
        async with app.run_test(size=(160, 45)) as pilot:
            await until(pilot, lambda: app.session.snapshot is not None)
            screen = app.screen
            assert isinstance(screen, MonitorScreen)
            keys = {entry.title: entry.key for entry in screen._palette_entries()}
            assert (keys["New"], keys["Run"]) == ("f4", "r")
            own = [e for e in screen._palette_entries() if e.reason and "maintenance" in e.reason]
            assert {e.key for e in own if "task under" in e.detail} == {"f3"}
            await until(pilot, lambda: "Press f4" in screen.operations_pane._nothing())
            assert "f2" in str(screen.query_one("#retries").border_title)
            app.session.background.begin("run", "silver.x")
            screen.draw_tray()
            assert "f9 Cancel" in str(screen.query_one(Tray).content)
    finally:
        use_keys({})


async def test_help_is_closed_by_its_own_key(console: MakeConsole, db: psycopg.Connection) -> None:
    use_keys({"help": "f5"})
    try:
        app = console()
        async with app.run_test(size=(120, 36)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, MonitorScreen))
            await pilot.press("f5")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
            await pilot.press("f5")
            await until(pilot, lambda: isinstance(app.screen, MonitorScreen))
    finally:
        use_keys({})


async def test_keys_of_ones_own(console: MakeConsole, db: psycopg.Connection) -> None:
    use_keys({"help": "f5", "log": "question_mark"})
    try:
        app = console()
        async with app.run_test(size=(120, 36)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, MonitorScreen))
            bar = app.screen.query_one(KeyBar)
            await until(pilot, lambda: "f5 Help" in str(bar.content))
            await pilot.press("f5")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
            await pilot.press("escape", "question_mark")
            await until(pilot, lambda: isinstance(app.screen, LogScreen))
            await pilot.press("escape", "o")
            await pilot.pause()
            assert isinstance(app.screen, MonitorScreen)
    finally:
        use_keys({})
