-- Upkeep of targets and logs: an ordered list of tasks, each of which says what it did and why.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

-- Before the tasks could be chosen, the function had one argument.
drop function if exists silver.maintain_timeseries_tables(text);
drop function if exists silver.maintain_timeseries_tables(regclass);

create or replace function silver.maintain_timeseries_tables(table_name regclass, tasks text[] default null)
returns table (target_table text, task text, outcome text, detail text, duration interval)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    config  silver.timeseries_rollup_config;
    started timestamptz;
    result  record;
begin
    perform tsconsole.check_has_rollups(table_name);
    perform tsconsole.check_tasks(tasks);
    -- Every lock is kept to the end of this transaction, so the tasks whose locks others would feel come last, for all
    -- rollups: retention is the only one that keeps readers out.
    for task in select p.task from tsconsole.maintenance_plan() p where tasks is null or p.task = any (tasks) order by p.position loop
        for config in
            select c.* from tsconsole.rollups_of(table_name) with ordinality r (id, rank)
            join silver.timeseries_rollup_config c on c.id = r.id order by r.rank
        loop
            started := clock_timestamp();
            result := tsconsole.run_task(config, task);
            return query select config.target_name, task, result.outcome, result.detail, clock_timestamp() - started;
        end loop;
    end loop;
end;
$$;

comment on function silver.maintain_timeseries_tables(regclass, text[]) is
'Maintains a target, all rollups on a source, or all for null: one row per task. tasks: only these, in the order of silver.timeseries_maintenance_tasks; null means all. watchdog cancels steps that run longer than max_execution_time; log_pruning deletes old log entries; indexes repairs the unique index; analyze refreshes the statistics of partitions that changed; vacuum names tables with many dead rows; interval narrows partitions that grew too big; premake makes the next two partitions; retention removes partitions older than retention_period, never rows that a reading rollup still needs. outcome: done, skipped (detail says why) or failed (logged in silver.timeseries_error_log); a task that fails does not stop the next. Every run is in silver.timeseries_maintenance_log. All in one transaction; CALL silver.run_maintenance commits after each task. Safe to run from two places at once. TS001 for a task that does not exist, TS002 when the table has no rollup.
Example: select * from silver.maintain_timeseries_tables(''silver.meters_1h'', array[''analyze'', ''premake'']);';


create or replace function tsconsole.run_task(config silver.timeseries_rollup_config, task text, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
    failure silver.timeseries_error_log;
    started timestamptz := clock_timestamp();
begin
    if not pg_try_advisory_xact_lock(tsconsole.lock_class('maintenance'), config.id::integer) then
        -- Not logged: the other session logs what it does.
        outcome := 'skipped';
        detail := 'busy: another session maintains this target';
        return;
    elsif task not in ('watchdog', 'log_pruning') and not exists (select from pg_class c where c.oid = config.target_table) then
        outcome := 'skipped';
        detail := format('target %s was dropped', config.target_name);
        perform tsconsole.log_maintenance(config, task, outcome, detail, started);
        return;
    end if;
    begin
        execute format('select outcome, detail from tsconsole.%I($1)', 'maintain_' || task) into outcome, detail using config;
    exception
        -- A cancelled query is not caught: whoever cancels wants all of it to end.
        when sqlstate 'TS005' or lock_not_available then
            outcome := 'skipped';
            detail := 'busy: ' || sqlerrm;
        when others then
            get stacked diagnostics
                failure.sql_state = returned_sqlstate, failure.error_message = message_text,
                failure.error_detail = pg_exception_detail, failure.error_hint = pg_exception_hint,
                failure.error_context = pg_exception_context, failure.schema_name = schema_name,
                failure.table_name = table_name, failure.constraint_name = constraint_name;
            outcome := 'failed';
            detail := failure.error_message;
    end;
    if outcome = 'failed' then
        insert into silver.timeseries_error_log (rollup_id, source_table, target_table, work, sql_state, error_message, error_detail,
            error_hint, error_context, schema_name, table_name, constraint_name, attempted_query)
        values (config.id, config.source_name, config.target_name, 'maintenance', failure.sql_state, failure.error_message,
            nullif(failure.error_detail, ''), nullif(failure.error_hint, ''), nullif(failure.error_context, ''),
            nullif(failure.schema_name, ''), nullif(failure.table_name, ''), nullif(failure.constraint_name, ''),
            format('maintenance task %s', task));
    end if;
    perform tsconsole.log_maintenance(config, task, outcome, detail, started);
end;
$$;

comment on function tsconsole.run_task(silver.timeseries_rollup_config, text) is
'Runs one task of maintenance on one rollup and logs what it said. A failure undoes what the task did, is logged, and comes back as outcome failed.
Example: select * from tsconsole.run_task(tsconsole.rollup(''silver.meters_1h''), ''analyze'');';


create or replace function tsconsole.maintain_watchdog(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    late    record;
    stopped text[] := array[]::text[];
begin
    outcome := 'done';
    for late in
        select r.worker_pid, min(a.started_at) as started_at
        from tsconsole.running_steps() r join tsconsole.attempt a on a.rollup_id = r.rollup_id and a.pid = r.worker_pid
        where r.rollup_id = config.id
        group by r.worker_pid
        having min(a.started_at) < clock_timestamp() - config.max_execution_time
    loop
        -- A backend that does not heed a cancel for as long again has its connection closed.
        if late.started_at < clock_timestamp() - 2 * config.max_execution_time - interval '10 seconds' then
            perform pg_terminate_backend(late.worker_pid);
            stopped := stopped || format('terminated pid %s, running since %s', late.worker_pid, late.started_at);
        else
            perform pg_cancel_backend(late.worker_pid);
            stopped := stopped || format('cancelled pid %s, running since %s', late.worker_pid, late.started_at);
        end if;
    end loop;
    detail := coalesce(nullif(array_to_string(stopped, '; '), ''), 'no step runs longer than ' || config.max_execution_time);
end;
$$;

comment on function tsconsole.maintain_watchdog(silver.timeseries_rollup_config) is
'Cancels steps of a rollup that run longer than its max_execution_time; the step logs that as its failure and is retried.
Example: select * from tsconsole.maintain_watchdog(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.maintain_premake(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    chunk interval    := tsconsole.chunk_interval(config);
    edge  timestamptz := tsconsole.next_bucket(chunk, tsconsole.axis_clock(config), 'UTC', null);
    made  integer;
begin
    if config.partition_manager = 'partman' then
        select * into outcome, detail from tsconsole.maintain_partman(config);
        return;
    elsif not isfinite(config.last_processed_time) then
        outcome := 'skipped';
        detail := 'the source has no rows yet';
        return;
    end if;
    -- Now's and the next two, so that no step has to.
    edge := tsconsole.next_bucket(chunk, edge, 'UTC', null);
    made := tsconsole.ensure_partitions(config.id, tsconsole.axis_clock(config), tsconsole.next_bucket(chunk, edge, 'UTC', null));
    outcome := 'done';
    detail := format('made %s partitions; there are partitions to %s', made,
        (select max(p.range_end) from tsconsole.partitions(config.target_table) p));
end;
$$;

comment on function tsconsole.maintain_premake(silver.timeseries_rollup_config) is
'Makes the partitions of a target for now and the next two chunk intervals.
Example: select * from tsconsole.maintain_premake(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.maintain_analyze(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    part     record;
    analyzed text[] := array[]::text[];
    whole    boolean;
    too_many boolean;
begin
    -- Autovacuum never analyzes the partitioned table itself, and the planner wants its statistics too.
    select t.reltuples < 0 and s.rows > 0 or abs(s.rows - t.reltuples) > 0.2 * greatest(t.reltuples, 100) into whole
    from pg_class t, (select sum(pg_stat_get_live_tuples(p.part)) as rows from tsconsole.stored_parts(config.target_table) p) s
    where t.oid = config.target_table and t.relkind = 'p';
    -- Of the table as a whole: each partition is locked, and before 18 analyzed with its indexes.
    too_many := whole and 4 * (select count(*) from tsconsole.with_partitions(config.target_table)) > tsconsole.lock_room() / 2;
    for part in
        select p.part from tsconsole.stored_parts(config.target_table) p
        where pg_stat_get_mod_since_analyze(p.part) > 50 + 0.1 * pg_stat_get_live_tuples(p.part)
        union all
        select config.target_table where whole and not too_many
    loop
        if not pg_has_role((select c.relowner from pg_class c where c.oid = part.part), 'usage') then
            raise exception 'only the owner of % may analyze it', tsconsole.qualified_name(part.part) using
                errcode = '42501', hint = 'Run maintenance as a member of the owner''s role.';
        end if;
        -- One that went meanwhile (retention, a rebuild) needs no statistics.
        continue when not exists (select from pg_class c where c.oid = part.part);
        begin
            execute format('analyze %s%s',
                case when part.part = config.target_table and current_setting('server_version_num')::integer >= 180000 then 'only ' end,
                tsconsole.qualified_name(part.part));
        exception when undefined_table then
            continue;
        end;
        analyzed := analyzed || tsconsole.qualified_name(part.part);
    end loop;
    outcome := 'done';
    detail := coalesce('analyzed ' || nullif(array_to_string(analyzed, ', '), ''), 'no partition has changed since it was analyzed')
        || case when too_many then '; not the table as a whole, which has more partitions than the server can lock at once' else '' end;
end;
$$;

comment on function tsconsole.maintain_analyze(silver.timeseries_rollup_config) is
'Analyzes the partitions of a target in which a tenth of the rows changed since the last time, and the target itself when its row count is off by a fifth.
Example: select * from tsconsole.maintain_analyze(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.maintain_interval(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target_bytes constant bigint := 268435456;
    measured record := tsconsole.measure_partitions(config);
    chosen   record := tsconsole.choose_chunk(config, measured.bytes_per_hour, measured.basis, target_bytes);
begin
    outcome := 'done';
    if chosen.width = config.chunk_interval then
        detail := chosen.reason;
    elsif measured.bytes_per_hour * extract(epoch from config.chunk_interval) / 3600 > 2 * target_bytes then
        perform silver.optimize_chunk_interval(config.target_table, target_bytes);
        detail := format('changed from %s to %s: %s', config.chunk_interval, chosen.width, chosen.reason);
    else
        -- Small partitions do no harm, and somebody may have wanted them.
        detail := format('stays %s; silver.optimize_chunk_interval would choose %s: %s', config.chunk_interval, chosen.width, chosen.reason);
    end if;
end;
$$;

comment on function tsconsole.maintain_interval(silver.timeseries_rollup_config) is
'Narrows the coming partitions of a target when the last ones grew to more than twice 256 MB; otherwise says what would be chosen.
Example: select * from tsconsole.maintain_interval(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.maintain_vacuum(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    hints text;
begin
    -- VACUUM cannot run inside a function: this names what autovacuum has left lying about.
    select string_agg(format('%s has %s dead rows beside %s', tsconsole.qualified_name(t.part), t.dead, t.live), '; ' order by t.dead desc)
        || '. Run: vacuum (analyze) ' || string_agg(tsconsole.qualified_name(t.part), ', ' order by t.dead desc) || ';'
    into hints
    from (select p.part, pg_stat_get_dead_tuples(p.part) as dead, pg_stat_get_live_tuples(p.part) as live
          from (select s.part from tsconsole.stored_parts(config.target_table) s
                union all select to_regclass(tsconsole.pending_table(config.id))) p (part)) t
    where t.dead > 10000 and t.dead > 0.2 * t.live;
    outcome := 'done';
    detail := coalesce(hints, 'no table has many dead rows');
end;
$$;

comment on function tsconsole.maintain_vacuum(silver.timeseries_rollup_config) is
'Names the partitions of a target, and its table of pending ranges, that hold more than 10,000 dead rows and a fifth of the live ones, with the VACUUM that removes them.
Example: select * from tsconsole.maintain_vacuum(tsconsole.rollup(''silver.meters_1h''));';
