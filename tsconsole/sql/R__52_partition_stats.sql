-- What the partitions of any table look like, from the catalog and the statistics: no rows are read.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.stored_parts(parent regclass) returns table (part regclass, range_start timestamptz, range_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
    with recursive tree as (
        select c.oid as relation, c.relkind, null::timestamptz as range_start, null::timestamptz as range_end
        from pg_class c where c.oid = parent
        union all
        -- greatest and least pass over null: a partition by something else has the range of its parent.
        select b.relation, b.relkind, greatest(t.range_start, tsconsole.bound_start(b.bound)), least(t.range_end, tsconsole.bound_end(b.bound))
        from tree t
        cross join lateral (
            select c.oid as relation, c.relkind, pg_get_expr(c.relpartbound, 0) as bound
            from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = t.relation and not i.inhdetachpending offset 0) b
    )
    select t.relation::regclass, t.range_start, t.range_end from tree t where t.relkind in ('r', 'm', 'f');
$$;

comment on function tsconsole.stored_parts(regclass) is
'The tables that hold the rows of a table: its partitions at every level with their time ranges, or the table itself.
Example: select * from tsconsole.stored_parts(''raw.readings'');';


create or replace function tsconsole.part_state(
    range_start timestamptz, range_end timestamptz, clock timestamptz, watermark timestamptz, expires timestamptz
) returns text
language sql immutable parallel safe
return case
    when range_end <= expires then 'expired'
    when range_start > clock then 'premade'
    when range_end <= clock and not coalesce(watermark >= range_start and watermark < range_end, false) then 'closed'
    else 'open' end;

comment on function tsconsole.part_state(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) is
'expired (retention may drop it), premade (for the future), open (now or the watermark lies in it, or it has no range), else closed.
Example: select tsconsole.part_state(''2026-01-01'', ''2026-02-01'', now(), null, null);';


create or replace function tsconsole.time_limits(relation regclass) returns table (clock timestamptz, watermark timestamptz, expires timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- A source expires by its own retention; without one by what its rollups declare, and only when all of them do.
    -- The clock as the time column holds it; without a rollup a column without zone is taken for UTC.
    select coalesce(max(tsconsole.axis_time(c, now())), now()),
           max(c.last_processed_time) filter (where c.target_table = relation),
           case when bool_or(c.target_table = relation)
                then max(tsconsole.axis_clock(c) - c.retention_period) filter (where c.target_table = relation)
                when tsconsole.source_cutoff(relation) is not null then tsconsole.source_cutoff(relation)
                when bool_and(c.source_retention is not null) then min(tsconsole.axis_clock(c) - c.source_retention) end
    from silver.timeseries_rollup_config c
    where relation in (c.target_table, c.source_table);
$$;

comment on function tsconsole.time_limits(regclass) is
'The times that give the partitions of a table their state: now, the watermark, and the time below which they are expired.
Example: select * from tsconsole.time_limits(''silver.meters_1h'');';


create or replace function tsconsole.oldest_bucket(config silver.timeseries_rollup_config) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
    oldest timestamptz;
begin
    -- Partition by partition: asked of the table, the first entry of an index locks all of them.
    for part in
        select p.part, p.range_start is not null as has_range from tsconsole.stored_parts((config).target_table) p
        where pg_relation_size(p.part) > 0 order by p.range_start nulls first
    loop
        oldest := least(oldest, tsconsole.edge_row(config, 'min', '-infinity', 'infinity', part.part));
        -- What has no range, as a default partition, says nothing about the others.
        exit when oldest is not null and part.has_range;
    end loop;
    return oldest;
end;
$$;

comment on function tsconsole.oldest_bucket(silver.timeseries_rollup_config) is
'The oldest bucket that a target holds; null when it holds none. Beside 10,000 partitions it looks into one.
Example: select tsconsole.oldest_bucket(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.newest_partition_stats(parent regclass, how_many integer)
returns table (
    partition_name text, range_start timestamptz, range_end timestamptz, row_estimate bigint, estimated_at timestamptz,
    table_bytes bigint, index_bytes bigint, total_bytes bigint, bytes_per_row float8, dead_rows bigint,
    last_vacuum timestamptz, last_analyze timestamptz, state text
)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I.%I', n.nspname, c.relname), p.range_start, p.range_end, rows.estimate::bigint, s.estimated_at,
           size.heap, size.indexes, size.heap + size.indexes,
           (size.heap + size.indexes) / nullif(rows.estimate, 0)::float8,
           s.dead_rows, s.last_vacuum, s.last_analyze,
           tsconsole.part_state(p.range_start, p.range_end, l.clock, l.watermark, l.expires)
    from tsconsole.time_limits(parent) l
    -- Sizes are asked of the file system, which takes most of the time: not for more partitions than are wanted.
    cross join (select s.* from tsconsole.stored_parts(parent) s order by s.range_start desc nulls last limit how_many) p
    join pg_class c on c.oid = p.part
    join pg_namespace n on n.oid = c.relnamespace
    cross join lateral (
        select greatest(v.last_vacuum, v.last_autovacuum) as last_vacuum, greatest(v.last_analyze, v.last_autoanalyze) as last_analyze,
               greatest(v.last_vacuum, v.last_autovacuum, v.last_analyze, v.last_autoanalyze) as estimated_at,
               v.n_live_tup as live_rows, v.n_dead_tup as dead_rows
        from (select pg_stat_get_last_vacuum_time(c.oid) as last_vacuum, pg_stat_get_last_autovacuum_time(c.oid) as last_autovacuum,
                     pg_stat_get_last_analyze_time(c.oid) as last_analyze, pg_stat_get_last_autoanalyze_time(c.oid) as last_autoanalyze,
                     pg_stat_get_live_tuples(c.oid) as n_live_tup, pg_stat_get_dead_tuples(c.oid) as n_dead_tup) v) s
    -- The counters go on counting after an ANALYZE, but a crash sets them to nothing: then the last ANALYZE holds.
    cross join lateral (
        select case when c.reltuples < 0 or s.estimated_at is not null then s.live_rows else c.reltuples end as estimate) rows
    cross join lateral (select pg_table_size(c.oid) as heap, pg_indexes_size(c.oid) as indexes) size
    -- A partition that is dropped meanwhile has no size any more.
    where size.heap is not null;
$$;

comment on function tsconsole.newest_partition_stats(regclass, integer) is
'The newest partitions of a table as silver.get_partition_stats shows them; null means all.
Example: select * from tsconsole.newest_partition_stats(''silver.meters_1h'', 200);';


create or replace function silver.get_partition_stats(table_name regclass)
returns table (
    partition_name text, range_start timestamptz, range_end timestamptz, row_estimate bigint, estimated_at timestamptz,
    table_bytes bigint, index_bytes bigint, total_bytes bigint, bytes_per_row float8, dead_rows bigint,
    last_vacuum timestamptz, last_analyze timestamptz, state text
)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select * from tsconsole.newest_partition_stats(table_name, null) s order by s.range_start nulls last, 1;
$$;

comment on function silver.get_partition_stats(regclass) is
'Size, rows and upkeep of every partition of a table, target or source, at every level; of a plain table one row. Figures come from the catalog and the statistics, so no rows are read: row_estimate goes back to estimated_at and what was written since. state: open (now or the watermark lies in it), closed, premade (for the future), expired (retention drops it). A default partition has no range.
Example: select * from silver.get_partition_stats(''silver.meters_1h'');';
