-- Partitions of targets: which there are, and making those that a window needs. Bounds are times on the engine's axis:
-- those of a timestamp or date column are read and written as if they were UTC.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.bound_start(bound text) returns timestamptz
language sql stable parallel safe
return case
    when bound like 'FOR VALUES FROM (MINVALUE%' then '-infinity'::timestamptz
    when bound ~ '^FOR VALUES FROM \(''(\d{4}|-?inf)' then split_part(bound, '''', 2)::timestamptz end;

comment on function tsconsole.bound_start(text) is
'The start in the bound of a range partition; -infinity for MINVALUE; null when the bound is no range of times. Only the first column of the key counts. Inlined; the caller sets TimeZone to UTC and DateStyle to ISO before it asks for the bound.
Example: select tsconsole.bound_start($q$FOR VALUES FROM (''2026-01-01'') TO (MAXVALUE)$q$);';


create or replace function tsconsole.bound_end(bound text) returns timestamptz
language sql stable parallel safe
return case
    when bound like '%) TO (MAXVALUE%' then 'infinity'::timestamptz
    -- Of several columns the first may have its last value still within the bound.
    when bound like '%) TO (''%'', %' and bound not like '%) TO (''%'', MINVALUE%' then
        split_part(split_part(bound, ') TO (', 2), '''', 2)::timestamptz + interval '1 microsecond'
    when bound ~ '\) TO \(''(\d{4}|-?inf)' then split_part(split_part(bound, ') TO (', 2), '''', 2)::timestamptz end;

comment on function tsconsole.bound_end(text) is
'The end in the bound of a range partition; infinity for MAXVALUE; null when the bound is no range of times. See tsconsole.bound_start.
Example: select tsconsole.bound_end($q$FOR VALUES FROM (''2026-01-01'') TO (MAXVALUE)$q$);';


create or replace function tsconsole.partitions(parent regclass) returns table (partition regclass, range_start timestamptz, range_end timestamptz)
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
    select b.relation::regclass, tsconsole.bound_start(b.bound), tsconsole.bound_end(b.bound)
    -- pg_get_expr with 0 instead of the partition takes no lock on it.
    from (select c.oid as relation, pg_get_expr(c.relpartbound, 0) as bound
          from pg_inherits i join pg_class c on c.oid = i.inhrelid
          where i.inhparent = parent and not i.inhdetachpending offset 0) b;
$$;

comment on function tsconsole.partitions(regclass) is
'The direct partitions of a table and their ranges; a default partition has none (null). Takes no lock on them; 100 partitions take 1 ms.
Example: select * from tsconsole.partitions(''silver.meters_1h'') order by range_start;';


create or replace function tsconsole.chunk_interval(config silver.timeseries_rollup_config) returns interval
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Partitions by date hold whole days.
    select case when (config).time_type = 'date'::regtype
                then greatest(date_trunc('day', justify_hours((config).chunk_interval)), interval '1 day')
                else (config).chunk_interval end;
$$;

comment on function tsconsole.chunk_interval(silver.timeseries_rollup_config) is
'The width of the partitions that are made for a rollup now.
Example: select tsconsole.chunk_interval(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.partition_name(target regclass, range_start timestamptz) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    head   text := (select c.relname from pg_class c where c.oid = target);
    suffix text := '_p' || to_char(range_start, case
        when date_trunc('day', range_start) = range_start then 'YYYYMMDD'
        when date_trunc('minute', range_start) = range_start then 'YYYYMMDDHH24MI'
        else 'YYYYMMDDHH24MISS' end);
begin
    if octet_length(head || suffix) > 63 then
        suffix := '_' || left(md5(head), 8) || suffix;
        while octet_length(head || suffix) > 63 loop
            head := left(head, -1);
        end loop;
    end if;
    return head || suffix;
end;
$$;

comment on function tsconsole.partition_name(regclass, timestamptz) is
'The name of the partition of a target that starts at a time: <target>_pYYYYMMDD, with hours, minutes and seconds where needed; a name that is too long is cut and marked by a hash.
Example: select tsconsole.partition_name(''silver.meters_1h'', ''2026-03-01'');';


-- The owner of the target must own its partitions, whoever runs the step: hence SECURITY DEFINER. Nobody but the roles that
-- may use schema tsconsole can call it, and it makes nothing but partitions of rollup targets.
create or replace function tsconsole.ensure_partitions(rollup_id bigint, from_time timestamptz, to_time timestamptz) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
    config silver.timeseries_rollup_config;
    chunk  interval;
    edges  timestamptz[];
    gap    tstzrange;
    made   integer := 0;
begin
    select c.* into config from silver.timeseries_rollup_config c where c.id = ensure_partitions.rollup_id;
    -- What pg_partman has no partition for goes to its default partition, which maintenance empties.
    if config.id is null or config.partition_manager <> 'native' or not isfinite(from_time) or not isfinite(to_time) or (from_time < to_time) is not true then
        return 0;
    end if;
    chunk := tsconsole.chunk_interval(config);
    if to_time - from_time > 10000 * chunk then
        raise exception '% would get more than 10000 partitions from % to %', config.target_name, from_time, to_time using
            errcode = 'TS001',
            hint = 'Set a longer chunk_interval in silver.timeseries_rollup_config, or correct the times of the source''s rows.';
    end if;
    edges := tsconsole.bucket_edges(chunk, from_time, to_time, 'UTC', null);
    if tsconsole.has_partitions(config, edges)
       or not exists (select from tsconsole.missing_partitions(config, edges, tstzrange(from_time, to_time))) then
        return 0;
    end if;
    if not pg_try_advisory_xact_lock(tsconsole.lock_class('partition'), config.id::integer) then
        raise exception 'another session is making or dropping partitions of %', config.target_name using
            errcode = 'TS005', hint = 'Try again in a moment.';
    end if;
    -- Asked again: another session may have made them before the lock was free.
    for gap in select m from tsconsole.missing_partitions(config, edges, tstzrange(from_time, to_time)) m loop
        perform tsconsole.add_partition(config, lower(gap), upper(gap));
        made := made + 1;
    end loop;
    return made;
end;
$$;

-- Writers may use the schema, but this runs as its owner: only that role and its members may call it.
revoke execute on function tsconsole.ensure_partitions(bigint, timestamptz, timestamptz) from public;

comment on function tsconsole.ensure_partitions(bigint, timestamptz, timestamptz) is
'Makes the partitions of a rollup''s target that rows from from_time to before to_time need, and returns how many it made. It blocks neither readers nor steps. TS005 when another session is at it, 55P03 when the lock was not to be had in half a second.
Example: select tsconsole.ensure_partitions(1, ''2026-03-01'', ''2026-03-02'');';


create or replace function tsconsole.add_partition(config silver.timeseries_rollup_config, range_start timestamptz, range_end timestamptz)
returns regclass
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
    schema_name text := tsconsole.schema_of(config.target_table);
    partition   text := format('%I.%I', schema_name,
        tsconsole.free_table_name(schema_name, tsconsole.partition_name(config.target_table, range_start)));
begin
    -- LIKE and then ATTACH: CREATE TABLE … PARTITION OF would lock readers and steps out of the target.
    execute format('create table %s (like %s including all)%s', partition, config.target_table::regclass,
        (select format(' tablespace %I', s.spcname)
         from pg_class t join pg_tablespace s on s.oid = t.reltablespace where t.oid = config.target_table));
    perform tsconsole.copy_properties(config.target_table, partition::regclass);
    perform tsconsole.attach_partition(config.target_table, partition::regclass, config.time_type, range_start, range_end);
    return partition::regclass;
end;
$$;

comment on function tsconsole.add_partition(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'Makes and attaches one partition of a target.
Example: see tsconsole.ensure_partitions.';


create or replace function tsconsole.attach_partition(
    parent regclass, partition regclass, time_type regtype, range_start timestamptz, range_end timestamptz
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('alter table %s attach partition %s for values from (%L) to (%L)', tsconsole.qualified_name(parent),
        tsconsole.qualified_name(partition), tsconsole.axis_literal(time_type, range_start), tsconsole.axis_literal(time_type, range_end));
end;
$$;

comment on function tsconsole.attach_partition(regclass, regclass, regtype, timestamptz, timestamptz) is
'Makes a table the partition of another for a range of times.
Example: see tsconsole.add_partition.';


create or replace function tsconsole.axis_literal(time_type regtype, at timestamptz) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
    select case time_type when 'timestamptz'::regtype then at::text
                          when 'date'::regtype then (at at time zone 'UTC')::date::text
                          else (at at time zone 'UTC')::text end;
$$;

comment on function tsconsole.axis_literal(regtype, timestamptz) is
'A stored time as a literal of the time column''s type.
Example: select tsconsole.axis_literal(''date''::regtype, ''2026-03-01 00:00Z'');';


create or replace function tsconsole.copy_properties(target regclass, partition regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    -- What LIKE leaves out: storage options (of the neighbour, as a partitioned table has none), statistics targets, owner.
    for item in
        select o.option_name, o.option_value
        from pg_class c, pg_options_to_table(c.reloptions) o where c.oid = tsconsole.neighbour(target, partition)
    loop
        execute format('alter table %s set (%I = %L)', partition, item.option_name, item.option_value);
    end loop;
    for item in
        select a.attname, a.attstattarget from pg_attribute a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attstattarget >= 0
    loop
        execute format('alter table %s alter column %I set statistics %s', partition, item.attname, item.attstattarget);
    end loop;
    if (select t.relreplident = 'f' from pg_class t where t.oid = target) then
        execute format('alter table %s replica identity full', partition);
    end if;
    select t.relowner::regrole as owner into item
    from pg_class t join pg_class p on p.relowner <> t.relowner
    where t.oid = target and p.oid = partition;
    if found then
        execute format('alter table %s owner to %s', partition, item.owner);
    end if;
end;
$$;

comment on function tsconsole.copy_properties(regclass, regclass) is
'Gives a new partition what CREATE TABLE … LIKE leaves out: storage options, statistics targets, the replica identity and the owner of the target.
Example: see tsconsole.ensure_partitions.';
