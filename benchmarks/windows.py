"""How long steps take, against their aim, while the data rate changes 100 times.

    python benchmarks/windows.py                # embedded PostgreSQL 18, 6 million rows, a minute
    python benchmarks/windows.py --dsn "host=… dbname=scratch" --aim 2 --rows 4000000

A source with three stretches of equally many rows: sparse, 100 times as dense, sparse again. It is
rolled up twice, as history (newest first) and by the frontier (oldest first). Every step should
take 0.5 to 2 times its aim; the first one of each kind has nothing to learn from and is shown in
brackets, as is the last, which takes what is left. The statistics are fresh, as autovacuum keeps
them. It creates and drops the tables `bench_windows.*` in the database it is given.
"""

from __future__ import annotations

import argparse
import sys

import psycopg
from common import Connection, database

DENSER = 100
LOW, HIGH = 0.5, 2.0


def main() -> int:
    """Run the benchmark; 1 when a step that counts was out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dsn", help="a database to use; default: an embedded PostgreSQL 18")
    parser.add_argument("--rows", type=int, default=2_000_000, help="a stretch; %(default)s")
    parser.add_argument("--aim", type=float, default=0.5, help="seconds a step; %(default)s")
    options = parser.parse_args()
    outside = 0
    with database(options.dsn) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "select set_config('tsconsole.step_aim', %s, false)", [f"{options.aim}s"]
        )
        try:
            for work in ("history", "frontier"):
                roll_up(connection, work, options.rows)
                outside += report(connection, work, options.aim)
                clean_up(connection)
        finally:
            clean_up(connection)
    return 1 if outside else 0


def roll_up(connection: Connection, work: str, rows: int) -> None:
    """Make the source and roll it up, as history or by the frontier."""
    connection.execute(
        "create schema bench_windows;"
        "create table bench_windows.source (ts timestamptz not null, device int, value float8);"
        "create index on bench_windows.source (ts)"
    )
    if work == "frontier":
        # On an empty source there is no history: everything that comes is the frontier's.
        create(connection)
    seconds = rows * (2 + 1 / DENSER)
    for first, step in ((seconds, 1.0), (seconds - rows, 1 / DENSER), (float(rows), 1.0)):
        connection.execute(
            "insert into bench_windows.source"
            " select now() - interval '1 hour' - (%s - i * %s) * interval '1 s', i %% 20, i"
            " from generate_series(0, %s - 1) as i",
            [first, step, rows],
        )
    connection.execute("vacuum analyze bench_windows.source")
    if work == "history":
        create(connection)
    connection.execute("call silver.run_rollups('bench_windows.target')")


def create(connection: Connection) -> None:
    """One rollup, whose partitions limit no window."""
    connection.execute(
        "select silver.create_rollup_table('bench_windows.source', 'bench_windows.target',"
        " '5 seconds', dimensions => '{device}', chunk_interval => '1 month',"
        " change_tracking => 'none')"
    )


def report(connection: Connection, work: str, aim: float) -> int:
    """Print a row for each step; how many of those that count were out of bounds."""
    steps = connection.execute(
        "select extract(epoch from window_end - window_start)::float8 / 60, rows_read,"
        " extract(epoch from predicted_duration)::float8, extract(epoch from duration)::float8"
        " from silver.timeseries_refresh_log where work = %s order by id",
        [work],
    ).fetchall()
    print(f"\n{work}: {len(steps)} steps, aim {aim:g} s")
    print(
        f"{'minutes':>12} {'rows':>10} {'rows/s of data':>15} {'predicted':>10} {'took':>8}  of aim"
    )
    outside = 0
    for number, (minutes, rows, predicted, took) in enumerate(steps):
        counts = 0 < number < len(steps) - 1
        is_outside = counts and not LOW <= took / aim <= HIGH
        outside += is_outside
        ratio = f"{took / aim:.2f}" if counts else f"({took / aim:.2f})"
        print(
            f"{minutes:>12,.0f} {rows:>10,} {rows / minutes / 60:>15,.2f}"
            f" {predicted or 0:>8.2f} s {took:>6.2f} s {ratio:>7}{'  !' if is_outside else ''}"
        )
    print(f"outside {LOW:g} to {HIGH:g} times the aim: {outside} of {max(len(steps) - 2, 0)}")
    return outside


def clean_up(connection: Connection) -> None:
    """Drop what the benchmark made."""
    connection.execute(
        "select silver.drop_rollup(c.target_table) from silver.timeseries_rollup_config as c"
        " where c.target_name = 'bench_windows.target'"
    )
    connection.execute("drop schema if exists bench_windows cascade")
    connection.execute("delete from silver.timeseries_refresh_log where table_name ~ '^bench_win'")


if __name__ == "__main__":
    sys.exit(main())
