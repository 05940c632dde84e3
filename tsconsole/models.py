"""The rows that the SQL core returns, as frozen dataclasses.

Relations are text here, always `schema.name` and quoted where needed. An interval that measures
something (a lag, a duration) is a `timedelta`; an interval that defines something (a bucket width,
a retention period) stays PostgreSQL's own text, because `1 mon` is no number of seconds;
`tsconsole.intervals.short_interval` writes it for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Literal

from tsconsole.requests import Created as Created
from tsconsole.requests import LadderRequest as LadderRequest
from tsconsole.requests import RollupOptions as RollupOptions
from tsconsole.requests import RollupRequest as RollupRequest

Work = Literal["frontier", "history", "recompute"]
Outcome = Literal["done", "idle", "busy", "waiting", "failed", "paused"]
Status = Literal["running", "idle", "retrying", "failed", "paused"]
Health = Literal["OK", "RUNNING", "WARNING", "ALERT", "PAUSED"]
Severity = Literal["ok", "warning", "error"]
PartitionState = Literal["open", "closed", "expired", "premade"]


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


@dataclass(frozen=True)
class PartitionStat:
    """One partition of a table, in figures from statistics."""

    partition_name: str
    range_start: datetime | None
    range_end: datetime | None
    row_estimate: int | None
    estimated_at: datetime | None
    table_bytes: int
    index_bytes: int
    total_bytes: int
    bytes_per_row: float | None
    dead_rows: int | None
    last_vacuum: datetime | None
    last_analyze: datetime | None
    state: PartitionState


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
class ChunkChoice:
    """The partition width that was chosen for a target, and why."""

    target_table: str
    previous_interval: str | None
    chunk_interval: str
    bytes_per_hour: float | None
    reason: str


@dataclass(frozen=True)
class MaintenanceTask:
    """One task of maintenance on one target."""

    target_table: str
    task: str
    outcome: Literal["done", "skipped", "failed"]
    detail: str | None
    duration: timedelta | None


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
class SourceTable:
    """A relation that could be a source."""

    source_table: str
    kind: str
    row_estimate: int | None
    total_bytes: int | None
    is_rollup: bool


@dataclass(frozen=True)
class SourceColumn:
    """A column of a possible source and what it could be in a rollup."""

    column_name: str
    data_type: str
    proposed_role: Literal["time", "dimension", "measure", "ignored"]
    aggregates: Sequence[str]
    is_indexed: bool


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


@dataclass(frozen=True)
class ServerInfo:
    """The server and the role at the other end of a connection."""

    version: str
    version_number: int
    database: str
    user: str
    host: str
    port: int
    is_superuser: bool
    is_standby: bool
    timezone: str
    started_at: datetime | None
    database_time: datetime
    backend_pid: int

    @property
    def is_supported(self) -> bool:
        """Whether the core runs on this server."""
        return self.version_number >= MINIMUM_SERVER_VERSION


MINIMUM_SERVER_VERSION = 150000
"""The lowest `server_version_num` that the core runs on."""


@dataclass(frozen=True)
class Extension:
    """An extension that the core uses when it is there."""

    name: str
    purpose: str
    available_version: str | None
    installed_version: str | None
    schema: str | None

    @property
    def state(self) -> Literal["installed", "available", "absent"]:
        """Whether it can be used now, could be created, or is not on the server."""
        if self.installed_version is not None:
            return "installed"
        return "available" if self.available_version is not None else "absent"


class SchemaState(Enum):
    """The core in a database, compared with the core in this program."""

    ABSENT = "absent"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


@dataclass(frozen=True)
class InstallStep:
    """One file of the core and what an installation does with it.

    `apply` runs it for the first time, `reapply` runs it again because it changed, `adopt` only
    records it (it was run by psql), `keep` leaves it as it is.
    """

    file_name: str
    title: str
    checksum: str
    action: Literal["apply", "reapply", "adopt", "keep"]


@dataclass(frozen=True)
class InstallPlan:
    """What an installation would do to a database."""

    state: SchemaState
    steps: tuple[InstallStep, ...]
    unknown_files: tuple[str, ...] = ()
    """Files in the database's history that this program does not have: it is older."""

    @property
    def pending(self) -> tuple[InstallStep, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action != "keep")


@dataclass(frozen=True)
class CheckUp:
    """One finding of `tsconsole doctor`."""

    name: str
    level: Severity
    found: str
    advice: str | None = None


@dataclass(frozen=True)
class MonitorSnapshot:
    """Everything the monitor shows, read in one round trip."""

    database_time: datetime
    operations: tuple[RollupStatus, ...]
    retries: tuple[RetryEntry, ...]
    errors: tuple[ErrorEntry, ...]
    selected_target: str | None
    partitions: tuple[PartitionStat, ...] = field(default=())
