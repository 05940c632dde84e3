"""The demo's source tables: what they look like, three days of history, and one more second.

`raw.sensor_readings` is a simulated fleet.  One query makes its rows for any range of seconds, so
that history, the gap since the last demo and the live feed are the same data.
`raw.host_metrics` holds real samples of this machine.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from tsconsole.demo.host import Sample

DEVICES = 40
SECONDS_BETWEEN_READINGS = 10
HISTORY = timedelta(days=3)
DEFAULT_ROWS = int(HISTORY.total_seconds()) * DEVICES // SECONDS_BETWEEN_READINGS

Connection = AsyncConnection[TupleRow]

_DAY = 86400
_CHUNK = 3 * 3600

_SCHEMA = """
create schema if not exists raw;

create type raw.sensor_state as enum ('ok', 'idle', 'fault');

create table raw.sensors (
    device_id text primary key,
    site      text not null,
    number    integer not null,
    base      double precision not null
);

comment on table raw.sensors is 'The simulated fleet.';

create table raw.sensor_readings (
    ts          timestamptz not null,
    site        text not null,
    device_id   text not null,
    temperature double precision,
    humidity    real,
    battery_mv  integer,
    power_w     numeric(9, 2),
    state       raw.sensor_state not null
) partition by range (ts);

comment on table raw.sensor_readings is
    'Simulated: one reading per device every 10 seconds, some corrected later; partitioned by day.';

create table raw.host_metrics (
    ts     timestamptz not null,
    metric text not null,
    device text not null,
    value  double precision not null
);

comment on table raw.host_metrics is
    'Real samples of this machine, once a second: percent, bytes, or bytes per second.';

create index on raw.host_metrics (ts);

create view raw.sensor_currents as
select ts, site, device_id, 1000 * power_w / battery_mv as current_a
from   raw.sensor_readings;

comment on view raw.sensor_currents is
    'Fails on purpose: a device in fault reports a battery of 0 mV, and this view divides by it.';
"""

_FLEET = """
insert into raw.sensors
select format('device-%%s', lpad(number::text, 2, '0')),
       format('site-%%s', chr(97 + mod(number, 4))),
       number,
       15 + mod(number, 5)
from   generate_series(0, %(devices)s::integer - 1) as number
"""

# Each device reports in its own phase of the 10 seconds and is in fault for one minute in two
# hours. Temperatures peak in the afternoon (UTC), the power follows the sun.
_READINGS = """
insert into raw.sensor_readings
       (ts, site, device_id, temperature, humidity, battery_mv, power_w, state)
select tick.ts,
       sensors.site,
       sensors.device_id,
       sensors.base + tick.warmth + random(),
       60 - 3 * tick.warmth + 4 * random(),
       case when fault.is_on then 0 else tick.battery_mv + sensors.number end,
       case when fault.is_on then 0 else tick.power_w - 5 + 10 * random() end,
       (case when fault.is_on then 'fault'
             when tick.power_w < 12 then 'idle'
             else 'ok' end)::raw.sensor_state
from   (select epoch,
               mod(epoch, %(every)s::integer) as phase,
               to_timestamp(epoch) as ts,
               6 * sin(2 * pi() * (epoch - 32400) / 86400) as warmth,
               (3300 - mod(epoch / 600, 400))::integer as battery_mv,
               32 + 25 * sin(2 * pi() * (epoch - 21600) / 86400) as power_w
        from   generate_series(%(first)s::bigint, %(last)s::bigint) as epoch
        offset 0) as tick
       join raw.sensors on mod(sensors.number, %(every)s::integer) = tick.phase
       cross join lateral
       (select mod(tick.epoch / 60 + sensors.number * 13, 120) = 0 as is_on) as fault
order by tick.epoch
"""


@dataclass(frozen=True)
class HistoryProgress:
    """How much of the readings has been made."""

    seconds_done: int
    seconds_total: int
    rows: int


async def sources_exist(connection: Connection) -> bool:
    """Whether an earlier demo finished making its sources."""
    cursor = await connection.execute("select to_regclass('raw.sensor_readings') is not null")
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def create_sources(connection: Connection, rows: int) -> AsyncIterator[HistoryProgress]:
    """Make the source tables and some `rows` readings that end now, all or nothing.

    One transaction, the index last: with wal_level minimal nothing of it is written twice.
    """
    now = int(time.time())
    first = now - max(1, rows * SECONDS_BETWEEN_READINGS // DEVICES)
    async with connection.transaction():
        await connection.execute(_SCHEMA)
        await connection.execute(_FLEET, {"devices": DEVICES})
        async for progress in _add_range(connection, first, now - 1):
            yield progress
        await connection.execute("create index on raw.sensor_readings (ts)")
    await connection.execute("analyze raw.sensor_readings")


async def fill_gap(connection: Connection) -> AsyncIterator[HistoryProgress]:
    """Make the readings between the last demo and now, at most as much as a whole history."""
    now = int(time.time())
    first = max(await newest_reading(connection) + 1, now - int(HISTORY.total_seconds()))
    if first >= now:
        return
    async with connection.transaction():
        # They are late rows: said once for the range, the triggers need not log each of them.
        await connection.execute(
            "select silver.bulk_load('raw.sensor_readings', to_timestamp(%s), to_timestamp(%s))",
            [first, now],
        )
        async for progress in _add_range(connection, first, now - 1):
            yield progress


async def newest_reading(connection: Connection) -> int:
    """The second of the newest reading, as an epoch; 0 without any."""
    cursor = await connection.execute("select extract(epoch from max(ts)) from raw.sensor_readings")
    row = await cursor.fetchone()
    return int(row[0]) if row is not None and row[0] is not None else 0


async def add_readings(connection: Connection, first: int, last: int) -> int:
    """Insert the readings of the seconds `first` to `last`; answers how many there were."""
    cursor = await connection.execute(
        _READINGS, {"first": first, "last": last, "every": SECONDS_BETWEEN_READINGS}
    )
    return cursor.rowcount


async def correct_readings(connection: Connection) -> int:
    """Recalibrate a device's readings of some minutes ago: late changes, as they happen."""
    cursor = await connection.execute(
        "update raw.sensor_readings set temperature = temperature - 0.05 "
        "where device_id = (select device_id from raw.sensors order by random() limit 1) "
        "and ts >= now() - interval '15 minutes' and ts < now() - interval '10 minutes'"
    )
    return cursor.rowcount


async def add_samples(connection: Connection, at: datetime, samples: list[Sample]) -> None:
    """Insert one second of samples of this machine."""
    await connection.execute(
        "insert into raw.host_metrics (ts, metric, device, value) "
        "select %s, metric, device, value "
        "from unnest(%s::text[], %s::text[], %s::float8[]) as sample (metric, device, value)",
        (
            at,
            [sample.metric for sample in samples],
            [sample.device for sample in samples],
            [sample.value for sample in samples],
        ),
    )


async def ensure_partitions(connection: Connection, first: int, last: int) -> None:
    """Make the daily partitions (UTC) for these seconds where they are missing."""
    for day in range(first // _DAY, last // _DAY + 1):
        start = datetime.fromtimestamp(day * _DAY, timezone.utc)
        await connection.execute(
            sql.SQL(
                "create table if not exists {partition} partition of raw.sensor_readings "
                "for values from ({start}) to ({end})"
            ).format(
                partition=sql.Identifier("raw", f"sensor_readings_{start:%Y%m%d}"),
                start=sql.Literal(start),
                end=sql.Literal(start + timedelta(days=1)),
            )
        )


async def _add_range(
    connection: Connection, first: int, last: int
) -> AsyncIterator[HistoryProgress]:
    await ensure_partitions(connection, first, last + _DAY)
    rows = 0
    for start in range(first, last + 1, _CHUNK):
        end = min(start + _CHUNK - 1, last)
        rows += await add_readings(connection, start, end)
        yield HistoryProgress(end - first + 1, last - first + 1, rows)
