"""An operator's tasks on a real database, each in at most the keys that docs/console.md states."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from textual.widgets import Input, Select

from console.conftest import MakeConsole
from console.operator import Operator, rows
from console.states import healthy, one_worker
from tsconsole.screens.create import CreateScreen
from tsconsole.screens.partitions import PartitionsScreen
from tsconsole.screens.reader import ReaderScreen
from tsconsole.screens.schedule import ScheduleScreen

PAGE = Path(__file__).parents[2] / "docs" / "console.md"
CONFIG = "select target_name, is_active from silver.timeseries_rollup_config"


def limits() -> dict[str, int]:
    """The tasks of the page, with the most keys that each may take."""
    table = PAGE.read_text("utf-8").split("## An operator's tasks")[1].split("##")[0]
    found = re.findall(r"^\| ([^|`]+) \| [^|]*`[^|]* \| (\d+) \|$", table, re.M)
    return {task: int(keys) for task, keys in found}


class Counted(Operator):
    """Counts what is pressed; a text that is typed is one."""

    keys = 0

    async def press(self, *keys: str) -> None:
        self.keys += len(keys)
        await super().press(*keys)

    async def type(self, text: str) -> None:
        self.keys += 1
        await super().type(text)


@asynccontextmanager
async def task(app: Any, name: str) -> Any:
    """Do a task, and count its keys."""
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Counted(app, pilot)
        await operator.at_monitor()
        await operator.until(
            lambda: not app.session.snapshot.operations or operator.monitor.subject is not None
        )
        yield operator
        assert operator.keys <= limits()[name], name


@pytest.fixture
def failing_ratio(billing: psycopg.Connection) -> psycopg.Connection:
    """A rollup that fails, and one that does not."""
    billing.execute("select silver.create_rollup_table('raw.billing', 'silver.b_1h', '1 hour')")
    billing.execute("select silver.create_rollup_table('raw.ratio', 'silver.ratio_1h', '1 hour')")
    billing.execute("update raw.billing set parts = 0 where account_id = 3")
    with suppress(psycopg.Error):
        billing.execute("call silver.run_rollups()")
    assert rows(billing, "select count(*) > 0 from tsconsole.retry") == [(True,)]
    return billing


def test_the_page_lists_every_task() -> None:
    assert len(limits()) == 9


async def test_read_why_the_worst_one_fails(
    console: MakeConsole, failing_ratio: psycopg.Connection
) -> None:
    app = console()
    async with task(app, "read why the worst one fails") as operator:
        await operator.press("e")
        reader = await operator.at(ReaderScreen)
        assert "division by zero" in reader._sections[0].body


async def test_retry_it(console: MakeConsole, failing_ratio: psycopg.Connection) -> None:
    failing_ratio.execute("update raw.billing set parts = 2")
    app = console()
    async with task(app, "retry it, once the cause is gone") as operator:
        await operator.press("y")
        assert "rows read" in await operator.ended("retry")
        assert rows(failing_ratio, "select count(*) from tsconsole.retry") == [(0,)]


async def test_why_it_lags_and_who_blocks_it(
    console: MakeConsole, billing: psycopg.Connection, connect: Callable[..., psycopg.Connection]
) -> None:
    billing.execute("""
        select silver.create_rollup_table('raw.billing', 'silver.b_10m', '10 minutes');
        select silver.create_rollup_table('raw.billing', 'silver.b_1h', '1 hour');
    """)
    billing.execute("call silver.run_rollups()")
    writer = connect(autocommit=False)
    writer.execute("insert into raw.billing values (now(), 1, 1, 1)")
    billing.execute(
        "update silver.timeseries_rollup_config set last_processed_time = now() - interval '9 h',"
        " refresh_interval = '1 minute' where target_name = 'silver.b_10m'"
    )
    app = console()
    async with task(app, "see why one lags, and who blocks it") as operator:
        await operator.press("L")
        pane = operator.monitor.operations_pane
        first = pane.shown[0]
        assert first.target_table == "silver.b_10m"
        assert f"pid {writer.info.backend_pid}" in first.health_reason
        await operator.until(lambda: operator.monitor.subject == first)


async def test_create_a_ladder(console: MakeConsole, billing: psycopg.Connection) -> None:
    app = console()
    async with task(app, "create a ladder") as operator:
        await operator.press("n")
        await operator.until(lambda: isinstance(app.screen, CreateScreen))
        await operator.until(lambda: app.screen.query_one("#source", Select).expanded)
        await operator.type("raw.billing")
        await operator.press("enter")
        await operator.until(lambda: app.screen.query_one("#target", Input).value != "")
        await operator.press("tab", "tab", "ctrl+u")
        await operator.type("10m, 1h, 1d")
        await operator.press("ctrl+s")
        await operator.ended("create")
    assert len(rows(billing, CONFIG)) == 3


@pytest.fixture
def backfill(
    billing: psycopg.Connection, connect: Callable[..., psycopg.Connection]
) -> Iterator[None]:
    """A backfill that another session runs, slowly."""
    billing.execute("""
        create view raw.slow as
        select ts, account_id, amount from raw.billing where pg_sleep(0.2) is not null;
        select silver.create_rollup_table('raw.slow', 'silver.slow_1h', '1 hour');
    """)
    worker = connect()

    def run() -> None:
        with suppress(psycopg.Error):
            worker.execute("call silver.run_rollups()")

    thread = threading.Thread(target=run)
    thread.start()
    yield
    worker.cancel()
    thread.join(30)


async def test_stop_a_backfill(
    console: MakeConsole, billing: psycopg.Connection, backfill: None
) -> None:
    app = console()
    async with task(app, "stop a backfill, and leave it stopped") as operator:
        await operator.until(lambda: operator.status("silver.slow_1h").health_status == "RUNNING")
        await operator.press("x", "down", "enter")
        await operator.ended("cancel")
        assert rows(billing, CONFIG) == [("silver.slow_1h", False)]
        running = "select count(*) from tsconsole.running_steps()"
        await operator.until(lambda: rows(billing, running) == [(0,)])


async def test_check_that_data_is_right(console: MakeConsole, billing: psycopg.Connection) -> None:
    billing.execute("select silver.create_rollup_table('raw.billing', 'silver.b_1h', '1 hour')")
    billing.execute("call silver.run_rollups()")
    app = console()
    async with task(app, "check that a rollup's data is right") as operator:
        await operator.press("v", "enter")
        assert (await operator.ended("verify")).startswith("equal to GROUP BY")


async def test_pause_a_family(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    app = console()
    async with task(app, "pause a family of rollups") as operator:
        await operator.press("slash")
        await operator.type("pressure")
        await operator.press("enter", "a", "p")
        assert (await operator.ended("pause")).startswith("2 done")
    paused = [name for name, is_active in rows(db, CONFIG) if not is_active]
    assert len(paused) == 2 and all("pressure" in name for name in paused)


async def test_what_retention_would_take(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    db.execute("select silver.set_retention('gold.billing_1h', '90 days')")
    app = console()
    async with task(app, "see what retention would take away") as operator:
        wanted = operator.status("gold.billing_1h")
        operator.monitor.operations_pane.select(wanted)
        await operator.pilot.pause()
        await operator.press("5")
        await operator.at_view(PartitionsScreen)
        await operator.press("d")
        reader = await operator.at(ReaderScreen)
        assert any(part.heading.startswith("Would go: 3") for part in reader._sections)


async def test_who_runs_them(console: MakeConsole, db: psycopg.Connection) -> None:
    healthy(db)
    one_worker(db)
    app = console()
    async with task(app, "find out who runs the rollups") as operator:
        await operator.press("7")
        screen = await operator.at_view(ScheduleScreen)
        assert "run by 1 worker on etl-7" in str(screen.main.border_title)
