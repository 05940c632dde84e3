"""One line about everything a worker does."""

from __future__ import annotations

from datetime import datetime

from tsconsole.errors import OperationError
from tsconsole.formatting import took
from tsconsole.models import MaintenanceTask, StepResult


def step_line(result: StepResult) -> str:
    """One line about one step, for the log."""
    parts = [f"{result.target_table}: {result.work or 'step'} {result.outcome}"]
    if result.window_start is not None and result.window_end is not None:
        parts.append(f"{_moment(result.window_start)} to {_moment(result.window_end)}")
    if result.outcome == "done":
        parts.append(f"{result.rows_read or 0:,} rows read, {result.rows_written or 0:,} written")
    if result.duration is not None:
        parts.append(took(result.duration))
    if result.error_message is not None:
        parts.append(f"{result.error_message} ({result.sql_state})")
    return ", ".join(parts)


def task_line(task: MaintenanceTask) -> str:
    """One line about one task of maintenance, for the log."""
    parts = [f"{task.target_table}: maintenance {task.task} {task.outcome}"]
    if task.duration is not None:
        parts.append(took(task.duration))
    if task.detail:
        parts.append(task.detail)
    return ", ".join(parts)


def reason(error: OperationError) -> str:
    """What went wrong and what to do, in one line."""
    parts = [error.message.rstrip("."), (error.hint or "").rstrip(".")]
    return ". ".join(part for part in parts if part)


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
