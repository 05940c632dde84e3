-- What operators look at: the operations monitor, the retry queue, progress.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace view silver.timeseries_retry_queue as
select r.rollup_id, c.source_table, c.target_table, r.work, r.retry_count, c.max_retries, r.next_retry_time, r.gave_up_at,
       r.last_error_time, e.sql_state, e.error_message, r.error_id
from tsconsole.retry r
join silver.timeseries_rollup_config c on c.id = r.rollup_id
left join silver.timeseries_error_log e on e.id = r.error_id
order by r.gave_up_at is null, r.next_retry_time;

comment on view silver.timeseries_retry_queue is
'Work that is failing now: when it is retried, or that it gave up. Example: select * from silver.timeseries_retry_queue;';


create or replace function tsconsole.running_steps()
returns table (rollup_id bigint, worker_pid integer, started_at timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select l.objid::bigint, l.pid,
           -- xact_start is hidden from other roles; the attempt is not. perform_rollup leaves none.
           coalesce((select max(a.started_at) from tsconsole.attempt a where a.rollup_id = l.objid::bigint and a.pid = l.pid),
                    (select s.xact_start from pg_stat_activity s where s.pid = l.pid))
    from pg_locks l
    where l.locktype = 'advisory' and l.objsubid = 2 and l.granted and l.pid <> pg_backend_pid()
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.classid::bigint in (tsconsole.lock_class('frontier'), tsconsole.lock_class('recompute'), tsconsole.lock_class('history'))
    group by l.objid, l.pid;
$$;

comment on function tsconsole.running_steps() is
'The steps that other sessions run now, from the claims they hold.
Example: select * from tsconsole.running_steps();';


create or replace function tsconsole.in_words(duration interval) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when duration is null then 'unknown time'
        when s < 10 then round(s, 1) || ' s'
        when s < 120 then round(s) || ' s'
        when s < 7200 then floor(s / 60) || ' min'
        when s < 172800 then floor(s / 3600) || ' h ' || lpad(floor(s % 3600 / 60)::text, 2, '0') || ' min'
        else floor(s / 86400) || ' d ' || floor(s % 86400 / 3600) || ' h' end
    from (select greatest(extract(epoch from duration), 0) as s) d;
$$;

comment on function tsconsole.in_words(interval) is
'A duration as a person would say it.
Example: select tsconsole.in_words(''3 hours 2 minutes'');';


create or replace function tsconsole.holder_in_words(config silver.timeseries_rollup_config) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select case
        when (config).change_tracking = 'trigger' and w.xid is not null then format(': held back by %s, which has written to %s and is still open',
            case when w.prepared then 'prepared transaction ' || coalesce((select quote_literal(p.gid) from pg_prepared_xacts p
                                                                          where p.transaction = w.xid::xid limit 1), w.xid::text)
                 else 'pid ' || w.pid end, tsconsole.qualified_name((config).source_table))
        else ', and no step is running: is a worker up?' end
    from (select 1) one left join tsconsole.oldest_writer((config).source_table) w on true;
$$;

comment on function tsconsole.holder_in_words(silver.timeseries_rollup_config) is
'What keeps the frontier of a rollup from going on: the transaction that has written to its source and is still open, or nobody.
Example: select tsconsole.holder_in_words(tsconsole.rollup(''silver.meters_1h''));';


create or replace view silver.timeseries_operations_monitor as
select c.id, c.source_table, c.target_table,
       case h.health_status when 'PAUSED' then 'paused'
            else case when r.worker_pid is not null then 'running' when w.gave_up_at is not null then 'failed'
                      when w.rollup_id is not null then 'retrying' else 'idle' end end as status,
       r.started_at,
       nullif(c.last_processed_time, '-infinity') as last_processed_time,
       runs.last_rows as last_processed_rows,
       coalesce(w.retry_count, 0) as retry_count,
       coalesce(w.last_error_time, past.error_timestamp) as last_error_time,
       w.next_retry_time,
       h.health_status,
       coalesce(e.error_message, past.error_message) as latest_error,
       runs.took / nullif(runs.runs, 0) as avg_duration,
       round(100.0 * runs.runs / nullif(runs.runs + recent.errors, 0), 1) as success_rate,
       h.health_reason,
       n.clock - nullif(c.last_processed_time, '-infinity') as lag,
       coalesce(p.ranges, 0) as pending_ranges,
       r.worker_pid,
       c.rollup_interval,
       c.max_retries,
       extract(epoch from (c.history_to - c.history_from) - p.history_left)::float8
           / nullif(extract(epoch from c.history_to - c.history_from), 0)::float8 as backfill_fraction,
       runs.rows_read / nullif(extract(epoch from runs.took), 0)::float8 as rows_per_second,
       runs.last_duration,
       p.history_left * (extract(epoch from runs.history_took) / nullif(extract(epoch from runs.history_covered), 0))::float8 as backfill_remaining,
       runs.history_rows / nullif(extract(epoch from runs.history_took), 0)::float8 as backfill_rows_per_second,
       coalesce(60 * late.rows / extract(epoch from least(interval '10 minutes',
           -- As far as the 20 runs reach back, when they are less than 10 minutes.
           case when runs.runs = 20 then greatest(clock_timestamp() - runs.since, interval '1 second') end))::float8, 0) as late_rows_per_minute
from silver.timeseries_rollup_config c
-- What is asked of every rollup decides what a monitor of a thousand costs: its last runs are summed up when they are logged. Most times are the clock's own; most rollups
-- have nothing pending, and that their table has no page is known at once; few run, and few fail.
cross join lateral (select case when c.time_type = 'timestamptz'::regtype then clock_timestamp() else tsconsole.axis_clock(c) end as clock) n
-- OFFSET 0, and no function in FROM: it would be called for each rollup, if only to say nothing.
cross join lateral (
    select case when pg_relation_size(to_regclass('tsconsole.pending_' || c.id)) > 0 then tsconsole.sum_up_pending(c) end as summary offset 0) q
cross join lateral (select (q.summary).ranges, (q.summary).history_left) p
left join (
    select distinct on (s.rollup_id) s.rollup_id, s.worker_pid, s.started_at from tsconsole.running_steps() s order by s.rollup_id, s.started_at) r on r.rollup_id = c.id
left join (
    select distinct on (t.rollup_id) t.* from tsconsole.retry t order by t.rollup_id, t.gave_up_at nulls last, t.next_retry_time) w on w.rollup_id = c.id
left join silver.timeseries_error_log e on e.id = w.error_id
join tsconsole.recent_runs runs on runs.rollup_id = c.id
left join tsconsole.prepared_source ddl on ddl.source_table = c.source_table
-- Most have no late rows, and then the log is not looked at.
cross join lateral (
    select case when runs.last_late_end > clock_timestamp() - interval '10 minutes' then (
        select sum(l.rows_written + l.rows_deleted) filter (where l.work = 'recompute' and l.end_time > clock_timestamp() - interval '10 minutes')
        from (select * from silver.timeseries_refresh_log l where l.rollup_id = c.id order by l.id desc limit 20) l) end as rows) late
left join lateral (
    select x.error_timestamp, x.error_message, x.sql_state from silver.timeseries_error_log x
    where x.rollup_id = c.id and x.work <> 'maintenance' order by x.id desc limit 1) past on true
cross join lateral (
    select case
        -- What was noted as lost (TS009) is no failed run. Of one that has never run, one error tells as much as all.
        when runs.since is null then (past.error_timestamp is not null and past.sql_state is distinct from 'TS009')::integer
        -- Mostly the last error is older than the runs that count.
        when past.error_timestamp >= runs.since then (
            select count(*) from (
                select from silver.timeseries_error_log x
                where x.rollup_id = c.id and x.work <> 'maintenance' and x.error_timestamp >= runs.since and x.sql_state is distinct from 'TS009' limit 20) x)
        else 0 end as errors) recent
cross join lateral tsconsole.reach(c.source_table, c.time_column, c.time_type, c.timezone, c.change_tracking, c.allowed_lateness) z
cross join lateral (select
    -- A bucket that is not over is not missing, so one width is always allowed. A level of a ladder is measured against the level below.
    case when isfinite(c.last_processed_time) and isfinite(z.horizon)
         then greatest(z.horizon - c.last_processed_time - c.rollup_interval, '0') end as behind) b
-- Not in a function of its own: called for each rollup it took longer (0.15 ms) than all the rest together.
cross join lateral (
    select case
        when not c.is_active then 'PAUSED'
        when state.gone is not null or w.gave_up_at is not null or state.ran > c.alert_threshold then 'ALERT'
        when w.next_retry_time is not null or state.prepared is not null then 'WARNING'
        when state.ran is not null then 'RUNNING'
        when b.behind > c.alert_threshold + c.refresh_interval then 'ALERT'
        when b.behind > 2 * c.refresh_interval + interval '10 seconds' or state.stands or c.last_processed_time > n.clock then 'WARNING'
        else 'OK' end as health_status,
        case
        when not c.is_active then 'paused by an operator'
        when state.gone is not null then state.gone || ' was dropped'
        when w.gave_up_at is not null then format('gave up after %s: %s', case w.retry_count when 0 then 'the first try' when 1 then '1 retry' else w.retry_count || ' retries' end, e.error_message)
        when state.ran > c.alert_threshold then 'a step has run for ' || tsconsole.in_words(state.ran)
        when w.next_retry_time is not null then format('retry %s of %s %s: %s', w.retry_count, c.max_retries, state.retry_in, e.error_message)
        when state.prepared is not null then state.prepared
        when state.ran is not null then 'a step has run for ' || tsconsole.in_words(state.ran) || state.backfill
        when b.behind > 2 * c.refresh_interval + interval '10 seconds'
            then format('%s behind%s', tsconsole.in_words(b.behind), tsconsole.holder_in_words(c))
        when c.last_processed_time > n.clock then 'the clock was put back: nothing new before it has passed the watermark'
        when not isfinite(c.last_processed_time) then case when c.change_tracking = 'ladder'
            then 'the level below has no complete bucket yet' else 'the source has no rows yet' end
        when state.stands then format('no step has run for %s%s: is a worker up?', tsconsole.in_words(state.idle), state.backfill)
        else 'up to date' || state.backfill end as health_reason
    from (select
        -- Null for a table that is gone, and a tenth of what a look into pg_class takes.
        case when pg_table_is_visible(c.source_table) is null then 'source ' || c.source_name
             when pg_table_is_visible(c.target_table) is null then 'target ' || c.target_name end as gone,
        case when ddl.prepared_at is not null then format('stopped for DDL on %1$s since %2$s ago: call silver.refresh_source(''%1$s'')',
            tsconsole.qualified_name(c.source_table), tsconsole.in_words(clock_timestamp() - ddl.prepared_at)) end as prepared,
        clock_timestamp() - r.started_at as ran,
        clock_timestamp() - greatest(c.last_refresh_time, c.created_at) as idle,
        -- A level above waits for the history of the one below. History waits for no refresh interval, be it a day.
        p.history_left is not null and r.started_at is null and c.change_tracking <> 'ladder'
            and clock_timestamp() - greatest(c.last_refresh_time, c.created_at) > least(2 * c.refresh_interval, interval '10 minutes') + interval '1 minute' as stands,
        case when w.next_retry_time > clock_timestamp()
             then 'in ' || tsconsole.in_words(w.next_retry_time - clock_timestamp()) else 'is due' end as retry_in,
        case when p.history_left is not null then ', backfill: ' || tsconsole.in_words(p.history_left) || ' of history left' else '' end as backfill) state) h;

drop function if exists tsconsole.pending_ranges(bigint), tsconsole.history_left(bigint), tsconsole.behind(silver.timeseries_rollup_config);
drop function if exists tsconsole.pending_work(silver.timeseries_rollup_config);
drop function if exists tsconsole.health(silver.timeseries_rollup_config, timestamptz, tsconsole.retry, text, interval, interval);

comment on view silver.timeseries_operations_monitor is
'One row per rollup: what it does now, how healthy it is and why, in words. health_status: OK, RUNNING, WARNING, ALERT or PAUSED. lag: clock minus watermark. avg_duration and success_rate (percent) are over the last 20 runs and the errors since. last_processed_rows: rows read by the last run. pending_ranges: ranges still to compute or recompute. backfill_remaining and backfill_rows_per_second: the estimated time to the end of the history, and the rate, from the history among the last 20 runs. late_rows_per_minute: rows of the target that late changes made recomputing write or delete, over the last 10 minutes or 20 runs, whichever is shorter.
Example: select target_table, health_status, health_reason from silver.timeseries_operations_monitor;';


create or replace function silver.progress(target regclass)
returns table (total interval, done interval, fraction float8, rows_per_second float8, remaining interval, pending_ranges bigint)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    with rollup as (
        select p.ranges, c.history_to - c.history_from as total, coalesce(p.history_left, '0') as left_over, c.id
        from tsconsole.rollup(target) c, tsconsole.sum_up_pending(c) p
    ), recent as (
        select sum(l.rows_read) as read_rows, extract(epoch from sum(l.duration)) as took, sum(l.window_end - l.window_start) as covered
        from (select * from silver.timeseries_refresh_log l
              where l.rollup_id = (select r.id from rollup r) and l.work = 'history' order by l.id desc limit 10) l
    )
    select r.total, r.total - r.left_over,
           case when r.total is null then 1
                else 1 - extract(epoch from r.left_over)::float8 / extract(epoch from r.total)::float8 end,
           (n.read_rows / nullif(n.took, 0))::float8,
           case when r.left_over = '0' then '0'
                else make_interval(secs => (extract(epoch from r.left_over) * n.took / nullif(extract(epoch from n.covered), 0))::float8) end,
           r.ranges
    from rollup r cross join recent n;
$$;

comment on function silver.progress(regclass) is
'How far the backfill of a rollup has come: length of the history, how much is done, the fraction (0 to 1), source rows per second over the last 10 history steps, the estimated time to the end at that rate (null when nothing was measured yet), and the pending ranges. TS002 when it is not a rollup.
Example: select * from silver.progress(''silver.meters_1h'');';
