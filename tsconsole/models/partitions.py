"""Partitions: what they look like, how wide the coming ones are, and how long they stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

PartitionState = Literal["open", "closed", "expired", "premade"]
RetentionAction = Literal["drop", "archive"]


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
class ChunkChoice:
    """The partition width that was chosen for a target, and why."""

    target_table: str
    previous_interval: str | None
    chunk_interval: str
    bytes_per_hour: float | None
    reason: str


@dataclass(frozen=True)
class Retention:
    """How long a table keeps its rows, and what becomes of its partitions then."""

    table_name: str
    is_source: bool
    retention_period: str | None
    """None: for ever."""
    retention_action: RetentionAction | None


@dataclass(frozen=True)
class ExpiredPartition:
    """One partition that is older than retention, and what became, or would become, of it."""

    partitioned_table: str
    partition_name: str
    range_start: datetime
    range_end: datetime
    total_bytes: int
    action: Literal["drop", "archive", "keep"]
    """`keep` when something still needs it; the reason says what."""
    reason: str


@dataclass(frozen=True)
class PartmanSetting:
    """One setting of pg_partman for a table that it manages."""

    setting: str
    value: str


@dataclass(frozen=True)
class PartitionRebuild:
    """Partitions of a target that do not have its present interval: to be split or merged."""

    work: Literal["split", "merge"]
    range_start: datetime
    range_end: datetime
    partitions: int
    becomes: int
    total_bytes: int


@dataclass(frozen=True)
class RebuildStep:
    """One short step of splitting and merging."""

    outcome: Literal["begun", "copied", "swapped", "restarted", "busy", "done"]
    detail: str
