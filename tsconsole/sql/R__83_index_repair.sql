-- Repair of a target's indexes: the unique one on bucket and dimensions, which finds a bucket and keeps it single, and any other that became invalid.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.maintain_indexes(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    repaired text[];
    columns  text[] := tsconsole.key_columns(config);
begin
    repaired := tsconsole.repair_invalid_indexes(config.target_table);
    if tsconsole.key_index(config.target_table, columns) is null then
        -- Writers of the target wait while it is built; that are steps only.
        execute format('create unique index on %s (%s) nulls not distinct',
            tsconsole.qualified_name(config.target_table), (select string_agg(quote_ident(c), ', ') from unnest(columns) c));
        repaired := repaired || ('created ' || tsconsole.key_index(config.target_table, columns)::text);
    end if;
    repaired := repaired || tsconsole.repair_replica_identity(config.target_table);
    outcome := 'done';
    detail := coalesce(nullif(array_to_string(repaired, ', '), ''), 'all indexes are there and valid');
end;
$$;

comment on function tsconsole.maintain_indexes(silver.timeseries_rollup_config) is
'Creates the unique index of a target where it is missing, rebuilds invalid indexes of the target and its partitions, and gives them the replica identity that a publication needs.
Example: select * from tsconsole.maintain_indexes(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.repair_invalid_indexes(target regclass) returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    broken   record;
    repaired text[] := array[]::text[];
begin
    for broken in
        select n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) as name, c.relkind, x.indisunique,
               c.relname ~ '_cc(new|old)\d*$' as is_leftover
        from pg_index x
        join pg_class c on c.oid = x.indexrelid
        join pg_namespace n on n.oid = c.relnamespace
        where not x.indisvalid
          and (x.indrelid = target or x.indrelid in (select p.part from tsconsole.stored_parts(target) p))
        -- Of partitions first: the target's own is valid when all of them are.
        order by c.relkind = 'I', c.oid
    loop
        -- What an interrupted REINDEX CONCURRENTLY leaves is dropped, as is a unique index of the target that lacks parts: it
        -- is created again. Another that lacks parts may be one that somebody is building partition by partition.
        if broken.is_leftover or (broken.relkind = 'I' and broken.indisunique) then
            execute format('drop index %I.%I', broken.nspname, broken.relname);
            repaired := repaired || ('dropped the invalid ' || broken.name);
        elsif broken.relkind = 'I' then
            repaired := repaired || ('left ' || broken.name || ', which lacks partitions');
        else
            execute format('reindex index %I.%I', broken.nspname, broken.relname);
            repaired := repaired || ('rebuilt ' || broken.name);
        end if;
    end loop;
    return repaired;
end;
$$;

comment on function tsconsole.repair_invalid_indexes(regclass) is
'Rebuilds invalid indexes of a target and its partitions, and drops what can never become valid. Returns what it did.
Example: select tsconsole.repair_invalid_indexes(''silver.meters_1h'');';


create or replace function tsconsole.repair_replica_identity(target regclass) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    part   regclass;
    given  integer := 0;
begin
    -- Made by an earlier version, or by pg_partman. Each takes a lock that readers wait for: only where somebody publishes.
    if not exists (select from pg_publication p where p.pubupdate or p.pubdelete) then
        return null;
    end if;
    for part in
        select c.oid from (select target::oid union all select p.part from tsconsole.stored_parts(target) p) t (oid) join pg_class c using (oid)
        where c.relreplident = 'd' and not exists (select from pg_index x where x.indrelid = c.oid and x.indisprimary)
        limit 100
    loop
        execute format('alter table %s replica identity full', tsconsole.qualified_name(part));
        given := given + 1;
    end loop;
    return 'replica identity full for ' || nullif(given, 0) || ' tables';
end;
$$;

comment on function tsconsole.repair_replica_identity(regclass) is
'Gives a target and up to a hundred of its partitions a replica identity, where a publication that sends updates or deletes could hold them. Returns what it did; null for nothing.
Example: select tsconsole.repair_replica_identity(''silver.meters_1h'');';
