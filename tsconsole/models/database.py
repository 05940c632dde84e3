"""What a database has: the server, its extensions, and tables that could be sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal


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
