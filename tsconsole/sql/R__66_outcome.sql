-- What came of a step: the run log, or the error log and the retry.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.record_success(
    config silver.timeseries_rollup_config, work text, range tsconsole.work_range,
    rows_read bigint, rows_written bigint, rows_deleted bigint, started timestamptz
) returns silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    ended timestamptz := clock_timestamp();
    -- A late row may have come into the gap that was jumped, and is written, too: a rebuild copies what the log says again.
    logged_from timestamptz := coalesce(
        (select least(range.data_from, greatest(range.lo, r.range_start)) from tsconsole.partition_rebuild r where r.rollup_id = config.id), range.data_from);
    predicted text[] := string_to_array(nullif(current_setting('tsconsole.predicted', true), ''), ',');
begin
    insert into silver.timeseries_refresh_log (rollup_id, table_name, work, start_time, end_time, records_processed,
        window_start, window_end, rows_read, rows_written, rows_deleted, predicted_duration, estimated_rows)
    values (config.id, tsconsole.qualified_name(config.target_table), work, started, ended, rows_read,
        logged_from, range.hi, rows_read, rows_written, rows_deleted,
        make_interval(secs => nullif(predicted[1], '')::float8), nullif(predicted[2], '')::bigint);
    perform tsconsole.forget_retry(config.id, work);
    delete from tsconsole.attempt a where a.rollup_id = config.id and a.pid = pg_backend_pid();
    -- Last: steps that run beside this one would wait on the row.
    if work = 'frontier' then
        update silver.timeseries_rollup_config c
        set last_processed_time = range.hi, last_refresh_time = ended,
            source_name = tsconsole.qualified_name(c.source_table), target_name = tsconsole.qualified_name(c.target_table)
        where c.id = config.id;
    end if;
    return (config.target_table, work, 'done', range.data_from, range.hi, rows_read, rows_written, ended - started, null, null)::silver.step_result;
end;
$$;

comment on function tsconsole.record_success(silver.timeseries_rollup_config, text, tsconsole.work_range, bigint, bigint, bigint, timestamptz) is
'Logs a step that succeeded, ends its retries, and advances the watermark.
Example: see silver.perform_step.';


create or replace function tsconsole.record_failure(
    config silver.timeseries_rollup_config, failure silver.timeseries_error_log, started timestamptz
) returns silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    failed_before integer;
    next_try integer;
    error_id bigint;
begin
    select r.retry_count into failed_before from tsconsole.retry r where r.rollup_id = config.id and r.work = failure.work;
    insert into silver.timeseries_error_log (rollup_id, source_table, target_table, work, window_start, window_end, sql_state,
        error_message, error_detail, error_hint, error_context, schema_name, table_name, constraint_name, attempted_query, retry_count)
    values (config.id, tsconsole.last_name(config.source_table, config.source_name), tsconsole.last_name(config.target_table, config.target_name), failure.work, failure.window_start, failure.window_end, failure.sql_state,
        failure.error_message, nullif(failure.error_detail, ''), nullif(failure.error_hint, ''), nullif(failure.error_context, ''),
        nullif(failure.schema_name, ''), nullif(failure.table_name, ''), nullif(failure.constraint_name, ''),
        failure.attempted_query, coalesce(failed_before, 0))
    returning id into error_id;

    next_try := coalesce(failed_before, 0) + 1;
    insert into tsconsole.retry as r (rollup_id, work, retry_count, next_retry_time, gave_up_at, last_error_time, error_id)
    values (config.id, failure.work, least(next_try, config.max_retries),
            case when next_try <= config.max_retries then clock_timestamp() + tsconsole.backoff(next_try) end,
            case when next_try > config.max_retries then clock_timestamp() end,
            clock_timestamp(), error_id)
    on conflict (rollup_id, work) do update set
        retry_count = excluded.retry_count, next_retry_time = excluded.next_retry_time, gave_up_at = excluded.gave_up_at,
        last_error_time = excluded.last_error_time, error_id = excluded.error_id;
    return (config.target_table, failure.work, 'failed', failure.window_start, failure.window_end, 0, 0,
            clock_timestamp() - started, failure.sql_state, failure.error_message)::silver.step_result;
end;
$$;

comment on function tsconsole.record_failure(silver.timeseries_rollup_config, silver.timeseries_error_log, timestamptz) is
'Logs a step that failed and sets its next retry, or gives up after max_retries.
Example: see silver.perform_step.';


create or replace function tsconsole.backoff(retry_number integer) returns interval
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Jitter keeps rollups that failed together from coming back together.
    select least(interval '1 hour', interval '10 seconds' * power(2, least(retry_number, 20) - 1)) * (0.8 + 0.4 * random());
$$;

comment on function tsconsole.backoff(integer) is
'The wait before a retry: 10 s, doubled each time, at most an hour, plus or minus a fifth.
Example: select tsconsole.backoff(3);';


create or replace function tsconsole.is_waiting(rollup_id bigint, work text) returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from tsconsole.retry r
                   where r.rollup_id = is_waiting.rollup_id and r.work = is_waiting.work
                     and (r.gave_up_at is not null or r.next_retry_time > clock_timestamp()));
$$;

comment on function tsconsole.is_waiting(bigint, text) is
'Whether work is held back after a failure: its next retry is not due yet, or it gave up and waits for an operator.
Example: select tsconsole.is_waiting(1, ''frontier'');';


create or replace function tsconsole.forget_retry(rollup_id bigint, work text) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    delete from tsconsole.retry r where r.rollup_id = forget_retry.rollup_id and r.work = forget_retry.work;
$$;

comment on function tsconsole.forget_retry(bigint, text) is
'Ends the retries of work that succeeded, or that has gone away.
Example: select tsconsole.forget_retry(1, ''history'');';


create or replace function tsconsole.forget_vanished(config silver.timeseries_rollup_config) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    delete from tsconsole.retry r where r.rollup_id = (config).id and not tsconsole.has_work(config, r.work);
$$;

comment on function tsconsole.forget_vanished(silver.timeseries_rollup_config) is
'Ends the retries of work that is not there any more, for example because its source rows were deleted.
Example: select tsconsole.forget_vanished(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.count_crashes(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    lost tsconsole.attempt;
    failure silver.timeseries_error_log;
begin
    for lost in
        delete from tsconsole.attempt a
        where a.rollup_id = config.id and not exists (
              -- A pid may have been given again; the start of other roles' sessions is hidden.
              select from pg_stat_activity s where s.pid = a.pid and coalesce(s.backend_start <= a.started_at, true))
        returning a.*
    loop
        failure.work := lost.work;
        failure.sql_state := 'TS007';
        failure.error_message := format('the session (pid %s) that began this step at %s ended without finishing it', lost.pid, lost.started_at);
        failure.error_hint := 'Its transaction was rolled back; the step is done again. The server log says why the session ended.';
        perform tsconsole.record_failure(config, failure, lost.started_at);
    end loop;
end;
$$;

comment on function tsconsole.count_crashes(silver.timeseries_rollup_config) is
'Finds steps whose session is gone (killed worker, terminated backend, server crash) and counts each as a failure.
Example: see silver.perform_step.';


create or replace function silver.log_rollup_success(table_name text, start_time timestamptz, end_time timestamptz, records_processed bigint) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    entry bigint;
begin
    if table_name is null or start_time is null or end_time is null or records_processed is null or records_processed < 0 then
        raise exception 'a run in the log needs a table, a start, an end and a number of records' using
            errcode = 'TS001', hint = 'For example: select silver.log_rollup_success(''silver.meters_1h'', now() - interval ''2 seconds'', now(), 6000);';
    end if;
    insert into silver.timeseries_refresh_log as l (rollup_id, table_name, start_time, end_time, records_processed, rows_read)
    select (select c.id from silver.timeseries_rollup_config c
            where log_rollup_success.table_name in (c.target_name, tsconsole.qualified_name(c.target_table))),
           log_rollup_success.table_name, log_rollup_success.start_time, log_rollup_success.end_time,
           log_rollup_success.records_processed, log_rollup_success.records_processed
    returning l.id into entry;
    return entry;
end;
$$;

comment on function silver.log_rollup_success(text, timestamptz, timestamptz, bigint) is
'Writes a run that was made outside the engine into the refresh log. records_processed: rows read from the source. Returns the id of the entry. TS001 when something is null or negative.
Example: select silver.log_rollup_success(''silver.meters_1h'', now() - interval ''2 seconds'', now(), 6000);';
