-- The safe horizon: the time below which no transaction in flight can still add a row that nobody logged.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.axis_time(time_type regtype, timezone text, at timestamptz) returns timestamptz
language sql immutable parallel safe
return case
    when time_type = 'timestamptz'::regtype then at
    -- The wall clock falls back when summer time ends and then reads the same hour again (in Antarctica two): before
    -- that, it counts as that much earlier, so that no bucket is called complete before it is.
    else least(at at time zone timezone, (at + interval '2 hours') at time zone timezone - interval '2 hours') at time zone 'UTC'
end;

comment on function tsconsole.axis_time(regtype, text, timestamptz) is
'A reading of the clock as a time column of this type would hold it, as a stored time.
Example: select tsconsole.axis_time(''timestamp'', ''Europe/Berlin'', now());';


create or replace function tsconsole.axis_time(config silver.timeseries_rollup_config, at timestamptz) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return tsconsole.axis_time((config).time_type, (config).timezone, at);
end;
$$;

comment on function tsconsole.axis_time(silver.timeseries_rollup_config, timestamptz) is
'A reading of the clock as the time column of a rollup would hold it, as a stored time.
Example: select tsconsole.axis_time(tsconsole.rollup(''silver.meters_1h''), now());';


create or replace function tsconsole.axis_clock(config silver.timeseries_rollup_config) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return tsconsole.axis_time(config, clock_timestamp());
end;
$$;

comment on function tsconsole.axis_clock(silver.timeseries_rollup_config) is
'The clock as the time column of a rollup would hold it, as a stored time.
Example: select tsconsole.axis_clock(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.clock_margin() returns interval
language sql immutable parallel safe
return interval '100 milliseconds';

comment on function tsconsole.clock_margin() is
'What the horizon keeps back beside the allowed lateness, for small steps of the clock.
Example: select tsconsole.clock_margin();';


create or replace function tsconsole.reach(
    source regclass, time_column text, time_type regtype, timezone text, change_tracking text, allowed_lateness interval
) returns table (horizon timestamptz, lateness interval)
language sql stable
begin atomic
    -- Without a SET clause, and of columns: so it becomes a part of the query that asks it of each of a thousand rollups,
    -- instead of being called for each.
    select coalesce(
               -- A level of a ladder may go as far as the level below has come.
               parent.last_processed_time,
               tsconsole.axis_time(reach.time_type, reach.timezone, clock_timestamp() - l.lateness - tsconsole.clock_margin())),
           l.lateness
    from (
        -- Never less than what the triggers judge by, whatever the configuration says: in between rows would go unlogged.
        -- In seconds, as theirs: a month or a day is not always as long.
        select make_interval(secs => greatest(extract(epoch from reach.allowed_lateness), extract(epoch from t.lateness))::float8) as lateness
        from (select 1) one
        left join tsconsole.tracked_source t on t.source_table = reach.source and t.time_column = reach.time_column and reach.change_tracking = 'trigger') l
    left join silver.timeseries_rollup_config parent on parent.target_table = reach.source;
end;

comment on function tsconsole.reach(regclass, text, regtype, text, text, interval) is
'Of a rollup''s columns: where its safe horizon would be if no transaction were writing (cheap, and never below it), and how far its frontier stays behind the clock.
Example: select c.target_table, r.horizon from silver.timeseries_rollup_config c, tsconsole.reach(c.source_table, c.time_column, c.time_type, c.timezone, c.change_tracking, c.allowed_lateness) r;';


create or replace function tsconsole.possible_horizon(config silver.timeseries_rollup_config) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select r.horizon from tsconsole.reach((config).source_table, (config).time_column, (config).time_type, (config).timezone, (config).change_tracking, (config).allowed_lateness) r);
end;
$$;

comment on function tsconsole.possible_horizon(silver.timeseries_rollup_config) is
'Where the safe horizon of a rollup would be if no transaction were writing: see tsconsole.reach.
Example: select tsconsole.possible_horizon(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.lateness(config silver.timeseries_rollup_config) returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select r.lateness from tsconsole.reach((config).source_table, (config).time_column, (config).time_type, (config).timezone, (config).change_tracking, (config).allowed_lateness) r);
end;
$$;

comment on function tsconsole.lateness(silver.timeseries_rollup_config) is
'How far the frontier of a rollup stays behind the clock.
Example: select tsconsole.lateness(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.safe_horizon(config silver.timeseries_rollup_config) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    since timestamptz;
    read_at timestamptz;
    gives_up_at timestamptz := clock_timestamp() + interval '200 milliseconds';
    own_ceiling xid8;
    oldest xid8;
begin
    select t.tracked_since into since from tsconsole.tracked_source t
    where t.source_table = (config).source_table and t.time_column = (config).time_column;
    if since is null or (config).change_tracking <> 'trigger' then
        return tsconsole.possible_horizon(config);
    end if;
    own_ceiling := tsconsole.beat();
    -- "On time" is judged by the clock at the insertion, so a row that nobody logged can still be invisible in an open
    -- transaction. A short wait lets ordinary ones end before an older heartbeat is used.
    loop
        read_at := clock_timestamp();
        oldest := (select w.xid from tsconsole.oldest_writer((config).source_table) w);
        exit when oldest is null or oldest > own_ceiling or read_at > gives_up_at;
        perform pg_sleep(0.02);
    end loop;
    if oldest is not null then
        read_at := tsconsole.clock_before(oldest, since);
    end if;
    return tsconsole.axis_time(config, read_at - tsconsole.lateness(config) - tsconsole.clock_margin());
end;
$$;

comment on function tsconsole.safe_horizon(silver.timeseries_rollup_config) is
'The time below which the source is complete but for what the triggers log: the frontier stops there. Held back only by transactions that have written to this source and are still open. Waits at most 200 ms for them, and takes no lock that a writer could see.
Example: select tsconsole.safe_horizon(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.clock_before(writer xid8, since timestamptz) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    vouched xid8;
    taken timestamptz;
    lowest timestamptz;
begin
    -- A transaction with a higher id than a heartbeat's began to write after it.
    select h.ceiling, h.taken_at into vouched, taken from tsconsole.heartbeat h where h.ceiling < writer order by h.ceiling desc limit 1;
    taken := greatest(since, taken);
    -- Unless the clock was put back since: then it may have read less than any heartbeat says.
    select least(min(h.taken_at), clock_timestamp()) into lowest from tsconsole.heartbeat h where h.ceiling > coalesce(vouched, writer);
    return case when lowest < taken - interval '1 second' then lowest - tsconsole.clock_slack() else least(lowest, taken) end;
end;
$$;

comment on function tsconsole.clock_before(xid8, timestamptz) is
'A time that the clock had passed whenever a transaction wrote to a source that is tracked since then.
Example: select tsconsole.clock_before(pg_current_xact_id(), now());';


create or replace function tsconsole.clock_slack() returns interval
language sql immutable parallel safe
return interval '10 minutes';

comment on function tsconsole.clock_slack() is
'How long ago a clock may have been put back when a step notices.
Example: select tsconsole.clock_slack();';


create or replace function tsconsole.clock_went_back(config silver.timeseries_rollup_config) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- From here on a row is on time for the triggers.
    on_time timestamptz := (
        select tsconsole.axis_time(config, clock_timestamp() - t.lateness) from tsconsole.tracked_source t
        where t.source_table = (config).source_table and t.time_column = (config).time_column and (config).change_tracking = 'trigger');
    is_new boolean;
begin
    if not coalesce(on_time < (config).last_processed_time, false) then
        return false;
    end if;
    execute format('select not exists (select from %s p where p.kind = ''c'' and p.lo <= $1 and p.hi >= $2)', tsconsole.pending_table((config).id))
    into is_new using on_time, (config).last_processed_time;
    return is_new;
end;
$$;

comment on function tsconsole.clock_went_back(silver.timeseries_rollup_config) is
'Whether the clock was put back (after a failover, perhaps) so far that rows below the watermark are on time again, which no trigger logs, and no step has noted that yet.
Example: select tsconsole.clock_went_back(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.note_clock(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('insert into %s (lo, hi, all_series, kind) select $1, $2, true, ''c'' where $1 < $2', tsconsole.pending_table((config).id))
    using greatest((config).first_bucket, tsconsole.bucket_floor(config, tsconsole.possible_horizon(config) - tsconsole.clock_slack())),
          (config).last_processed_time;
end;
$$;

comment on function tsconsole.note_clock(silver.timeseries_rollup_config) is
'Queues the buckets that the clock reads again (kind c). Live views read them from the source; they are computed again once the frontier goes on above them.
Example: see tsconsole.choose_frontier.';


create or replace function tsconsole.beat() returns xid8
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    taken timestamptz;
    own xid8;
begin
    -- Only a transaction that has no id yet can say that its id is younger than this reading of the clock.
    if pg_current_xact_id_if_assigned() is not null then
        return null;
    end if;
    taken := clock_timestamp();
    own := pg_current_xact_id();
    insert into tsconsole.heartbeat values (taken, own);
    if random() < 0.02 then
        perform tsconsole.prune_heartbeats();
    end if;
    return own;
end;
$$;

comment on function tsconsole.beat() is
'Notes the clock and then this transaction''s id, unless it has one already; returns the id.
Example: select tsconsole.beat();';


create or replace function tsconsole.prune_heartbeats() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- The newest heartbeat below the oldest running transaction must stay: the horizon may need it.
    delete from tsconsole.heartbeat h
    where h.ctid = any (array(
        select o.ctid from tsconsole.heartbeat o
        where o.ceiling < (select max(k.ceiling) from tsconsole.heartbeat k where k.ceiling < pg_snapshot_xmin(pg_current_snapshot()))
        for update skip locked));
$$;

comment on function tsconsole.prune_heartbeats() is
'Deletes heartbeats that no horizon can need any more.
Example: select tsconsole.prune_heartbeats();';


create or replace function tsconsole.with_partitions(relation regclass) returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive tree as (
        select relation::oid as oid
        union all
        select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid
    )
    select t.oid from tree t;
$$;

comment on function tsconsole.with_partitions(regclass) is
'A table and all its partitions, without locking any (pg_partition_tree would).
Example: select tsconsole.with_partitions(''raw.readings'');';


create or replace function tsconsole.oldest_writer(source regclass, out xid xid8, out pid integer, out prepared boolean)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- pg_locks is world-readable and shows prepared transactions too. It is not read atomically, and every order of its
    -- parts is safe: locks go only after their transaction's commit can be seen.
    with locks as materialized (
        select l.locktype, l.relation, l.database, l.mode, l.granted, l.pid, l.virtualtransaction as transaction, l.transactionid::text::bigint as id
        from pg_locks l
    ), writers as materialized (
        select distinct l.transaction, l.pid
        from locks l
        where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
          and l.relation in (select tsconsole.with_partitions(source))
    ), ids as materialized (
        select l.transaction, l.id, l.pid from locks l where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
    ), candidates as (
        select i.id, w.pid from writers w join ids i using (transaction)
        union all
        -- A prepared transaction has no session; its virtual id is -1/<xid>, or, where it is not, any prepared one may be the writer.
        select split_part(w.transaction, '/', 2)::bigint, null from writers w where w.transaction like '-1/%'
        union all
        select i.id, null from ids i
        where i.transaction like '-1/%'
          and exists (select from writers w where not exists (select from ids j where j.transaction = w.transaction))
    )
    -- 32-bit ids by signed distance from one 64-bit reference: age() would take a second, younger one.
    select f.full_id::text::xid8, f.pid, f.pid is null
    from (select c.pid, r.reference - (((r.reference - c.id) + 2147483648 + 4294967296) % 4294967296 - 2147483648) as full_id
          from candidates c cross join (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as reference) r) f
    order by f.full_id limit 1;
$$;

comment on function tsconsole.oldest_writer(regclass) is
'The oldest transaction in flight that has written to a source or one of its partitions: its id, and its pid unless it is prepared. No row of values when there is none.
Example: select * from tsconsole.oldest_writer(''raw.readings'');';
