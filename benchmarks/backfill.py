"""How much faster two workers fill a rollup's history than one.

    python benchmarks/backfill.py                 # embedded PostgreSQL 18, 4 million rows
    python benchmarks/backfill.py --workers 4 --dsn "host=… dbname=scratch" --json

The source is indexed by time; each run makes the rollup anew and times it until no step is left.
The gain cannot be larger than the cores that the machine has to spare.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
from common import (
    Connection,
    Result,
    arguments,
    in_turns,
    report,
    roll_up,
    say,
    scratch,
    seconds,
    settle,
)


def main() -> int:
    """Run the benchmark as the command line says and print the result."""
    options = arguments(__doc__, 3, rows=4_000_000, workers=2).parse_args()
    with scratch(options.dsn) as connection:
        make(connection, options.rows)
        one, many = in_turns(
            options.runs,
            lambda: backfill(connection, 1),
            lambda: backfill(connection, options.workers),
        )
        detail = f"{many:.2f} s beside {one:.2f} s, {options.rows:,} rows"
        name = f"backfill by {options.workers} workers, times faster than by one"
        aim = 0.8 * options.workers
        report(
            connection, [Result(name, one / many, "x", aim, detail, at_least=True)], options.json
        )
    return 0


def make(connection: Connection, rows: int) -> None:
    """Forty days of a hundred devices."""
    say(f"making {rows:,} rows")
    connection.execute(
        "create table bench.readings as select now() - interval '40 days' * i / %s as ts, "
        "i %% 100 as device_id, (i %% 977)::float8 as temperature, (i %% 89)::float8 as humidity "
        "from generate_series(0, %s) as i",
        [rows, rows],
    )
    connection.execute("create index on bench.readings (ts)")
    connection.execute("vacuum analyze bench.readings")


def backfill(connection: Connection, workers: int) -> float:
    """Seconds from an empty rollup to a complete one."""
    connection.execute(
        "select silver.create_rollup_table('bench.readings', 'bench.rollup', '10 minutes', "
        "dimensions => '{device_id}', chunk_interval => '1 day', processing_window => '2 days')"
    )
    settle(connection)
    where = connection.info.dsn
    with ThreadPoolExecutor(workers) as pool:
        took = seconds(lambda: list(pool.map(work, [where] * workers)))
    left = connection.execute(
        "select pending_ranges from silver.progress('bench.rollup'::regclass)"
    ).fetchone()
    assert left == (0,), left
    connection.execute("select silver.drop_rollup('bench.rollup'::regclass)")
    say(f"{workers} workers: {took:.2f} s")
    return took


def work(where: str) -> None:
    """Do steps until there is none left."""
    with psycopg.connect(where, autocommit=True) as connection:
        roll_up(connection, "bench.rollup")


if __name__ == "__main__":
    sys.exit(main())
