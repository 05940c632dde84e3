-- Old entries of the logs go, by age and by number.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.maintain_log_pruning(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    keep_for    constant interval := interval '30 days';
    keep_runs   constant integer  := 10000;
    keep_errors constant integer  := 1000;
    runs        bigint := tsconsole.prune_runs(config.id, keep_for, keep_runs);
    errors      bigint := tsconsole.prune_errors(config.id, keep_for, keep_errors);
    tasks       bigint := tsconsole.prune_maintenance(config.id, keep_for, keep_errors);
begin
    -- A worker that died: its row has said so for long enough.
    delete from tsconsole.worker w where w.seen_at < clock_timestamp() - interval '1 day';
    outcome := 'done';
    detail := format('deleted %s runs, %s errors and %s entries of maintenance older than %s or beyond the last %s, %s and %s',
        runs, errors, tasks, keep_for, keep_runs, keep_errors, keep_errors);
end;
$$;

comment on function tsconsole.maintain_log_pruning(silver.timeseries_rollup_config) is
'Deletes log entries of a rollup that are older than 30 days, or beyond the last 10,000 runs, 1,000 errors or 1,000 entries of maintenance. The error of a retry that is still waiting stays.
Example: select * from tsconsole.maintain_log_pruning(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.prune_runs(rollup_id bigint, keep_for interval, keep_runs integer) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted bigint;
begin
    -- The last 20 stay, however old: the monitor judges by them. 50,000 at a time take about a second.
    with ranked as (
        select l.id, l.end_time, row_number() over (order by l.id desc) as age
        from silver.timeseries_refresh_log l where l.rollup_id = prune_runs.rollup_id
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
    get diagnostics deleted = row_count;
    return deleted;
end;
$$;

comment on function tsconsole.prune_runs(bigint, interval, integer) is
'Deletes old entries of a rollup, and of rollups that are gone, from the refresh log. Returns how many.
Example: select tsconsole.prune_runs(1, ''30 days'', 10000);';


create or replace function tsconsole.prune_errors(rollup_id bigint, keep_for interval, keep_errors integer) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted bigint;
begin
    with ranked as (
        select e.id, e.error_timestamp, row_number() over (order by e.id desc) as age
        from silver.timeseries_error_log e where e.rollup_id = prune_errors.rollup_id
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
    get diagnostics deleted = row_count;
    return deleted;
end;
$$;

comment on function tsconsole.prune_errors(bigint, interval, integer) is
'Deletes old entries of a rollup, and of rollups that are gone, from the error log, but not the error of a waiting retry. Returns how many.
Example: select tsconsole.prune_errors(1, ''30 days'', 1000);';


create or replace function tsconsole.prune_maintenance(rollup_id bigint, keep_for interval, keep_entries integer) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted bigint;
begin
    -- The last of each task stays: it says when the next is due.
    with ranked as (
        select l.id, l.end_time, row_number() over (order by l.id desc) as age,
               row_number() over (partition by l.task order by l.id desc) as age_of_task
        from silver.timeseries_maintenance_log l where l.rollup_id = prune_maintenance.rollup_id
    ), old as (
        select r.id from ranked r where r.age_of_task > 1 and (r.age > keep_entries or r.end_time < clock_timestamp() - keep_for)
        union all
        select l.id from silver.timeseries_maintenance_log l
        where l.end_time < clock_timestamp() - keep_for
          and not exists (select from silver.timeseries_rollup_config c where c.id = l.rollup_id)
        order by id limit 50000
    )
    delete from silver.timeseries_maintenance_log l using old where l.id = old.id;
    get diagnostics deleted = row_count;
    return deleted;
end;
$$;

comment on function tsconsole.prune_maintenance(bigint, interval, integer) is
'Deletes old entries of a rollup, and of rollups that are gone, from the maintenance log. Returns how many.
Example: select tsconsole.prune_maintenance(1, ''30 days'', 1000);';
