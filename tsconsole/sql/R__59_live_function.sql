-- The live query of a rollup for a range of time, with the range pushed into every table it reads.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.live(target anyelement, from_time timestamptz default null, to_time timestamptz default null) returns setof anyelement
language plpgsql stable
set search_path = pg_catalog, pg_temp
set row_security = off
set jit = off
as $$
declare
    relation regclass := (select t.typrelid::regclass from pg_type t where t.oid = pg_typeof(target) and t.typrelid <> 0);
    config silver.timeseries_rollup_config;
    lo timestamptz;
    hi timestamptz;
begin
    if relation is null then
        raise exception 'the first argument of silver.live has type %, not that of a target', pg_typeof(target) using
            errcode = 'TS001', hint = 'It names the target by its row type: select * from silver.live(null::silver.meters_1h, now() - interval ''1 day'');';
    end if;
    config := tsconsole.rollup(relation);
    if from_time >= to_time then
        perform tsconsole.check_range(from_time, to_time);
    end if;
    perform tsconsole.check_has_live_view(config);
    -- A stable function reads in the snapshot of the query that calls it, so this equals GROUP BY in that query.
    lo := case when from_time > tsconsole.earliest_time() and from_time < tsconsole.latest_time() then tsconsole.bucket_ceiling(config, from_time)
               when from_time >= tsconsole.latest_time() then 'infinity' else '-infinity' end;
    hi := case when to_time > tsconsole.earliest_time() and to_time < tsconsole.latest_time() then tsconsole.bucket_ceiling(config, to_time)
               when to_time <= tsconsole.earliest_time() then '-infinity' else 'infinity' end;
    return query execute tsconsole.typed_query(config, tsconsole.bounded_live_query(config)) using lo, hi;
end;
$$;

comment on function silver.live(anyelement, timestamptz, timestamptz) is
'The rows of a rollup''s live view whose bucket starts in [from_time, to_time); null leaves that side open. It equals the view filtered by that range, and plans quickly however many partitions source and target have. Its first argument names the target: a null of its row type. It runs with the rights of the caller, who needs to read the source. TS001 for an empty range, TS002 when it is not a rollup, TS005 while the source is prepared for DDL.
Example: select * from silver.live(null::silver.meters_1h, now() - interval ''1 day'', now());';


create or replace function tsconsole.check_has_live_view(config silver.timeseries_rollup_config) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('tsconsole.stale_' || config.id) is null then
        raise exception 'the live view of % is away', tsconsole.qualified_name(config.target_table) using
            errcode = 'TS005', hint = 'Its source is prepared for DDL; silver.refresh_source brings it back.';
    end if;
end;
$$;

comment on function tsconsole.check_has_live_view(silver.timeseries_rollup_config) is
'Refuses (TS005) while the live view of a rollup is away.
Example: select tsconsole.check_has_live_view(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.typed_query(config silver.timeseries_rollup_config, query text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- In the order of the target's columns. A column that is not the engine's own is null in a live row.
    select format('select %s from (%s) q',
        string_agg(case when k.name is null then format('null::%s', c.data_type) else format('q.%I::%s', c.column_name, c.data_type) end, ', ' order by c.ordinal), query)
    from tsconsole.columns((config).target_table) c
    left join (select unnest(tsconsole.key_columns(config)) as name
               union all select 'rollup_count'
               union all select m.target_column from tsconsole.rollup_measure m where m.rollup_id = (config).id) k on k.name = c.column_name;
$$;

comment on function tsconsole.typed_query(silver.timeseries_rollup_config, text) is
'A query over the columns of a live view, with exactly the row type of the target.
Example: select tsconsole.typed_query(tsconsole.rollup(''silver.meters_1h''), ''select * from silver.meters_1h_live'');';


create or replace function tsconsole.bounded_live_query(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The range of a piece is known when the query runs, $1 and $2 when it is planned: they leave few partitions to plan for.
    within text := ' and ' || tsconsole.range_condition(config, 's', '$1', '$2');
    has_series boolean := tsconsole.series_columns(config) <> '';
    bucket text := tsconsole.column_to_axis(config, format('t.%I', config.time_column));
begin
    if (tsconsole.parent_rollup(config)).id is not null then
        return tsconsole.bounded_ladder_query(config);
    end if;
    -- As tsconsole.live_query, but everything cut to [$1, $2), which lies on bucket edges. offset 0: what a level above asks of
    -- the computed rows would only repeat the bucket's expression, which grows with each level, as a condition on every row.
    return format(
        'with frozen as materialized (%1$s), '
        'stale as materialized (select p.* from tsconsole.stale_%2$s p where p.lo < $2 and p.hi > $1), '
        'whole as materialized (select coalesce(range_agg(tstzrange(p.lo, p.hi)) * tstzmultirange(tstzrange($1, $2)) - (select f.ranges from frozen f), ''{}'') as ranges '
        'from (select lo, hi from stale where all_series%3$s) p)%4$s '
        'select %5$s from %6$s t where %7$s and not %8$s <@ (select w.ranges from whole w)%9$s '
        'union all select %10$s from whole w cross join lateral tsconsole.ranges(w.ranges) "stale range" (piece) cross join lateral (%11$s offset 0) t%12$s',
        tsconsole.kept_query(config), config.id,
        case when has_series then format(' union all select lo, min(hi) from (select distinct lo, hi%s from stale where not all_series) b group by lo having count(*) > 5',
                                         tsconsole.series_columns(config)) else '' end,
        case when has_series then format(', series as materialized (select distinct p.lo, p.hi%s from stale p where not p.all_series and not p.lo <@ (select w.ranges from whole w) and not p.lo <@ (select f.ranges from frozen f))',
                                         tsconsole.series_columns(config, 'p.d%s')) else '' end,
        tsconsole.live_columns(config, 'stored'),
        tsconsole.qualified_name(config.target_table), tsconsole.range_condition(config, 't', '$1', '$2'), bucket,
        case when has_series then format(' and not exists (select from series where series.lo = %s%s)', bucket, tsconsole.stored_series(config)) else '' end,
        tsconsole.live_columns(config, 'computed'),
        tsconsole.aggregate_query(config, 'lower("stale range".piece)', 'upper("stale range".piece)', condition := within),
        case when has_series then format(' union all select %s from series cross join lateral (%s offset 0) t', tsconsole.live_columns(config, 'computed'),
            tsconsole.aggregate_query(config, 'series.lo', 'series.hi', condition := within || tsconsole.same_series(config, 'series'))) else '' end);
end;
$$;

comment on function tsconsole.bounded_live_query(silver.timeseries_rollup_config) is
'The live query of a rollup for the buckets of [$1, $2), which must lie on bucket edges; that of the level below stands inside it.
Example: select tsconsole.bounded_live_query(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.bounded_ladder_query(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    below text := '(' || tsconsole.bounded_live_query(tsconsole.parent_rollup(config)) || ')';
    bucket text := tsconsole.column_to_axis(config, format('t.%I', config.time_column));
begin
    -- The level below is read once, whatever is stale in the range: once for each stale range would multiply level by level.
    return format(
        'with frozen as materialized (%1$s), '
        'whole as materialized (select coalesce(range_agg(tstzrange(p.lo, p.hi)) * tstzmultirange(tstzrange($1, $2)) - (select f.ranges from frozen f), ''{}'') as ranges '
        'from tsconsole.stale_%2$s p where p.lo < $2 and p.hi > $1) '
        'select %3$s from %4$s t where %5$s and not %6$s <@ (select w.ranges from whole w) '
        'union all select %7$s from (%8$s offset 0) t',
        tsconsole.kept_query(config), config.id,
        tsconsole.live_columns(config, 'stored'),
        tsconsole.qualified_name(config.target_table), tsconsole.range_condition(config, 't', '$1', '$2'), bucket,
        tsconsole.live_columns(config, 'computed'),
        tsconsole.aggregate_query(config, '(select lower(w.ranges) from whole w)', '(select upper(w.ranges) from whole w)', relation := below,
            condition := format(' and %s <@ (select w.ranges from whole w)', tsconsole.column_to_axis(config, format('s.%I', config.time_column)))));
end;
$$;

comment on function tsconsole.bounded_ladder_query(silver.timeseries_rollup_config) is
'As tsconsole.bounded_live_query, of a rollup that reads another rollup.
Example: select tsconsole.bounded_ladder_query(tsconsole.rollup(''silver.meters_1h''));';
