-- Pending ranges: the history queued at creation, and ranges that were made stale.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.queue_history(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    span interval := (config).history_to - (config).history_from;
    pieces integer;
begin
    if span is null then
        return;
    end if;
    -- Some hundred entries: enough for several workers side by side, few enough to be claimed in no time.
    pieces := least(500, greatest(1, ceil(extract(epoch from span) / (60 * extract(epoch from (config).rollup_interval)))));
    execute format(
        'insert into %s (lo, hi, all_series, kind) '
        'select edge, next_edge, true, ''h'' from ('
        '  select edge, lead(edge, 1, $2) over (order by edge) as next_edge from ('
        '    select distinct tsconsole.bucket_floor($1, $3 + i * ($4 / $5)) as edge from generate_series(0, $5 - 1) i) e) p '
        'where edge < next_edge', tsconsole.pending_table((config).id))
    using config, (config).history_to, (config).history_from, span, pieces;
end;
$$;

comment on function tsconsole.queue_history(silver.timeseries_rollup_config) is
'Queues the history of a new rollup as pending ranges on bucket edges.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.queue_late(config silver.timeseries_rollup_config, from_time timestamptz, to_time timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    lo timestamptz := tsconsole.bucket_floor(config, least(greatest(from_time, tsconsole.earliest_time()), tsconsole.latest_time()));
    hi timestamptz := tsconsole.bucket_ceiling(config, least(to_time, tsconsole.axis_clock(config) + interval '1 day'));
begin
    -- Never clipped at the watermark: it may be moving in a transaction that cannot be seen. A day ahead is out of its reach.
    execute format('insert into %s (lo, hi, all_series, kind) select $1, $2, true, ''l'' where $1 < $2', tsconsole.pending_table((config).id))
    using greatest(lo, (config).first_bucket), hi;
    return case when greatest(lo, (config).first_bucket) < hi then 1 else 0 end;
end;
$$;

comment on function tsconsole.queue_late(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'Queues the buckets that overlap [from_time, to_time) for recomputing. Returns how many ranges were queued (0 or 1).
Example: select tsconsole.queue_late(tsconsole.rollup(''silver.meters_1h''), ''2026-01-01'', ''2026-01-02'');';


create or replace function silver.invalidate(target regclass, from_time timestamptz, to_time timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
begin
    perform tsconsole.check_range(from_time, to_time);
    perform tsconsole.say_what_is_covered(config, from_time, to_time);
    perform tsconsole.announce_work();
    return tsconsole.queue_late(config, from_time, to_time);
end;
$$;

comment on function silver.invalidate(regclass, timestamptz, timestamptz) is
'Queues a range of a rollup for recomputing, for rows that were changed behind the engine''s back. Steps recompute it, write what differs, and pass the changes on to the levels above. Returns the number of ranges queued. A range that cuts through buckets is widened to whole ones, with a notice. TS001 for an empty range, TS002 when it is not a rollup.
Example: select silver.invalidate(''silver.meters_1h'', ''2026-01-01'', ''2026-01-02'');';


create or replace function silver.bulk_load(source regclass, from_time timestamptz, to_time timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $$
declare
    queued bigint := 0;
    config silver.timeseries_rollup_config;
begin
    perform tsconsole.check_range(from_time, to_time);
    if not exists (select from silver.timeseries_rollup_config c where c.source_table = source) then
        raise notice 'no rollup reads %, so nothing was queued', tsconsole.qualified_name(source);
    end if;
    for config in select c.* from silver.timeseries_rollup_config c where c.source_table = source loop
        queued := queued + tsconsole.queue_late(config, from_time, to_time);
        if config.change_tracking = 'trigger' then
            -- The triggers look at this setting and leave rows inside the range alone.
            perform set_config('tsconsole.bulk_' || tsconsole.tracking_key(source, config.time_column), case
                when config.time_type = 'timestamptz'::regtype then tstzrange(from_time, to_time)::text
                when config.time_type = 'date'::regtype then daterange((from_time at time zone 'UTC')::date, (to_time at time zone 'UTC')::date)::text
                else tsrange(from_time at time zone 'UTC', to_time at time zone 'UTC')::text end, true);
        end if;
    end loop;
    return queued;
end;
$$;

comment on function silver.bulk_load(regclass, timestamptz, timestamptz) is
'Announces that the calling transaction loads old rows in [from_time, to_time) into a source: queues that range once for every rollup that reads it, and keeps the triggers from logging each row inside it until the transaction ends; rows outside it are still logged. Call it before loading. Returns the number of ranges queued; 0 with a notice when no rollup reads the table.
Example: begin; select silver.bulk_load(''raw.readings'', ''2025-01-01'', ''2025-02-01''); copy raw.readings from stdin; commit;';


create or replace function tsconsole.check_range(from_time timestamptz, to_time timestamptz) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if from_time is null or to_time is null or from_time >= to_time then
        raise exception 'the range from % to % is empty', coalesce(from_time::text, 'null'), coalesce(to_time::text, 'null') using
            errcode = 'TS001', hint = 'from_time must lie before to_time.';
    end if;
end;
$$;

comment on function tsconsole.check_range(timestamptz, timestamptz) is
'Refuses a range that is empty or open.
Example: select tsconsole.check_range(''2026-01-01'', ''2026-01-02'');';


create or replace function tsconsole.say_what_is_covered(config silver.timeseries_rollup_config, from_time timestamptz, to_time timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    lo timestamptz := case when from_time >= tsconsole.earliest_time() and from_time < tsconsole.latest_time() then tsconsole.bucket_floor(config, from_time) else from_time end;
    hi timestamptz := case when to_time >= tsconsole.earliest_time() and to_time < tsconsole.latest_time() then tsconsole.bucket_ceiling(config, to_time) else to_time end;
begin
    if to_time <= config.first_bucket then
        raise notice '% begins at %, after the range', config.target_name, config.first_bucket;
    elsif from_time > config.last_processed_time then
        raise notice '% is filled up to %, before the range', config.target_name, nullif(config.last_processed_time, '-infinity');
    elsif lo < from_time or hi > to_time then
        raise notice 'the range was widened to whole buckets of %: from % to %', config.target_name, lo, hi;
    end if;
end;
$$;

comment on function tsconsole.say_what_is_covered(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'A notice when a range lies outside what a rollup holds, or cuts through its buckets and is widened to whole ones.
Example: select tsconsole.say_what_is_covered(tsconsole.rollup(''silver.meters_1h''), ''2026-01-01 10:20'', ''2026-01-02'');';


create or replace function tsconsole.sum_up_pending(config silver.timeseries_rollup_config) returns tsconsole.summary_of_pending
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
as $$
declare
    summary tsconsole.summary_of_pending;
begin
    -- What lies above the watermark is no debt: the frontier will compute it anyway.
    execute format('select (select count(*) from (select from %1$s p where p.lo < $1 limit 100000) q), (select sum(p.hi - p.lo) from %1$s p where p.kind = ''h'')',
        tsconsole.pending_table((config).id))
    into summary.ranges, summary.history_left using (config).last_processed_time;
    return summary;
exception when undefined_table then
    -- The rollup is being dropped.
    return row(0, null)::tsconsole.summary_of_pending;
end;
$$;

comment on function tsconsole.sum_up_pending(silver.timeseries_rollup_config) is
'How many pending ranges a rollup has below its watermark (counted to 100,000 at most), and the length of history that is not rolled up yet; null when none is left.
Example: select p.* from tsconsole.rollup(''silver.meters_1h'') c, tsconsole.sum_up_pending(c) p;';
