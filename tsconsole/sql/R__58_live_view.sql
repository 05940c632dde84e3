-- The live view of a rollup: stored buckets where they are right, GROUP BY over the source where they may not be.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.live_view(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(tsconsole.qualified_name(tsconsole.existing_live_view((config).id)), format('%I.%I', n.nspname, tsconsole.fit_name(c.relname || '_live')))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = (config).target_table;
$$;

comment on function tsconsole.live_view(silver.timeseries_rollup_config) is
'The name of a rollup''s live view: that of its target and _live.
Example: select tsconsole.live_view(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.make_live_view(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('create view tsconsole.stale_%s as %s', (config).id, tsconsole.stale_query(config));
    perform tsconsole.give_to_owner('view', 'tsconsole.stale_' || (config).id);
    execute format('comment on view tsconsole.stale_%s is %L', (config).id,
        'The buckets whose stored rows may differ from the source now: pending ranges of this level and of those below, and all above the watermark.');
    execute format('create view %s as %s', tsconsole.live_view(config), tsconsole.live_query(config));
    perform tsconsole.give_to_owner('view', tsconsole.live_view(config));
    execute format('comment on view %s is %L', tsconsole.live_view(config),
        format('%s as GROUP BY over its source would give it at this moment, late and newest rows included. It reads with the rights of its owner.',
               tsconsole.qualified_name((config).target_table)));
end;
$$;

comment on function tsconsole.make_live_view(silver.timeseries_rollup_config) is
'Creates the live view of a rollup.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.drop_live_view(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    live regclass;
begin
    -- Found by what it reads, so that a renamed target does not hide it.
    select distinct r.ev_class::regclass into live
    from pg_depend d join pg_rewrite r on r.oid = d.objid
    where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
      and d.refobjid = to_regclass('tsconsole.stale_' || config.id)
      and r.ev_class not in (select to_regclass('tsconsole.stale_' || c.id) from silver.timeseries_rollup_config c
                             where to_regclass('tsconsole.stale_' || c.id) is not null);
    if live is not null then
        execute format('drop view %s', tsconsole.qualified_name(live));
    end if;
    execute format('drop view if exists tsconsole.stale_%s', config.id);
end;
$$;

comment on function tsconsole.drop_live_view(silver.timeseries_rollup_config) is
'Drops the live view of a rollup.
Example: see silver.drop_rollup.';


create or replace function tsconsole.stale_query(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
declare
    parent silver.timeseries_rollup_config := tsconsole.parent_rollup(config);
    no_series text := tsconsole.series_columns(config, 'null');
    own_stale text;
    from_below text := '';
begin
    own_stale := format(
        'select p.lo, p.hi, p.all_series%s from %s p union all '
        'select greatest(c.last_processed_time, c.first_bucket, tsconsole.earliest_time()), tsconsole.latest_time(), true%s from silver.timeseries_rollup_config c where c.id = %s',
        tsconsole.series_columns(config, 'p.d%s'), tsconsole.pending_table(config.id), no_series, config.id);
    if parent.id is not null then
        from_below := format(
            ' union all select tsconsole.bucket_start(%1$L::interval, s."stale from", %2$L, %3$L::timestamptz), '
            'case when s."stale to" < tsconsole.latest_time() then tsconsole.bucket_ceiling(%1$L::interval, s."stale to", %2$L, %3$L::timestamptz) else tsconsole.latest_time() end, %4$s%5$s '
            'from (select p.lo as "stale from", p.hi as "stale to", p.all_series as "stale whole"%6$s from tsconsole.stale_%7$s p) s',
            config.rollup_interval, tsconsole.bucket_zone(config), config.bucket_origin,
            case when no_series = '' then 'true' else 's."stale whole"' end,
            (select string_agg(format(', case when not s."stale whole" then %s end', tsconsole.plain_value(d.expression, d.data_type)), '' order by d.position)
             from tsconsole.rollup_dimension d where d.rollup_id = config.id),
            (select string_agg(format(', p.d%s as %I', d.position, d.column_name), '' order by d.position)
             from tsconsole.rollup_dimension d where d.rollup_id = parent.id),
            parent.id);
    end if;
    return own_stale || from_below;
end;
$$;

comment on function tsconsole.stale_query(silver.timeseries_rollup_config) is
'The stale set of a rollup as SQL: its pending ranges and all above its watermark, and the stale set of the level below, widened to its own buckets.
Example: select tsconsole.stale_query(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.live_query(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    has_series boolean := tsconsole.series_columns(config) <> '';
    bucket text := tsconsole.column_to_axis(config, format('t.%I', config.time_column));
begin
    if (tsconsole.parent_rollup(config)).id is not null then
        return tsconsole.ladder_live_query(config);
    end if;
    -- Ranges are one multirange (a NOT EXISTS over 1,000 of them took 13 s instead of 77 ms); each is aggregated by itself.
    return format(
        'with frozen as materialized (%1$s), '
        'whole as materialized (select coalesce(range_agg(tstzrange(p.lo, p.hi)) - (select f.ranges from frozen f), ''{}'') as ranges '
        'from (select lo, hi from tsconsole.stale_%2$s where all_series%3$s) p)%4$s '
        'select %5$s from %6$s t where not %7$s <@ (select w.ranges from whole w)%8$s '
        'union all select %9$s from whole w cross join lateral tsconsole.ranges(w.ranges) "stale range" (piece) cross join lateral (%10$s) t%11$s',
        tsconsole.kept_query(config), config.id,
        -- Many single series of one bucket count as the whole bucket.
        case when has_series then format(' union all select lo, min(hi) from (select distinct lo, hi%s from tsconsole.stale_%s where not all_series) b group by lo having count(*) > 5',
                                         tsconsole.series_columns(config), config.id) else '' end,
        case when has_series then format(', series as materialized (select distinct p.lo, p.hi%s from tsconsole.stale_%s p where not p.all_series and not p.lo <@ (select w.ranges from whole w) and not p.lo <@ (select f.ranges from frozen f))',
                                         tsconsole.series_columns(config, 'p.d%s'), config.id) else '' end,
        tsconsole.live_columns(config, 'stored'),
        tsconsole.qualified_name(config.target_table), tsconsole.checked_last(config, bucket),
        case when has_series then format(' and not exists (select from series where series.lo = %s%s)', bucket, tsconsole.stored_series(config)) else '' end,
        tsconsole.live_columns(config, 'computed'),
        tsconsole.aggregate_query(config, 'lower("stale range".piece)', 'upper("stale range".piece)', bucket := tsconsole.live_bucket(config)),
        case when has_series then format(' union all select %s from series cross join lateral (%s) t', tsconsole.live_columns(config, 'computed'),
            tsconsole.aggregate_query(config, 'series.lo', 'series.hi', condition := tsconsole.same_series(config, 'series'), bucket := tsconsole.live_bucket(config))) else '' end);
end;
$$;

comment on function tsconsole.live_query(silver.timeseries_rollup_config) is
'The query of a rollup''s live view.
Example: select tsconsole.live_query(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.ladder_live_query(config silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    below text := tsconsole.live_view(tsconsole.parent_rollup(config));
    bucket text := tsconsole.column_to_axis(config, format('t.%I', config.time_column));
begin
    -- The level below is a live view itself: reading it once for each of many ranges multiplies level by level (100 scattered
    -- late rows took 10 s on a third level). So only a few ranges are read one by one; more are read in one go, and a stale
    -- series counts as its whole bucket.
    return format(
        'with frozen as materialized (%1$s), '
        'stale as materialized (select coalesce(range_agg(tstzrange(p.lo, p.hi)) - (select f.ranges from frozen f), ''{}'') as ranges from tsconsole.stale_%2$s p), '
        'whole as materialized (select s.ranges, (select count(*) from unnest(s.ranges)) as pieces from stale s) '
        'select %3$s from %4$s t where not %5$s <@ (select w.ranges from whole w) '
        'union all select %6$s from whole w cross join lateral tsconsole.ranges(case when w.pieces <= 3 then w.ranges end) "stale range" (piece) cross join lateral (%7$s) t '
        'union all select %6$s from (%8$s) t',
        tsconsole.kept_query(config), config.id,
        tsconsole.live_columns(config, 'stored'),
        tsconsole.qualified_name(config.target_table), tsconsole.checked_last(config, bucket),
        tsconsole.live_columns(config, 'computed'),
        tsconsole.aggregate_query(config, 'lower("stale range".piece)', 'upper("stale range".piece)', relation := below, bucket := tsconsole.live_bucket(config)),
        tsconsole.aggregate_query(config, '(select lower(w.ranges) from whole w)', '''infinity''::timestamptz', relation := below, bucket := tsconsole.live_bucket(config),
            condition := format(' and (select w.pieces from whole w) > 3 and %s <@ (select w.ranges from whole w)',
                                tsconsole.column_to_axis(config, format('s.%I', config.time_column)))));
end;
$$;

comment on function tsconsole.ladder_live_query(silver.timeseries_rollup_config) is
'The query of the live view of a rollup that reads another rollup.
Example: select tsconsole.ladder_live_query(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.live_bucket(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- silver.time_bucket is inlined, which is fast for many rows. But what an upper level asks of a bucket repeats its whole
    -- expression as a condition on the level below, and that level's in it: plans of three levels took seconds to compile. A
    -- call stays a call. The first level reads many rows: there only what is meant for times before 1980 becomes one.
    select case when usual.bucket like 'case when %' or (tsconsole.parent_rollup(config)).id is not null
                then replace(usual.bucket, 'silver.time_bucket(', 'tsconsole.bucket_start(') end
    from (select tsconsole.bucket_expression(config, format('s.%I', (config).time_column)) as bucket) usual;
$$;

comment on function tsconsole.live_bucket(silver.timeseries_rollup_config) is
'The SQL of a bucket in a live view, with calendar arithmetic as a function call; null where it is the usual one.
Example: select tsconsole.live_bucket(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.bucket_start(width interval, at timestamptz, zone text, origin timestamptz) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return silver.time_bucket(width, at, zone, origin);
end;
$$;

comment on function tsconsole.bucket_start(interval, timestamptz, text, timestamptz) is
'As silver.time_bucket, never inlined.
Example: select tsconsole.bucket_start(''1 day'', now(), ''Europe/Berlin'', null);';


create or replace function tsconsole.checked_last(config silver.timeseries_rollup_config, bucket text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    -- PostgreSQL checks conditions in the order of what they seem to cost. Looking a bucket up among a thousand ranges must
    -- come after a filter by dimension, which seems to cost as much: one more comparison settles it.
    select case when (config).time_type = 'timestamptz'::regtype then format('greatest(%1$s, %1$s)', bucket) else bucket end;
$$;

comment on function tsconsole.checked_last(silver.timeseries_rollup_config, text) is
'A bucket in SQL, to be looked up among the stale ranges after a query''s own conditions have been checked.
Example: select tsconsole.checked_last(tsconsole.rollup(''silver.meters_1h''), ''t.ts'');';


create or replace function tsconsole.ranges(ranges tstzmultirange) returns setof tstzrange
language sql immutable strict parallel safe rows 1
set search_path = pg_catalog, pg_temp
as $$
    select unnest(ranges);
$$;

comment on function tsconsole.ranges(tstzmultirange) is
'The ranges of a multirange. Planned as one row, where unnest counts as a hundred: there are few, and a plan that looks a hundred times as expensive is compiled by the JIT, which takes longer than running it.
Example: select tsconsole.ranges(''{[2026-01-01,2026-01-02)}'');';


create or replace function tsconsole.live_columns(config silver.timeseries_rollup_config, origin text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select tsconsole.column_list(tsconsole.key_columns(config) || 'rollup_count'::text, 't.%I')
        || coalesce(string_agg(case
            -- A generated column, where it is not stored: its expression names the columns it is computed from.
            when m.is_generated and origin = 'computed' then format(', %s as %I', m.expression, m.target_column)
            else format(', t.%I', m.target_column) end, '' order by m.position), '')
    from tsconsole.rollup_measure m where m.rollup_id = (config).id;
$$;

comment on function tsconsole.live_columns(silver.timeseries_rollup_config, text) is
'The columns of a live view, from stored rows or from rows computed now (origin stored or computed).
Example: select tsconsole.live_columns(tsconsole.rollup(''silver.meters_1h''), ''stored'');';


create or replace function tsconsole.stored_series(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(' and ' || tsconsole.same_value(tsconsole.plain_value(format('t.%I', d.column_name), d.data_type), format('series.d%s', d.position), t.base_type), '' order by d.position)
    from tsconsole.rollup_dimension d cross join lateral tsconsole.base_type((config).target_table, d.column_name) t (base_type)
    where d.rollup_id = (config).id;
$$;

comment on function tsconsole.stored_series(silver.timeseries_rollup_config) is
'The SQL condition that a stored row (alias t) belongs to a series in d1, d2, …; with a leading and.
Example: select tsconsole.stored_series(tsconsole.rollup(''silver.meters_1h''));';
