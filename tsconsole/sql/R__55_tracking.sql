-- Tracking a source: taking its locks, and the triggers that log late changes.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.tracking_obstacle(source regclass, time_column text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when c.relkind not in ('r', 'p') then 'it is not a table'
        -- A virtual column (from 18 on) has no value yet when a trigger looks.
        when exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = tracking_obstacle.time_column and a.attgenerated = 'v')
            then 'its time column is a virtual generated column'
        when c.relkind = 'r' and exists (select from pg_inherits i where i.inhparent = c.oid) then 'other tables inherit from it'
        when exists (select from tsconsole.with_partitions(source) p where not has_table_privilege(p, 'trigger'))
            then format('role %s may not create triggers on it or on one of its partitions', current_user)
        when exists (select from tsconsole.with_partitions(source) p where not has_table_privilege(p, lockers.rights))
            then format('role %s may not lock it or one of its partitions, for which it needs one of the rights %s', current_user, lockers.rights)
        when exists (select from tsconsole.with_partitions(source) p join pg_class k on k.oid = p where k.relkind = 'f')
            then 'one of its partitions is a foreign table'
    end
    from pg_class c,
         -- Creation waits for writers with a lock, which any one of these allows.
         (select case when current_setting('server_version_num')::integer < 170000 then 'update, delete, truncate' else 'update, delete, truncate, maintain' end) lockers (rights)
    where c.oid = source;
$$;

comment on function tsconsole.tracking_obstacle(regclass, text) is
'Why late changes of a source cannot be logged by triggers; null when they can.
Example: select tsconsole.tracking_obstacle(''raw.readings'', ''ts'');';


create or replace function tsconsole.choose_tracking(wanted silver.timeseries_rollup_config, parent silver.timeseries_rollup_config) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    mode text := wanted.change_tracking;
    obstacle text := tsconsole.tracking_obstacle(wanted.source_table, wanted.time_column);
begin
    if mode is null or mode not in ('auto', 'trigger', 'look_back', 'none') then
        raise exception 'change_tracking % is not known', coalesce(quote_literal(mode), 'null') using
            errcode = 'TS001', hint = 'Use auto, trigger, look_back or none.';
    elsif parent.id is not null and mode in ('auto', 'trigger') then
        return 'ladder';
    elsif mode = 'trigger' and obstacle is not null then
        raise exception 'late changes of % cannot be tracked by triggers: %', tsconsole.qualified_name(wanted.source_table), obstacle using
            errcode = 'TS004', hint = 'Use change_tracking look_back with a look_back_window, or grant what is missing.';
    elsif mode = 'auto' and obstacle is not null then
        mode := case when wanted.look_back_window is null then 'none' else 'look_back' end;
        raise notice 'late changes of % are not tracked by triggers: %', tsconsole.qualified_name(wanted.source_table), obstacle
            using hint = case mode when 'none' then 'Nothing finds them; give a look_back_window to have it read again at every refresh, or call silver.invalidate.'
                                   else 'look_back_window is read again at every refresh instead.' end;
    elsif mode = 'auto' then
        mode := 'trigger';
    end if;
    if mode = 'look_back' and wanted.look_back_window is null then
        raise exception 'change_tracking look_back needs a look_back_window' using
            errcode = 'TS001', hint = 'Say how far back each refresh shall read again.';
    end if;
    return mode;
end;
$$;

comment on function tsconsole.choose_tracking(silver.timeseries_rollup_config, silver.timeseries_rollup_config) is
'How late changes of a new rollup are found: as asked for, or by triggers where that is possible, with a notice where it is not.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.lock_source(source regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    budget constant interval := interval '500 milliseconds';
    relation oid;
    attempt integer := 0;
    started timestamptz;
    usual_timeout text := current_setting('lock_timeout');
begin
    -- Its rows may be read, too, with an index.
    perform tsconsole.check_partition_locks(source, 3);
    -- Waits for writers without letting others queue behind it for longer than the budget; lock_timeout counts for each
    -- lock, so it shrinks by what was used. A failed round lets go of everything (the block is a savepoint).
    loop
        attempt := attempt + 1;
        started := clock_timestamp();
        begin
            perform set_config('lock_timeout', (1000 * extract(epoch from budget))::integer || 'ms', true);
            -- The parent first: after that none of its partitions can go. One below a partition still can.
            execute format('lock table only %s in share row exclusive mode', tsconsole.qualified_name(source));
            for relation in select p from tsconsole.with_partitions(source) p where p <> source loop
                continue when not exists (select from pg_class c where c.oid = relation);
                perform set_config('lock_timeout', greatest(1, 1000 * extract(epoch from started + budget - clock_timestamp()))::integer || 'ms', true);
                execute format('lock table only %s in share row exclusive mode', tsconsole.qualified_name(relation));
            end loop;
            perform set_config('lock_timeout', usual_timeout, true);
            return;
        exception when lock_not_available then
            if attempt >= 20 then
                raise exception 'could not lock source % within % tries of %', tsconsole.qualified_name(source), attempt, budget using
                    errcode = 'TS005', hint = 'A transaction that has written to it stays open; end it (see pg_stat_activity), or try again.';
            end if;
        end;
        perform pg_sleep(0.1 + 0.2 * random());
    end loop;
end;
$$;

comment on function tsconsole.lock_source(regclass) is
'Takes CREATE TRIGGER''s lock on a source and all its partitions, in short tries, so that ingestion never waits for more than half a second. TS004 when there are more than the server can lock at once, TS005 when a writer does not end.
Example: select tsconsole.lock_source(''raw.readings'');';


create or replace function tsconsole.begin_tracking(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Even where the triggers are there already: a writer that read the list of rollups before this one existed
    -- must have ended before the first horizon is read.
    perform tsconsole.lock_source(config.source_table);
    insert into tsconsole.tracked_source as t (source_table, time_column, tracked_since, lateness, condition)
    values (config.source_table, config.time_column, clock_timestamp(), config.allowed_lateness, '')
    on conflict (source_table, time_column) do update set lateness = least(t.lateness, excluded.lateness);
    if not exists (select from tsconsole.source_partition p where p.source_table = config.source_table) then
        perform tsconsole.take_inventory(config.source_table, tsconsole.inventory(config.source_table, config.time_column));
    elsif tsconsole.partition_column(config.source_table) = config.time_column then
        -- It may have been taken for another time column.
        update tsconsole.source_partition p set range_start = b.range_start, range_end = b.range_end
        from tsconsole.partition_bounds(config.source_table, config.time_column) b
        where p.source_table = config.source_table and p.partition = b.partition;
    end if;
end;
$$;

comment on function tsconsole.begin_tracking(silver.timeseries_rollup_config) is
'Locks a source and notes since when it is tracked.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.tracking_key(source regclass, time_column text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select source::oid || '_' || a.attnum from pg_attribute a where a.attrelid = source and a.attname = time_column);
end;
$$;

comment on function tsconsole.tracking_key(regclass, text) is
'What the generated functions and triggers of a tracked source are named after.
Example: select tsconsole.tracking_key(''raw.readings'', ''ts'');';


create or replace function tsconsole.refresh_tracking(source regclass, time_column text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    key text := tsconsole.tracking_key(source, time_column);
    tracker text := (select a.tracker from tsconsole.tracker_arguments(source, time_column) a);
    wanted text;
begin
    perform tsconsole.drop_restored_tracking(source);
    -- A logger of other dimensions has other arguments, and would stand beside the former one.
    perform tsconsole.drop_functions(tsconsole.tracking_functions(key, 'log'));
    execute tsconsole.logger_source(source, time_column);
    perform tsconsole.make_trackers(source, time_column, tracker);
    execute tsconsole.truncate_tracker_source(source, time_column);
    execute tsconsole.truncate_logger_source(source, time_column);
    -- Writers call it; and a partition is added by its owner, who needs the right then.
    execute format('grant execute on function tsconsole.track_truncate_%s() to public', key);
    perform tsconsole.give_to_owner('function', f::regprocedure::text)
    from unnest(tsconsole.tracking_functions(key, 'track_truncate', 'log', 'log_truncate')) f;
    wanted := tsconsole.trigger_condition(source, time_column, 'new');
    if wanted is distinct from (select t.condition from tsconsole.tracked_source t
                                where t.source_table = source and t.time_column = refresh_tracking.time_column) then
        perform tsconsole.make_triggers(source, time_column, key);
        update tsconsole.tracked_source t set condition = wanted
        where t.source_table = source and t.time_column = refresh_tracking.time_column;
        perform tsconsole.drop_trackers(key, tracker);
    end if;
end;
$$;

comment on function tsconsole.refresh_tracking(regclass, text) is
'Generates the functions that log late changes of a source anew, for the rollups that it has now, and its triggers when their condition changed.
Example: select tsconsole.refresh_tracking(''raw.readings'', ''ts'');';


create or replace function tsconsole.make_triggers(source regclass, time_column text, key text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    relation oid;
    event text;
    old_late text := tsconsole.trigger_condition(source, time_column, 'old');
    new_late text := tsconsole.trigger_condition(source, time_column, 'new');
    is_owner boolean := pg_has_role((select c.relowner from pg_class c where c.oid = source), 'usage');
begin
    foreach event in array array['insert', 'update', 'delete'] loop
        execute format('create or replace trigger tsconsole_%1$s_%2$s after %2$s on %3$s for each row when (%4$s) execute function tsconsole.never_called()',
            key, event, tsconsole.qualified_name(source),
            case event when 'insert' then new_late when 'delete' then old_late else format('(%s) or (%s)', old_late, new_late) end);
        if is_owner then
            -- CREATE OR REPLACE resets it. Without it a logically replicated source is not tracked.
            execute format('alter table %s enable always trigger tsconsole_%s_%s', tsconsole.qualified_name(source), key, event);
        end if;
    end loop;
    -- Statement triggers are not cloned to partitions.
    for relation in select p from tsconsole.with_partitions(source) p loop
        execute format('create or replace trigger tsconsole_%1$s_truncate after truncate on %2$s for each statement execute function tsconsole.track_truncate_%1$s()',
            key, tsconsole.qualified_name(relation));
        if is_owner then
            execute format('alter table %s enable always trigger tsconsole_%s_truncate', tsconsole.qualified_name(relation), key);
        end if;
    end loop;
end;
$$;

comment on function tsconsole.make_triggers(regclass, text, text) is
'Creates or replaces the triggers of a tracked source.
Example: see tsconsole.refresh_tracking.';


create or replace function tsconsole.has_triggers(source regclass, time_column text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Disabled and enabled again, a trigger that fired always fires on origin only: somebody wrote without it meanwhile.
    return (
    with wanted as (
        select format('tsconsole_%s_%s', tsconsole.tracking_key(source, has_triggers.time_column), e.event)::name as name, e.event <> 'truncate' as is_cloned
        from unnest(array['insert', 'update', 'delete', 'truncate']) e (event)
    ), present_partitions as materialized (
        select p.partition from tsconsole.present_partitions(source) p
    ), own as materialized (
        select w.name, w.is_cloned, t.tgenabled, t.oid as trigger
        from wanted w join pg_trigger t on t.tgrelid = source and t.tgname = w.name
        where t.tgenabled = 'A'
           or t.tgenabled = 'O' and not pg_has_role((select c.relowner from pg_class c where c.oid = source), 'usage')
    )
    select count(*) = 4 and not exists (
        -- Who drops the function that a tracker asks, with CASCADE, drops its CHECK.
        select from own
        join pg_depend d on d.classid = 'pg_trigger'::regclass and d.objid = own.trigger and d.refclassid = 'pg_type'::regclass
        join pg_type t on t.oid = d.refobjid and t.typtype = 'd' and t.typnamespace = 'tsconsole'::regnamespace
        where not exists (select from pg_constraint k where k.contypid = t.oid)
    ) and (
        -- By index, one partition after the other: for 2,500 the planner's own way takes a second, and each step asks.
        select coalesce(bool_and((select count(*) = 3 from own join pg_trigger t on t.tgname = own.name and t.tgenabled = own.tgenabled
                                  where own.is_cloned and t.tgrelid = p.partition)), true)
        from present_partitions p)
    from own);
end;
$$;

comment on function tsconsole.has_triggers(regclass, text) is
'Whether the triggers of a tracked source and of its partitions are all there, enabled, and were so all the time. They go with a column that is dropped with CASCADE, too. The row triggers of a table that inherits without being a partition are missing.
Example: select tsconsole.has_triggers(''raw.readings'', ''ts'');';


create or replace function tsconsole.end_tracking(source regclass, time_column text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
set client_min_messages = 'warning'
as $$
declare
    key text := tsconsole.tracking_key(source, time_column);
begin
    if not exists (select from tsconsole.tracked_source t where t.source_table = source and t.time_column = end_tracking.time_column) then
        return;
    elsif exists (select from silver.timeseries_rollup_config c
               where c.source_table = source and c.time_column = end_tracking.time_column and c.change_tracking = 'trigger') then
        perform tsconsole.refresh_tracking(source, time_column);
    elsif exists (select from pg_class c where c.oid = source) then
        perform tsconsole.drop_restored_tracking(source);
        perform tsconsole.drop_tracking(key);
        delete from tsconsole.tracked_source t where t.source_table = source and t.time_column = end_tracking.time_column;
        delete from tsconsole.source_partition p
        where p.source_table = source and not exists (select from tsconsole.tracked_source t where t.source_table = source);
    end if;
end;
$$;

comment on function tsconsole.end_tracking(regclass, text) is
'After a rollup was dropped: takes it out of the generated functions, or removes the triggers with the last one.
Example: see silver.drop_rollup.';
