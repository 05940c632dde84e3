-- The width of a target's partitions, from measured bytes per hour.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.optimize_chunk_interval(table_name regclass, target_bytes bigint default 268435456)
returns table (target_table text, previous_interval interval, chunk_interval interval, bytes_per_hour float8, reason text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    config   silver.timeseries_rollup_config;
    measured record;
    chosen   record;
begin
    if (target_bytes > 0) is not true then
        raise exception 'target_bytes is %', coalesce(target_bytes::text, 'null') using
            errcode = 'TS001', hint = 'Give the size a partition should have, in bytes; 268435456 is 256 MB.';
    end if;
    perform tsconsole.check_has_rollups(table_name);
    for config in
        select c.* from tsconsole.rollups_of(table_name) with ordinality r (id, rank)
        join silver.timeseries_rollup_config c on c.id = r.id order by r.rank
    loop
        measured := tsconsole.measure_partitions(config);
        chosen := tsconsole.choose_chunk(config, measured.bytes_per_hour, measured.basis, target_bytes);
        update silver.timeseries_rollup_config c set chunk_interval = chosen.width
        where c.id = config.id and c.chunk_interval::text <> chosen.width::text;
        return query select config.target_name, config.chunk_interval, chosen.width, measured.bytes_per_hour, chosen.reason;
    end loop;
end;
$$;

comment on function silver.optimize_chunk_interval(regclass, bigint) is
'Sets the width of the partitions that are made from now on so that one holds about target_bytes, indexes included: by the measured size of the last complete partitions, in whole hours, days, weeks, months or years. Takes a target, or a source for all rollups on it. Says what it measured and why it chose; a target without rows gets the default, one without a complete partition keeps what it has. TS001 for a size that is not positive, TS002 when the table has no rollup.
Example: select * from silver.optimize_chunk_interval(''silver.meters_1h'');';


create or replace function tsconsole.measure_partitions(
    config silver.timeseries_rollup_config, out bytes_per_hour float8, out basis text
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    first_row timestamptz := tsconsole.oldest_bucket(config);
    parts     bigint;
    bytes     numeric;
    hours     float8;
    complete  boolean;
begin
    if first_row is null then
        basis := 'the target has no rows yet';
        return;
    end if;
    -- Partitions that a backfill has not filled yet would make the data look thin.
    execute format($q$
        with parts as (
            select greatest(p.range_start, $2) as starts, least(p.range_end, $3) as ends, p.total_bytes, p.range_end <= $3 as is_complete
            from silver.get_partition_stats($1) p
        ), filled as (
            select p.* from parts p
            where p.starts < p.ends and p.total_bytes > 0
              and not exists (select from %s h where h.kind = 'h' and h.lo < p.ends and h.hi > p.starts)
        )
        select count(*) as parts, sum(m.total_bytes) as bytes, sum(extract(epoch from m.ends - m.starts))::float8 / 3600 as hours, m.is_complete
        from (select f.* from filled f
              where f.is_complete = (select bool_or(i.is_complete) from filled i) order by f.ends desc limit 4) m
        group by m.is_complete$q$, tsconsole.pending_table((config).id))
    into parts, bytes, hours, complete using (config).target_table, first_row, (config).last_processed_time;

    -- The empty pages and indexes of a partition that has just begun say nothing about its rows.
    if parts is null or not complete and bytes < 1048576 then
        basis := 'no partition is complete yet';
        return;
    end if;
    bytes_per_hour := bytes / hours;
    basis := case when complete then format('the last %s complete partitions hold', parts) else 'the partition that is being filled holds' end
        || format(' %s an hour, indexes included', pg_size_pretty(bytes_per_hour::numeric::bigint));
end;
$$;

comment on function tsconsole.measure_partitions(silver.timeseries_rollup_config) is
'Bytes per hour of a target, indexes included, over its last four complete partitions, or over the one being filled; and on what that is based, in words. Null when there is nothing to measure.
Example: select * from tsconsole.measure_partitions(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.choose_chunk(
    config silver.timeseries_rollup_config, bytes_per_hour float8, basis text, target_bytes bigint, out width interval, out reason text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted_hours float8 := target_bytes / nullif(bytes_per_hour, 0);
    at_least     interval := greatest((config).rollup_interval, case when (config).time_type = 'date'::regtype then interval '1 day' end);
    present      float8 := bytes_per_hour * extract(epoch from (config).chunk_interval) / 3600;
begin
    width := (config).chunk_interval;
    if (config).partition_manager <> 'native' then
        reason := format('%s; pg_partman makes the partitions, and their interval stays as it is', basis);
        return;
    elsif wanted_hours is null and basis = 'the target has no rows yet' then
        width := tsconsole.default_chunk((config).rollup_interval);
        reason := format('%s, so it gets the default for buckets of %s', basis, (config).rollup_interval);
        return;
    elsif wanted_hours is null then
        reason := basis || ', so the interval stays as it is';
        return;
    end if;
    -- Not for a small gain: partitions of many widths are hard to read.
    if present between target_bytes * 0.5 and target_bytes * 1.25 then
        reason := format('%s, so a partition of %s holds %s, near enough to %s', basis, width,
            pg_size_pretty(present::numeric::bigint), pg_size_pretty(target_bytes));
        return;
    end if;
    select c.candidate into width
    from unnest('{1 hour,2 hours,3 hours,4 hours,6 hours,8 hours,12 hours,1 day,2 days,3 days,1 week,2 weeks,'
                '1 month,2 months,3 months,6 months,1 year,2 years,5 years,10 years}'::interval[]) with ordinality c (candidate, rank)
    where c.candidate >= at_least
    -- The widest that stays within the size, else the narrowest there may be.
    order by extract(epoch from c.candidate) / 3600 <= wanted_hours desc,
             case when extract(epoch from c.candidate) / 3600 <= wanted_hours then -c.rank else c.rank end
    limit 1;
    width := coalesce(width, (config).chunk_interval);
    reason := format('%s, so a partition of %s holds about %s of %s', basis, width,
        pg_size_pretty((bytes_per_hour * extract(epoch from width) / 3600)::numeric::bigint), pg_size_pretty(target_bytes));
end;
$$;

comment on function tsconsole.choose_chunk(silver.timeseries_rollup_config, float8, text, bigint) is
'The width of partitions that comes nearest to a size from below, and why.
Example: select * from tsconsole.choose_chunk(tsconsole.rollup(''silver.meters_1h''), 1e6, ''measured'', 268435456);';
