-- Buckets of a rollup, and the queries generated for it. Generated at every step, so that a rename of a table needs nothing.
-- What every step calls is in PL/pgSQL, which keeps its plans for the session: before version 18, PostgreSQL plans a function in
-- SQL anew for each statement that calls it, which took half of a small step.
-- Times and intervals are written the same in every session: read in another one, 03/01/2000 00:00 IST is another time.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.bucket_zone(config silver.timeseries_rollup_config) returns text
language sql stable
return case when (config).time_type = 'timestamptz'::regtype then (config).timezone else 'UTC' end;

comment on function tsconsole.bucket_zone(silver.timeseries_rollup_config) is
'The zone in which buckets start. timestamp and date columns are local already, so they are cut as if they were UTC.
Example: select tsconsole.bucket_zone(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.bucket_floor(config silver.timeseries_rollup_config, at timestamptz) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return silver.time_bucket((config).rollup_interval, at, tsconsole.bucket_zone(config), (config).bucket_origin);
end;
$$;

comment on function tsconsole.bucket_floor(silver.timeseries_rollup_config, timestamptz) is
'The start of the bucket that holds a time.
Example: select tsconsole.bucket_floor(tsconsole.rollup(''silver.meters_1h''), now());';


create or replace function tsconsole.bucket_ceiling(config silver.timeseries_rollup_config, at timestamptz) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if at is null then
        return null;
    end if;
    return tsconsole.bucket_ceiling((config).rollup_interval, at, tsconsole.bucket_zone(config), (config).bucket_origin);
end;
$$;

comment on function tsconsole.bucket_ceiling(silver.timeseries_rollup_config, timestamptz) is
'The first start of a bucket at or after a time.
Example: select tsconsole.bucket_ceiling(tsconsole.rollup(''silver.meters_1h''), now());';


create or replace function tsconsole.window_end(config silver.timeseries_rollup_config, starts timestamptz, width interval) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- At least one whole bucket, however narrow the window.
    return greatest(tsconsole.bucket_floor(config, starts + width),
                    tsconsole.next_bucket((config).rollup_interval, starts, tsconsole.bucket_zone(config), (config).bucket_origin));
end;
$$;

comment on function tsconsole.window_end(silver.timeseries_rollup_config, timestamptz, interval) is
'Where a window of about this width ends that starts at a bucket''s edge: on an edge, at least one bucket on.
Example: select tsconsole.window_end(tsconsole.rollup(''silver.meters_1h''), ''2026-01-01'', ''1 day'');';


create or replace function tsconsole.bucket_expression(config silver.timeseries_rollup_config, column_sql text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
begin
    return (
        select case
            when fixed and kind = 'timestamptz' then format('pg_catalog.date_bin(%L::interval, %s, %L::timestamp with time zone)', width, column_sql, origin)
            when fixed then format('pg_catalog.date_bin(%L::interval, %s%s, %L::timestamp)%s', width, column_sql,
                                   case kind when 'date' then '::timestamp' end, origin at time zone 'UTC', case kind when 'date' then '::pg_catalog.date' end)
            -- Since 1980 every zone is a multiple of 15 minutes from UTC, before and after its clock changes (Kiritimati was the last).
            when kind = 'timestamptz' and not is_monthly and zone <> 'UTC' and 900 % seconds = 0 and (config).bucket_origin is null
                then format('case when %2$s operator(pg_catalog.>=) ''1980-01-01 00:00:00+00'' then pg_catalog.date_bin(%1$L::interval, %2$s, %3$L::timestamp with time zone) else %4$s end', width, column_sql, origin, bucket)
            when kind = 'timestamptz' then bucket
            else format('(%s at time zone ''UTC'')%s', bucket, case kind when 'date' then '::pg_catalog.date' end)
        end
        from (select (config).rollup_interval as width,
                     case (config).time_type when 'timestamptz'::regtype then 'timestamptz' when 'date'::regtype then 'date' else 'timestamp' end as kind,
                     -- A fixed width in UTC is plain arithmetic. Months, and zones with their clock changes, are not.
                     p.months = 0 and tsconsole.bucket_zone(config) = 'UTC' as fixed,
                     p.months > 0 as is_monthly, p.seconds, tsconsole.bucket_zone(config) as zone,
                     -- Minor releases before 15.7 and 16.3 put an exact start before the origin one bucket too early.
                     date_bin(case when p.months = 0 then (config).rollup_interval else interval '1 day' end, timestamptz '0001-01-01 00:00:00+00',
                              coalesce((config).bucket_origin, timestamptz '2000-01-03 00:00:00+00')) as origin
              from tsconsole.interval_parts((config).rollup_interval) p) f,
             lateral (select format('silver.time_bucket(%L::interval, %s, %L, %L::timestamp with time zone)', width,
                                    case kind when 'timestamptz' then column_sql
                                              else format('(%s%s at time zone ''UTC'')', column_sql, case kind when 'date' then '::timestamp' end) end,
                                    tsconsole.bucket_zone(config), (config).bucket_origin) as bucket) b);
end;
$$;

comment on function tsconsole.bucket_expression(silver.timeseries_rollup_config, text) is
'The SQL that gives the bucket of a time column: date_bin for fixed widths, silver.time_bucket (which is inlined) for months and named zones. Writers run it, under any search path.
Example: select tsconsole.bucket_expression(tsconsole.rollup(''silver.meters_1h''), ''s.ts'');';


create or replace function tsconsole.edge_width(config silver.timeseries_rollup_config) returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Looking a time up among the edges of its buckets is several times faster than time-zone arithmetic for each row.
    -- Narrow buckets would have too many edges.
    return (
        select case when (config).time_type = 'timestamptz'::regtype and (p.months > 0 or (config).timezone <> 'UTC' and p.seconds >= 900)
                    then (config).rollup_interval end
        from tsconsole.interval_parts((config).rollup_interval) p);
end;
$$;

comment on function tsconsole.edge_width(silver.timeseries_rollup_config) is
'The width of the buckets whose edges a query over a bounded range makes first; null when arithmetic on each row does.
Example: select tsconsole.edge_width(tsconsole.rollup(''silver.meters_1d''));';


create or replace function tsconsole.axis_to_column(config silver.timeseries_rollup_config, time_sql text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format(case (config).time_type when 'timestamptz'::regtype then '%s'
                                          when 'date'::regtype then '((%s) at time zone ''UTC'')::date'
                                          else '((%s) at time zone ''UTC'')' end, time_sql);
end;
$$;

comment on function tsconsole.axis_to_column(silver.timeseries_rollup_config, text) is
'The SQL that turns a stored time (timestamptz) into the type of the time column.
Example: select tsconsole.axis_to_column(tsconsole.rollup(''silver.meters_1h''), ''$1'');';


create or replace function tsconsole.column_to_axis(config silver.timeseries_rollup_config, column_sql text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format(case (config).time_type when 'timestamptz'::regtype then '%s'
                                          when 'date'::regtype then '((%s)::timestamp at time zone ''UTC'')'
                                          else '((%s) at time zone ''UTC'')' end, column_sql);
end;
$$;

comment on function tsconsole.column_to_axis(silver.timeseries_rollup_config, text) is
'The SQL that turns a value of the time column into a stored time (timestamptz).
Example: select tsconsole.column_to_axis(tsconsole.rollup(''silver.meters_1h''), ''min(ts)'');';


create or replace function tsconsole.range_condition(config silver.timeseries_rollup_config, alias text, lo text, hi text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('%1$I.%2$I >= %3$s and %1$I.%2$I < %4$s', alias, (config).time_column,
                  tsconsole.axis_to_column(config, lo), tsconsole.axis_to_column(config, hi));
end;
$$;

comment on function tsconsole.range_condition(silver.timeseries_rollup_config, text, text, text) is
'The SQL condition that a row''s time lies in [lo, hi); lo and hi are SQL of type timestamptz.
Example: select tsconsole.range_condition(tsconsole.rollup(''silver.meters_1h''), ''s'', ''$1'', ''$2'');';


-- Without its last argument it would stand beside this one.
drop function if exists tsconsole.aggregate_query(silver.timeseries_rollup_config, text, text, text, text, text, boolean);

create or replace function tsconsole.aggregate_query(
    config silver.timeseries_rollup_config, lo text, hi text, extra text default '', condition text default '', relation text default null,
    is_bounded boolean default false, bucket text default null
) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
begin
    return (
        select format('select %s as %I%s%s%s%s from %s s%s where %s group by %s',
            case when bucket is not null then bucket
                 when edges.width is null then tsconsole.bucket_expression(config, format('s.%I', (config).time_column))
                 -- There are no edges of a range that is too long for them.
                 else format('coalesce(e."bucket edges"[width_bucket(s.%1$I, e."bucket edges")], tsconsole.bucket_start(%2$L::interval, s.%1$I, %3$L, %4$L::timestamptz))',
                             (config).time_column, edges.width, (config).timezone, (config).bucket_origin) end, (config).time_column,
            (select string_agg(format(', %s as %I', d.expression, d.column_name), '' order by d.position) from tsconsole.rollup_dimension d where d.rollup_id = (config).id),
            case when exists (select from silver.timeseries_rollup_config p where p.target_table = (config).source_table)
                 then ', sum(s.rollup_count)::bigint as rollup_count' else ', count(*) as rollup_count' end,
            (select string_agg(format(', %s as %I', m.expression, m.target_column), '' order by m.position)
             from tsconsole.rollup_measure m where m.rollup_id = (config).id and not m.is_generated),
            extra,
            coalesce(relation, tsconsole.qualified_name((config).source_table)),
            case when edges.width is not null then
                format(' cross join lateral (select tsconsole.bucket_edges(%L::interval, %s, %s, %L, %L::timestamptz) as "bucket edges" offset 0) e',
                       edges.width, lo, hi, (config).timezone, (config).bucket_origin) end,
            tsconsole.range_condition(config, 's', lo, hi) || condition,
            (select string_agg(g::text, ', ' order by g)
             from generate_series(1, 1 + (select count(*) from tsconsole.rollup_dimension d where d.rollup_id = (config).id)) g))
        from (select case when is_bounded then tsconsole.edge_width(config) end as width) edges);
end;
$$;

comment on function tsconsole.aggregate_query(silver.timeseries_rollup_config, text, text, text, text, text, boolean, text) is
'The GROUP BY over the source that a rollup stands for, for the range [lo, hi); its columns are those of tsconsole.written_columns. extra: more select items, with a leading comma. condition: more of the WHERE clause, with a leading and. relation: what to read in place of the source. is_bounded: hi is finite, so that the edges of all buckets can be made first. bucket: its SQL, where it is not to be the usual one.
Example: select tsconsole.aggregate_query(tsconsole.rollup(''silver.meters_1h''), ''$1'', ''$2'');';


create or replace function tsconsole.same_series(config silver.timeseries_rollup_config, series text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(string_agg(' and ' || tsconsole.indexed_value(tsconsole.plain_value(d.expression, d.data_type), format('%s.d%s', series, d.position), t.base_type), '' order by d.position), '')
        from tsconsole.rollup_dimension d cross join lateral tsconsole.base_type((config).target_table, d.column_name) t (base_type)
        where d.rollup_id = (config).id);
end;
$$;

comment on function tsconsole.same_series(silver.timeseries_rollup_config, text) is
'The SQL condition that a source row (alias s) belongs to the series in d1, d2, … of a relation; with a leading and.
Example: select tsconsole.same_series(tsconsole.rollup(''silver.meters_1h''), ''series'');';


create or replace function tsconsole.same_value(a text, b text, base_type oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The default operator class of these comes with PostgreSQL.
    if base_type in ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype, 'text'::regtype, 'boolean'::regtype, 'uuid'::regtype) then
        return format('%s is not distinct from %s', a, b);
    end if;
    -- IS NOT DISTINCT FROM looks its operator up by name, and would miss that of a type from an extension (or take that of
    -- text for citext): what grouping and the unique index go by is the equality of the type's default operator class.
    return coalesce(
        (select format('(%1$s operator(%3$I.%4$s) %2$s or (%1$s is null and %2$s is null))', a, b, n.nspname, p.oprname)
         from pg_opclass c
         join pg_am m on m.oid = c.opcmethod and m.amname = 'btree'
         join pg_amop o on o.amopfamily = c.opcfamily and o.amopstrategy = 3 and o.amoplefttype = c.opcintype and o.amoprighttype = c.opcintype
         join pg_operator p on p.oid = o.amopopr
         join pg_namespace n on n.oid = p.oprnamespace
         where c.opcdefault and c.opcintype = base_type and n.nspname <> 'pg_catalog'),
        format('%s is not distinct from %s', a, b));
end;
$$;

comment on function tsconsole.same_value(text, text, oid) is
'The SQL condition that two values of a type are equal or both null, as grouping sees it.
Example: select tsconsole.same_value(''a.x'', ''b.x'', ''text''::regtype);';


create or replace function tsconsole.indexed_value(a text, b text, base_type oid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- No index serves IS NOT DISTINCT FROM; this reads one on (dimension, time) twice, for the value and for null.
    return (
        select case when same.condition like '% is not distinct from %' then format('(%1$s = %2$s or (%1$s is null and %2$s is null))', a, b) else same.condition end
        from (select tsconsole.same_value(a, b, base_type) as condition) same);
end;
$$;

comment on function tsconsole.indexed_value(text, text, oid) is
'As tsconsole.same_value, in a form that an index on a can serve.
Example: select tsconsole.indexed_value(''s.x'', ''series.d1'', ''text''::regtype);';


create or replace function tsconsole.series_columns(config silver.timeseries_rollup_config, form text default 'd%s') returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(string_agg(', ' || replace(form, '%s', d.position::text), '' order by d.position), '')
        from tsconsole.rollup_dimension d where d.rollup_id = (config).id);
end;
$$;

comment on function tsconsole.series_columns(silver.timeseries_rollup_config, text) is
'The columns d1, d2, … of a rollup''s pending ranges, each in the given form, with a leading comma.
Example: select tsconsole.series_columns(tsconsole.rollup(''silver.meters_1h''), ''p.d%s'');';


create or replace function tsconsole.key_columns(config silver.timeseries_rollup_config) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return array[(config).time_column] || array(
        select d.column_name from tsconsole.rollup_dimension d where d.rollup_id = (config).id order by d.position);
end;
$$;

comment on function tsconsole.key_columns(silver.timeseries_rollup_config) is
'The columns that identify a row of the target: the bucket and the dimensions.
Example: select tsconsole.key_columns(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.value_columns(config silver.timeseries_rollup_config) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return array['rollup_count'] || array(
        select m.target_column from tsconsole.rollup_measure m
        where m.rollup_id = (config).id and not m.is_generated order by m.position);
end;
$$;

comment on function tsconsole.value_columns(silver.timeseries_rollup_config) is
'The columns of the target that a step computes: rollup_count and every measure but the generated averages.
Example: select tsconsole.value_columns(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.column_list(names text[], form text default '%I') returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select string_agg(format(form, n.name), ', ' order by n.rank) from unnest(names) with ordinality n (name, rank));
end;
$$;

comment on function tsconsole.column_list(text[], text) is
'Names as a comma-separated list of quoted identifiers, each in the given form.
Example: select tsconsole.column_list(''{ts,device}'', ''t.%I'');';
