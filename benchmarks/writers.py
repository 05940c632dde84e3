"""What late-change tracking costs those who write to a source.

    python benchmarks/writers.py                 # embedded PostgreSQL 18
    python benchmarks/writers.py --dsn "host=… dbname=scratch" --json

The same rows go into two equal tables in turns; one is the source of a rollup and carries its
triggers. Late rows are 20 days old, in order of time, of a fleet of devices.

Single rows are measured as PostgreSQL is set by default, where each commit waits for the disk, and
without that wait, which leaves nothing but the statement. There it shows what any row trigger
costs: PostgreSQL reads the condition of a trigger from its text for every statement anew. So a
third table has a trigger whose condition compares one number and is never true.
"""

from __future__ import annotations

import sys
from functools import partial

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
    settle,
    value,
)

DEVICES = 100
TABLES = ("bench.plain", "bench.tracked", "bench.with_idle_trigger")
PENDING = "select tsconsole.pending_table(max(id)) from silver.timeseries_rollup_config"
AGO = "date_trunc('day', now()) - interval '20 days'"


def main() -> int:
    """Run the benchmark as the command line says and print the result."""
    options = arguments(__doc__, 5, rows=1_000_000, inserts=2000).parse_args()
    with scratch(options.dsn) as connection:
        make(connection)
        on_time = copied(connection, options.rows, "now() + interval '1 hour'", "1 microsecond")
        late = copied(connection, options.rows, AGO, "86400 s", span=True)
        results = [
            single_rows(connection, options.inserts // 10, options.runs * 3, durable=True),
            single_rows(connection, options.inserts, options.runs * 3, durable=False),
            copies(connection, "COPY on time", on_time, options.runs, 1.2),
            copies(connection, "COPY late, in order of time", late, options.runs, 2.5),
            copies(connection, "COPY late, in a bulk load", late, options.runs, 1.5, bulk=True),
        ]
        report(connection, results, options.json)
    return 0


def make(connection: Connection) -> None:
    """Equal tables of 30 days; the tracked one is rolled up by hour and device."""
    for table in TABLES:
        connection.execute(
            f"create table {table} (ts timestamptz, device_id integer, v float8);"
            f"create index on {table} (ts); insert into {table} select now() - interval '30 days' "
            f"* i / 100000, i % {DEVICES}, i from generate_series(0, 99999) as i".encode()
        )
    connection.execute(
        "select silver.create_rollup_table('bench.tracked', 'bench.rollup', '1 hour', "
        "dimensions => '{device_id}', chunk_interval => '7 days')"
    )
    roll_up(connection, "bench.rollup")
    connection.execute(
        "create trigger idle after insert on bench.with_idle_trigger for each row "
        "when (new.device_id < 0) execute function tsconsole.never_called()"
    )


def copied(
    connection: Connection, rows: int, start: str, step: str, span: bool = False
) -> list[bytes]:
    """The rows as COPY reads them; with `span` the step is spread over all of them."""
    say(f"preparing {rows:,} rows from {start}")
    width = f"interval '{step}' * (i{' / ' + str(float(rows)) if span else ''})"
    query = (
        f"copy (select {start} + {width}, i % {DEVICES}, i from generate_series(0, {rows - 1}) "
        "as i) to stdout"
    )
    with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        lines = b"".join(bytes(block) for block in copy)
    size = 1 << 20
    return [lines[at : at + size] for at in range(0, len(lines), size)]


def single_rows(connection: Connection, inserts: int, runs: int, durable: bool) -> Result:
    """One statement, one transaction, one row, which is on time; durable: on disk by its commit."""
    connection.execute(f"set synchronous_commit = {'on' if durable else 'off'}".encode())

    def insert(table: str) -> float:
        def all_of_them() -> None:
            query = f"insert into {table} values (clock_timestamp(), %s, 1)".encode()
            for number in range(inserts):
                connection.execute(query, [number % DEVICES], prepare=True)

        return seconds(all_of_them) / inserts

    plain, tracked, idle = in_turns(runs, *(partial(insert, table) for table in TABLES))
    detail = (
        f"{tracked * 1e6:.0f} µs beside {plain * 1e6:.0f} µs; "
        f"with a trigger that never fires {idle * 1e6:.0f} µs"
    )
    name = "single-row INSERT on time" if durable else "  without waiting for the disk"
    return Result(name, tracked / plain, "x", 1.05, detail)


def copies(
    connection: Connection, name: str, lines: list[bytes], runs: int, aim: float, bulk: bool = False
) -> Result:
    """The same COPY into both tables, rolled back outside the clock."""

    pending = value(connection, PENDING)

    def copy(table: str) -> float:
        settle(connection)
        with connection.transaction(force_rollback=True):
            took = seconds(lambda: load(connection, table, lines, bulk and table == TABLES[1]))
        connection.execute(f"vacuum {table}".encode())
        connection.execute(f"vacuum {pending}".encode())
        return took

    plain, tracked = in_turns(runs, lambda: copy(TABLES[0]), lambda: copy(TABLES[1]))
    detail = f"{milliseconds(tracked)} beside {milliseconds(plain)}"
    return Result(name, tracked / plain, "x", aim, detail)


def load(connection: Connection, table: str, lines: list[bytes], bulk: bool) -> None:
    """Copy the rows, in a declared bulk load or not."""
    if bulk:
        connection.execute(
            "select silver.bulk_load(%s::regclass, date_trunc('day', now()) - interval '20 days', "
            "date_trunc('day', now()) - interval '19 days')",
            [table],
        )
    with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin".encode()) as copy:
        for block in lines:
            copy.write(block)


if __name__ == "__main__":
    sys.exit(main())
