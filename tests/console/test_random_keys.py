"""Random keys: nothing crashes, and in read-only mode nothing in the database changes.

TSCONSOLE_FUZZ_KEYS=10000 makes a long run of it: so many keys for each size and mode. The seed is
in the failure, and TSCONSOLE_FUZZ_SEED presses the same keys again.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from textual import events
from textual.keys import key_to_character
from textual.pilot import Pilot

from console.conftest import MakeConsole
from console.states import failing, until
from console.test_snapshots import Connect
from tsconsole.actions.registry import ACTIONS
from tsconsole.screens.monitor import MonitorScreen

COUNT = int(os.environ.get("TSCONSOLE_FUZZ_KEYS", "40"))
SEED = os.environ.get("TSCONSOLE_FUZZ_SEED")
SIZES = ((80, 24), (160, 45), (20, 5))
# Quitting would end the run each time; the others leave for the shell or psql.
LEFT_OUT = {"q", "ctrl+z", "ctrl+c", "ctrl+q", "backslash"}
KEYS = sorted(
    {key for action in ACTIONS for key in action.keys.split(",") if key} - LEFT_OUT
    | {"up", "down", "left", "right", "pageup", "pagedown", "home", "end", "enter", "escape"}
    | {"j", "k", "g", "G", "tab", "shift+tab", "space", "backspace", "delete", "a", "0", "%", "'"}
)


def everything(db: psycopg.Connection) -> list[Any]:
    """Every relation, and a digest of every table's rows: what an action could have changed."""
    relations = db.execute(
        "select c.relnamespace::regnamespace::text, c.relname, c.relkind from pg_class c"
        " where c.relnamespace::regnamespace::text in"
        " ('raw', 'silver', 'gold', 'tsconsole', 'public') order by 1, 2"
    ).fetchall()
    tables = [(schema, name) for schema, name, kind in relations if kind in ("r", b"r")]
    assert ("tsconsole", "retry") in tables
    digest = sql.SQL("select count(*), sum(hashtextextended(t::text, 0)) from {} t")
    return [
        relations,
        *(
            (name, db.execute(digest.format(sql.Identifier(schema, name))).fetchone())
            for schema, name in tables
        ),
    ]


async def press(pilot: Pilot[Any], key: str) -> None:
    """Press a key as somebody does who does not wait for what it does: `pilot.press` waits for an
    idle moment, ten times as long."""
    pilot.app.post_message(events.Key(key, key_to_character(key)))
    await pilot.pause(0)


@pytest.mark.timeout(120 + COUNT * 3)
@pytest.mark.parametrize("mode", ["read-only", "normal"])
@pytest.mark.parametrize("size", SIZES)
async def test_random_keys(
    console: MakeConsole,
    db: psycopg.Connection,
    connect: Connect,
    size: tuple[int, int],
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The explorer may be told to write a file.
    monkeypatch.chdir(tmp_path)
    failing(db, connect)
    before = everything(db)
    seed = int(SEED) if SEED else random.randrange(2**32)
    dice = random.Random(seed)
    pressed: list[str] = []
    app = console(read_only=mode == "read-only")
    try:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: isinstance(app.screen, MonitorScreen))
            await until(pilot, lambda: app.session.snapshot is not None)
            for _ in range(COUNT):
                pressed.append(dice.choice(KEYS))
                await press(pilot, pressed[-1])
                if len(pressed) % 25 == 0:
                    # Out of wherever it has got to, so that every place is met.
                    for _ in range(dice.randrange(6)):
                        await press(pilot, "escape")
                if dice.random() < 0.05:
                    # What was asked of the server comes back at some time or other.
                    await pilot.pause(0.1)
                assert app.is_running, "it ended"
    except BaseException as error:
        raise AssertionError(f"seed {seed}, after {len(pressed)}: {pressed[-30:]}") from error
    assert app.fault is None
    if mode == "read-only":
        assert everything(db) == before
