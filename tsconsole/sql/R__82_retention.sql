-- Retention: whole partitions that are old enough go, once nobody needs them any more. What becomes of one is in R__86.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.apply_retention(table_name regclass, dry_run boolean default false)
returns table (
    partitioned_table text, partition_name text, range_start timestamptz, range_end timestamptz, total_bytes bigint, action text, reason text
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    kept_rows record;
begin
    perform tsconsole.check_has_rollups(table_name);
    if not dry_run then
        return query select f.* from tsconsole.finish_detachments(
            case when table_name is not null then array(
                select c.target_table from silver.timeseries_rollup_config c where c.id in (select tsconsole.rollups_of(table_name))) || table_name end) f;
    end if;
    for kept_rows in select t.* from tsconsole.retention_tables(table_name) t loop
        return query select e.* from tsconsole.retire_expired(kept_rows.relation, kept_rows.period, kept_rows.action, kept_rows.cutoff, dry_run) e;
    end loop;
end;
$$;

comment on function silver.apply_retention(regclass, boolean) is
'Takes away the partitions that are older than retention: of a target, of a source with all rollups on it, or of all tables for null. One row per expired partition, oldest first. action: drop, archive (moved to <schema>_archive), or keep, and then reason says which rollup still needs it or what else stands in the way. dry_run changes nothing and says what would go. Waits at most 200 ms for a lock, tries three times, and ends after half a second with locks held; call it again for the rest. TS002 when the table has no rollup.
Example: select * from silver.apply_retention(''raw.readings'', dry_run := true);';


create or replace function tsconsole.retire_expired(
    relation regclass, kept_for interval, then_what text, cutoff timestamptz, dry_run boolean
) returns table (
    partitioned_table text, partition_name text, range_start timestamptz, range_end timestamptz, total_bytes bigint, action text, reason text
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    part       record;
    stays      text;
    -- Every lock is kept to the end of the transaction, whichever call of this function took it.
    held_since timestamptz := nullif(current_setting('tsconsole.retention_holds_since', true), '')::timestamptz;
begin
    partitioned_table := tsconsole.qualified_name(relation);
    for part in select p.* from tsconsole.expired_partitions(relation, cutoff) p loop
        partition_name := tsconsole.qualified_name(part.partition);
        range_start := part.range_start;
        range_end := part.range_end;
        total_bytes := part.total_bytes;
        reason := case
            when stays is not null then format('it waits for %s, which is older and stays', stays)
            when dry_run then tsconsole.retention_problem(relation, range_end)
            -- Readers wait for the locks that are held.
            when held_since < clock_timestamp() - interval '500 milliseconds' then 'this transaction has held its locks for half a second: the next one goes on'
            else tsconsole.retire_partition(relation, part.partition, range_start, range_end, then_what, held_since is null) end;
        action := case when reason is null then then_what else 'keep' end;
        if reason is null then
            if not dry_run and held_since is null then
                held_since := clock_timestamp();
                perform set_config('tsconsole.retention_holds_since', held_since::text, true);
            end if;
            reason := 'it is older than ' || kept_for;
        else
            stays := coalesce(stays, partition_name);
        end if;
        return next;
    end loop;
end;
$$;

comment on function tsconsole.retire_expired(regclass, interval, text, timestamptz, boolean) is
'Takes away the partitions of one table that end before a time; rows as silver.apply_retention returns them.
Example: see silver.apply_retention.';


create or replace function tsconsole.retention_tables(table_name regclass)
returns table (relation regclass, rollup_id bigint, period interval, action text, cutoff timestamptz)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select c.target_table, c.id, c.retention_period, coalesce(c.retention_action, 'drop'), tsconsole.axis_clock(c) - c.retention_period
    from tsconsole.rollups_of(table_name) r (id) join silver.timeseries_rollup_config c on c.id = r.id
    where c.retention_period is not null and exists (select from pg_class t where t.oid = c.target_table)
    union all
    select s.source_table, null, s.retention_period, s.retention_action, tsconsole.source_cutoff(s.source_table)
    from silver.timeseries_source_retention s
    where (table_name is null or s.source_table = table_name) and exists (select from pg_class t where t.oid = s.source_table);
$$;

comment on function tsconsole.retention_tables(regclass) is
'The tables that retention is set for, with the time below which their partitions are expired: a target, a source with all rollups on it, or all for null.
Example: select * from tsconsole.retention_tables(''silver.meters_1h'');';


create or replace function tsconsole.source_cutoff(source regclass) returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select min(tsconsole.axis_clock(c)) - max(s.retention_period)
    from silver.timeseries_source_retention s
    left join silver.timeseries_rollup_config c on c.source_table = s.source_table
    where s.source_table = source;
$$;

comment on function tsconsole.source_cutoff(regclass) is
'The time below which the partitions of a source are expired, by the clocks of its rollups; null when no retention is set for it.
Example: select tsconsole.source_cutoff(''raw.readings'');';


create or replace function tsconsole.expired_partitions(parent regclass, cutoff timestamptz)
returns table (partition regclass, range_start timestamptz, range_end timestamptz, total_bytes bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.partition, p.range_start, p.range_end, size.bytes::bigint
    from tsconsole.partitions(parent) p
    cross join lateral (select sum(pg_total_relation_size(s.part)) as bytes from tsconsole.stored_parts(p.partition) s) size
    where p.range_end <= cutoff
    order by p.range_end;
$$;

comment on function tsconsole.expired_partitions(regclass, timestamptz) is
'The partitions of a table that end before a time, oldest first, with their sizes.
Example: select * from tsconsole.expired_partitions(''silver.meters_1h'', now() - interval ''90 days'');';


create or replace function tsconsole.retention_problem(relation regclass, range_end timestamptz) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    reader  silver.timeseries_rollup_config;
    problem text;
    readers integer := 0;
begin
    -- The rollup that writes it comes first: what it hands on to its readers it commits with its own work.
    for reader in
        select r.* from silver.timeseries_rollup_config r
        where relation in (r.target_table, r.source_table) order by r.target_table <> relation, r.id
    loop
        readers := readers + 1;
        problem := tsconsole.reader_problem(reader, range_end);
        if problem is not null then
            return problem;
        end if;
    end loop;
    if readers = 0 then
        return 'no rollup reads it any more';
    elsif exists (select from tsconsole.prepared_source p where p.source_table = relation) then
        return 'it is prepared for DDL';
    elsif not exists (select from silver.timeseries_rollup_config c where c.target_table = relation) then
        return tsconsole.cut_problem(relation);
    end if;
    return null;
end;
$$;

comment on function tsconsole.retention_problem(regclass, timestamptz) is
'Why the rows of a table below a time cannot go yet, naming the rollup that needs them; null when they can.
Example: select tsconsole.retention_problem(''silver.meters_1h'', now() - interval ''90 days'');';


create or replace function tsconsole.maintain_retention(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    done record;
    said text[] := array[]::text[];
    went bigint;
begin
    outcome := 'skipped';
    -- The source is seen to with the first of the rollups on it.
    for done in
        select t.relation, t.period, d.gone, d.stays, d.action
        from (select k.* from tsconsole.retention_tables(config.target_table) k
              union all
              select k.* from tsconsole.retention_tables(config.source_table) k
              where k.rollup_id is null
                and config.id = (select min(c.id) from silver.timeseries_rollup_config c where c.source_table = config.source_table)) t
        cross join lateral tsconsole.retention_outcome(t.relation, t.period, t.action, t.cutoff) d
    loop
        went := cardinality(done.gone);
        if went > 0 or done.stays is null then
            outcome := 'done';
        end if;
        said := said || concat_ws('; ',
            case when went > 0 then format('%s %s', case done.action when 'archive' then 'archived' else 'dropped' end, array_to_string(done.gone, ', '))
                 when done.stays is null then format('no partition%s is older than %s',
                     case when done.relation <> config.target_table then ' of ' || tsconsole.qualified_name(done.relation) end, done.period) end,
            done.stays);
    end loop;
    if cardinality(said) = 0 then
        -- Begun before the retention was taken back.
        said := array(select format('%s: %s', f.partition_name, f.reason)
                      from tsconsole.finish_detachments(array[config.target_table, config.source_table]) f);
    end if;
    detail := coalesce(nullif(array_to_string(said, '; '), ''), 'no retention_period: rows are kept for ever');
end;
$$;

comment on function tsconsole.maintain_retention(silver.timeseries_rollup_config) is
'Takes away the expired partitions of a target, and of its source with the first rollup on it, oldest first, and stops at the first that a rollup still needs.
Example: select * from tsconsole.maintain_retention(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.retention_outcome(
    relation regclass, kept_for interval, then_what text, cutoff timestamptz, out gone text[], out stays text, out action text
)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(r.partition_name order by r.range_end) filter (where r.action <> 'keep'), '{}'),
           (array_agg(format('%s stays: %s', r.partition_name, r.reason) order by r.range_end) filter (where r.action = 'keep'))[1],
           max(r.action) filter (where r.action <> 'keep')
    from (select f.* from tsconsole.finish_detachments(array[relation]) f
          union all
          select e.* from tsconsole.retire_expired(relation, kept_for, then_what, cutoff, false) e) r;
$$;

comment on function tsconsole.retention_outcome(regclass, interval, text, timestamptz) is
'Applies retention to one table, and says what went and what stays.
Example: see tsconsole.maintain_retention.';
