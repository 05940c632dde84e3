-- Advice on the indexes of sources and targets: which would pay, tried without building them, and which are in the way.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

drop function if exists silver.recommend_indexes(text);
drop function if exists silver.recommend_indexes(regclass);

create or replace function silver.recommend_indexes(table_name regclass)
returns table (
    advice text, kind text, index_name text, definition text, cost_before float8, cost_after float8, size_bytes bigint,
    reason text, statement text
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    is_indexable boolean := (select c.relkind in ('r', 'p', 'm') from pg_class c where c.oid = recommend_indexes.table_name);
begin
    if not exists (select from silver.timeseries_rollup_config c where recommend_indexes.table_name in (c.source_table, c.target_table)) then
        raise exception '% is neither a rollup nor the source of one', coalesce(tsconsole.qualified_name(recommend_indexes.table_name), 'null') using
            errcode = 'TS002', hint = 'Rollups and their sources are listed in silver.timeseries_operations_monitor.';
    elsif not is_indexable then
        return query select 'note', 'no table', null::text, null::text, null::float8, null::float8, null::bigint,
            format('%s is a view or a foreign table, which has no indexes of its own: ask for the tables it reads', tsconsole.qualified_name(recommend_indexes.table_name)),
            null::text;
        return;
    end if;
    return query select w.* from tsconsole.wanted_indexes(recommend_indexes.table_name) w;
    return query select b.* from tsconsole.burdensome_indexes(recommend_indexes.table_name) b;
end;
$$;

comment on function silver.recommend_indexes(regclass) is
'What to do about the indexes of a target or a source. advice create: an index that makes the queries of its rollups, of their live views, or a filter on a target cheaper by a fifth or more: tried with the extension hypopg, without building anything (cost_before and cost_after are the planner''s, over the queries it changes; without hypopg a note says so, and only a missing index on the time is named), or a GIN index on a jsonb or array column, tried on a sample. advice drop: unused, duplicate, redundant or invalid. statement builds or drops it without blocking readers or writers: run its lines one by one, outside a transaction. TS002 for another table.
Example: select advice, kind, reason, statement from silver.recommend_indexes(''raw.readings'');';


create or replace function tsconsole.wanted_indexes(relation regclass)
returns table (
    advice text, kind text, index_name text, definition text, cost_before float8, cost_after float8, size_bytes bigint, reason text, statement text
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    hypopg_schema name := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'hypopg');
begin
    if hypopg_schema is not null then
        return query
            select 'create', t.kind, b.name, t.definition, t.cost_before, t.cost_after, t.size_bytes, t.reason,
                   tsconsole.build_statement(relation, b.name, t.definition)
            from tsconsole.tried_indexes(relation, hypopg_schema) t
            cross join lateral (select tsconsole.new_index_name(relation, t.name_part) as name) b;
    else
        return query select 'note', 'hypopg', null::text, null::text, null::float8, null::float8, null::bigint,
            'no index was tried: the extension hypopg, which tries one without building it, is '
            || case when exists (select from pg_available_extensions a where a.name = 'hypopg')
                    then 'available here but not installed' else 'not on this server; it is a package (postgresql-NN-hypopg), and part of Amazon RDS' end,
            'create extension hypopg;';
        return query
            select 'create', 'time', b.name, b.definition, null::float8, null::float8, null::bigint,
                   'no index begins with ' || quote_ident(b.time_column) || ': every step reads the whole table',
                   tsconsole.build_statement(relation, b.name, b.definition)
            from (select distinct c.time_column, tsconsole.new_index_name(relation, c.time_column) as name,
                         format('using btree (%I)', c.time_column) as definition
                  from silver.timeseries_rollup_config c
                  where c.source_table = relation and not tsconsole.has_time_index(relation, c.time_column)) b;
    end if;
    return query
        select 'create', g.kind, b.name, g.definition, g.cost_before, g.cost_after, g.size_bytes, g.reason, tsconsole.build_statement(relation, b.name, g.definition)
        from tsconsole.gin_indexes(relation) g
        cross join lateral (select tsconsole.new_index_name(relation, g.name_part) as name) b;
    return query
        select 'create', 'incomplete', x.name, x.definition, null::float8, null::float8, null::bigint,
               'the index lacks partitions, so no query uses it as a whole: these statements complete it',
               tsconsole.build_statement(relation, x.name, x.definition)
        from (select tsconsole.qualified_name(c.oid) as name, tsconsole.index_definition(i.indexrelid) as definition
              from pg_index i join pg_class c on c.oid = i.indexrelid
              where i.indrelid = relation and c.relkind = 'I' and not i.indisvalid and not i.indisunique) x;
end;
$$;

comment on function tsconsole.wanted_indexes(regclass) is
'The part of silver.recommend_indexes that names indexes to build.
Example: see silver.recommend_indexes.';


create or replace function tsconsole.build_statement(relation regclass, index_name text, definition text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(s.step || ';', E'\n' order by s.rank)
    from tsconsole.index_steps(relation, index_name, definition) with ordinality s (step, builds, rank);
$$;

comment on function tsconsole.build_statement(regclass, text, text) is
'The statements of tsconsole.index_steps, a line each.
Example: select tsconsole.build_statement(''raw.readings'', ''raw.readings_ts_idx'', ''using btree (ts)'');';


create or replace function tsconsole.tried_indexes(relation regclass, hypopg_schema name)
returns table (kind text, name_part text, definition text, cost_before float8, cost_after float8, size_bytes bigint, reason text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    names   text[];
    queries text[];
    present float8[];
    best    record;
    made    oid[] := array[]::oid[];
    kept    oid[];
begin
    select array_agg(q.name order by q.rank), array_agg(q.query order by q.rank) into names, queries
    from tsconsole.advice_queries(relation) with ordinality q (name, query, rank);
    present := tsconsole.plan_costs(queries);
    for round in 1 .. 3 loop
        -- The one that saves most; of two that save about the same, the smaller one.
        select t.*, c.kind, c.name_part, c.definition into best
        from tsconsole.index_candidates(relation) c
        cross join lateral tsconsole.try_index(relation, hypopg_schema, c.definition, queries, present) t
        where t.saved >= 100 and t.saved >= 0.2 * t.cost_before
        order by round(log(1.15, t.saved::numeric)) desc, t.size_bytes, c.definition limit 1;
        exit when best.definition is null;
        kept := tsconsole.make_hypothetical(relation, hypopg_schema, best.definition);
        made := made || kept;
        kind := best.kind;
        name_part := best.name_part;
        definition := best.definition;
        cost_before := best.cost_before;
        cost_after := best.cost_after;
        size_bytes := best.size_bytes;
        reason := tsconsole.saving_in_words(names, present, best.costs);
        return next;
        present := best.costs;
    end loop;
    perform tsconsole.drop_hypothetical(hypopg_schema, made);
exception when others or query_canceled then
    perform tsconsole.drop_hypothetical(hypopg_schema, made);
    raise;
end;
$$;

comment on function tsconsole.tried_indexes(regclass, name) is
'The indexes that pay, best first, each tried beside those before it.
Example: select * from tsconsole.tried_indexes(''raw.readings'', ''public'');';


create or replace function tsconsole.saving_in_words(names text[], before float8[], after float8[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('%s: %s times cheaper', w.name, w.times), '; ' order by w.saved desc)
    from (select n.name, before[n.rank] - after[n.rank] as saved,
                 case when before[n.rank] / after[n.rank] < 10 then round((before[n.rank] / after[n.rank])::numeric, 1)
                      else round((before[n.rank] / after[n.rank])::numeric) end as times
          from unnest(names) with ordinality n (name, rank)
          where after[n.rank] > 0 and before[n.rank] > 1.1 * after[n.rank]
          order by 2 desc limit 3) w;
$$;

comment on function tsconsole.saving_in_words(text[], float8[], float8[]) is
'What an index saves, query by query, at most the three that gain most.
Example: select tsconsole.saving_in_words(''{the next row}'', ''{100}'', ''{1}'');';


create or replace function tsconsole.try_index(
    relation regclass, hypopg_schema name, definition text, queries text[], present float8[],
    out costs float8[], out cost_before float8, out cost_after float8, out saved float8, out size_bytes bigint
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    made oid[] := tsconsole.make_hypothetical(relation, hypopg_schema, definition);
begin
    costs := tsconsole.plan_costs(queries);
    size_bytes := tsconsole.hypothetical_size(relation, hypopg_schema, made);
    perform tsconsole.drop_hypothetical(hypopg_schema, made);
    select coalesce(sum(p.cost), 0), coalesce(sum(n.cost), 0) into cost_before, cost_after
    from unnest(present) with ordinality p (cost, rank) join unnest(costs) with ordinality n (cost, rank) using (rank)
    where abs(p.cost - n.cost) > 0.01 * p.cost;
    saved := cost_before - cost_after;
exception when others or query_canceled then
    perform tsconsole.drop_hypothetical(hypopg_schema, made);
    raise;
end;
$$;

comment on function tsconsole.try_index(regclass, name, text, text[], float8[]) is
'The cost of queries with one more index than there is, and what that saves over the queries whose plan it changes.
Example: see tsconsole.tried_indexes.';


create or replace function tsconsole.make_hypothetical(relation regclass, hypopg_schema name, definition text) returns oid[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    made oid[];
    part regclass;
    one  oid;
begin
    -- Partition by partition: the size that hypopg gives for a partitioned table is none.
    for part in select p.part from tsconsole.tried_parts(relation) p loop
        execute format('select h.indexrelid from %I.hypopg_create_index($1) h', hypopg_schema)
        into one using format('create index on %s %s', tsconsole.qualified_name(part), definition);
        made := made || one;
    end loop;
    return coalesce(made, '{}');
end;
$$;

comment on function tsconsole.make_hypothetical(regclass, name, text) is
'Lets this session''s planner believe in an index on a table, or on its newest 200 partitions.
Example: see tsconsole.try_index.';


create or replace function tsconsole.drop_hypothetical(hypopg_schema name, made oid[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    one oid;
begin
    foreach one in array made loop
        execute format('select %I.hypopg_drop_index($1)', hypopg_schema) using one;
    end loop;
end;
$$;

comment on function tsconsole.drop_hypothetical(name, oid[]) is
'Takes hypothetical indexes away again.
Example: see tsconsole.try_index.';


create or replace function tsconsole.hypothetical_size(relation regclass, hypopg_schema name, made oid[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    tried bigint;
begin
    execute format('select sum(%I.hypopg_relation_size(m)) from unnest($1) m', hypopg_schema) into tried using made;
    -- What was not tried is as large for its rows.
    return (select (tried * greatest(sum(pg_relation_size(p.part))
                / nullif(sum(pg_relation_size(p.part)) filter (where p.part in (select t.part from tsconsole.tried_parts(relation) t)), 0), 1))::bigint
            from tsconsole.stored_parts(relation) p);
end;
$$;

comment on function tsconsole.hypothetical_size(regclass, name, oid[]) is
'The size that an index which was tried would have on the whole table.
Example: see tsconsole.try_index.';


create or replace function tsconsole.tried_parts(relation regclass) returns table (part regclass)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.part from tsconsole.stored_parts(relation) p join pg_class c on c.oid = p.part
    where c.relkind in ('r', 'm') order by p.range_start desc nulls first limit 200;
$$;

comment on function tsconsole.tried_parts(regclass) is
'The tables on which an index is tried: a table itself, or its newest partitions.
Example: select * from tsconsole.tried_parts(''raw.readings'');';


create or replace function tsconsole.plan_costs(queries text[]) returns float8[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    query text;
    plan  json;
    costs float8[] := array[]::float8[];
begin
    foreach query in array queries loop
        execute 'explain (format json) ' || query into plan;
        costs := costs || (plan -> 0 -> 'Plan' ->> 'Total Cost')::float8;
    end loop;
    return costs;
end;
$$;

comment on function tsconsole.plan_costs(text[]) is
'What the planner thinks each query costs. Runs none of them.
Example: select tsconsole.plan_costs(array[''select 1'']);';


create or replace function tsconsole.index_candidates(relation regclass) returns table (kind text, name_part text, definition text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with times as (
        select distinct c.time_column from silver.timeseries_rollup_config c where relation in (c.source_table, c.target_table)
    ), keys as (
        -- A rollup's dimensions over its source, where they are columns or expressions; over itself they are columns.
        select c.id, c.time_column, d.position, k.column_name,
               coalesce(quote_ident(k.column_name), d.expression) as key,
               coalesce(case when s.n_distinct < 0 then -s.n_distinct * tsconsole.estimated_rows(relation) else s.n_distinct end, 1) as series
        from silver.timeseries_rollup_config c
        join tsconsole.rollup_dimension d on d.rollup_id = c.id
        left join tsconsole.columns(relation) k
            on case when c.target_table = relation then k.column_name = d.column_name else d.expression = format('s.%I', k.column_name) end
        left join lateral (select max(s.n_distinct) as n_distinct from tsconsole.column_statistics(relation, k.column_name) s) s on true
        where relation in (c.source_table, c.target_table)
    )
    select distinct on (q.definition) q.kind, q.name_part, q.definition
    from (select 'time' as kind, t.time_column as name_part, format('using btree (%I)', t.time_column) as definition from times t
          union all
          select 'brin', t.time_column || '_brin', format('using brin (%I)', t.time_column) from times t
          union all
          select 'dimensions', coalesce(k.column_name, 'expr') || '_' || k.time_column, format('using btree (%s, %I)', k.key, k.time_column) from keys k
          union all
          -- Of several, the one with the most values first.
          select 'dimensions', string_agg(coalesce(k.column_name, 'expr'), '_' order by k.series desc, k.position) || '_' || k.time_column,
                 format('using btree (%s, %I)', string_agg(k.key, ', ' order by k.series desc, k.position), k.time_column)
          from keys k group by k.id, k.time_column having count(*) between 2 and 4) q
    where not exists (select from pg_index x where x.indrelid = relation and x.indisvalid and tsconsole.index_definition(x.indexrelid) = q.definition)
    order by q.definition;
$$;

comment on function tsconsole.index_candidates(regclass) is
'The indexes that are worth a try on a table: its time, BRIN on its time, and each rollup''s dimensions with the time.
Example: select * from tsconsole.index_candidates(''raw.readings'');';


create or replace function tsconsole.column_statistics(relation regclass, column_name text) returns table (n_distinct float8)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- A partitioned table has statistics of its own only after an ANALYZE by hand; one of its partitions tells as much.
    select s.n_distinct::float8
    from (select relation as part union all (select p.part from tsconsole.tried_parts(relation) p limit 5)) p
    join pg_class c on c.oid = p.part
    join pg_namespace n on n.oid = c.relnamespace
    join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = column_statistics.column_name;
$$;

comment on function tsconsole.column_statistics(regclass, text) is
'How many different values a column has, by the statistics of a table and of a few of its partitions.
Example: select * from tsconsole.column_statistics(''raw.readings'', ''device_id'');';
