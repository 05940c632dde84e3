"""The worker's loop: ask what is due, step it, wait until there may be more."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg

from tsconsole import __version__, operations
from tsconsole.database import Backoff, Settings, connect_once
from tsconsole.errors import ConnectionLost, OperationError
from tsconsole.models import DueRollup, MaintenanceTask, PlannedTask, StepResult
from tsconsole.operations.workers import WorkerState
from tsconsole.worker.choice import LONGEST_PAUSE, Parallelism, Refusals, Tried, choose
from tsconsole.worker.options import WorkerOptions
from tsconsole.worker.reporting import reason, step_line, task_line
from tsconsole.worker.wakeup import Wakeup

logger = logging.getLogger("tsconsole.worker")

Connection = psycopg.AsyncConnection[Any]
OnStep = Callable[[StepResult], None]

HEARTBEAT = 5.0
"""Seconds between two heartbeats of a worker."""
MAINTENANCE_LOOK = 15.0
"""Seconds between two looks at which tasks of maintenance are due."""

# The backend of a worker that vanished must give its claim back soon.
_SESSION = {
    "client_connection_check_interval": "10s",
    "idle_in_transaction_session_timeout": "60s",
}


class Worker:
    """Steps what is due, and maintains beside it, until `stop()` is called.

    What is in hand ends then, but not after `stop_within`; `cancel()` cancels it at once.
    """

    def __init__(
        self,
        settings: Settings,
        options: WorkerOptions | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        self._settings = settings
        self._options = options or WorkerOptions()
        self._on_step = on_step
        self._is_stopping = False
        self._wakeup = Wakeup()
        self._in_hand: dict[asyncio.Task[None], DueRollup | PlannedTask] = {}
        self._idle: list[Connection] = []
        self._refused = Refusals()
        self._tried = Tried(self._options.poll_interval)
        self._parallelism = Parallelism(self._options.jobs)
        self._id: int | None = None
        self._steps = self._failures = 0
        self._last_step: str | None = None
        self._beaten_at = self._maintained_at = float("-inf")

    def stop(self) -> None:
        """Ask the loop to end after the steps in hand."""
        self._is_stopping = True
        self._wakeup.set()

    def cancel(self) -> None:
        """Cancel the steps in hand."""
        self.stop()
        for task in self._in_hand:
            task.cancel()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop()` was called."""
        return self._is_stopping

    async def run(self) -> None:
        """Work until stopped; a server that is away is waited for."""
        backoff = Backoff(limit=LONGEST_PAUSE)
        is_away = False
        while not self.is_stopping:
            try:
                async with await self._connect() as connection:
                    await self._wakeup.listen(connection)
                    await self._beat(connection)
                    if is_away:
                        logger.info("the server is back")
                    is_away = False
                    backoff.reset()
                    await self._work(connection)
            except OperationError as error:
                if not is_away:
                    logger.warning("%s; trying again until it works", reason(error))
                is_away = True
                self._wakeup.clear()
                if not self.is_stopping:
                    await self._wakeup.sleep(backoff.next_delay())
            finally:
                await self._put_down()

    async def _work(self, connection: Connection) -> None:
        while not self.is_stopping:
            self._wakeup.clear()
            await self._begin_steps(connection)
            await self._begin_maintenance(connection)
            await self._look_after(connection)
            await self._wakeup.wait(connection, await self._pause(connection))
        await self._end(connection)

    async def _begin_steps(self, connection: Connection) -> None:
        steps = self._steps_in_hand()
        if len(steps) >= self._parallelism.limit:
            return
        due = [one for one in await operations.due_rollups(connection) if self._may_try(one)]
        for one in choose(due, steps, self._parallelism.limit):
            self._take(one, self._step(one))

    def _steps_in_hand(self) -> list[DueRollup]:
        return [one for one in self._in_hand.values() if isinstance(one, DueRollup)]

    def _may_try(self, one: DueRollup) -> bool:
        return self._tried.is_open(one) and not self._refused.must_wait(one.target_table)

    def _take(self, one: DueRollup | PlannedTask, work: Any) -> None:
        task = asyncio.create_task(work)
        self._in_hand[task] = one
        task.add_done_callback(self._put_back)

    def _put_back(self, task: asyncio.Task[None]) -> None:
        self._in_hand.pop(task, None)
        self._wakeup.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a step ended unexpectedly", exc_info=error)

    async def _step(self, one: DueRollup) -> None:
        target = one.target_table
        connection: Connection | None = None
        try:
            connection = await self._borrow()
            results = await operations.run_step(connection, target)
        except OperationError as error:
            # The failure of a step's own work comes back as a result and is logged in the
            # database; this is a call that was refused, such as for a rollup just dropped, or
            # a lost connection: the loop's own will say so when it is the server.
            if not isinstance(error, ConnectionLost):
                logger.warning("%s: %s", target, reason(error))
            self._refused.remember(target)
            return
        finally:
            await self._give_back(connection)
        self._refused.forget(target)
        for result in results:
            self._report(result)
        if any(result.outcome == "done" for result in results):
            self._tried.forget(one)
        else:
            self._tried.remember(one)

    def _report(self, result: StepResult) -> None:
        level = {"done": logging.INFO, "failed": logging.WARNING}
        logger.log(level.get(result.outcome, logging.DEBUG), "%s", step_line(result))
        if result.outcome in ("done", "failed"):
            self._steps += 1
            self._failures += result.outcome == "failed"
            self._last_step = step_line(result)
        if self._on_step is not None:
            self._on_step(result)

    async def _begin_maintenance(self, connection: Connection) -> None:
        """One task at a time, beside the steps: a long one takes the place of none."""
        in_hand = self._in_hand.values()
        if not self._options.maintenance or any(isinstance(one, PlannedTask) for one in in_hand):
            return
        if time.monotonic() - self._maintained_at < MAINTENANCE_LOOK:
            return
        due = await operations.planned_tasks(connection, only_due=True)
        if due:
            self._take(due[0], self._maintain(due))
        else:
            self._maintained_at = time.monotonic()

    async def _maintain(self, due: Sequence[PlannedTask]) -> None:
        connection: Connection | None = None
        try:
            connection = await self._borrow()
            for planned in due:
                if self.is_stopping:
                    return
                if planned.task == "retention":
                    # Only a client can detach and keep nobody waiting; the task finishes it.
                    await operations.detach_for_task(connection, planned)
                task = await operations.run_due_task(connection, planned)
                if task is not None:
                    self._report_task(task)
        except OperationError as error:
            if not isinstance(error, ConnectionLost):
                logger.warning("maintenance: %s", reason(error))
        finally:
            # Not before the next look: what is busy elsewhere stays due.
            self._maintained_at = time.monotonic()
            await self._give_back(connection)

    def _report_task(self, task: MaintenanceTask) -> None:
        level = logging.WARNING if task.outcome == "failed" else logging.INFO
        logger.log(level if task.outcome != "skipped" else logging.DEBUG, "%s", task_line(task))

    async def _look_after(self, connection: Connection) -> None:
        """Every few seconds: the heartbeat, and whether the server is overloaded."""
        now = time.monotonic()
        if now - self._beaten_at < HEARTBEAT:
            return
        if self._parallelism.jobs > 1:
            slowdown = await operations.slowdown(connection)
            if self._parallelism.observe(slowdown, now):
                taking = "none" if slowdown is None else f"{slowdown:.1f} times the predicted time"
                logger.info("%d steps side by side: steps took %s", self._parallelism.limit, taking)
        await self._beat(connection)

    async def _beat(self, connection: Connection) -> None:
        self._beaten_at = time.monotonic()
        self._id = await operations.beat_worker(
            connection,
            self._id,
            WorkerState(
                name=self._options.name,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
                jobs=self._options.jobs,
                parallel=self._parallelism.limit,
                running=len(self._steps_in_hand()),
                steps=self._steps,
                failures=self._failures,
                last_step=self._last_step,
            ),
        )

    async def _pause(self, connection: Connection) -> float:
        """How long there will be nothing to do, as far as the clock says."""
        # Workers that were started together should not ask together.
        poll = self._options.poll_interval * random.uniform(0.75, 1.25)
        due = await operations.seconds_to_next(connection)
        due = HEARTBEAT if due is None else due + random.uniform(0.001, 0.02)
        return min(poll, due, self._tried.seconds_left(), HEARTBEAT)

    async def _end(self, connection: Connection) -> None:
        """Let the steps in hand end, and sign off."""
        if self._in_hand:
            _, late = await asyncio.wait(list(self._in_hand), timeout=self._options.stop_within)
            if late:
                logger.warning(
                    "cancelling %d steps that did not end in %g s",
                    len(late),
                    self._options.stop_within,
                )
        with suppress(OperationError):
            if self._id is not None:
                await operations.forget_worker(connection, self._id)
                self._id = None

    async def _put_down(self) -> None:
        """Cancel what is still in hand, and close the connections of the steps."""
        tasks = list(self._in_hand)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._idle:
            await self._idle.pop().close()

    async def _borrow(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return await self._connect()

    async def _give_back(self, connection: Connection | None) -> None:
        if connection is None:
            return
        idle = psycopg.pq.TransactionStatus.IDLE
        if connection.closed or connection.info.transaction_status != idle:
            await connection.close()
        else:
            self._idle.append(connection)

    async def _connect(self) -> Connection:
        connection = await connect_once(self._settings)
        for name, value in _SESSION.items():
            # Not every platform's server can watch its clients.
            with suppress(psycopg.Error):
                await connection.execute("select set_config(%s, %s, false)", [name, value])
        return connection
