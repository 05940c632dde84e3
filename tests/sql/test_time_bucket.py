"""time_bucket against a reading of the wall clock in Python: every zone, width and jump."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

UTC = timezone.utc
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MONDAY = datetime(2000, 1, 3)

# Zones and years with every kind of jump: at midnight, past midnight, by half an hour, by two
# hours, by a day, from local mean time.
JUMPS = [
    ("Europe/Berlin", 1979, 1982),
    ("Europe/Berlin", 2024, 2026),
    ("America/New_York", 2023, 2025),
    ("America/Sao_Paulo", 2016, 2019),
    ("America/Havana", 2018, 2020),
    ("America/St_Johns", 2005, 2008),
    ("Australia/Lord_Howe", 2021, 2023),
    ("Asia/Kathmandu", 1985, 1987),
    ("Africa/Monrovia", 1971, 1973),
    ("Africa/Casablanca", 2022, 2024),
    ("Antarctica/Troll", 2013, 2016),
    ("Pacific/Apia", 2011, 2012),
    ("Pacific/Kwajalein", 1993, 1994),
    ("Europe/Dublin", 1967, 1973),
    ("Asia/Pyongyang", 2015, 2019),
]
FIXED_WIDTHS = [
    timedelta(milliseconds=100),
    timedelta(seconds=7),
    timedelta(minutes=1),
    timedelta(minutes=15),
    timedelta(minutes=45),
    HOUR,
    2 * HOUR,
    5 * HOUR,
    12 * HOUR,
    DAY,
    36 * HOUR,
    3 * DAY,
    7 * DAY,
]
MONTH_WIDTHS = [1, 3, 5, 12, 120]


def clock(instant: datetime, zone: ZoneInfo) -> datetime:
    """What the wall clock of the zone reads."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def jumps(zone: ZoneInfo, first_year: int, last_year: int) -> list[datetime]:
    """The instants at which the zone's offset changes, found by trying every hour."""
    found = []
    low = datetime(first_year, 1, 1, tzinfo=UTC)
    while low < datetime(last_year, 12, 31, tzinfo=UTC):
        high = low + HOUR
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            left, right = low, high
            while right - left > SECOND:
                middle = left + (right - left) // 2
                same = left.astimezone(zone).utcoffset() == middle.astimezone(zone).utcoffset()
                left, right = (middle, right) if same else (left, middle)
            found.append(right.replace(microsecond=0))
        low = high
    return found


def starts(lines: Iterable[datetime], zone: ZoneInfo, every_reading: bool) -> list[datetime]:
    """When buckets start whose starts the clock reads as `lines`: once each, or at every reading.

    A line that the clock skips is where the old offset puts it, unless the clock has read another
    line since it jumped.
    """
    read, skipped = set(), set()
    for line in lines:
        first = line.replace(tzinfo=zone, fold=0).astimezone(UTC)
        last = line.replace(tzinfo=zone, fold=1).astimezone(UTC)
        if clock(first, zone) != line:
            skipped.add(first)
        else:
            read |= {first, last} if every_reading else {first}
    offset = {start: start.astimezone(zone).utcoffset() for start in read | skipped}
    kept = {
        start
        for start in skipped
        if not any(start - DAY < r <= start and offset[r] == offset[start] for r in read)
    }
    return sorted(read | kept)


def add_months(start: datetime, months: int) -> datetime:
    """The first of the month so many months later."""
    index = start.year * 12 + start.month - 1 + months
    return start.replace(year=index // 12, month=index % 12 + 1)


def expected(
    instant: datetime, width: timedelta | int, zone: ZoneInfo, origin: datetime = MONDAY
) -> datetime:
    """The last start that is not after the instant: the definition, without cleverness."""
    utc = instant.replace(tzinfo=None)
    offsets = {(instant + k * HOUR).astimezone(zone).utcoffset() for k in range(-26, 27)}
    lines = set()
    for offset in offsets:
        assert offset is not None
        reading = utc + offset
        if isinstance(width, int):
            first = origin.replace(day=1)
            index = (reading.year * 12 + reading.month) - (first.year * 12 + first.month)
            for step in (-2, -1, 0, 1):
                lines.add(add_months(first, (index // width + step) * width) + (origin - first))
        else:
            index = (reading - origin) // width
            lines |= {origin + (index + step) * width for step in range(-3, 3)}
    below_a_day = isinstance(width, timedelta) and width < DAY
    found = starts(lines, zone, below_a_day)
    return found[bisect_right(found, instant) - 1]


def interval(width: timedelta | int) -> str:
    """The width as PostgreSQL reads it; whole days as days."""
    if isinstance(width, int):
        return f"{width} months"
    return f"{width.days} days" if width % DAY == timedelta(0) else f"{width.total_seconds()} s"


def buckets(db: psycopg.Connection[Any], times: list[datetime], *arguments: Any) -> list[datetime]:
    """The bucket of every time, in order."""
    width, *others = arguments
    marks = "".join(", %s" for _ in others)
    return [
        row[0]
        for row in db.execute(
            f"select silver.time_bucket(%s::interval, t{marks}) from unnest(%s::timestamptz[])"
            " with ordinality as u (t, n) order by n",
            [width, *others, times],
        )
    ]


def sample(zone: ZoneInfo, first_year: int, last_year: int, seed: int) -> list[datetime]:
    """Times around every jump (close, and within days), and times anywhere."""
    rng = random.Random(seed)
    times = []
    for jump in jumps(zone, first_year, last_year):
        times += [jump - timedelta(microseconds=1), jump]
        for spread in (60, 7200, 90000, 90000 * 10):
            times += [jump + rng.uniform(-1, 1) * spread * SECOND for _ in range(6)]
    start = datetime(first_year, 1, 1, tzinfo=UTC)
    span = (datetime(last_year, 12, 31, tzinfo=UTC) - start) / SECOND
    times += [start + rng.uniform(0, span) * SECOND for _ in range(20)]
    return sorted(times)


@pytest.mark.parametrize(("name", "first_year", "last_year"), JUMPS)
def test_every_jump_of_the_clock(
    db: psycopg.Connection[Any], name: str, first_year: int, last_year: int
) -> None:
    """Each width equals the definition, around every change, whatever the session's zone is."""
    db.execute("set timezone = 'America/Los_Angeles'")
    zone = ZoneInfo(name)
    times = sample(zone, first_year, last_year, seed=len(name))
    for width in [*FIXED_WIDTHS, *MONTH_WIDTHS]:
        origin = datetime(2000, 1, 1) if isinstance(width, int) else MONDAY
        found = buckets(db, times, interval(width), name)
        wanted = [expected(t, width, zone, origin) for t in times]
        assert [f.astimezone(UTC) for f in found] == wanted, (name, width)


@pytest.mark.parametrize("origin", [datetime(2024, 3, 31, 2, 30), datetime(1999, 12, 17, 13, 5)])
@pytest.mark.parametrize("name", ["Europe/Berlin", "America/St_Johns", "Pacific/Apia"])
def test_any_origin(db: psycopg.Connection[Any], name: str, origin: datetime) -> None:
    """An origin anywhere, even one that the clock skips, shifts every start."""
    zone = ZoneInfo(name)
    times = sample(zone, 2006, 2011, seed=3)
    at = origin.replace(tzinfo=zone).astimezone(UTC)
    local_origin = clock(at, zone)
    for width in [*FIXED_WIDTHS, *MONTH_WIDTHS]:
        found = buckets(db, times, interval(width), name, at)
        wanted = [expected(t, width, zone, local_origin) for t in times]
        assert [f.astimezone(UTC) for f in found] == wanted, (name, width)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata"])
@pytest.mark.parametrize("width", ["0.1 s", "90 min", "1 day", "1 week", "1 month", "7 months"])
def test_buckets_partition_time(db: psycopg.Connection[Any], name: str, width: str) -> None:
    """A bucket starts not after its times, is its own bucket, and later times have later ones."""
    rng = random.Random(11)
    start = datetime(1890, 1, 1, tzinfo=UTC)
    times = sorted(start + rng.uniform(0, 150 * 365) * DAY for _ in range(3000))
    found = buckets(db, times, width, name)
    assert all(bucket <= time for bucket, time in zip(found, times, strict=True))
    assert found == sorted(found)
    assert buckets(db, found, width, name) == found


def test_interval_before_1970_and_before_the_origin(db: psycopg.Connection[Any]) -> None:
    """A time that is a start is its own bucket, in every century."""
    times = [datetime(y, 1, 1, tzinfo=UTC) + k * DAY for y in (1, 900, 1582, 1901) for k in (0, 9)]
    for width in (DAY, HOUR, timedelta(milliseconds=500)):
        assert buckets(db, times, width) == times
    [found] = buckets(db, [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)], "1 hour")
    assert found == datetime(1969, 12, 31, 23, tzinfo=UTC)


def test_interval_100_ms_and_months(db: psycopg.Connection[Any]) -> None:
    """100 ms is 100 ms, three months are a quarter, 30 days are no month."""
    moment = datetime(2026, 3, 5, 12, 14, 59, 678901, UTC)
    assert buckets(db, [moment], "100 ms") == [moment.replace(microsecond=600000)]
    assert buckets(db, [moment], "500 ms") == [moment.replace(microsecond=500000)]
    assert buckets(db, [moment], "1 min") == [moment.replace(second=0, microsecond=0)]
    assert buckets(db, [moment], "3 months") == [datetime(2026, 1, 1, tzinfo=UTC)]
    assert buckets(db, [moment], "1 year") == [datetime(2026, 1, 1, tzinfo=UTC)]
    [thirty_days] = buckets(db, [moment], "30 days")
    assert (thirty_days - datetime(2000, 1, 3, tzinfo=UTC)) % (30 * DAY) == timedelta(0)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
@pytest.mark.parametrize(
    "width", ["0", "-1 minute", "-1 month", "1 month 1 day", "1 year 1 second", "-1 month 90 days"]
)
def test_interval_refused(db: psycopg.Connection[Any], width: str, zone: str) -> None:
    """Zero, negative and mixed widths are refused with a hint, constant or not."""
    for argument in ("%s::interval", "(select %s::interval)"):
        with pytest.raises(psycopg.Error, match="a bucket cannot be") as failure:
            db.execute(f"select silver.time_bucket({argument}, now(), %s)", [width, zone])
        assert failure.value.sqlstate == "TS001"
        assert failure.value.diag.message_hint


def test_offset_moves_every_start(db: psycopg.Connection[Any]) -> None:
    """As in TimescaleDB: subtract the offset, take the bucket, add it."""
    one = db.execute(
        """
        select silver.time_bucket('1 day', t, 'UTC', "offset" => '6 hours') = date_bin('1 day', t,
            '2000-01-01 06:00Z'),
               silver.time_bucket('1 day', t, interval '6 hours') = date_bin('1 day', t,
                   '2000-01-01 06:00Z'),
               silver.time_bucket('1 month', t, 'UTC',
                   "offset" => '14 days') = timestamptz '2026-02-15 00:00Z',
               silver.time_bucket('1 month', t, 'UTC',
                   "offset" => '-1 day') = timestamptz '2026-02-28 00:00Z',
               silver.time_bucket('1 year', t, 'UTC',
                   "offset" => '3 months') = timestamptz '2025-04-01 00:00Z',
               silver.time_bucket('1 week', t,
                   origin => '2000-01-02 00:00Z') = timestamptz '2026-03-01 00:00Z'
        from (values (timestamptz '2026-03-05 05:00Z')) v (t)
        """
    ).fetchone()
    assert one == (True,) * 6


def test_null_and_infinity(db: psycopg.Connection[Any]) -> None:
    """NULL in, NULL out; an infinite time is its own bucket; no error."""
    for zone in ("UTC", "Europe/Berlin"):
        for width in ("1 hour", "1 day", "1 month"):
            row = db.execute(
                "select silver.time_bucket(w, null::timestamptz, z),"
                " silver.time_bucket(null, now(), z), silver.time_bucket(w, now(), null),"
                " silver.time_bucket(w, 'infinity'::timestamptz, z)::text,"
                " silver.time_bucket(w, '-infinity'::timestamptz, z)::text,"
                " silver.time_bucket(w, 'infinity'::timestamp)::text"
                " from (values (%s::interval, %s)) v (w, z)",
                [width, zone],
            ).fetchone()
            assert row == (None, None, None, "infinity", "-infinity", "infinity")


def test_timestamp_and_date(db: psycopg.Connection[Any]) -> None:
    """The forms for timestamp and date, with origin and offset."""
    row = db.execute(
        """
        select silver.time_bucket('15 min', timestamp '2026-03-05 17:12'),
               silver.time_bucket('1 week', timestamp '2026-03-05 17:12', timestamp '2000-01-02'),
               silver.time_bucket('1 day', timestamp '2026-03-05 05:12', interval '6 h'),
               silver.time_bucket('1 week', date '2026-03-05'),
               silver.time_bucket('1 week', date '2026-03-05', date '2000-01-02'),
               silver.time_bucket('1 week', date '2026-03-05', interval '-1 day'),
               silver.time_bucket('2 months', date '1999-12-05')
        """
    ).fetchone()
    assert row == (
        datetime(2026, 3, 5, 17),
        datetime(2026, 3, 1),
        datetime(2026, 3, 4, 6),
        date(2026, 3, 2),
        date(2026, 3, 1),
        date(2026, 3, 1),
        date(1999, 11, 1),
    )
    with pytest.raises(psycopg.Error, match="a bucket cannot be"):
        db.execute("select silver.time_bucket('1 hour', date '2026-03-05')")


@pytest.mark.parametrize(
    "call",
    [
        "silver.time_bucket('5 min', ts)",
        "silver.time_bucket('1 month', ts)",
        "silver.time_bucket('1 day', ts, interval '6 h')",
        "silver.time_bucket('1 week', ts, timestamptz '2000-01-02')",
        "silver.time_bucket('15 min', ts, 'Europe/Berlin')",
        "silver.time_bucket('1 day', ts, 'Europe/Berlin')",
        "silver.time_bucket('3 months', ts, 'Europe/Berlin')",
        "silver.time_bucket('1 month', ts::timestamp)",
        "silver.time_bucket('1 month', ts::date)",
    ],
)
def test_inlined(db: psycopg.Connection[Any], call: str) -> None:
    """The plan holds no call per row: only times near a jump of the clock reach a function."""
    db.execute("create table raw.readings (ts timestamptz)")
    [[plan]] = db.execute(
        f"explain (verbose, format json) select {call} from raw.readings"
    ).fetchall()
    output = plan[0]["Plan"]["Output"][0]
    assert "time_bucket(" not in output
    assert output.count("tsconsole.") == output.count("tsconsole.bucket_near_transition(")
    assert ("Europe" in call) == ("tsconsole." in output)


@pytest.mark.parametrize(("name", "first_year", "last_year"), JUMPS)
def test_next_bucket_skips_none(
    db: psycopg.Connection[Any], name: str, first_year: int, last_year: int
) -> None:
    """The next bucket starts at the first time of another; the ceiling is at or after a time."""
    db.execute("set timezone = 'America/Los_Angeles'")
    times = sample(ZoneInfo(name), first_year, last_year, seed=5)[::7]
    for width in ("7 s", "45 min", "1 hour", "5 hours", "1 day", "36 hours", "1 week", "1 month"):
        wrong = db.execute(
            """
            select t, b, n, c
            from unnest(%(times)s::timestamptz[]) t,
                 silver.time_bucket(%(width)s, t, %(zone)s) b,
                 tsconsole.next_bucket(%(width)s, b, %(zone)s, null) n,
                 tsconsole.bucket_ceiling(%(width)s, t, %(zone)s, null) c
            where not (t >= b and t < n)
               or silver.time_bucket(%(width)s, n, %(zone)s) <> n
               or silver.time_bucket(%(width)s, n - interval '1 microsecond', %(zone)s) <> b
               or c <> case when t = b then t else n end
               or tsconsole.bucket_ceiling(%(width)s, b, %(zone)s, null) <> b
            """,
            {"times": times, "width": width, "zone": name},
        ).fetchall()
        assert wrong == [], (name, width)


def test_bucket_edges_are_the_buckets(db: psycopg.Connection[Any]) -> None:
    """Looking a time up among the edges gives its bucket."""
    row = db.execute(
        """
        select count(*) filter (where edges[width_bucket(t, edges)]
                                      is distinct from silver.time_bucket('1 day', t,
                                          'America/Sao_Paulo')),
               cardinality(edges), edges[1]
        from generate_series(timestamptz '2017-10-01 05:00Z', '2018-11-30 05:00Z', '37 min') t,
             tsconsole.bucket_edges('1 day', '2017-10-01 05:00Z', '2018-11-30 05:00Z',
                 'America/Sao_Paulo', null) edges
        group by edges
        """
    ).fetchone()
    assert row == (0, 427, datetime(2017, 10, 1, 3, tzinfo=UTC))


def test_next_bucket_null_and_infinity(db: psycopg.Connection[Any]) -> None:
    """NULL in, NULL out; an infinite time stays where it is."""
    row = db.execute(
        """
        select tsconsole.next_bucket('1 h', null, 'UTC', null),
               tsconsole.next_bucket('1 month', 'infinity', 'Europe/Berlin', null)::text,
               tsconsole.bucket_ceiling('1 h', '-infinity', 'UTC', null)::text,
               tsconsole.bucket_ceiling('1 h', null, 'UTC', null)
        """
    ).fetchone()
    assert row == (None, "infinity", "-infinity", None)
