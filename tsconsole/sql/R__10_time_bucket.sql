-- time_bucket: the start of the bucket a time lies in, and the buckets beside it.
--
-- In a named zone the local clock may jump, so the starts are defined first and the bucket follows from them:
--   * a width below 24 hours starts at every instant at which the local clock reads a multiple of the width, so the repeated hour
--     of a DST change is two buckets;
--   * a wider one starts at the earliest instant at which the local clock reads its start, so a day is one bucket;
--   * a start that the local clock skips is where AT TIME ZONE puts it, unless the clock has read another start since it jumped.
-- The bucket of a time is the last start that is not after it: buckets never overlap and never leave a gap.
--
-- time_bucket has SQL-standard bodies that the planner inlines. Only a time near a change of the zone's offset, or a width that
-- is refused, calls a function. Arithmetic is on timestamps without zone, because timestamptz + interval depends on the session.

create or replace function tsconsole.refuse_bucket_width(bucket_width interval) returns timestamp
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'a bucket cannot be % wide', bucket_width using
        errcode = 'TS001',
        hint = 'The width must be more than zero: either whole months and years, or days, hours and smaller units, but not both. '
               'For a date it must be whole days or months.';
end;
$$;

comment on function tsconsole.refuse_bucket_width(interval) is
'Raises TS001: this is no width for buckets.
Example: select tsconsole.refuse_bucket_width(''0'');';


create or replace function tsconsole.month_bucket(months interval, local_time timestamp, origin timestamp, shift interval) returns timestamp
language sql immutable parallel safe
return case
    when months = interval '1 month' or not isfinite(local_time) then date_trunc('month', local_time - shift) + shift
    else date_trunc('month', local_time - shift)
        - make_interval(months => pg_catalog.mod(
            (12 * date_part('year', age(date_trunc('month', local_time - shift), origin))
             + date_part('month', age(date_trunc('month', local_time - shift), origin))
             + 120000 * (12 * date_part('year', months) + date_part('month', months)))::bigint,
            (12 * date_part('year', months) + date_part('month', months))::bigint)::integer)
        + shift
    end;

comment on function tsconsole.month_bucket(interval, timestamp, timestamp, interval) is
'The start of the bucket of whole months in which a local time lies: counted from origin, the first of a month, and begun shift later than a month does.
Example: select tsconsole.month_bucket(''3 months'', ''2026-05-20'', ''2000-01-01'', ''0'');';


create or replace function tsconsole.local_bucket(bucket_width interval, local_time timestamp, origin timestamp, "offset" interval) returns timestamp
language sql immutable parallel safe
return case
    when bucket_width > interval '0' and date_trunc('month', bucket_width) = interval '0' then
        -- The inner date_bin moves the origin before every likely time: before 15.7 and 16.3 date_bin put a time that is a
        -- start, but before the origin, one bucket too early.
        date_bin(bucket_width, local_time, date_bin(bucket_width, timestamp '0001-01-01',
            coalesce(origin, timestamp '2000-01-03') + coalesce("offset", interval '0')))
    when bucket_width > interval '0' and date_trunc('month', bucket_width) = bucket_width then
        tsconsole.month_bucket(bucket_width, local_time,
            date_trunc('month', coalesce(origin, timestamp '2000-01-01')) + date_trunc('month', coalesce("offset", interval '0')),
            coalesce(origin - date_trunc('month', origin), interval '0')
            + coalesce("offset" - date_trunc('month', "offset"), interval '0'))
    else tsconsole.refuse_bucket_width(bucket_width) end;

comment on function tsconsole.local_bucket(interval, timestamp, timestamp, interval) is
'The start of the bucket in which a time without zone lies. Default origins: Monday 2000-01-03, for months 2000-01-01.
Example: select tsconsole.local_bucket(''1 week'', ''2026-03-05 17:12'', null, null);';


create or replace function tsconsole.earliest_instant(local_time timestamp, timezone text) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- What the instant would be if the offset of the day before still held.
    candidate timestamptz := ((local_time - interval '24 hours') at time zone timezone at time zone 'UTC' + interval '24 hours')
                             at time zone 'UTC';
begin
    if candidate at time zone timezone = local_time then
        return candidate;
    end if;
    return local_time at time zone timezone;
end;
$$;

comment on function tsconsole.earliest_instant(timestamp, text) is
'The first instant at which the clock of a zone reads this local time. AT TIME ZONE gives the last of two.
Example: select tsconsole.earliest_instant(''2026-10-25 02:30'', ''Europe/Berlin'');';


create or replace function tsconsole.bucket_near_transition(
    bucket_width interval, ts timestamptz, timezone text, origin timestamptz, shift interval
) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    utc         timestamp := ts at time zone 'UTC';
    new_offset  interval  := ts at time zone timezone - utc;
    old_offset  interval  := (utc - interval '24 hours') at time zone 'UTC' at time zone timezone - (utc - interval '24 hours');
    new_start   timestamp := tsconsole.local_bucket(bucket_width, utc + new_offset, origin at time zone timezone, shift);
    old_start   timestamp := tsconsole.local_bucket(bucket_width, utc + old_offset, origin at time zone timezone, shift);
    last_start  timestamptz;
begin
    if bucket_width >= interval '24 hours' then
        last_start := tsconsole.earliest_instant(greatest(new_start, old_start), timezone);
        if last_start > ts then
            last_start := tsconsole.earliest_instant(least(new_start, old_start), timezone);
        end if;
        return last_start;
    end if;
    -- The last start by the present offset, unless the clock changed after it; else the last one by the offset before, or where
    -- that one was never read because the clock had been put back, the one before it.
    last_start := (new_start - new_offset) at time zone 'UTC';
    if last_start at time zone timezone = new_start then
        return last_start;
    end if;
    last_start := (old_start - old_offset) at time zone 'UTC';
    if new_offset > old_offset or last_start at time zone timezone = old_start then
        return last_start;
    end if;
    return (old_start - old_offset - bucket_width) at time zone 'UTC';
end;
$$;

comment on function tsconsole.bucket_near_transition(interval, timestamptz, text, timestamptz, interval) is
'time_bucket for every case, also where the offset of the zone changed less than a day before. Called by time_bucket, which spares itself the call elsewhere.
Example: select tsconsole.bucket_near_transition(''1 hour'', ''2026-10-25 00:30Z'', ''Europe/Berlin'', null, null);';


create or replace function silver.time_bucket(
    bucket_width interval, ts timestamptz, timezone text, origin timestamptz default null, "offset" interval default null
) returns timestamptz
language sql immutable parallel safe
return case
    when timezone in ('UTC', 'Etc/UTC', 'GMT', 'utc') then
        case when date_trunc('month', bucket_width) = interval '0' and bucket_width > interval '0' and "offset" is null then
            date_bin(bucket_width, ts, date_bin(bucket_width, timestamptz '0001-01-01 00:00Z',
                coalesce(origin, timestamptz '2000-01-03 00:00Z')))
        else
            tsconsole.local_bucket(bucket_width, ts at time zone 'UTC', origin at time zone 'UTC', "offset") at time zone 'UTC'
        end
    when not isfinite(ts) then ts
    -- Did the zone's offset change in the 24 hours before?
    when ((ts at time zone 'UTC' - interval '24 hours') at time zone 'UTC') at time zone timezone
         <> ts at time zone timezone - interval '24 hours' then
        tsconsole.bucket_near_transition(bucket_width, ts, timezone, origin, "offset")
    when bucket_width < interval '24 hours' then
        (ts at time zone 'UTC' - (ts at time zone timezone
            - tsconsole.local_bucket(bucket_width, ts at time zone timezone, origin at time zone timezone, "offset"))) at time zone 'UTC'
    -- … or in the 24 hours before the start?
    when ((tsconsole.local_bucket(bucket_width, ts at time zone timezone, origin at time zone timezone, "offset")
           - interval '24 hours') at time zone timezone) at time zone 'UTC'
         <> ((tsconsole.local_bucket(bucket_width, ts at time zone timezone, origin at time zone timezone, "offset")
           at time zone timezone) at time zone 'UTC') - interval '24 hours' then
        tsconsole.bucket_near_transition(bucket_width, ts, timezone, origin, "offset")
    else
        tsconsole.local_bucket(bucket_width, ts at time zone timezone, origin at time zone timezone, "offset") at time zone timezone
    end;

comment on function silver.time_bucket(interval, timestamptz, text, timestamptz, interval) is
'The start of the bucket in which a time lies. Days and months begin at midnight in the zone; buckets below a day are counted on the zone''s clock, and an hour that the clock repeats is two buckets. Counted from origin, by default Monday 2000-01-03 00:00 in the zone (months: 2000-01-01); offset moves every start.
Example: select silver.time_bucket(''1 day'', ts, ''Europe/Berlin'') as day, count(*) from raw.readings group by day;';


create or replace function silver.time_bucket(bucket_width interval, ts timestamptz) returns timestamptz
language sql immutable parallel safe
return silver.time_bucket(bucket_width, ts, 'UTC', null, null);

comment on function silver.time_bucket(interval, timestamptz) is
'The start of the bucket in which a time lies, in UTC.
Example: select silver.time_bucket(''5 minutes'', ts) as bucket, avg(value) from raw.readings group by bucket;';


create or replace function silver.time_bucket(bucket_width interval, ts timestamptz, origin timestamptz) returns timestamptz
language sql immutable parallel safe
return silver.time_bucket(bucket_width, ts, 'UTC', origin, null);

comment on function silver.time_bucket(interval, timestamptz, timestamptz) is
'The start of the bucket in which a time lies, in UTC, counted from origin.
Example: select silver.time_bucket(''1 week'', ts, timestamptz ''2000-01-02 00:00Z'') from raw.readings;';


create or replace function silver.time_bucket(bucket_width interval, ts timestamptz, "offset" interval) returns timestamptz
language sql immutable parallel safe
return silver.time_bucket(bucket_width, ts, 'UTC', null, "offset");

comment on function silver.time_bucket(interval, timestamptz, interval) is
'The start of the bucket in which a time lies, in UTC, with every start moved by offset.
Example: select silver.time_bucket(''1 day'', ts, interval ''6 hours'') from raw.readings;';


create or replace function silver.time_bucket(bucket_width interval, ts timestamp) returns timestamp
language sql immutable parallel safe
return tsconsole.local_bucket(bucket_width, ts, null, null);

comment on function silver.time_bucket(interval, timestamp) is
'The start of the bucket in which a time without zone lies.
Example: select silver.time_bucket(''15 minutes'', timestamp ''2026-03-05 17:12'');';


create or replace function silver.time_bucket(bucket_width interval, ts timestamp, origin timestamp) returns timestamp
language sql immutable parallel safe
return tsconsole.local_bucket(bucket_width, ts, origin, null);

comment on function silver.time_bucket(interval, timestamp, timestamp) is
'The start of the bucket in which a time without zone lies, counted from origin.
Example: select silver.time_bucket(''1 week'', timestamp ''2026-03-05 17:12'', timestamp ''2000-01-02'');';


create or replace function silver.time_bucket(bucket_width interval, ts timestamp, "offset" interval) returns timestamp
language sql immutable parallel safe
return tsconsole.local_bucket(bucket_width, ts, null, "offset");

comment on function silver.time_bucket(interval, timestamp, interval) is
'The start of the bucket in which a time without zone lies, with every start moved by offset.
Example: select silver.time_bucket(''1 day'', timestamp ''2026-03-05 17:12'', interval ''6 hours'');';


create or replace function silver.time_bucket(bucket_width interval, ts date) returns date
language sql immutable parallel safe
return (case when date_trunc('day', bucket_width) = bucket_width then tsconsole.local_bucket(bucket_width, ts::timestamp, null, null)
        else tsconsole.refuse_bucket_width(bucket_width) end)::date;

comment on function silver.time_bucket(interval, date) is
'The first day of the bucket in which a date lies.
Example: select silver.time_bucket(''1 month'', date ''2026-03-05'');';


create or replace function silver.time_bucket(bucket_width interval, ts date, origin date) returns date
language sql immutable parallel safe
return (case when date_trunc('day', bucket_width) = bucket_width then tsconsole.local_bucket(bucket_width, ts::timestamp, origin::timestamp, null)
        else tsconsole.refuse_bucket_width(bucket_width) end)::date;

comment on function silver.time_bucket(interval, date, date) is
'The first day of the bucket in which a date lies, counted from origin.
Example: select silver.time_bucket(''1 week'', date ''2026-03-05'', date ''2000-01-02'');';


create or replace function silver.time_bucket(bucket_width interval, ts date, "offset" interval) returns date
language sql immutable parallel safe
return (case when date_trunc('day', bucket_width) = bucket_width
        then tsconsole.local_bucket(bucket_width, ts::timestamp, null, date_trunc('day', "offset"))
        else tsconsole.refuse_bucket_width(bucket_width) end)::date;

comment on function silver.time_bucket(interval, date, interval) is
'The first day of the bucket in which a date lies, with every start moved by offset, in whole days.
Example: select silver.time_bucket(''1 week'', date ''2026-03-05'', interval ''-1 day'');';


create or replace function tsconsole.next_bucket(bucket_width interval, bucket timestamptz, timezone text, origin timestamptz) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    reach    timestamp := bucket at time zone 'UTC' + bucket_width;
    later    timestamptz;
    previous timestamptz;
begin
    if not isfinite(bucket) then
        return bucket;
    end if;
    -- Forward until another bucket is reached (a day may have 25 hours), then back to the first after this one.
    loop
        later := silver.time_bucket(bucket_width, reach at time zone 'UTC', timezone, origin);
        exit when later > bucket is not false;
        reach := reach + least(bucket_width, interval '1 hour');
    end loop;
    loop
        previous := silver.time_bucket(
            bucket_width, (later at time zone 'UTC' - interval '1 microsecond') at time zone 'UTC', timezone, origin);
        exit when previous > bucket is not true;
        later := previous;
    end loop;
    return later;
end;
$$;

comment on function tsconsole.next_bucket(interval, timestamptz, text, timestamptz) is
'The first start of a bucket after a time: where the bucket that starts there ends.
Example: select tsconsole.next_bucket(''1 day'', ''2026-03-28 23:00Z'', ''Europe/Berlin'', null);';


create or replace function tsconsole.bucket_ceiling(bucket_width interval, ts timestamptz, timezone text, origin timestamptz) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if silver.time_bucket(bucket_width, ts, timezone, origin) = ts then
        return ts;
    end if;
    return tsconsole.next_bucket(bucket_width, ts, timezone, origin);
end;
$$;

comment on function tsconsole.bucket_ceiling(interval, timestamptz, text, timestamptz) is
'The first start of a bucket that is not before a time.
Example: select tsconsole.bucket_ceiling(''1 hour'', ''2026-03-05 17:12Z'', ''UTC'', null);';


create or replace function tsconsole.bucket_edges(
    bucket_width interval, from_time timestamptz, to_time timestamptz, timezone text, origin timestamptz
) returns timestamptz[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    edges timestamptz[] := array[silver.time_bucket(bucket_width, from_time, timezone, origin)];
    edge  timestamptz   := edges[1];
begin
    -- So many take longer to make than arithmetic on each row: a table was emptied, or a gap of thousands of years is jumped.
    if to_time - from_time > (case when bucket_width < interval '1 day' then 100000 else 5000 end) * bucket_width then
        return null;
    end if;
    while edge < to_time loop
        edge := tsconsole.next_bucket(bucket_width, edge, timezone, origin);
        edges := edges || edge;
    end loop;
    return edges;
end;
$$;

comment on function tsconsole.bucket_edges(interval, timestamptz, timestamptz, text, timestamptz) is
'Every start of a bucket from the one at or before from_time to the one at or after to_time. edges[width_bucket(ts, edges)] is the bucket of a time between: in a named zone 20 times as fast as time_bucket, for a query that reads many rows. Null where there would be more than 100,000, or 5,000 of a day and more, which take longer to find.
Example: select tsconsole.bucket_edges(''1 day'', ''2026-03-28'', ''2026-03-31'', ''Europe/Berlin'', null);';
