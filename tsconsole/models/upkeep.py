"""Upkeep: what maintenance did and what checks found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Severity = Literal["ok", "warning", "error"]
TaskOutcome = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class MaintenanceTask:
    """One task of maintenance on one target."""

    target_table: str
    task: str
    outcome: TaskOutcome
    detail: str | None
    duration: timedelta | None


@dataclass(frozen=True)
class PlannedTask:
    """One task of maintenance of one rollup: when it ran, what it said, when it is due."""

    rollup_id: int
    target_table: str
    task: str
    purpose: str
    run_every: str
    last_run: datetime | None
    last_duration: timedelta | None
    last_outcome: TaskOutcome | None
    last_detail: str | None
    next_run: datetime | None
    """None for a task that this rollup does not need."""
    is_due: bool


@dataclass(frozen=True)
class MaintenanceEntry:
    """One entry of the maintenance log: runs in a row that said the same are one."""

    id: int
    rollup_id: int | None
    target_table: str
    task: str
    outcome: TaskOutcome
    detail: str | None
    start_time: datetime
    end_time: datetime
    duration: timedelta
    runs: int
    worker_pid: int


@dataclass(frozen=True)
class ConfigCheck:
    """One check of one rollup's configuration."""

    target_table: str | None
    source_table: str | None
    check_name: str
    is_valid: bool
    severity: Severity
    message: str
    hint: str | None


@dataclass(frozen=True)
class CheckUp:
    """One finding of `tsconsole doctor`."""

    name: str
    level: Severity
    found: str
    advice: str | None = None
