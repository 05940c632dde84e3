"""Whether steps and the monitor slow down with age: many windows, many rollups, long logs.

    python benchmarks/age.py                 # embedded PostgreSQL 18
    python benchmarks/age.py --dsn "host=… dbname=scratch" --json

A step of a young rollup is timed beside one of an equal rollup that has ten thousand windows behind
it in the log; the monitor with a thousand rollups and a million rows in the logs.
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
    step,
)

LOG = """
    insert into silver.timeseries_refresh_log (rollup_id, table_name, work, start_time, end_time,
        records_processed, window_start, window_end, rows_read, rows_written, rows_deleted)
    select c.id, c.target_name, 'frontier', now() - i * interval '1 minute',
           now() - i * interval '1 minute' + interval '50 ms', 1000,
           now() - (i + 1) * interval '1 minute', now() - i * interval '1 minute', 1000, 10, 0
      from generate_series(%s, 1, -1) as i, silver.timeseries_rollup_config as c
     where c.target_name ~ %s
"""


def main() -> int:
    """Run the benchmark as the command line says and print the result."""
    sizes = {"windows": 10_000, "rollups": 1000, "log_rows": 1_000_000}
    options = arguments(__doc__, 15, **sizes).parse_args()
    with scratch(options.dsn) as connection:
        make(connection)
        say(f"adding {options.windows:,} windows to the log of one of two equal rollups")
        connection.execute(LOG, [options.windows, "bench.old$"])
        connection.execute("analyze silver.timeseries_refresh_log")
        young, old = in_turns(
            options.runs,
            lambda: late_step(connection, "bench.young"),
            lambda: late_step(connection, "bench.old"),
        )
        results = [
            Result(
                f"a step after {options.windows:,} windows, beside one after 10",
                *(old / young, "x", 1.2),
                f"{milliseconds(old)} beside {milliseconds(young)}",
            )
        ]
        make_many(connection, options.rollups, options.log_rows)
        took = time_monitor(connection, options.runs)
        due = time_due(connection, options.runs)
        idle = time_idle(connection, options.runs)
        crowd = f"{options.rollups:,} rollups, {options.log_rows:,} log rows"
        results.append(Result("the monitor", took * 1000, "ms", 20, crowd))
        results.append(Result("what is due, and when the next", due * 1000, "ms", 30, crowd))
        results.append(Result("a step with nothing to do", idle * 1000, "ms", 2, crowd))
        report(connection, results, options.json)
    return 0


def make(connection: Connection) -> None:
    """Two days of readings, and two equal rollups by minute with ten windows each."""
    connection.execute(
        "create table bench.readings as select now() - interval '2 days' + i * interval '1 s' "
        "as ts, i % 10 as device_id, i::float8 as v from generate_series(0, 172000) as i;"
        "create index on bench.readings (ts); analyze bench.readings"
    )
    for name in ("bench.young", "bench.old"):
        connection.execute(
            "select silver.create_rollup_table('bench.readings', %s, '1 minute', dimensions => "
            "'{device_id}', chunk_interval => '1 day', processing_window => '5 hours')",
            [name],
        )
        roll_up(connection, name)


def late_step(connection: Connection, target: str) -> float:
    """Seconds of a step that recomputes one minute."""
    connection.execute(
        "insert into bench.readings values (date_trunc('minute', now()) - interval '5 hours', 3, 1)"
    )
    return seconds(lambda: step(connection, target))


def make_many(connection: Connection, rollups: int, log_rows: int) -> None:
    """A thousand rollups, each with its share of the log."""
    say(f"making {rollups:,} rollups")
    for first in range(0, rollups, 100):
        connection.execute(
            f"create table bench.s{first} (ts timestamptz, d int, v int);"
            f"create index on bench.s{first} (ts)".encode()
        )
        connection.execute(
            "select silver.create_rollup_table(%s::text::regclass, 'bench.many_' || i, '1 hour', "
            "dimensions => '{d}') from generate_series(%s::int, %s) as i",
            [f"bench.s{first}", first + 1, min(first + 100, rollups)],
        )
    # As rollups are that have worked: how far they are behind is asked of each.
    connection.execute(
        "update silver.timeseries_rollup_config set last_processed_time = "
        "date_trunc('hour', now()) where target_name like 'bench.many%'"
    )
    say(f"adding {log_rows:,} rows to the log")
    connection.execute(LOG, [log_rows // rollups, "bench.many_"])
    connection.execute("vacuum analyze silver.timeseries_refresh_log")
    connection.execute("vacuum analyze silver.timeseries_rollup_config")


def time_monitor(connection: Connection, runs: int) -> float:
    """Seconds of the whole monitor view."""
    query = "select * from silver.timeseries_operations_monitor"
    return in_turns(runs, lambda: seconds(lambda: connection.execute(query).fetchall()))[0]


def time_due(connection: Connection, runs: int) -> float:
    """Seconds of what a worker asks between steps."""
    query = "select * from tsconsole.due_rollups(), tsconsole.seconds_to_next()"
    return in_turns(runs, lambda: seconds(lambda: connection.execute(query).fetchall()))[0]


def time_idle(connection: Connection, runs: int) -> float:
    """Seconds of a step that finds nothing to do, among all the others."""
    return in_turns(runs * 3, lambda: seconds(lambda: step(connection, "bench.young")))[0]


if __name__ == "__main__":
    sys.exit(main())
