-- Finding partitions of targets without reading about all of them.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.has_partitions(config silver.timeseries_rollup_config, edges timestamptz[]) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
    bound text;
begin
    -- Worth it for a few: beyond, listing all partitions is as fast.
    if cardinality(edges) > 9 then
        return false;
    end if;
    for n in 1 .. cardinality(edges) - 1 loop
        select pg_get_expr(c.relpartbound, 0) into bound
        from pg_class target
        join pg_class c on c.relnamespace = target.relnamespace
                       and c.relname = tsconsole.partition_name((config).target_table, edges[n])
        join pg_inherits i on i.inhrelid = c.oid and i.inhparent = target.oid and not i.inhdetachpending
        where target.oid = (config).target_table;
        if (tsconsole.bound_start(bound) <= edges[n] and tsconsole.bound_end(bound) >= edges[n + 1]) is not true then
            return false;
        end if;
    end loop;
    return true;
end;
$$;

comment on function tsconsole.has_partitions(silver.timeseries_rollup_config, timestamptz[]) is
'Whether the partitions between these edges are there, by their names: as quick with 10,000 partitions as with one. False when not all are found that way.
Example: select tsconsole.has_partitions(tsconsole.rollup(''silver.meters_1h''), ''{2026-03-01, 2026-04-01}'');';


create or replace function tsconsole.partitions_between(config silver.timeseries_rollup_config, lo timestamptz, hi timestamptz)
returns table (partition regclass, range_start timestamptz, range_end timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set enable_partition_pruning = on
as $$
declare
    plan jsonb;
begin
    -- The planner finds them by a binary search in what the server keeps about the table, which ATTACH and INSERT need too.
    execute format('explain (verbose, format json, costs off) select from %s t where t.%I >= %L and t.%2$I < %4$L',
        tsconsole.qualified_name((config).target_table), (config).time_column, tsconsole.axis_literal((config).time_type, lo),
        -- A moment within a day is a day where the column holds days.
        tsconsole.axis_literal((config).time_type, case when (config).time_type = 'date'::regtype
            then date_trunc('day', hi - interval '1 microsecond', 'UTC') + interval '1 day' else hi end)) into plan;
    return query
        select b.child::regclass, tsconsole.bound_start(b.bound), tsconsole.bound_end(b.bound)
        from (select distinct i.inhrelid as child, pg_get_expr(c.relpartbound, 0) as bound
              from jsonb_path_query(plan, 'strict $.** ? (exists (@."Relation Name"))') n
              cross join lateral pg_partition_ancestors(to_regclass(format('%I.%I', n ->> 'Schema', n ->> 'Relation Name'))) a
              join pg_inherits i on i.inhrelid = a.relid and i.inhparent = (config).target_table and not i.inhdetachpending
              join pg_class c on c.oid = i.inhrelid offset 0) b;
end;
$$;

comment on function tsconsole.partitions_between(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'The partitions of a target that rows from lo to before hi are in, as tsconsole.partitions shows them; as quick with 10,000 partitions as with ten. Locks these as a reader does.
Example: select * from tsconsole.partitions_between(tsconsole.rollup(''silver.meters_1h''), ''2026-03-01'', ''2026-03-02'');';


create or replace function tsconsole.uncovered(config silver.timeseries_rollup_config, wanted tstzmultirange) returns tstzmultirange
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    is_narrow boolean;
    present tstzmultirange;
begin
    select count(*) <= 9 and coalesce(bool_and(upper(r) - lower(r) <= 9 * (config).chunk_interval), true) into is_narrow from unnest(wanted) r;
    if is_narrow then
        select range_agg(tstzrange(p.range_start, p.range_end)) into present
        from unnest(wanted) r cross join lateral tsconsole.partitions_between(config, lower(r), upper(r)) p
        where p.range_start is not null;
    else
        select range_agg(tstzrange(p.range_start, p.range_end)) into present
        from tsconsole.partitions((config).target_table) p where p.range_start is not null;
    end if;
    return wanted - coalesce(present, '{}');
end;
$$;

comment on function tsconsole.uncovered(silver.timeseries_rollup_config, tstzmultirange) is
'What of some ranges has no partition of the target yet; for a few that are not wide it does not depend on how many partitions there are.
Example: select tsconsole.uncovered(tsconsole.rollup(''silver.meters_1h''), ''{[2026-03-01, 2026-04-01)}'');';


create or replace function tsconsole.missing_partitions(config silver.timeseries_rollup_config, edges timestamptz[], wanted tstzrange)
returns setof tstzrange
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- After a change of chunk_interval the present partitions end elsewhere: a new one fills the space between them.
    select missing.range
    from tsconsole.uncovered(config, tstzmultirange(tstzrange(edges[1], edges[cardinality(edges)]))) u (ranges)
    cross join unnest(u.ranges) gap
    -- Only the edges about each gap: with thousands of both, every one against every other would take seconds.
    cross join lateral generate_series(width_bucket(lower(gap), edges), least(width_bucket(upper(gap), edges), cardinality(edges) - 1)) n
    cross join lateral (select gap * tstzrange(edges[n], edges[n + 1])) missing (range)
    where missing.range && wanted
    order by missing.range;
$$;

comment on function tsconsole.missing_partitions(silver.timeseries_rollup_config, timestamptz[], tstzrange) is
'The ranges of the partitions that must be made so that each time of the wanted range has one, cut at the edges and at the partitions that are there.
Example: see tsconsole.ensure_partitions.';


create or replace function tsconsole.neighbour(target regclass, partition regclass) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Names sort as the times in them do; a few beside it are looked at, in case other tables are called so too.
    select coalesce(
        (select i.inhrelid from (select c.oid, c.relname from pg_class c
                                 where c.relname < n.relname and c.relnamespace = n.relnamespace
                                 order by c.relname desc limit 20) near
         join pg_inherits i on i.inhrelid = near.oid and i.inhparent = target order by near.relname desc limit 1),
        (select i.inhrelid from (select c.oid, c.relname from pg_class c
                                 where c.relname > n.relname and c.relnamespace = n.relnamespace order by c.relname limit 20) near
         join pg_inherits i on i.inhrelid = near.oid and i.inhparent = target order by near.relname limit 1),
        (select i.inhrelid from pg_inherits i where i.inhparent = target order by i.inhrelid desc limit 1))::regclass
    from pg_class n where n.oid = partition;
$$;

comment on function tsconsole.neighbour(regclass, regclass) is
'The partition of a target whose name comes before that of a table that is to be one; else the one after, else the newest.
Example: select tsconsole.neighbour(''silver.meters_1h'', ''silver.meters_1h_p20260301'');';
