"""How a worker works."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field


def _own_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True)
class WorkerOptions:
    """What can be said about a worker when it is started."""

    poll_interval: float = 1.0
    """Seconds between two questions of what is due, when nothing says that there is work."""
    jobs: int = 2
    """Steps side by side; of two or more, one is kept for new data."""
    stop_within: float = 60.0
    """Seconds that steps in hand may take to end once the worker was told to stop."""
    maintenance: bool = True
    """Whether it runs the tasks of maintenance that are due."""
    name: str = field(default_factory=_own_name)
    """What the worker is called in the list of workers."""
