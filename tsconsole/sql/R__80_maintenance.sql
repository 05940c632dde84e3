-- Upkeep of targets and logs: an ordered list of tasks, each of which says what it did and why.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.maintain_timeseries_tables(table_name regclass)
returns table (target_table text, task text, outcome text, detail text, duration interval)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
    config  silver.timeseries_rollup_config;
    started timestamptz;
    result  record;
begin
    perform tsconsole.check_has_rollups(table_name);
    -- Every lock is kept to the end of this transaction, so the tasks whose locks others would feel come last, for all
    -- rollups: retention is the only one that keeps readers out.
    for task in select t from unnest(array['watchdog', 'log_pruning', 'indexes', 'analyze', 'premake', 'retention']) t loop
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

comment on function silver.maintain_timeseries_tables(regclass) is
'Maintains a target, all rollups on a source, or all for null: one row per task. watchdog cancels steps that run longer than max_execution_time; log_pruning deletes old log entries; indexes repairs the unique index; analyze refreshes the statistics of partitions that changed; premake makes the next two partitions; retention detaches and drops partitions older than retention_period, never rows that a reading rollup still needs. outcome: done, skipped (detail says why) or failed (logged in silver.timeseries_error_log); a task that fails does not stop the next. Safe to run from two places at once. TS002 when the table has no rollup.
Example: select * from silver.maintain_timeseries_tables(''silver.meters_1h'');';


create or replace function tsconsole.run_task(config silver.timeseries_rollup_config, task text, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    failure silver.timeseries_error_log;
begin
    if not pg_try_advisory_xact_lock(tsconsole.lock_class('maintenance'), config.id::integer) then
        outcome := 'skipped';
        detail := 'busy: another session maintains this target';
        return;
    elsif task not in ('watchdog', 'log_pruning') and not exists (select from pg_class c where c.oid = config.target_table) then
        outcome := 'skipped';
        detail := format('target %s was dropped', config.target_name);
        return;
    end if;
    begin
        execute format('select outcome, detail from tsconsole.%I($1)', 'maintain_' || task) into outcome, detail using config;
        return;
    exception
        -- A cancelled query is not caught: whoever cancels wants all of it to end.
        when sqlstate 'TS005' or lock_not_available then
            outcome := 'skipped';
            detail := 'busy: ' || sqlerrm;
            return;
        when others then
            get stacked diagnostics
                failure.sql_state = returned_sqlstate, failure.error_message = message_text,
                failure.error_detail = pg_exception_detail, failure.error_hint = pg_exception_hint,
                failure.error_context = pg_exception_context, failure.schema_name = schema_name,
                failure.table_name = table_name, failure.constraint_name = constraint_name;
    end;
    insert into silver.timeseries_error_log (rollup_id, source_table, target_table, work, sql_state, error_message, error_detail,
        error_hint, error_context, schema_name, table_name, constraint_name, attempted_query)
    values (config.id, config.source_name, config.target_name, 'maintenance', failure.sql_state, failure.error_message,
        nullif(failure.error_detail, ''), nullif(failure.error_hint, ''), nullif(failure.error_context, ''),
        nullif(failure.schema_name, ''), nullif(failure.table_name, ''), nullif(failure.constraint_name, ''),
        format('maintenance task %s', task));
    outcome := 'failed';
    detail := failure.error_message;
end;
$$;

comment on function tsconsole.run_task(silver.timeseries_rollup_config, text) is
'Runs one task of maintenance on one rollup. A failure undoes what the task did, is logged, and comes back as outcome failed.
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


create or replace function tsconsole.maintain_log_pruning(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    keep_for    constant interval := interval '30 days';
    keep_runs   constant integer  := 10000;
    keep_errors constant integer  := 1000;
    runs        bigint;
    errors      bigint;
begin
    -- The last 20 stay, however old: the monitor judges by them. 50,000 at a time take about a second.
    with ranked as (
        select l.id, l.end_time, row_number() over (order by l.id desc) as age
        from silver.timeseries_refresh_log l where l.rollup_id = config.id
    ), old as (
        select r.id from ranked r where r.age > keep_runs or (r.age > 20 and r.end_time < clock_timestamp() - keep_for)
        union all
        -- Of rollups that are gone.
        select l.id from silver.timeseries_refresh_log l
        where l.end_time < clock_timestamp() - keep_for
          and not exists (select from silver.timeseries_rollup_config c where c.id = l.rollup_id)
        order by id limit 50000
    )
    delete from silver.timeseries_refresh_log l using old where l.id = old.id;
    get diagnostics runs = row_count;

    with ranked as (
        select e.id, e.error_timestamp, row_number() over (order by e.id desc) as age
        from silver.timeseries_error_log e where e.rollup_id = config.id
    ), old as (
        select r.id from ranked r where r.age > keep_errors or r.error_timestamp < clock_timestamp() - keep_for
        union all
        select e.id from silver.timeseries_error_log e
        where e.error_timestamp < clock_timestamp() - keep_for
          and not exists (select from silver.timeseries_rollup_config c where c.id = e.rollup_id)
        order by id limit 50000
    )
    delete from silver.timeseries_error_log e using old
    where e.id = old.id and not exists (select from tsconsole.retry r where r.error_id = e.id);
    get diagnostics errors = row_count;
    outcome := 'done';
    detail := format('deleted %s runs and %s errors older than %s or beyond the last %s and %s', runs, errors, keep_for, keep_runs, keep_errors);
end;
$$;

comment on function tsconsole.maintain_log_pruning(silver.timeseries_rollup_config) is
'Deletes log entries of a rollup that are older than 30 days, or beyond the last 10,000 runs or 1,000 errors. The error of a retry that is still waiting stays.
Example: select * from tsconsole.maintain_log_pruning(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.maintain_premake(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    chunk interval    := tsconsole.chunk_interval(config);
    edge  timestamptz := tsconsole.next_bucket(chunk, tsconsole.axis_clock(config), 'UTC', null);
    made  integer;
begin
    if not isfinite(config.last_processed_time) then
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
begin
    -- Autovacuum never analyzes the partitioned table itself, and the planner wants its statistics too.
    select t.reltuples < 0 and s.rows > 0 or abs(s.rows - t.reltuples) > 0.2 * greatest(t.reltuples, 100) into whole
    from pg_class t, (select sum(pg_stat_get_live_tuples(p.part)) as rows from tsconsole.stored_parts(config.target_table) p) s
    where t.oid = config.target_table and t.relkind = 'p';
    for part in
        select p.part from tsconsole.stored_parts(config.target_table) p
        where pg_stat_get_mod_since_analyze(p.part) > 50 + 0.1 * pg_stat_get_live_tuples(p.part)
        union all
        select config.target_table where whole
    loop
        if not pg_has_role((select c.relowner from pg_class c where c.oid = part.part), 'usage') then
            raise exception 'only the owner of % may analyze it', tsconsole.qualified_name(part.part) using
                errcode = '42501', hint = 'Run maintenance as a member of the owner''s role.';
        end if;
        execute format('analyze %s%s',
            case when part.part = config.target_table and current_setting('server_version_num')::integer >= 180000 then 'only ' end,
            tsconsole.qualified_name(part.part));
        analyzed := analyzed || tsconsole.qualified_name(part.part);
    end loop;
    outcome := 'done';
    detail := coalesce('analyzed ' || nullif(array_to_string(analyzed, ', '), ''), 'no partition has changed since it was analyzed');
end;
$$;

comment on function tsconsole.maintain_analyze(silver.timeseries_rollup_config) is
'Analyzes the partitions of a target in which a tenth of the rows changed since the last time, and the target itself when its row count is off by a fifth.
Example: select * from tsconsole.maintain_analyze(tsconsole.rollup(''silver.meters_1h''));';
