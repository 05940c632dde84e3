"""Rollups: their state, their steps, their runs and their failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Work = Literal["frontier", "history", "recompute"]
Outcome = Literal["done", "idle", "busy", "waiting", "failed", "paused"]
Status = Literal["running", "idle", "retrying", "failed", "paused"]
Health = Literal["OK", "RUNNING", "WARNING", "ALERT", "PAUSED"]


@dataclass(frozen=True)
class StepResult:
    """What one step of one rollup did."""

    target_table: str
    work: Work | None
    outcome: Outcome
    window_start: datetime | None
    window_end: datetime | None
    rows_read: int | None
    rows_written: int | None
    duration: timedelta | None
    sql_state: str | None
    error_message: str | None


@dataclass(frozen=True)
class RollupStatus:
    """One row of `silver.timeseries_operations_monitor`."""

    id: int
    source_table: str
    target_table: str
    status: Status
    started_at: datetime | None
    last_processed_time: datetime | None
    last_processed_rows: int | None
    retry_count: int
    last_error_time: datetime | None
    next_retry_time: datetime | None
    health_status: Health
    latest_error: str | None
    avg_duration: timedelta | None
    success_rate: float | None
    health_reason: str
    lag: timedelta | None
    pending_ranges: int
    worker_pid: int | None
    rollup_interval: str
    max_retries: int
    backfill_fraction: float | None
    rows_per_second: float | None
    last_duration: timedelta | None
    backfill_remaining: timedelta | None = None
    backfill_rows_per_second: float | None = None
    late_rows_per_minute: float | None = None


@dataclass(frozen=True)
class RunningStep:
    """One row of `silver.timeseries_running_steps`: a step that another session runs now."""

    rollup_id: int
    source_table: str
    target_table: str
    work: Work
    worker_pid: int
    role_name: str | None
    application_name: str | None
    started_at: datetime | None
    running_for: timedelta | None
    window_start: datetime | None
    window_end: datetime | None
    max_execution_time: str
    cancel_obstacle: str | None
    """Why this role may not cancel it; None when it may."""


@dataclass(frozen=True)
class RetryEntry:
    """One piece of work that is failing: it waits for its next try, or for an operator."""

    rollup_id: int
    source_table: str
    target_table: str
    work: Work
    retry_count: int
    max_retries: int
    next_retry_time: datetime | None
    gave_up_at: datetime | None
    last_error_time: datetime | None
    sql_state: str | None
    error_message: str | None
    error_id: int | None


@dataclass(frozen=True)
class ErrorEntry:
    """One row of `silver.timeseries_error_log`; tables are names as of the failure."""

    id: int
    rollup_id: int | None
    source_table: str | None
    target_table: str | None
    work: str | None
    window_start: datetime | None
    window_end: datetime | None
    error_timestamp: datetime
    sql_state: str | None
    error_message: str
    error_detail: str | None
    error_hint: str | None
    error_context: str | None
    schema_name: str | None
    table_name: str | None
    constraint_name: str | None
    attempted_query: str | None
    retry_count: int | None
    worker_pid: int | None


@dataclass(frozen=True)
class RefreshRun:
    """One row of `silver.timeseries_refresh_log`: a step that succeeded."""

    id: int
    rollup_id: int | None
    table_name: str
    work: str | None
    start_time: datetime
    end_time: datetime | None
    duration: timedelta | None
    window_start: datetime | None
    window_end: datetime | None
    rows_read: int | None
    rows_written: int | None
    rows_deleted: int | None
    worker_pid: int | None
    predicted_duration: timedelta | None = None
    """What it was expected to take; None while there was nothing to learn from."""
    estimated_rows: int | None = None
    """How many source rows the planner saw in the window; None when it was not asked."""


@dataclass(frozen=True)
class PendingRange:
    """A stretch of a rollup that is still to be computed."""

    work: Literal["history", "recompute", "refill"]
    range_start: datetime | None
    range_end: datetime | None


@dataclass(frozen=True)
class ErrorGroup:
    """Errors of one rollup that say the same: how many, since when, and the latest."""

    target_table: str | None
    sql_state: str | None
    error_message: str
    errors: int
    first_time: datetime
    last_time: datetime
    last_id: int
    unseen: int = 0
    """How many of them nobody has acknowledged."""


@dataclass(frozen=True)
class LoggedError:
    """One entry of the error log, without its long texts."""

    id: int
    target_table: str | None
    work: str | None
    error_timestamp: datetime
    sql_state: str | None
    error_message: str
    window_start: datetime | None
    window_end: datetime | None
    retry_count: int | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None


@dataclass(frozen=True)
class Failures:
    """What failed, read in one round trip: errors in groups or one by one, and the retry queue."""

    database_time: datetime
    groups: tuple[ErrorGroup, ...]
    tail: tuple[LoggedError, ...]
    retries: tuple[RetryEntry, ...]


@dataclass(frozen=True)
class StepCost:
    """What is known of the steps of a rollup, for one kind of work."""

    work: Work
    runs: int
    aim: timedelta
    """How long a step should take."""
    overhead: timedelta
    """The part of a step that does not depend on its rows."""
    rows_per_second: float
    """Source rows that a step reads in a second."""
    next_window: str
    last_predicted: timedelta | None
    last_duration: timedelta | None
    typical_ratio: float | None
    """How many times the predicted time steps took, the median."""


@dataclass(frozen=True)
class DetailedStat:
    """One rollup in figures: size, age and the work of the last day."""

    target_table: str
    source_table: str
    rollup_interval: str
    partitions: int
    row_estimate: int | None
    table_bytes: int
    index_bytes: int
    total_bytes: int
    oldest_bucket: datetime | None
    last_processed_time: datetime | None
    lag: timedelta | None
    runs_24h: int
    rows_read_24h: int | None
    rows_written_24h: int | None
    avg_duration: timedelta | None
    errors_24h: int
    health_status: Health


@dataclass(frozen=True)
class Difference:
    """One value of a target that is not what GROUP BY over the source says."""

    bucket: datetime
    dimensions: Mapping[str, Any] | None
    column_name: str
    expected: str | None
    found: str | None


@dataclass(frozen=True)
class Progress:
    """How far a rollup has come."""

    total: timedelta | None
    done: timedelta | None
    fraction: float | None
    rows_per_second: float | None
    remaining: timedelta | None
    pending_ranges: int


@dataclass(frozen=True)
class DueRollup:
    """Work that a worker should step now."""

    rollup_id: int
    target_table: str
    work: Work
    due_since: datetime | None


@dataclass(frozen=True)
class RollupDefinition:
    """Everything that defines one rollup, and the statement that would create it again."""

    id: int
    source_table: str
    target_table: str
    time_column: str
    time_type: str
    rollup_interval: str
    timezone: str
    bucket_origin: datetime | None
    look_back_window: str | None
    allowed_lateness: str
    refresh_interval: str
    processing_window: str | None
    chunk_interval: str
    retention_period: str | None
    retention_action: str
    """What becomes of older partitions: drop or archive."""
    source_retention: str | None
    max_retries: int
    alert_threshold: str
    max_execution_time: str
    change_tracking: str
    partition_manager: str
    is_active: bool
    first_bucket: datetime | None
    history_from: datetime | None
    history_to: datetime | None
    last_processed_time: datetime | None
    last_refresh_time: datetime | None
    retained_from: datetime | None
    created_at: datetime
    created_by: str
    dimensions: Sequence[str]
    measures: Any
    ladder: Sequence[str]
    """The rollups below and above that it is chained with, and itself, lowest first."""
    create_statement: str
    reads_rollup: bool
    step_query: str | None
