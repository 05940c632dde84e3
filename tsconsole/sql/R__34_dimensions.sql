-- The dimensions of a rollup: columns of its source, or expressions over them.
-- No backslashes in strings: what they are is up to standard_conforming_strings of the session.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.plan_dimensions(source regclass, dimensions text[])
returns table (ordinal integer, column_name text, expression text, data_type text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    wanted text[] := coalesce(dimensions, array(
        select d.dimension_column from silver.timeseries_dimension_config d
        where d.source_table = source and d.is_active order by d.id));
    item text;
    item_number integer := 0;
    planned record;
begin
    if array_ndims(wanted) > 1 then
        raise exception 'dimensions is an array of arrays' using errcode = 'TS001', hint = 'Use a plain array, such as {device_id,site}.';
    elsif array_position(wanted, null) is not null then
        raise exception 'dimensions has a null among them' using errcode = 'TS001', hint = 'Leave it out, or name a column of the source.';
    end if;
    foreach item in array wanted loop
        item_number := item_number + 1;
        select c.column_name as name, format('s.%I', c.column_name) as sql, c.base_type,
               c.data_type || coalesce(' collate ' || c.collation_name, '') as type
        into planned
        from tsconsole.columns(source) c where c.column_name = item;
        if not found then
            select e.column_name as name, e.expression as sql, e.base_type, e.data_type as type
            into planned
            from tsconsole.dimension_expression(source, item, item_number) e;
        end if;
        if 'mode' <> all (tsconsole.possible_aggregates(planned.base_type)) then
            raise exception 'dimension % has type %, which cannot be grouped and indexed', quote_ident(item), planned.type using
                errcode = 'TS004', hint = 'Use an expression of another type, for example: payload ->> ''device'' as device';
        end if;
        ordinal := item_number;
        column_name := planned.name;
        expression := planned.sql;
        data_type := planned.type;
        return next;
    end loop;
end;
$$;

comment on function tsconsole.plan_dimensions(regclass, text[]) is
'The dimension columns of a new target: the columns or expressions named, or those of silver.timeseries_dimension_config when null.
Example: select * from tsconsole.plan_dimensions(''raw.readings'', ''{device_id,"subpath(path, 0, 2) as region"}'');';


create or replace function tsconsole.dimension_expression(source regclass, item text, item_number integer)
returns table (column_name text, expression text, data_type text, base_type oid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    parts text[] := regexp_match(item, '^(.*)[[:space:]]+as[[:space:]]+("(?:[^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)[[:space:]]*$', 'is');
    body text := coalesce(parts[1], item);
    probe oid;
    complaint text;
begin
    if not tsconsole.is_one_expression(body) then
        raise exception 'dimension % is neither a column of % nor an expression', quote_literal(item), tsconsole.qualified_name(source) using
            errcode = 'TS001', hint = 'An expression has balanced parentheses and no semicolon, comment, backslash, dollar sign or SELECT.';
    end if;
    execute format('create temporary table tsconsole_probe (like %s)', tsconsole.qualified_name(source));
    -- An index makes PostgreSQL resolve every name once, here (steps run with a pinned search path), and refuses all that
    -- would not give one lasting value for each row: aggregates, sets, subqueries, now(), what depends on the session.
    perform set_config('search_path', tsconsole.expression_path(source), true);
    begin
        execute format('create index tsconsole_probe_index on pg_temp.tsconsole_probe ((%s))', body);
    exception when others then
        complaint := sqlerrm;
    end;
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    if complaint is not null then
        raise exception 'dimension % is neither a column of % nor an expression it could be grouped by: %', quote_literal(item),
            tsconsole.qualified_name(source), complaint using
            errcode = 'TS001', hint = 'Dimensions are columns of the source, or immutable expressions over them, such as upper(site) as site.';
    end if;
    probe := to_regclass('pg_temp.tsconsole_probe_index');
    return query
        select case when parts[2] is not null then (parse_ident(parts[2]))[1]
                    when c.column_name ~ '^expr[0-9]*$' then 'dimension_' || item_number else c.column_name end,
               '(' || pg_get_indexdef(probe, 1, false) || ')',
               c.data_type || coalesce(' collate ' || c.collation_name, ''), c.base_type
        from tsconsole.columns(probe) c;
    execute 'drop table pg_temp.tsconsole_probe';
end;
$$;

comment on function tsconsole.dimension_expression(regclass, text, integer) is
'A dimension given as SQL over the source, such as "subpath(path, 0, 2) as region", with every name in it resolved. It must be immutable. Functions are looked for in pg_catalog, the source''s schema, public and the schemas of extensions.
Example: select * from tsconsole.dimension_expression(''raw.readings'', ''upper(site)'', 1);';


create or replace function tsconsole.plain_type(data_type text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    declared oid := split_part(data_type, ' collate ', 1)::regtype;
    base     oid := tsconsole.base_type(declared);
begin
    return case when base = declared then data_type
                else format_type(base, -1) || substring(data_type from ' collate .*$|$') end;
end;
$$;

comment on function tsconsole.plain_type(text) is
'The type of a dimension without a domain, whose constraints may refuse the null that stands for all series.
Example: select tsconsole.plain_type(''text collate "C"'');';


create or replace function tsconsole.plain_value(value text, data_type text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    plain text := tsconsole.plain_type(data_type);
begin
    return case when plain = data_type then value else format('(%s)::%s', value, split_part(plain, ' collate ', 1)) end;
end;
$$;

comment on function tsconsole.plain_value(text, text) is
'A value of a dimension in SQL, without its domain; see tsconsole.plain_type.
Example: select tsconsole.plain_value(''s.site'', ''text'');';


create or replace function tsconsole.expression_path(source regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'pg_catalog, ' || string_agg(distinct quote_ident(n.nspname), ', ') || ', pg_temp'
    from pg_namespace n
    where n.nspname = 'public'
       or n.oid = (select c.relnamespace from pg_class c where c.oid = source)
       or exists (select from pg_extension e where e.extnamespace = n.oid and n.nspname <> 'pg_catalog');
$$;

comment on function tsconsole.expression_path(regclass) is
'The search path under which a dimension expression is resolved at creation.
Example: select tsconsole.expression_path(''raw.readings'');';


create or replace function tsconsole.is_one_expression(body text) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- What stands in quotes cannot end the expression.
    bare text := regexp_replace(regexp_replace(body, '''(?:[^'']|'''')*''', '''''', 'g'), '"(?:[^"]|"")*"', '""', 'g');
    depth integer := 0;
    letter text;
begin
    if strpos(body, chr(92)) > 0 or strpos(body, '$') > 0 or bare ~ ';|--|/[*]|[[:<:]]select[[:>:]]' or length(replace(bare, '''''', '')) <> length(replace(replace(bare, '''''', ''), '''', '')) then
        return false;
    end if;
    foreach letter in array regexp_split_to_array(bare, '') loop
        depth := depth + case letter when '(' then 1 when ')' then -1 else 0 end;
        if depth < 0 then
            return false;
        end if;
    end loop;
    return depth = 0 and bare ~ '[^[:space:]]';
end;
$$;

comment on function tsconsole.is_one_expression(text) is
'Whether text can only be one SQL expression, so that it may stand in parentheses in a statement.
Example: select tsconsole.is_one_expression(''upper(site)'');';
