"""What a creation is asked for: the arguments of the core's functions, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RollupOptions:
    """The arguments that a rollup and a ladder share; None leaves the core's default."""

    source: str
    look_back_window: str | None = None
    time_column: str | None = None
    dimensions: Sequence[str] | None = None
    """None: those of `silver.timeseries_dimension_config`; empty: none."""
    measures: Mapping[str, Sequence[str]] | None = None
    """Column to aggregates, such as `{"temperature": ["min", "max"]}`; None: every measure."""
    timezone: str | None = None
    bucket_origin: str | None = None
    allowed_lateness: str | None = None
    refresh_interval: str | None = None
    processing_window: str | None = None
    chunk_interval: str | None = None
    source_retention: str | None = None
    max_retries: int | None = None
    alert_threshold: str | None = None
    max_execution_time: str | None = None
    change_tracking: str | None = None
    partition_manager: str | None = None
    is_active: bool | None = None


@dataclass(frozen=True, kw_only=True)
class RollupRequest(RollupOptions):
    """The arguments of `silver.create_rollup_table`."""

    target: str
    rollup_interval: str
    retention_period: str | None = None


@dataclass(frozen=True, kw_only=True)
class LadderRequest(RollupOptions):
    """The arguments of `silver.create_rollup_ladder`."""

    target_prefix: str
    rollup_intervals: Sequence[str]
    retention_periods: Sequence[str | None] | None = None


@dataclass(frozen=True)
class Created:
    """What a creation made, lowest level first, and the notices of the core."""

    targets: tuple[str, ...]
    notices: tuple[str, ...] = ()
