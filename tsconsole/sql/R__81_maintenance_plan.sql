-- Which tasks of maintenance there are, when each ran and runs again, and a procedure that commits after each.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.maintenance_plan()
returns table (task text, "position" integer, run_every interval, purpose text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    values ('watchdog',    1, interval '1 minute',   'cancel steps that outlived max_execution_time'),
           ('log_pruning', 2, interval '1 hour',     'delete old log entries, by age and by number'),
           ('indexes',     3, interval '1 hour',     'make missing and invalid indexes again'),
           ('analyze',     4, interval '10 minutes', 'refresh the statistics of partitions that changed'),
           ('vacuum',      5, interval '1 hour',     'name tables with many dead rows'),
           ('interval',    6, interval '1 day',      'narrow partitions that grew too big'),
           ('premake',     7, interval '1 hour',     'make the partitions of the time to come'),
           ('retention',   8, interval '1 hour',     'remove what is older than retention_period');
$$;

comment on function tsconsole.maintenance_plan() is
'The tasks of maintenance in the order in which they run, how often, and what each is for.
Example: select * from tsconsole.maintenance_plan();';


create or replace function tsconsole.check_tasks(tasks text[]) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    known constant text := (select string_agg(p.task, ', ' order by p.position) from tsconsole.maintenance_plan() p);
    wrong text;
begin
    if cardinality(tasks) = 0 then
        raise exception 'tasks is empty' using errcode = 'TS001', hint = format('Give null for all tasks, or some of %s.', known);
    end if;
    select coalesce(quote_literal(t), 'null') into wrong from unnest(tasks) t
    where t is null or not exists (select from tsconsole.maintenance_plan() p where p.task = t) limit 1;
    if found then
        raise exception 'there is no maintenance task %', wrong using errcode = 'TS001', hint = format('The tasks are %s.', known);
    end if;
end;
$$;

comment on function tsconsole.check_tasks(text[]) is
'Refuses (TS001) names that are no tasks of maintenance; null means all tasks.
Example: select tsconsole.check_tasks(array[''analyze'']);';


create or replace function tsconsole.log_maintenance(
    config silver.timeseries_rollup_config, task text, outcome text, detail text, started timestamptz
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    last silver.timeseries_maintenance_log;
begin
    select l.* into last from silver.timeseries_maintenance_log l
    where l.rollup_id = config.id and l.task = log_maintenance.task order by l.id desc limit 1;
    -- A task that has nothing to do says the same every minute.
    if last.outcome = log_maintenance.outcome and last.detail is not distinct from log_maintenance.detail then
        update silver.timeseries_maintenance_log l
        set start_time = started, end_time = clock_timestamp(), runs = l.runs + 1, worker_pid = pg_backend_pid()
        where l.id = last.id;
    else
        insert into silver.timeseries_maintenance_log (rollup_id, target_table, task, outcome, detail, start_time, end_time)
        values (config.id, config.target_name, task, outcome, detail, started, clock_timestamp());
    end if;
end;
$$;

comment on function tsconsole.log_maintenance(silver.timeseries_rollup_config, text, text, text, timestamptz) is
'Logs a run of a task of maintenance; what says the same as the last run of the task counts that one up.
Example: see tsconsole.run_task.';


create or replace view silver.timeseries_maintenance_tasks as
select c.id as rollup_id, tsconsole.last_name(c.target_table, c.target_name) as target_table, p.task, p.position, p.purpose, p.run_every,
       l.start_time as last_run, l.duration as last_duration, l.outcome as last_outcome, l.detail as last_detail,
       n.next_run, coalesce(n.next_run <= clock_timestamp(), false) as is_due
from silver.timeseries_rollup_config c
cross join tsconsole.maintenance_plan() p
left join lateral (
    select m.* from silver.timeseries_maintenance_log m where m.rollup_id = c.id and m.task = p.task order by m.id desc limit 1) l on true
cross join lateral (
    -- A task that has nothing to do for a rollup is not planned.
    select case when p.task <> 'retention' or tsconsole.has_retention(c) then coalesce(l.start_time, c.created_at) + p.run_every end as next_run) n
order by c.id, p.position;

comment on view silver.timeseries_maintenance_tasks is
'Every task of maintenance of every rollup: what it is for, how often it runs, what the last run said, and when the next is due. next_run is null for a task that the rollup does not need.
Example: select * from silver.timeseries_maintenance_tasks where target_table = ''silver.meters_1h'';';


create or replace procedure silver.run_maintenance(
    table_name text default null, tasks text[] default null, only_due boolean default true, inout results jsonb default null
)
language plpgsql
as $$
-- No SET clause: a procedure that commits cannot have one, so every name here is qualified.
declare
    planned pg_catalog.jsonb;
    item pg_catalog.jsonb;
    result pg_catalog.jsonb;
begin
    commit;
    set transaction isolation level read committed;
    planned := tsconsole.planned_maintenance(table_name, tsconsole.visible_table(table_name), tasks, only_due);
    results := pg_catalog.jsonb_build_array();
    for item in select i from pg_catalog.jsonb_array_elements(planned) i loop
        result := tsconsole.run_planned_task(item);
        commit;
        set transaction isolation level read committed;
        if result is not null then
            results := results OPERATOR(pg_catalog.||) result;
        end if;
    end loop;
end;
$$;

comment on procedure silver.run_maintenance(text, text[], boolean, jsonb) is
'Runs the tasks of maintenance that are due, with a COMMIT after each, so that no lock is kept for long: of one target, of all rollups on a source, or of all. tasks: only these. only_due => false runs them whether due or not. results: one object per task, as silver.maintain_timeseries_tables gives. Must be a statement of its own, outside a transaction block.
Example: call silver.run_maintenance();';


create or replace function tsconsole.planned_maintenance(table_name text, visible regclass, tasks text[], only_due boolean) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    relation regclass := tsconsole.find_table(table_name, visible);
begin
    perform tsconsole.check_has_rollups(relation);
    perform tsconsole.check_tasks(tasks);
    return coalesce((
        select jsonb_agg(jsonb_build_object('rollup_id', t.rollup_id, 'task', t.task) order by t.position, r.rank)
        from tsconsole.rollups_of(relation) with ordinality r (id, rank)
        join silver.timeseries_maintenance_tasks t on t.rollup_id = r.id
        where (tasks is null or t.task = any (tasks)) and (t.is_due or not only_due)), '[]');
end;
$$;

comment on function tsconsole.planned_maintenance(text, regclass, text[], boolean) is
'What silver.run_maintenance is about to run: an array of {rollup_id, task}.
Example: select tsconsole.planned_maintenance(null, null, null, true);';


create or replace function tsconsole.run_planned_task(item jsonb) returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    started timestamptz := clock_timestamp();
    config  silver.timeseries_rollup_config;
    result  record;
begin
    select c.* into config from silver.timeseries_rollup_config c where c.id = (item ->> 'rollup_id')::bigint;
    -- It may have been dropped meanwhile.
    if config.id is null then
        return null;
    end if;
    result := tsconsole.run_task(config, item ->> 'task');
    return jsonb_build_object('target_table', config.target_name, 'task', item ->> 'task', 'outcome', result.outcome,
        'detail', result.detail, 'duration', clock_timestamp() - started);
end;
$$;

comment on function tsconsole.run_planned_task(jsonb) is
'Runs one task of silver.run_maintenance; null when the rollup is gone.
Example: see silver.run_maintenance.';
