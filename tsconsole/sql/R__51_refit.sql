-- Fitting a rollup to the columns of its source as they are after DDL.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.check_fit(source regclass, renames jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    other_type text;
    problems text;
begin
    select format('time column %I of %s is %s now, and was %s', c.column_name, tsconsole.qualified_name(source), c.data_type, format_type(r.time_type, null))
    into other_type
    from silver.timeseries_rollup_config r
    join tsconsole.columns(source) c on c.column_name = coalesce(renames ->> r.time_column, r.time_column)
    where r.source_table = source and c.base_type <> r.time_type
    limit 1;
    if found then
        raise exception '%', other_type using
            errcode = 'TS004',
            detail = 'The buckets of a target have the type of the time column.',
            hint = 'Change it back, or drop the rollups on it (silver.drop_rollup, with keep_data to keep their rows) and create them again.';
    end if;
    select string_agg(format('%s: %s', tsconsole.qualified_name(c.target_table), m.problem), E'\n' order by c.id, m.problem) into problems
    from silver.timeseries_rollup_config c, tsconsole.misfits(c, renames) m
    where c.source_table = source or c.id in (select tsconsole.rollups_of(source));
    if problems is not null then
        raise exception 'source % no longer fits its rollups', tsconsole.qualified_name(source) using
            errcode = 'TS001', detail = problems,
            hint = 'Say what was renamed, as in renames := ''{"old column": "new column"}''; drop measures that are gone with silver.drop_measures, highest level first.';
    end if;
end;
$$;

comment on function tsconsole.check_fit(regclass, jsonb) is
'Refuses a source whose columns no longer fit its rollups, with a list of what does not.
Example: select tsconsole.check_fit(''raw.readings'', ''{}'');';


create or replace function tsconsole.misfits(config silver.timeseries_rollup_config, renames jsonb) returns table (problem text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    time_name text := coalesce(renames ->> config.time_column, config.time_column);
begin
    if time_name <> config.time_column and exists (select from tsconsole.columns(config.target_table) c where c.column_name = time_name) then
        return query select format('it has a column %I already, as the time column would be called', time_name);
    end if;
    -- What the levels above read are columns of targets, which keep their names.
    if (tsconsole.parent_rollup(config)).id is not null then
        return;
    end if;
    return query
        select format('time column %I is gone', time_name)
        where not exists (select from tsconsole.columns(config.source_table) c where c.column_name = time_name)
        union all
        select d.complaint from tsconsole.refitted_dimensions(config, renames) d where d.complaint is not null
        union all
        select case when c.column_name is null then format('column %I of measure %I is gone', m.source_column, m.target_column)
                    else format('measure %I: column %I of type %s cannot have the aggregate %s', m.target_column, c.column_name, c.data_type, m.aggregate) end
        from tsconsole.rollup_measure m
        left join tsconsole.columns(config.source_table) c on c.column_name = coalesce(renames ->> m.source_column, m.source_column)
        where m.rollup_id = config.id
          and (c.column_name is null or m.aggregate <> all (tsconsole.possible_aggregates(c.base_type)));
end;
$$;

comment on function tsconsole.misfits(silver.timeseries_rollup_config, jsonb) is
'What of a rollup no longer fits its source, in words.
Example: select * from tsconsole.misfits(tsconsole.rollup(''silver.meters_1h''), ''{}'');';


create or replace function tsconsole.refitted_dimensions(config silver.timeseries_rollup_config, renames jsonb)
returns table (ordinal integer, expression text, data_type text, complaint text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    dimension tsconsole.rollup_dimension;
begin
    for dimension in select d.* from tsconsole.rollup_dimension d where d.rollup_id = config.id order by d.position loop
        ordinal := dimension.position;
        expression := coalesce((select format('s.%I', r.value) from jsonb_each_text(renames) r where format('s.%I', r.key) = dimension.expression), dimension.expression);
        complaint := null;
        select c.data_type || coalesce(' collate ' || c.collation_name, '') into data_type
        from tsconsole.columns(config.source_table) c where format('s.%I', c.column_name) = expression;
        if not found then
            select e.expression, e.data_type, e.complaint into expression, data_type, complaint
            from tsconsole.renamed_expression(config.source_table, dimension.expression, renames) e;
            complaint := format('dimension %I: ', dimension.column_name) || complaint;
        end if;
        return next;
    end loop;
end;
$$;

comment on function tsconsole.refitted_dimensions(silver.timeseries_rollup_config, jsonb) is
'The dimensions of a rollup over the columns of its source as they are now; complaint says why one no longer fits.
Example: select * from tsconsole.refitted_dimensions(tsconsole.rollup(''silver.meters_1h''), ''{}'');';


create or replace function tsconsole.renamed_expression(source regclass, old_expression text, renames jsonb, out expression text, out data_type text, out complaint text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    index_name regclass;
    item record;
begin
    if old_expression ~ '^s[.]("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)$' then
        complaint := format('column %s is gone', substr(old_expression, 3));
        return;
    end if;
    -- PostgreSQL itself renames the columns in the expression: it is an index of a copy that has the old names first.
    execute format('create temporary table tsconsole_probe (like %s)', tsconsole.qualified_name(source));
    for item in select r.value as old, 'tsconsole ' || r.rank as new from jsonb_each_text(renames) with ordinality r (key, value, rank)
                union all select 'tsconsole ' || r.rank, r.key from jsonb_each_text(renames) with ordinality r (key, value, rank) loop
        execute format('alter table pg_temp.tsconsole_probe rename column %I to %I', item.old, item.new);
    end loop;
    begin
        execute format('create index tsconsole_probe_index on pg_temp.tsconsole_probe ((%s))', old_expression);
        for item in select r.key as old, 'tsconsole ' || r.rank as new from jsonb_each_text(renames) with ordinality r (key, value, rank)
                    union all select 'tsconsole ' || r.rank, r.value from jsonb_each_text(renames) with ordinality r (key, value, rank) loop
            execute format('alter table pg_temp.tsconsole_probe rename column %I to %I', item.old, item.new);
        end loop;
        index_name := to_regclass('pg_temp.tsconsole_probe_index');
        select '(' || pg_get_indexdef(index_name, 1, false) || ')', c.data_type || coalesce(' collate ' || c.collation_name, '')
        into expression, data_type from tsconsole.columns(index_name) c;
    exception when others then
        complaint := sqlerrm;
    end;
    execute 'drop table pg_temp.tsconsole_probe';
end;
$$;

comment on function tsconsole.renamed_expression(regclass, text, jsonb) is
'A dimension''s expression after columns of its source were renamed, and its type now; complaint says why it no longer fits.
Example: select * from tsconsole.renamed_expression(''raw.readings'', ''(upper(place))'', ''{"site": "place"}'');';


create or replace function tsconsole.refitted_measures(config silver.timeseries_rollup_config, renames jsonb)
returns table (ordinal integer, source_column text, data_type text, expression text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with parent as (
        select p.id from silver.timeseries_rollup_config p where p.target_table = (config).source_table
    ), filled as (
        -- sum and count are there wherever avg is; the level below was fitted before.
        select m.position, m.aggregate, m.target_column, m.is_generated, coalesce(renames ->> m.source_column, m.source_column) as source_column,
               coalesce(b.data_type, tsconsole.aggregate_type(m.aggregate, c.base_type, c.collation_name)) as data_type,
               case when b.aggregate is not null then tsconsole.merge_expression(m.aggregate, b.target_column, b.data_type, (config).time_column)
                    else tsconsole.aggregate_expression(m.aggregate, c.column_name, c.base_type, (config).time_column) end as expression
        from tsconsole.rollup_measure m
        left join tsconsole.rollup_measure b on b.rollup_id = (select p.id from parent p) and b.aggregate = m.aggregate
                                            and b.source_column = coalesce(renames ->> m.source_column, m.source_column)
        left join tsconsole.columns((config).source_table) c on not exists (select from parent)
                                            and c.column_name = coalesce(renames ->> m.source_column, m.source_column)
        where m.rollup_id = (config).id
    )
    select f.position, f.source_column, f.data_type, case
        when f.aggregate <> 'avg' then f.expression
        when f.is_generated then tsconsole.average_expression(s.target_column, n.target_column, f.data_type)
        else tsconsole.computed_average(s.expression, n.expression, f.data_type) end
    from filled f
    left join filled s on s.source_column = f.source_column and s.aggregate = 'sum'
    left join filled n on n.source_column = f.source_column and n.aggregate = 'count'
    order by f.position;
$$;

comment on function tsconsole.refitted_measures(silver.timeseries_rollup_config, jsonb) is
'The measures of a rollup over the columns of its source as they are now.
Example: select * from tsconsole.refitted_measures(tsconsole.rollup(''silver.meters_1h''), ''{}'');';


create or replace function tsconsole.refit(rollup_id bigint, renames jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config;
    old_time text;
    dimensions jsonb;
    measures jsonb;
begin
    select c.* into config from silver.timeseries_rollup_config c where c.id = rollup_id;
    old_time := config.time_column;
    if renames ? old_time then
        perform tsconsole.run_briefly(tsconsole.lock_statements(config.target_table)
            || format('alter table %s rename column %I to %I', tsconsole.qualified_name(config.target_table), old_time, renames ->> old_time));
        update silver.timeseries_rollup_config c set time_column = renames ->> old_time where c.id = config.id returning c.* into config;
    end if;
    select jsonb_agg(to_jsonb(d)) into dimensions
    from tsconsole.refitted_dimensions(config, case when (tsconsole.parent_rollup(config)).id is null then renames else '{}' end) d;
    select jsonb_agg(to_jsonb(m)) into measures from tsconsole.refitted_measures(config, renames) m;
    perform tsconsole.change_types(config, coalesce(dimensions, '[]'), coalesce(measures, '[]'));
    update tsconsole.rollup_dimension d set expression = n.expression, data_type = n.data_type
    from jsonb_to_recordset(dimensions) n (ordinal integer, expression text, data_type text)
    where d.rollup_id = config.id and d.position = n.ordinal;
    update tsconsole.rollup_measure m set source_column = n.source_column, expression = n.expression, data_type = n.data_type
    from jsonb_to_recordset(measures) n (ordinal integer, source_column text, expression text, data_type text)
    where m.rollup_id = config.id and m.position = n.ordinal;
end;
$$;

comment on function tsconsole.refit(bigint, jsonb) is
'Fits one rollup to its source as it is now: names, expressions, and the types of its columns. Lower levels come first; live views must be away.
Example: see silver.refresh_source.';


create or replace function tsconsole.change_types(config silver.timeseries_rollup_config, dimensions jsonb, measures jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    pending text;
    changed text;
    averages text;
begin
    select string_agg(format('alter column d%1$s type %2$s using d%1$s::%2$s', d.position, tsconsole.plain_type(n.data_type)), ', '),
           string_agg(format('alter column %1$I type %2$s using %1$I::%2$s', d.column_name, n.data_type), ', ')
    into pending, changed
    from tsconsole.rollup_dimension d join jsonb_to_recordset(dimensions) n (ordinal integer, data_type text) on n.ordinal = d.position
    where d.rollup_id = config.id and d.data_type <> n.data_type;
    select concat_ws(', ', changed, string_agg(format('alter column %1$I type %2$s using %1$I::%2$s', m.target_column, n.data_type), ', '))
    into changed
    from tsconsole.rollup_measure m join jsonb_to_recordset(measures) n (ordinal integer, data_type text) on n.ordinal = m.position
    where m.rollup_id = config.id and m.data_type <> n.data_type and not m.is_generated;
    -- A column that a generated one is computed from can change its type only while that one is away.
    select string_agg(format('drop column %1$I, add column %1$I %2$s generated always as (%3$s) stored', a.target_column, n.data_type, n.expression), ', ')
    into averages
    from tsconsole.rollup_measure a join jsonb_to_recordset(measures) n (ordinal integer, data_type text, expression text) on n.ordinal = a.position
    where a.rollup_id = config.id and a.is_generated
      and exists (select from tsconsole.rollup_measure m join jsonb_to_recordset(measures) k (ordinal integer, data_type text) on k.ordinal = m.position
                  where m.rollup_id = config.id and m.source_column = a.source_column and m.data_type <> k.data_type);
    changed := concat_ws(', ', nullif(changed, ''), averages);
    if pending is not null then
        perform tsconsole.run_briefly(array[format('alter table %s %s', tsconsole.pending_table(config.id), pending)]);
    end if;
    if changed <> '' then
        perform tsconsole.run_briefly(tsconsole.lock_statements(config.target_table)
            || format('alter table %s %s', tsconsole.qualified_name(config.target_table), changed));
    end if;
end;
$$;

comment on function tsconsole.change_types(silver.timeseries_rollup_config, jsonb, jsonb) is
'Gives the columns of a target and of its pending ranges the types that the source''s columns have now. Rewrites the target when a type changes.
Example: see silver.refresh_source.';
