"""Rows of rollups, as the data explorer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class DataLevel:
    """One level of a ladder: what can be plotted of it."""

    target: str
    interval: timedelta
    time_column: str
    time_type: str
    dimensions: Sequence[str]
    measures: Sequence[str]
    """The numeric columns."""


@dataclass(frozen=True)
class DataPoint:
    """One point: the start of its bucket and the value, None where there is none."""

    time: datetime
    value: float | None
    rows: int
    """How many rows of the target were put together."""


@dataclass(frozen=True)
class DataSeries:
    """The points of a view, the level that they were read from, and the statement."""

    points: tuple[DataPoint, ...]
    level: DataLevel
    width: timedelta
    """What one point stands for."""
    statement: str
    """The SQL, with its values written in."""
