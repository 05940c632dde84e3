-- Retrying and pausing.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.handle_rollup_retries() returns setof silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    due record;
begin
    for due in
        select r.rollup_id, r.work from tsconsole.retry r
        join silver.timeseries_rollup_config c on c.id = r.rollup_id
        where c.is_active and r.next_retry_time <= clock_timestamp()
        order by r.next_retry_time
    loop
        perform tsconsole.check_isolation();
        return next tsconsole.try_work(due.rollup_id, due.work);
    end loop;
end;
$$;

comment on function silver.handle_rollup_retries() is
'Retries every failing rollup whose wait is over, in the calling transaction. One row per retry. A success ends its retries; a failure waits longer or gives up.
Example: select * from silver.handle_rollup_retries();';


create or replace function silver.retry_rollup(target regclass) returns setof silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
begin
    perform tsconsole.end_wait(config.id);
    return query select * from silver.perform_rollup(target);
end;
$$;

comment on function silver.retry_rollup(regclass) is
'Runs a rollup now, whether its retry is due or it gave up; the number of retries starts again at the first. One row per step. TS002 when it is not a rollup.
Example: select * from silver.retry_rollup(''silver.meters_1h'');';


create or replace function tsconsole.end_wait(rollup_id bigint) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- A session that holds one of the rows is at that work now, or ends its wait as well: waiting for it could deadlock.
    update tsconsole.retry r
    set next_retry_time = clock_timestamp(), gave_up_at = null,
        retry_count = case when r.gave_up_at is null then r.retry_count else 0 end
    where r.ctid = any (array(select q.ctid from tsconsole.retry q where q.rollup_id = end_wait.rollup_id for update skip locked));
    select tsconsole.announce_work();
$$;

comment on function tsconsole.end_wait(bigint) is
'Makes the retries of a rollup due now; after giving up they count from the start again.
Example: select tsconsole.end_wait(1);';


create or replace function silver.pause_rollup(target regclass) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    update silver.timeseries_rollup_config c set is_active = false where c.id = (tsconsole.rollup(target)).id;
$$;

comment on function silver.pause_rollup(regclass) is
'Stops a rollup from being stepped, after the step in hand. Its pending ranges go on being collected.
Example: select silver.pause_rollup(''silver.meters_1h'');';


create or replace function silver.resume_rollup(target regclass) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    update silver.timeseries_rollup_config c set is_active = true where c.id = (tsconsole.rollup(target)).id;
$$;

comment on function silver.resume_rollup(regclass) is
'Lets a paused rollup be stepped again; it goes on where it stopped.
Example: select silver.resume_rollup(''silver.meters_1h'');';
