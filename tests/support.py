"""Helpers that more than one test module uses."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from tsconsole.cli import main

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
