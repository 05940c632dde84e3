"""A loop that keeps a picture of the database fresh. It knows no widgets.

It awaits each poll before it sleeps: a poll that takes longer than the interval is never
replaced by the next one. When the server is gone it tries again, less and less often.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tsconsole.errors import ConnectionLost, TsconsoleError

T = TypeVar("T")

INTERVALS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""The refresh intervals that can be chosen, in seconds."""
SLOWEST_RETRY = 30.0
AT_ONCE = 0.3
EASE = 4.0
"""A poll that takes long is followed by a pause of so many times that: a slow server gets no
slower by being watched."""
PATIENCE = 15.0
"""Seconds without an answer after which the server counts as lost: a poll must never hang."""


@dataclass(frozen=True)
class PollFailure:
    """Why a poll failed, and when the next one is."""

    message: str
    hint: str | None
    is_lost: bool
    """Whether the server is gone; otherwise it answered with an error."""
    attempt: int
    next_try: float
    """On the poller's clock."""


class Poller(Generic[T]):
    """Calls `fetch` again and again and hands on what it returned, or why it failed."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        on_data: Callable[[T], None],
        on_failure: Callable[[PollFailure], None],
        *,
        interval: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        wanted: Callable[[], bool] = lambda: True,
        patience: float = PATIENCE,
    ) -> None:
        self._fetch = fetch
        self._on_data = on_data
        self._on_failure = on_failure
        self._clock = clock
        self._wanted = wanted
        self._patience = patience
        self._wake = asyncio.Event()
        self.interval = interval
        self.held = False
        self.failures = 0

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            if self._wanted():
                await self._wait(await self.poll_once())
            else:
                await self._wake.wait()
                self._wake.clear()

    async def poll_once(self) -> float:
        """Poll, hand on the outcome, and return the seconds to the next poll."""
        began = self._clock()
        try:
            data = await self._fetched()
        except asyncio.TimeoutError:
            message = f"The server has not answered for {self._patience:g} seconds."
            return self._failed(message, "The server, or the network to it, hangs.", True)
        except TsconsoleError as error:
            return self._failed(error.message, error.hint, isinstance(error, ConnectionLost))
        except Exception as error:
            return self._failed(f"{type(error).__name__}: {error}", None, False)
        self.failures = 0
        self._on_data(data)
        return max(self.interval, (self._clock() - began) * EASE)

    async def _fetched(self) -> T:
        """What the fetch returns; its end is not waited for when it takes too long.

        Cancelling a query on a server that hangs takes many seconds more.
        """
        fetching = asyncio.ensure_future(self._fetch())
        fetching.add_done_callback(_forget)
        try:
            done, _ = await asyncio.wait({fetching}, timeout=self._patience)
        except asyncio.CancelledError:
            fetching.cancel()
            # The query is cancelled on the server before whoever asked goes on.
            await asyncio.wait({fetching})
            raise
        if not done:
            fetching.cancel()
            raise asyncio.TimeoutError
        return fetching.result()

    def poke(self) -> None:
        """Poll now, even when held."""
        self._wake.set()

    def slower(self) -> float:
        """Choose the next longer interval and return it."""
        self.interval = next((i for i in INTERVALS if i > self.interval), INTERVALS[-1])
        return self.interval

    def faster(self) -> float:
        """Choose the next shorter interval and return it."""
        self.interval = next((i for i in reversed(INTERVALS) if i < self.interval), INTERVALS[0])
        self.poke()
        return self.interval

    def hold(self) -> bool:
        """Stop polling, or go on; return whether it is held now."""
        self.held = not self.held
        if not self.held:
            self.poke()
        return self.held

    def _failed(self, message: str, hint: str | None, is_lost: bool) -> float:
        self.failures += 1
        if not is_lost and self.failures == 1:
            # A table that was dropped meanwhile, a deadlock: the next poll knows better.
            return AT_ONCE
        delay = min(max(self.interval, 1.0) * 2.0 ** min(self.failures - 1, 9), SLOWEST_RETRY)
        self._on_failure(PollFailure(message, hint, is_lost, self.failures, self._clock() + delay))
        return delay

    async def _wait(self, delay: float) -> None:
        """Sleep until the next poll; a lost server is looked for even on hold."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wake.wait(), delay)
        while self.held and not self.failures and not self._wake.is_set():
            await self._wake.wait()
        self._wake.clear()


def _forget(fetching: asyncio.Future[T]) -> None:
    """Ask for the exception of a fetch that nobody waits for, so that nobody complains."""
    if not fetching.cancelled():
        fetching.exception()
