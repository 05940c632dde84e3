-- Partitions that do not have the present chunk interval: which are to be split or merged. The work itself is in R__61.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.plan_partition_rebuild(target regclass)
returns table (work text, range_start timestamptz, range_end timestamptz, partitions integer, becomes integer, total_bytes bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.work, r.range_start, r.range_end, cardinality(r.parts)::integer, cardinality(r.edges)::integer - 1, size.bytes::bigint
    from tsconsole.rebuilds(tsconsole.rollup(target)) r
    cross join lateral (select sum(pg_total_relation_size(p)) as bytes from unnest(r.parts) p) size
    order by r.range_start;
$$;

comment on function silver.plan_partition_rebuild(regclass) is
'Which partitions of a target silver.rebuild_partitions would split or merge to give them the present chunk_interval, with their sizes. A partition that reaches over edges of the interval is split at them; what is left of several in one interval is merged. TS002 when it is not a rollup.
Example: select * from silver.plan_partition_rebuild(''silver.meters_1h'');';


create or replace function tsconsole.rebuilds(config silver.timeseries_rollup_config)
returns table (work text, range_start timestamptz, range_end timestamptz, parts oid[], edges timestamptz[])
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with chunk as (
        select tsconsole.chunk_interval(config) as width
    ), present as (
        select p.partition::oid as part, p.range_start, p.range_end, silver.time_bucket(c.width, p.range_start, 'UTC', null) as cell
        from tsconsole.partitions((config).target_table) p cross join chunk c
        where isfinite(p.range_start) and isfinite(p.range_end)
    ), placed as (
        select p.*, p.range_end > tsconsole.next_bucket(c.width, p.cell, 'UTC', null) as is_wide from present p cross join chunk c
    )
    select 'split', p.range_start, p.range_end, array[p.part], cut.edges
    from placed p cross join chunk c
    cross join lateral (
        select array_agg(greatest(least(e, p.range_end), p.range_start) order by e) as edges
        from unnest(tsconsole.bucket_edges(c.width, p.range_start, p.range_end, 'UTC', null)) e) cut
    where p.is_wide and p.range_end - p.range_start <= 1000 * c.width
    union all
    select 'merge', min(p.range_start), max(p.range_end), array_agg(p.part order by p.range_start), array[min(p.range_start), max(p.range_end)]
    from placed p where not p.is_wide group by p.cell having count(*) > 1;
$$;

comment on function tsconsole.rebuilds(silver.timeseries_rollup_config) is
'What is to be split or merged: the partitions, and the edges of those that take their place. A partition that would become more than 1000 is left as it is.
Example: select * from tsconsole.rebuilds(tsconsole.rollup(''silver.meters_1h''));';
