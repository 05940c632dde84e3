-- Telling workers that there is work, so that they need not wait for their next look.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.announce_work() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select pg_notify('tsconsole', '');
$$;

comment on function tsconsole.announce_work() is
'Wakes the workers, which LISTEN on the channel tsconsole, when the calling transaction commits. Not called by writers of sources: every COMMIT with a NOTIFY takes a lock of the whole server.
Example: select tsconsole.announce_work();';


create or replace function tsconsole.announce_change() returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tsconsole.announce_work();
    return null;
end;
$$;

comment on function tsconsole.announce_change() is
'Wakes the workers when a rollup is created, resumed or given other intervals. Steps do not fire it.
Example: see the trigger announce_change of silver.timeseries_rollup_config.';

create or replace trigger announce_change
    after insert or update of is_active, refresh_interval, allowed_lateness, processing_window on silver.timeseries_rollup_config
    for each statement execute function tsconsole.announce_change();
