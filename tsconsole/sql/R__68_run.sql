-- Running rollups: everything in one transaction, or a transaction for each step.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.rollups_of(relation regclass)
returns setof bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan  -- planning takes ten times as long as running
as $$
#variable_conflict use_column
begin
    return query
        with recursive ladder as (
            select c.id, c.target_table, 0 as depth
            from silver.timeseries_rollup_config c
            where case
                when relation is null then not exists (select from silver.timeseries_rollup_config p where p.target_table = c.source_table)
                when exists (select from silver.timeseries_rollup_config t where t.target_table = relation) then c.target_table = relation
                else c.source_table = relation end
            union all
            select c.id, c.target_table, l.depth + 1
            from ladder l join silver.timeseries_rollup_config c on c.source_table = l.target_table
            where relation is null or not exists (select from silver.timeseries_rollup_config t where t.target_table = relation)
        )
        select l.id from ladder l group by l.id order by max(l.depth), l.id;
end;
$$;

comment on function tsconsole.rollups_of(regclass) is
'The rollups meant by a table, lower levels first: that of a target; all that read a source, up their ladders; all for null.
Example: select tsconsole.rollups_of(''raw.readings'');';


create or replace function tsconsole.check_has_rollups(relation regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if relation is not null and not exists (select from tsconsole.rollups_of(relation)) then
        raise exception '% is neither the target nor the source of a rollup', tsconsole.qualified_name(relation) using
            errcode = 'TS002', hint = 'Rollups are listed in silver.timeseries_operations_monitor.';
    end if;
end;
$$;

comment on function tsconsole.check_has_rollups(regclass) is
'Refuses (TS002) a table that has nothing to do with a rollup.
Example: select tsconsole.check_has_rollups(''silver.meters_1h'');';


create or replace function silver.perform_rollup(table_name regclass) returns setof silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    rollup_id bigint;
    result silver.step_result;
    steps integer;
    as_of timestamptz := clock_timestamp();
begin
    perform tsconsole.check_has_rollups(table_name);
    for rollup_id in select r from tsconsole.rollups_of(table_name) r loop
        steps := 0;
        loop
            result := tsconsole.execute_step(rollup_id, as_of);
            if result.outcome in ('done', 'failed') or steps = 0 then
                return next result;
            end if;
            steps := steps + 1;
            exit when result.outcome is distinct from 'done';
        end loop;
        -- Cancelled or timed out: the user wants it to end.
        exit when result.sql_state = '57014';
    end loop;
end;
$$;

comment on function silver.perform_rollup(regclass) is
'Brings a rollup up to date, as of now, in the calling transaction: takes its target, or a source for all rollups on it and their ladders. One row per step; a failure is a row with outcome failed, and is logged. Because it is one transaction, a ROLLBACK by the caller takes results and logs along, and a crash leaves no trace; CALL silver.run_rollups commits every step. TS002 when the table has no rollup.
Example: select * from silver.perform_rollup(''silver.meters_1h'');';


create or replace function tsconsole.prepare_step(rollup_id bigint, as_of timestamptz default null) returns silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config;
    work text;
    chosen_work text;
    range tsconsole.work_range;
    failure silver.timeseries_error_log;
begin
    perform tsconsole.check_isolation();
    select c.* into config from silver.timeseries_rollup_config c where c.id = prepare_step.rollup_id;
    if config.is_active and config.change_tracking = 'trigger' then
        perform tsconsole.check_partitions(config.source_table);
    end if;
    foreach work in array case when config.is_active then array['frontier', 'recompute', 'history'] else '{}' end loop
        if not tsconsole.is_waiting(config.id, work) and tsconsole.has_work(config, work, as_of) then
            chosen_work := work;
            exit;
        end if;
    end loop;
    if chosen_work is null then
        perform tsconsole.forget_vanished(config);
        return (config.target_table, null, 'idle', null, null, 0, 0, null, null, null)::silver.step_result;
    end if;
    -- Before anything is written: only then can it vouch for its time.
    perform tsconsole.beat();
    delete from tsconsole.attempt a where a.rollup_id = config.id and a.pid = pg_backend_pid();
    insert into tsconsole.attempt (rollup_id, work, pid) values (config.id, chosen_work, pg_backend_pid());
    -- Partitions come in this short transaction, because the lock that attaches one would be held to the end of a
    -- step. What fails here fails again in the step, where it is logged.
    begin
        if chosen_work = 'history' then
            perform tsconsole.make_room_for_history(config);
        end if;
        if chosen_work <> 'recompute' or not tsconsole.has_room_for_late(config) then
            range := tsconsole.choose_range(config, chosen_work, tsconsole.possible_horizon(config));
        end if;
        if range.hi is not null then
            perform tsconsole.make_room(config, chosen_work, range);
        end if;
    exception
        when query_canceled then
            -- The statement's time is used up and would not be limited again: this is the failure.
            failure.work := chosen_work;
            failure.sql_state := sqlstate;
            failure.error_message := sqlerrm;
            failure.error_context := 'while looking for the range of the next step';
            delete from tsconsole.attempt a where a.rollup_id = config.id and a.pid = pg_backend_pid();
            return tsconsole.record_failure(config, failure, clock_timestamp());
        when others then
            null;
    end;
    return (config.target_table, chosen_work, 'ready', null, null, 0, 0, null, null, null)::silver.step_result;
end;
$$;

comment on function tsconsole.prepare_step(bigint, timestamptz) is
'The short transaction before a step: notes the attempt, so that a crash is noticed, and makes the partitions. Outcome ready with the work to be done, idle when there is nothing to do, or failed when it was cancelled.
Example: see silver.run_rollups.';


create or replace procedure silver.run_rollups(
    table_name text default null, max_steps integer default null, raise_failures boolean default true, inout results jsonb default null
)
language plpgsql
as $$
-- No SET clause: a procedure that commits cannot have one, so every name here is qualified.
declare
    rollup_id bigint;
    result silver.step_result;
    went_on boolean;
    started_at pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    stops_at pg_catalog.timestamptz := tsconsole.stop_time();
    relation pg_catalog.regclass;
begin
    commit;
    set transaction isolation level read committed;
    relation := tsconsole.find_table(table_name, tsconsole.visible_table(table_name));
    perform tsconsole.check_has_rollups(relation);
    results := pg_catalog.jsonb_build_array();
    <<passes>>
    loop
        -- One step of each rollup in turn, so that a backfill keeps nobody waiting.
        went_on := false;
        for rollup_id in select r from tsconsole.rollups_of(relation) r loop
            exit passes when pg_catalog.jsonb_array_length(results) OPERATOR(pg_catalog.>=) max_steps
                          or pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) stops_at;
            result := tsconsole.prepare_step(rollup_id, started_at);
            commit;
            set transaction isolation level read committed;
            if result.outcome OPERATOR(pg_catalog.=) 'ready' then
                result := tsconsole.execute_step(rollup_id, started_at, result.work);
                commit;
                set transaction isolation level read committed;
            end if;
            if result.outcome OPERATOR(pg_catalog.<>) 'idle' then
                results := tsconsole.with_result(results, result);
                went_on := went_on or result.outcome OPERATOR(pg_catalog.=) 'done';
                exit passes when result.sql_state OPERATOR(pg_catalog.=) '57014';
            end if;
        end loop;
        exit when not went_on or pg_catalog.jsonb_array_length(results) OPERATOR(pg_catalog.>=) max_steps;
    end loop;
    if raise_failures then
        perform tsconsole.raise_failures(results);
    end if;
end;
$$;

comment on procedure silver.run_rollups(text, integer, boolean, jsonb) is
'Brings rollups up to date, with a COMMIT after every step: one target, a source with all rollups on it, or all. max_steps: stop after so many. results: one object per step. Raises at the end when a step failed (each is logged already), unless raise_failures is false. It takes what is complete when it begins, and ends before statement_timeout would cut a step off. Must be a statement of its own, outside a transaction block.
Example: call silver.run_rollups(''silver.meters_1h'');';


create or replace function tsconsole.stop_time() returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- statement_timeout covers the whole CALL; the last fifth of it is left for the step in hand.
    select case when t.timeout > '0' then statement_timestamp() + t.timeout * 0.8 else 'infinity' end
    from (select current_setting('statement_timeout')::interval as timeout) t;
$$;

comment on function tsconsole.stop_time() is
'When a long CALL should begin no further step; infinity without a statement_timeout.
Example: select tsconsole.stop_time();';


create or replace function tsconsole.with_result(results jsonb, result silver.step_result) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select results || (to_jsonb(result) || jsonb_build_object('target_table', tsconsole.qualified_name((result).target_table)));
$$;

comment on function tsconsole.with_result(jsonb, silver.step_result) is
'A JSON array of step results with one more.
Example: see silver.run_rollups.';


create or replace function tsconsole.raise_failures(results jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    failures jsonb := jsonb_path_query_array(results, '$[*] ? (@.outcome == "failed")');
begin
    if jsonb_array_length(failures) > 0 then
        raise exception '% of % steps failed; the first: % (%)', jsonb_array_length(failures), jsonb_array_length(results),
            failures -> 0 ->> 'error_message', failures -> 0 ->> 'target_table' using
            errcode = 'TS008', hint = 'Each failure is in silver.timeseries_error_log.';
    end if;
end;
$$;

comment on function tsconsole.raise_failures(jsonb) is
'Raises TS008 when a step among the results failed.
Example: see silver.run_rollups.';
