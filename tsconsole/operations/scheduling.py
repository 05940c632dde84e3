"""Who runs the rollups and when: what is due, the workers, and pg_cron's jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import psycopg
from psycopg.rows import scalar_row

from tsconsole.intervals import interval_text
from tsconsole.models import (
    CronJob,
    CronPlace,
    CronRun,
    RemovedJob,
    ScheduledJob,
    ScheduledRollup,
    ScheduleSnapshot,
    WorkerStatus,
)
from tsconsole.operations.calls import (
    Connection,
    fetch,
    fetch_value,
    model_cursor,
    only_row,
    operation,
)

SCHEDULE = """
    select s.rollup_id, s.source_table, s.target_table, s.is_active,
           s.refresh_interval::text as refresh_interval, s.last_run, s.next_due, s.due_work,
           s.next_retry_time, s.worker_pid, s.running_since
      from silver.timeseries_schedule as s
     order by s.rollup_id
"""

WORKERS = """
    select w.id, w.name, w.host, w.pid, w.version, w.jobs, w.parallel, w.running, w.started_at,
           w.seen_at, w.steps, w.failures, w.last_step
      from tsconsole.worker as w
     order by w.started_at, w.id
"""

PLACE = """
    select case when tsconsole.cron_is_here() then 'here'
                when exists (select from pg_available_extensions where name = 'pg_cron')
                then 'elsewhere' else 'absent' end
"""

# The run details have no index on the job; the newest ones are enough to look at.
JOBS = """
    select j.jobname::text as job_name, j.schedule, j.command, j.database, j.active as is_active,
           d.status as last_status, d.return_message as last_message,
           d.start_time as last_start, d.end_time as last_end
      from cron.job as j
      left join lateral (
           select r.status, r.return_message, r.start_time, r.end_time
             from (select * from cron.job_run_details order by runid desc limit 5000) as r
            where r.jobid = j.jobid order by r.runid desc limit 1) as d on true
     where j.jobname = any(%(names)s::text[])
     order by j.jobid
"""

RUNS = """
    select j.jobname::text as job_name, r.status, r.return_message as message, r.start_time,
           r.end_time
      from (select * from cron.job_run_details order by runid desc limit 5000) as r
      join cron.job as j using (jobid)
     where j.jobname = any(%(names)s::text[])
     order by r.runid desc
     limit %(limit)s
"""

WANTED = """
    select j.job_name, j.schedule, j.command, j.outcome, j.statement
      from silver.schedule_jobs(
           %(rollups)s::interval,
           coalesce(%(retries)s::interval, '1 minute'),
           coalesce(%(maintenance)s::interval, '5 minutes'),
           coalesce(%(keep)s::interval, '7 days')) as j
"""


@operation
async def schedule(connection: Connection) -> list[ScheduledRollup]:
    """When each rollup ran and is due next, and what is due now."""
    return await fetch(connection, ScheduledRollup, SCHEDULE)


@operation
async def list_workers(connection: Connection) -> list[WorkerStatus]:
    """The workers, oldest first; a dead one shows by its heartbeat."""
    return await fetch(connection, WorkerStatus, WORKERS)


@operation
async def schedule_snapshot(connection: Connection, run_limit: int = 50) -> ScheduleSnapshot:
    """Everything about scheduling: rollups, workers, and pg_cron where it is in reach."""
    async with connection.pipeline():
        clock = await connection.cursor(row_factory=scalar_row).execute("select clock_timestamp()")
        rollups = await model_cursor(connection, ScheduledRollup).execute(SCHEDULE)
        workers = await model_cursor(connection, WorkerStatus).execute(WORKERS)
        place = await connection.cursor(row_factory=scalar_row).execute(PLACE)
    now: datetime = await only_row(clock)
    cron: CronPlace = await only_row(place)
    jobs: list[CronJob] = []
    runs: list[CronRun] = []
    if cron == "here":
        names = await job_names(connection)
        jobs = await cron_jobs(connection, names)
        runs = await cron_runs(connection, names, run_limit)
    return ScheduleSnapshot(
        database_time=now,
        rollups=tuple(await rollups.fetchall()),
        workers=tuple(await workers.fetchall()),
        cron=cron,
        cron_jobs=tuple(jobs),
        cron_runs=tuple(runs),
    )


@operation
async def set_refresh_interval(connection: Connection, target: str, interval: str) -> None:
    """How often the rollup is due from now on; `5m` is 5 minutes."""
    query = """
        select silver.alter_rollup(%s::text::regclass, refresh_interval => %s::interval)
    """
    await connection.execute(query, [target, interval_text(interval)])


@operation
async def job_names(connection: Connection) -> list[str]:
    """What this database's jobs are called in pg_cron."""
    names: list[str] = await fetch_value(connection, "select tsconsole.cron_job_names()")
    return names


@operation
async def cron_jobs(connection: Connection, names: Sequence[str]) -> list[CronJob]:
    """Those of the jobs that there are; the connection is to the database of pg_cron."""
    try:
        return await fetch(connection, CronJob, JOBS, {"names": list(names)})
    except psycopg.errors.InsufficientPrivilege:
        # Without USAGE on its schema nothing of ours can be there.
        return []


@operation
async def cron_runs(connection: Connection, names: Sequence[str], limit: int = 50) -> list[CronRun]:
    """The last runs of the jobs, newest first; the connection is to the database of pg_cron."""
    try:
        return await fetch(connection, CronRun, RUNS, {"names": list(names), "limit": limit})
    except psycopg.errors.InsufficientPrivilege:
        return []


@operation
async def schedule_jobs(
    connection: Connection,
    rollups_every: str | None = None,
    retries_every: str | None = None,
    maintenance_every: str | None = None,
    keep_run_details: str | None = None,
) -> list[ScheduledJob]:
    """Have pg_cron run what is due; outcome elsewhere when it does not live in this database."""
    given = {
        "rollups": rollups_every,
        "retries": retries_every,
        "maintenance": maintenance_every,
        "keep": keep_run_details,
    }
    parameters = {name: text and interval_text(text) for name, text in given.items()}
    return await fetch(connection, ScheduledJob, WANTED, parameters)


@operation
async def unschedule_jobs(connection: Connection) -> list[RemovedJob]:
    """Take our jobs out of pg_cron; outcome elsewhere when it does not live in this database."""
    query = "select j.job_name, j.outcome, j.statement from silver.unschedule_jobs() as j"
    return await fetch(connection, RemovedJob, query)


@operation
async def schedule_elsewhere(
    cron: Connection, jobs: Sequence[ScheduledJob], database: str, user: str
) -> list[ScheduledJob]:
    """Make the jobs from the database of pg_cron, to run in another one as this user."""
    present = {job.job_name: job for job in await cron_jobs(cron, [job.job_name for job in jobs])}
    own: bool = await fetch_value(cron, "select current_user = %s", [user])
    made = []
    for job in jobs:
        old = present.get(job.job_name)
        is_inside = job.command.startswith("delete from cron.")
        home = await fetch_value(cron, "select current_database()") if is_inside else database
        if old and (old.schedule, old.command, old.database, old.is_active) == (
            job.schedule,
            job.command,
            home,
            True,
        ):
            made.append(replace(job, outcome="unchanged"))
            continue
        if old:
            await _unschedule(cron, job.job_name)
        if is_inside:
            query = "select cron.schedule(%s, %s, %s)"
            await cron.execute(query, [job.job_name, job.schedule, job.command])
        elif own:
            # Only a superuser may name a user, even itself.
            query = "select cron.schedule_in_database(%s, %s, %s, %s)"
            await cron.execute(query, [job.job_name, job.schedule, job.command, database])
        else:
            query = "select cron.schedule_in_database(%s, %s, %s, %s, username => %s)"
            await cron.execute(query, [job.job_name, job.schedule, job.command, database, user])
        made.append(replace(job, outcome="updated" if old else "created"))
    return made


@operation
async def unschedule_elsewhere(cron: Connection, jobs: Sequence[RemovedJob]) -> list[RemovedJob]:
    """Take the jobs out, from the database of pg_cron."""
    present = {job.job_name for job in await cron_jobs(cron, [job.job_name for job in jobs])}
    for name in present:
        await _unschedule(cron, name)
    return [
        replace(job, outcome="removed" if job.job_name in present else "absent") for job in jobs
    ]


async def _unschedule(cron: Connection, name: str) -> None:
    await cron.execute("select cron.unschedule(jobid) from cron.job where jobname = %s", [name])
