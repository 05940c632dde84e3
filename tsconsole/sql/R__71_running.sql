-- Who runs what: the steps of other sessions with their ranges, and cancelling one of them.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.claimed_work(rollup_id bigint, worker_pid integer) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- A step tries one kind of work after the other and keeps every claim: the last it took is the one it does, unless
    -- it noted beforehand what it is about to do.
    select w.work
    from unnest(array['frontier', 'recompute', 'history']) with ordinality w (work, rank)
    join pg_locks l on l.classid::bigint = tsconsole.lock_class(w.work)
    left join tsconsole.attempt a on a.rollup_id = claimed_work.rollup_id and a.pid = claimed_work.worker_pid and a.work = w.work
    where l.locktype = 'advisory' and l.objsubid = 2 and l.granted and l.pid = claimed_work.worker_pid and l.objid::bigint = claimed_work.rollup_id
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
    order by a.rollup_id is null, w.rank desc limit 1;
$$;

comment on function tsconsole.claimed_work(bigint, integer) is
'Which kind of work of a rollup a session does now, from the claims it holds; null when it holds none.
Example: select tsconsole.claimed_work(1, 4711);';


create or replace function tsconsole.step_range(
    config silver.timeseries_rollup_config, work text, worker_pid integer, out window_start timestamptz, out window_end timestamptz
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if work = 'frontier' then
        window_start := nullif((config).last_processed_time, '-infinity');
        window_end := tsconsole.bucket_floor(config, nullif(tsconsole.possible_horizon(config), '-infinity'));
        return;
    end if;
    if work = 'recompute' then
        -- As many as one step looks at, in the order in which it takes them.
        execute format('select min(q.lo), least(max(q.hi), $1) from (select p.lo, p.hi from %s p where p.kind in (''l'', ''r'') and p.lo < $1 order by p.lo limit 5000) q',
            tsconsole.pending_table((config).id))
        into window_start, window_end using (config).last_processed_time;
        return;
    end if;
    -- A history step locks the ranges that it claims; here that is seen as the id of its transaction, or of a block within
    -- it, in xmax. On its way down from the newest it deletes those without rows: it works on the lowest.
    execute format(
        'select lower(q.r), upper(q.r) from (select unnest(range_agg(tstzrange(p.lo, p.hi))) as r from %s p where p.kind = ''h'' and p.xmax in ('
        'select l.transactionid from pg_catalog.pg_locks l where l.locktype = ''transactionid'' and l.mode = ''ExclusiveLock'' and l.granted and l.pid = $1)) q order by q.r limit 1',
        tsconsole.pending_table((config).id))
    into window_start, window_end using worker_pid;
exception when undefined_table then
    -- The rollup is being dropped.
    window_start := null;
end;
$$;

comment on function tsconsole.step_range(silver.timeseries_rollup_config, text, integer) is
'The range that another session''s step holds. history: the ranges that it has claimed, and empty ones beside them. recompute: the pending ranges below the watermark. frontier: from the watermark to the last complete bucket. The last two are as far as the step can come; it may take less.
Example: select * from tsconsole.step_range(tsconsole.rollup(''silver.meters_1h''), ''history'', 4711);';


create or replace function tsconsole.cancel_obstacle(worker_pid integer) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when r.rolsuper and not (select m.rolsuper from pg_roles m where m.rolname = current_user)
            then format('pid %s belongs to %I, a superuser: only a superuser can cancel it', worker_pid, r.rolname)
        when not pg_has_role(r.oid, 'usage') and not pg_has_role('pg_signal_backend', 'usage')
            then format('pid %s belongs to %I, and %I is neither a member of it nor of pg_signal_backend', worker_pid, r.rolname, current_user) end
    from pg_stat_activity s join pg_roles r on r.oid = s.usesysid
    where s.pid = worker_pid;
$$;

comment on function tsconsole.cancel_obstacle(integer) is
'Why this role may not cancel what a session does; null when it may, or when the session is gone.
Example: select tsconsole.cancel_obstacle(4711);';


create or replace view silver.timeseries_running_steps as
select s.rollup_id, c.source_table, c.target_table, w.work, s.worker_pid,
       a.usename::text as role_name, a.application_name,
       s.started_at, clock_timestamp() - s.started_at as running_for,
       r.window_start, r.window_end,
       c.max_execution_time,
       tsconsole.cancel_obstacle(s.worker_pid) as cancel_obstacle
from tsconsole.running_steps() s
join silver.timeseries_rollup_config c on c.id = s.rollup_id
-- OFFSET 0: asked once for each step, which may end meanwhile.
cross join lateral (select tsconsole.claimed_work(s.rollup_id, s.worker_pid) as work offset 0) w
cross join lateral tsconsole.step_range(c, w.work, s.worker_pid) r
left join pg_stat_activity a on a.pid = s.worker_pid
where w.work is not null
order by s.started_at, s.rollup_id;

comment on view silver.timeseries_running_steps is
'Who runs what: one row per step that another session runs now, the oldest first. window_start and window_end: the range it works on (see tsconsole.step_range). cancel_obstacle: why this role may not cancel it with silver.cancel_step; null when it may.
Example: select target_table, work, worker_pid, running_for, window_start, window_end from silver.timeseries_running_steps;';


create or replace function silver.cancel_step(target regclass, worker_pid integer) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    obstacle text := tsconsole.cancel_obstacle(worker_pid);
begin
    if worker_pid is null then
        raise exception 'worker_pid is null' using
            errcode = 'TS001', hint = 'silver.timeseries_running_steps names the sessions that run steps.';
    elsif tsconsole.claimed_work(config.id, worker_pid) is null or worker_pid = pg_backend_pid() then
        return false;
    elsif obstacle is not null then
        raise exception '%', obstacle using
            errcode = '42501', hint = format('An administrator can grant it: grant pg_signal_backend to %I;', current_user);
    end if;
    return pg_cancel_backend(worker_pid);
end;
$$;

comment on function silver.cancel_step(regclass, integer) is
'Cancels the step of a rollup that another session runs. False when that session runs no step of it any more; then nothing is cancelled. What the step did is undone, it is logged as a failure (57014) and tried again after a wait; pause the rollup to keep it from that. Needs the role of that session or pg_signal_backend (42501). TS002 when it is not a rollup.
Example: select silver.cancel_step(''silver.meters_1h'', 4711);';


create or replace function silver.pending_ranges(target regclass, max_ranges integer default 200)
returns table (work text, range_start timestamptz, range_end timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
begin
    -- Above the watermark nothing is owed: the frontier computes it anyway.
    return query execute format(
        'select q.work, lower(q.r), upper(q.r) from ('
        'select case p.kind when ''h'' then ''history'' when ''r'' then ''refill'' else ''recompute'' end as work, '
        'unnest(range_agg(tstzrange(p.lo, p.hi))) as r '
        'from (select * from %s p where p.lo < $1 order by p.lo desc limit 100000) p group by p.kind) q '
        'order by upper(q.r) desc limit $2', tsconsole.pending_table(config.id))
    using config.last_processed_time, greatest(pending_ranges.max_ranges, 0);
exception when undefined_table then
    -- The rollup is being dropped.
    return;
end;
$$;

comment on function silver.pending_ranges(regclass, integer) is
'The ranges of a rollup below its watermark that are still to be computed, adjacent ones as one, the newest first: history (the past, queued at creation), recompute (late changes), refill (added measures or dimensions). TS002 when it is not a rollup.
Example: select * from silver.pending_ranges(''silver.meters_1h'');';
