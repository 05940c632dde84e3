-- The plan of a target's measure columns: from the columns of a table, or from the measures of the level below.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.measures_of_table(source regclass, time_column text, dimensions text[], measures jsonb)
returns table (source_column text, aggregate text, data_type text, expression text, rank bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    wrong record;
begin
    for wrong in
        select w.source_column as name, w.aggregate, c.data_type as found, tsconsole.possible_aggregates(c.base_type) as possible
        from tsconsole.wanted_aggregates(measures) w
        left join tsconsole.columns(source) c on c.column_name = w.source_column
        where c.column_name is null or w.aggregate <> all (tsconsole.possible_aggregates(c.base_type))
    loop
        if wrong.found is null then
            raise exception 'source % has no column %', tsconsole.qualified_name(source), quote_ident(wrong.name) using
                errcode = 'TS001', hint = 'The keys of measures are columns of the source.';
        end if;
        raise exception 'column % of type % cannot have the aggregate %', quote_ident(wrong.name), wrong.found, quote_literal(wrong.aggregate)
            using errcode = 'TS004', hint = 'Possible here: ' || array_to_string(wrong.possible, ', ') || '.';
    end loop;

    return query
        select w.source_column, w.aggregate,
               tsconsole.aggregate_type(w.aggregate, c.base_type, c.collation_name),
               tsconsole.aggregate_expression(w.aggregate, w.source_column, c.base_type, time_column),
               c.ordinal * 100 + w.ordinal
        from (
            select m.source_column, m.aggregate, m.ordinal::bigint from tsconsole.wanted_aggregates(measures) m
            union all
            select c.column_name, d.aggregate, d.ordinal
            from tsconsole.columns(source) c,
                 unnest(tsconsole.default_aggregates(c.base_type)) with ordinality d (aggregate, ordinal)
            where measures is null and c.column_name <> time_column and c.column_name <> all (dimensions)
        ) w (source_column, aggregate, ordinal) join tsconsole.columns(source) c on c.column_name = w.source_column;
end;
$$;

comment on function tsconsole.measures_of_table(regclass, text, text[], jsonb) is
'The measures of a rollup on a table: those asked for, or every column that is neither time nor dimension with the aggregates that fit its type.
Example: select * from tsconsole.measures_of_table(''raw.readings'', ''ts'', ''{device_id}'', null);';


create or replace function tsconsole.measures_of_rollup(parent silver.timeseries_rollup_config, same_series boolean, measures jsonb)
returns table (source_column text, aggregate text, data_type text, expression text, rank bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    inexact text;
begin
    if measures is not null then
        select string_agg(format('%s of %I', w.aggregate, w.source_column), ', ') into inexact
        from tsconsole.wanted_aggregates(measures) w
        where not exists (
            select from tsconsole.mergeable_measures(parent, same_series) m
            where m.source_column = w.source_column and m.aggregate = w.aggregate and m.expression is not null);
        if inexact is not null then
            raise exception 'cannot be computed exactly from %: %', tsconsole.qualified_name(parent.target_table), inexact using
                errcode = 'TS004',
                hint = 'A ladder merges min, max, avg, sum and count that the level below holds, and first and last of the same series. '
                    || 'Read the first source instead, or leave it out.';
        end if;
    else
        select string_agg(format('%s of %I', m.aggregate, m.source_column), ', ') into inexact
        from tsconsole.mergeable_measures(parent, same_series) m where m.expression is null;
        if inexact is not null then
            raise notice 'left out, because a ladder cannot merge it exactly: %', inexact;
        end if;
    end if;
    return query
        select m.source_column, m.aggregate, m.data_type, m.expression, m.ordinal::bigint
        from tsconsole.mergeable_measures(parent, same_series) m
        where m.expression is not null
          and (measures is null or exists (
              select from tsconsole.wanted_aggregates(measures) w
              where w.source_column = m.source_column and w.aggregate = m.aggregate));
end;
$$;

comment on function tsconsole.measures_of_rollup(silver.timeseries_rollup_config, boolean, jsonb) is
'The measures of a rollup that reads another rollup: those asked for (TS004 when one cannot be merged exactly), or all that can be merged, with a notice about the rest.
Example: select * from tsconsole.measures_of_rollup(tsconsole.rollup(''silver.meters_1m''), true, null);';


create or replace function tsconsole.mergeable_measures(parent silver.timeseries_rollup_config, same_series boolean)
returns table (source_column text, aggregate text, data_type text, expression text, ordinal integer)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select m.source_column, m.aggregate, m.data_type,
           case when m.aggregate in ('first', 'last') and not same_series then null
                when m.aggregate = 'avg' then 'generated'
                else tsconsole.merge_expression(m.aggregate, m.target_column, m.data_type, (parent).time_column)
           end,
           m.position
    from tsconsole.rollup_measure m
    where m.rollup_id = (parent).id;
$$;

comment on function tsconsole.mergeable_measures(silver.timeseries_rollup_config, boolean) is
'The measures that a rollup holds and the SQL that merges each into wider buckets; null where that cannot be exact.
Example: select * from tsconsole.mergeable_measures(tsconsole.rollup(''silver.meters_1m''), true);';


create or replace function tsconsole.plan_measures(
    source regclass, time_column text, dimensions text[], measures jsonb,
    parent silver.timeseries_rollup_config, same_series boolean, taken text[]
) returns table (target_column text, aggregate text, source_column text, data_type text, expression text, is_generated boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    measure record;
    complete jsonb := tsconsole.with_sum_and_count(measures);
    names jsonb := jsonb_build_object();
    new_name text;
begin
    for measure in
        select m.* from tsconsole.measures_of_table(source, time_column, dimensions, complete) m where parent.id is null
        union all
        select m.* from tsconsole.measures_of_rollup(parent, same_series, complete) m where parent.id is not null
        order by rank
    loop
        new_name := tsconsole.free_name(tsconsole.fit_name(measure.aggregate || '_' || measure.source_column), taken);
        taken := taken || new_name;
        names := jsonb_set(names, array[measure.aggregate || ' ' || measure.source_column], to_jsonb(new_name));
    end loop;
    return query
        select names ->> (m.aggregate || ' ' || m.source_column), m.aggregate, m.source_column, m.data_type,
               case when m.aggregate = 'avg' then tsconsole.average_expression(
                   names ->> ('sum ' || m.source_column), names ->> ('count ' || m.source_column), m.data_type)
               else m.expression end,
               m.aggregate = 'avg'
        from (
            select m.* from tsconsole.measures_of_table(source, time_column, dimensions, complete) m where parent.id is null
            union all
            select m.* from tsconsole.measures_of_rollup(parent, same_series, complete) m where parent.id is not null
        ) m
        order by m.rank;
end;
$$;

comment on function tsconsole.plan_measures(regclass, text, text[], jsonb, silver.timeseries_rollup_config, boolean, text[]) is
'The measure columns of a new target, in order, each with a free name and the SQL that fills it. taken: names that are used already.
Example: select * from tsconsole.plan_measures(''raw.readings'', ''ts'', ''{device_id}'', null, null, true, ''{ts,device_id}'');';


create or replace function tsconsole.with_sum_and_count(measures jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when measures is null then null else (
        select coalesce(jsonb_object_agg(w.source_column, w.aggregates), '{}')
        from (select a.source_column,
                     to_jsonb(array_agg(a.aggregate order by a.ordinal) || case
                         when bool_or(a.aggregate = 'avg')
                         then array(select e from unnest(array['sum', 'count']) e where e <> all (array_agg(a.aggregate)))
                         else '{}'::text[] end) as aggregates
              from tsconsole.wanted_aggregates(measures) a group by a.source_column) w) end;
$$;

comment on function tsconsole.with_sum_and_count(jsonb) is
'The argument measures, with sum and count added wherever an average is asked for: the average is computed from them.
Example: select tsconsole.with_sum_and_count(''{"temperature": ["avg"]}'');';


create or replace function tsconsole.free_name(wanted text, taken text[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    candidate text := wanted;
    number integer := 1;
begin
    while candidate = any (taken) loop
        number := number + 1;
        candidate := tsconsole.fit_name(wanted || '_' || number);
    end loop;
    return candidate;
end;
$$;

comment on function tsconsole.free_name(text, text[]) is
'A name that is not taken: the wanted one, else with a number behind it.
Example: select tsconsole.free_name(''min_x'', ''{min_x}'');';
