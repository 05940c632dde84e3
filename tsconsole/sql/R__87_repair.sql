-- Repairing a rollup: what verifying finds is recomputed.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.repair_rollup(target regclass, from_time timestamptz default null, to_time timestamptz default null) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    queued bigint;
begin
    select coalesce(sum(tsconsole.queue_late(config, d.bucket, tsconsole.next_bucket(config.rollup_interval, d.bucket, tsconsole.bucket_zone(config), config.bucket_origin))), 0)
    into queued
    from (select distinct v.bucket from silver.verify_rollup(target, from_time, to_time) v) d;
    perform tsconsole.announce_work();
    return queued;
end;
$$;

comment on function silver.repair_rollup(regclass, timestamptz, timestamptz) is
'Verifies a rollup (see silver.verify_rollup) and queues every bucket that differs for recomputing, as one pending range each. Returns how many. The next steps write what is right and hand it on to the levels above. TS001 for an empty range, TS002 when it is not a rollup.
Example: select silver.repair_rollup(''silver.meters_1h'', now() - interval ''7 days'');';
