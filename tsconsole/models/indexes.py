"""Advice on the indexes of a table, and how far the building of one has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class IndexAdvice:
    """One thing to do about the indexes of a table; a note names nothing to do."""

    table_name: str
    advice: Literal["create", "drop", "note"]
    kind: str
    """create: time, dimensions, brin, gin, incomplete; drop: unused, duplicate, redundant, invalid;
    note: hypopg, no table."""
    index_name: str | None
    definition: str | None
    cost_before: float | None
    """The planner's cost of the queries that the index changes, without it and with it."""
    cost_after: float | None
    size_bytes: int | None
    reason: str
    statement: str | None
    """Runs without blocking readers or writers: a line each, outside a transaction."""


@dataclass(frozen=True)
class IndexProgress:
    """How far the statements that build or drop an index have come."""

    statement: str
    step: int
    """The statement that runs now, counted from 1."""
    steps: int
    phase: str | None
    """PostgreSQL's own word for what it does now; None between statements."""
    waits_for: int | None
    """The backend whose transaction it waits for."""
    fraction: float
    """Of the whole, from 0 to 1."""
