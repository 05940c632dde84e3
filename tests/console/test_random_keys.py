"""Random keys: nothing crashes, and in read-only mode nothing in the database changes.

TSCONSOLE_FUZZ_KEYS=10000 makes a long run of it; the seed is in the failure.
"""

from __future__ import annotations

import os
import random
from typing import Any

import psycopg
import pytest

from console.conftest import MakeConsole
from console.states import failing, until
from console.test_snapshots import Connect
from tsconsole.actions import ACTIONS
from tsconsole.screens.monitor import MonitorScreen

COUNT = int(os.environ.get("TSCONSOLE_FUZZ_KEYS", "150"))
SIZES = ((80, 24), (120, 36), (20, 5))
# Quitting would end the run each time; the others leave for the shell or psql.
LEFT_OUT = {"q", "ctrl+z", "ctrl+c", "ctrl+q", "backslash"}
KEYS = sorted(
    {key for action in ACTIONS for key in action.keys.split(",") if key} - LEFT_OUT
    | {"up", "down", "left", "right", "pageup", "pagedown", "home", "end", "enter", "escape"}
    | {"j", "k", "g", "G", "tab", "shift+tab", "space", "backspace", "delete", "a", "0", "%", "'"}
)


def everything(db: psycopg.Connection) -> list[Any]:
    """What an action could have changed."""
    return [
        db.execute(query).fetchall()
        for query in (
            "select * from silver.timeseries_rollup_config order by id",
            "select * from tsconsole.retry order by rollup_id, work",
            "select count(*), max(id) from silver.timeseries_error_log",
            "select count(*), max(id) from silver.timeseries_refresh_log",
            "select relname, relkind from pg_class where relnamespace::regnamespace::text in"
            " ('raw', 'silver', 'gold', 'tsconsole', 'public') order by 1",
        )
    ]


@pytest.mark.timeout(120 + COUNT * 2)
@pytest.mark.parametrize("size", SIZES)
async def test_random_keys(
    console: MakeConsole, db: psycopg.Connection, connect: Connect, size: tuple[int, int]
) -> None:
    failing(db, connect)
    before = everything(db)
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    pressed: list[str] = []
    app = console(read_only=True)
    try:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: isinstance(app.screen, MonitorScreen))
            await until(pilot, lambda: app.session.snapshot is not None)
            for _ in range(COUNT // len(SIZES)):
                pressed.append(dice.choice(KEYS))
                await pilot.press(pressed[-1])
                if len(pressed) % 25 == 0:
                    # Out of wherever it has got to, so that every place is met.
                    await pilot.press(*["escape"] * dice.randrange(6))
                assert app.is_running, "it ended"
    except BaseException as error:
        raise AssertionError(f"seed {seed}, after {pressed[-30:]}") from error
    assert app.fault is None
    assert everything(db) == before
