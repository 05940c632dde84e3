-- What the last runs of a rollup came to, for the monitor.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.sum_up_runs(rollup_ids bigint[]) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Workers that share a backfill must not wait for each other here: who finds the row locked leaves it, and the next run
    -- sums up all of the last ones anyway.
    update tsconsole.recent_runs r
    set (runs, since, took, rows_read, last_rows, last_duration, history_took, history_covered, history_rows, last_late_end) = (
        select count(*), min(l.start_time), sum(l.duration), sum(l.rows_read::float8),
               (array_agg(l.rows_read order by l.id desc))[1], (array_agg(l.duration order by l.id desc))[1],
               sum(l.duration) filter (where l.work = 'history'),
               sum(l.window_end - l.window_start) filter (where l.work = 'history'),
               sum(l.rows_read::float8) filter (where l.work = 'history'),
               max(l.end_time) filter (where l.work = 'recompute')
        from (select * from silver.timeseries_refresh_log l where l.rollup_id = r.rollup_id order by l.id desc limit 20) l)
    where r.ctid = any (array(select f.ctid from tsconsole.recent_runs f where f.rollup_id = any (rollup_ids) for update skip locked));
$$;

comment on function tsconsole.sum_up_runs(bigint[]) is
'Sums up the last 20 runs of some rollups in tsconsole.recent_runs; leaves out those that another session is summing up.
Example: select tsconsole.sum_up_runs(array(select id from silver.timeseries_rollup_config));';


create or replace function tsconsole.note_runs() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tsconsole.sum_up_runs(array(select distinct a.rollup_id from added a where a.rollup_id is not null));
    return null;
end;
$$;

comment on function tsconsole.note_runs() is
'The trigger on silver.timeseries_refresh_log that sums up the last runs of the rollups which have new ones. It runs as its owner: who may write into the log needs no right on tsconsole.recent_runs.
Example: see tsconsole.sum_up_runs.';

create or replace trigger note_runs
after insert on silver.timeseries_refresh_log
referencing new table as added
for each statement execute function tsconsole.note_runs();

-- Installed over a version that had none; and what a session left out that was killed meanwhile.
select tsconsole.sum_up_runs(array(select r.rollup_id from tsconsole.recent_runs r));
