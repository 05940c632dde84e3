-- What a source offers: its time column, its columns and what each is good for.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.columns(relation regclass)
returns table (
    ordinal integer, column_name text, type_id oid, data_type text, base_type oid, base_name text, collation_name text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan  -- planning takes ten times as long as running
as $$
#variable_conflict use_column
begin
    return query
        with recursive resolved as (
            select a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, t.oid as base, t.typbasetype, t.typcollation
            -- OFFSET 0: by index, for the few columns of a table; the planner would read all of pg_type.
            from pg_attribute a cross join lateral (select * from pg_type p where p.oid = a.atttypid offset 0) t
            where a.attrelid = columns.relation and a.attnum > 0 and not a.attisdropped
            union all
            select r.attnum, r.attname, r.atttypid, r.atttypmod, r.attcollation, t.oid, t.typbasetype, t.typcollation
            from resolved r cross join lateral (select * from pg_type p where p.oid = r.typbasetype offset 0) t
            where r.typbasetype <> 0
        )
        select r.attnum::integer, r.attname::text, r.atttypid, format_type(r.atttypid, r.atttypmod), r.base,
               format_type(r.base, null),
               case when r.attcollation not in (0, r.typcollation) then
                   (select format('%I.%I', n.nspname, c.collname)
                    from pg_collation c join pg_namespace n on n.oid = c.collnamespace where c.oid = r.attcollation)
               end
        from resolved r
        where r.typbasetype = 0
        order by r.attnum;
end;
$$;

comment on function tsconsole.columns(regclass) is
'The columns of a table in order, with the type below any domain (base_type, base_name) and the collation when it is not the type''s own.
Example: select column_name, data_type from tsconsole.columns(''raw.readings'');';


create or replace function tsconsole.base_type(type_id oid) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    base  oid;
    below oid := type_id;
begin
    while below <> 0 loop
        base := below;
        below := (select t.typbasetype from pg_type t where t.oid = base);
    end loop;
    return base;
end;
$$;

comment on function tsconsole.base_type(oid) is
'The type below a domain, however many domains lie between; another type is its own.
Example: select tsconsole.base_type(''information_schema.cardinal_number''::regtype)::regtype;';


create or replace function tsconsole.base_type(relation regclass, column_name text) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return tsconsole.base_type((select a.atttypid from pg_attribute a
        where a.attrelid = relation and a.attname = base_type.column_name and a.attnum > 0 and not a.attisdropped));
end;
$$;

comment on function tsconsole.base_type(regclass, text) is
'The type of one column, below any domain, as tsconsole.columns shows it for all of a table; null when there is no such column.
Example: select tsconsole.base_type(''raw.readings'', ''ts'')::regtype;';


create or replace function tsconsole.find_time_column(source regclass, wanted text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    candidates text[];
    found_type text;
    partition_key text;
begin
    if wanted is not null then
        select c.base_name into found_type from tsconsole.columns(source) c where c.column_name = wanted;
        if found_type in ('timestamp with time zone', 'timestamp without time zone', 'date') then
            return wanted;
        end if;
        raise exception '%', case when found_type is null
            then format('source %s has no column %I', tsconsole.qualified_name(source), wanted)
            else format('column %I of source %s is %s, not a time', wanted, tsconsole.qualified_name(source), found_type) end
            using errcode = 'TS001', hint = 'time_column must be a column of type timestamptz, timestamp or date.';
    end if;

    -- A date counts only where there is no timestamp: an order date beside an order time is not the time.
    select coalesce(array_agg(c.column_name) filter (where c.base_name <> 'date'), array_agg(c.column_name))
    into candidates
    from tsconsole.columns(source) c
    where c.base_name in ('timestamp with time zone', 'timestamp without time zone', 'date');

    select a.attname into partition_key
    from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
    where p.partrelid = source and p.partnatts = 1 and a.attname = any (candidates);

    candidates := case
        when cardinality(candidates) = 1 then candidates
        when partition_key is not null then array[partition_key]
        else array(select n.name from unnest(array['timestamp', 'ts', 'time']) with ordinality n (name, rank)
                   where n.name = any (candidates) order by n.rank)
    end;
    if candidates[1] is null then
        raise exception 'source % has no time column that could be found by itself', tsconsole.qualified_name(source) using
            errcode = 'TS001',
            detail = 'It is found when it is the only timestamp column, the partition key, or called timestamp, ts or time.',
            hint = 'Name it with the argument time_column; it must be a timestamptz, timestamp or date.';
    end if;
    return candidates[1];
end;
$$;

comment on function tsconsole.find_time_column(regclass, text) is
'The time column of a source: the wanted one if it fits, else the only timestamp, the partition key, or the one called timestamp, ts or time. TS001 when none fits.
Example: select tsconsole.find_time_column(''raw.readings'', null);';


create or replace function tsconsole.has_own_time_index(relation oid, time_column text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from pg_index x
                   join pg_class ic on ic.oid = x.indexrelid
                   join pg_am am on am.oid = ic.relam and am.amname = 'btree'
                   join pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
                   where x.indrelid = relation and x.indisvalid and x.indpred is null and a.attname = time_column);
end;
$$;

comment on function tsconsole.has_own_time_index(oid, text) is
'Whether a table itself, whatever its partitions have, has a btree index that begins with a column.
Example: select tsconsole.has_own_time_index(''raw.readings''::regclass, ''ts'');';


create or replace function tsconsole.has_time_index(source regclass, time_column text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- An index on the parent covers all; else every table that stores rows needs its own.
    if tsconsole.has_own_time_index(source, time_column) then
        return true;
    end if;
    return coalesce((
        with recursive tree as (
            select i.inhrelid as relation from pg_inherits i where i.inhparent = source
            union all
            select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.relation
        )
        select bool_and(tsconsole.has_own_time_index(t.relation, time_column))
        from tree t join pg_class c on c.oid = t.relation
        where c.relkind <> 'p' and (select p.relkind = 'p' from pg_class p where p.oid = source)), false);
end;
$$;

comment on function tsconsole.has_time_index(regclass, text) is
'Whether a btree index that begins with the time column can find the first and last row of a range.
Example: select tsconsole.has_time_index(''raw.readings'', ''ts'');';


create or replace function tsconsole.estimated_rows(source regclass) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        with recursive tree as (
            select estimated_rows.source::oid as relation
            union all
            select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.relation
        )
        -- A table that was never analyzed says -1: some 100 bytes a row is a fair first guess.
        select coalesce(sum(case when c.reltuples >= 0 and c.relpages > 0 then c.reltuples
                                 else pg_relation_size(c.oid) / 100 end), 0)::bigint
        from tree t join pg_class c on c.oid = t.relation
        where c.relkind in ('r', 'm'));
end;
$$;

comment on function tsconsole.estimated_rows(regclass) is
'Rows of a table with its partitions, from statistics (from its size where it was never analyzed). Reads no rows.
Example: select tsconsole.estimated_rows(''raw.readings'');';


create or replace function tsconsole.source_tables()
returns table (source_table regclass, qualified_name text, kind text, row_estimate bigint, total_bytes bigint, is_rollup boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format('%I.%I', n.nspname, c.relname),
           case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                          when 'm' then 'materialized view' else 'foreign table' end,
           tsconsole.estimated_rows(c.oid),
           case when c.relkind in ('r', 'm', 'p') then
               (select coalesce(sum(pg_total_relation_size(t.relid)), 0) from pg_partition_tree(c.oid) t) + case
                   when c.relkind = 'm' then pg_total_relation_size(c.oid) else 0 end
           end::bigint,
           exists (select from silver.timeseries_rollup_config r where r.target_table = c.oid)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
      and n.nspname not in ('pg_catalog', 'information_schema', 'tsconsole', 'partman', 'cron')
      and n.nspname !~ '^pg_(toast|temp)'
      and not (n.nspname = 'silver' and c.relname like 'timeseries\_%' and not exists (select from silver.timeseries_rollup_config r where r.target_table = c.oid))
      and not exists (select from silver.timeseries_rollup_config r where tsconsole.live_view(r) = format('%I.%I', n.nspname, c.relname))
      and has_table_privilege(c.oid, 'select')
      and exists (select from tsconsole.columns(c.oid) col
                  where col.base_name in ('timestamp with time zone', 'timestamp without time zone', 'date'))
    order by 6, 2;
$$;

comment on function tsconsole.source_tables() is
'The tables and views that a rollup could read: visible to the caller and with a time column. Sizes are in bytes, rows are estimates from statistics.
Example: select * from tsconsole.source_tables();';


create or replace function tsconsole.source_columns(source regclass)
returns table (column_name text, data_type text, proposed_role text, aggregates text[], is_indexed boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    config silver.timeseries_rollup_config;
    time_column text;
begin
    select c.* into config from silver.timeseries_rollup_config c where c.target_table = source_columns.source;
    begin
        time_column := coalesce(config.time_column, tsconsole.find_time_column(source_columns.source, null));
    exception when sqlstate 'TS001' then
        time_column := null;
    end;
    return query
        select c.column_name, c.data_type,
               case when c.column_name = time_column then 'time'
                    when config.id is not null then case
                        when exists (select from tsconsole.rollup_dimension d
                                     where d.rollup_id = config.id and d.column_name = c.column_name) then 'dimension'
                        when exists (select from tsconsole.rollup_measure m
                                     where m.rollup_id = config.id and m.target_column = c.column_name) then 'measure'
                        else 'ignored' end
                    when exists (select from silver.timeseries_dimension_config d
                                 where d.source_table = source_columns.source and d.is_active
                                   and d.dimension_column = c.column_name) then 'dimension'
                    else tsconsole.proposed_role(c.column_name, c.base_type) end,
               tsconsole.possible_aggregates(c.base_type),
               tsconsole.has_time_index(source_columns.source, c.column_name)
        from tsconsole.columns(source_columns.source) c
        order by c.ordinal;
end;
$$;

comment on function tsconsole.source_columns(regclass) is
'The columns of a source with the role each probably has in a rollup (time, dimension, measure or ignored) and the aggregates its type allows.
Example: select * from tsconsole.source_columns(''raw.readings'');';


create or replace function tsconsole.proposed_role(column_name text, base_type oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when t.typcategory = 'D' then 'ignored'
        when t.typname in ('json', 'jsonb', 'xml', 'bytea') or t.typcategory in ('A', 'G') then 'ignored'
        when t.typname in ('float4', 'float8', 'numeric') then 'measure'
        when t.typcategory = 'N' then
            case when column_name ~* '(^|_)(id|no|nr|key|code|device|sensor|host|site)$' then 'dimension' else 'measure' end
        else 'dimension'
    end
    from pg_type t where t.oid = base_type;
$$;

comment on function tsconsole.proposed_role(text, oid) is
'A guess from name and type whether a column is a dimension or a measure; a person confirms it.
Example: select tsconsole.proposed_role(''device_id'', ''integer''::regtype);';
