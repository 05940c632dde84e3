"""Upkeep as background work: retention, partitions' widths, maintenance, schedules, indexes."""

from __future__ import annotations

from collections.abc import Sequence

from tsconsole import operations
from tsconsole.actions.spoken_keys import spoken
from tsconsole.background.jobs import conclude_maintenance
from tsconsole.background.operation import Connection, Report, Result, Work
from tsconsole.database import Settings
from tsconsole.formatting import one_line, size
from tsconsole.intervals import interval_text, short_interval
from tsconsole.models import (
    ExpiredPartition,
    IndexAdvice,
    IndexProgress,
    MaintenanceTask,
    PlannedTask,
    RemovedJob,
    ScheduledJob,
)

_ELSEWHERE = (
    "pg_cron does not live in this database; enter in the log ({log}) shows what to run there"
)


def apply_retention(table: str) -> Work:
    """Take away what is older than retention."""

    async def work(connection: Connection, report: Report) -> Result:
        def tell(partition: ExpiredPartition) -> None:
            report(f"{partition.partition_name}: {partition.action}")

        found = await operations.apply_retention(connection, table, tell)
        text = "\n".join(f"{p.action:8} {p.partition_name}  {p.reason}" for p in found)
        gone = [partition for partition in found if partition.action != "keep"]
        kept = len(found) - len(gone)
        words = f"{len(gone)} partitions went, {size(sum(p.total_bytes for p in gone))}"
        if kept:
            return Result(f"{words}; {kept} expired ones stay", "warning", text)
        return Result(words if found else "nothing is expired", text=text)

    return work


def set_retention(table: str, period: str, action: str) -> Work:
    """Keep rows for this long, then drop or archive them; `never`: for ever."""

    async def work(connection: Connection, report: Report) -> Result:
        kept = None if is_forever(period) else interval_text(period)
        await operations.set_retention(connection, table, kept, action)
        if kept is None:
            return Result("rows are kept for ever")
        return Result(f"rows are kept for {kept}, then {action}d")

    return work


def is_forever(period: str) -> bool:
    """Whether a period has no end.

    >>> is_forever("Never"), is_forever("90 d")
    (True, False)
    """
    return period.strip().lower() in ("never", "ever", "for ever", "forever")


def optimize(target: str) -> Work:
    """Choose the width of coming partitions from measured growth."""

    async def work(connection: Connection, report: Report) -> Result:
        choices = await operations.optimize_chunk_interval(connection, target)
        words = [
            f"{short_interval(choice.previous_interval or '')} before, now "
            f"{short_interval(choice.chunk_interval)}: {one_line(choice.reason)}"
            for choice in choices
        ]
        return Result(words[0] if words else "nothing to choose", text="\n".join(words))

    return work


def run_tasks(planned: Sequence[PlannedTask]) -> Work:
    """Run tasks of the maintenance plan, in their order."""

    async def work(connection: Connection, report: Report) -> Result:
        done: list[MaintenanceTask] = []
        for position, task in enumerate(planned, start=1):
            report(f"{position} of {len(planned)}: {task.task} of {task.target_table}")
            outcome = await operations.run_due_task(connection, task)
            if outcome is not None:
                done.append(outcome)
        return conclude_maintenance(done)

    return work


def set_interval(target: str, interval: str) -> Work:
    """Change how often a rollup is due."""

    async def work(connection: Connection, report: Report) -> Result:
        await operations.set_refresh_interval(connection, target, interval)
        return Result(f"due every {interval_text(interval)} from now on")

    return work


async def schedule_jobs(connection: Connection, report: Report) -> Result:
    """Have pg_cron run what is due."""
    jobs = await operations.schedule_jobs(connection)
    text = "\n".join(
        f"{job.outcome:10} {job.job_name}  {job.schedule}  {job.command}" for job in jobs
    )
    if elsewhere := _run_elsewhere(jobs):
        return elsewhere
    changed = [job for job in jobs if job.outcome != "unchanged"]
    words = f"{len(changed)} of {len(jobs)} jobs made or changed" if changed else "nothing changed"
    return Result(words, text=text)


async def unschedule_jobs(connection: Connection, report: Report) -> Result:
    """Take our jobs out of pg_cron."""
    jobs = await operations.unschedule_jobs(connection)
    text = "\n".join(f"{job.outcome:10} {job.job_name}" for job in jobs)
    if elsewhere := _run_elsewhere(jobs):
        return elsewhere
    removed = sum(job.outcome == "removed" for job in jobs)
    return Result(f"{removed} jobs removed", text=text)


def _run_elsewhere(jobs: Sequence[ScheduledJob] | Sequence[RemovedJob]) -> Result | None:
    """What is left to the operator when pg_cron lives in another database."""
    if not any(job.outcome == "elsewhere" for job in jobs):
        return None
    return Result(spoken(_ELSEWHERE), "warning", "\n\n".join(job.statement for job in jobs))


def follow_advice(settings: Settings, advice: IndexAdvice) -> Work:
    """Build or drop an index, without blocking anybody."""

    async def work(connection: Connection, report: Report) -> Result:
        def tell(progress: IndexProgress) -> None:
            place = f"{progress.step} of {progress.steps} · " if progress.steps > 1 else ""
            waits = f", waits for pid {progress.waits_for}" if progress.waits_for else ""
            report(f"{place}{progress.fraction:.0%} · {progress.phase or 'begins'}{waits}")

        done = await operations.follow_advice(settings, advice, tell)
        verb = "built" if advice.advice == "create" else "dropped"
        return Result(f"{advice.index_name} {verb}", text="\n".join(done))

    return work
