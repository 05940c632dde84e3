-- Taking one partition away from its table: detached and dropped, or moved to an archive.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

-- Of earlier versions, for targets only.
drop function if exists tsconsole.drop_partition(silver.timeseries_rollup_config, regclass, timestamptz);
drop function if exists tsconsole.retention_problem(silver.timeseries_rollup_config, timestamptz);

create or replace function tsconsole.retire_partition(
    parent regclass, partition regclass, range_start timestamptz, range_end timestamptz, action text, may_wait boolean default true
) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    problem text;
    tries   constant integer := case when may_wait then 3 else 1 end;
begin
    for attempt in 1 .. tries loop
        begin
            perform tsconsole.claim_partitions(parent);
            if not exists (select from pg_inherits i where i.inhrelid = partition and i.inhparent = parent) then
                return 'another session has taken it away meanwhile';
            end if;
            problem := tsconsole.retention_problem(parent, range_end);
            if problem is not null then
                return problem;
            end if;
            -- DETACH keeps new readers waiting behind it, hence the short timeout; tried again rather than waited for.
            execute format('alter table %s detach partition %s', tsconsole.qualified_name(parent), tsconsole.qualified_name(partition));
            -- Asked again now that nobody can be writing: a step may have queued something, or a late row have come, meanwhile.
            problem := tsconsole.retention_problem(parent, range_end);
            if problem is not null then
                raise exception '%', problem using errcode = 'TS005';
            end if;
            perform tsconsole.note_retired(parent, range_start, range_end);
            perform tsconsole.put_away(parent, partition, action);
            delete from tsconsole.detachment d where d.partition = retire_partition.partition;
            return null;
        exception
            when lock_not_available then
                if attempt < tries then
                    perform pg_sleep(0.1 + 0.2 * random());
                end if;
            when sqlstate 'TS005' then
                return sqlerrm;
            when undefined_table then
                -- Between the look and the lock.
                if exists (select from pg_inherits i where i.inhrelid = partition and i.inhparent = parent) then
                    raise;
                end if;
                return 'another session has taken it away meanwhile';
        end;
    end loop;
    return 'it is in use: its lock was not to be had in 200 ms' || case when may_wait then ', three times' else '' end;
end;
$$;

comment on function tsconsole.retire_partition(regclass, regclass, timestamptz, timestamptz, text, boolean) is
'Detaches one partition and drops or archives it, if nobody needs it. Returns what stood in the way; null when it is gone. may_wait: try again when its lock is not to be had; not with other locks held already.
Example: see silver.apply_retention.';


create or replace function tsconsole.claim_partitions(parent regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    rollup_id  bigint  := (select c.id from silver.timeseries_rollup_config c where c.target_table = parent);
    is_claimed boolean := pg_try_advisory_xact_lock(
        tsconsole.lock_class(case when rollup_id is null then 'inventory' else 'partition' end),
        coalesce(rollup_id::integer, parent::oid::bigint::bit(32)::integer));
begin
    if not is_claimed then
        raise exception 'another session is making or dropping partitions of %', tsconsole.qualified_name(parent) using
            errcode = 'TS005', hint = 'Try again in a moment.';
    end if;
end;
$$;

comment on function tsconsole.claim_partitions(regclass) is
'Keeps other sessions from making or taking away partitions of a target, or from taking the inventory of a source, until the transaction ends; TS005 when one is at it.
Example: select tsconsole.claim_partitions(''silver.meters_1h'');';


create or replace function tsconsole.note_retired(parent regclass, range_start timestamptz, range_end timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update silver.timeseries_rollup_config c set retained_from = greatest(c.retained_from, range_end) where c.target_table = parent;
    if not found then
        -- With the partition itself, in one transaction: no step, and no live view, sees it gone and not frozen.
        -- Without an inventory, as for look_back, the range is frozen for no partition in particular.
        with gone as (
            delete from tsconsole.source_partition s
            where s.source_table = parent and s.partition not in (select p.partition from tsconsole.present_partitions(parent) p)
              and s.range_start >= note_retired.range_start and s.range_end <= note_retired.range_end
            returning s.partition
        )
        insert into tsconsole.frozen_range (source_table, lo, hi, partition)
        select parent, note_retired.range_start, note_retired.range_end, g.partition
        from (select 1) one left join gone g on true
        on conflict do nothing;
    end if;
end;
$$;

comment on function tsconsole.note_retired(regclass, timestamptz, timestamptz) is
'Notes that rows of a range are gone, so that what was rolled up from them stays as it is.
Example: see tsconsole.retire_partition.';


create or replace function tsconsole.put_away(parent regclass, partition regclass, action text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    archive text;
    name    text := (select c.relname from pg_class c where c.oid = partition);
    free    text;
    item    record;
begin
    if action = 'drop' then
        execute format('drop table %s', tsconsole.qualified_name(partition));
        return;
    end if;
    archive := tsconsole.archive_schema(parent);
    -- Nobody needs to be told of a TRUNCATE there.
    for item in
        select t.tgname, tsconsole.qualified_name(s.relation) as name
        from tsconsole.with_partitions(partition) s (relation) join pg_trigger t on t.tgrelid = s.relation
        where t.tgname ~ '^tsconsole_[0-9]+_[0-9]+_truncate$'
    loop
        execute format('drop trigger %I on %s', item.tgname, item.name);
    end loop;
    free := tsconsole.free_table_name(archive, name);
    if free <> name then
        execute format('alter table %s rename to %I', tsconsole.qualified_name(partition), free);
    end if;
    execute format('alter table %s set schema %I', tsconsole.qualified_name(partition), archive);
end;
$$;

comment on function tsconsole.put_away(regclass, regclass, text) is
'Drops a detached partition, or moves it to the archive of the table it belonged to, under another name when there is one of that name.
Example: see tsconsole.retire_partition.';


create or replace function tsconsole.archive_schema(parent regclass) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    archive text := tsconsole.fit_name(tsconsole.schema_of(parent) || '_archive');
begin
    if to_regnamespace(quote_ident(archive)) is null then
        if not has_database_privilege(current_database(), 'create') then
            raise exception 'role % may not create schema %', current_user, quote_ident(archive) using
                errcode = '42501', hint = format('create schema %I; grant usage, create on schema %1$I to %I;', archive, current_user);
        end if;
        for attempt in 1 .. 20 loop
            begin
                execute format('create schema if not exists %I', archive);
                exit;
            exception when unique_violation then
                -- Another session has just made it, and has told nobody yet: IF NOT EXISTS, and COMMENT, do not see it for a moment.
                perform pg_sleep(0.01);
            end;
        end loop;
        execute format('comment on schema %I is %L', archive, 'Partitions that retention took out of their tables.');
        perform tsconsole.give_to_owner('schema', quote_ident(archive));
    end if;
    return archive;
end;
$$;

comment on function tsconsole.archive_schema(regclass) is
'The schema that archived partitions of a table are moved to: that of the table and _archive, made when it is missing.
Example: select tsconsole.archive_schema(''raw.readings'');';
