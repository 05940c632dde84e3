-- Changing a rollup without losing it: its settings, and its measures.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.alter_rollup(
    target             regclass,
    allowed_lateness   interval default null,
    refresh_interval   interval default null,
    processing_window  interval default null,
    chunk_interval     interval default null,
    retention_period   interval default null,
    source_retention   interval default null,
    max_retries        integer  default null,
    alert_threshold    interval default null,
    max_execution_time interval default null,
    look_back_window   interval default null,
    clear              text[]   default null
) returns table (setting text, old_value text, new_value text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
declare
    before silver.timeseries_rollup_config := tsconsole.rollup(target);
    wanted jsonb := jsonb_strip_nulls(jsonb_build_object(
        'allowed_lateness', allowed_lateness, 'refresh_interval', refresh_interval, 'processing_window', processing_window,
        'chunk_interval', chunk_interval, 'retention_period', retention_period, 'source_retention', source_retention,
        'max_retries', max_retries, 'alert_threshold', alert_threshold, 'max_execution_time', max_execution_time,
        'look_back_window', look_back_window));
    after silver.timeseries_rollup_config;
begin
    perform tsconsole.check_settings(before, wanted, clear);
    after := tsconsole.with_defaults(jsonb_populate_record(before, wanted || coalesce((select jsonb_object_agg(c, null) from unnest(clear) c), '{}')));
    perform tsconsole.check_retention(after);
    if after.partition_manager <> 'native' and after.chunk_interval <> before.chunk_interval then
        raise exception 'the partitions of % are made by pg_partman', before.target_name using
            errcode = 'TS004', hint = 'It keeps the interval a table began with; its documentation says how to change one.';
    end if;
    if after.change_tracking = 'trigger' and after.allowed_lateness < before.allowed_lateness then
        -- The triggers first: once the frontier goes closer to the clock, every row behind it must be logged.
        perform tsconsole.begin_tracking(after);
        perform tsconsole.refresh_tracking(after.source_table, after.time_column);
    end if;
    if coalesce(after.source_retention > before.source_retention, before.source_retention is not null and after.source_retention is null) then
        -- What may have vanished already does not come back.
        after.source_gone_before := greatest(before.source_gone_before, tsconsole.axis_clock(before) - before.source_retention);
    end if;
    for setting, old_value, new_value in
        select a.key, b.value, a.value from jsonb_each_text(to_jsonb(after)) a join jsonb_each_text(to_jsonb(before)) b using (key)
        where a.value is distinct from b.value and a.key not in ('created_at', 'created_by')
        order by a.key
    loop
        execute format('update silver.timeseries_rollup_config set %1$I = ($1).%1$I where id = $2', setting) using after, before.id;
        if setting <> 'source_gone_before' then
            return next;
        end if;
    end loop;
end;
$$;

comment on function silver.alter_rollup(regclass, interval, interval, interval, interval, interval, interval, integer, interval, interval, interval, text[]) is
'Changes settings of a rollup; what is null stays. clear names settings that go back to what create_rollup_table gives when nothing is said: clear := ''{retention_period}'' keeps everything from now on. Returns what changed. A shorter allowed_lateness changes the triggers of the source, which waits for its writers in short tries; a longer source_retention holds from now on, what was beyond the old one stays as it is. TS001 for a value that makes no sense, TS002 when it is not a rollup, TS005 when a writer does not end.
Example: select * from silver.alter_rollup(''silver.meters_1h'', retention_period := ''2 years'', refresh_interval := ''5 minutes'');';


create or replace function tsconsole.check_settings(config silver.timeseries_rollup_config, wanted jsonb, clear text[]) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    clearable constant text[] := array['allowed_lateness', 'refresh_interval', 'processing_window', 'chunk_interval', 'retention_period',
        'source_retention', 'max_retries', 'alert_threshold', 'max_execution_time'];
    wrong text;
begin
    select coalesce(quote_literal(c), 'null') into wrong from unnest(clear) c where c is null or c <> all (clearable) limit 1;
    if found then
        raise exception 'clear has %, which is not a setting that can be cleared', wrong using
            errcode = 'TS001', hint = 'It can have: ' || array_to_string(clearable, ', ') || '.';
    end if;
    select c into wrong from unnest(clear) c where wanted ? c limit 1;
    if found then
        raise exception '% is both set and cleared', wrong using errcode = 'TS001', hint = 'Do one of the two.';
    elsif wanted ? 'look_back_window' and config.change_tracking <> 'look_back' then
        raise exception 'look_back_window of % cannot be changed: late changes are tracked by %', config.target_name, config.change_tracking using
            errcode = 'TS004', hint = 'With it the rollup has only said where its first run starts. To cover more, create it again.';
    end if;
end;
$$;

comment on function tsconsole.check_settings(silver.timeseries_rollup_config, jsonb, text[]) is
'Refuses a change of settings that contradicts itself.
Example: see silver.alter_rollup.';


create or replace function silver.add_measures(target regclass, measures jsonb) returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    live regclass := tsconsole.existing_live_view(config.id);
    planned jsonb;
    columns text;
begin
    perform tsconsole.check_relations(config);
    -- The level below must keep its measures until this has ended.
    perform pg_advisory_xact_lock(tsconsole.lock_class('readers'), p.id::integer)
    from silver.timeseries_rollup_config p where p.target_table = config.source_table;
    perform tsconsole.check_new_measures(config, measures);
    perform tsconsole.claim_rollups(array[config.id]);
    config := tsconsole.rollup(target);
    select jsonb_agg(to_jsonb(m)), string_agg(format('add column %I %s', m.target_column, m.data_type), ', ')
    into planned, columns from tsconsole.new_measures(config, measures) m;
    insert into tsconsole.rollup_measure
    select config.id, m.rank + (select coalesce(max(r.position), 0) from tsconsole.rollup_measure r where r.rollup_id = config.id),
           m.item ->> 'target_column', m.item ->> 'aggregate', m.item ->> 'source_column', m.item ->> 'data_type', m.item ->> 'expression', false
    from jsonb_array_elements(planned) with ordinality m (item, rank);
    -- New columns come last, so the view can take them on without going away. Its lock comes before those of the table, as
    -- for whoever reads it, and all of them within one budget.
    perform tsconsole.run_briefly(
        array(select format('alter view %s owner to %I', tsconsole.qualified_name(c.oid), pg_get_userbyid(c.relowner)) from pg_class c where c.oid = live)
        || tsconsole.lock_statements(target) || format('alter table %s %s', tsconsole.qualified_name(target), columns)
        || array(select format('create or replace view %s as %s', tsconsole.qualified_name(live), tsconsole.live_query(config)) where live is not null));
    perform tsconsole.queue_refill(config);
    return array(select m ->> 'target_column' from jsonb_array_elements(planned) m);
end;
$$;

comment on function silver.add_measures(regclass, jsonb) is
'Adds measures to a rollup: columns <aggregate>_<column>, and sum and count beside an average. Returns the new columns. The table stays readable; the new columns are null until steps have filled them, newest buckets first, while the live view is right at once. Buckets that the source no longer holds keep null. In a ladder each level is asked for itself, lowest first. TS001 for a column that is not there, TS002 when it is not a rollup, TS003 when it has the measure already, TS004 when it cannot be exact or the level below lacks it, TS005 when a step does not end.
Example: select silver.add_measures(''silver.meters_1h'', ''{"power": ["max", "avg"]}'');';


create or replace function tsconsole.check_new_measures(config silver.timeseries_rollup_config, measures jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    parent silver.timeseries_rollup_config := tsconsole.parent_rollup(config);
    known text;
    missing jsonb;
begin
    if not exists (select from tsconsole.wanted_aggregates(coalesce(measures, 'null'))) then
        raise exception 'measures is empty' using errcode = 'TS001', hint = 'For example: {"temperature": ["min", "max", "avg"]}';
    end if;
    select string_agg(format('%s of %I', w.aggregate, w.source_column), ', ') into known
    from tsconsole.wanted_aggregates(measures) w
    join tsconsole.rollup_measure m on m.rollup_id = config.id and m.source_column = w.source_column and m.aggregate = w.aggregate;
    if known is not null then
        raise exception '% has this already: %', tsconsole.qualified_name(config.target_table), known using
            errcode = 'TS003', hint = 'Leave it out.';
    end if;
    select jsonb_object_agg(l.source_column, l.aggregates) into missing
    from (select w.source_column, jsonb_agg(w.aggregate order by w.ordinal) as aggregates
          from tsconsole.wanted_aggregates(tsconsole.with_sum_and_count(measures)) w
          where parent.id is not null and w.aggregate in ('min', 'max', 'avg', 'sum', 'count', 'first', 'last')
            and not exists (select from tsconsole.rollup_measure m
                            where m.rollup_id = parent.id and m.source_column = w.source_column and m.aggregate = w.aggregate)
          group by w.source_column) l;
    if missing is not null then
        raise exception 'the level below, %, lacks %', tsconsole.qualified_name(parent.target_table), missing using
            errcode = 'TS004',
            hint = format('First: select silver.add_measures(%L, %L);', tsconsole.qualified_name(parent.target_table), missing);
    end if;
end;
$$;

comment on function tsconsole.check_new_measures(silver.timeseries_rollup_config, jsonb) is
'Refuses measures that a rollup has already, or that the level below does not have.
Example: see silver.add_measures.';


create or replace function tsconsole.new_measures(config silver.timeseries_rollup_config, measures jsonb)
returns table (target_column text, aggregate text, source_column text, data_type text, expression text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    parent silver.timeseries_rollup_config := tsconsole.parent_rollup(config);
    plain_columns text[] := array(select c.column_name from tsconsole.columns(config.source_table) c join tsconsole.rollup_dimension d
                                  on d.rollup_id = config.id and d.expression = format('s.%I', c.column_name));
begin
    return query
        with plan as (
            select p.* from tsconsole.plan_measures(config.source_table, config.time_column, plain_columns, measures, parent,
                (tsconsole.key_columns(parent))[2:] <@ plain_columns,
                array(select c.column_name from tsconsole.columns(config.target_table) c)) with ordinality
                p (target_column, aggregate, source_column, data_type, expression, is_generated, rank)
        )
        select p.target_column, p.aggregate, p.source_column, p.data_type,
               -- A generated column would rewrite the whole table and lock its readers out: computed at each step instead.
               case when p.is_generated then tsconsole.computed_average(
                   (select s.expression from plan s where s.source_column = p.source_column and s.aggregate = 'sum'),
                   (select n.expression from plan n where n.source_column = p.source_column and n.aggregate = 'count'), p.data_type)
               else p.expression end
        from plan p
        where not exists (select from tsconsole.rollup_measure m
                          where m.rollup_id = config.id and m.source_column = p.source_column and m.aggregate = p.aggregate)
        order by p.rank;
end;
$$;

comment on function tsconsole.new_measures(silver.timeseries_rollup_config, jsonb) is
'The columns that a rollup gets for further measures, each with the SQL that fills it.
Example: select * from tsconsole.new_measures(tsconsole.rollup(''silver.meters_1h''), ''{"power": ["avg"]}'');';


create or replace function tsconsole.computed_average(sum_expression text, count_expression text, data_type text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when data_type = 'interval' then format('(%s) / nullif(%s, 0)::double precision', sum_expression, count_expression)
                else format('(%1$s)::%3$s / nullif(%2$s, 0)::%3$s', sum_expression, count_expression, data_type) end;
$$;

comment on function tsconsole.computed_average(text, text, text) is
'The SQL of an average that is not a generated column: the same sum divided by the same count.
Example: select tsconsole.computed_average(''sum(s.t)'', ''count(s.t)'', ''numeric'');';


create or replace function silver.drop_measures(target regclass, measures jsonb) returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    levels bigint[] := tsconsole.with_readers(target);
    rights jsonb := tsconsole.live_rights(levels);
    had_view boolean := tsconsole.existing_live_view(config.id) is not null;
    dropped text[];
begin
    -- A reader that is being created, or given a measure, may need what goes away.
    perform pg_advisory_xact_lock(tsconsole.lock_class('readers'), config.id::integer);
    perform tsconsole.check_dropped_measures(config, measures);
    perform tsconsole.claim_rollups(array[config.id]);
    -- Averages first: they are generated from the others.
    select array_agg(m.target_column order by not m.is_generated, m.position) into dropped
    from tsconsole.wanted_aggregates(measures) w
    join tsconsole.rollup_measure m on m.rollup_id = config.id and m.source_column = w.source_column and m.aggregate = w.aggregate;
    perform tsconsole.run_briefly(
        tsconsole.drop_view_statements(levels) || tsconsole.lock_statements(target)
        || format('alter table %s %s', tsconsole.qualified_name(target), tsconsole.column_list(dropped, 'drop column %I')));
    delete from tsconsole.rollup_measure m where m.rollup_id = config.id and m.target_column = any (dropped);
    if had_view then
        perform tsconsole.bring_live_views_back(levels, rights);
    end if;
    return dropped;
end;
$$;

comment on function silver.drop_measures(regclass, jsonb) is
'Takes measures away from a rollup, with their columns and what they held. Returns the dropped columns. The live views of this level and those above are made anew; what was granted on them stays granted. TS001 when it has no such measure, TS002 when it is not a rollup, TS004 when a rollup above, an average, or something else needs the column, TS005 when a step or a reader does not end.
Example: select silver.drop_measures(''silver.meters_1h'', ''{"power": ["min"]}'');';


create or replace function tsconsole.check_dropped_measures(config silver.timeseries_rollup_config, measures jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    problem text;
begin
    select format('%s has no measure %s of %I', tsconsole.qualified_name(config.target_table), w.aggregate, w.source_column) into problem
    from tsconsole.wanted_aggregates(coalesce(measures, 'null')) w
    where not exists (select from tsconsole.rollup_measure m
                      where m.rollup_id = config.id and m.source_column = w.source_column and m.aggregate = w.aggregate) limit 1;
    if found or measures = '{}' then
        raise exception '%', coalesce(problem, 'measures is empty') using errcode = 'TS001',
            hint = format('It has: %s', tsconsole.measure_arguments(config.id));
    end if;
    select format('%s of %I is read by %s', w.aggregate, w.source_column, tsconsole.qualified_name(c.target_table)) into problem
    from tsconsole.wanted_aggregates(measures) w
    join tsconsole.rollup_measure m on m.source_column = w.source_column and m.aggregate = w.aggregate
    join silver.timeseries_rollup_config c on c.id = m.rollup_id and c.source_table = config.target_table
    limit 1;
    if found then
        raise exception '%', problem using errcode = 'TS004', hint = 'Drop the measure from the levels above first.';
    end if;
    select format('%s of %I is what its average is computed from', w.aggregate, w.source_column) into problem
    from tsconsole.wanted_aggregates(measures) w
    join tsconsole.rollup_measure m on m.rollup_id = config.id and m.source_column = w.source_column and m.aggregate = 'avg'
    where w.aggregate in ('sum', 'count')
      and not exists (select from tsconsole.wanted_aggregates(measures) a where a.source_column = w.source_column and a.aggregate = 'avg')
    limit 1;
    if found then
        raise exception '%', problem using errcode = 'TS004', hint = 'Drop avg with it.';
    end if;
end;
$$;

comment on function tsconsole.check_dropped_measures(silver.timeseries_rollup_config, jsonb) is
'Refuses to drop measures that are not there, or that a level above or an average needs.
Example: see silver.drop_measures.';
