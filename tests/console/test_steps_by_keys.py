"""Who runs what, by keys, on a real database: a step of somebody else is seen and cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from textual.widgets import Static

from console.conftest import MakeConsole
from console.operator import Operator, at_rollups, rows
from tsconsole.screens.choose import ChooseScreen
from tsconsole.screens.details import DetailsScreen
from tsconsole.screens.steps import StepsScreen

Connect = Callable[..., psycopg.Connection]


@pytest.fixture
def held(db: psycopg.Connection, connect: Connect) -> Iterator[psycopg.Connection]:
    """A step of silver.held_1h that waits for a lock; the connection that runs it."""
    db.execute("""
        create table raw.held (ts timestamptz not null, v int);
        insert into raw.held select now() - i * interval '1 hour', i from generate_series(1, 48) i;
        create index on raw.held (ts);
        select silver.create_rollup_table('raw.held', 'silver.held_1h', '1 hour');
        select silver.create_rollup_table('raw.held', 'silver.idle_1h', '1 hour');
        select tsconsole.ensure_partitions(1, now() - interval '3 days', now());
    """)
    holder, worker = connect(autocommit=False), connect()
    holder.execute("lock table silver.held_1h in exclusive mode")
    step = "select * from silver.perform_step('silver.held_1h')"
    thread = threading.Thread(target=worker.execute, args=[step])
    thread.start()
    yield worker
    holder.rollback()
    thread.join(20)


async def test_see_who_runs_what_and_cancel_it(
    console: MakeConsole, db: psycopg.Connection, held: psycopg.Connection
) -> None:
    app, pid = console(), held.info.backend_pid
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.until(lambda: operator.status("silver.held_1h").worker_pid == pid)
        await operator.press("w")
        screen = await operator.at(StepsScreen)
        await operator.until(lambda: screen.pane.selected is not None)
        step = screen.pane.selected
        assert step is not None
        assert (step.target_table, step.worker_pid) == ("silver.held_1h", pid)
        assert step.window_start is not None

        # escape leaves it running
        await operator.press("x")
        await operator.until(lambda: isinstance(app.screen, ChooseScreen))
        await operator.press("escape")
        assert app.session.background.operations == {}
        assert rows(db, "select worker_pid from silver.timeseries_running_steps") == [(pid,)]

        # the second answer cancels and pauses
        await operator.press("x", "down", "enter")
        assert "was told to cancel, and paused" in await operator.ended("cancel")
        await operator.until(lambda: screen.pane.selected is None)
        assert rows(db, "select worker_pid from silver.timeseries_running_steps") == []
        assert rows(db, "select sql_state from silver.timeseries_error_log") == [("57014",)]
        paused = "select target_name from silver.timeseries_rollup_config where not is_active"
        assert rows(db, paused) == [("silver.held_1h",)]
        await operator.press("x")
        assert "Cancel: no step runs" in operator.said[-1]
        await operator.press("escape")
        await operator.at_monitor()


async def test_details_name_who_runs_it_and_cancel_too(
    console: MakeConsole, db: psycopg.Connection, held: psycopg.Connection
) -> None:
    app, pid = console(), held.info.backend_pid
    async with app.run_test(size=(120, 36)) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.until(lambda: operator.status("silver.held_1h").worker_pid == pid)
        await operator.until(lambda: operator.monitor.subject is not None)
        assert operator.subject.target_table == "silver.held_1h"
        await operator.press("enter")
        progress = (await operator.at(DetailsScreen)).query_one("#progress", Static)
        await operator.until(lambda: f"pid {pid}" in str(progress.content))
        await operator.press("x")
        await operator.until(lambda: isinstance(app.screen, ChooseScreen))
        await operator.press("enter")
        assert "tried again later" in await operator.ended("cancel")
        assert rows(db, "select retry_count from tsconsole.retry") == [(1,)]


async def test_a_read_only_console_cancels_nothing(
    console: MakeConsole, db: psycopg.Connection, held: psycopg.Connection
) -> None:
    app = console(read_only=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        operator = Operator(app, pilot)
        await operator.at_monitor()
        await operator.press("w")
        screen = await operator.at(StepsScreen)
        await operator.until(lambda: screen.pane.selected is not None)
        await operator.press("x")
        assert any("read-only" in words for words in operator.said)
        assert app.session.background.operations == {}


async def test_details_show_what_is_pending_and_copy_the_definition(
    console: MakeConsole, billing: psycopg.Connection
) -> None:
    db, app = billing, console()
    db.execute("""
        select silver.create_rollup_table('raw.billing', 'silver.b_1h', '1 hour');
        select silver.create_rollup_table('silver.b_1h', 'silver.b_1d', '1 day');
        select silver.perform_rollup('silver.b_1h');
        select silver.invalidate('silver.b_1h', now() - interval '20 h', now() - interval '18 h');
        insert into silver.timeseries_error_log (rollup_id, source_table, target_table, sql_state,
            error_message) select 1, 'raw.billing', 'silver.b_1h', '22012', 'division by zero'
            from generate_series(1, 3);
    """)
    async with app.run_test(size=(120, 36)) as pilot:
        operator = await at_rollups(app, pilot)
        while operator.subject.target_table != "silver.b_1h":
            await operator.press("down")
        await operator.press("enter")
        details = await operator.at(DetailsScreen)
        await operator.until(lambda: details._details is not None)

        def text(name: str) -> str:
            return str(details.query_one(f"#{name}", Static).content)

        assert "late changes" in text("pending") and "█" in text("pending")
        assert "22012 ×3" in text("errors") and "division by zero" in text("errors")
        assert "silver.b_1d" in text("ladder")
        await operator.press("c")
        assert app.clipboard.startswith("select silver.create_rollup_table(")
        # The other rollups are still known when one comes back.
        await operator.press("escape")
        await operator.at_monitor()
        assert operator.status("silver.b_1d") is not None
        db.execute("select silver.drop_rollup('silver.b_1d')")
