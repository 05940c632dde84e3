"""What all screens share: the database, the clock, what runs. It knows no widgets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tsconsole.background import Background, Connect, Operation
from tsconsole.models import MonitorSnapshot, ServerInfo

Clock = Callable[[], float]


@dataclass
class Session:
    """One console at one database."""

    connect: Connect
    background: Background
    read_only: bool = False
    profile: str | None = None
    interval: float = 2.0
    error_limit: int = 100
    """How many entries of the error log are read."""
    clock: Clock = time.monotonic
    ticks: bool = True
    """Whether ages and countdowns move by themselves; a test stands still."""
    server: ServerInfo | None = None
    snapshot: MonitorSnapshot | None = None
    fetched_at: float | None = None
    is_lost: bool = False
    closed: bool = field(default=False, repr=False)

    def remember(self, snapshot: MonitorSnapshot) -> None:
        """Keep the newest picture of the database, and when it came."""
        self.snapshot, self.fetched_at, self.is_lost = snapshot, self.clock(), False

    @property
    def seconds_old(self) -> float | None:
        """The age of the newest picture."""
        return None if self.fetched_at is None else self.clock() - self.fetched_at

    @property
    def now(self) -> datetime | None:
        """The server's clock, carried on since it was last read."""
        if self.snapshot is None:
            return None
        return self.snapshot.database_time + timedelta(seconds=self.seconds_old or 0.0)

    @property
    def running(self) -> tuple[Operation, ...]:
        """The operations of this console that run now."""
        return self.background.running
