-- Changing what a rollup groups by: its key is rebuilt partition by partition, its rows are recomputed newest first.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace procedure silver.add_dimensions(target text, dimensions text[])
language plpgsql
as $$
-- No SET clause: a procedure that commits cannot have one, so every name here is qualified.
declare
    relation pg_catalog.regclass;
    columns pg_catalog.text[];
begin
    commit;
    set transaction isolation level read committed;
    relation := tsconsole.find_table(target, tsconsole.visible_table(target));
    columns := tsconsole.begin_dimensions(relation, dimensions);
    call tsconsole.build_keys(relation, columns);
    perform tsconsole.switch_dimensions(relation, dimensions);
end;
$$;

comment on procedure silver.add_dimensions(text, text[]) is
'Lets a rollup group by more: columns of its source, or immutable expressions over them (… as name). The table stays readable: its unique index is built anew partition by partition, with a COMMIT after each, then steps recompute everything newest first, and the live view is right at once. Buckets that the source no longer holds keep null. In a ladder each level is asked for itself, lowest first. Interrupted, it goes on when it is called again. TS001 for what is no column or expression, TS002 when it is not a rollup, TS003 when it groups by that already, TS004 when a level above could no longer be exact or the target has a unique index of your own, TS005 when a step or a writer does not end. Must be a statement of its own, outside a transaction block.
Example: call silver.add_dimensions(''silver.meters_1h'', ''{site,"upper(kind) as kind"}'');';


create or replace procedure silver.drop_dimensions(target text, dimensions text[])
language plpgsql
as $$
-- No SET clause: a procedure that commits cannot have one, so every name here is qualified.
declare
    relation pg_catalog.regclass;
    columns pg_catalog.text[];
begin
    commit;
    set transaction isolation level read committed;
    relation := tsconsole.find_table(target, tsconsole.visible_table(target));
    perform tsconsole.retire_dimensions(relation, dimensions);
    commit;
    set transaction isolation level read committed;
    while tsconsole.is_refilling(relation) loop
        perform tsconsole.refill_step(relation);
        commit;
        set transaction isolation level read committed;
    end loop;
    columns := tsconsole.begin_dropping(relation, dimensions);
    call tsconsole.build_keys(relation, columns);
    perform tsconsole.switch_dropped(relation, dimensions);
end;
$$;

comment on procedure silver.drop_dimensions(text, text[]) is
'Lets a rollup group by less: dimensions is the names of columns of the target. At once the live view no longer tells them apart (the column is null); then everything is recomputed, newest first, with a COMMIT after each step, and at last the columns go. The table stays readable throughout. Interrupted, it goes on when it is called again. TS001 for what is no dimension, TS002 when it is not a rollup, TS004 when a level above or first/last of a ladder needs it, when the target has a unique index of your own, or when buckets that the source no longer holds have values in it, TS005 when a step or a writer does not end, or when the rollup is paused or fails. Must be a statement of its own, outside a transaction block.
Example: call silver.drop_dimensions(''silver.meters_1h'', ''{site}'');';


create or replace procedure tsconsole.build_keys(target regclass, columns text[])
language plpgsql
as $$
-- No SET clause: a procedure that commits cannot have one, so every name here is qualified.
declare
    partition pg_catalog.regclass;
begin
    commit;
    set transaction isolation level read committed;
    for partition in select p from tsconsole.partitions_without_key(target, columns) p loop
        perform tsconsole.build_key(target, partition, columns);
        commit;
        set transaction isolation level read committed;
    end loop;
end;
$$;

comment on procedure tsconsole.build_keys(regclass, text[]) is
'Builds the new unique index of a target on every partition that lacks it, with a COMMIT before the first and after each.
Example: see silver.add_dimensions.';


create or replace function tsconsole.refill_step(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    result silver.step_result := silver.perform_step(target);
begin
    if result.outcome in ('paused', 'failed', 'waiting') then
        raise exception '% is %: what it holds is not computed anew yet', tsconsole.qualified_name(target),
            case result.outcome when 'paused' then 'paused' else 'failing' end using
            errcode = 'TS005', detail = coalesce(result.error_message, 'Its steps must run.'),
            hint = 'Call this again when that is over; until then the columns stay.';
    elsif result.outcome <> 'done' then
        -- A worker is at it.
        perform pg_sleep(0.5);
    end if;
end;
$$;

comment on function tsconsole.refill_step(regclass) is
'One step on the way to a rollup that is wholly recomputed; waits half a second where another session is at it. TS005 when it is paused or failing.
Example: see silver.drop_dimensions.';


create or replace function tsconsole.begin_dimensions(target regclass, dimensions text[]) returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    planned jsonb;
    columns text[];
    additions text;
    pending text;
begin
    perform tsconsole.check_relations(config);
    planned := tsconsole.planned_additions(config, dimensions);
    columns := tsconsole.key_columns(config) || array(select d ->> 'column_name' from jsonb_array_elements(planned) d);
    perform tsconsole.check_unique_indexes(config, columns);
    -- Here, not while the source is locked: its writers insert there, and autovacuum is often at it. A column of this number
    -- may be there from a dimension that was dropped.
    select format('alter table %s %s', tsconsole.pending_table(config.id), string_agg(format('drop column if exists d%1$s, add column d%1$s %2$s',
                  tsconsole.last_dimension(config.id) + (d ->> 'ordinal')::integer, tsconsole.plain_type(d ->> 'data_type')), ', ')) into pending
    from jsonb_array_elements(planned) d;
    perform tsconsole.run_briefly(array[pending]);
    select string_agg(format('add column if not exists %I %s', d ->> 'column_name', d ->> 'data_type'), ', ') into additions
    from jsonb_array_elements(planned) d;
    perform tsconsole.run_briefly(tsconsole.lock_statements(target)
        || format('alter table %s %s', tsconsole.qualified_name(target), additions) || tsconsole.key_statement(target, columns));
    return columns;
end;
$$;

comment on function tsconsole.begin_dimensions(regclass, text[]) is
'Checks dimensions that a rollup is to have besides its own, and adds their columns, still null. Returns the key that the rollup will have.
Example: see silver.add_dimensions.';


create or replace function tsconsole.last_dimension(rollup_id bigint) returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(max(d.position), 0) from tsconsole.rollup_dimension d where d.rollup_id = last_dimension.rollup_id;
$$;

comment on function tsconsole.last_dimension(bigint) is
'The number of the last dimension of a rollup: it is in d1, d2, … of the pending ranges.
Example: select tsconsole.last_dimension(1);';


create or replace function tsconsole.planned_additions(config silver.timeseries_rollup_config, dimensions text[]) returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    parent silver.timeseries_rollup_config := tsconsole.parent_rollup(config);
    planned jsonb;
    problem text;
begin
    if coalesce(cardinality(dimensions), 0) = 0 then
        raise exception 'dimensions is empty' using errcode = 'TS001', hint = 'For example: {site,"upper(kind) as kind"}';
    end if;
    select jsonb_agg(to_jsonb(d) order by d.ordinal) into planned from tsconsole.plan_dimensions(config.source_table, dimensions) d;
    perform tsconsole.check_keys(config, parent, planned || (
        select coalesce(jsonb_agg(to_jsonb(d)), '[]') from tsconsole.rollup_dimension d where d.rollup_id = config.id
        and d.column_name <> all (array(select p ->> 'column_name' from jsonb_array_elements(planned) p))));
    select quote_ident(d.column_name) into problem
    from tsconsole.rollup_dimension d, jsonb_array_elements(planned) p
    where d.rollup_id = config.id and (d.column_name = p ->> 'column_name' or d.expression = p ->> 'expression') limit 1;
    if found then
        raise exception '% groups by % already', config.target_name, problem using errcode = 'TS003', hint = 'Leave it out.';
    end if;
    select quote_ident(m.target_column) into problem
    from tsconsole.rollup_measure m, jsonb_array_elements(planned) p where m.rollup_id = config.id and m.target_column = p ->> 'column_name' limit 1;
    if found then
        raise exception '% has a measure %', config.target_name, problem using errcode = 'TS003', hint = 'Give the dimension another name: … as name.';
    end if;
    select tsconsole.qualified_name(c.target_table) into problem
    from silver.timeseries_rollup_config c join tsconsole.rollup_measure m on m.rollup_id = c.id
    where c.source_table = config.target_table and m.aggregate in ('first', 'last') limit 1;
    if found then
        raise exception '% takes first or last of each series of %, which would be several', problem, config.target_name using
            errcode = 'TS004', hint = 'Drop these measures there with silver.drop_measures.';
    end if;
    return planned;
end;
$$;

comment on function tsconsole.planned_additions(silver.timeseries_rollup_config, text[]) is
'The plan of dimensions that a rollup is to have besides its own; refuses what it has, and what would make a level above inexact.
Example: select tsconsole.planned_additions(tsconsole.rollup(''silver.meters_1h''), ''{site}'');';


create or replace function tsconsole.key_statement(target regclass, columns text[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('create unique index if not exists %I on only %s (%s) nulls not distinct',
        tsconsole.key_name(target, columns), tsconsole.qualified_name(target), tsconsole.column_list(columns));
$$;

comment on function tsconsole.key_statement(regclass, text[]) is
'The statement that gives a target, without its partitions, a unique index on these columns.
Example: select tsconsole.key_statement(''silver.meters_1h'', ''{ts,device}'');';


create or replace function tsconsole.key_name(target regclass, columns text[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select left(md5(c.oid::text), 8) || '_key_' || left(md5(columns::text), 16) from pg_class c where c.oid = target;
$$;

comment on function tsconsole.key_name(regclass, text[]) is
'The name of the unique index that silver.add_dimensions and silver.drop_dimensions make.
Example: select tsconsole.key_name(''silver.meters_1h'', ''{ts,device}'');';


create or replace function tsconsole.partitions_without_key(target regclass, columns text[]) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select i.inhrelid::regclass
    from pg_inherits i join pg_class t on t.oid = target
    join pg_class k on k.relnamespace = t.relnamespace and k.relname = tsconsole.key_name(target, columns)
    where i.inhparent = target and not i.inhdetachpending
      and not exists (select from pg_index x join pg_inherits a on a.inhrelid = x.indexrelid and a.inhparent = k.oid where x.indrelid = i.inhrelid)
    order by i.inhrelid;
$$;

comment on function tsconsole.partitions_without_key(regclass, text[]) is
'The partitions of a target that lack the new unique index.
Example: select tsconsole.partitions_without_key(''silver.meters_1h'', ''{ts,device}'');';


create or replace function tsconsole.build_key(target regclass, partition regclass, columns text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    target_schema text := (select quote_ident(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target);
    partition_schema text := (select quote_ident(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = partition);
    index_name text := tsconsole.key_name(partition, columns);
begin
    -- Steps that write to this partition wait meanwhile; its readers do not.
    perform tsconsole.run_briefly(array[
        format('create unique index %I on %s (%s) nulls not distinct', index_name, tsconsole.qualified_name(partition), tsconsole.column_list(columns)),
        format('alter index %s.%I attach partition %s.%I', target_schema, tsconsole.key_name(target, columns), partition_schema, index_name)]);
end;
$$;

comment on function tsconsole.build_key(regclass, regclass, text[]) is
'Builds the new unique index on one partition.
Example: see silver.add_dimensions.';


create or replace function tsconsole.unique_indexes(config silver.timeseries_rollup_config)
returns table (name text, index_name text, is_key boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I.%I', n.nspname, c.relname), c.relname,
           x.indnatts = cardinality(tsconsole.key_columns(config))
               and tsconsole.key_columns(config) @> array(select a.attname::text from pg_attribute a where a.attrelid = x.indrelid and a.attnum = any (x.indkey))
    from pg_index x join pg_class c on c.oid = x.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where x.indrelid = (config).target_table and x.indisunique;
$$;

comment on function tsconsole.unique_indexes(silver.timeseries_rollup_config) is
'The unique indexes of a target, and which of them is on the key that it has now.
Example: select * from tsconsole.unique_indexes(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.check_unique_indexes(config silver.timeseries_rollup_config, columns text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    other text := (select i.name from tsconsole.unique_indexes(config) i
                   where not i.is_key and i.index_name <> tsconsole.key_name((config).target_table, columns) limit 1);
begin
    if other is not null then
        raise exception '% has another unique index, %, which could refuse the rows of the new key', config.target_name, other using
            errcode = 'TS004', hint = format('Drop it first, and create it again afterwards: drop index %s;', other);
    end if;
end;
$$;

comment on function tsconsole.check_unique_indexes(silver.timeseries_rollup_config, text[]) is
'Refuses (TS004) to change the key of a target to these columns while it has a unique index of somebody else''s.
Example: see silver.add_dimensions.';


create or replace function tsconsole.stop_for_dimensions(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Nobody may hand changes on to this rollup, by steps of the level below or by triggers, while they change their form.
    perform pg_advisory_xact_lock(tsconsole.lock_class('readers'), c.id::integer)
    from silver.timeseries_rollup_config c where c.target_table in (config.source_table, config.target_table) order by c.id;
    perform tsconsole.claim_rollups(array[config.id]);
    if config.change_tracking = 'trigger' then
        perform tsconsole.lock_source(config.source_table);
    end if;
    execute format('update %s set all_series = true%s where not all_series', tsconsole.pending_table(config.id),
                   tsconsole.series_columns(config, 'd%s = null'));
end;
$$;

comment on function tsconsole.stop_for_dimensions(silver.timeseries_rollup_config) is
'Waits for whoever works on a rollup or logs changes for it, and keeps them out until the transaction ends. Single series among its pending ranges become whole buckets.
Example: see silver.add_dimensions.';
