"""What the tests of the worker share: a source with rollups, running workers, and what they did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

from tsconsole.models import StepResult
from tsconsole.worker import Worker, WorkerOptions

QUICK = WorkerOptions(poll_interval=0.05)

SOURCE = """
create table raw.readings (ts timestamptz not null, device integer not null, value integer);
create index on raw.readings (ts);
insert into raw.readings
select now() - second * interval '1 second', second % 3, second
from   generate_series(0, 7200, 2) as second;
select silver.create_rollup_ladder('raw.readings', '{1 minute, 10 minutes}', 'readings',
                                   dimensions => '{device}', allowed_lateness => '1 second');
"""

ACTIVE = (
    "pg_stat_activity where datname = current_database() and state = 'active'"
    " and pid <> pg_backend_pid() and query like "
)


@asynccontextmanager
async def working(*workers: Worker) -> AsyncIterator[None]:
    """The workers run while the block does, and must all end when they are told to."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that a worker does meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def rows(db: psycopg.Connection, table: str) -> int:
    return int(db.execute(f"select count(*) from {table}").fetchone()[0])


def count(steps: list[StepResult], target: str, work: str) -> int:
    """Steps of this kind of work of one rollup that were done."""
    done = [(step.target_table, step.work) for step in steps if step.outcome == "done"]
    return done.count((target, work))
