-- The retention guard: which partitions a source has, what it no longer holds, and which buckets are therefore kept as they are.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.present_partitions(source regclass)
returns table (partition oid, file_node oid, attached_by xid)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- Detach, change and re-attach keep oid and file; the row in pg_inherits is another then. A pending detach counts as gone.
    return query
        with recursive tree as (
            select i.inhrelid, i.xmin as attached_by from pg_inherits i where i.inhparent = source and not i.inhdetachpending
            union all
            select i.inhrelid, i.xmin from tree t join pg_inherits i on i.inhparent = t.inhrelid and not i.inhdetachpending
        )
        -- Those that have partitions themselves too: detached and attached again they bring back other rows, and below them all is as it was.
        select t.inhrelid, c.relfilenode, t.attached_by from tree t join pg_class c on c.oid = t.inhrelid;
end;
$$;

comment on function tsconsole.present_partitions(regclass) is
'The partitions a table has now, with what changes when one is truncated, rewritten, detached or attached. Locks nothing.
Example: select * from tsconsole.present_partitions(''raw.readings'');';


create or replace function tsconsole.partition_column(source regclass) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select a.attname::text from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
        where p.partrelid = source and p.partstrat = 'r');
end;
$$;

comment on function tsconsole.partition_column(regclass) is
'The column that the partitions of a table are ranges of; null when they are of something else, or there are none. Of any other column each partition may hold every value.
Example: select tsconsole.partition_column(''raw.readings'');';


create or replace function tsconsole.partition_bounds(source regclass, time_column text)
returns table (partition oid, range_start timestamptz, range_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Of a source that is partitioned by something else every partition may hold any time.
    with recursive tree as (
        select b.partition::oid as partition, b.range_start, b.range_end
        from tsconsole.partitions(source) b
        union all
        select i.inhrelid, t.range_start, t.range_end from tree t join pg_inherits i on i.inhparent = t.partition
    )
    select t.partition,
           case when k.by_time then coalesce(t.range_start, '-infinity') else '-infinity' end,
           case when k.by_time then coalesce(t.range_end, 'infinity') else 'infinity' end
    from tree t cross join (select tsconsole.partition_column(source) is not distinct from time_column as by_time) k;
$$;

comment on function tsconsole.partition_bounds(regclass, text) is
'The time that each partition of a source covers, at every level below it.
Example: select * from tsconsole.partition_bounds(''raw.readings'', ''ts'');';


create or replace function tsconsole.inventory(source regclass, time_column text) returns tsconsole.source_partition[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(row(source, p.partition, (select d.oid from pg_database d where d.datname = current_database()),
                                  p.file_node, p.attached_by, b.range_start, b.range_end)::tsconsole.source_partition), '{}')
    from tsconsole.present_partitions(source) p join tsconsole.partition_bounds(source, inventory.time_column) b using (partition);
$$;

comment on function tsconsole.inventory(regclass, text) is
'The partitions of a source as they are now, read at one moment.
Example: select unnest(tsconsole.inventory(''raw.readings'', ''ts''));';


create or replace function tsconsole.take_inventory(source regclass, present tsconsole.source_partition[]) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    delete from tsconsole.source_partition s
    where s.source_table = source and s.partition not in (select p.partition from unnest(present) p);
    -- What is as it was is left alone, and not locked: silver.thaw may take it away meanwhile.
    insert into tsconsole.source_partition select p.* from unnest(present) p
    where p not in (select s from tsconsole.source_partition s where s.source_table = source)
    on conflict (source_table, partition) do update set
        database = excluded.database, file_node = excluded.file_node, attached_by = excluded.attached_by,
        range_start = excluded.range_start, range_end = excluded.range_end;
$$;

comment on function tsconsole.take_inventory(regclass, tsconsole.source_partition[]) is
'Notes the partitions of a source.
Example: select tsconsole.take_inventory(''raw.readings'', tsconsole.inventory(''raw.readings'', ''ts''));';


drop function if exists tsconsole.check_partitions(regclass, text);

create or replace function tsconsole.check_partitions(source regclass) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Of several time columns, the one that its partitions are ranges of.
    key_column text := (select t.time_column from tsconsole.tracked_source t where t.source_table = source
                        order by t.time_column is not distinct from tsconsole.partition_column(source) desc, t.time_column limit 1);
    present tsconsole.source_partition[];
    was_restored boolean;
begin
    if not tsconsole.partitions_differ(source) then
        return true;
    elsif not pg_try_advisory_xact_lock(tsconsole.lock_class('inventory'), source::oid::bigint::bit(32)::integer) then
        -- Another session notes the difference, and has not committed it.
        return false;
    end if;
    was_restored := exists (select from tsconsole.source_partition s where s.source_table = source
                            and s.database <> (select d.oid from pg_database d where d.datname = current_database()));
    -- Read once: what goes between two readings would be in neither.
    present := tsconsole.inventory(source, key_column);
    if was_restored then
        -- From a dump: every oid is another, and nothing has changed.
        delete from tsconsole.source_partition s where s.source_table = source;
    else
        -- An inventory without partitions is known, too: all may have gone, and another comes.
        perform tsconsole.note_partition_changes(source, key_column, present);
    end if;
    perform tsconsole.take_inventory(source, present);
    return true;
end;
$$;

comment on function tsconsole.check_partitions(regclass) is
'Compares the partitions of a tracked source with the inventory: what is gone is frozen, what came, was truncated or was rewritten is a late change over its range. False when another session is at it.
Example: select tsconsole.check_partitions(''raw.readings'');';


create or replace function tsconsole.partitions_differ(source regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select s.partition, s.file_node, s.attached_by from tsconsole.source_partition s where s.source_table = source
                   except select p.partition, p.file_node, p.attached_by from tsconsole.present_partitions(source) p)
        or exists (select p.partition, p.file_node, p.attached_by from tsconsole.present_partitions(source) p
                   except select s.partition, s.file_node, s.attached_by from tsconsole.source_partition s where s.source_table = source);
$$;

comment on function tsconsole.partitions_differ(regclass) is
'Whether a source has other partitions now than the inventory says.
Example: select tsconsole.partitions_differ(''raw.readings'');';


create or replace function tsconsole.note_partition_changes(source regclass, time_column text, present tsconsole.source_partition[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    gone tstzmultirange;
    come tstzmultirange;
    changed tstzrange;
begin
    select range_agg(tstzrange(s.range_start, s.range_end)) into gone
    from tsconsole.source_partition s
    where s.source_table = source and s.partition not in (select p.partition from unnest(present) p);
    select range_agg(tstzrange(p.range_start, p.range_end)) into come
    from unnest(present) p
    left join tsconsole.source_partition s on s.source_table = source and s.partition = p.partition
    where s.partition is null or s.file_node <> p.file_node or s.attached_by <> p.attached_by;

    -- What went and came again at once (split, merged, replaced) is no retention but a change. Other columns' partitions cover
    -- all time, and their rows were not dropped for being old.
    insert into tsconsole.frozen_range (source_table, lo, hi, partition)
    select source, lower(r), upper(r), s.partition
    from tsconsole.source_partition s
    cross join lateral unnest(tstzmultirange(tstzrange(s.range_start, s.range_end)) - coalesce(come, '{}')) r
    where s.source_table = source and s.partition not in (select p.partition from unnest(present) p)
      and (lower(r) > '-infinity' or upper(r) < 'infinity')
    on conflict do nothing;
    perform tsconsole.note_unread_partitions(source, time_column, gone - coalesce(come, '{}'));
    if gone @> tstzrange('-infinity', 'infinity') then
        come := gone;
    end if;
    -- Another partition in the place of one that was frozen does not hold what that one held.
    delete from tsconsole.frozen_range f
    where f.source_table = source and f.partition in (select p.partition from unnest(present) p);
    for changed in select r from unnest(come) r loop
        perform tsconsole.queue_late(c, lower(changed), upper(changed)) from tsconsole.tracking_rollups(source, note_partition_changes.time_column) c;
    end loop;
    -- For another time column, any bucket may be another now.
    if gone is not null or come is not null then
        perform tsconsole.queue_late(c, '-infinity', 'infinity')
        from silver.timeseries_rollup_config c
        where c.source_table = source and c.change_tracking = 'trigger' and c.time_column <> note_partition_changes.time_column;
    end if;
end;
$$;

comment on function tsconsole.note_partition_changes(regclass, text, tsconsole.source_partition[]) is
'Freezes the range of partitions that are gone, thaws that of partitions that came back, and queues that of partitions that came or changed.
Example: see tsconsole.check_partitions.';


create or replace function silver.thaw(source regclass, from_time timestamptz, to_time timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    thawed tstzmultirange;
begin
    perform tsconsole.check_range(from_time, to_time);
    perform tsconsole.check_has_rollups(source);
    with missed as (
        -- What went and no step has missed yet would be frozen after this, in place of its successor.
        delete from tsconsole.source_partition s
        where s.source_table = source and tstzrange(s.range_start, s.range_end) && tstzrange(from_time, to_time)
          and s.partition not in (select p.partition from tsconsole.present_partitions(source) p)
        returning s.range_start as lo, s.range_end as hi
    ), cut as (
        delete from tsconsole.frozen_range f
        where f.source_table = source and tstzrange(f.lo, f.hi) && tstzrange(from_time, to_time)
        returning f.*
    ), rest as (
        insert into tsconsole.frozen_range (source_table, lo, hi, frozen_at, partition)
        select c.source_table, lower(r), upper(r), c.frozen_at, c.partition
        from cut c cross join lateral unnest(tstzmultirange(tstzrange(c.lo, c.hi)) - tstzmultirange(tstzrange(from_time, to_time))) r
    )
    select range_agg(tstzrange(greatest(c.lo, from_time), least(c.hi, to_time))) into thawed
    from (select t.lo, t.hi from cut t union all select m.lo, m.hi from missed m) c;
    perform tsconsole.announce_work();
    return (select coalesce(sum(tsconsole.queue_late(c, lower(r), upper(r))), 0)
            from unnest(thawed) r cross join silver.timeseries_rollup_config c where c.source_table = source);
end;
$$;

comment on function silver.thaw(regclass, timestamptz, timestamptz) is
'Says that a source holds a range again that was frozen because its partitions were dropped or detached: what was rolled up from it is computed again from what is there now. It is not needed when the very partition is attached again. Returns the number of ranges queued. TS001 for an empty range, TS002 when no rollup reads the table.
Example: select silver.thaw(''raw.readings'', ''2026-01-01'', ''2026-02-01'');';


create or replace function tsconsole.kept_ranges(config silver.timeseries_rollup_config) returns tstzmultirange
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    kept timestamptz := nullif(tsconsole.kept_before(config), '-infinity');
begin
    -- A bucket that is frozen in part is frozen: it can no longer be computed whole.
    return case when kept is null then '{}'::tstzmultirange else tstzmultirange(tstzrange(null, kept)) end
           + coalesce((select range_agg(tstzrange(
               case when isfinite(f.lo) then tsconsole.bucket_floor(config, f.lo) end,
               case when isfinite(f.hi) then tsconsole.bucket_ceiling(config, f.hi) end))
             from tsconsole.frozen_range f
             where f.source_table = (config).source_table and tsconsole.partition_column(f.source_table) = (config).time_column), '{}');
end;
$$;

comment on function tsconsole.kept_ranges(silver.timeseries_rollup_config) is
'The buckets of a rollup that are kept as they are, because the source no longer holds them whole, or because retention dropped them here.
Example: select tsconsole.kept_ranges(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.kept_query(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
    -- The same as kept_ranges, but reading the tables with the rights of the view's owner. clock_timestamp(), not now():
    -- in a long transaction a bucket must not freeze later than it does for a step.
    select format(
        'select coalesce(range_agg(k.range), ''{}'') as ranges from ('
        'select tstzrange(null, tsconsole.bucket_ceiling(%1$L::interval, max(case when c.id = %4$s then greatest(c.retained_from, c.source_gone_before, (%5$s at time zone ''UTC'' - c.source_retention) at time zone ''UTC'') else c.retained_from end), %2$L, %3$L::timestamptz)) as range '
        'from silver.timeseries_rollup_config c where c.id = any (%6$L::bigint[]) having max(case when c.id = %4$s then greatest(c.retained_from, c.source_gone_before, (%5$s at time zone ''UTC'' - c.source_retention) at time zone ''UTC'') else c.retained_from end) is not null '
        'union all select tstzrange(case when isfinite(f.lo) then silver.time_bucket(%1$L::interval, f.lo, %2$L, %3$L::timestamptz) end, '
        'case when isfinite(f.hi) then tsconsole.bucket_ceiling(%1$L::interval, f.hi, %2$L, %3$L::timestamptz) end) '
        'from tsconsole.frozen_range f where f.source_table = %7$s::regclass and %8$L::boolean) k',
        (config).rollup_interval, tsconsole.bucket_zone(config), (config).bucket_origin, (config).id,
        case when (config).time_type = 'timestamptz'::regtype then 'clock_timestamp()'
             else format('(clock_timestamp() at time zone %L at time zone ''UTC'')', (config).timezone) end,
        array_remove(array[(config).id, (tsconsole.parent_rollup(config)).id], null),
        (config).source_table::oid, tsconsole.partition_column((config).source_table) is not distinct from (config).time_column);
$$;

comment on function tsconsole.kept_query(silver.timeseries_rollup_config) is
'The buckets that are kept as they are, as SQL for the live view.
Example: select tsconsole.kept_query(tsconsole.rollup(''silver.meters_1h''));';
