-- The statements that write: plain INSERT for buckets never written, differences only for recomputed ones.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.kept_before(config silver.timeseries_rollup_config) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return greatest(tsconsole.bucket_ceiling(config, greatest(tsconsole.frozen_before(config), (config).retained_from)), '-infinity');
end;
$$;

comment on function tsconsole.kept_before(silver.timeseries_rollup_config) is
'The bucket edge below which stored rows are never recomputed, because the source no longer holds all that made them, or retention dropped them here. -infinity when there is none.
Example: select tsconsole.kept_before(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.make_room(config silver.timeseries_rollup_config, work text, range tsconsole.work_range) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted tstzmultirange := tstzmultirange(tstzrange((range).data_from, (range).hi));
    missing tstzrange;
begin
    if (config).partition_manager <> 'native' then
        return;
    end if;
    if work = 'recompute' then
        execute format('select range_agg(tstzrange(lo, hi)) from %s where ctid = any ($1)', tsconsole.pending_table((config).id))
        into wanted using (range).entries;
        wanted := wanted * tstzmultirange(tstzrange(greatest((range).data_from, tsconsole.kept_before(config)), greatest((range).hi, tsconsole.kept_before(config))));
        wanted := tsconsole.uncovered(config, wanted);
    end if;
    for missing in select r from unnest(wanted) r where not isempty(r) loop
        if upper(missing) - lower(missing) <= 2 * (config).chunk_interval then
            perform tsconsole.ensure_partitions((config).id, lower(missing), upper(missing));
        elsif tsconsole.has_time_index((config).source_table, (config).time_column) then
            perform tsconsole.make_room_for_rows(config, lower(missing), upper(missing));
        else
            perform tsconsole.make_room_by_reading(config, lower(missing), upper(missing));
        end if;
    end loop;
end;
$$;

comment on function tsconsole.make_room(silver.timeseries_rollup_config, text, tsconsole.work_range) is
'Makes the partitions that a step is about to write to.
Example: see silver.perform_step.';


create or replace function tsconsole.has_room_for_late(config silver.timeseries_rollup_config) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    late tstzmultirange;
begin
    execute format('select case when count(*) <= 100 and not bool_or(all_series) then ''{}'' when count(*) < 1000 then range_agg(tstzrange(lo, hi)) end '
                   'from (select lo, hi, all_series from %s where kind <> ''h'' and lo < $1 limit 1000) l',
        tsconsole.pending_table((config).id)) into late using (config).last_processed_time;
    return (config).partition_manager <> 'native' or coalesce(tsconsole.uncovered(config, late) = '{}', false);
end;
$$;

comment on function tsconsole.has_room_for_late(silver.timeseries_rollup_config) is
'Whether every late range lies in a partition of the target, as they mostly do; or there are only some single series, which are as soon computed as looked for: where their partition is missing after all, the step makes it. False, too, when a thousand or more wait.
Example: see tsconsole.prepare_step.';


create or replace function tsconsole.make_room_for_rows(config silver.timeseries_rollup_config, lo timestamptz, hi timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    reached timestamptz := lo;
    next_row timestamptz;
begin
    -- From row to row by index: a gap of years gets no partitions.
    loop
        next_row := tsconsole.edge_row(config, 'min', reached, hi);
        exit when next_row is null;
        next_row := greatest(tsconsole.bucket_floor(config, next_row), lo);
        perform tsconsole.ensure_partitions((config).id, next_row, next_row + interval '1 microsecond');
        -- A bucket that begins before a partition's end lies in it, however far it reaches.
        select tsconsole.bucket_ceiling(config, p.range_end) into reached
        from tsconsole.partitions_between(config, next_row, next_row + interval '1 microsecond') p;
        exit when reached is null or reached >= hi;
    end loop;
end;
$$;

comment on function tsconsole.make_room_for_rows(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'Makes the partitions of a long range that will get rows, and no others.
Example: see silver.perform_step.';


create or replace function tsconsole.make_room_for_history(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    stops_at timestamptz := clock_timestamp() + interval '2 seconds';
    missing  tstzmultirange;
    gap      tstzrange;
    reached  timestamptz;
    last_row timestamptz;
begin
    if (config).partition_manager <> 'native' or not tsconsole.has_time_index((config).source_table, (config).time_column) then
        return;
    end if;
    missing := tsconsole.history_without_partition(config);
    if missing <> '{}' then
        -- Another worker may be making them.
        perform tsconsole.wait_to_make_partitions(config.id);
        missing := tsconsole.history_without_partition(config);
    end if;
    -- From row to row by index, newest first, as history goes.
    for gap in select g from unnest(missing) g order by g desc loop
        reached := upper(gap);
        while reached > lower(gap) and clock_timestamp() < stops_at loop
            last_row := tsconsole.bucket_floor(config, tsconsole.edge_row(config, 'max', lower(gap), reached));
            exit when last_row is null or last_row < lower(gap);
            perform tsconsole.ensure_partitions((config).id, last_row, last_row + interval '1 microsecond');
            reached := (select p.range_start from tsconsole.partitions_between(config, last_row, last_row + interval '1 microsecond') p);
        end loop;
    end loop;
end;
$$;

comment on function tsconsole.make_room_for_history(silver.timeseries_rollup_config) is
'Makes all partitions that a backfill will write to, before its first step, so that the workers that share it do not wait for each other. Takes 2 s at most; the next step goes on. Steps make what is missing for a source without an index on its time column.
Example: see tsconsole.prepare_step.';


create or replace function tsconsole.history_without_partition(config silver.timeseries_rollup_config) returns tstzmultirange
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    history tstzmultirange;
begin
    execute format('select range_agg(tstzrange(greatest(lo, $1), hi)) from %s where kind = ''h'' and hi > $1', tsconsole.pending_table((config).id))
    into history using greatest(tsconsole.kept_before(config), tsconsole.earliest_time());
    return tsconsole.uncovered(config, history);
end;
$$;

comment on function tsconsole.history_without_partition(silver.timeseries_rollup_config) is
'The history still to be computed for which the target has no partition; null when there is no history left.
Example: select tsconsole.history_without_partition(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.wait_to_make_partitions(rollup_id bigint) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
    select pg_advisory_xact_lock(tsconsole.lock_class('partition'), rollup_id::integer);
$$;

comment on function tsconsole.wait_to_make_partitions(bigint) is
'Waits until no other session makes partitions of a rollup, and keeps others from it to the end of the transaction; 55P03 after 3 seconds. Only for a transaction that holds no other lock.
Example: see tsconsole.make_room_for_history.';


create or replace function tsconsole.make_room_by_reading(config silver.timeseries_rollup_config, lo timestamptz, hi timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    chunk timestamptz;
begin
    -- Without an index, one reading of the source tells which partitions will get rows.
    for chunk in execute format('select distinct silver.time_bucket($3, %s) from %s s where %s',
        tsconsole.column_to_axis(config, tsconsole.bucket_expression(config, format('s.%I', (config).time_column))),
        tsconsole.qualified_name((config).source_table), tsconsole.range_condition(config, 's', '$1', '$2'))
        using lo, hi, (config).chunk_interval
    loop
        perform tsconsole.ensure_partitions((config).id, greatest(chunk, lo),
            least(tsconsole.next_bucket((config).chunk_interval, chunk, 'UTC', null), hi));
    end loop;
end;
$$;

comment on function tsconsole.make_room_by_reading(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'As make_room_for_rows, for a source without an index on its time column.
Example: see silver.perform_step.';


create or replace function tsconsole.absorb_late(config silver.timeseries_rollup_config, work text, range tsconsole.work_range) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A late range wholly inside what is computed now needs no work of its own. It must go in a statement before the
    -- aggregate: what arrives after this statement may be invisible to the aggregate, and stays.
    if work <> 'recompute' then
        execute format('delete from %s where kind not in (''h'', ''c'') and lo >= $1 and hi <= $2', tsconsole.pending_table((config).id))
        using (range).lo, (range).hi;
        if work = 'frontier' then
            -- The clock is above the watermark again: what was on time below it is there now, or was logged.
            execute format('update %s set kind = ''l'' where kind = ''c''', tsconsole.pending_table((config).id));
        end if;
        perform tsconsole.forget_logged(config);
    end if;
end;
$$;

comment on function tsconsole.absorb_late(silver.timeseries_rollup_config, text, tsconsole.work_range) is
'Deletes the late ranges that a frontier or history step covers wholly; with the frontier, what was queued because the clock was put back may be computed again.
Example: see silver.perform_step.';


create or replace function tsconsole.forget_logged(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    key text;
begin
    -- The triggers remember what this transaction has logged. A step that takes entries away in the same transaction must
    -- make them forget, or the next late row of that bucket would go unlogged.
    if (config).change_tracking = 'trigger' then
        key := tsconsole.tracking_key((config).source_table, (config).time_column);
        perform set_config(format('tsconsole.%s_%s', setting, key), '', true)
        from unnest(array['late_old', 'late_new', 'logged_old', 'logged_new', 'bulk']) setting;
    end if;
end;
$$;

comment on function tsconsole.forget_logged(silver.timeseries_rollup_config) is
'Makes the triggers of a source log again what they have logged, or bulk_load has announced, in this transaction.
Example: see silver.perform_step.';


drop function if exists tsconsole.work_query(silver.timeseries_rollup_config, text);  -- it knew one statement for recomputing once

create or replace function tsconsole.work_query(config silver.timeseries_rollup_config, work text, only_series boolean default false) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select case work when 'recompute' then tsconsole.recompute_query(config, only_series) else tsconsole.insert_query(config) end;
$$;

comment on function tsconsole.work_query(silver.timeseries_rollup_config, text, boolean) is
'The statement that a step runs. $1, $2: the range; $3: the claimed pending ranges; $4: the buckets that are kept as they are. It returns rows_read, rows_written, rows_deleted. only_series: for a range that tsconsole.choose_series gave.
Example: select tsconsole.work_query(tsconsole.rollup(''silver.meters_1h''), ''frontier'');';


create or replace function tsconsole.insert_query(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(case
        -- rollup_count counts the rows of the first source, so it is what the first level has read.
        when (tsconsole.parent_rollup(config)).id is null then
            'with written as (insert into %1$s (%2$s) select %2$s from (%3$s) a returning rollup_count) '
            'select coalesce(sum(rollup_count), 0)::bigint as rows_read, count(*) as rows_written, 0::bigint as rows_deleted from written'
        else
            'with aggregated as materialized (%4$s), written as (insert into %1$s (%2$s) select %2$s from aggregated) '
            'select coalesce(sum(%5$s), 0)::bigint as rows_read, count(*) as rows_written, 0::bigint as rows_deleted from aggregated'
        end,
        tsconsole.qualified_name((config).target_table),
        tsconsole.column_list(tsconsole.key_columns(config) || tsconsole.value_columns(config)),
        tsconsole.aggregate_query(config, '$1', '$2', is_bounded := true),
        tsconsole.aggregate_query(config, '$1', '$2', ', count(*) as ' || tsconsole.read_column(config), is_bounded := true),
        tsconsole.read_column(config));
$$;

comment on function tsconsole.insert_query(silver.timeseries_rollup_config) is
'The statement of a frontier or history step: a plain INSERT … SELECT … GROUP BY, since no row of the range was ever written.
Example: select tsconsole.insert_query(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.read_column(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return quote_ident(tsconsole.free_name('rows read', tsconsole.key_columns(config) || tsconsole.value_columns(config)));
end;
$$;

comment on function tsconsole.read_column(silver.timeseries_rollup_config) is
'A column name for the count of rows read, beside the columns of the target.
Example: select tsconsole.read_column(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.settle(config silver.timeseries_rollup_config, work text, range tsconsole.work_range) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    reader silver.timeseries_rollup_config;
begin
    if work = 'history' then
        execute format('delete from %s where ctid = any ($1) and lo >= $2', tsconsole.pending_table((config).id)) using (range).entries, (range).lo;
        execute format('update %s set hi = $2 where ctid = any ($1) and lo < $2', tsconsole.pending_table((config).id)) using (range).entries, (range).lo;
        -- A reader's own history waits for this one; only what lies above it was computed without these rows.
        for reader in
            select c.* from silver.timeseries_rollup_config c
            where c.source_table = (config).target_table and (c.history_to is null or c.history_to < (range).hi)
        loop
            perform tsconsole.queue_late(reader, greatest((range).lo, reader.history_to), (range).hi);
        end loop;
    elsif work = 'recompute' then
        perform tsconsole.forget_logged(config);
        execute format('delete from %s where ctid = any ($1) and hi <= $2', tsconsole.pending_table((config).id)) using (range).entries, (range).hi;
        execute format('update %s set lo = $2 where ctid = any ($1) and lo < $2 and hi > $2', tsconsole.pending_table((config).id)) using (range).entries, (range).hi;
    elsif (config).change_tracking = 'look_back' then
        execute format('insert into %1$s (lo, hi, all_series, kind) select $1, $2, true, ''l'' where $1 < $2 '
                       'and not exists (select from %1$s where kind = ''l'' and lo <= $1 and hi >= $2)', tsconsole.pending_table((config).id))
        using greatest(tsconsole.bucket_floor(config, (range).hi - (config).look_back_window), (config).first_bucket), (range).lo;
    end if;
end;
$$;

comment on function tsconsole.settle(silver.timeseries_rollup_config, text, tsconsole.work_range) is
'Takes what a step has done off the pending ranges, and queues what follows from it.
Example: see silver.perform_step.';
