"""The loop that keeps rollups current: ask what is due, step it, sleep.

Any number of workers may run at once, on any hosts: claims are taken in the database, and a step
that another worker holds answers `busy` at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import psycopg

from tsconsole import operations
from tsconsole.database import Backoff, Settings, connect_once
from tsconsole.errors import ConnectionLost, OperationError
from tsconsole.formatting import took
from tsconsole.models import DueRollup, StepResult

logger = logging.getLogger("tsconsole.worker")

Connection = psycopg.AsyncConnection[Any]
OnStep = Callable[[StepResult], None]

LONGEST_PAUSE = 30.0
"""Seconds between two tries of a server, or of a rollup, that does not answer."""

# The backend of a worker that vanished must give its claim back soon.
_SESSION = {
    "client_connection_check_interval": "10s",
    "idle_in_transaction_session_timeout": "60s",
}


class Worker:
    """Steps what is due until `stop()` is called.

    A step in hand always ends: `stop()` is noticed between two steps.
    """

    def __init__(
        self, settings: Settings, poll_interval: float = 1.0, on_step: OnStep | None = None
    ) -> None:
        self._settings = settings
        self._poll_interval = poll_interval
        self._on_step = on_step
        self._stopping = asyncio.Event()
        self._stepped_at: dict[str, float] = {}
        self._refused = Refusals()

    def stop(self) -> None:
        """Ask the loop to end after the step in hand."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop()` was called."""
        return self._stopping.is_set()

    async def run(self) -> None:
        """Work until stopped; a server that is away is waited for."""
        backoff = Backoff(limit=LONGEST_PAUSE)
        is_away = False
        while not self.is_stopping:
            try:
                async with await self._connect() as connection:
                    due = await operations.due_rollups(connection)
                    if is_away:
                        logger.info("the server is back")
                    is_away = False
                    backoff.reset()
                    await self._work(connection, due)
            except OperationError as error:
                if not is_away:
                    logger.warning("%s; trying again until it works", _reason(error))
                is_away = True
                await self._sleep(backoff.next_delay())

    async def _connect(self) -> Connection:
        connection = await connect_once(self._settings)
        for name, value in _SESSION.items():
            # Not every platform's server can watch its clients.
            with suppress(psycopg.Error):
                await connection.execute("select set_config(%s, %s, false)", [name, value])
        return connection

    async def _work(self, connection: Connection, due: Sequence[DueRollup]) -> None:
        while not self.is_stopping:
            did_something = await self._round(connection, due)
            if not did_something:
                # Workers that were started together should not ask together.
                await self._sleep(self._poll_interval * random.uniform(0.75, 1.25))
            due = await operations.due_rollups(connection)

    async def _round(self, connection: Connection, due: Sequence[DueRollup]) -> bool:
        """Step every frontier that is due, then one piece of the past.

        So new data never waits for more than one step of a backfill, and several backfills
        take turns.
        """
        did_something = False
        for rollup in due:
            if rollup.work == "frontier" and not self.is_stopping:
                did_something |= await self._step(connection, rollup)
        past = [rollup for rollup in due if rollup.work != "frontier"]
        past.sort(key=lambda rollup: self._stepped_at.get(rollup.target_table, 0.0))
        for rollup in past:
            if self.is_stopping or await self._step(connection, rollup):
                return True
        return did_something

    async def _step(self, connection: Connection, rollup: DueRollup) -> bool:
        """Answer whether the step did something; False asks for a pause or for other work."""
        target = rollup.target_table
        if self._refused.must_wait(target):
            return False
        self._stepped_at[target] = time.monotonic()
        try:
            results = await operations.run_step(connection, target)
        except ConnectionLost:
            raise
        except OperationError as error:
            # The failure of a step's own work comes back as a result and is logged in the
            # database; this is a call that was refused, such as for a rollup just dropped.
            if connection.broken:
                raise
            logger.warning("%s: %s", target, _reason(error))
            self._refused.remember(target)
            return False
        self._refused.forget(target)
        for result in results:
            self._report(result)
        return any(result.outcome in ("done", "failed") for result in results)

    def _report(self, result: StepResult) -> None:
        level = {"done": logging.INFO, "failed": logging.WARNING}
        logger.log(level.get(result.outcome, logging.DEBUG), "%s", step_line(result))
        if self._on_step is not None:
            self._on_step(result)

    async def _sleep(self, seconds: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


class Refusals:
    """Which rollups refused to be stepped, and until when they are left alone."""

    def __init__(self) -> None:
        self._backoff: dict[str, Backoff] = {}
        self._until: dict[str, float] = {}

    def must_wait(self, target: str) -> bool:
        """Whether it is too early to ask this rollup again."""
        return time.monotonic() < self._until.get(target, 0.0)

    def remember(self, target: str) -> None:
        """Leave it alone, for longer every time."""
        backoff = self._backoff.setdefault(target, Backoff(limit=LONGEST_PAUSE))
        self._until[target] = time.monotonic() + backoff.next_delay()

    def forget(self, target: str) -> None:
        """It answered."""
        self._backoff.pop(target, None)
        self._until.pop(target, None)


def step_line(result: StepResult) -> str:
    """One line about one step, for the log."""
    parts = [f"{result.target_table}: {result.work or 'step'} {result.outcome}"]
    if result.window_start is not None and result.window_end is not None:
        parts.append(f"{_moment(result.window_start)} to {_moment(result.window_end)}")
    if result.outcome == "done":
        parts.append(f"{result.rows_read or 0:,} rows read, {result.rows_written or 0:,} written")
    if result.duration is not None:
        parts.append(took(result.duration))
    if result.error_message is not None:
        parts.append(f"{result.error_message} ({result.sql_state})")
    return ", ".join(parts)


async def run_worker(settings: Settings, poll_interval: float = 1.0) -> int:
    """`tsconsole worker`: log to stderr, work until SIGTERM or SIGINT, end with 0.

    The first signal lets the step in hand end; a second one cancels it.
    """
    _log_to_stderr()
    worker = Worker(settings, poll_interval)
    running = asyncio.ensure_future(worker.run())
    signals = _Signals(worker, running)
    logger.info("worker %d started", os.getpid())
    with suppress(asyncio.CancelledError), signals:
        await running
    logger.info("worker %d ended", os.getpid())
    return 0


class _Signals:
    """SIGTERM and SIGINT end the worker while the context lasts."""

    def __init__(self, worker: Worker, running: asyncio.Future[None]) -> None:
        self._worker = worker
        self._running = running

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._received)

    def __exit__(self, *exception: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _received(self) -> None:
        if self._worker.is_stopping:
            logger.warning("told twice to stop: cancelling the step in hand")
            self._running.cancel()
        else:
            logger.info("told to stop: the step in hand ends first")
            self._worker.stop()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("tsconsole")
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _reason(error: OperationError) -> str:
    parts = [error.message.rstrip("."), (error.hint or "").rstrip(".")]
    return ". ".join(part for part in parts if part)
