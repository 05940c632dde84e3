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
    -- The last 20 runs stay, however old: the monitor judges by them. So do the error of a retry that is waiting, and the last
    -- entry of each task of maintenance: it says when the next is due.
    runs   bigint := tsconsole.prune_log('silver.timeseries_refresh_log', 'end_time', config.id, keep_for, keep_runs, 'r.age <= 20');
    errors bigint := tsconsole.prune_log('silver.timeseries_error_log', 'error_timestamp', config.id, keep_for, keep_errors,
        'exists (select from tsconsole.retry t where t.error_id = r.id)');
    tasks  bigint := tsconsole.prune_log('silver.timeseries_maintenance_log', 'end_time', config.id, keep_for, keep_errors,
        'r.id = (select max(m.id) from silver.timeseries_maintenance_log m where m.rollup_id = r.rollup_id and m.task = r.task)');
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


create or replace function tsconsole.prune_log(
    log regclass, time_column text, rollup_id bigint, keep_for interval, keep_entries integer, is_kept text
) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted bigint;
begin
    -- 50,000 at a time take about a second.
    execute format('
        with ranked as (
            select l.*, row_number() over (order by l.id desc) as age from %1$s l where l.rollup_id = $1
        ), old as (
            select r.id from ranked r where (r.age > $3 or r.%2$I < clock_timestamp() - $2) and not (%3$s)
            union all
            -- Of rollups that are gone.
            select l.id from %1$s l
            where l.%2$I < clock_timestamp() - $2
              and not exists (select from silver.timeseries_rollup_config c where c.id = l.rollup_id)
            order by id limit 50000
        )
        delete from %1$s l using old where l.id = old.id', log, time_column, is_kept)
    using rollup_id, keep_for, keep_entries;
    get diagnostics deleted = row_count;
    return deleted;
end;
$$;

comment on function tsconsole.prune_log(regclass, text, bigint, interval, integer, text) is
'Deletes entries of a rollup that are older or more than are kept, and old ones of rollups that are gone, from a log. is_kept: a condition for entries r that stay all the same, of which r.age counts from the newest. Returns how many.
Example: select tsconsole.prune_log(''silver.timeseries_refresh_log'', ''end_time'', 1, ''30 days'', 10000, ''r.age <= 20'');';
