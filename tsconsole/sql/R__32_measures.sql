-- Which columns a target gets from the measures of its source, and the SQL that fills each.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.is_numeric(base_type oid) returns boolean
language sql immutable parallel safe
return base_type in (21, 23, 20, 1700, 700, 701);  -- smallint, integer, bigint, numeric, real, double precision

comment on function tsconsole.is_numeric(oid) is
'Whether a type is one of PostgreSQL''s numeric types.
Example: select tsconsole.is_numeric(''integer''::regtype);';


create or replace function tsconsole.possible_aggregates(base_type oid) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select a.name from unnest(array['min', 'max', 'avg', 'sum', 'count', 'first', 'last', 'mode', 'array_agg'])
            with ordinality a (name, rank)
        where case
            when a.name = 'array_agg' then t.typcategory <> 'A'
            when a.name in ('count', 'first', 'last') then true
            when a.name in ('avg', 'sum') then tsconsole.is_numeric(base_type) or base_type = 'interval'::regtype
            when a.name = 'mode' then exists (
                select from pg_opclass o join pg_am am on am.oid = o.opcmethod
                where am.amname = 'btree' and o.opcdefault
                  and (o.opcintype = base_type
                       or (o.opcintype = 'anyarray'::regtype and t.typcategory = 'A'
                           and (select e.typname not in ('json', 'xml', 'point') from pg_type e where e.oid = t.typelem))
                       or (o.opcintype = 'anyenum'::regtype and t.typtype = 'e')
                       or (o.opcintype = 'anyrange'::regtype and t.typtype = 'r')
                       or (o.opcintype = 'anymultirange'::regtype and t.typtype = 'm')
                       or (o.opcintype = 'text'::regtype and base_type = 'varchar'::regtype)
                       or (o.opcintype = 'inet'::regtype and base_type = 'cidr'::regtype)))
            else tsconsole.is_numeric(base_type)
                or base_type in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
                or t.typcategory = 'D' or t.typtype = 'e'
                or base_type in ('interval'::regtype, 'inet'::regtype, 'money'::regtype)
            end
        order by a.rank)
    from pg_type t where t.oid = base_type;
$$;

comment on function tsconsole.possible_aggregates(oid) is
'The aggregates that a measure of this type can have.
Example: select tsconsole.possible_aggregates(''text''::regtype);';


create or replace function tsconsole.default_aggregates(base_type oid) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when tsconsole.is_numeric(base_type) then array['min', 'max', 'avg', 'sum', 'count']
        when base_type in ('json'::regtype, 'jsonb'::regtype) then array['array_agg']
        when 'mode' = any (tsconsole.possible_aggregates(base_type)) then array['mode']
        when 'array_agg' = any (tsconsole.possible_aggregates(base_type)) then array['array_agg']
        else array['count']
    end;
$$;

comment on function tsconsole.default_aggregates(oid) is
'The aggregates a column gets when none are named: min, max, avg, sum and count for numbers, array_agg for JSON, else the most frequent value (mode), or where a type has no order array_agg or count.
Example: select tsconsole.default_aggregates(''integer''::regtype);';


drop function if exists tsconsole.aggregate_type(text, oid);

create or replace function tsconsole.aggregate_type(aggregate text, base_type oid, collation_name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when aggregate = 'count' then 'bigint'
        when aggregate = 'array_agg' then format_type((select t.typarray from pg_type t where t.oid = base_type), -1)
        when aggregate in ('sum', 'avg') then case
            when base_type in (700, 701) then 'double precision'
            when base_type = 'interval'::regtype then 'interval'
            when aggregate = 'sum' and base_type in (21, 23) then 'bigint'
            else 'numeric' end
        -- -1: any length. A null would make char(3) a char(1).
        -- By the collation an upper level finds the least and the greatest.
        else format_type(base_type, -1) || coalesce(' collate ' || collation_name, '')
    end;
$$;

comment on function tsconsole.aggregate_type(text, oid, text) is
'The type of a measure column: that of PostgreSQL''s own aggregate, except that real is summed as double precision; with the collation of the source column, where it is not the type''s own.
Example: select tsconsole.aggregate_type(''sum'', ''integer''::regtype, null);';


create or replace function tsconsole.aggregate_expression(aggregate text, source_column text, base_type oid, time_column text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case aggregate
        when 'sum' then format(case when base_type = 700 then 'sum(s.%I::double precision)' else 'sum(s.%I)' end, source_column)
        when 'mode' then format('mode() within group (order by s.%I)', source_column)
        when 'array_agg' then format('array_agg(s.%1$I order by s.%2$I, s.%1$I::text)', source_column, time_column)
        when 'first' then format(chosen.form, source_column, time_column, 'asc', 'first_value')
        when 'last' then format(chosen.form, source_column, time_column, 'desc', 'last_value')
        else format('%s(s.%I)', aggregate, source_column)
    end
    from (select case
        -- An element of an array of arrays is no array, so arrays take the aggregate, which is slower.
        when t.typcategory = 'A' then 'silver.%4$s(s.%1$I, s.%2$I)'
        -- Equal times: the greater value is the last, the smaller the first, so that every run gives the same.
        when tsconsole.is_numeric(base_type) then '(array_agg(s.%1$I order by s.%2$I %3$s, s.%1$I %3$s))[1]'
        else '(array_agg(s.%1$I order by s.%2$I %3$s, s.%1$I::text %3$s))[1]' end as form
        from pg_type t where t.oid = base_type) chosen;
$$;

comment on function tsconsole.aggregate_expression(text, text, oid, text) is
'The SQL that computes an aggregate of a source column (alias s) in a group.
Example: select tsconsole.aggregate_expression(''min'', ''temperature'', ''real''::regtype, ''ts'');';


create or replace function tsconsole.merge_expression(aggregate text, column_name text, data_type text, time_column text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case aggregate
        when 'min' then format('min(s.%I)', column_name)
        when 'max' then format('max(s.%I)', column_name)
        when 'sum' then format('sum(s.%I)::%s', column_name, data_type)
        when 'count' then format('sum(s.%I)::bigint', column_name)
        -- One row per bucket and series below, so the times of a group differ.
        when 'first' then format('(array_agg(s.%I order by s.%I asc))[1]', column_name, time_column)
        when 'last' then format('(array_agg(s.%I order by s.%I desc))[1]', column_name, time_column)
    end;
$$;

comment on function tsconsole.merge_expression(text, text, text, text) is
'The SQL that merges a measure column of the level below exactly; null when that cannot be done (mode, array_agg).
Example: select tsconsole.merge_expression(''count'', ''count_temperature'', ''bigint'', ''ts'');';


create or replace function tsconsole.average_expression(sum_column text, count_column text, data_type text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when data_type = 'interval' then format('%I / nullif(%I, 0)::double precision', sum_column, count_column)
        else format('%1$I::%3$s / nullif(%2$I, 0)::%3$s', sum_column, count_column, data_type)
    end;
$$;

comment on function tsconsole.average_expression(text, text, text) is
'The expression of a generated average column; it equals avg(), which divides the same sum by the same count.
Example: select tsconsole.average_expression(''sum_t'', ''count_t'', ''numeric'');';


create or replace function tsconsole.wanted_aggregates(measures jsonb)
returns table (source_column text, aggregate text, column_rank integer, ordinal integer)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if jsonb_typeof(measures) <> 'object' or exists (
        select from jsonb_each(measures) m where jsonb_typeof(m.value) <> 'array'
        union all
        select from jsonb_each(measures) m, jsonb_array_elements(case when jsonb_typeof(m.value) = 'array' then m.value else '[]' end) a
        where jsonb_typeof(a.value) <> 'string'
    ) then
        raise exception 'measures must be a JSON object of arrays of aggregate names' using
            errcode = 'TS001', detail = 'It is ' || measures::text,
            hint = 'For example: {"temperature": ["min", "max", "avg"], "status": ["mode"]}';
    end if;
    return query
        select m.key, a.value, m.rank::integer, min(a.rank)::integer
        from jsonb_each(measures) with ordinality m (key, value, rank),
             jsonb_array_elements_text(m.value) with ordinality a (value, rank)
        group by m.key, a.value, m.rank;
end;
$$;

comment on function tsconsole.wanted_aggregates(jsonb) is
'The pairs of column and aggregate in the argument measures; TS001 when it has another shape.
Example: select * from tsconsole.wanted_aggregates(''{"temperature": ["min", "max"]}'');';
