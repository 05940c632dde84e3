-- What cannot be in a rollup any more, said in the error log: rows for buckets that are kept as they are, and ranges that the
-- source lost before they were computed.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.note_loss(
    config silver.timeseries_rollup_config, work text, from_time timestamptz, to_time timestamptz, message text, hint text
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    note silver.timeseries_error_log;
begin
    -- A device that sends ever older rows should not fill the log. What another session is just noting is noted twice.
    select e.* into note from silver.timeseries_error_log e
    where e.rollup_id = config.id and e.sql_state = 'TS009' and e.work = note_loss.work and e.error_message = message
      and e.acknowledged_at is null and e.error_timestamp > clock_timestamp() - interval '1 hour'
    order by e.id desc limit 1 for update skip locked;
    if note.id is not null then
        update silver.timeseries_error_log e
        set window_start = least(e.window_start, from_time), window_end = greatest(e.window_end, to_time)
        where e.id = note.id;
        return;
    end if;
    insert into silver.timeseries_error_log (rollup_id, source_table, target_table, work, window_start, window_end, sql_state,
                                             error_message, error_hint)
    values (config.id, tsconsole.last_name(config.source_table, config.source_name),
            tsconsole.last_name(config.target_table, config.target_name), work, from_time, to_time, 'TS009', message, hint);
end;
$$;

comment on function tsconsole.note_loss(silver.timeseries_rollup_config, text, timestamptz, timestamptz, text, text) is
'Notes in the error log (TS009) what is not in a rollup and will not come by itself. Nothing has failed: there is no retry. What is said again within an hour, and was not acknowledged, widens the window of the first note.
Example: see tsconsole.note_late_for_kept.';


create or replace function tsconsole.note_losses(
    config silver.timeseries_rollup_config, work text, range tsconsole.work_range, kept tstzmultirange
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    frozen tstzmultirange := tstzmultirange(tstzrange((range).lo, (range).hi)) * kept;
begin
    -- What retention dropped here is missed only where a wider level still counts it.
    if (config).retained_from is not null and (work <> 'recompute'
       or not exists (select from silver.timeseries_rollup_config c where c.source_table = (config).target_table)) then
        frozen := frozen - tstzmultirange(tstzrange(null, tsconsole.bucket_ceiling(config, (config).retained_from)));
    end if;
    if isempty(frozen) then
        return;
    elsif work = 'recompute' and (config).change_tracking in ('trigger', 'ladder') then
        perform tsconsole.note_late_for_kept(config, range, frozen);
    elsif work = 'frontier' then
        perform tsconsole.note_loss(config, work, lower(frozen), upper(frozen),
            format('%s fell behind: some of its buckets were computed when rows of %s that old might be gone', (config).target_name, (config).source_name),
            'They hold what was left. Steps should run more often than source_retention, or the retention of the level below, is long.');
    end if;
end;
$$;

comment on function tsconsole.note_losses(silver.timeseries_rollup_config, text, tsconsole.work_range, tstzmultirange) is
'Notes what a step has left out of the rollup, or has computed from what was left. kept: the buckets that are kept as they are.
Example: see silver.perform_step.';


create or replace function tsconsole.note_late_for_kept(
    config silver.timeseries_rollup_config, range tsconsole.work_range, frozen tstzmultirange
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    writers xid[];
    first_row timestamptz;
    last_row timestamptz;
    row_time text := tsconsole.column_to_axis(config, format('s.%I', (config).time_column));
begin
    -- Retention deletes rows of such buckets, which is no loss. A row that came has the id of the transaction that logged it.
    execute format('select array_agg(distinct p.xmin::text)::xid[] from %s p where p.ctid = any ($1) and p.kind = ''l'' and tstzrange(p.lo, p.hi) && $2', tsconsole.pending_table((config).id))
    into writers using (range).entries, frozen;
    if writers is null then
        return;
    end if;
    begin
        execute format('select min(%1$s), max(%1$s) from %2$s s where %3$s and %1$s <@ $3 and s.xmin = any ($4)',
            row_time, tsconsole.qualified_name((config).source_table), tsconsole.range_condition(config, 's', '$1', '$2'))
        into first_row, last_row
        using greatest((range).lo, tsconsole.earliest_time()), least((range).hi, tsconsole.latest_time()), frozen, writers;
    exception when feature_not_supported then
        return;  -- a foreign partition, or one of another storage, that tells no transaction of its rows
    end;
    if first_row is not null then
        perform tsconsole.note_loss(config, 'recompute', tsconsole.bucket_floor(config, first_row),
            tsconsole.bucket_ceiling(config, last_row + interval '1 microsecond'),
            format('rows of %s came for buckets that are kept as they are, and are not in %s', (config).source_name, (config).target_name),
            format('Buckets are kept where the source no longer holds them whole: beyond source_retention, where a partition was dropped, or beyond the retention of this level or the one below. '
                   'For a partition that was dropped: select silver.thaw(%L, …, …) computes them from what is there now.', (config).source_name));
    end if;
end;
$$;

comment on function tsconsole.note_late_for_kept(silver.timeseries_rollup_config, tsconsole.work_range, tstzmultirange) is
'Notes late rows that a step passed over, because their buckets are frozen or were dropped by retention. Only rows that are still there count, and only those of the transactions that logged the claimed ranges.
Example: see tsconsole.note_losses.';


create or replace function tsconsole.forget_frozen_history(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    frozen_edge timestamptz := tsconsole.bucket_ceiling(config, tsconsole.frozen_before(config));
    first_lo timestamptz;
    last_hi timestamptz;
begin
    if frozen_edge is null then
        return;
    end if;
    select d.first_lo, d.last_hi into first_lo, last_hi from tsconsole.drop_history(config, '-infinity', frozen_edge) d;
    if first_lo < last_hi then
        perform tsconsole.note_loss(config, 'history', first_lo, last_hi,
            format('the oldest history of %s was not computed in time: rows of %s that old may be gone', (config).target_name, (config).source_name),
            'A range that is still there as a whole can be had by a longer source_retention and silver.invalidate.');
    end if;
end;
$$;

comment on function tsconsole.forget_frozen_history(silver.timeseries_rollup_config) is
'Gives up history that has grown older than what the source holds for certain, and notes it.
Example: see tsconsole.choose_history.';


create or replace function tsconsole.note_unread_partitions(source regclass, time_column text, gone tstzmultirange) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config;
    above tstzmultirange;
    unread tstzmultirange;
begin
    for config in select c.* from tsconsole.tracking_rollups(source, note_unread_partitions.time_column) c loop
        execute format('select coalesce(range_agg(tstzrange(p.lo, p.hi)), ''{}'') from %s p', tsconsole.pending_table(config.id)) into unread;
        -- What has no bucket yet may have no rows either.
        above := case when isfinite(config.last_processed_time) and config.last_processed_time < tsconsole.axis_clock(config)
                      then tstzmultirange(tstzrange(config.last_processed_time, tsconsole.axis_clock(config))) else '{}' end;
        unread := (unread + above) * gone;
        if not isempty(unread) then
            perform tsconsole.note_loss(config, case when unread && above then 'frontier' else 'recompute' end, lower(unread), upper(unread),
                format('partitions of %s were dropped or detached before all their rows were in %s', config.source_name, config.target_name),
                'What was computed of them is kept. Attach them again to have the rest; silver.set_retention drops nothing that is not rolled up.');
        end if;
    end loop;
end;
$$;

comment on function tsconsole.note_unread_partitions(regclass, text, tstzmultirange) is
'Notes for each rollup on a source what was still to be read from partitions that are gone.
Example: see tsconsole.note_partition_changes.';


comment on table silver.timeseries_error_log is
'One row per failed step: SQLSTATE, message, detail, hint, context, and the query that was attempted. TS009: nothing failed; what is not in a rollup any more, and in which window.';
