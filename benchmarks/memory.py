"""What the console holds in memory over a day that goes by in minutes.

    python benchmarks/memory.py                 # 24 hours, a poll for every 10 seconds of them
    python benchmarks/memory.py --hours 6 --every 2

The console and its database are real, the terminal and the clock are not: after each poll the
clock is moved on. Rollups fail, a log grows, screens are opened and left. The exit code is 1 when
the console grew by more than it may, between its first hour (caches fill) and its last.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from pathlib import Path
from typing import Any

import psycopg
from common import install_core, say
from console import SIZE, database, fill
from textual.pilot import Pilot

from tsconsole.app import TsConsole
from tsconsole.commands.console import GARBAGE
from tsconsole.database import Settings
from tsconsole.screens.monitor import MonitorScreen

MAY_GROW = 4.0
"""MB."""
VISITS = (("l", "escape"), ("enter", "escape"), ("5", "escape"), ("3", "1", "G", "g"), ("S", "!"))
"""Keys of every hour: each group shows something and leaves it."""


class Clock:
    """Seconds that pass when it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def main() -> int:
    """Run the benchmark as the command line says and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dsn", help="an empty database; default: an embedded PostgreSQL 18")
    parser.add_argument("--rollups", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--hours", type=int, default=24, help="default: %(default)s")
    parser.add_argument("--every", type=int, default=10, help="seconds; default: %(default)s")
    options = parser.parse_args()
    with database(options.dsn) as dsn:
        say(f"making {options.rollups} rollups")
        install_core(dsn)
        fill(dsn, options.rollups, 5, 1000)
        sizes = asyncio.run(live(dsn, options.hours, options.every))
    grown = sizes[-1] - sizes[min(1, len(sizes) - 1)]
    mark = " " if grown <= MAY_GROW else "!"
    print(f"{mark} grown since the first hour {grown:17.1f} MB    at most {MAY_GROW:g} MB")
    return 0 if grown <= MAY_GROW else 1


async def live(dsn: str, hours: int, every: int) -> list[float]:
    """Let hours go by; returns the memory at the begin and after each."""
    clock = Clock()
    app = TsConsole(Settings(dsn), clock=clock, ticks=False)
    gc.set_threshold(*GARBAGE)
    async with app.run_test(size=SIZE) as pilot:
        while not (isinstance(app.screen, MonitorScreen) and app.session.snapshot):
            await pilot.pause(0.1)
        gc.freeze()
        monitor = app.screen
        monitor.poller.hold()
        sizes = [memory()]
        with psycopg.connect(dsn, autocommit=True) as connection:
            for hour in range(hours):
                for poll in range(3600 // every):
                    clock.now += every
                    if poll % 10 == 0:
                        happen(connection)
                    await monitor.poller.poll_once()
                    while app.session.fetched_at != clock.now:
                        await pilot.pause(0.001)
                    monitor.tick()
                for keys in VISITS:
                    await visit(app, pilot, keys)
                sizes.append(memory())
                print(f"  after {hour + 1:3} hours {sizes[-1]:30.1f} MB", flush=True)
    return sizes


def happen(connection: psycopg.Connection[Any]) -> None:
    """What a poll finds changed: a rollup has failed once more, another was paused or resumed."""
    connection.execute(
        """
        insert into silver.timeseries_error_log
               (rollup_id, source_table, target_table, work, sql_state, error_message)
        select c.id, 'raw.m', c.target_table::text, 'frontier', '22012',
               'failure ' || clock_timestamp()
          from silver.timeseries_rollup_config as c
         order by random() limit 1
        """
    )
    connection.execute(
        """
        update silver.timeseries_rollup_config set is_active = not is_active
         where id = (select id from silver.timeseries_rollup_config order by random() limit 1)
        """
    )


async def visit(app: TsConsole, pilot: Pilot[Any], keys: tuple[str, ...]) -> None:
    """Press keys as an operator does, and come back."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause(0.2)
    while not isinstance(app.screen, MonitorScreen):
        await pilot.press("escape")
        await pilot.pause(0.1)


def memory() -> float:
    """MB that this process holds, garbage taken away."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
