-- pg_partman as the manager of a target's partitions. What differs between its versions is in partman_parent_statement alone.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.partman(out schema_name text, out version text, out major integer)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select n.nspname, e.extversion, split_part(e.extversion, '.', 1)::integer
    from (values ('pg_partman'::name)) wanted (name)
    left join pg_extension e on e.extname = wanted.name left join pg_namespace n on n.oid = e.extnamespace;
$$;

comment on function tsconsole.partman() is
'The schema and version of pg_partman in this database; nulls when it is not here.
Example: select * from tsconsole.partman();';


create or replace function tsconsole.check_partman(config silver.timeseries_rollup_config, schema_name text, table_name text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    partman record := tsconsole.partman();
begin
    if (config).partition_manager is null or (config).partition_manager not in ('native', 'partman') then
        raise exception 'there is no partition_manager %', coalesce(quote_literal((config).partition_manager), 'null') using
            errcode = 'TS001', hint = 'Use native, or partman where pg_partman is installed.';
    elsif (config).partition_manager = 'native' then
        return;
    elsif partman.major is null then
        raise exception 'partition_manager is partman, but pg_partman is not installed in this database' using
            errcode = 'TS004', hint = 'create schema partman; create extension pg_partman schema partman;  -- or use partition_manager native';
    elsif partman.major not in (4, 5) then
        raise exception 'pg_partman % is installed; this version works with 4.7 and 5', partman.version using
            errcode = 'TS004', hint = 'Use partition_manager native, or another version of pg_partman.';
    elsif strpos(schema_name || table_name, '.') > 0 then
        raise exception 'pg_partman cannot manage a table with a dot in its name: %.%', quote_ident(schema_name), quote_ident(table_name) using
            errcode = 'TS004', hint = 'Choose another name, or partition_manager native.';
    elsif (config).chunk_interval < interval '1 hour' then
        raise exception 'chunk_interval % is too short for pg_partman', (config).chunk_interval using
            errcode = 'TS001', hint = 'Use an hour or more, or partition_manager native.';
    elsif not has_schema_privilege(partman.schema_name, 'create, usage') then
        raise exception 'role % may not use pg_partman', current_user using errcode = '42501',
            hint = format('grant all on schema %1$I, all tables in schema %1$I to %2$I; grant execute on all functions in schema %1$I to %2$I;', partman.schema_name, current_user);
    end if;
end;
$$;

comment on function tsconsole.check_partman(silver.timeseries_rollup_config, text, text) is
'Refuses a manager of partitions that is not known, or that cannot work here.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.partman_parent_statement(
    major integer, schema_name text, parent text, time_column text, width interval, start_partition timestamptz
) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
    -- Its own scheduled runs may have another time zone, so that partitions would not fit: maintenance here runs it.
    select format('select %I.create_parent(p_parent_table := %L, p_control := %L, p_type := %L, p_interval := %L, '
                  'p_premake := 2, p_start_partition := %L, p_automatic_maintenance := %L, p_jobmon := false)',
                  schema_name, parent, time_column, case when major < 5 then 'native' else 'range' end, width, start_partition, 'off');
$$;

comment on function tsconsole.partman_parent_statement(integer, text, text, text, interval, timestamptz) is
'The call that makes a table a parent of pg_partman, for its version: 4 calls declarative partitioning native, 5 range.
Example: select tsconsole.partman_parent_statement(5, ''partman'', ''silver.meters_1h'', ''ts'', ''7 days'', ''2026-01-01'');';


create or replace function tsconsole.partman_name(target regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target;
$$;

comment on function tsconsole.partman_name(regclass) is
'The name under which pg_partman knows a table: with its schema, and never quoted.
Example: select tsconsole.partman_name(''silver.meters_1h'');';


create or replace function tsconsole.call_partman(statement text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO, YMD'
set client_min_messages = 'warning'
as $$
declare
    answer text;
begin
    execute statement into answer;
    -- Its functions set the search path of the whole session, and would leave it as it is pinned here.
    perform set_config('search_path', (select s.reset_val from pg_settings s where s.name = 'search_path'), false);
    return case when answer ~ '^-?\d+$' then answer::bigint end;
end;
$$;

comment on function tsconsole.call_partman(text) is
'Runs a function of pg_partman in UTC, and answers its number. The search path of the session is afterwards what the session began with.
Example: select tsconsole.call_partman(''select partman.run_maintenance(''''silver.meters_1h'''')'');';


create or replace function tsconsole.begin_partman(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    partman record := tsconsole.partman();
    chunk   interval := tsconsole.chunk_interval(config);
    clock   timestamptz := tsconsole.axis_clock(config);
    first   timestamptz;
begin
    if config.partition_manager <> 'partman' then
        return;
    end if;
    first := silver.time_bucket(chunk, greatest(least(config.history_from, clock - chunk), clock - case when chunk > interval '1 year' then 2 else 200 end * chunk), 'UTC', null);
    perform tsconsole.call_partman(tsconsole.partman_parent_statement(
        partman.major, partman.schema_name, tsconsole.partman_name(config.target_table), config.time_column, chunk, first));
    execute format('update %I.part_config set infinite_time_partitions = true where parent_table = $1', partman.schema_name)
    using tsconsole.partman_name(config.target_table);
end;
$$;

comment on function tsconsole.begin_partman(silver.timeseries_rollup_config) is
'Hands a new target to pg_partman, when that is its manager: partitions from the beginning of its history on, at most 200 back.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.end_partman(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    partman  record := tsconsole.partman();
    template text;
begin
    if config.partition_manager <> 'partman' or partman.schema_name is null then
        return;
    end if;
    execute format('delete from %I.part_config where parent_table = $1 returning template_table', partman.schema_name)
    into template using coalesce(tsconsole.partman_name(config.target_table), replace(config.target_name, '"', ''));
    if template like partman.schema_name || '.template\_%' then
        execute format('drop table if exists %I.%I', partman.schema_name, substr(template, length(partman.schema_name) + 2));
    end if;
end;
$$;

comment on function tsconsole.end_partman(silver.timeseries_rollup_config) is
'Takes a target that is being dropped out of the configuration of pg_partman.
Example: see silver.drop_rollup.';


create or replace function tsconsole.default_partition(parent regclass) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.partdefid::regclass from pg_partitioned_table p where p.partrelid = parent and p.partdefid <> 0;
$$;

comment on function tsconsole.default_partition(regclass) is
'The default partition of a table; null when it has none.
Example: select tsconsole.default_partition(''silver.meters_1h'');';


create or replace function tsconsole.has_rows(relation regclass) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_rows boolean := false;
begin
    if relation is not null then
        execute format('select exists (select from %s)', tsconsole.qualified_name(relation)) into found_rows;
    end if;
    return found_rows;
end;
$$;

comment on function tsconsole.has_rows(regclass) is
'Whether a table has rows; false for null.
Example: select tsconsole.has_rows(tsconsole.default_partition(''silver.meters_1h''));';


create or replace function tsconsole.maintain_partman(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    partman record := tsconsole.partman();
    parent  text := tsconsole.partman_name(config.target_table);
    moved   bigint := 0;
    before  bigint := (select count(*) from tsconsole.partitions(config.target_table));
begin
    if partman.schema_name is null then
        raise exception 'pg_partman manages the partitions of %, and is gone from this database', config.target_name using
            errcode = 'TS004', hint = 'create extension pg_partman schema partman;';
    elsif not tsconsole.claim_steps(config.id) then
        -- A step that changes a row while it is moved would change nothing.
        raise exception 'a step is running' using errcode = 'TS005', hint = 'The next run goes on.';
    end if;
    if tsconsole.has_rows(tsconsole.default_partition(config.target_table)) then
        moved := tsconsole.call_partman(format('select %I.partition_data_time(p_parent_table := %L, p_batch_count := 10, p_analyze := false, p_ignored_columns := %L)',
            partman.schema_name, parent, array(select a.attname::text from pg_attribute a where a.attrelid = config.target_table and a.attgenerated <> '' and not a.attisdropped)));
    end if;
    -- It fails while the default partition holds rows of one that it makes, and what was moved would be back there.
    if not tsconsole.has_rows(tsconsole.default_partition(config.target_table)) then
        perform tsconsole.call_partman(format('select %I.run_maintenance(p_parent_table := %L, p_analyze := false, p_jobmon := false)', partman.schema_name, parent));
    end if;
    outcome := 'done';
    detail := format('pg_partman made %s partitions; %s', (select count(*) from tsconsole.partitions(config.target_table)) - before,
        case when moved = 0 and not tsconsole.has_rows(tsconsole.default_partition(config.target_table)) then 'its default partition is empty'
             else format('%s rows were moved out of its default partition%s', moved,
                 case when tsconsole.has_rows(tsconsole.default_partition(config.target_table)) then ', the rest follows with the next run' end) end);
end;
$$;

comment on function tsconsole.maintain_partman(silver.timeseries_rollup_config) is
'Has pg_partman move rows out of a target''s default partition, ten intervals at a time, and, once it is empty, make the partitions to come.
Example: select * from tsconsole.maintain_partman(tsconsole.rollup(''silver.meters_1h''));';


create or replace function silver.partman_settings(table_name regclass) returns table (setting text, value text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    partman record := tsconsole.partman();
begin
    if partman.schema_name is null then
        return;
    end if;
    return query execute format('select s.key, s.value from %I.part_config p cross join lateral jsonb_each_text(to_jsonb(p)) s where p.parent_table = $1 and s.value is not null', partman.schema_name)
    using tsconsole.partman_name(table_name);
    if found then
        return query values ('pg_partman version', partman.version),
            ('default partition', coalesce(tsconsole.qualified_name(tsconsole.default_partition(table_name)), 'none')),
            ('default partition has rows', case when tsconsole.has_rows(tsconsole.default_partition(table_name)) then 'yes' else 'no' end);
    end if;
end;
$$;

comment on function silver.partman_settings(regclass) is
'How pg_partman is configured for a table, target or source, and whether there are rows in its default partition, where no retention finds them. No rows when pg_partman does not manage it.
Example: select * from silver.partman_settings(''raw.readings'');';
