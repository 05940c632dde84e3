-- Ladders: a chain of rollups in one call; and dropping a rollup.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.create_rollup_ladder(
    source_table_name regclass,
    rollup_intervals  interval[],
    target_prefix     text,
    retention_periods interval[] default null,
    look_back_window  interval   default null,
    time_column       text       default null,
    dimensions        text[]     default null,
    measures          jsonb      default null,
    timezone          text       default 'UTC',
    allowed_lateness  interval   default '30 seconds',
    source_retention  interval   default null,
    max_retries       integer    default 8,
    is_active         boolean    default true,
    bucket_origin     timestamptz default null,
    refresh_interval  interval   default null,
    processing_window interval   default null,
    chunk_interval    interval   default null,
    alert_threshold   interval   default '1 hour',
    max_execution_time interval  default '1 hour',
    change_tracking   text       default 'auto'
) returns setof regclass
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    below regclass := source_table_name;
begin
    if coalesce(cardinality(rollup_intervals), 0) = 0 then
        raise exception 'rollup_intervals is empty' using errcode = 'TS001', hint = 'For example: {1 minute,1 hour,1 day}.';
    elsif array_ndims(rollup_intervals) > 1 then
        raise exception 'rollup_intervals is an array of arrays' using errcode = 'TS001', hint = 'For example: {1 minute,1 hour,1 day}.';
    elsif target_prefix is null or array_position(rollup_intervals, null) is not null then
        raise exception '%', case when target_prefix is null then 'target_prefix is null' else 'rollup_intervals has a null among them' end
            using errcode = 'TS001', hint = 'For example: rollup_intervals {1 minute,1 hour}, target_prefix meters.';
    elsif cardinality(retention_periods) <> cardinality(rollup_intervals) then
        raise exception 'there are % rollup_intervals and % retention_periods', cardinality(rollup_intervals), cardinality(retention_periods) using
            errcode = 'TS001', hint = 'Give one for each level; null keeps everything.';
    end if;
    for level in 1 .. cardinality(rollup_intervals) loop
        below := silver.create_rollup_table(
            source_table_name := below,
            target_table_name := tsconsole.level_name(target_prefix, rollup_intervals[level]),
            rollup_interval := rollup_intervals[level],
            look_back_window := case when level = 1 then look_back_window end,
            time_column := case when level = 1 then time_column end,
            dimensions := case when level = 1 then dimensions end,
            measures := measures,
            timezone := timezone,
            allowed_lateness := allowed_lateness,
            retention_period := retention_periods[level],
            source_retention := case when level = 1 then source_retention end,
            max_retries := max_retries,
            is_active := is_active,
            bucket_origin := bucket_origin,
            refresh_interval := refresh_interval,
            processing_window := processing_window,
            -- Of a level whose buckets are wider a partition holds one bucket.
            chunk_interval := case when chunk_interval is not null then greatest(chunk_interval, rollup_intervals[level]) end,
            alert_threshold := alert_threshold,
            max_execution_time := max_execution_time,
            change_tracking := case when level = 1 then change_tracking else 'auto' end);
        return next below;
    end loop;
end;
$$;

comment on function silver.create_rollup_ladder(regclass, interval[], text, interval[], interval, text, text[], jsonb, text, interval, interval, integer, boolean, timestamptz, interval, interval, interval, interval, interval, text) is
'Creates a chain of rollups, each reading the one below: <prefix>_1m, <prefix>_1h and so on. retention_periods: one per level, null keeps everything. Returns the targets, lowest first. Errors as silver.create_rollup_table.
Example: select silver.create_rollup_ladder(''raw.readings'', ''{1 minute,1 hour,1 day}'', ''readings'', dimensions := ''{device_id}'');';


create or replace function tsconsole.level_name(prefix text, width interval) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select prefix || '_' || case
        when p.months > 0 and p.months % 12 = 0 then p.months / 12 || 'y'
        when p.months > 0 then p.months || 'mon'
        when p.seconds % 604800 = 0 then (p.seconds / 604800)::bigint || 'w'
        when p.seconds % 86400 = 0 then (p.seconds / 86400)::bigint || 'd'
        when p.seconds % 3600 = 0 then (p.seconds / 3600)::bigint || 'h'
        when p.seconds % 60 = 0 then (p.seconds / 60)::bigint || 'm'
        when p.seconds % 1 = 0 then p.seconds::bigint || 's'
        when p.seconds * 1000 % 1 = 0 then (p.seconds * 1000)::bigint || 'ms'
        else (p.seconds * 1000000)::bigint || 'us' end
    from tsconsole.interval_parts(width) p;
$$;

comment on function tsconsole.level_name(text, interval) is
'The name of a level of a ladder: the prefix and the width, as 100ms, 1s, 1m, 1h, 1d, 1w, 1mon, 1y.
Example: select tsconsole.level_name(''readings'', ''1 hour'');';
