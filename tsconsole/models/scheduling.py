"""Scheduling: what is due, and who runs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tsconsole.models.rollups import Work

CronPlace = Literal["here", "elsewhere", "absent"]
"""Whether pg_cron lives in this database, may live in another of the server, or is not there."""

JobOutcome = Literal["created", "updated", "unchanged", "removed", "absent", "elsewhere"]

WORKER_SILENCE = timedelta(seconds=30)
"""A worker that has not been heard of for longer is taken for dead."""


@dataclass(frozen=True)
class ScheduledRollup:
    """When one rollup ran, is due next, and what is due now."""

    rollup_id: int
    source_table: str
    target_table: str
    is_active: bool
    refresh_interval: str
    last_run: datetime | None
    next_due: datetime | None
    """None while it is paused, or while its source has no rows."""
    due_work: list[Work]
    next_retry_time: datetime | None
    worker_pid: int | None
    running_since: datetime | None


@dataclass(frozen=True)
class WorkerStatus:
    """One `tsconsole worker`, by its last heartbeat."""

    id: int
    name: str
    host: str
    pid: int
    version: str
    jobs: int
    parallel: int
    """How many steps it runs at most at present: fewer than jobs while they are slow."""
    running: int
    started_at: datetime
    seen_at: datetime
    steps: int
    failures: int
    last_step: str | None

    def is_alive(self, now: datetime) -> bool:
        """Whether it was heard of lately; now is the database's."""
        return now - self.seen_at < WORKER_SILENCE


@dataclass(frozen=True)
class CronJob:
    """One of our jobs in pg_cron, and its last run."""

    job_name: str
    schedule: str
    command: str
    database: str
    is_active: bool
    last_status: str | None
    last_message: str | None
    last_start: datetime | None
    last_end: datetime | None


@dataclass(frozen=True)
class CronRun:
    """One run of one of our jobs, from pg_cron's run details."""

    job_name: str
    status: str | None
    message: str | None
    start_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True)
class ScheduledJob:
    """A job that pg_cron should have, and what became of it."""

    job_name: str
    schedule: str
    command: str
    outcome: JobOutcome
    statement: str
    """What makes it from pg_cron's own database, as an administrator."""


@dataclass(frozen=True)
class RemovedJob:
    """A job that pg_cron should not have any more."""

    job_name: str
    outcome: JobOutcome
    statement: str


@dataclass(frozen=True)
class ScheduleSnapshot:
    """Everything about scheduling at one moment."""

    database_time: datetime
    rollups: tuple[ScheduledRollup, ...]
    workers: tuple[WorkerStatus, ...]
    cron: CronPlace
    cron_jobs: tuple[CronJob, ...]
    cron_runs: tuple[CronRun, ...]
