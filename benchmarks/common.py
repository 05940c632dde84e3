"""What the benchmarks share: a database, fair timing, and one way to print what was measured."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from tsconsole import installer
from tsconsole.database import Settings, connected
from tsconsole.demo.server import EmbeddedServer

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Result:
    """One figure beside its aim: `x` is a ratio, `%` a share, `ms` and `s` are times."""

    name: str
    measured: float
    unit: str
    aim: float
    detail: str
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the aim is reached."""
        return self.measured >= self.aim if self.at_least else self.measured <= self.aim


def arguments(doc: str | None, runs: int, **sizes: int) -> argparse.ArgumentParser:
    """The options of every benchmark, and an option for each of its sizes."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--dsn", help="a database to use; default: an embedded PostgreSQL 18")
    parser.add_argument("--runs", type=int, default=runs, help="runs of each, default: %(default)s")
    for name, default in sizes.items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=int, default=default, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


@contextmanager
def scratch(dsn: str | None) -> Iterator[Connection]:
    """A connection to a database with the core and an empty schema `bench`, dropped at the end."""
    with database(dsn) as where, psycopg.connect(where, autocommit=True) as connection:
        clean_up(connection)
        connection.execute("create schema bench")
        yield connection
        clean_up(connection)


@contextmanager
def database(dsn: str | None) -> Iterator[str]:
    """The given database, or one of an embedded server, with the core of this checkout."""
    if dsn is not None:
        install_core(dsn)
        yield dsn
        return
    with embedded_server() as server:
        install_core(server.superuser_dsn)
        yield server.superuser_dsn


@contextmanager
def embedded_server() -> Iterator[EmbeddedServer]:
    """A PostgreSQL 18 that lives as long as the context."""
    with tempfile.TemporaryDirectory(prefix="tsconsole-bench-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder) / "server")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def install_core(dsn: str) -> None:
    """Install the SQL core as `tsconsole install` does."""

    async def install() -> None:
        async with connected(Settings(dsn)) as connection:
            await installer.install(connection)

    asyncio.run(install())


def clean_up(connection: Connection) -> None:
    """Drop every rollup in the schema `bench`, and the schema."""
    rollups = connection.execute(
        "select c.target_name from silver.timeseries_rollup_config as c "
        "where c.target_name like 'bench.%' order by c.id desc"
    ).fetchall()
    for (target,) in rollups:
        connection.execute("select silver.drop_rollup(%s::regclass)", [target])
    connection.execute("drop schema if exists bench cascade")


def roll_up(connection: Connection, target: str) -> list[dict[str, Any]]:
    """Step until nothing is left, as a worker does; answers the steps that did something."""
    done: list[dict[str, Any]] = []
    while steps := step(connection, target):
        done += steps
    return done


def step(connection: Connection, target: str) -> list[dict[str, Any]]:
    """One step of a rollup; empty when there was nothing to do."""
    row = connection.execute(
        "call silver.run_rollups(%s::text, 1, true, null)", [target]
    ).fetchone()
    return [one for one in (row[0] if row else None) or [] if one["outcome"] == "done"]


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that the call took, and its result."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def seconds(call: Callable[[], Any]) -> float:
    """Seconds that the call took."""
    return timed(call)[0]


def in_turns(runs: int, *calls: Callable[[], float]) -> list[float]:
    """The median of what each call measures, taken in turns, so that all meet a slow moment.

    Who comes first changes from run to run; a first round that is not counted warms up.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for run in range(runs + 1):
        for turn in range(len(calls)):
            which = (run + turn) % len(calls)
            measured = calls[which]()
            if run:
                taken[which].append(measured)
    return [median(one) for one in taken]


def settle(connection: Connection) -> None:
    """Let no run pay for the writing of the one before."""
    with suppress(psycopg.errors.InsufficientPrivilege):
        connection.execute("checkpoint")


def value(connection: Connection, query: str, values: Sequence[Any] | None = None) -> Any:
    """The first column of the first row."""
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def milliseconds(measured: float) -> str:
    """A time as the details write it."""
    return f"{measured * 1000:.2f} ms"


def report(connection: Connection, results: Sequence[Result], as_json: bool) -> None:
    """Print every figure beside its aim."""
    version = connection.info.parameter_status("server_version") or ""
    if as_json:
        rows = [asdict(one) | {"is_met": one.is_met} for one in results]
        print(json.dumps({"server": version, "results": rows}, indent=2))
        return
    width = max(len(one.name) for one in results)
    print(f"PostgreSQL {version}, medians of runs in turns")
    print(f"{'':{width}}  {'measured':>10}  {'aim':>10}")
    for one in results:
        aim = f"{'>=' if one.at_least else '<='} {one.aim:g} {one.unit}"
        mark = "" if one.is_met else "  MISSED"
        print(
            f"{one.name:{width}}  {one.measured:>7.2f} {one.unit:2}  {aim:>10}  {one.detail}{mark}"
        )


def say(text: str) -> None:
    """Tell on stderr how far it is."""
    print(text, file=sys.stderr, flush=True)
