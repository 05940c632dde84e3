"""A database for a benchmark: an embedded PostgreSQL 18 with the core, or one that is given."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsconsole.database import Settings, connected
from tsconsole.demo.server import EmbeddedServer
from tsconsole.installer import install


@contextmanager
def scratch_database(dsn: str | None) -> Iterator[str]:
    """The DSN, with the core installed; an embedded server lives as long as the context."""
    if dsn is not None:
        _install_core(dsn)
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="tsconsole-bench-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder) / "server")
        server.start()
        try:
            _install_core(server.superuser_dsn)
            yield server.superuser_dsn
        finally:
            server.stop()


def _install_core(dsn: str) -> None:
    async def run() -> None:
        async with connected(Settings(dsn)) as connection:
            await install(connection)

    asyncio.run(run())
