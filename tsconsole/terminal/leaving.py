"""Leaving when the terminal goes away: no process may survive it, least of all a busy one."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

from textual.drivers._writer_thread import WriterThread


def can_be_continued() -> bool:
    """Whether a shell is there that can continue this program once it is suspended.

    Without one (started by a terminal, tmux or ssh itself) it would be stopped for ever.
    """
    try:
        return os.getsid(os.getppid()) == os.getsid(0) != os.getpid()
    except OSError:
        return False


def leave_with_the_terminal(leave: Callable[[], None]) -> None:
    """Call `leave` in the running loop when the terminal hangs up, or somebody says to stop."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGHUP, signal.SIGTERM):
        with suppress(NotImplementedError, ValueError):
            loop.add_signal_handler(name, leave)
    usual = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        writer = failure.thread
        if not isinstance(writer, WriterThread) or not isinstance(failure.exc_value, OSError):
            usual(failure)
            return
        # The thread that writes to the terminal ends at the first write to a closed one. Its
        # queue is bounded: unless somebody goes on emptying it, the program waits for room in
        # it for ever, and never comes to leave.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(leave)
        while writer._queue.get() is not None:
            pass

    threading.excepthook = hook
