"""What all screens share: the database, the clock, what runs. It knows no widgets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tsconsole.background.operation import Background, Connect, Operation
from tsconsole.database import Settings
from tsconsole.memory import Memory
from tsconsole.models import MonitorSnapshot, ServerInfo
from tsconsole.presentation.activity import Activity
from tsconsole.statements import StatementLog

if TYPE_CHECKING:
    from tsconsole.recording.replay import Replay

Clock = Callable[[], float]


def waking_clock() -> float:
    """Seconds that go on while the machine sleeps: after that, data really is that old."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass
class Session:
    """One console at one database."""

    connect: Connect
    background: Background
    settings: Settings = field(default_factory=Settings)
    """How to connect, for operations that need more than one connection."""
    read_only: bool = False
    profile: str | None = None
    interval: float = 2.0
    error_limit: int = 100
    """How many entries of the error log are read."""
    clock: Clock = waking_clock
    ticks: bool = True
    """Whether ages and countdowns move by themselves; a test stands still."""
    memory: Memory = field(default_factory=Memory)
    choices: tuple[Settings, ...] = ()
    """The servers among which the operator can choose, this one included."""
    statements: StatementLog = field(default_factory=StatementLog)
    server: ServerInfo | None = None
    snapshot: MonitorSnapshot | None = None
    activity: Activity = field(default_factory=Activity)
    """The last hour, for the health strip."""
    fetched_at: float | None = None
    is_lost: bool = False
    replay: Replay | None = None
    """The recording that is played back, in place of a server."""
    _slept: float = field(default_factory=lambda: waking_clock() - time.monotonic(), repr=False)

    def remember(self, snapshot: MonitorSnapshot) -> None:
        """Keep the newest picture of the database, and when it came."""
        self.snapshot, self.fetched_at, self.is_lost = snapshot, self.clock(), False
        if self.server is not None and self.server.is_standby != snapshot.is_standby:
            self.server = replace(self.server, is_standby=snapshot.is_standby)
        if snapshot.activity is not None:
            self.activity.add(snapshot.activity, snapshot.database_time, self.clock())

    def has_slept(self) -> bool:
        """Whether the machine has slept since this was asked last."""
        before, self._slept = self._slept, waking_clock() - time.monotonic()
        return self._slept - before > 1.0

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
