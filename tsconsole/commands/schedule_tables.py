"""What is due and who runs it, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tsconsole.commands.output import Output
from tsconsole.formatting import age, one_line, when
from tsconsole.intervals import short_interval
from tsconsole.models import ScheduledJob, ScheduledRollup, ScheduleSnapshot

_NO_CRON = {
    "elsewhere": "pg_cron does not live in this database; `tsconsole schedule --pg-cron` says how.",
    "absent": "pg_cron is not installed on this server.",
}


def print_schedule(output: Output, snapshot: ScheduleSnapshot) -> None:
    """When each rollup is due, the workers, and pg_cron's jobs."""
    if not snapshot.rollups:
        output.line("There are no rollups yet; `tsconsole create` makes the first.")
    else:
        output.table(
            ("TARGET", "EVERY", "LAST RUN", "NEXT", "DUE NOW"),
            [_rollup_row(rollup, snapshot) for rollup in snapshot.rollups],
            right=("EVERY",),
            whole=("TARGET",),
        )
    _print_workers(output, snapshot)
    _print_cron(output, snapshot)


def _rollup_row(rollup: ScheduledRollup, snapshot: ScheduleSnapshot) -> list[str]:
    now = snapshot.database_time
    due = ", ".join(rollup.due_work)
    if not rollup.is_active:
        due = "paused"
    elif rollup.running_since is not None:
        due = f"running for {age(now - rollup.running_since)}"
    elif rollup.next_retry_time is not None and not due:
        due = f"retry at {when(rollup.next_retry_time, now)}"
    return [
        rollup.target_table,
        short_interval(rollup.refresh_interval),
        when(rollup.last_run, now),
        _next(rollup.next_due, now),
        due,
    ]


def _next(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    return "now" if moment <= now else f"in {age(moment - now)}"


def _print_workers(output: Output, snapshot: ScheduleSnapshot) -> None:
    if not snapshot.workers:
        output.line("No worker is running.")
        return
    now = snapshot.database_time
    output.table(
        ("WORKER", "HOST", "PID", "JOBS", "SEEN", "STEPS", "FAILED", "LAST STEP"),
        [
            [
                worker.name,
                worker.host,
                str(worker.pid),
                f"{worker.running} of {worker.parallel}"
                + (f" ({worker.jobs})" if worker.parallel < worker.jobs else ""),
                f"{age(now - worker.seen_at)} ago" + ("" if worker.is_alive(now) else ", dead?"),
                f"{worker.steps:,}",
                f"{worker.failures:,}",
                one_line(worker.last_step),
            ]
            for worker in snapshot.workers
        ],
        right=("PID", "STEPS", "FAILED"),
        whole=("WORKER", "HOST", "SEEN"),
    )


def _print_cron(output: Output, snapshot: ScheduleSnapshot) -> None:
    if snapshot.cron != "here":
        output.line(_NO_CRON[snapshot.cron])
        return
    if not snapshot.cron_jobs:
        output.line("pg_cron lives here and has none of our jobs; `tsconsole schedule --pg-cron`.")
        return
    output.table(
        ("JOB", "SCHEDULE", "ACTIVE", "LAST RUN", "STATUS", "MESSAGE"),
        [
            [
                job.job_name,
                job.schedule,
                "yes" if job.is_active else "no",
                when(job.last_start, snapshot.database_time),
                job.last_status or "",
                one_line(job.last_message),
            ]
            for job in snapshot.cron_jobs
        ],
        whole=("JOB", "SCHEDULE"),
    )


def print_jobs(output: Output, jobs: Sequence[ScheduledJob]) -> None:
    """What became of pg_cron's jobs."""
    output.table(
        ("JOB", "SCHEDULE", "OUTCOME", "COMMAND"),
        [[job.job_name, job.schedule, job.outcome, job.command] for job in jobs],
        whole=("JOB", "SCHEDULE", "OUTCOME"),
    )
