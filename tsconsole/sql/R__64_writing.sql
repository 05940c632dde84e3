-- The statements that write: plain INSERT for buckets never written, differences only for recomputed ones.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.kept_before(config silver.timeseries_rollup_config) returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select greatest(tsconsole.bucket_ceiling(config, greatest(tsconsole.frozen_before(config), (config).retained_from)), '-infinity');
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
    if work = 'recompute' then
        execute format('select range_agg(tstzrange(lo, hi)) from %s where ctid = any ($1)', tsconsole.pending_table((config).id))
        into wanted using (range).entries;
        wanted := wanted * tstzmultirange(tstzrange(greatest((range).data_from, tsconsole.kept_before(config)), greatest((range).hi, tsconsole.kept_before(config))));
        wanted := wanted - coalesce((select range_agg(tstzrange(p.range_start, p.range_end)) from tsconsole.partitions((config).target_table) p), '{}');
    end if;
    for missing in select r from unnest(wanted) r where not isempty(r) loop
        if upper(missing) - lower(missing) > 2 * (config).chunk_interval
           and tsconsole.has_time_index((config).source_table, (config).time_column) then
            perform tsconsole.make_room_for_rows(config, lower(missing), upper(missing));
        else
            perform tsconsole.ensure_partitions((config).id, lower(missing), upper(missing));
        end if;
    end loop;
end;
$$;

comment on function tsconsole.make_room(silver.timeseries_rollup_config, text, tsconsole.work_range) is
'Makes the partitions that a step is about to write to.
Example: see silver.perform_step.';


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
        select tsconsole.bucket_ceiling(config, p.range_end) into reached from tsconsole.partitions((config).target_table) p
        where p.range_start <= next_row and p.range_end > next_row;
        exit when reached is null or reached >= hi;
    end loop;
end;
$$;

comment on function tsconsole.make_room_for_rows(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'Makes the partitions of a long range that will get rows, and no others.
Example: see silver.perform_step.';


create or replace function tsconsole.absorb_late(config silver.timeseries_rollup_config, work text, range tsconsole.work_range) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A late range wholly inside what is computed now needs no work of its own. It must go in a statement before the
    -- aggregate: what arrives after this statement may be invisible to the aggregate, and stays.
    if work <> 'recompute' then
        execute format('delete from %s where kind = ''l'' and lo >= $1 and hi <= $2', tsconsole.pending_table((config).id))
        using (range).lo, (range).hi;
    end if;
end;
$$;

comment on function tsconsole.absorb_late(silver.timeseries_rollup_config, text, tsconsole.work_range) is
'Deletes the late ranges that a frontier or history step covers wholly.
Example: see silver.perform_step.';


create or replace function tsconsole.work_query(config silver.timeseries_rollup_config, work text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select case work when 'recompute' then tsconsole.recompute_query(config) else tsconsole.insert_query(config) end;
$$;

comment on function tsconsole.work_query(silver.timeseries_rollup_config, text) is
'The statement that a step runs. $1, $2: the range; $3: the claimed pending ranges; $4: the edge below which nothing is recomputed. It returns rows_read, rows_written, rows_deleted.
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
        tsconsole.aggregate_query(config, '$1', '$2'),
        tsconsole.aggregate_query(config, '$1', '$2', ', count(*) as ' || tsconsole.read_column(config)),
        tsconsole.read_column(config));
$$;

comment on function tsconsole.insert_query(silver.timeseries_rollup_config) is
'The statement of a frontier or history step: a plain INSERT … SELECT … GROUP BY, since no row of the range was ever written.
Example: select tsconsole.insert_query(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.read_column(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select quote_ident(tsconsole.free_name('rows read', tsconsole.key_columns(config) || tsconsole.value_columns(config)));
$$;

comment on function tsconsole.read_column(silver.timeseries_rollup_config) is
'A column name for the count of rows read, beside the columns of the target.
Example: select tsconsole.read_column(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.recompute_query(config silver.timeseries_rollup_config) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select format(
        'with claimed as materialized (select lo, least(hi, $2) as hi from %1$s where ctid = any ($3) and lo < $2), '
        'ranges as materialized (select lower(r) as lo, upper(r) as hi from ('
        '  select unnest(range_agg(tstzrange(lo, hi)) * tstzmultirange(tstzrange($4, null))) as r from claimed) m), '
        'fresh as materialized (select q.* from ranges cross join lateral (%2$s) q), '
        'gone as materialized (select %3$s from ranges cross join lateral (select %3$s from %4$s t where %5$s) t '
        '  where not exists (select from fresh f where %6$s)), '
        'deleted as (delete from %4$s t where t.%7$I = any (array(select g.%7$I from gone g)) and exists (select from gone f where %6$s) returning %3$s), '
        'written as (insert into %4$s as t (%8$s) select %8$s from fresh on conflict (%9$s) do update set %10$s where (%11$s) is distinct from (%12$s) returning %3$s), '
        'changed as materialized (select distinct %13$s as bucket from (select %14$s from deleted t union all select %14$s from written t) t)%15$s '
        'select (select coalesce(sum(f.%16$s), 0)::bigint from fresh f) as rows_read, '
        '(select count(*) from written) as rows_written, (select count(*) from deleted) as rows_deleted',
        tsconsole.pending_table((config).id),
        tsconsole.aggregate_query(config, 'ranges.lo', 'ranges.hi', ', count(*) as ' || tsconsole.read_column(config)),
        tsconsole.column_list(keys.names, 't.%I'),
        tsconsole.qualified_name((config).target_table),
        tsconsole.range_condition(config, 't', 'ranges.lo', 'ranges.hi'),
        (select string_agg(format('f.%1$I is not distinct from t.%1$I', k), ' and ') from unnest(keys.names) k),
        (config).time_column,
        tsconsole.column_list(keys.names || vals.names),
        tsconsole.column_list(keys.names),
        (select string_agg(format('%1$I = excluded.%1$I', v), ', ') from unnest(vals.names) v),
        tsconsole.comparable_values(config, 't'),
        tsconsole.comparable_values(config, 'excluded'),
        tsconsole.column_to_axis(config, format('t.%I', (config).time_column)),
        format('t.%I', (config).time_column),
        tsconsole.hand_on_query(config),
        tsconsole.read_column(config))
    from (select tsconsole.key_columns(config) as names) keys, (select tsconsole.value_columns(config) as names) vals;
$$;

comment on function tsconsole.recompute_query(silver.timeseries_rollup_config) is
'The statement of a recompute step: aggregates the claimed ranges again, writes only rows that differ, deletes rows whose bucket lost its source rows, and queues the changed buckets for the rollups that read this one.
Example: select tsconsole.recompute_query(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.comparable_values(config silver.timeseries_rollup_config, alias text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- json and some other types know no equality; their text does.
    select string_agg(format(case when m.aggregate in ('array_agg', 'first', 'last', 'mode') then '%I.%I::text' else '%I.%I' end, alias, c.name),
                      ', ' order by c.rank)
    from unnest(tsconsole.value_columns(config)) with ordinality c (name, rank)
    left join tsconsole.rollup_measure m on m.rollup_id = (config).id and m.target_column = c.name;
$$;

comment on function tsconsole.comparable_values(silver.timeseries_rollup_config, text) is
'The value columns of a target as a list that can be compared.
Example: select tsconsole.comparable_values(tsconsole.rollup(''silver.meters_1h''), ''t'');';


create or replace function tsconsole.hand_on_query(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(string_agg(format(
        ', handed_%s as (insert into %s (lo, hi, all_series, kind) '
        'select distinct b.lo, tsconsole.next_bucket(%3$L::interval, b.lo, %4$L, %5$L::timestamptz), true, ''l''::"char" '
        'from (select silver.time_bucket(%3$L::interval, c.bucket, %4$L, %5$L::timestamptz) as lo from changed c) b)',
        reader.id, tsconsole.pending_table(reader.id), reader.rollup_interval, tsconsole.bucket_zone(reader), reader.bucket_origin), ''), '')
    from silver.timeseries_rollup_config reader
    where reader.source_table = (config).target_table;
$$;

comment on function tsconsole.hand_on_query(silver.timeseries_rollup_config) is
'The parts of a recompute statement that queue what changed for each rollup that reads this one, widened to its buckets.
Example: select tsconsole.hand_on_query(tsconsole.rollup(''silver.meters_1m''));';


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
