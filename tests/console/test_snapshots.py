"""Pictures of every screen in its states. After a change, look at them before accepting them:
`pytest tests/console/test_snapshots.py --snapshot-update`."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Input, Select, Static

from console.conftest import MakeConsole
from console.pictures import settle
from console.states import FixedServer, server_gone, until
from tsconsole import installer, operations
from tsconsole.app import TsConsole
from tsconsole.errors import InstallError
from tsconsole.models import Extension
from tsconsole.screens.base import ConsoleScreen
from tsconsole.screens.confirm import ConfirmScreen
from tsconsole.screens.create import CreateScreen
from tsconsole.screens.details import DetailsScreen
from tsconsole.screens.monitor import MonitorScreen
from tsconsole.screens.reader import ReaderScreen

pytestmark = pytest.mark.skipif(
    os.environ.get("TSCONSOLE_TEST_POSTGRES", "18") != "18"
    or bool(os.environ.get("TSCONSOLE_TEST_DSN")),
    reason="sizes in the pictures are those of the embedded PostgreSQL 18",
)

Connect = Callable[..., psycopg.Connection]
NARROW, MIDDLE, WIDE = (80, 24), (120, 36), (160, 45)
Before = Callable[[Pilot[Any]], Any]


def screen(pilot: Pilot[Any]) -> Any:
    return pilot.app.screen


async def at_monitor(pilot: Pilot[Any]) -> None:
    """Wait for the data, and for the partitions of the row under the cursor."""

    def is_drawn() -> bool:
        app = pilot.app
        assert isinstance(app, TsConsole)
        snapshot = app.session.snapshot
        if not isinstance(app.screen, MonitorScreen) or snapshot is None:
            return False
        rollup = app.screen.operations_pane.selected
        if rollup is None or not app.screen.query_one("#partitions").display:
            return True
        return snapshot.selected_target == rollup.target_table

    await until(pilot, is_drawn)
    await settle(pilot)


def after(*keys: str, screen_class: type[Any] | None = None) -> Before:
    """At the monitor, press keys; wait for a screen if one is expected."""

    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        await pilot.press(*keys)
        if screen_class is not None:
            await until(pilot, lambda: isinstance(screen(pilot), screen_class))
        await settle(pilot)

    return before


@pytest.fixture
def empty(console: MakeConsole, fixed_server: FixedServer) -> MakeConsole:
    return console


@pytest.mark.parametrize("size", [NARROW, MIDDLE])
def test_monitor_empty(snap_compare: Any, empty: MakeConsole, size: tuple[int, int]) -> None:
    assert snap_compare(empty(), terminal_size=size, run_before=at_monitor)


@pytest.mark.parametrize("size", [NARROW, MIDDLE])
def test_monitor_healthy(snap_compare: Any, well: MakeConsole, size: tuple[int, int]) -> None:
    assert snap_compare(well(), terminal_size=size, run_before=at_monitor)


@pytest.mark.parametrize("size", [NARROW, MIDDLE, WIDE])
def test_monitor_failing(snap_compare: Any, ill: MakeConsole, size: tuple[int, int]) -> None:
    assert snap_compare(ill(), terminal_size=size, run_before=at_monitor)


def test_monitor_failing_light(snap_compare: Any, ill: MakeConsole) -> None:
    assert snap_compare(ill(theme="light"), terminal_size=MIDDLE, run_before=at_monitor)


def test_monitor_failing_without_colour(
    snap_compare: Any, ill: MakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(ill(), terminal_size=MIDDLE, run_before=at_monitor)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_monitor_failing_in_sixteen_colours(
    snap_compare: Any, ill: MakeConsole, monkeypatch: pytest.MonkeyPatch, theme: str
) -> None:
    """The alarm is under the cursor, in the cursor's own colour."""
    monkeypatch.setattr(Console, "color_system", "standard")
    assert snap_compare(ill(theme=theme), terminal_size=NARROW, run_before=at_monitor)


def test_monitor_failing_in_ascii(
    snap_compare: Any, ill: MakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSCONSOLE_ASCII", "1")
    assert snap_compare(ill(), terminal_size=NARROW, run_before=at_monitor)


def test_monitor_read_only(snap_compare: Any, ill: MakeConsole) -> None:
    assert snap_compare(ill(read_only=True), terminal_size=MIDDLE, run_before=at_monitor)


@pytest.mark.parametrize("pane", ["3", "4"])
def test_monitor_narrow_shows_one_lower_pane(
    snap_compare: Any, ill: MakeConsole, pane: str
) -> None:
    assert snap_compare(ill(), terminal_size=NARROW, run_before=after(pane))


def test_monitor_filtered(snap_compare: Any, ill: MakeConsole) -> None:
    keys = ["slash", *"plant", "enter"]
    assert snap_compare(ill(), terminal_size=NARROW, run_before=after(*keys))


def test_monitor_problems_only(snap_compare: Any, ill: MakeConsole) -> None:
    before = after("exclamation_mark", "s")
    assert snap_compare(ill(), terminal_size=MIDDLE, run_before=before)


@pytest.mark.parametrize("size", [NARROW, MIDDLE])
def test_monitor_disconnected(
    snap_compare: Any, ill: MakeConsole, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)

        monkeypatch.setattr(operations, "monitor_snapshot", server_gone)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: screen(pilot).failure is not None)
        await settle(pilot)

    assert snap_compare(ill(), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [NARROW, (120, 40)])
def test_help(snap_compare: Any, ill: MakeConsole, size: tuple[int, int]) -> None:
    assert snap_compare(ill(), terminal_size=size, run_before=after("question_mark"))


def test_confirm_drop(snap_compare: Any, ill: MakeConsole) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await after("ctrl+d", screen_class=ConfirmScreen)(pilot)
        facts = pilot.app.screen.query_one("#facts", Static)
        await until(pilot, lambda: "Gone" in str(facts.content))

    assert snap_compare(ill(), terminal_size=NARROW, run_before=before)


def test_confirm_run_all(snap_compare: Any, ill: MakeConsole) -> None:
    before = after("ctrl+e", screen_class=ConfirmScreen)
    assert snap_compare(ill(), terminal_size=MIDDLE, run_before=before)


def test_choose_what_to_verify(snap_compare: Any, ill: MakeConsole) -> None:
    assert snap_compare(ill(), terminal_size=MIDDLE, run_before=after("v"))


def test_error_in_full(snap_compare: Any, ill: MakeConsole) -> None:
    before = after("e", screen_class=ReaderScreen)
    assert snap_compare(ill(), terminal_size=MIDDLE, run_before=before)


@pytest.mark.parametrize("size", [NARROW, (120, 45), WIDE])
def test_details(
    snap_compare: Any, ill: MakeConsole, db: psycopg.Connection, size: tuple[int, int]
) -> None:
    db.execute("update silver.timeseries_refresh_log"
               " set predicted_duration = duration * (0.8 + (id % 5) * 0.1)")  # fmt: skip
    db.execute("update silver.timeseries_refresh_log set work = 'recompute' where id % 3 = 0")
    # Six: gold.billing_1h. The past up to a fortnight, and two late ranges.
    db.execute(
        "insert into tsconsole.pending_6 (lo, hi, all_series, kind) values"
        " ('2024-03-10', '2024-08-01', true, 'h'), ('2025-06-01', '2025-06-02', true, 'l'),"
        " ('2025-11-01', '2025-11-20', true, 'l')"
    )

    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(screen(pilot), DetailsScreen))
        await until(pilot, lambda: screen(pilot)._details is not None)
        await settle(pilot)

    assert snap_compare(ill(), terminal_size=size, run_before=before)


async def open_form(pilot: Pilot[Any], source: str | None = "raw.meters") -> None:
    await at_monitor(pilot)
    await pilot.press("n")
    await until(pilot, lambda: isinstance(screen(pilot), CreateScreen))
    await until(pilot, lambda: screen(pilot).query_one("#source", Select).expanded)
    if source is not None:
        await pilot.press(*source, "enter")
        await until(pilot, lambda: screen(pilot).query_one("#target", Input).value != "")
    await settle(pilot)


def test_create_choose_a_source(snap_compare: Any, ill: MakeConsole) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await open_form(pilot, None)

    assert snap_compare(ill(), terminal_size=MIDDLE, run_before=before)


@pytest.mark.parametrize("size", [NARROW, (120, 40)])
def test_create_proposes(snap_compare: Any, ill: MakeConsole, size: tuple[int, int]) -> None:
    assert snap_compare(ill(), terminal_size=size, run_before=open_form)


def test_create_with_an_error(snap_compare: Any, ill: MakeConsole) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await open_form(pilot)
        await pilot.press("tab", "tab", *"7m,1h")
        await settle(pilot)

    assert snap_compare(ill(), terminal_size=(120, 40), run_before=before)


def test_create_refused_by_the_server(snap_compare: Any, ill: MakeConsole) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await open_form(pilot)
        screen(pilot).query_one("#timezone", Input).value = "Mars/Crater"
        await pilot.pause()
        await pilot.press("ctrl+t")
        await until(pilot, lambda: bool(screen(pilot).query("#field-timezone.-wrong")))
        await settle(pilot)

    assert snap_compare(ill(), terminal_size=(120, 40), run_before=before)


def test_log_of_the_session(
    snap_compare: Any, empty: MakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.states import NOW
    from tsconsole.background.operation import Operation, Result

    app = empty()
    app.session.background.operations = {
        1: Operation(1, "run", "silver.a_1m", NOW, 990.0, 992.5, "done",
                     result=Result("12 steps, 1.2 M rows read, 20.0 k written, 2.4 s")),
        2: Operation(2, "retry", "gold.billing_1h", NOW, 995.0, 995.2, "failed",
                     result=Result("failed: division by zero", "error")),
        3: Operation(3, "verify", "silver.a_1h", NOW, 998.0, note="reading the source"),
    }  # fmt: skip
    assert snap_compare(app, terminal_size=MIDDLE, run_before=after("o"))


@pytest.fixture
def three_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of three files: the pictures must not change with every file of the core."""
    titles = ("The schemas and tables", "The functions that aggregate", "The monitor")
    names = ("V1__tables.sql", "R__10_functions.sql", "R__70_monitor.sql")
    real = installer.plan

    async def plan(connection: Any, *rest: Any) -> Any:
        found = await real(connection, *rest)
        steps = [
            replace(step, file_name=name, title=title)
            for step, name, title in zip(found.steps[:3], names, titles, strict=True)
        ]
        return replace(found, steps=tuple(steps))

    async def extensions(connection: Any) -> list[Extension]:
        return [
            Extension("pg_partman", "an alternative manager of partitions", "5.1", "5.1", "p"),
            Extension("pg_cron", "runs rollups inside the server", "1.6", None, None),
            Extension("hypopg", "tries indexes without building them", None, None, None),
        ]

    monkeypatch.setattr(installer, "plan", plan)
    monkeypatch.setattr(operations, "extensions", extensions)


async def at_plan(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: bool(screen(pilot).query("#plan")))
    await settle(pilot)


@pytest.mark.parametrize("size", [NARROW, MIDDLE])
def test_install_plan(
    snap_compare: Any, empty: MakeConsole, empty_database: str, three_files: None,
    size: tuple[int, int],
) -> None:  # fmt: skip
    app = empty(dsn=empty_database)
    assert snap_compare(app, terminal_size=size, run_before=at_plan)


@pytest.mark.parametrize("outcome", ["done", "refused"])
def test_install_ended(
    snap_compare: Any, empty: MakeConsole, empty_database: str, three_files: None,
    monkeypatch: pytest.MonkeyPatch, outcome: str,
) -> None:  # fmt: skip
    async def install(connection: Any, on_step: Any) -> Any:
        plan = await installer.plan(connection)
        for position, step in enumerate(plan.steps, start=1):
            on_step(step, position, len(plan.steps))
        if outcome == "refused":
            raise InstallError(
                "The role operator may not create schemas in the database iot.",
                "Let the database's owner run: grant create on database iot to operator;",
            )
        return plan

    async def before(pilot: Pilot[Any]) -> None:
        await at_plan(pilot)
        await pilot.press("i")
        background = screen(pilot).session.background
        await until(pilot, lambda: bool(background.operations) and not background.running)
        await settle(pilot)

    monkeypatch.setattr(installer, "install", install)
    app = empty(dsn=empty_database)
    assert snap_compare(app, terminal_size=MIDDLE, run_before=before)


@pytest.mark.parametrize("size", [NARROW, MIDDLE, WIDE])
def test_steps(snap_compare: Any, ill: MakeConsole, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        await pilot.press("w")
        await until(pilot, lambda: getattr(screen(pilot), "place", "") == "steps")
        await until(pilot, lambda: screen(pilot).pane.selected is not None)
        await settle(pilot)

    assert snap_compare(ill(), terminal_size=size, run_before=before)


def test_no_server(snap_compare: Any, empty: MakeConsole) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: screen(pilot)._failure is not None)
        await settle(pilot)

    app = empty(dsn="postgresql://operator@127.0.0.1:1/iot")
    assert snap_compare(app, terminal_size=NARROW, run_before=before)


def test_every_screen_is_in_a_picture() -> None:
    """A reminder for whoever adds a screen."""
    import tsconsole.screens

    modules = {
        module.name
        for module in pkgutil.iter_modules(tsconsole.screens.__path__, "tsconsole.screens.")
    }
    for name in modules:
        importlib.import_module(name)
    found, waiting = set[str](), list(ConsoleScreen.__subclasses__())
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        # Another test makes a screen that is in no module.
        if one.__module__ in modules and "place" in one.__dict__:
            found.add(one.__dict__["place"])
    assert found == {
        "connect", "install", "monitor", "details", "create", "log", "reader", "statements",
        "steps", "partitions", "maintenance", "schedule", "indexes", "activity", "errors",
        "failure", "explorer",
    }  # fmt: skip
