-- Splitting and merging partitions: copied beside the old ones in short steps, then put in their place at once.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.rebuild_step(target regclass, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    config  silver.timeseries_rollup_config := tsconsole.rollup(target);
    rebuild tsconsole.partition_rebuild;
begin
    perform tsconsole.check_isolation();
    if config.partition_manager <> 'native' then
        raise exception 'the partitions of % are managed by %', config.target_name, config.partition_manager using
            errcode = 'TS004', hint = 'Split or merge them with its own means.';
    elsif not pg_try_advisory_xact_lock(tsconsole.lock_class('partition'), config.id::integer) then
        outcome := 'busy';
        detail := 'another session is making or dropping partitions';
        return;
    end if;
    select r.* into rebuild from tsconsole.partition_rebuild r where r.rollup_id = config.id;
    if rebuild.rollup_id is not null and not tsconsole.rebuild_fits(config, rebuild) then
        perform tsconsole.cancel_rebuild(config.id);
        outcome := 'restarted';
        detail := 'its partitions or columns were changed meanwhile';
    elsif rebuild.rollup_id is null then
        select * into outcome, detail from tsconsole.begin_rebuild(config);
    elsif rebuild.copied_to < rebuild.range_end then
        select * into outcome, detail from tsconsole.copy_part(config, rebuild);
    else
        select * into outcome, detail from tsconsole.finish_rebuild(config, rebuild);
    end if;
end;
$$;

comment on function tsconsole.rebuild_step(regclass) is
'Does the next short step of splitting and merging the partitions of a target. outcome: begun, copied, swapped, restarted (something changed meanwhile), busy (detail says why; try again), or done when there is nothing left to do. Each is meant to be a transaction of its own; what a crash leaves behind is taken up again.
Example: select * from tsconsole.rebuild_step(''silver.meters_1h'');';


create or replace procedure silver.rebuild_partitions(table_name text, max_steps integer default null, inout results jsonb default null)
language plpgsql
as $$
-- No SET clause: a procedure that commits cannot have one, so every name here is qualified.
declare
    step record;
    waited integer := 0;
    relation pg_catalog.regclass;
begin
    commit;
    set transaction isolation level read committed;
    relation := tsconsole.find_table(table_name, tsconsole.visible_table(table_name));
    results := pg_catalog.jsonb_build_array();
    loop
        exit when pg_catalog.jsonb_array_length(results) OPERATOR(pg_catalog.>=) max_steps;
        select s.outcome, s.detail into step from tsconsole.rebuild_step(relation) s;
        commit;
        set transaction isolation level read committed;
        exit when step.outcome OPERATOR(pg_catalog.=) 'done';
        if step.outcome OPERATOR(pg_catalog.=) 'busy' then
            -- Ten seconds of tries, then whoever called may call again.
            exit when waited OPERATOR(pg_catalog.>=) 20;
            waited := waited OPERATOR(pg_catalog.+) 1;
            perform pg_catalog.pg_sleep(0.5);
        else
            waited := 0;
            results := results OPERATOR(pg_catalog.||) pg_catalog.to_jsonb(step);
        end if;
    end loop;
    if step.outcome OPERATOR(pg_catalog.=) 'busy' then
        results := results OPERATOR(pg_catalog.||) pg_catalog.to_jsonb(step);
    end if;
end;
$$;

comment on procedure silver.rebuild_partitions(text, integer, jsonb) is
'Splits and merges the partitions of a target to its present chunk_interval, in short transactions. Rows are copied beside the old partitions, what steps change meanwhile is copied again, and the new ones take their place under a lock that readers wait for at most 200 ms. The target is readable throughout, except for a transaction at REPEATABLE READ that began before and had not read it yet. Can be interrupted at any time and called again. results: one object per step; a last one that is busy says what stands in the way. Must be a statement of its own. TS002 when it is not a rollup, TS004 when pg_partman manages it.
Example: call silver.rebuild_partitions(''silver.meters_1h'');';


create or replace function tsconsole.begin_rebuild(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning'
as $$
declare
    schema_name text := tsconsole.schema_of(config.target_table);
    wanted record;
    made   oid[] := array[]::oid[];
    part   text;
begin
    select r.* into wanted from tsconsole.rebuilds(config) r order by r.range_start limit 1;
    if wanted.work is null then
        outcome := 'done';
        detail := 'every partition has the present interval, ' || tsconsole.chunk_interval(config);
        return;
    elsif not tsconsole.claim_steps(config.id) then
        outcome := 'busy';
        detail := 'a step is running';
        return;
    end if;
    for n in 1 .. cardinality(wanted.edges) - 1 loop
        part := format('%I.%I', schema_name,
            tsconsole.free_table_name(schema_name, tsconsole.partition_name(config.target_table, wanted.edges[n]) || '_new'));
        execute format('create table %s (like %s including all)', part, tsconsole.qualified_name(config.target_table));
        -- With this ATTACH need not read the rows while others wait.
        execute format('alter table %s add constraint tsconsole_range check (%s)', part,
            tsconsole.range_check(config, wanted.edges[n], wanted.edges[n + 1]));
        made := made || part::regclass::oid;
    end loop;
    -- No step is running: whatever one writes from here on has a higher id.
    insert into tsconsole.partition_rebuild (rollup_id, old_partitions, new_tables, edges, range_start, range_end, copied_to, log_mark)
    values (config.id, wanted.parts, made, wanted.edges, wanted.range_start, wanted.range_end, wanted.range_start,
            coalesce((select max(l.id) from silver.timeseries_refresh_log l), 0));
    outcome := 'begun';
    detail := format('%s of %s partitions from %s to %s into %s', wanted.work, cardinality(wanted.parts), wanted.range_start, wanted.range_end, cardinality(made));
end;
$$;

comment on function tsconsole.begin_rebuild(silver.timeseries_rollup_config) is
'Chooses the next partitions to split or merge, and makes the tables that will take their place.
Example: see tsconsole.rebuild_step.';


create or replace function tsconsole.range_check(config silver.timeseries_rollup_config, range_start timestamptz, range_end timestamptz) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%1$I is not null and %1$I >= %2$L::%4$s and %1$I < %3$L::%4$s', (config).time_column,
        tsconsole.axis_literal((config).time_type, range_start), tsconsole.axis_literal((config).time_type, range_end),
        format_type((config).time_type, null));
$$;

comment on function tsconsole.range_check(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'The bound of a partition as a condition, such as ATTACH PARTITION looks for.
Example: see tsconsole.begin_rebuild.';


create or replace function tsconsole.rebuild_fits(config silver.timeseries_rollup_config, rebuild tsconsole.partition_rebuild) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with shape as (
        select a.attrelid, array_agg(row(a.attname, a.atttypid, a.atttypmod, a.attgenerated, a.attnotnull)::text order by a.attname) as columns
        from pg_attribute a
        where a.attnum > 0 and not a.attisdropped and a.attrelid in (select (config).target_table::oid union all select unnest((rebuild).new_tables))
        group by a.attrelid
    )
    select (rebuild).old_partitions <@ array(select p.partition::oid from tsconsole.partitions((config).target_table) p)
        and not exists (select from tsconsole.partitions((config).target_table) p
                        where tstzrange(p.range_start, p.range_end) && tstzrange((rebuild).range_start, (rebuild).range_end)
                          and p.range_start is not null and p.partition <> all ((rebuild).old_partitions))
        and (select count(*) = cardinality((rebuild).new_tables) + 1 and count(distinct s.columns) = 1 from shape s)
        -- Older runs may have been pruned from the log.
        and (rebuild).begun_at > clock_timestamp() - interval '1 day';
$$;

comment on function tsconsole.rebuild_fits(silver.timeseries_rollup_config, tsconsole.partition_rebuild) is
'Whether the target still has the partitions and columns that a rebuild began with.
Example: see tsconsole.rebuild_step.';


create or replace function tsconsole.cancel_rebuild(rollup_id bigint) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    part oid;
begin
    for part in
        select c.oid from tsconsole.partition_rebuild r join pg_class c on c.oid = any (r.new_tables) where r.rollup_id = cancel_rebuild.rollup_id
    loop
        execute format('drop table %s', tsconsole.qualified_name(part));
    end loop;
    delete from tsconsole.partition_rebuild r where r.rollup_id = cancel_rebuild.rollup_id;
end;
$$;

comment on function tsconsole.cancel_rebuild(bigint) is
'Drops the tables of a rebuild that is not finished; the target keeps its partitions.
Example: select tsconsole.cancel_rebuild(1);';


create or replace function tsconsole.copy_part(config silver.timeseries_rollup_config, rebuild tsconsole.partition_rebuild, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    step_bytes constant bigint := 32 * 1024 * 1024;
    bytes   bigint := (select sum(pg_table_size(p)) from unnest(rebuild.old_partitions) p);
    span    interval := rebuild.range_end - rebuild.range_start;
    edge    timestamptz := least(rebuild.range_end, rebuild.copied_to + greatest(span * least(1, step_bytes::float8 / greatest(bytes, 1)), config.rollup_interval));
    copied  bigint;
begin
    copied := tsconsole.copy_rows(config, rebuild.new_tables, rebuild.copied_to, edge);
    update tsconsole.partition_rebuild r set copied_to = edge where r.rollup_id = config.id;
    outcome := 'copied';
    detail := format('%s rows from %s to %s', copied, rebuild.copied_to, edge);
end;
$$;

comment on function tsconsole.copy_part(silver.timeseries_rollup_config, tsconsole.partition_rebuild) is
'Copies the next 32 MB or so of the partitions that are being rebuilt.
Example: see tsconsole.rebuild_step.';


create or replace function tsconsole.copy_rows(config silver.timeseries_rollup_config, new_tables oid[], lo timestamptz, hi timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    columns text;
    new_table oid;
    copied bigint;
    total bigint := 0;
begin
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum) into columns
    from pg_attribute a where a.attrelid = config.target_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = '';
    foreach new_table in array new_tables loop
        execute format('delete from %s s where %s', tsconsole.qualified_name(new_table), tsconsole.range_condition(config, 's', '$1', '$2')) using lo, hi;
        execute format('insert into %s (%2$s) select %2$s from %s s where %s and %s', tsconsole.qualified_name(new_table), columns,
            tsconsole.qualified_name(config.target_table), tsconsole.range_condition(config, 's', '$1', '$2'),
            (select pg_get_expr(k.conbin, k.conrelid) from pg_constraint k where k.conrelid = new_table and k.conname = 'tsconsole_range'))
        using lo, hi;
        get diagnostics copied = row_count;
        total := total + copied;
    end loop;
    return total;
end;
$$;

comment on function tsconsole.copy_rows(silver.timeseries_rollup_config, oid[], timestamptz, timestamptz) is
'Copies the rows of a range of a target into the tables that will hold them, in place of what they held of it.
Example: see tsconsole.rebuild_step.';


create or replace function tsconsole.finish_rebuild(config silver.timeseries_rollup_config, rebuild tsconsole.partition_rebuild, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    changed tstzmultirange;
    piece   tstzrange;
    copied  bigint := 0;
    mark    bigint;
begin
    outcome := 'busy';
    if not tsconsole.claim_steps(config.id) then
        detail := 'a step is running';
        return;
    end if;
    select range_agg(tstzrange(l.window_start, l.window_end)) * tstzmultirange(tstzrange(rebuild.range_start, rebuild.range_end)), max(l.id)
    into changed, mark
    from silver.timeseries_refresh_log l
    where l.rollup_id = config.id and l.id > rebuild.log_mark and l.window_start < l.window_end;
    if not isempty(changed) then
        -- In a transaction of its own: the one that puts them in place must not write rows that older snapshots cannot see.
        for piece in select p from unnest(changed) p loop
            copied := copied + tsconsole.copy_rows(config, rebuild.new_tables, lower(piece), upper(piece));
        end loop;
        update tsconsole.partition_rebuild r set log_mark = mark where r.rollup_id = config.id;
        outcome := 'copied';
        detail := format('%s rows that steps have written meanwhile', copied);
    elsif tsconsole.has_older_snapshot(config.id) then
        detail := 'a transaction that is older than the copy is still open';
    elsif tsconsole.swap_partitions(config, rebuild) then
        outcome := 'swapped';
        detail := format('%s partitions from %s to %s replaced by %s', cardinality(rebuild.old_partitions), rebuild.range_start, rebuild.range_end, cardinality(rebuild.new_tables));
    else
        detail := 'the target is in use: its lock was not to be had in 200 ms, three times';
    end if;
end;
$$;

comment on function tsconsole.finish_rebuild(silver.timeseries_rollup_config, tsconsole.partition_rebuild) is
'Copies what steps have changed since the rebuild began; when there is nothing, puts the new partitions in the place of the old.
Example: see tsconsole.rebuild_step.';


create or replace function tsconsole.has_older_snapshot(rollup_id bigint) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- The row of the rebuild was last written by the transaction that copied last. Roles that may not look see no snapshots of others.
    select exists (select from tsconsole.partition_rebuild r join pg_stat_activity a on a.datname = current_database() and a.pid <> pg_backend_pid()
                   where r.rollup_id = has_older_snapshot.rollup_id and age(a.backend_xmin) >= age(r.xmin));
$$;

comment on function tsconsole.has_older_snapshot(bigint) is
'Whether a session still has a snapshot that may not see the last rows that a rebuild has copied.
Example: select tsconsole.has_older_snapshot(1);';


create or replace function tsconsole.swap_partitions(config silver.timeseries_rollup_config, rebuild tsconsole.partition_rebuild) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    old_partition oid;
begin
    for attempt in 1 .. 3 loop
        begin
            foreach old_partition in array rebuild.old_partitions loop
                execute format('alter table %s detach partition %s', tsconsole.qualified_name(config.target_table), tsconsole.qualified_name(old_partition));
                execute format('drop table %s', tsconsole.qualified_name(old_partition));
            end loop;
            perform tsconsole.attach_rebuilt(config, t.new_table, rebuild.edges[t.rank], rebuild.edges[t.rank + 1])
            from unnest(rebuild.new_tables) with ordinality t (new_table, rank);
            delete from tsconsole.partition_rebuild r where r.rollup_id = config.id;
            return true;
        exception when lock_not_available then
            if attempt < 3 then
                perform pg_sleep(0.1 + 0.2 * random());
            end if;
        end;
    end loop;
    return false;
end;
$$;

comment on function tsconsole.swap_partitions(silver.timeseries_rollup_config, tsconsole.partition_rebuild) is
'Detaches and drops the old partitions and attaches the new ones, all at once. False when the lock was not to be had.
Example: see tsconsole.rebuild_step.';


create or replace function tsconsole.attach_rebuilt(config silver.timeseries_rollup_config, new_table oid, range_start timestamptz, range_end timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('alter table %s rename to %I', tsconsole.qualified_name(new_table),
        tsconsole.free_table_name(tsconsole.schema_of(config.target_table), tsconsole.partition_name(config.target_table, range_start)));
    perform tsconsole.copy_properties(config.target_table, new_table);
    perform tsconsole.attach_partition(config.target_table, new_table, config.time_type, range_start, range_end);
    execute format('alter table %s drop constraint tsconsole_range', tsconsole.qualified_name(new_table));
end;
$$;

comment on function tsconsole.attach_rebuilt(silver.timeseries_rollup_config, oid, timestamptz, timestamptz) is
'Makes a table that a rebuild has filled a partition of the target, under the name of one.
Example: see tsconsole.rebuild_step.';
