"""The demo's live data: one second of readings and of host samples, every second."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from datetime import datetime, timezone

import psycopg

from tsconsole.demo import sources
from tsconsole.demo.host import HostSampler

logger = logging.getLogger("tsconsole.demo")

LATENESS = "10 seconds"
"""The allowed lateness of the demo's rollups."""

# Seconds older than this are left out after a stall (a laptop that slept): behind the rollups'
# lateness they would be late rows, and a sensor network that was down has a gap too.
_OLDEST = 3

_SECONDS_BETWEEN_CORRECTIONS = 60


class LiveFeed:
    """Inserts new data every second until `stop()`, and corrects some old data once a minute."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._stopping = asyncio.Event()
        self.rows = 0
        """How many rows were inserted so far."""

    def stop(self) -> None:
        """End after the second in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Feed until stopped; a lost connection is made again."""
        while not self._stopping.is_set():
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, application_name="tsconsole demo feed"
                ) as connection:
                    await self._feed(connection)
            except psycopg.Error as error:
                logger.warning("the feed lost its connection: %s", str(error).strip())
                await self._pause(2.0)

    async def _feed(self, connection: sources.Connection) -> None:
        sampler = HostSampler()
        fed = await sources.newest_reading(connection)
        partitions_until, corrected_at = 0, int(time.time()) - 40
        while not self._stopping.is_set():
            now = int(time.time())
            if now > partitions_until:
                partitions_until = now + 3600
                await sources.ensure_partitions(connection, now, now + 86400)
            first = max(fed + 1, now - _OLDEST)
            self.rows += await sources.add_readings(connection, first, now)
            fed = max(fed, now)
            samples = sampler.sample()
            await sources.add_samples(connection, datetime.now(timezone.utc), samples)
            self.rows += len(samples)
            if now - corrected_at >= _SECONDS_BETWEEN_CORRECTIONS:
                corrected_at = now
                await sources.correct_readings(connection)
            await self._pause(1.0 - time.time() % 1.0)

    async def _pause(self, seconds: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
