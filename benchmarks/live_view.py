"""What the live view costs beside its table, and with a thousand scattered stale ranges.

    python benchmarks/live_view.py                 # embedded PostgreSQL 18
    python benchmarks/live_view.py --dsn "host=… dbname=scratch" --json

The query asks for some days of one device. What the view adds for the newest rows, which are in no
table yet, is measured as the GROUP BY that it stands for.
"""

from __future__ import annotations

import sys

from common import (
    Connection,
    Result,
    arguments,
    in_turns,
    milliseconds,
    report,
    roll_up,
    say,
    scratch,
    seconds,
    value,
)

DAYS = 30
DEVICES = 100
REPEATS = 20


def main() -> int:
    """Run the benchmark as the command line says and print the result."""
    options = arguments(__doc__, 9, rows=1_500_000, stale_ranges=1000).parse_args()
    with scratch(options.dsn) as connection:
        make(connection, options.rows)
        results = [*compare(connection, options.runs)]
        results.append(scattered(connection, options.stale_ranges, options.runs))
        report(connection, results, options.json)
    return 0


def make(connection: Connection, rows: int) -> None:
    """A month of readings in 30 partitions of the target, rolled up but for the newest minutes."""
    say(f"making {rows:,} rows")
    connection.execute(
        "create table bench.readings as select now() - interval '30 days' * i / %s as ts, "
        f"i %% {DEVICES} as device_id, (i %% 977)::float8 as temperature "
        "from generate_series(0, %s) as i",
        [rows, rows],
    )
    connection.execute("create index on bench.readings (ts)")
    connection.execute("vacuum analyze bench.readings")
    connection.execute(
        "select silver.create_rollup_table('bench.readings', 'bench.rollup', '10 minutes', "
        "dimensions => '{device_id}', chunk_interval => '1 day')"
    )
    roll_up(connection, "bench.rollup")
    connection.execute("vacuum analyze bench.rollup")


def compare(connection: Connection, runs: int) -> list[Result]:
    """Ranges that end before the tail, and one that contains it."""
    partitions = value(
        connection, "select count(*) from silver.get_partition_stats('bench.rollup'::regclass)"
    )
    watermark = value(
        connection, "select last_processed_time::text from silver.timeseries_rollup_config"
    )
    where = "device_id = 7 and ts >= date_trunc('minute', now()) - interval '5 days'"
    tail = (
        "select date_bin('10 minutes', ts, '2000-01-03 00:00+00'), device_id, count(*), "
        "min(temperature), max(temperature), avg(temperature) from bench.readings "
        f"where ts >= '{watermark}' and device_id = 7 group by 1, 2"
    )
    results = []
    for name, end, extra in (("closed range", "1 hour", ""), ("newest rows too", "-1 hour", tail)):
        limits = f"{where} and ts < date_trunc('minute', now()) - interval '{end}'"
        plain = [f"select * from bench.rollup where {limits}"] + ([extra] if extra else [])
        live = [f"select * from bench.rollup_live where {limits}"]
        table, view = in_turns(
            runs, lambda q=plain: run(connection, q), lambda q=live: run(connection, q)
        )
        beside = "table and GROUP BY of the tail" if extra else "table"
        results.append(
            Result(
                f"live view, {partitions} partitions, {name}",
                *(view / table, "x", 1.2),
                f"{milliseconds(view)} beside {milliseconds(table)} ({beside})",
            )
        )
    return results


def scattered(connection: Connection, ranges: int, runs: int) -> Result:
    """Single buckets all over the month, every other one whole, are stale."""
    say(f"making {ranges} stale ranges")
    connection.execute(
        "select silver.invalidate('bench.rollup'::regclass, b.at, b.at + interval '10 minutes') "
        "from (select date_bin('10 minutes', now() - interval '29 days' * i / %s, "
        "'2000-01-03 00:00+00') as at from generate_series(1, %s) as i) as b",
        [ranges, ranges],
    )
    pending = value(
        connection, "select pending_ranges from silver.progress('bench.rollup'::regclass)"
    )
    query = "select count(*), sum(rollup_count) from bench.rollup_live where device_id = 7"
    [took] = in_turns(runs, lambda: run(connection, [query], 1))
    return Result(
        f"live view of the month, {pending} stale ranges",
        *(took * 1000, "ms", 100),
        "one device, all time",
    )


def run(connection: Connection, queries: list[str], repeats: int = REPEATS) -> float:
    """Seconds for one execution of all the queries, planning included."""

    def all_of_them() -> None:
        for _ in range(repeats):
            for query in queries:
                connection.execute(query.encode(), prepare=False).fetchall()

    return seconds(all_of_them) / repeats


if __name__ == "__main__":
    sys.exit(main())
