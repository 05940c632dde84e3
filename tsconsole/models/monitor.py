"""What the monitor shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tsconsole.models.partitions import PartitionStat
from tsconsole.models.rollups import ErrorEntry, RetryEntry, RollupStatus


@dataclass(frozen=True)
class MonitorSnapshot:
    """Everything the monitor shows, read in one round trip."""

    database_time: datetime
    operations: tuple[RollupStatus, ...]
    retries: tuple[RetryEntry, ...]
    errors: tuple[ErrorEntry, ...]
    selected_target: str | None
    partitions: tuple[PartitionStat, ...] = field(default=())
    is_standby: bool = False
    """Whether the server follows another one now; a failover changes that under a session."""
