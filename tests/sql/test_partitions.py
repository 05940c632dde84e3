"""Partitions of targets: exactly those a window needs, always in their place, never in the way."""

from __future__ import annotations

import random
import threading
import time
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from sql.partition_support import UTC, Connect, Connection, at, ensure, make_rollup, ranges


@pytest.mark.parametrize("style", ["ISO, YMD", "SQL, DMY", "German, DMY", "Postgres, MDY"])
def test_bounds_are_read_in_every_session(db: Connection, style: str) -> None:
    """MINVALUE, MAXVALUE, BC and every time type, whatever DateStyle and TimeZone are."""
    db.execute("select set_config('datestyle', %s, false)", [style])
    db.execute("set timezone = 'Asia/Kolkata'")
    for kind, low in (
        ("timestamptz", "2026-03-02 00:00:00+00"),
        ("timestamp", "2026-03-02"),
        ("date", "2026-03-02"),
    ):
        db.execute(f"create table raw.{kind}_p (ts {kind}) partition by range (ts)")
        db.execute(
            f"create table raw.{kind}_1 partition of raw.{kind}_p"
            f" for values from (minvalue) to ('{low}')"
        )
        db.execute(
            f"create table raw.{kind}_2 partition of raw.{kind}_p"
            f" for values from ('{low}') to (maxvalue)"
        )
        found = db.execute(
            "select partition::text, range_start::text, range_end::text,"
            " range_end = '2026-03-02 00:00Z', range_start = '2026-03-02 00:00Z'"
            f" from tsconsole.partitions('raw.{kind}_p') order by range_start"
        ).fetchall()
        assert [row[0] for row in found] == [f"raw.{kind}_1", f"raw.{kind}_2"]
        assert found[0][1] == "-infinity"
        assert found[0][3] is True
        assert found[1][2] == "infinity"
        assert found[1][4] is True


def test_other_partitions_have_no_range(db: Connection) -> None:
    """Default, list and hash partitions have none. Of several key columns the first counts.

    With its last value it is still in the partition, as far as the second says.
    """
    db.execute(
        """
        create table raw.a (ts timestamptz, id int) partition by range (ts, id);
        create table raw.a_1 partition of raw.a for values from ('2026-01-01 00:00Z',
            5) to ('2026-02-01 00:00Z', 7);
        create table raw.a_default partition of raw.a default;
        create table raw.b (id text) partition by list (id);
        create table raw.b_1 partition of raw.b for values in ('2026-01-01');
        create table raw.c (id int) partition by hash (id);
        create table raw.c_1 partition of raw.c for values with (modulus 1, remainder 0);
        create table raw.d (id int) partition by range (id);
        create table raw.d_1 partition of raw.d for values from (1) to (2026);
        """
    )
    assert ranges(db, "raw.a") == [
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, microsecond=1, tzinfo=UTC)),
        (None, None),
    ]
    for table in ("raw.b", "raw.c", "raw.d"):
        assert ranges(db, table) == [(None, None)]


@pytest.mark.parametrize("time_type", ["timestamptz", "timestamp", "date"])
def test_partitions_for_exactly_the_window(db: Connection, time_type: str) -> None:
    """Always in their partition: those of the window are made, no more, and once."""
    db.execute("set timezone = 'America/New_York'")
    rollup = make_rollup(db, time_type)
    assert ensure(db, rollup, at(3, 23), at(5, 1)) == 3
    assert ranges(db) == [(at(3), at(4)), (at(4), at(5)), (at(5), at(6))]
    assert ensure(db, rollup, at(3), at(6)) == 0
    assert ensure(db, rollup, at(10), at(11)) == 1
    assert ensure(db, rollup, at(8), at(8)) == 0
    assert ensure(db, rollup, at(9), at(8)) == 0
    for row_time in ("2026-03-03", "2026-03-05"):
        db.execute("insert into silver.m_1h (ts, rollup_count) values (%s, 1)", [row_time])
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute("insert into silver.m_1h (ts, rollup_count) values ('2026-03-07', 1)")


def test_date_partitions_hold_whole_days(db: Connection) -> None:
    """A chunk interval below a day, or of a day and a half, is cut to whole days for a date."""
    rollup = make_rollup(db, "date")
    days = {"1 hour": 1, "36 hours": 1, "50 hours": 2}
    for number, (chunk, expected) in enumerate(days.items()):
        db.execute("update silver.timeseries_rollup_config set chunk_interval = %s", [chunk])
        start = at(1) + timedelta(days=10 * number)
        ensure(db, rollup, start, start + timedelta(days=1))
        [low, high] = next(r for r in ranges(db) if r[0] <= start < r[1])
        assert high - low == timedelta(days=expected)


def test_change_of_the_interval_leaves_no_gap_and_no_overlap(db: Connection) -> None:
    """Windows and intervals at random: every time of a window has exactly one partition."""
    rollup = make_rollup(db)
    rng = random.Random(4)
    windows = []
    for _ in range(40):
        chunk = rng.choice(["1 hour", "5 hours", "1 day", "3 days", "1 week", "1 month", "90 min"])
        db.execute("update silver.timeseries_rollup_config set chunk_interval = %s", [chunk])
        start = at(1) + timedelta(minutes=rng.randrange(60 * 24 * 60))
        end = start + timedelta(minutes=rng.randrange(1, 60 * 24 * 4))
        windows.append((start, end))
        present = ranges(db)
        made = ensure(db, rollup, start, end)
        now = ranges(db)
        assert len(now) == len(present) + made
        assert set(present) <= set(now)
        assert all(one[1] <= other[0] for one, other in pairwise(now)), "overlap"
        for begin, stop in set(now) - set(present):
            assert begin < end, "a partition that the window does not need"
            assert stop > start, "a partition that the window does not need"
        for begin, stop in windows:
            reached = begin
            for low, high in now:
                if low <= reached < high:
                    reached = high
            assert reached >= stop, "gap"


def test_busy_when_another_session_is_at_it(db: Connection, connect: Connect) -> None:
    """A second session never waits: TS005 at once."""
    rollup = make_rollup(db)
    with connect(autocommit=False) as other:
        other.execute("select tsconsole.ensure_partitions(%s, %s, %s)", [rollup, at(1), at(2)])
        started = time.monotonic()
        with pytest.raises(psycopg.Error) as failure:
            ensure(db, rollup, at(1), at(2))
        assert failure.value.sqlstate == "TS005"
        assert failure.value.diag.message_hint
        assert time.monotonic() - started < 1
    assert ensure(db, rollup, at(1), at(2)) == 0


def test_blocked_by_ddl_gives_up_soon(db: Connection, connect: Connect) -> None:
    """A lock that is not to be had is given up after half a second."""
    rollup = make_rollup(db)
    other = connect(autocommit=False)
    other.execute("lock table silver.m_1h in access exclusive mode")
    started = time.monotonic()
    with pytest.raises(psycopg.errors.LockNotAvailable):
        ensure(db, rollup, at(1), at(2))
    assert time.monotonic() - started < 5
    other.rollback()


def test_blocks_neither_readers_nor_writers(db: Connection, connect: Connect) -> None:
    """Made while others read and write the target, who go on while the maker has not committed."""
    rollup = make_rollup(db)
    ensure(db, rollup, at(1), at(2))
    reader, maker = connect(autocommit=False), connect(autocommit=False)
    reader.execute("insert into silver.m_1h (ts, rollup_count) values ('2026-03-01', 1)")
    reader.execute("select count(*) from silver.m_1h")
    assert ensure(maker, rollup, at(2), at(3)) == 1
    other = connect(autocommit=True)
    other.execute("set statement_timeout = '2s'")
    other.execute("insert into silver.m_1h (ts, rollup_count) values ('2026-03-01 01:00Z', 1)")
    other.execute("select count(*) from silver.m_1h")
    maker.commit()
    reader.commit()


def test_many_sessions_make_each_partition_once(db: Connection, connect: Connect) -> None:
    """Eight sessions ask for overlapping windows until each has what it needs."""
    rollup = make_rollup(db)
    db.execute("update silver.timeseries_rollup_config set chunk_interval = '2 hours'")
    connections = [connect() for _ in range(8)]
    problems: list[BaseException] = []

    def ask(number: int) -> None:
        rng = random.Random(number)
        for _ in range(10):
            start = at(1) + timedelta(hours=rng.randrange(60))
            end = start + timedelta(hours=rng.randrange(1, 12))
            for _attempt in range(400):
                try:
                    ensure(connections[number], rollup, start, end)
                    break
                except psycopg.Error as error:
                    if error.sqlstate not in ("TS005", "55P03"):
                        problems.append(error)
                        return
                    time.sleep(rng.random() * 0.02)
            else:
                problems.append(TimeoutError("never got its partitions"))

    threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    found = ranges(db)
    assert all(one[1] <= other[0] for one, other in pairwise(found))


def test_too_many_partitions_are_refused(db: Connection) -> None:
    """One stray time in the year 9999 makes no million tables."""
    rollup = make_rollup(db)
    with pytest.raises(psycopg.Error, match="more than 10000 partitions") as failure:
        ensure(db, rollup, at(1), datetime(9999, 1, 1, tzinfo=UTC))
    assert failure.value.sqlstate == "TS001"
    assert ranges(db) == []


def test_nothing_to_make_is_quick(db: Connection) -> None:
    """With 100 partitions that are all there, asking takes well under a millisecond."""
    rollup = make_rollup(db)
    ensure(db, rollup, at(1), at(1) + timedelta(days=100))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        db.execute(
            "select count(tsconsole.ensure_partitions(%s, %s, %s)) from generate_series(1, 100)",
            [rollup, at(20, 3), at(20, 5)],
        )
        times.append((time.perf_counter() - started) / 100)
    assert min(times) < 0.001


def test_a_backfill_makes_all_it_needs_first(db: Connection) -> None:
    """Before the first step, and nothing for the years in which there are no rows."""
    db.execute("create table raw.m (ts timestamptz, v float8); create index on raw.m (ts)")
    db.execute(
        "insert into raw.m select day + hour * interval '7 hours', 1 from unnest(%s) day, "
        "generate_series(0, 9) hour",
        [[at(1), at(10), datetime(2020, 1, 1, tzinfo=UTC)]],
    )
    db.execute("select silver.create_rollup_table('raw.m', 'm_1h', '1 hour', '10 years',"
               " chunk_interval := '1 day')")  # fmt: skip
    assert ranges(db) == []
    db.execute("select tsconsole.prepare_step(id) from silver.timeseries_rollup_config")
    db.execute("call silver.run_rollups('silver.m_1h', 1)")
    [[left]] = db.execute(
        "select (tsconsole.sum_up_pending(c)).history_left is not null "
        "from silver.timeseries_rollup_config c"
    ).fetchall()
    made = ranges(db)
    assert left or len(made) == 9
    assert [row[0] for row in made if row[0].year == 2020] == [
        datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3)
    ]
    db.execute("call silver.run_rollups('silver.m_1h')")
    assert ranges(db) == made
    assert db.execute("select * from silver.verify_rollup('silver.m_1h')").fetchall() == []


@pytest.mark.parametrize("time_type", ["timestamptz", "timestamp", "date"])
def test_making_a_partition_looks_at_its_neighbours_only(db: Connection, time_type: str) -> None:
    """Whatever they are called, and where they end elsewhere; not one listing of all of them."""
    rollup = make_rollup(db, time_type)
    assert ensure(db, rollup, at(1), at(4)) == 3
    db.execute("alter table silver.m_1h_p20260302 rename to renamed")
    db.execute(
        "create or replace function tsconsole.partitions(parent regclass) returns table "
        "(partition regclass, range_start timestamptz, range_end timestamptz) language plpgsql "
        "as $$ begin raise exception 'all partitions were listed'; end $$"
    )
    between = (
        "select partition::text from tsconsole.partitions_between("
        "tsconsole.rollup('silver.m_1h'), %s, %s) order by range_start"
    )
    assert db.execute(between, [at(2), at(4)]).fetchall() == [
        ("silver.renamed",), ("silver.m_1h_p20260303",)
    ]  # fmt: skip
    assert db.execute(between, [at(4), at(5)]).fetchall() == []
    assert ensure(db, rollup, at(1), at(4)) == 0
    assert ensure(db, rollup, at(2), at(6)) == 2
    db.execute("update silver.timeseries_rollup_config set chunk_interval = '7 days'")
    assert ensure(db, rollup, at(5), at(9)) == 1  # the rest of the week
    assert ensure(db, rollup, at(1), at(9)) == 0
