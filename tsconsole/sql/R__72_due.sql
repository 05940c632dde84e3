-- What is due now and next, asked by workers and by pg_cron alike, and the procedure that runs it.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.due_rollups()
returns table (rollup_id bigint, target_table regclass, work text, due_since timestamptz)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- The frontiers first, the longest due before the others; then the past, whose rollups take turns. The worker asks
    -- between steps: of a thousand rollups most are told by a look at their row that they have nothing to do.
    select c.id, c.target_table, w.work,
           case w.work when 'frontier' then c.last_processed_time + c.refresh_interval + (clock_timestamp() - tsconsole.axis_clock(c)) else c.last_refresh_time end
    from silver.timeseries_rollup_config c
    cross join lateral tsconsole.reach(c.source_table, c.time_column, c.time_type, c.timezone, c.change_tracking, c.allowed_lateness) z
    cross join lateral (
        select 'frontier' as work, 1 as rank
        where case
            -- An empty source is due when its first row is there.
            when not isfinite(c.last_processed_time) then tsconsole.source_has_rows(c)
            -- Below the watermark when the clock was put back, which is to be noted at once.
            else z.horizon - c.last_processed_time >= c.refresh_interval or z.horizon < c.last_processed_time end
        union all
        select p.work, p.rank from (values ('recompute', 2), ('history', 3)) p (work, rank)
        where pg_relation_size(to_regclass('tsconsole.pending_' || c.id)) > 0) w
    left join lateral (
        select l.end_time from (select r.work, r.end_time from silver.timeseries_refresh_log r where r.rollup_id = c.id order by r.id desc limit 100) l
        where w.work <> 'frontier' and l.work <> 'frontier' limit 1) past on true
    where c.is_active and tsconsole.has_work(c, w.work) and not tsconsole.is_waiting(c.id, w.work)
    order by w.work <> 'frontier', past.end_time nulls first, 4 nulls first, c.id, w.rank;
$$;

comment on function tsconsole.due_rollups() is
'The work that should begin now, most urgent first: due frontiers, then the past, the rollup first whose past was worked on longest ago.
Example: select * from tsconsole.due_rollups();';


create or replace function tsconsole.next_due(config silver.timeseries_rollup_config) returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- A level of a ladder waits for the lateness of the source at the bottom.
    with recursive below as (
        select (config).source_table as source_table, tsconsole.lateness(config) as lateness
        union all
        select p.source_table, tsconsole.lateness(p)
        from below b join silver.timeseries_rollup_config p on p.target_table = b.source_table
    )
    select greatest((config).last_processed_time + (config).refresh_interval,
                    tsconsole.window_end(config, (config).last_processed_time, '0'))
           + (select b.lateness from below b
              where not exists (select from silver.timeseries_rollup_config p where p.target_table = b.source_table) limit 1)
           + tsconsole.clock_margin() + (t.at - tsconsole.axis_time(config, t.at))
    from (select clock_timestamp() as at) t
    where (config).is_active and isfinite((config).last_processed_time);
$$;

comment on function tsconsole.next_due(silver.timeseries_rollup_config) is
'When the frontier of a rollup is due next: its next bucket is complete, the rows may no longer be late, and its refresh_interval is over. Null when it is paused, or while the source has no rows.
Example: select tsconsole.next_due(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.seconds_to_next() returns float8
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- As tsconsole.next_due says, which takes ten times as long: levels above the first have nothing of their own to wait for.
    select extract(epoch from min(n.at) - clock_timestamp())::float8
    from (select greatest(c.last_processed_time + c.refresh_interval,
                          tsconsole.next_bucket(c.rollup_interval, c.last_processed_time, case when c.time_type = 'timestamptz'::regtype then c.timezone else 'UTC' end, c.bucket_origin))
                 + z.lateness + tsconsole.clock_margin() + (t.at - tsconsole.axis_time(c.time_type, c.timezone, t.at)) as at
          from silver.timeseries_rollup_config c
          cross join lateral tsconsole.reach(c.source_table, c.time_column, c.time_type, c.timezone, c.change_tracking, c.allowed_lateness) z
          cross join lateral (select clock_timestamp() as at) t
          where c.is_active and isfinite(c.last_processed_time)
            and not exists (select from silver.timeseries_rollup_config p where p.target_table = c.source_table)
          union all
          select r.next_retry_time from tsconsole.retry r) n
    where n.at > clock_timestamp();
$$;

comment on function tsconsole.seconds_to_next() is
'For how long nothing will become due by the clock: until the next bucket closes or the next retry. Null when there is neither.
Example: select tsconsole.seconds_to_next();';


create or replace view silver.timeseries_schedule as
select c.id as rollup_id, tsconsole.last_name(c.source_table, c.source_name) as source_table,
       tsconsole.last_name(c.target_table, c.target_name) as target_table, c.is_active, c.refresh_interval,
       (select l.end_time from silver.timeseries_refresh_log l where l.rollup_id = c.id order by l.id desc limit 1) as last_run, tsconsole.next_due(c) as next_due, coalesce(d.due_work, '{}') as due_work,
       (select min(r.next_retry_time) from tsconsole.retry r where r.rollup_id = c.id) as next_retry_time,
       s.worker_pid, s.started_at as running_since
from silver.timeseries_rollup_config c
left join (select q.rollup_id, array_agg(q.work) as due_work from tsconsole.due_rollups() q group by q.rollup_id) d on d.rollup_id = c.id
left join lateral (select r.worker_pid, r.started_at from tsconsole.running_steps() r where r.rollup_id = c.id order by r.started_at limit 1) s on true
order by c.id;

comment on view silver.timeseries_schedule is
'When each rollup ran and is due next, which work is due now (frontier, recompute, history), its next retry, and the session that is at it. next_due is null for a paused rollup and while the source has no rows.
Example: select target_table, due_work, next_due from silver.timeseries_schedule;';


create or replace procedure silver.run_due_rollups(
    max_duration interval default '50 seconds', raise_failures boolean default true, inout results jsonb default null
)
language plpgsql
as $$
-- No SET clause: a procedure that commits cannot have one, so every name here is qualified.
declare
    due record;
    result silver.step_result;
    stops_at pg_catalog.timestamptz := tsconsole.due_stop_time(max_duration);
    went_on boolean;
    cancelled boolean := false;
begin
    commit;
    set transaction isolation level read committed;
    results := pg_catalog.jsonb_build_array();
    loop
        went_on := false;
        for due in select * from tsconsole.due_rollups() loop
            exit when cancelled or pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) stops_at;
            result := tsconsole.prepare_step(due.rollup_id);
            commit;
            set transaction isolation level read committed;
            if result.outcome OPERATOR(pg_catalog.=) 'ready' then
                result := tsconsole.execute_step(due.rollup_id, null, result.work);
                commit;
                set transaction isolation level read committed;
            end if;
            if result.outcome OPERATOR(pg_catalog.<>) 'idle' then
                results := tsconsole.with_result(results, result);
            end if;
            went_on := went_on or result.outcome OPERATOR(pg_catalog.=) 'done';
            cancelled := coalesce(result.sql_state OPERATOR(pg_catalog.=) '57014', false);
            -- One piece of the past, and then again whatever frontier has become due.
            exit when due.work OPERATOR(pg_catalog.<>) 'frontier' and result.outcome OPERATOR(pg_catalog.=) 'done';
        end loop;
        exit when not went_on or cancelled or pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) stops_at;
    end loop;
    if raise_failures then
        perform tsconsole.raise_failures(results);
    end if;
end;
$$;

comment on procedure silver.run_due_rollups(interval, boolean, jsonb) is
'Runs what is due, as a worker does, with a COMMIT after every step: every due frontier, then one step of the past, again and again until nothing is due. It begins no step after max_duration, so that pg_cron can call it every minute. results: one object per step. Raises at the end when a step failed (each is logged already), unless raise_failures is false. Must be a statement of its own, outside a transaction block. TS001 for a max_duration that is not above zero.
Example: call silver.run_due_rollups();';


create or replace function tsconsole.due_stop_time(max_duration interval) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if (max_duration > '0') is not true then
        raise exception 'max_duration is %', coalesce(max_duration::text, 'null') using
            errcode = 'TS001', hint = 'Give how long it may go on beginning steps, such as 50 seconds.';
    end if;
    return least(tsconsole.stop_time(), clock_timestamp() + max_duration);
end;
$$;

comment on function tsconsole.due_stop_time(interval) is
'When silver.run_due_rollups should begin no further step.
Example: select tsconsole.due_stop_time(''50 seconds'');';


create or replace function tsconsole.source_has_rows(config silver.timeseries_rollup_config) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    has_rows boolean;
begin
    execute format('select exists (select from %s s where %s)', tsconsole.qualified_name((config).source_table),
        tsconsole.range_condition(config, 's', '$1', '$2'))
    into has_rows using greatest((config).first_bucket, tsconsole.earliest_time()), tsconsole.bucket_floor(config, nullif(tsconsole.possible_horizon(config), '-infinity'));
    return has_rows;
exception when others then
    -- The step meets the same error, and logs it.
    return true;
end;
$$;

comment on function tsconsole.source_has_rows(silver.timeseries_rollup_config) is
'Whether a source has a row that the frontier could take; true when that cannot be read.
Example: select tsconsole.source_has_rows(tsconsole.rollup(''silver.meters_1h''));';
