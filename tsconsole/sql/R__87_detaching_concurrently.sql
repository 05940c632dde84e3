-- Taking partitions away without keeping anybody waiting: DETACH CONCURRENTLY is a statement of its own, which only a client can
-- send. What is prepared here before it, and finished here after it, survives a crash in between.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.begin_detachments(table_name regclass)
returns table (parent_schema text, parent_name text, partition_schema text, partition_name text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    kept_rows record;
    part      record;
begin
    perform tsconsole.check_has_rollups(table_name);
    for kept_rows in select t.* from tsconsole.retention_tables(table_name) t where tsconsole.can_detach_concurrently(t.relation) loop
        -- No step may be changing a range, or handing on changes of it, that is given up here.
        continue when kept_rows.rollup_id is not null and not tsconsole.claim(kept_rows.rollup_id, 'recompute');
        for part in select p.* from tsconsole.expired_partitions(kept_rows.relation, kept_rows.cutoff) p where isfinite(p.range_start) limit 20 loop
            exit when tsconsole.retention_problem(kept_rows.relation, part.range_end) is not null;
            insert into tsconsole.detachment as d (partition, parent, rollup_id, range_start, range_end, action)
            values (part.partition, kept_rows.relation, kept_rows.rollup_id, part.range_start, part.range_end, kept_rows.action)
            on conflict (partition) do update set action = excluded.action, begun_at = clock_timestamp();
            -- Of a target the rows are given up before they go, so that no step finds them missing.
            update silver.timeseries_rollup_config c set retained_from = greatest(c.retained_from, part.range_end) where c.id = kept_rows.rollup_id;
            return query
                select pn.nspname::text, p.relname::text, n.nspname::text, c.relname::text
                from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_class p join pg_namespace pn on pn.oid = p.relnamespace
                where c.oid = part.partition and p.oid = kept_rows.relation;
        end loop;
    end loop;
end;
$$;

comment on function tsconsole.begin_detachments(regclass) is
'Decides which expired partitions are detached concurrently, and returns them: each is then detached by a statement of its own, and silver.apply_retention finishes the work. It leaves out what a rollup still needs, and tables with a default partition.
Example: select * from tsconsole.begin_detachments(''silver.meters_1h'');';


create or replace function tsconsole.can_detach_concurrently(parent regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_partitioned_table p where p.partrelid = parent and p.partdefid = 0)
       and pg_has_role((select c.relowner from pg_class c where c.oid = parent), 'usage')
       -- PostgreSQL detaches one at a time.
       and not exists (select from pg_inherits i where i.inhparent = parent and i.inhdetachpending);
$$;

comment on function tsconsole.can_detach_concurrently(regclass) is
'Whether partitions of a table can be detached concurrently by this role now: not with a default partition.
Example: select tsconsole.can_detach_concurrently(''silver.meters_1h'');';


create or replace function tsconsole.finish_detachments(parents regclass[])
returns table (
    partitioned_table text, partition_name text, range_start timestamptz, range_end timestamptz, total_bytes bigint, action text, reason text
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    begun tsconsole.detachment;
begin
    for begun in
        select d.* from tsconsole.detachment d
        where parents is null or d.parent = any (parents)
        order by d.range_end
    loop
        partitioned_table := tsconsole.qualified_name(begun.parent);
        partition_name := tsconsole.qualified_name(begun.partition);
        range_start := begun.range_start;
        range_end := begun.range_end;
        total_bytes := (select sum(pg_total_relation_size(s.part)) from tsconsole.stored_parts(begun.partition) s);
        reason := tsconsole.finish_detachment(begun);
        if reason is null then
            action := begun.action;
            reason := 'it is older than retention allows';
            return next;
        elsif reason <> '' then
            action := 'keep';
            return next;
        end if;
    end loop;
end;
$$;

comment on function tsconsole.finish_detachments(regclass[]) is
'Finishes what was begun with tsconsole.begin_detachments on these tables (null: on all), by this or an earlier session; rows as silver.apply_retention returns them.
Example: select * from tsconsole.finish_detachments(null);';


create or replace function tsconsole.finish_detachment(begun tsconsole.detachment) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    is_pending boolean;
    problem    text;
begin
    select i.inhdetachpending into is_pending from pg_inherits i where i.inhrelid = begun.partition and i.inhparent = begun.parent;
    if is_pending is false then
        -- It is about to be detached by the session that began it, and what it detaches must be known then. After an hour it
        -- never will be.
        delete from tsconsole.detachment d where d.partition = begun.partition and d.begun_at < clock_timestamp() - interval '1 hour';
        return '';
    elsif not exists (select from pg_class c where c.oid = begun.partition) or not exists (select from pg_class c where c.oid = begun.parent) then
        -- Somebody else has finished it.
        delete from tsconsole.detachment d where d.partition = begun.partition;
        return '';
    end if;
    begin
        perform tsconsole.claim_partitions(begun.parent);
        -- Another session may have finished it before the claim.
        if not exists (select from tsconsole.detachment d where d.partition = begun.partition and d.begun_at = begun.begun_at) then
            return '';
        end if;
        select i.inhdetachpending into is_pending from pg_inherits i where i.inhrelid = begun.partition and i.inhparent = begun.parent;
        if is_pending then
            execute format('alter table %s detach partition %s finalize', tsconsole.qualified_name(begun.parent), tsconsole.qualified_name(begun.partition));
        end if;
        delete from tsconsole.detachment d where d.partition = begun.partition;
        -- All who wrote to it have ended. A target's rows were given up for good.
        problem := case when begun.rollup_id is null then tsconsole.retention_problem(begun.parent, begun.range_end) end;
        if problem is not null then
            -- It counts as expired like any other, and what it waits for is said there.
            perform tsconsole.attach_again(begun);
            return '';
        end if;
        perform tsconsole.note_retired(begun.parent, begun.range_start, begun.range_end);
        perform tsconsole.put_away(begun.parent, begun.partition::regclass, begun.action);
        return null;
    exception
        when lock_not_available then
            return 'it is being detached, and an older transaction is still open';
        when sqlstate 'TS005' then
            return sqlerrm;
    end;
end;
$$;

comment on function tsconsole.finish_detachment(tsconsole.detachment) is
'Drops or archives a partition that was detached concurrently, or attaches it again when a late row has come for it meanwhile. Returns what stood in the way; null when it is gone; an empty text when it is, or is again, a partition like any other.
Example: see silver.apply_retention.';


create or replace function tsconsole.attach_again(begun tsconsole.detachment) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    time_type regtype := (select a.atttypid from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
                          where p.partrelid = begun.parent);
begin
    -- Detaching concurrently has left a constraint with the bounds, so this reads no rows. The next step sees that it came back.
    perform tsconsole.attach_partition(begun.parent, begun.partition, time_type, begun.range_start, begun.range_end);
end;
$$;

comment on function tsconsole.attach_again(tsconsole.detachment) is
'Makes a partition that was detached concurrently a partition again.
Example: see silver.apply_retention.';
