"""What the console costs: start, keys, an idle minute, and what its polls ask of the server.

    python benchmarks/console.py                # embedded PostgreSQL 18; 1,000 rollups
    python benchmarks/console.py --rollups 50 --errors 1000 --json

The console is the real program in a pseudo-terminal. Beside each figure stands what it may be;
the exit code is 1 when one is above that. With --dsn the database has to be empty: the core and
the rollups are made there, and stay.

What a poll costs the server includes the planning of its queries: the console prepares none,
because behind a pooler the next one may meet another server session.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psycopg
from common import embedded_server, install_core, say
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tsconsole import operations
from tsconsole.database import Settings, connected
from tsconsole.statements import StatementLog

SIZE = (140, 45)
KEYS = "jjjjkjjjGgjjkkjjj" * 12
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figure:
    """One result."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def is_good(self) -> bool:
        """Whether it is within its limit."""
        return self.value <= self.limit


def main() -> int:
    """Run the benchmark as the command line says and print the result."""
    options = parse_arguments()
    with database(options.dsn) as dsn:
        say(f"making {options.rollups} rollups with {options.partitions} partitions each")
        install_core(dsn)
        fill(dsn, options.rollups, options.partitions, options.errors)
        figures = [
            *measure_start(dsn, options.starts),
            *measure_keys(dsn),
            *measure_idle(dsn, options.idle),
            *asyncio.run(measure_poll(dsn)),
        ]
    if options.json:
        sys.stdout.write(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    else:
        for figure in figures:
            mark = " " if figure.is_good else "!"
            of = f"at most {figure.limit:g} {figure.unit}"
            print(f"{mark} {figure.name:44} {figure.value:9.1f} {figure.unit:5} {of}")
    return 0 if all(figure.is_good for figure in figures) else 1


def parse_arguments() -> argparse.Namespace:
    """What to measure, where, and how to print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dsn", help="an empty database; default: an embedded PostgreSQL 18")
    parser.add_argument("--rollups", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--partitions", type=int, default=10, help="of each; default: %(default)s")
    parser.add_argument("--errors", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--starts", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--idle", type=int, default=30, help="seconds; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


@contextmanager
def database(dsn: str | None) -> Iterator[str]:
    """The given database, or one of an ordinary role on an embedded server."""
    if dsn is not None:
        yield dsn
        return
    with embedded_server() as server:
        with psycopg.connect(server.superuser_dsn, autocommit=True) as connection:
            connection.execute("create role demo login")
            connection.execute("create database bench owner demo")
        yield make_conninfo(server.dsn, dbname="bench")


def fill(dsn: str, rollups: int, partitions: int, errors: int) -> None:
    """Rollups of one source that have nothing to do, with partitions, and a long error log."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table raw.m (ts timestamptz not null, d int, x float8)")
        for number in range(rollups):
            target = f"silver.r{number:04}_1h"
            connection.execute("select silver.create_rollup_table('raw.m', %s, '1 hour')", [target])
            for day in range(partitions):
                connection.execute(
                    sql.SQL(
                        "create table silver.{} partition of silver.{} for values from ({}) to ({})"
                    ).format(
                        sql.Identifier(f"r{number:04}_1h_{day}"),
                        sql.Identifier(f"r{number:04}_1h"),
                        sql.Literal(f"2020-01-{day + 1:02}"),
                        sql.Literal(f"2020-01-{day + 2:02}"),
                    )
                )
        connection.execute(
            """
            insert into silver.timeseries_error_log (
                rollup_id, source_table, target_table, work, error_timestamp, sql_state,
                error_message, attempted_query)
            select c.id, 'raw.m', c.target_table::text, 'frontier',
                   now() - i * interval '1 second', '22012', 'division by zero',
                   repeat('select 1 ', 100)
              from generate_series(1, %s) as i
              join silver.timeseries_rollup_config as c on c.id = 1 + i %% %s
            """,
            [errors, rollups],
        )
        connection.execute("vacuum analyze")


class Terminal:
    """The console in a pseudo-terminal."""

    def __init__(self, dsn: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self._folder = tempfile.TemporaryDirectory(prefix="tsconsole-bench-state-")
        environment = os.environ | {
            "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": self._folder.name,
            "XDG_CONFIG_HOME": self._folder.name,
        }  # fmt: skip
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tsconsole", "--dsn", dsn], stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True, env=environment,
        )  # fmt: skip
        os.close(slave)
        self.bytes_read = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        self._folder.cleanup()

    def read(self, seconds: float) -> str:
        """What comes within these seconds, at the first that comes; empty when nothing does."""
        if not select.select([self.master], [], [], seconds)[0]:
            return ""
        data = os.read(self.master, 1_000_000)
        self.bytes_read += len(data)
        return data.decode(errors="replace")

    def read_until(self, pattern: str, seconds: float = 60.0) -> float:
        """The seconds since the start at which this had appeared."""
        text, end = "", time.perf_counter() + seconds
        while not re.search(pattern, text):
            text += self.read(0.2)
            if time.perf_counter() > end or self.process.poll() is not None:
                raise SystemExit(f"{pattern} did not appear: {text[-2000:]!r}")
        return time.perf_counter() - self.began

    def drain(self, quiet: float = 0.3) -> None:
        """Read until nothing has come for a while."""
        while self.read(quiet):
            pass

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def measure_start(dsn: str, starts: int) -> list[Figure]:
    """From the start of the process to the first row of data on the terminal."""
    say("starts")
    times, spent = [], []
    for _ in range(starts + 1):
        with Terminal(dsn) as terminal:
            times.append(terminal.read_until(r"r0\d\d\d_1h") * 1000)
            spent.append(terminal.cpu() * 1000)
    return [
        Figure("start to first data, median", median(times[1:]), 700, "ms"),
        Figure("  of that processor time", median(spent[1:]), 700, "ms"),
    ]


def measure_keys(dsn: str) -> list[Figure]:
    """From a key to the first byte of what it changes."""
    say("keys")
    times = []
    with Terminal(dsn) as terminal:
        terminal.read_until(r"r0\d\d\d_1h")
        terminal.drain()
        for key in KEYS:
            began = time.perf_counter()
            os.write(terminal.master, key.encode())
            if terminal.read(2.0):
                times.append((time.perf_counter() - began) * 1000)
            terminal.drain(0.05)
    times.sort()
    return [
        Figure("key to repaint, median", median(times), 50, "ms"),
        Figure("key to repaint, 99th percentile", times[int(len(times) * 0.99)], 50, "ms"),
    ]


def measure_idle(dsn: str, seconds: int) -> list[Figure]:
    """What the console costs when nothing changes."""
    say("idle")
    with Terminal(dsn) as terminal:
        terminal.read_until(r"r0\d\d\d_1h")
        end = time.perf_counter() + 5
        while time.perf_counter() < end:
            terminal.read(0.2)
        before, count, began = terminal.cpu(), terminal.bytes_read, time.perf_counter()
        while time.perf_counter() < began + seconds:
            terminal.read(0.2)
        spent = time.perf_counter() - began
        return [
            Figure("idle, share of a core", (terminal.cpu() - before) / spent * 100, 1.5, "%"),
            Figure("idle, to the terminal", (terminal.bytes_read - count) / spent, 1024, "B/s"),
        ]


async def measure_poll(dsn: str) -> list[Figure]:
    """What one poll of the monitor costs the server, as seen from beside it."""
    say("polls")
    times = []
    log = StatementLog()
    async with connected(Settings(dsn), log) as connection:
        for _ in range(20):
            began = time.perf_counter()
            await operations.monitor_snapshot(connection, "silver.r0000_1h")
            times.append((time.perf_counter() - began) * 1000)
        server = 0.0
        for text in {entry.text for entry in log if "set_config" not in entry.text}:
            server += await statement_time(dsn, text)
    return [
        Figure("poll, server time of its queries", server, 20, "ms"),
        Figure("poll, whole round trip, median", median(times), 200, "ms"),
    ]


async def statement_time(dsn: str, text: str) -> float:
    """Milliseconds that the server takes for a statement of the poll, by its own clock."""
    parameters = {"limit": 100, "target": "silver.r0000_1h", "since": None, "id": None}
    if "error_log" in text:
        parameters["target"] = None
    times = []
    # Without the time of each node: to read the clock for it costs more than many of them do.
    explain = "explain (analyze, summary, timing off)"
    async with connected(Settings(dsn)) as connection:
        for _ in range(7):
            cursor = await connection.execute(f"{explain} {text}", parameters)
            lines = [line for (line,) in await cursor.fetchall()]
            found = re.findall(r"(?:Planning|Execution) Time: ([0-9.]+)", "\n".join(lines))
            times.append(sum(map(float, found)))
    return median(times)


if __name__ == "__main__":
    sys.exit(main())
