-- Dropping a rollup: at once, or partition by partition where the server could not lock all of them.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.drop_rollup(target regclass, keep_data boolean default false) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
set client_min_messages = 'warning'
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    work text;
begin
    perform tsconsole.check_unread(target);
    if not keep_data then
        perform tsconsole.check_lock_room(tsconsole.drop_locks(target), format('dropping %s with its partitions', tsconsole.qualified_name(target)),
            format('call silver.drop_large_rollup(%L);', tsconsole.qualified_name(target)));
    end if;
    perform tsconsole.check_untracking(config);
    if config.change_tracking = 'trigger' and exists (select from pg_class c where c.oid = config.source_table) then
        -- Writers in flight may still log into the pending table; those that come later find functions without it.
        perform tsconsole.lock_source(config.source_table);
    end if;
    -- A step of the level below must not hand changes on to it meanwhile.
    perform pg_advisory_xact_lock(tsconsole.lock_class('readers'), p.id::integer)
    from silver.timeseries_rollup_config p where p.target_table = config.source_table;
    -- Waits for the step in hand, at most lock_timeout.
    foreach work in array array['frontier', 'recompute', 'history'] loop
        perform pg_advisory_xact_lock(tsconsole.lock_class(work), config.id::integer);
    end loop;
    perform tsconsole.drop_live_view(config);
    perform tsconsole.cancel_rebuild(config.id);
    perform tsconsole.end_partman(config);
    execute format('drop table if exists %s', tsconsole.pending_table(config.id));
    if not keep_data and exists (select from pg_class c where c.oid = target) then
        execute format('drop table %s', tsconsole.qualified_name(target));
    end if;
    delete from silver.timeseries_rollup_config c where c.id = config.id;
    perform tsconsole.end_tracking(config.source_table, config.time_column);
exception when lock_not_available then
    raise exception '% is in use and was not dropped: %', tsconsole.qualified_name(target), sqlerrm using
        errcode = 'TS005', hint = 'Pause the rollup, or wait for long transactions on it and its source to end, and try again.';
end;
$$;

comment on function silver.drop_rollup(regclass, boolean) is
'Ends a rollup and drops its target; with keep_data the target stays as a plain table. Its logs stay. Waits up to 5 s for a step in hand. TS002 when it is not a rollup, TS004 when another rollup reads it, or when it has more partitions than the server can lock at once (then see silver.drop_large_rollup), TS005 when it is in use.
Example: select silver.drop_rollup(''silver.meters_1h'', keep_data := true);';


create or replace function tsconsole.check_unread(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    readers text := (select string_agg(tsconsole.qualified_name(c.target_table), ', ') from silver.timeseries_rollup_config c where c.source_table = target);
begin
    if readers is not null then
        raise exception '% is read by %', tsconsole.qualified_name(target), readers using
            errcode = 'TS004', hint = 'Drop the levels above first.';
    end if;
end;
$$;

comment on function tsconsole.check_unread(regclass) is
'Refuses (TS004) to drop a target that another rollup reads.
Example: select tsconsole.check_unread(''silver.meters_1h'');';


create or replace procedure silver.drop_large_rollup(target text)
language plpgsql
as $$
-- No SET clause: a procedure that commits cannot have one, so every name here is qualified.
declare
    relation pg_catalog.regclass;
begin
    commit;
    set transaction isolation level read committed;
    relation := tsconsole.find_table(target, tsconsole.visible_table(target));
    while tsconsole.drop_some_partitions(relation) OPERATOR(pg_catalog.>) 0 loop
        commit;
        set transaction isolation level read committed;
    end loop;
    perform silver.drop_rollup(relation);
end;
$$;

comment on procedure silver.drop_large_rollup(text) is
'As silver.drop_rollup, for a target with thousands of partitions, of which the server cannot lock all at once: pauses the rollup, drops the oldest partitions, a hundred in a transaction, and then the rest with the rollup. Interrupted, it leaves a paused rollup without these rows; call it again. Must be a statement of its own. TS002 when it is not a rollup, TS004 when another rollup reads it, TS005 when it is in use.
Example: call silver.drop_large_rollup(''silver.meters_1m'');';


create or replace function tsconsole.drop_some_partitions(target regclass) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning'
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    rest   bigint := (select count(*) from tsconsole.partitions(target));
    parts  record;
begin
    perform tsconsole.check_unread(target);
    -- The rest goes with the table, in one transaction.
    if tsconsole.drop_locks(target) <= tsconsole.lock_room() / 4 then
        return 0;
    end if;
    perform tsconsole.check_untracking(config);
    -- No reader may begin meanwhile: what it would read is going.
    perform pg_advisory_xact_lock(tsconsole.lock_class('readers'), config.id::integer);
    perform silver.pause_rollup(target);
    perform tsconsole.claim_rollups(array[config.id]);
    perform tsconsole.claim_partitions(target);
    select count(*) as number, string_agg(tsconsole.qualified_name(o.partition), ', ') as names, max(o.range_end) as range_end into parts
    from (select p.* from tsconsole.partitions(target) p order by p.range_start nulls first
          limit greatest(1, least(100, rest * tsconsole.lock_room() / 4 / tsconsole.drop_locks(target)))) o;
    perform tsconsole.run_briefly(array[
        format('lock table only %s in access exclusive mode', tsconsole.qualified_name(target)), format('drop table %s', parts.names)]);
    -- Should the rest stay after all: what is gone is gone by retention, and not computed again.
    update silver.timeseries_rollup_config c set retained_from = greatest(c.retained_from, parts.range_end)
    where c.id = config.id and isfinite(parts.range_end);
    return rest - parts.number;
end;
$$;

comment on function tsconsole.drop_some_partitions(regclass) is
'Pauses a rollup that is to be dropped, and drops the oldest partitions of its target, a hundred at most. Returns how many are left; 0, and drops none, when the rest can go at once.
Example: select tsconsole.drop_some_partitions(''silver.meters_1m'');';


create or replace function tsconsole.drop_locks(relation regclass) returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- DROP TABLE locks every object that goes: table, row type, TOAST table and its index; each index, default and constraint.
    select (select count(*) from tsconsole.with_partitions(relation))
         * (4 + (select count(*) from pg_index i where i.indrelid = relation) + (select count(*) from pg_attrdef d where d.adrelid = relation)
              + (select count(*) from pg_constraint k where k.conrelid = relation));
$$;

comment on function tsconsole.drop_locks(regclass) is
'How many locks it takes to drop a table with its partitions.
Example: select tsconsole.drop_locks(''silver.meters_1h'');';


create or replace function tsconsole.check_untracking(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- With the last rollup on a source go its triggers: four on each partition, each of which is locked, with its table.
    if (config).change_tracking = 'trigger' and exists (select from pg_class c where c.oid = (config).source_table)
       and not exists (select from silver.timeseries_rollup_config o
                       where o.source_table = (config).source_table and o.time_column = (config).time_column and o.id <> (config).id and o.change_tracking = 'trigger') then
        perform tsconsole.check_lock_room(5 * (select count(*) from tsconsole.with_partitions((config).source_table)),
            format('dropping the triggers on %s and its partitions', tsconsole.qualified_name((config).source_table)));
    end if;
end;
$$;

comment on function tsconsole.check_untracking(silver.timeseries_rollup_config) is
'Refuses (TS004) to drop the last rollup on a source with more partitions than the server can take the triggers from at once.
Example: see silver.drop_rollup.';


create or replace function tsconsole.lock_problem(config silver.timeseries_rollup_config, out problem text, out hint text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A query without a time range locks each partition and its index; to take the triggers away takes five locks each.
    perform tsconsole.check_partition_locks((config).target_table, 2);
    perform tsconsole.check_partition_locks((config).source_table, case when (config).change_tracking = 'trigger' then 5 else 2 end);
exception when sqlstate 'TS004' then
    get stacked diagnostics problem = message_text, hint = pg_exception_hint;
end;
$$;

comment on function tsconsole.lock_problem(silver.timeseries_rollup_config) is
'What the server could not lock at once of a rollup, before somebody needs it, and what to do; nulls when it can.
Example: select * from tsconsole.lock_problem(tsconsole.rollup(''silver.meters_1h''));';
