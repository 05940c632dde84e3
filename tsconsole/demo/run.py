"""One demo from start to end: server, core, sources, rollups, live feed, worker, console."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tsconsole import installer
from tsconsole.database import Settings, connected
from tsconsole.demo import sources
from tsconsole.demo.feed import LiveFeed
from tsconsole.demo.rollups import create_rollups
from tsconsole.demo.server import DATABASE, ROLE, EmbeddedServer
from tsconsole.demo.summary import Summary, print_summary, summarise, wait_until_settled
from tsconsole.errors import InstallError
from tsconsole.worker import Worker

logger = logging.getLogger("tsconsole.demo")

SETTLING_SECONDS = 180.0
"""How long a demo without a screen waits for its rollups."""

SCREENSHOT_SECONDS = 30.0
"""When the picture is taken: after the failing rollup has given up."""

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    data_dir: Path | None = None
    console: bool = True
    reset: bool = False
    as_json: bool = False
    rows: int = sources.DEFAULT_ROWS
    screenshot: Path | None = None


def run(options: Options) -> int:
    """Run one demo; the server is stopped however it ends."""
    messages = Console(stderr=True, highlight=False)
    started_at = time.monotonic()
    server = EmbeddedServer(options.data_dir)
    with _interrupted_by_signals():
        messages.print(f"PostgreSQL starts in {server.folder}", soft_wrap=True)
        try:
            server.start(reset=options.reset)
            with _logged_to(server.folder / "demo.log"):
                return asyncio.run(_demo(server, options, messages, started_at))
        except (KeyboardInterrupt, asyncio.CancelledError):
            messages.print("The demo was told to stop.")
            return 130
        finally:
            # From here on nothing may keep the server from being stopped.
            for number in (*_SIGNALS, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            server.stop()


async def _demo(
    server: EmbeddedServer, options: Options, messages: Console, started_at: float
) -> int:
    _cancel_at_signals()
    await _create_database(server)
    settings = Settings(dsn=server.dsn, origin="the demo")
    async with connected(settings) as connection:
        await _install_core(connection)
        await _fill_sources(connection, options.rows, messages)
        async with _in_background(LiveFeed(server.dsn)):
            await create_rollups(connection)
            async with _in_background(Worker(settings)):
                if options.screenshot is not None:
                    return await _take_picture(settings, options.screenshot, messages)
                if options.console:
                    return await _run_console(settings, messages)
                summary = await _wait_and_summarise(connection, server.dsn, started_at, messages)
    print_summary(summary, as_json=options.as_json)
    return 0 if summary.as_expected else 1


async def _run_console(settings: Settings, messages: Console) -> int:
    # Textual is imported here only: the demo without a screen runs without it.
    from tsconsole.app import run_console_async

    code = await run_console_async(settings)
    messages.print("The feed, the worker and the server stop.")
    return code


async def _take_picture(settings: Settings, file: Path, messages: Console) -> int:
    from tsconsole.demo.picture import screenshot

    with messages.status("The worker fills the rollups"):
        await screenshot(settings, file, seconds=SCREENSHOT_SECONDS)
    return 0


async def _wait_and_summarise(
    connection: sources.Connection, dsn: str, started_at: float, messages: Console
) -> Summary:
    with messages.status("The worker fills the rollups"):
        await wait_until_settled(connection, SETTLING_SECONDS)
    with messages.status("The rollups are compared with GROUP BY over their sources"):
        return await summarise(connection, dsn, started_at)


async def _create_database(server: EmbeddedServer) -> None:
    """The demo runs as an ordinary role that owns its database, as on a managed server."""
    async with await psycopg.AsyncConnection.connect(
        server.superuser_dsn, autocommit=True
    ) as connection:
        found = await connection.execute("select from pg_roles where rolname = %s", [ROLE])
        if await found.fetchone() is None:
            await connection.execute(f"create role {ROLE} login")
        found = await connection.execute("select from pg_database where datname = %s", [DATABASE])
        if await found.fetchone() is None:
            await connection.execute(f"create database {DATABASE} owner {ROLE}")


async def _install_core(connection: sources.Connection) -> None:
    try:
        await installer.install(connection)
    except InstallError as error:
        raise InstallError(error.message, "Start over with: tsconsole demo --reset") from error


async def _fill_sources(connection: sources.Connection, rows: int, messages: Console) -> None:
    if await sources.sources_exist(connection):
        await _show(sources.fill_gap(connection), "the readings since the last demo", messages)
        return
    await _show(sources.create_sources(connection, rows), "readings", messages)
    # What was missed while the history was being made, before any rollup has a watermark.
    async for _ in sources.fill_gap(connection):
        pass


async def _show(
    making: AsyncIterator[sources.HistoryProgress], title: str, messages: Console
) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=messages) as progress:
        task = progress.add_task(f"Making {title}", total=None, rows=0)
        async for done in making:
            progress.update(
                task, completed=done.seconds_done, total=done.seconds_total, rows=done.rows
            )


@asynccontextmanager
async def _in_background(runner: LiveFeed | Worker) -> AsyncIterator[None]:
    """Run it while the context lasts; then what it has in hand ends."""
    running = asyncio.create_task(runner.run())
    running.add_done_callback(_log_failure)
    try:
        yield
    finally:
        runner.stop()
        await running


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s ended with an error", task.get_coro(), exc_info=error)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an interrupt, which passes through every `finally`."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGINT)}
    for number in _SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cancel_at_signals() -> None:
    """Inside the event loop a signal cancels this task: worker and feed then end in order."""
    task = asyncio.current_task()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, lambda: task and task.cancel())


@contextmanager
def _logged_to(file: Path) -> Iterator[None]:
    """Everything that is logged goes to a file: the terminal belongs to the console."""
    handler = logging.FileHandler(file, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root, level = logging.getLogger(), logging.getLogger("tsconsole").level
    root.addHandler(handler)
    logging.getLogger("tsconsole").setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        logging.getLogger("tsconsole").setLevel(level)
        handler.close()
