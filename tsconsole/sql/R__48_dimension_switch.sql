-- The short transactions in which a rollup begins to group by more or by less.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.switch_dimensions(target regclass, dimensions text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    planned jsonb := tsconsole.planned_additions(config, dimensions);
begin
    perform tsconsole.stop_for_dimensions(config);
    perform tsconsole.change_key(config, '{}', format(
        'insert into tsconsole.rollup_dimension select %s, %s + d.ordinal, d.column_name, d.expression, d.data_type '
        'from jsonb_to_recordset(%L) d (ordinal integer, column_name text, expression text, data_type text)', config.id, tsconsole.last_dimension(config.id), planned));
    perform tsconsole.queue_refill(config);
end;
$$;

comment on function tsconsole.switch_dimensions(regclass, text[]) is
'Makes a rollup group by more, once its new key is there on every partition, and queues everything for being recomputed.
Example: see silver.add_dimensions.';


create or replace function tsconsole.change_key(config silver.timeseries_rollup_config, alterations text[], definition text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    levels bigint[] := tsconsole.with_readers(config.target_table);
    rights jsonb := tsconsole.live_rights(levels);
    had_view boolean := tsconsole.existing_live_view(config.id) is not null;
begin
    perform tsconsole.run_briefly(tsconsole.drop_view_statements(levels) || tsconsole.lock_statements(config.target_table)
        || array(select 'drop index ' || i.name from tsconsole.unique_indexes(config) i where i.is_key) || alterations);
    execute definition;
    if config.change_tracking = 'trigger' then
        perform tsconsole.refresh_tracking(config.source_table, config.time_column);
    end if;
    if had_view then
        perform tsconsole.bring_live_views_back(levels, rights);
    end if;
end;
$$;

comment on function tsconsole.change_key(silver.timeseries_rollup_config, text[], text) is
'Gives a rollup the key whose index has been built: drops the former unique index, runs the alterations under a lock, then the statement that changes the definition, and makes triggers and live views anew.
Example: see silver.add_dimensions.';


create or replace function tsconsole.retire_dimensions(target regclass, dimensions text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    replace_view text;
begin
    perform tsconsole.check_relations(config);
    perform tsconsole.check_dropped_dimensions(config, dimensions);
    perform tsconsole.check_unique_indexes(config, tsconsole.key_without(config, dimensions));
    if not exists (select from tsconsole.rollup_dimension d where d.rollup_id = config.id and d.column_name = any (dimensions)
                   and d.expression <> tsconsole.no_value(d.data_type)) then
        return;
    end if;
    perform tsconsole.stop_for_dimensions(config);
    -- The column stays in the key, without a value: steps then replace the rows that have one.
    update tsconsole.rollup_dimension d set expression = tsconsole.no_value(d.data_type)
    where d.rollup_id = config.id and d.column_name = any (dimensions);
    if config.change_tracking = 'trigger' then
        perform tsconsole.refresh_tracking(config.source_table, config.time_column);
    end if;
    perform tsconsole.queue_refill(config);
    replace_view := format('create or replace view %s as %s', tsconsole.qualified_name(tsconsole.existing_live_view(config.id)), tsconsole.live_query(config));
    if replace_view is not null then
        perform tsconsole.run_briefly(array[format('create or replace view tsconsole.stale_%s as %s', config.id, tsconsole.stale_query(config)), replace_view]);
    end if;
end;
$$;

comment on function tsconsole.retire_dimensions(regclass, text[]) is
'Makes a rollup no longer tell the values of these dimensions apart, and queues everything for being recomputed; does nothing when that was done before.
Example: see silver.drop_dimensions.';


create or replace function tsconsole.no_value(data_type text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('null::%s', data_type);
$$;

comment on function tsconsole.no_value(text) is
'The expression of a dimension that is being dropped; the type may have a collation.
Example: select tsconsole.no_value(''text'');';


create or replace function tsconsole.check_dropped_dimensions(config silver.timeseries_rollup_config, dimensions text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    parent silver.timeseries_rollup_config := tsconsole.parent_rollup(config);
    problem text;
begin
    select coalesce(quote_ident(n), 'null') into problem from unnest(dimensions) n
    where n is null or n <> all (array(select d.column_name from tsconsole.rollup_dimension d where d.rollup_id = config.id)) limit 1;
    if found or coalesce(cardinality(dimensions), 0) = 0 then
        raise exception '%', coalesce(config.target_name || ' does not group by ' || problem, 'dimensions is empty') using
            errcode = 'TS001', hint = format('It groups by: %s', coalesce(array_to_string((tsconsole.key_columns(config))[2:], ', '), 'nothing'));
    end if;
    select format('%s groups by %I of %s', tsconsole.qualified_name(c.target_table), n, config.target_name) into problem
    from unnest(dimensions) n, silver.timeseries_rollup_config c join tsconsole.rollup_dimension d on d.rollup_id = c.id
    where c.source_table = config.target_table
      and (d.expression = format('s.%I', n) or d.expression !~ '^s[.]' and strpos(d.expression, quote_ident(n)) > 0)
    limit 1;
    if found then
        raise exception '%', problem using errcode = 'TS004', hint = 'Drop the dimension from the levels above first.';
    end if;
    if parent.id is not null and dimensions && (tsconsole.key_columns(parent))[2:]
       and exists (select from tsconsole.rollup_measure m where m.rollup_id = config.id and m.aggregate in ('first', 'last')) then
        raise exception '% takes first or last of each series of %, which would be several', config.target_name, tsconsole.qualified_name(parent.target_table) using
            errcode = 'TS004', hint = 'Drop these measures first, with silver.drop_measures.';
    end if;
end;
$$;

comment on function tsconsole.check_dropped_dimensions(silver.timeseries_rollup_config, text[]) is
'Refuses to drop dimensions that are not there, or that a level above, or first and last of this one, need.
Example: see silver.drop_dimensions.';


create or replace function tsconsole.is_refilling(target regclass) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    refilling boolean;
begin
    execute format('select exists (select from %s p where p.kind = ''r'')', tsconsole.pending_table((tsconsole.rollup(target)).id)) into refilling;
    return refilling;
end;
$$;

comment on function tsconsole.is_refilling(regclass) is
'Whether a rollup is still being recomputed after a change of its definition.
Example: select tsconsole.is_refilling(''silver.meters_1h'');';


create or replace function tsconsole.key_without(config silver.timeseries_rollup_config, dimensions text[]) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select k.name from unnest(tsconsole.key_columns(config)) with ordinality k (name, rank) where k.name <> all (dimensions) order by k.rank);
$$;

comment on function tsconsole.key_without(silver.timeseries_rollup_config, text[]) is
'The key of a rollup without some of its dimensions.
Example: select tsconsole.key_without(tsconsole.rollup(''silver.meters_1h''), ''{site}'');';


create or replace function tsconsole.begin_dropping(target regclass, dimensions text[]) returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
    columns text[] := tsconsole.key_without(config, dimensions);
    left_over timestamptz;
begin
    execute format('select min(%s) from %s t where %s', tsconsole.column_to_axis(config, format('t.%I', config.time_column)),
                   tsconsole.qualified_name(target), format('num_nonnulls(%s) > 0', tsconsole.column_list(dimensions, 't.%I'))) into left_over;
    if left_over is not null then
        raise exception 'there are still rows with a value of %, the first at %', array_to_string(dimensions, ', '), left_over using
            errcode = 'TS004', detail = 'They belong to buckets that the source no longer holds, so they cannot be computed again.',
            hint = 'Leave the column, which stays null from now on; or delete these rows, and call this again.';
    end if;
    perform tsconsole.run_briefly(array[tsconsole.key_statement(target, columns)]);
    return columns;
end;
$$;

comment on function tsconsole.begin_dropping(regclass, text[]) is
'Begins the unique index without dimensions whose columns have no values any more, and returns its columns. TS004 when rows still have some.
Example: see silver.drop_dimensions.';


create or replace function tsconsole.switch_dropped(target regclass, dimensions text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := tsconsole.rollup(target);
begin
    perform tsconsole.stop_for_dimensions(config);
    -- Their columns in the table of pending ranges stay, unused.
    perform tsconsole.change_key(config,
        array[format('alter table %s %s', tsconsole.qualified_name(target), tsconsole.column_list(dimensions, 'drop column %I'))],
        format('delete from tsconsole.rollup_dimension d where d.rollup_id = %s and d.column_name = any (%L)', config.id, dimensions));
end;
$$;

comment on function tsconsole.switch_dropped(regclass, text[]) is
'Drops the columns of dimensions that a rollup no longer has.
Example: see silver.drop_dimensions.';
