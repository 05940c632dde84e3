-- How many locks a transaction may take: one that asks for more fails, and until it has ended everybody else fails with it.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.lock_room() returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- The size of the server's lock table, which all sessions share, less what is in it.
    select current_setting('max_locks_per_transaction')::bigint
         * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint
            + coalesce(current_setting('autovacuum_worker_slots', true), current_setting('autovacuum_max_workers'))::bigint
            + current_setting('max_worker_processes')::bigint + current_setting('max_wal_senders')::bigint)
         - (select count(*) from pg_locks l where not l.fastpath);
$$;

comment on function tsconsole.lock_room() is
'How many more locks the server can hold now.
Example: select tsconsole.lock_room();';


create or replace function tsconsole.check_lock_room(needed bigint, what text, advice text default null) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    room    bigint := tsconsole.lock_room();
    setting bigint := current_setting('max_locks_per_transaction')::bigint;
begin
    if needed > room then
        raise exception '% takes some % locks, and the server has room for %', what, needed, greatest(room, 0) using
            errcode = 'TS004',
            hint = concat_ws(' ', advice, format('%s max_locks_per_transaction to %s (now %s), which takes a restart.',
                case when advice is null then 'Set' else 'Or set' end, ceil(1.2 * setting * needed / greatest(room, 1)), setting));
    end if;
end;
$$;

comment on function tsconsole.check_lock_room(bigint, text, text) is
'Refuses (TS004) what needs more locks than the server can hold, before it fails and others with it. advice: what to do instead.
Example: select tsconsole.check_lock_room(20000, ''dropping silver.meters_1m with its partitions'');';


create or replace function tsconsole.check_partition_locks(relation regclass, for_each integer) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select tsconsole.check_lock_room(p.number * for_each, format('locking %s and its %s partitions', tsconsole.qualified_name(relation), p.number - 1))
    from (select count(*) as number from tsconsole.with_partitions(relation)) p;
$$;

comment on function tsconsole.check_partition_locks(regclass, integer) is
'Refuses (TS004) to lock a table with all its partitions when the server cannot hold so many locks for each.
Example: select tsconsole.check_partition_locks(''silver.meters_1h'', 1);';
