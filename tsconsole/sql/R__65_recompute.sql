-- Recomputing what late changes made stale: only the series and buckets that changed, writing only rows that differ.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

-- They knew nothing of single series once.
drop function if exists tsconsole.recompute_query(silver.timeseries_rollup_config);
drop function if exists tsconsole.stale_parts(silver.timeseries_rollup_config);
drop function if exists tsconsole.fresh_query(silver.timeseries_rollup_config);
drop function if exists tsconsole.gone_query(silver.timeseries_rollup_config);

create or replace function tsconsole.recompute_query(config silver.timeseries_rollup_config, only_series boolean default false) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select format(
            'with claimed as materialized (select lo, least(hi, $2) as hi, all_series%1$s from %2$s where ctid = any ($3) and lo < $2), '
            '%3$s, '
            'fresh as materialized (%4$s), '
            'gone as materialized (%5$s), '
            'deleted as (delete from %6$s t where t.%7$I = any (array(select g.%7$I from gone g)) and %17$s and exists (select from gone f where %8$s) returning %9$s), '
            'written as (insert into %6$s as t (%10$s) select %10$s from fresh on conflict (%11$s) do update set %12$s where (%13$s) is distinct from (%14$s) returning %9$s), '
            'changed as materialized (select distinct %9$s from (select * from deleted union all select * from written) t)%15$s '
            'select (select coalesce(sum(f.%16$s), 0)::bigint from fresh f) as rows_read, '
            '(select count(*) from written) as rows_written, (select count(*) from deleted) as rows_deleted',
            tsconsole.series_columns(config),
            tsconsole.pending_table((config).id),
            tsconsole.stale_parts(config, only_series),
            tsconsole.fresh_query(config, only_series),
            tsconsole.gone_query(config, only_series),
            tsconsole.qualified_name((config).target_table),
            (config).time_column,
            tsconsole.same_key(config),
            tsconsole.column_list(keys.names, 't.%I'),
            tsconsole.column_list(keys.names || vals.names),
            tsconsole.column_list(keys.names),
            (select string_agg(format('%1$I = excluded.%1$I', v), ', ') from unnest(vals.names) v),
            tsconsole.comparable_values(config, 't'),
            tsconsole.comparable_values(config, 'excluded'),
            tsconsole.hand_on_query(config),
            tsconsole.read_column(config),
            tsconsole.range_condition(config, 't', '$1', '$2'))
        from (select tsconsole.key_columns(config) as names) keys, (select tsconsole.value_columns(config) as names) vals);
end;
$$;

comment on function tsconsole.recompute_query(silver.timeseries_rollup_config, boolean) is
'The statement of a recompute step: aggregates the claimed ranges and series again, writes only rows that differ, deletes rows whose bucket lost its source rows, and queues the changed buckets for the rollups that read this one. only_series: nothing that was claimed is of all series; it plans in less time.
Example: select tsconsole.recompute_query(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.run_uncompiled(
    query text, range tsconsole.work_range, kept tstzmultirange, out rows_read bigint, out rows_written bigint, out rows_deleted bigint
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $$
begin
    -- How little a recompute does is known only when it runs: the planner expects millions of rows, and compiling for those
    -- takes seconds where running takes milliseconds. (Frontier and history do gain by it.)
    execute query into rows_read, rows_written, rows_deleted using (range).lo, (range).hi, (range).entries, kept;
end;
$$;

comment on function tsconsole.run_uncompiled(text, tsconsole.work_range, tstzmultirange) is
'Runs the statement of a recompute step without the JIT.
Example: see silver.perform_step.';


create or replace function tsconsole.stale_parts(config silver.timeseries_rollup_config, only_series boolean) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    dimensions text := tsconsole.series_columns(config);
begin
    -- A bucket with more than a few stale series is read whole. What is frozen ($4) is cut off. Buckets of a series that
    -- follow each other are read in one go.
    return concat_ws(', ',
        case when not only_series then format(
            'whole as materialized (select coalesce(range_agg(r) - $4, ''{}'') as ranges from ('
            'select tstzrange(lo, hi) as r from claimed where all_series '
            'union all select tstzrange(lo, min(hi)) from (select distinct lo, hi%1$s from claimed where not all_series) b group by lo having count(*) > 5) w), '
            'ranges as materialized (select lower(r) as lo, upper(r) as hi from whole, tsconsole.ranges(whole.ranges) r)', dimensions) end,
        case when dimensions <> '' then format(
            'series as materialized (select distinct lo, hi%1$s from claimed where not lo <@ $4%2$s), '
            'runs as materialized (select lower(r) as lo, upper(r) as hi%3$s from (select range_agg(tstzrange(lo, hi)) as ranges%1$s from series group by %4$s) g, tsconsole.ranges(g.ranges) r)',
            dimensions, case when not only_series then ' and not all_series and not lo <@ (select ranges from whole)' end,
            tsconsole.series_columns(config, 'g.d%s'), ltrim(dimensions, ', ')) end);
end;
$$;

comment on function tsconsole.stale_parts(silver.timeseries_rollup_config, boolean) is
'The parts of a recompute statement that sort what was claimed into whole ranges, single series, and runs of their buckets.
Example: select tsconsole.stale_parts(tsconsole.rollup(''silver.meters_1h''), false);';


create or replace function tsconsole.fresh_query(config silver.timeseries_rollup_config, only_series boolean) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- One aggregate for each range or series, by index; a plain join would choose a sequential scan. Everything that was
    -- claimed lies in [$1, $2), which is known when the statement is planned: it leaves few partitions to plan for.
    return (
        select concat_ws(' union all ',
            case when not only_series then
                format('select q.* from ranges cross join lateral (%s) q',
                       tsconsole.aggregate_query(config, 'ranges.lo', 'ranges.hi', counted.sql, within.sql, is_bounded := true)) end,
            case when tsconsole.series_columns(config) <> '' then
                format('select q.* from runs cross join lateral (%s) q',
                       tsconsole.aggregate_query(config, 'runs.lo', 'runs.hi', counted.sql, within.sql || tsconsole.same_series(config, 'runs'))) end)
        from (select ', count(*) as ' || tsconsole.read_column(config) as sql) counted,
             (select ' and ' || tsconsole.range_condition(config, 's', '$1', '$2') as sql) within);
end;
$$;

comment on function tsconsole.fresh_query(silver.timeseries_rollup_config, boolean) is
'The part of a recompute statement that aggregates the stale buckets again.
Example: select tsconsole.fresh_query(tsconsole.rollup(''silver.meters_1h''), false);';


create or replace function tsconsole.gone_query(config silver.timeseries_rollup_config, only_series boolean) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- OFFSET 0: one lookup for each series; joined, a whole partition would be read.
    return (
        select format('select %1$s from (%2$s) t where not exists (select from fresh f where %3$s)', keys.columns,
            concat_ws(' union all ',
                case when not only_series then
                    format('select %1$s from ranges cross join lateral (select %1$s from %2$s t where %3$s) t', keys.columns,
                        tsconsole.qualified_name((config).target_table),
                        tsconsole.range_condition(config, 't', 'ranges.lo', 'ranges.hi') || within.sql) end,
                case when tsconsole.series_columns(config) <> '' then
                    format('select %1$s from series cross join lateral (select %1$s from %2$s t where t.%3$I = %4$s%5$s%6$s offset 0) t', keys.columns,
                        tsconsole.qualified_name((config).target_table),
                        (config).time_column, tsconsole.axis_to_column(config, 'series.lo'),
                        within.sql, tsconsole.stored_series_by_index(config)) end),
            tsconsole.same_key(config))
        from (select tsconsole.column_list(tsconsole.key_columns(config), 't.%I') as columns) keys,
             (select ' and ' || tsconsole.range_condition(config, 't', '$1', '$2') as sql) within);
end;
$$;

comment on function tsconsole.gone_query(silver.timeseries_rollup_config, boolean) is
'The part of a recompute statement that finds stored rows whose bucket has no source rows any more.
Example: select tsconsole.gone_query(tsconsole.rollup(''silver.meters_1h''), false);';


create or replace function tsconsole.stored_series_by_index(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select string_agg(' and ' || tsconsole.indexed_value(tsconsole.plain_value(format('t.%I', d.column_name), d.data_type), format('series.d%s', d.position), t.base_type), '' order by d.position)
        from tsconsole.rollup_dimension d cross join lateral tsconsole.base_type((config).target_table, d.column_name) t (base_type)
        where d.rollup_id = (config).id);
end;
$$;

comment on function tsconsole.stored_series_by_index(silver.timeseries_rollup_config) is
'As tsconsole.stored_series, in the form that the unique index of the target serves: without it every row of a bucket would be read for each of its stale series.
Example: select tsconsole.stored_series_by_index(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.same_key(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select format('f.%1$I = t.%1$I', (config).time_column)
            || coalesce(string_agg(' and ' || tsconsole.same_value(tsconsole.plain_value(format('f.%I', d.column_name), d.data_type), tsconsole.plain_value(format('t.%I', d.column_name), d.data_type), t.base_type), '' order by d.position), '')
        from tsconsole.rollup_dimension d cross join lateral tsconsole.base_type((config).target_table, d.column_name) t (base_type)
        where d.rollup_id = (config).id);
end;
$$;

comment on function tsconsole.same_key(silver.timeseries_rollup_config) is
'The SQL condition that two rows, aliased f and t, have the same bucket and dimensions.
Example: select tsconsole.same_key(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.comparable_values(config silver.timeseries_rollup_config, alias text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- json and some other types know no equality; their text does.
    return (
        select string_agg(format(case when m.aggregate in ('array_agg', 'first', 'last', 'mode') then '%I.%I::text' else '%I.%I' end, alias, c.name),
                          ', ' order by c.rank)
        from unnest(tsconsole.value_columns(config)) with ordinality c (name, rank)
        left join tsconsole.rollup_measure m on m.rollup_id = (config).id and m.target_column = c.name);
end;
$$;

comment on function tsconsole.comparable_values(silver.timeseries_rollup_config, text) is
'The value columns of a target as a list that can be compared.
Example: select tsconsole.comparable_values(tsconsole.rollup(''silver.meters_1h''), ''t'');';


create or replace function tsconsole.hand_on_query(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
begin
    return (
        select coalesce(string_agg(format(
            ', handed_%1$s as (insert into %2$s (lo, hi, all_series%3$s, kind) '
            'select distinct b.lo, tsconsole.next_bucket(%4$L::interval, b.lo, %5$L, %6$L::timestamptz), b.is_whole%7$s, ''l''::"char" '
            'from (select c.*, %8$s as is_whole from (select distinct %9$s as lo%10$s from changed s) c) b)',
            reader.id, tsconsole.pending_table(reader.id), tsconsole.series_columns(reader),
            reader.rollup_interval, tsconsole.bucket_zone(reader), reader.bucket_origin,
            tsconsole.series_columns(reader, 'case when not b.is_whole then b.d%s end'),
            case when tsconsole.series_columns(reader) = '' then 'true' else 'count(*) over (partition by c.lo) > 5' end,
            format('silver.time_bucket(%L::interval, %s, %L, %L::timestamptz)', reader.rollup_interval,
                   tsconsole.column_to_axis(config, format('s.%I', (config).time_column)), tsconsole.bucket_zone(reader), reader.bucket_origin),
            (select string_agg(format(', %s as d%s', tsconsole.plain_value(d.expression, d.data_type), d.position), '' order by d.position)
             from tsconsole.rollup_dimension d where d.rollup_id = reader.id)), ''), '')
        from silver.timeseries_rollup_config reader
        where reader.source_table = (config).target_table);
end;
$$;

comment on function tsconsole.hand_on_query(silver.timeseries_rollup_config) is
'The parts of a recompute statement that queue what changed for each rollup that reads this one, widened to its buckets.
Example: select tsconsole.hand_on_query(tsconsole.rollup(''silver.meters_1m''));';
