-- Errors: acknowledging them, and the plan of a query that failed.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.acknowledge_error(error_id bigint default null) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    seen silver.timeseries_error_log;
    acknowledged bigint;
begin
    if error_id is not null then
        select e.* into seen from silver.timeseries_error_log e where e.id = error_id;
        if not found then
            raise exception 'error % is not in the log', error_id using
                errcode = 'TS002', hint = 'It may have been pruned; the log is silver.timeseries_error_log.';
        end if;
    end if;
    update silver.timeseries_error_log e
    set acknowledged_at = clock_timestamp(), acknowledged_by = current_user
    where e.acknowledged_at is null
      and (error_id is null
           or e.id <= error_id and e.target_table = seen.target_table and e.error_message = seen.error_message
              and e.sql_state is not distinct from seen.sql_state and e.rollup_id is not distinct from seen.rollup_id);
    get diagnostics acknowledged = row_count;
    return acknowledged;
end;
$$;

comment on function silver.acknowledge_error(bigint) is
'Notes that an operator has seen to an error, and to all earlier ones of the same rollup that say the same; null: to every error. It changes nothing else: what is failing is still retried. Returns how many entries of the log were acknowledged. TS002 when the error is not in the log.
Example: select silver.acknowledge_error(max(id)) from silver.timeseries_error_log;';


create or replace function silver.explain_error(error_id bigint) returns setof text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    failed silver.timeseries_error_log;
    config silver.timeseries_rollup_config;
begin
    select e.* into failed from silver.timeseries_error_log e where e.id = error_id;
    if not found then
        raise exception 'error % is not in the log', coalesce(error_id::text, 'null') using
            errcode = 'TS002', hint = 'It may have been pruned; the log is silver.timeseries_error_log.';
    end if;
    select c.* into config from silver.timeseries_rollup_config c where c.id = failed.rollup_id;
    if config.id is null then
        raise exception 'the rollup of error % was dropped', error_id using
            errcode = 'TS002', hint = 'What was attempted is in its attempted_query.';
    elsif failed.work is null or failed.work not in ('frontier', 'history', 'recompute') or failed.window_start is null then
        raise exception 'error % is of no query over a window', error_id using
            errcode = 'TS004', hint = 'Only what a step has attempted can be explained.';
    end if;
    -- Generated anew rather than taken from the log: what is executed here must not come from a table that others write.
    return query execute 'explain ' || tsconsole.work_query(config, failed.work)
    using failed.window_start, failed.window_end, null::tid[], null::tstzmultirange;
end;
$$;

comment on function silver.explain_error(bigint) is
'The plan (EXPLAIN) of the query that a failed step has attempted, over its window, as it would be planned now; it reads no rows. The ranges that a recompute had claimed are not known any more, so their estimates are low. TS002 when the error or its rollup is gone, TS004 when the error is of no such query.
Example: select * from silver.explain_error(1) where exists (select from silver.timeseries_error_log where id = 1);';
