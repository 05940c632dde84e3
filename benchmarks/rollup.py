"""What a rollup costs beside the plain INSERT ... SELECT ... GROUP BY that it stands for.

    python benchmarks/rollup.py                 # embedded PostgreSQL 18, 4 million rows
    python benchmarks/rollup.py --dsn "host=… dbname=scratch" --runs 7 --json

Both write the same rows into equally shaped tables: same columns, same unique index, same
partitions. The runs are interleaved in one process: a slow moment of the machine meets both.
It creates and drops the schema `bench` and the rollups `bench.*` in the database it is given.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from statistics import median

from common import Connection, arguments, roll_up, say, scratch, settle, step, timed, value
from psycopg import sql

DEVICES = 100
MEASURES = ("temperature", "humidity")
IDLE_STEPS = 50


@dataclass(frozen=True)
class Comparison:
    """One row of the result; times in seconds."""

    name: str
    rows_read: int
    rows_written: int
    plain: float
    rollup: float
    steps: int
    plain_range: tuple[float, float]
    rollup_range: tuple[float, float]

    @property
    def ratio(self) -> float:
        """How many times the plain statement's time the rollup takes."""
        return self.rollup / self.plain


@dataclass(frozen=True)
class Level:
    """One rollup of the ladder and the table that the plain statement fills instead."""

    name: str
    source: str
    target: str
    interval: str
    plain_table: str
    plain_query: str


def main() -> int:
    """Run the benchmark as the command line says and print the result."""
    options = parse_arguments()
    with scratch(options.dsn) as connection:
        say(f"making {options.rows:,} rows")
        seconds = options.rows // DEVICES
        first = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
        first -= timedelta(seconds=math.ceil(seconds / 3600) * 3600)
        make_source(connection, first, seconds, options.type)
        comparisons = [compare(connection, level, options) for level in levels(first, seconds)]
        idle = measure_idle_step(connection, "bench.rollup_1m")
        version = value(connection, "show server_version")
    report(comparisons, idle, version, options)
    return 0


def parse_arguments() -> argparse.Namespace:
    """What to measure, where, and how to print it."""
    parser = arguments(__doc__, 5, rows=4_000_000)
    parser.add_argument(
        "--type",
        choices=("double precision", "real", "numeric", "integer", "bigint"),
        default="double precision",
        help="type of the two measures, default: %(default)s",
    )
    return parser.parse_args()


def make_source(connection: Connection, first: datetime, seconds: int, data_type: str) -> None:
    """One reading a second from each device, until lately: 60 rows in each group of a minute."""
    connection.execute(
        sql.SQL(
            """
            create table bench.readings as
            select {first} + second * interval '1 second' as ts,
                   device as device_id,
                   (20 + 5 * sin(second / 3600.0 + device) + random())::{type} as temperature,
                   (50 + 9 * cos(second / 7200.0 + device) + random())::{type} as humidity
            from   generate_series(0, {seconds} - 1) as second
                   cross join generate_series(1, {devices}) as device
            """
        ).format(
            first=sql.Literal(first),
            type=sql.SQL(data_type),
            seconds=sql.Literal(seconds),
            devices=sql.Literal(DEVICES),
        )
    )
    connection.execute("create index on bench.readings (ts)")
    connection.execute("vacuum analyze bench.readings")


def levels(start: datetime, seconds: int) -> list[Level]:
    """The first level reads the source, the second the first."""
    where = f"where ts >= '{start}' and ts < '{start + timedelta(seconds=seconds)}'"
    first, second = [], []
    for name in MEASURES:
        first += [f"min({name})", f"max({name})", f"sum({name})", f"count({name})"]
        second += [f"min(min_{name})", f"max(max_{name})"]
        second += [f"sum(sum_{name})", f"sum(count_{name})"]
    return [
        Level(
            *("first level, 1 minute", "bench.readings", "bench.rollup_1m", "1 minute"),
            "bench.plain_1m",
            f"select date_bin('1 minute', ts, '2000-01-03 00:00:00+00'), device_id, "
            f"{', '.join(first)}, count(*) from bench.readings {where} group by 1, 2",
        ),
        Level(
            *("second level, 1 hour", "bench.rollup_1m", "bench.rollup_1h", "1 hour"),
            "bench.plain_1h",
            f"select date_bin('1 hour', ts, '2000-01-03 00:00:00+00'), device_id, "
            f"{', '.join(second)}, sum(rollup_count) from bench.rollup_1m {where} group by 1, 2",
        ),
    ]


def compare(connection: Connection, level: Level, options: argparse.Namespace) -> Comparison:
    """Time both, in turns; a first turn that is not counted makes the partitions known."""
    create_rollup(connection, level)
    roll_up(connection, level.target)
    bounds = partition_bounds(connection, level.target)
    create_plain_table(connection, level, bounds)
    run_plain(connection, level)
    must_be_equal(connection, level)

    plain_times, rollup_times, steps = [], [], 0
    for run in range(1, options.runs + 1):
        create_plain_table(connection, level, bounds)
        create_rollup(connection, level)
        # Who comes first alternates: the second finds more of the source in the cache.
        for turn in (run, run + 1):
            settle(connection)
            if turn % 2:
                seconds, _ = timed(lambda: run_plain(connection, level))
                plain_times.append(seconds)
            else:
                seconds, results = timed(lambda: roll_up(connection, level.target))
                rollup_times.append(seconds)
                steps = len(results)
        say(
            f"{level.name}, run {run}: plain {plain_times[-1]:.3f} s, "
            f"rollup {rollup_times[-1]:.3f} s in {steps} steps"
        )
    return Comparison(
        level.name,
        value(connection, f"select count(*) from {level.source}"),
        value(connection, f"select count(*) from {level.target}"),
        median(plain_times),
        median(rollup_times),
        steps,
        (min(plain_times), max(plain_times)),
        (min(rollup_times), max(rollup_times)),
    )


def create_rollup(connection: Connection, level: Level) -> None:
    """Make the rollup anew; nothing is computed yet."""
    if connection.execute("select to_regclass(%s)", [level.target]).fetchone() != (None,):
        connection.execute("select silver.drop_rollup(%s::regclass)", [level.target])
    dimensions = ["device_id"] if level.source == "bench.readings" else None
    connection.execute(
        "select silver.create_rollup_table(%s::regclass, %s, %s::interval, "
        "dimensions => %s::text[])",
        [level.source, level.target, level.interval, dimensions],
    )


def partition_bounds(connection: Connection, target: str) -> list[str]:
    """The bounds of a table's partitions as SQL."""
    found = connection.execute(
        "select pg_get_expr(c.relpartbound, c.oid) from pg_inherits i "
        "join pg_class c on c.oid = i.inhrelid where i.inhparent = %s::regclass",
        [target],
    )
    return [str(bound) for (bound,) in found]


def create_plain_table(connection: Connection, level: Level, bounds: list[str]) -> None:
    """A table like the rollup's, with the same partitions and no rows."""
    plain, target = identifier(level.plain_table), identifier(level.target)
    connection.execute(sql.SQL("drop table if exists {}").format(plain))
    connection.execute(
        sql.SQL("create table {} (like {} including all) partition by range (ts)").format(
            plain, target
        )
    )
    for number, bound in enumerate(bounds):
        connection.execute(
            sql.SQL("create table {} partition of {} {}").format(
                identifier(f"{level.plain_table}_{number}"), plain, sql.SQL(bound)
            )
        )


def run_plain(connection: Connection, level: Level) -> None:
    """The statement that a person would write by hand."""
    columns = ["ts", "device_id"]
    for name in MEASURES:
        columns += [f"{kind}_{name}" for kind in ("min", "max", "sum", "count")]
    insert = f"insert into {level.plain_table} ({', '.join(columns)}, rollup_count) "
    connection.execute((insert + level.plain_query).encode())


def must_be_equal(connection: Connection, level: Level) -> None:
    """A rollup that is fast and wrong is not worth measuring."""
    different = connection.execute(
        f"select count(*) from ((table {level.target} except table {level.plain_table}) "
        f"union all (table {level.plain_table} except table {level.target})) as x".encode()
    ).fetchone()
    if different != (0,):
        sys.exit(f"{level.target} differs from the plain statement in {different} rows")


def measure_idle_step(connection: Connection, target: str) -> float:
    """A step of a rollup that has nothing to do."""
    return median(timed(lambda: step(connection, target))[0] for _ in range(IDLE_STEPS))


def identifier(qualified: str) -> sql.Identifier:
    """`schema.name` as an identifier; the names here need no quotes."""
    return sql.Identifier(*qualified.split("."))


def report(
    comparisons: list[Comparison], idle: float, version: str, options: argparse.Namespace
) -> None:
    """Print the medians and the ratio."""
    if options.json:
        rows = [asdict(row) | {"ratio": row.ratio} for row in comparisons]
        result = {"server": version, "type": options.type, "runs": options.runs}
        print(json.dumps(result | {"idle_step": idle, "comparisons": rows}, indent=2))
        return
    print(f"PostgreSQL {version}, {options.type}, medians of {options.runs} interleaved runs")
    print(
        f"{'':24}{'rows read':>12}{'groups':>10}{'steps':>7}{'plain':>10}{'rollup':>10}{'ratio':>8}"
    )
    for row in comparisons:
        print(
            f"{row.name:24}{row.rows_read:>12,}{row.rows_written:>10,}{row.steps:>7}"
            f"{row.plain:>8.3f} s{row.rollup:>8.3f} s{row.ratio:>8.2f}"
        )
    print(f"a step with nothing to do: {idle * 1000:.2f} ms")


if __name__ == "__main__":
    sys.exit(main())
