"""Upkeep: what maintenance did and what checks found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class MaintenanceTask:
    """One task of maintenance on one target."""

    target_table: str
    task: str
    outcome: Literal["done", "skipped", "failed"]
    detail: str | None
    duration: timedelta | None


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
