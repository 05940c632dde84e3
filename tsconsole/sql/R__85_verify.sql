-- Checking a rollup against its source.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.verify_rollup(target regclass, from_time timestamptz default null, to_time timestamptz default null)
returns table (bucket timestamptz, dimensions jsonb, column_name text, expected text, found text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
set extra_float_digits = 1
as $$
#variable_conflict use_column
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    lo timestamptz;
    hi timestamptz;
    stops timestamptz;
    width interval;
begin
    perform tsconsole.check_relations(config);
    if from_time >= to_time then
        perform tsconsole.check_range(from_time, to_time);
    end if;
    perform tsconsole.say_what_is_covered(config, coalesce(from_time, '-infinity'), coalesce(to_time, 'infinity'));
    lo := greatest(tsconsole.bucket_floor(config, case when from_time > '-infinity' then least(from_time, tsconsole.latest_time()) end), config.first_bucket, tsconsole.kept_before(config));
    stops := least(tsconsole.bucket_ceiling(config, case when to_time < tsconsole.latest_time() then to_time end), config.last_processed_time);
    -- Begin where there is anything to compare.
    lo := greatest(lo, tsconsole.bucket_floor(config, least(
        tsconsole.edge_row(config, 'min', lo, stops), tsconsole.edge_row(config, 'min', lo, stops, target))));
    if not isfinite(lo) then
        return;
    end if;
    perform tsconsole.say_what_waits(config, lo, stops);
    width := greatest(tsconsole.learned_window(config, 'frontier'), tsconsole.learned_window(config, 'history'));
    while lo < stops loop
        hi := least(stops, tsconsole.window_end(config, lo, width));
        return query select * from tsconsole.differences(config, lo, hi);
        lo := greatest(hi, tsconsole.bucket_floor(config, coalesce(least(
            tsconsole.edge_row(config, 'min', hi, stops), tsconsole.edge_row(config, 'min', hi, stops, target)), stops)));
    end loop;
end;
$$;

comment on function silver.verify_rollup(regclass, timestamptz, timestamptz) is
'Compares a rollup with GROUP BY over its source, window by window, each in one snapshot. Returns what differs, nothing when all is equal: the bucket, its dimensions, the column, the value expected and the value found ("row missing" or "row not expected" in place of a value). Without a range it covers everything below the watermark; one that cuts through buckets is widened to whole ones, with a notice. Pending ranges are left out, with a warning, and what the source no longer holds. Floating-point sums may differ by one part in 10^9. TS002 when it is not a rollup.
Example: select * from silver.verify_rollup(''silver.meters_1h'', now() - interval ''1 day'', now());';


create or replace function tsconsole.say_what_waits(config silver.timeseries_rollup_config, from_time timestamptz, to_time timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    waits interval;
begin
    execute format(
        'select (select sum(upper(r) - lower(r)) from tsconsole.ranges(w.ranges) r) from ('
        'select range_agg(tstzrange(greatest(p.lo, $1), least(p.hi, $2))) as ranges from %s p where p.lo < $2 and p.hi > $1) w',
        tsconsole.pending_table((config).id))
    into waits using from_time, to_time;
    if waits > '0' then
        raise warning '% of % wait to be computed, and were left out', tsconsole.in_words(waits), tsconsole.qualified_name((config).target_table);
    end if;
end;
$$;

comment on function tsconsole.say_what_waits(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'A warning when some of a range is pending, so that nothing is said of it: how long that is, all buckets together.
Example: select tsconsole.say_what_waits(tsconsole.rollup(''silver.meters_1h''), ''2026-01-01'', ''2026-01-02'');';


create or replace function tsconsole.differences(config silver.timeseries_rollup_config, lo timestamptz, hi timestamptz)
returns table (bucket timestamptz, dimensions jsonb, column_name text, expected text, found text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query execute tsconsole.difference_query(config) using lo, hi, tsconsole.kept_ranges(config);
end;
$$;

comment on function tsconsole.differences(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'What differs between a rollup and its source in the buckets of [lo, hi); see silver.verify_rollup.
Example: select * from tsconsole.differences(tsconsole.rollup(''silver.meters_1h''), ''2026-01-01'', ''2026-01-02'');';


create or replace function tsconsole.difference_query(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Keys are renamed k1, k2, …: a dimension may be called anything.
    select format(
        'with stale as materialized (select $3 + coalesce(range_agg(tstzrange(p.lo, p.hi)), ''{}'') as ranges from %1$s p where p.lo < $2 and p.hi > $1), '
        'sides as (select %2$s, true as is_expected, to_jsonb((select v from (select %3$s) v)) as cells from (%4$s) a '
        'union all select %5$s, false, to_jsonb((select v from (select %6$s) v)) from %7$s t where %8$s), '
        'pairs as (select %9$s, (array_agg(cells) filter (where is_expected))[1] as expected, (array_agg(cells) filter (where not is_expected))[1] as found '
        'from sides group by %9$s '
        'having (array_agg(cells) filter (where is_expected))[1] is distinct from (array_agg(cells) filter (where not is_expected))[1]) '
        'select %10$s, %11$s, d.column_name, d.expected, d.found from pairs, tsconsole.unequal_cells(pairs.expected, pairs.found, %12$L::text[]) d '
        'where not %10$s <@ (select ranges from stale) order by 1',
        tsconsole.pending_table((config).id),
        (select string_agg(format('a.%I as k%s', k.name, k.rank), ', ' order by k.rank) from unnest(keys.names) with ordinality k (name, rank)),
        tsconsole.column_list(vals.names, 'a.%I'),
        tsconsole.aggregate_query(config, '$1', '$2'),
        tsconsole.column_list(keys.names, 't.%I'),
        tsconsole.column_list(vals.names, 't.%I'),
        tsconsole.qualified_name((config).target_table),
        tsconsole.range_condition(config, 't', '$1', '$2'),
        (select string_agg('k' || i, ', ' order by i) from generate_subscripts(keys.names, 1) i),
        tsconsole.column_to_axis(config, 'k1'),
        coalesce((select format('jsonb_build_object(%s)', string_agg(format('%L, k%s', k.name, k.rank), ', ' order by k.rank))
                  from unnest(keys.names) with ordinality k (name, rank) where k.rank > 1), '''{}''::jsonb'),
        array(select m.target_column from tsconsole.rollup_measure m
              where m.rollup_id = (config).id and m.aggregate = 'sum' and m.data_type = 'double precision'))
    from (select tsconsole.key_columns(config) as names) keys, (select tsconsole.value_columns(config) as names) vals;
$$;

comment on function tsconsole.difference_query(silver.timeseries_rollup_config) is
'The query behind silver.verify_rollup for the buckets of [$1, $2), without those in $3.
Example: select tsconsole.difference_query(tsconsole.rollup(''silver.meters_1h''));';


drop function if exists tsconsole.unequal_cells(jsonb, jsonb);

create or replace function tsconsole.unequal_cells(expected jsonb, found jsonb, float_sums text[])
returns table (column_name text, expected text, found text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'rollup_count', coalesce(unequal_cells.expected ->> 'rollup_count', 'row not expected'),
           coalesce(unequal_cells.found ->> 'rollup_count', 'row missing')
    where unequal_cells.expected is null or unequal_cells.found is null
    union all
    select e.key, e.value #>> '{}', f.value #>> '{}'
    from jsonb_each(unequal_cells.expected) e join jsonb_each(unequal_cells.found) f using (key)
    where e.value is distinct from f.value
      and not (e.key = any (float_sums) and coalesce(tsconsole.almost_equal(e.value, f.value), false));
$$;

comment on function tsconsole.unequal_cells(jsonb, jsonb, text[]) is
'The columns in which two rows differ; a row that is missing on one side is one difference. Of float_sums the last digits do not count.
Example: select * from tsconsole.unequal_cells(''{"min_t": 1}'', ''{"min_t": 2}'', ''{}'');';


create or replace function tsconsole.almost_equal(a jsonb, b jsonb) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    -- The order of additions changes the last digits of a floating-point sum.
    select case when jsonb_typeof(a) = 'number' and jsonb_typeof(b) = 'number'
        then abs(a::numeric - b::numeric) <= 1e-9 * greatest(abs(a::numeric), abs(b::numeric)) end;
$$;

comment on function tsconsole.almost_equal(jsonb, jsonb) is
'Whether two numbers are equal to one part in 10^9; null when they are not numbers.
Example: select tsconsole.almost_equal(''1'', ''1.0000000001'');';
