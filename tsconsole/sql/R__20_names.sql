-- Names of tables, rollups by name, and the advisory locks that claim work.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.qualified_name(relation regclass) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Only what this search path finds is named without its schema; a step asks a dozen times.
    if strpos(relation::text, '.') > 0 then
        return relation;
    end if;
    return coalesce(
        (select format('%I.%I', n.nspname, c.relname)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.oid = qualified_name.relation),
        '(dropped table ' || relation::oid || ')');
end;
$$;

comment on function tsconsole.qualified_name(regclass) is
'The schema-qualified name of a table, quoted where needed, whatever the search path is. A table that is gone gives "(dropped table <oid>)".
Example: select tsconsole.qualified_name(''silver.meters_1h'');';


create or replace function tsconsole.last_name(relation regclass, known_as text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when exists (select from pg_class c where c.oid = relation) then tsconsole.qualified_name(relation) else known_as end;
$$;

comment on function tsconsole.last_name(regclass, text) is
'The name of a table now, or what it was known as when it is gone.
Example: select tsconsole.last_name(''silver.meters_1h'', ''silver.meters_1h'');';


create or replace function tsconsole.fit_name(name text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    head text := fit_name.name;
begin
    if octet_length(name) <= 63 then
        return name;
    end if;
    while octet_length(head) > 54 loop
        head := left(head, -1);
    end loop;
    return head || '_' || left(md5(name), 8);
end;
$$;

comment on function tsconsole.fit_name(text) is
'The name itself if it fits PostgreSQL''s 63 bytes; else its beginning and a hash of the whole, so that two long names stay different.
Example: select tsconsole.fit_name(repeat(''x'', 80));';


create or replace function tsconsole.free_table_name(schema_name text, wanted text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := tsconsole.fit_name(wanted);
begin
    for n in 2 .. 1000 loop
        exit when to_regclass(format('%I.%I', schema_name, name)) is null;
        name := tsconsole.fit_name(wanted || '_' || n);
    end loop;
    return name;
end;
$$;

comment on function tsconsole.free_table_name(text, text) is
'A name for a table that nothing else in a schema has: the wanted one, or with a number.
Example: select tsconsole.free_table_name(''silver'', ''meters_1h_p20260301'');';


create or replace function tsconsole.schema_of(relation regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation;
$$;

comment on function tsconsole.schema_of(regclass) is
'The name of the schema of a table; null when there is no such table.
Example: select tsconsole.schema_of(''silver.meters_1h'');';


create or replace function tsconsole.visible_table(name text) returns regclass
language plpgsql stable parallel safe
as $$
-- No SET clause: this is about the caller's search path, so everything here is qualified.
begin
    return pg_catalog.to_regclass(name);
exception when invalid_name or syntax_error or feature_not_supported then
    -- Up to 15 a name that cannot be parsed is an error and not null; one of too many parts, or of another database, always is.
    return null;
end;
$$;

comment on function tsconsole.visible_table(text) is
'The table that a name means on the caller''s search path; null when there is none.
Example: select tsconsole.visible_table(''meters_1h'');';


create or replace function tsconsole.find_table(name text, visible regclass) returns regclass
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    parts   text[];
    matches regclass[];
begin
    if find_table.visible is not null or find_table.name is null then
        return find_table.visible;
    end if;
    begin
        parts := parse_ident(find_table.name);
    exception when invalid_parameter_value then
        parts := array[find_table.name];
    end;
    select array_agg(distinct r.relation) into matches
    from (select target_table, target_name from silver.timeseries_rollup_config
          union all select source_table, source_name from silver.timeseries_rollup_config) r (relation, known_as)
    left join pg_class c on c.oid = r.relation
    left join pg_namespace n on n.oid = c.relnamespace
    where (c.oid is null and r.known_as = find_table.name)
       or (cardinality(parts) = 1 and c.relname = parts[1])
       or find_table.name in (c.relname, n.nspname || '.' || c.relname)
       or (cardinality(parts) = 2 and n.nspname = parts[1] and c.relname = parts[2]);
    if cardinality(matches) = 1 then
        return matches[1];
    elsif cardinality(matches) > 1 then
        raise exception 'more than one table is called %', find_table.name using
            errcode = 'TS002',
            detail = (select string_agg(q.name, ', ' order by q.name) from (select tsconsole.qualified_name(m) as name from unnest(matches) m) q),
            hint = 'Name it with its schema.';
    end if;
    raise exception 'there is no table %', find_table.name using
        errcode = 'TS002', hint = 'Give the name of a target or a source, with its schema.';
end;
$$;

comment on function tsconsole.find_table(text, regclass) is
'The table a user means by a name: the one visible on the search path if there is one (passed in, because this function''s own path is pinned), else the target or source of that name. TS002 when there is none, or more than one.
Example: select tsconsole.find_table(''meters_1h'', tsconsole.visible_table(''meters_1h''));';


create or replace function tsconsole.rollup(target regclass) returns silver.timeseries_rollup_config
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config;
begin
    select c.* into config from silver.timeseries_rollup_config c where c.target_table = rollup.target;
    if not found then
        raise exception '% is not a rollup', coalesce(tsconsole.qualified_name(target), 'null') using
            errcode = 'TS002',
            hint = 'Rollups are listed in silver.timeseries_operations_monitor.';
    end if;
    return config;
end;
$$;

comment on function tsconsole.rollup(regclass) is
'The configuration of the rollup that writes this target; TS002 when it is not a rollup.
Example: select (tsconsole.rollup(''silver.meters_1h'')).rollup_interval;';


create or replace function tsconsole.parent_rollup(config silver.timeseries_rollup_config) returns silver.timeseries_rollup_config
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select parent from silver.timeseries_rollup_config parent
        where parent.target_table = (parent_rollup.config).source_table);
end;
$$;

comment on function tsconsole.parent_rollup(silver.timeseries_rollup_config) is
'The rollup that a rollup reads, when its source is itself a target; else a row of nulls.
Example: select (tsconsole.parent_rollup(tsconsole.rollup(''silver.meters_1h''))).target_table;';


create or replace function tsconsole.earliest_time() returns timestamptz
language sql immutable parallel safe
return timestamptz '4700-01-01 00:00:00+00 BC';

comment on function tsconsole.earliest_time() is
'Rows before this count as rows at -infinity do: they are in no bucket. It leaves room for arithmetic above PostgreSQL''s smallest time.
Example: select tsconsole.earliest_time();';


create or replace function tsconsole.latest_time() returns timestamptz
language sql immutable parallel safe
return timestamptz '290000-01-01 00:00:00+00';

comment on function tsconsole.latest_time() is
'Rows from this on count as rows at infinity do: they are in no bucket. Further from the origin of the buckets PostgreSQL cannot compute.
Example: select tsconsole.latest_time();';


create or replace function tsconsole.pending_table(rollup_id bigint) returns text
language sql immutable parallel safe
return 'tsconsole.pending_' || rollup_id;

comment on function tsconsole.pending_table(bigint) is
'The name of the table that holds the pending ranges of a rollup.
Example: select tsconsole.pending_table(1);';


create or replace function tsconsole.lock_class(work text) returns integer
language sql immutable parallel safe
return 1953723000 + case work
    when 'frontier' then 1 when 'recompute' then 2 when 'history' then 3
    when 'partition' then 4 when 'maintenance' then 5 when 'readers' then 6 when 'inventory' then 7 end;

comment on function tsconsole.lock_class(text) is
'First key of the advisory lock that claims this kind of work; the second key is the rollup''s id. Claims are transaction-scoped, so a dead session frees them by itself.
Example: select pg_try_advisory_xact_lock(tsconsole.lock_class(''frontier''), 1);';
