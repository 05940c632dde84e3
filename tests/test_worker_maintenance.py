"""The worker's maintenance: done when it is due, and beside the steps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg

from tests.worker_support import ACTIVE, QUICK, SOURCE, count, rows, until, working
from tsconsole.database import Settings
from tsconsole.models import StepResult
from tsconsole.worker import Worker, WorkerOptions

MAINTAINING = ACTIVE + "'%tsconsole.run_planned_task%'"


async def test_a_worker_maintains(database: str, db: psycopg.Connection) -> None:
    db.execute(SOURCE)
    db.execute("call silver.run_rollups()")
    db.execute("update silver.timeseries_rollup_config set created_at = now() - interval '2 days'")
    async with working(Worker(Settings(dsn=database), QUICK)):
        await until(lambda: rows(db, "silver.timeseries_maintenance_log") == 14)
    assert rows(db, "silver.timeseries_maintenance_log where outcome = 'failed'") == 0


async def test_a_worker_may_be_told_not_to_maintain(database: str, db: psycopg.Connection) -> None:
    db.execute(SOURCE)
    db.execute("call silver.run_rollups()")
    db.execute("update silver.timeseries_rollup_config set created_at = now() - interval '2 days'")
    options = WorkerOptions(poll_interval=0.05, maintenance=False)
    async with working(Worker(Settings(dsn=database), options)):
        await asyncio.sleep(1)
    assert rows(db, "silver.timeseries_maintenance_log") == 0


ENDLESS_MAINTENANCE = """
    create function raw.endless() returns trigger language plpgsql
    as $$ begin perform pg_sleep(600); return new; end $$;
    create trigger endless before insert on silver.timeseries_maintenance_log
        for each row execute function raw.endless();
    update silver.timeseries_rollup_config set created_at = now() - interval '2 days'
"""


async def test_new_data_does_not_wait_for_maintenance(
    database: str, db: psycopg.Connection
) -> None:
    """A task that does not end holds up no step even of a worker with one job, and is cancelled."""
    db.execute(
        """
        create table raw.quick (ts timestamptz not null, value integer);
        create index on raw.quick (ts);
        insert into raw.quick
        select now() - second * interval '1 second', 1 from generate_series(1, 60) as second;
        select silver.create_rollup_table('raw.quick', 'quick_1s', '1 second', dimensions => '{}',
                                          allowed_lateness => '0');
        """
    )
    db.execute(ENDLESS_MAINTENANCE)
    steps: list[StepResult] = []
    options = replace(QUICK, jobs=1, stop_within=0.5)
    async with working(Worker(Settings(dsn=database), options, steps.append)):
        await until(lambda: rows(db, MAINTAINING) > 0)
        before = count(steps, "silver.quick_1s", "frontier")
        await until(lambda: count(steps, "silver.quick_1s", "frontier") >= before + 3, 20)
        assert rows(db, MAINTAINING) == 1
    await until(lambda: rows(db, MAINTAINING) == 0)
