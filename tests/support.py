"""Helpers that more than one test module uses."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tsconsole.cli import main
from tsconsole.models import RollupRequest

READINGS = """
    create table raw.readings (
        ts timestamptz not null, device text not null, temperature double precision, flag boolean);
    create index on raw.readings (ts);
    insert into raw.readings
    select timestamptz '2025-03-01 00:00Z' + i * interval '1 minute',
           'd' || i % 3, i % 30, i % 2 = 0
      from generate_series(0, 2999) as i;
"""


def make_readings(connection: psycopg.Connection) -> None:
    """A source of two days and some hours: 3,000 rows, one a minute, three devices."""
    connection.execute(READINGS)


HOURLY = RollupRequest(
    source="raw.readings",
    target="silver.readings_1h",
    rollup_interval="1 hour",
    dimensions=("device",),
)


def check_types(row: Any) -> None:
    """Every field of a model has the type that it says; None only where that is said."""
    for name, hint in get_type_hints(type(row)).items():
        found = getattr(row, name)
        said = str(hint)
        if found is None:
            assert "None" in said or said == "typing.Any", f"{type(row).__name__}.{name} is None"
        for kind in (int, float, str, bool):
            if hint is kind or hint == (kind | None):
                assert found is None or type(found) is kind, f"{name} is {found!r}, not {kind}"
        if "datetime" in said and "timedelta" not in said and found is not None:
            assert isinstance(found, datetime) and found.tzinfo is not None
        if "timedelta" in said and found is not None:
            assert isinstance(found, timedelta)


@dataclass(frozen=True)
class Ended:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


class CommandLine:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], dsn: str | None = None) -> None:
        self._capsys, self._dsn = capsys, dsn

    def __call__(self, *arguments: str) -> Ended:
        given = list(arguments)
        if self._dsn is not None:
            given += ["--dsn", self._dsn]
        self._capsys.readouterr()
        try:
            code = main(given)
        except SystemExit as end:
            code = int(end.code or 0)
        captured = self._capsys.readouterr()
        return Ended(code, captured.out, captured.err)


def missing(reason: str) -> NoReturn:
    """Skip, because something is not here that `.ci/run` provides: there it is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find_psql(folder: Path | None) -> Path:
    """The psql of the embedded server, whose programs are in the folder, else any newer one."""
    return find_program("psql", folder)


def find_program(name: str, folder: Path | None) -> Path:
    """A program of PostgreSQL, by preference from that folder."""
    for place in (folder, os.environ.get("PATH"), "/usr/lib/postgresql/15/bin"):
        found = shutil.which(name, path=str(place)) if place else None
        if found:
            return Path(found)
    missing(f"there is no {name}")


class Wire:
    """A TCP port that leads to the server's socket and can be cut and mended."""

    def __init__(self, dsn: str) -> None:
        found = conninfo_to_dict(dsn)
        self._path = f"{found['host']}/.s.PGSQL.{found.get('port') or 5432}"
        if not Path(self._path).exists():
            missing("the server has no socket here")
        self._ends: list[socket.socket] = []
        self.port = 0
        self.mend()

    def mend(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listening], daemon=True).start()

    def cut(self) -> None:
        with suppress(OSError):
            # Closing alone does not wake the thread that accepts, and the port would stay open.
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._path)
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=[one, other], daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
