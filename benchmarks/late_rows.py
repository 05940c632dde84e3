"""What late rows cost: ten over millions, one series of a thousand for a day, and a long backlog.

    python benchmarks/late_rows.py                 # embedded PostgreSQL 18, 4 million rows
    python benchmarks/late_rows.py --dsn "host=… dbname=scratch" --json

The rollup is compared with its source at the end, outside the clock.
"""

from __future__ import annotations

import sys
from statistics import median

from common import (
    Connection,
    Result,
    arguments,
    milliseconds,
    report,
    roll_up,
    say,
    scratch,
    step,
    timed,
    value,
)

SERIES = 1000
DAYS = 10


def main() -> int:
    """Run the benchmark as the command line says and print the result."""
    options = arguments(__doc__, 5, rows=4_000_000).parse_args()
    with scratch(options.dsn) as connection:
        make(connection, options.rows)
        results = [
            ten_rows(connection, options.runs),
            late_day(connection, options.runs),
            backlog(connection, options.runs),
        ]
        check(connection)
        report(connection, results, options.json)
    return 0


def make(connection: Connection, rows: int) -> None:
    """A thousand series for ten days, each row at its own moment, rolled up by hour."""
    say(f"making {rows:,} rows")
    connection.execute(
        "create table bench.readings as "
        f"select date_trunc('day', now()) - interval '{DAYS} days' * i / %s as ts, "
        f"i %% {SERIES} as series_id, (i %% 977)::float8 as temperature "
        "from generate_series(1, %s) as i",
        [rows, rows],
    )
    connection.execute("create index on bench.readings (ts)")
    connection.execute("create index on bench.readings (series_id, ts)")
    connection.execute("vacuum analyze bench.readings")
    say("rolling up")
    connection.execute(
        "select silver.create_rollup_table('bench.readings', 'bench.rollup', '1 hour', "
        "dimensions => '{series_id}', chunk_interval => '1 day')"
    )
    roll_up(connection, "bench.rollup")
    connection.execute("vacuum analyze bench.rollup")


def ten_rows(connection: Connection, runs: int) -> Result:
    """The step after ten late rows of ten series, at ten moments far from each other."""
    taken = []
    for run in range(runs + 1):
        connection.execute(
            "insert into bench.readings select date_trunc('day', now()) - interval '1 day' "
            f"* (i * {DAYS} / 11.0) - interval '1 minute' * {run}, i * 97, 1 "
            "from generate_series(1, 10) as i"
        )
        took, steps = timed(lambda: step(connection, "bench.rollup"))
        assert [(one["work"], one["rows_written"]) for one in steps] == [("recompute", 10)], steps
        if run:
            taken.append(took)
    detail = f"{value(connection, 'select count(*) from bench.readings'):,} rows"
    return Result("ten scattered late rows, one step", median(taken) * 1000, "ms", 30, detail)


def late_day(connection: Connection, runs: int) -> Result:
    """One series sends a day late, beside the day of all series computed again."""
    one_series, everything = [], []
    for run in range(runs + 1):
        connection.execute(
            "insert into bench.readings select date_trunc('day', now()) - interval '5 days' "
            f"+ interval '5 minutes' * i, {run + 1}, 7 from generate_series(0, 287) as i"
        )
        late, steps = timed(lambda: roll_up(connection, "bench.rollup"))
        assert sum(one["rows_written"] for one in steps) == 24, steps
        connection.execute(
            "select silver.invalidate('bench.rollup'::regclass, "
            "date_trunc('day', now()) - interval '5 days', "
            "date_trunc('day', now()) - interval '4 days')"
        )
        whole, _ = timed(lambda: roll_up(connection, "bench.rollup"))
        if run:
            one_series.append(late)
            everything.append(whole)
    share = median(one_series) / median(everything) * 100
    detail = f"{milliseconds(median(one_series))} beside {milliseconds(median(everything))}"
    return Result(f"a late day of one of {SERIES} series, beside all", share, "%", 2, detail)


def backlog(connection: Connection, runs: int) -> Result:
    """Late rows of a day that were each committed by themselves, ten times as many of them."""
    few, many = [], []
    for run in range(runs + 1):
        for rows, taken in ((2_000, few), (20_000, many)):
            connection.execute(
                f"do $$ begin for i in 1 .. {rows} loop "
                "insert into bench.readings values (date_trunc('day', now()) - interval '5 days' "
                f"+ interval '1 day' * random(), i % {SERIES}, 7); commit; end loop; end $$"
            )
            took, _ = timed(lambda: roll_up(connection, "bench.rollup"))
            if run:
                taken.append(took)
    detail = f"{milliseconds(median(many))} beside {milliseconds(median(few))}"
    name = "20,000 late rows one by one, beside 2,000"
    return Result(name, median(many) / median(few), "x", 10, detail)


def check(connection: Connection) -> None:
    """A rollup that is fast and wrong is not worth measuring."""
    different = connection.execute(
        "select * from silver.verify_rollup('bench.rollup'::regclass, now() - interval '7 days')"
    ).fetchall()
    if different:
        sys.exit(f"the rollup differs from its source: {different[:3]}")


if __name__ == "__main__":
    sys.exit(main())
