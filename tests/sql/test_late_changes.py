"""Late inserts, updates, deletes and TRUNCATE, on every kind of source: found, exactly."""

from __future__ import annotations

import re

import psycopg
import pytest
from sql.support import assert_same, call_run, clear_of_midnight, create, perform, value

AGO = "date_trunc('day', now()) - interval '20 days'"
PARTITIONS = "select count(*) from pg_inherits where inhparent = 'silver.by_device'::regclass"

TIME_TYPES = {
    "timestamptz": ("timestamptz", "1 hour", "date_bin('1 hour', ts, '2000-01-03 00:00+00')"),
    "timestamp": ("timestamp", "1 hour", "date_bin('1 hour', ts, timestamp '2000-01-03')"),
    "date": ("date", "1 day", "ts"),
}


def make(db: psycopg.Connection, kind: str, partitioned: bool) -> str:
    """A source with 20 days of rows and two rollups, all rolled up. Returns its bucket in SQL."""
    clear_of_midnight(db)
    time_type, width, bucket = TIME_TYPES[kind]
    db.execute("set timezone = 'UTC'")
    if partitioned:
        db.execute(
            f"create table raw.src (ts {time_type}, device integer, v integer) "
            "partition by range (ts);"
            "create table raw.src_old partition of raw.src for values from (minvalue) to "
            f"('{db.execute(f'select ({AGO} + interval $$10 days$$)::date').fetchone()[0]}');"  # type: ignore[index]
            "create table raw.src_new partition of raw.src default"
        )
    else:
        db.execute(f"create table raw.src (ts {time_type}, device integer, v integer)")
    db.execute("create index on raw.src (ts)")
    db.execute(
        f"insert into raw.src select {AGO} + i * interval '11 minutes', nullif(i % 4, 3), i "
        "from generate_series(1, 2500) i"
    )
    db.execute(
        "select silver.create_rollup_table('raw.src', 'by_device', %s, dimensions := '{device}')",
        [width],
    )
    db.execute("select silver.create_rollup_table('raw.src', 'in_all', '1 month')")
    run(db)
    return bucket


def run(db: psycopg.Connection) -> list[tuple[str, str, int]]:
    steps = db.execute(
        "select target_table::text, work, rows_written from silver.perform_rollup('raw.src') "
        "where outcome = 'done'"
    ).fetchall()
    waiting = db.execute("select * from silver.timeseries_retry_queue").fetchall()
    assert waiting == []
    return steps


def unequal(db: psycopg.Connection, bucket: str, view: str) -> int:
    truth = f"select {bucket}, device, count(*), sum(v), min(v), max(v) from raw.src group by 1, 2"
    found = f"select ts, device, rollup_count, sum_v, min_v, max_v from silver.{view}"
    row = db.execute(
        f"select count(*) from (({truth} except all {found}) union all ({found} except all "
        f"{truth})) d"
    ).fetchone()
    assert row is not None
    return int(row[0])


CHANGES = {
    "insert": f"insert into raw.src values ({AGO} + interval '3 days', 1, 10), "
    f"({AGO} + interval '13 days', null, 11)",
    "many series": f"insert into raw.src select {AGO} + interval '3 days', i, i "
    "from generate_series(1, 50) i",
    "update a value": f"update raw.src set v = v + 1 where ts < {AGO} + interval '1 day'",
    "move to another bucket": f"update raw.src set ts = ts + interval '12 days' "
    f"where ts < {AGO} + interval '1 day' and device = 2",
    "move to another series": f"update raw.src set device = 9 where ts < {AGO} + interval '1 day'",
    "delete": f"delete from raw.src where ts < {AGO} + interval '2 days'",
    "truncate": "truncate raw.src",
    "odd times": "insert into raw.src values (null, 1, 1), ('infinity', 1, 1), "
    f"('-infinity', 1, 1), ({AGO}, 1, 5); "
    "delete from raw.src where ts is null or not isfinite(ts)",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("partitioned", [False, True], ids=["plain", "partitioned"])
@pytest.mark.parametrize("kind", TIME_TYPES)
def test_late_changes_are_live_at_once_and_stored_by_the_next_step(
    db: psycopg.Connection, kind: str, partitioned: bool, change: str
) -> None:
    bucket = make(db, kind, partitioned)
    assert unequal(db, bucket, "by_device") == 0
    db.execute(CHANGES[change])
    assert unequal(db, bucket, "by_device_live") == 0
    run(db)
    assert unequal(db, bucket, "by_device") == 0
    assert unequal(db, bucket, "by_device_live") == 0
    assert db.execute("select * from silver.verify_rollup('silver.in_all')").fetchall() == []


def test_only_what_changed_is_written(db: psycopg.Connection) -> None:
    make(db, "timestamptz", partitioned=True)
    db.execute(CHANGES["insert"])
    written = sum(rows for target, work, rows in run(db) if target == "silver.by_device")
    assert written == 2


def test_writing_to_a_partition_directly(db: psycopg.Connection) -> None:
    bucket = make(db, "timestamptz", partitioned=True)
    db.execute(f"insert into raw.src_old values ({AGO} + interval '3 days', 1, 10)")
    assert unequal(db, bucket, "by_device_live") == 0
    run(db)
    assert unequal(db, bucket, "by_device") == 0


def test_a_late_row_after_a_step_of_the_same_transaction(db: psycopg.Connection) -> None:
    bucket = make(db, "timestamptz", partitioned=False)
    with db.transaction():
        db.execute(CHANGES["insert"])
        run(db)
        db.execute(CHANGES["insert"])
    run(db)
    assert unequal(db, bucket, "by_device") == 0


def test_a_bulk_load_is_logged_once(db: psycopg.Connection) -> None:
    bucket = make(db, "timestamptz", partitioned=False)
    with db.transaction():
        db.execute(
            f"select silver.bulk_load('raw.src', {AGO} + interval '1 day', "
            f"{AGO} + interval '9 days')"
        )
        db.execute(
            f"insert into raw.src select {AGO} + interval '1 day' + i * interval '1 minute', i % 4,"
            " i from generate_series(1, 9000) i"
        )
        db.execute(f"insert into raw.src values ({AGO} + interval '15 days', 1, 10)")
    entries = db.execute("select all_series from tsconsole.pending_1").fetchall()
    assert sorted(entries) == [(False,), (True,)]
    assert unequal(db, bucket, "by_device_live") == 0
    run(db)
    assert unequal(db, bucket, "by_device") == 0


def test_a_bulk_load_that_no_rollup_reads(db: psycopg.Connection) -> None:
    db.execute("create table raw.other (ts timestamptz)")
    heard: list[str] = []
    db.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
    assert value(db, "select silver.bulk_load('raw.other', '2025-03-01Z', '2025-03-02Z')") == 0
    assert heard == ["no rollup reads raw.other, so nothing was queued"]


def test_an_update_that_moves_many_rows_logs_each_bucket_a_few_times(
    db: psycopg.Connection,
) -> None:
    """Each row leaves one bucket and comes to another, and the devices alternate."""
    bucket = make(db, "timestamptz", partitioned=False)
    db.execute(
        f"insert into raw.src select {AGO} + i * interval '10 seconds', i % 8, i "
        "from generate_series(1, 9000) i"
    )
    run(db)
    db.execute(f"update raw.src set ts = ts + interval '3 days' where ts < {AGO} + interval '25 h'")
    # Some 26 hours are left and as many filled, each logged for a few devices and then whole.
    pending = db.execute("select count(*) from tsconsole.pending_1").fetchone()[0]
    assert pending < 1000
    run(db)
    assert unequal(db, bucket, "by_device") == 0


def test_two_rollups_on_different_time_columns(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.two (ts timestamptz, wall timestamp, v integer);"
        "insert into raw.two "
        "select now() - interval '3 days', localtimestamp - interval '2 days', 1"
    )
    for column in ("ts", "wall"):
        db.execute(
            "select silver.create_rollup_table('raw.two', %s, '1 hour', time_column := %s, "
            'measures := \'{"v": ["sum"]}\')',
            ["by_" + column, column],
        )
    db.execute("select * from silver.perform_rollup('raw.two')")
    db.execute("update raw.two set v = 5, wall = wall - interval '5 hours'")
    db.execute("select * from silver.perform_rollup('raw.two')")
    for column in ("ts", "wall"):
        rows = db.execute(f"select sum_v from silver.by_{column}").fetchall()
        assert rows == [(5,)], column


def test_a_late_series_is_read_by_an_index_on_dimension_and_time(db: psycopg.Connection) -> None:
    """Whether the value is null or not; a step that reads the fleet to find one device is none."""
    make(db, "timestamptz", partitioned=False)
    db.execute(
        f"insert into raw.src select {AGO} + i * interval '20 s', 100 + i % 997, i "
        "from generate_series(1, 40000) i; create index on raw.src (device, ts); analyze raw.src"
    )
    plan = db.execute(
        "select tsconsole.aggregate_query(c, 'series.lo', 'series.hi', '', "
        "tsconsole.same_series(c, 'series')) from silver.timeseries_rollup_config c "
        "where c.target_table = 'silver.by_device'::regclass"
    ).fetchone()
    assert plan is not None
    series = f"(select {AGO} as lo, now() as hi, i as d1 from generate_series(100, 102) i) series"
    lines = db.execute(
        f"explain select q.* from {series} cross join lateral ({plan[0]}) q"
    ).fetchall()
    conditions = [line.strip() for (line,) in lines if "Index Cond" in line]
    assert any("(device = i.i)" in condition for condition in conditions), lines
    assert any("(device IS NULL)" in condition for condition in conditions), lines


def recompute_plan(db: psycopg.Connection, target: str, only_series: bool) -> list[str]:
    """Run the statement of a recompute step on all that is pending; the lines of its plan."""
    query, pending = db.execute(
        "select tsconsole.recompute_query(c, %s), tsconsole.pending_table(c.id) "
        "from silver.timeseries_rollup_config c where c.target_table = %s::regclass",
        [only_series, target],
    ).fetchall()[0]
    entries, lo, hi = db.execute(
        f"select array_agg(ctid)::text, min(lo)::text, max(hi)::text from {pending}"
    ).fetchall()[0]
    for place, text in {
        "$1": f"timestamptz '{lo}'",
        "$2": f"timestamptz '{hi}'",
        "$3": f"'{entries}'::tid[]",
        "$4": "tstzmultirange '{}'",
    }.items():
        query = query.replace(place, text)
    return [line for (line,) in db.execute("explain (analyze, costs off) " + query).fetchall()]


@pytest.mark.parametrize("only_series", [False, True])
def test_a_late_series_is_looked_up_in_the_target_by_its_unique_index(
    db: psycopg.Connection, only_series: bool
) -> None:
    """For each bucket of it, not read among all the series of that bucket."""
    db.execute(
        "create table raw.src (ts timestamptz, device integer);"
        f"insert into raw.src select {AGO} + i / 500 * interval '1 hour', i % 500 "
        "from generate_series(0, 9999) i; create index on raw.src (device, ts)"
    )
    db.execute(
        "select silver.create_rollup_table('raw.src', 'r', '1 hour', dimensions := '{device}')"
    )
    perform(db)
    db.execute(f"analyze silver.r; insert into raw.src select {AGO} + i * interval '1 hour', 7 "
               "from generate_series(0, 19) i")  # fmt: skip
    lines = recompute_plan(db, "silver.r", only_series)
    read_in_vain = [int(line.split(":")[1]) for line in lines if "Rows Removed by" in line]
    assert sum(read_in_vain) <= 100, lines


@pytest.mark.parametrize("width", ["15 minutes", "1 hour", "1 day", "1 month"])
def test_all_rows_go_from_a_rollup_of_a_named_zone_and_come_again(
    db: psycopg.Connection, width: str
) -> None:
    """The range of all times there are has too many buckets for their edges to be made."""
    db.execute("create table raw.src (ts timestamptz, v integer); create index on raw.src (ts)")
    fill = (
        "insert into raw.src select timestamptz '2025-03-29Z' + i * interval '7 minutes', i "
        "from generate_series(1, 500) i"
    )
    create(db, "raw.src", "r", width, timezone="Europe/Berlin")
    db.execute("set statement_timeout = '20s'")
    for change in (fill, "truncate raw.src", fill):
        db.execute(change)
        perform(db)
        assert_same(
            db,
            f"select silver.time_bucket('{width}', ts, 'Europe/Berlin'), sum(v) "
            "from raw.src group by 1",
            "select ts, sum_v from silver.r",
        )


def test_a_late_row_where_there_is_no_partition_yet(db: psycopg.Connection) -> None:
    """A few late rows of single series are computed at once; their partition is made on the way."""
    bucket = make(db, "timestamptz", partitioned=False)
    before = value(db, PARTITIONS)
    long_ago = f"{AGO} - interval '400 days'"
    db.execute(f"insert into raw.src select {long_ago}, 1, 5")
    steps = call_run(db, "silver.by_device")
    assert [(step["work"], step["outcome"], step["rows_written"]) for step in steps] == [
        ("recompute", "done", 1)
    ]
    after = value(db, PARTITIONS)
    assert after == before + 1
    assert unequal(db, bucket, "by_device") == 0
    assert value(db, "select count(*) from silver.timeseries_error_log") == 0


def test_a_series_that_sends_a_day_late_is_read_in_one_go(db: psycopg.Connection) -> None:
    """Its buckets follow each other; those of another, and after a gap, are read by themselves."""
    bucket = make(db, "timestamptz", partitioned=False)
    db.execute(
        f"insert into raw.src select {AGO} + i * interval '30 minutes', device, i "
        "from generate_series(0, 47) i, unnest('{0,null}'::integer[]) device where i / 12 <> 2"
    )
    with db.transaction(force_rollback=True):
        plan = recompute_plan(db, "silver.by_device", only_series=True)
    runs = [line for line in plan if "CTE Scan on runs" in line]
    assert len(runs) == 1 and re.search(r"rows=4(\.00)? loops=1\b", runs[0]), plan
    assert [step["rows_written"] for step in call_run(db, "silver.by_device")] == [36]
    assert unequal(db, bucket, "by_device") == 0


@pytest.mark.parametrize(
    ("devices", "buckets", "invalidated", "only_series"),
    [(1, 40, False, True), (5, 19, False, True), (6, 1, False, False), (1, 101, False, False),
     (1, 5, True, False)],
)  # fmt: skip
def test_a_few_late_series_take_a_shorter_statement(
    db: psycopg.Connection, devices: int, buckets: int, invalidated: bool, only_series: bool
) -> None:
    """A hundred at most, five in a bucket, and no range of all series; the result is the same."""
    bucket = make(db, "timestamptz", partitioned=False)
    db.execute(
        f"insert into raw.src select {AGO} + i * interval '1 hour', device, 7 "
        f"from generate_series(1, {devices}) device, generate_series(1, {buckets}) i"
    )
    # Another bucket loses a series, whose row has to go.
    db.execute(f"delete from raw.src where device = 2 and ts < {AGO} + interval '1 hour'")
    if invalidated:
        db.execute(f"select silver.invalidate('silver.by_device', {AGO}, {AGO} + interval '1 h')")
    found = value(
        db,
        "select (tsconsole.choose_series(c)).only_series from "
        "silver.timeseries_rollup_config c where target_table = 'silver.by_device'::regclass",
    )
    call_run(db, "silver.by_device", raise_failures=True)
    assert unequal(db, bucket, "by_device") == 0
    assert found is only_series


def test_what_history_kept_back_is_done_when_its_rows_are_gone(db: psycopg.Connection) -> None:
    """History without rows ends without a run; the late range behind it is of the same call."""
    db.execute("create table raw.src (ts timestamptz, v integer); create index on raw.src (ts)")
    db.execute(
        f"insert into raw.src select {AGO} + i * interval '1 h', i from generate_series(1, 50) i"
    )
    create(db, "raw.src", "r", "1 hour")
    db.execute(f"select silver.invalidate('silver.r', {AGO}, {AGO} + interval '5 days')")
    db.execute("truncate raw.src")
    call_run(db, "silver.r", raise_failures=True)
    left = "select pending_ranges from silver.timeseries_operations_monitor"
    assert value(db, left) == 0
    assert value(db, "select count(*) from silver.r_live") == 0


def test_a_few_late_rows_look_at_no_list_of_all_partitions(db: psycopg.Connection) -> None:
    """A target may have thousands; those of single series are found by what is written to them."""
    bucket = make(db, "timestamptz", partitioned=False)
    db.execute(
        "alter function tsconsole.partitions(regclass) rename to listed;"
        "create function tsconsole.partitions(parent regclass) returns table "
        "(partition regclass, range_start timestamptz, range_end timestamptz) language plpgsql "
        "as $$ begin perform set_config('test.listed', parent::text, false); "
        "return query select * from tsconsole.listed(parent); end $$"
    )
    db.execute(f"insert into raw.src select {AGO} + interval '3 hours', 1, 5")
    assert [step["outcome"] for step in call_run(db, "silver.by_device")] == ["done"]
    assert unequal(db, bucket, "by_device") == 0
    assert value(db, "select current_setting('test.listed', true)") is None
