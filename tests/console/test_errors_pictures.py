"""Pictures of the errors and retries. Look at them before accepting them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from textual.pilot import Pilot

from console.conftest import MakeConsole
from console.pictures import settle
from console.states import FixedServer, failing, until
from console.test_snapshots import MIDDLE, NARROW, WIDE, Connect, at_monitor, pytestmark

__all__ = ["pytestmark"]


@pytest.fixture
def ill(
    console: MakeConsole, db: psycopg.Connection, connect: Connect, fixed_server: FixedServer
) -> MakeConsole:
    """A console on a database where two rollups fail; what the second says is seen already."""
    fixed_server.t0 = failing(db, connect)
    db.execute("select silver.acknowledge_error(max(id)) from silver.timeseries_error_log"
               " where target_table = 'silver.flows_1h'")  # fmt: skip
    return console


def at_errors(*keys: str) -> Any:
    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        await pilot.press("E")
        await until(pilot, lambda: getattr(pilot.app.screen, "data", None) is not None)
        await settle(pilot)
        await pilot.press(*keys)
        await settle(pilot)

    return before


@pytest.mark.parametrize("size", [NARROW, MIDDLE, WIDE])
def test_errors(snap_compare: Any, ill: MakeConsole, size: tuple[int, int]) -> None:
    assert snap_compare(ill(), terminal_size=size, run_before=at_errors())


def test_errors_with_marks(snap_compare: Any, ill: MakeConsole) -> None:
    before = at_errors("exclamation_mark", "tab", "space")
    assert snap_compare(ill(), terminal_size=MIDDLE, run_before=before)


def test_no_errors(snap_compare: Any, console: MakeConsole, fixed_server: FixedServer) -> None:
    assert snap_compare(console(), terminal_size=NARROW, run_before=at_errors())


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_two_kinds_of_work_of_one_rollup_wait(
    snap_compare: Any, ill: MakeConsole, db: psycopg.Connection, size: tuple[int, int]
) -> None:
    db.execute("insert into tsconsole.retry select rollup_id, 'history', retry_count,"
               " next_retry_time, gave_up_at, last_error_time, error_id"
               " from tsconsole.retry")  # fmt: skip

    async def before(pilot: Pilot[Any]) -> None:
        await at_monitor(pilot)
        await pilot.press("4")
        await settle(pilot)

    assert snap_compare(ill(), terminal_size=size, run_before=before)
