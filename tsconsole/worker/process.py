"""The worker as a process: it logs to stderr, and signals end it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress

from tsconsole.database import Settings
from tsconsole.worker.loop import Worker
from tsconsole.worker.options import WorkerOptions

logger = logging.getLogger("tsconsole.worker")


async def run_worker(settings: Settings, options: WorkerOptions) -> int:
    """`tsconsole worker`: log to stderr, work until SIGTERM or SIGINT, end with 0.

    The first signal lets the steps in hand end; a second one cancels them.
    """
    _log_to_stderr()
    worker = Worker(settings, options)
    running = asyncio.ensure_future(worker.run())
    logger.info("worker %d started, %d jobs", os.getpid(), options.jobs)
    with suppress(asyncio.CancelledError), _Signals(worker):
        await running
    logger.info("worker %d ended", os.getpid())
    return 0


class _Signals:
    """SIGTERM and SIGINT end the worker while the context lasts."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._received)

    def __exit__(self, *exception: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _received(self) -> None:
        if self._worker.is_stopping:
            logger.warning("told twice to stop: cancelling the steps in hand")
            self._worker.cancel()
        else:
            logger.info("told to stop: the steps in hand end first")
            self._worker.stop()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("tsconsole")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
