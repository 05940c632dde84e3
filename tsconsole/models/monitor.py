"""What the monitor shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tsconsole.models.partitions import PartitionStat
from tsconsole.models.rollups import (
    ErrorEntry,
    ErrorGroup,
    PendingRange,
    Progress,
    RefreshRun,
    RetryEntry,
    RollupDefinition,
    RollupStatus,
    RunningStep,
)


@dataclass(frozen=True)
class ActivityMinute:
    """What all rollups together did in one minute."""

    minute: datetime
    rows_read: int
    late_rows: int
    """Rows of targets that late changes had made wrong, and that were put right."""
    errors: int
    delay: timedelta | None
    """The longest time that passed from the end of a new bucket to its row in the target."""


@dataclass(frozen=True)
class RollupActivity:
    """What one rollup did in the last hour."""

    target_table: str
    steps: int
    rows_read: int
    rows_written: int
    late_rows: int
    errors: int
    avg_duration: timedelta | None
    max_duration: timedelta | None
    delay: timedelta | None
    """The longest time that passed from the end of a new bucket to its row in the target."""


@dataclass(frozen=True)
class MonitorSnapshot:
    """Everything the monitor shows, read in one round trip."""

    database_time: datetime
    operations: tuple[RollupStatus, ...]
    retries: tuple[RetryEntry, ...]
    errors: tuple[ErrorEntry, ...] | None
    """The newest errors; None when they were not asked for."""
    selected_target: str | None
    partitions: tuple[PartitionStat, ...] = field(default=())
    is_standby: bool = False
    """Whether the server follows another one now; a failover changes that under a session."""
    activity: tuple[ActivityMinute, ...] | None = None
    """The latest minutes; None when they were not asked for."""
    steps: tuple[RunningStep, ...] = field(default=())
    """Who runs what, where that was asked for."""


@dataclass(frozen=True)
class RollupDetails:
    """Everything about one rollup, read in one round trip."""

    database_time: datetime
    is_standby: bool
    ladder: tuple[RollupStatus, ...]
    """The rollups that it is chained with, and itself."""
    definition: RollupDefinition | None
    """None when it is no rollup any more."""
    progress: Progress | None
    steps: tuple[RunningStep, ...]
    runs: tuple[RefreshRun, ...]
    errors: tuple[ErrorGroup, ...]
    error: ErrorEntry | None
    pending: tuple[PendingRange, ...]
    partitions: tuple[PartitionStat, ...]
