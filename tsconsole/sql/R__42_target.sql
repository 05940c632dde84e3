-- The target table of a new rollup, and where the rollup starts.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.make_target(
    wanted silver.timeseries_rollup_config, parent silver.timeseries_rollup_config, dimensions text[], measures jsonb
) returns silver.timeseries_rollup_config
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := wanted;
    planned jsonb;
    plain_columns text[];
begin
    select coalesce(jsonb_agg(to_jsonb(d) order by d.ordinal), '[]') into planned
    from tsconsole.plan_dimensions(config.source_table,
        case when parent.id is null then dimensions else coalesce(dimensions, (tsconsole.key_columns(parent))[2:]) end) d;
    perform tsconsole.check_keys(config, parent, planned);
    plain_columns := array(select c.column_name from tsconsole.columns(config.source_table) c, jsonb_array_elements(planned) d
                           where d ->> 'expression' = format('s.%I', c.column_name));

    select coalesce(jsonb_agg(to_jsonb(m)), '[]') into measures
    from tsconsole.plan_measures(config.source_table, config.time_column, plain_columns, measures, parent,
        (tsconsole.key_columns(parent))[2:] <@ plain_columns,
        array[config.time_column, 'rollup_count'] || array(select d ->> 'column_name' from jsonb_array_elements(planned) d)) m;

    begin
        execute tsconsole.target_statement(config, planned, measures);
    exception when duplicate_table or unique_violation then
        raise exception 'target % exists already', config.target_name using
            errcode = 'TS003', hint = 'Another session has just created it.';
    end;
    config.target_table := config.target_name;
    perform tsconsole.give_to_owner('table', config.target_name);
    -- Its unique index may hold nulls, and cannot be the identity by which a publication knows its rows.
    execute format('alter table %s replica identity full', config.target_name);
    execute format('create unique index on %s (%I%s) nulls not distinct', config.target_name, config.time_column,
        (select string_agg(format(', %I', d ->> 'column_name'), '' order by d -> 'ordinal') from jsonb_array_elements(planned) d));
    execute format('comment on table %s is %L', config.target_name,
        format('Rollup of %s in buckets of %s.', config.source_name, config.rollup_interval));

    config := tsconsole.with_start(config, parent);
    insert into silver.timeseries_rollup_config overriding system value select config.*;
    insert into tsconsole.recent_runs (rollup_id) values (config.id);
    insert into tsconsole.rollup_dimension
    select config.id, (d ->> 'ordinal')::integer, d ->> 'column_name', d ->> 'expression', d ->> 'data_type'
    from jsonb_array_elements(planned) d;
    insert into tsconsole.rollup_measure
    select config.id, m.rank, m.item ->> 'target_column', m.item ->> 'aggregate', m.item ->> 'source_column',
           m.item ->> 'data_type', m.item ->> 'expression', (m.item ->> 'is_generated')::boolean
    from jsonb_array_elements(measures) with ordinality m (item, rank);
    return config;
end;
$$;

comment on function tsconsole.make_target(silver.timeseries_rollup_config, silver.timeseries_rollup_config, text[], jsonb) is
'Plans dimensions and measures, creates the target with its unique index, and stores the rollup.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.check_keys(config silver.timeseries_rollup_config, parent silver.timeseries_rollup_config, planned jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    twice text;
    unusable text;
    foreign_column text;
begin
    select quote_ident(d ->> 'column_name') into unusable
    from jsonb_array_elements(planned) d
    where octet_length(d ->> 'column_name') > 63 or d ->> 'column_name' in ('tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid');
    if unusable is not null then
        raise exception 'a dimension cannot be called %', unusable using
            errcode = 'TS001', hint = 'A name has at most 63 bytes and is not one of PostgreSQL''s system columns; give another with … as name.';
    end if;
    select string_agg(quote_ident(k.name), ', ') into twice
    from (select n.name from unnest(array[(config).time_column, 'rollup_count'] || array(
              select d ->> 'column_name' from jsonb_array_elements(planned) d)) n (name)
          group by n.name having count(*) > 1) k;
    if twice is not null then
        raise exception 'two columns of the target would be called %', twice using
            errcode = 'TS001', hint = 'Give an expression another name (… as name); the time column and rollup_count are taken.';
    end if;

    -- A level can only group by what the level below keeps apart.
    select d ->> 'column_name' into foreign_column
    from jsonb_array_elements(planned) d
    where (parent).id is not null
      and exists (select from tsconsole.rollup_measure m
                  where m.rollup_id = (parent).id and d ->> 'expression' = format('s.%I', m.target_column));
    if foreign_column is not null then
        raise exception 'dimension % is a measure of %', quote_ident(foreign_column), tsconsole.qualified_name((parent).target_table) using
            errcode = 'TS001', hint = 'A ladder groups by dimensions of the level below, or by fewer of them.';
    end if;
end;
$$;

comment on function tsconsole.check_keys(silver.timeseries_rollup_config, silver.timeseries_rollup_config, jsonb) is
'Refuses dimensions that clash with each other, with the time column or with rollup_count, or that are measures of the level below.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.target_statement(config silver.timeseries_rollup_config, planned jsonb, measures jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('create table %s (%I %s not null%s, rollup_count bigint not null%s) partition by range (%I)',
        (config).target_name, (config).time_column, format_type((config).time_type, null),
        (select string_agg(format(', %I %s', d ->> 'column_name', d ->> 'data_type'), '' order by d -> 'ordinal')
         from jsonb_array_elements(planned) d),
        (select string_agg(format(', %I %s', m.item ->> 'target_column', m.item ->> 'data_type')
                           || case when (m.item ->> 'is_generated')::boolean then format(' generated always as (%s) stored', m.item ->> 'expression') else '' end,
                           '' order by m.rank)
         from jsonb_array_elements(measures) with ordinality m (item, rank)),
        (config).time_column);
$$;

comment on function tsconsole.target_statement(silver.timeseries_rollup_config, jsonb, jsonb) is
'The CREATE TABLE of a target.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.edge_row(
    config silver.timeseries_rollup_config, direction text, lo timestamptz, hi timestamptz, relation regclass default null
) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    edge timestamptz;
begin
    execute format('select %s from %s s where %s',
        tsconsole.column_to_axis(config, format('%s(s.%I)', direction, (config).time_column)),
        tsconsole.qualified_name(coalesce(relation, (config).source_table)),
        tsconsole.range_condition(config, 's', '$1', '$2'))
    into edge using greatest(lo, tsconsole.earliest_time()), least(hi, tsconsole.latest_time());
    return edge;
end;
$$;

comment on function tsconsole.edge_row(silver.timeseries_rollup_config, text, timestamptz, timestamptz, regclass) is
'The first (min) or last (max) time of a row of the source, or of another table with the same time column, in [lo, hi), by index where there is one; null when there is none. NULL and infinite times do not count.
Example: select tsconsole.edge_row(tsconsole.rollup(''silver.meters_1h''), ''min'', ''-infinity'', ''infinity'');';


create or replace function tsconsole.with_start(wanted silver.timeseries_rollup_config, parent silver.timeseries_rollup_config)
returns silver.timeseries_rollup_config
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := wanted;
    first_row timestamptz;
    oldest_pending timestamptz;
begin
    config.first_bucket := greatest(
        coalesce(tsconsole.bucket_floor(config, tsconsole.axis_clock(config) - config.look_back_window), '-infinity'),
        coalesce(tsconsole.bucket_ceiling(config, tsconsole.frozen_before(config)), '-infinity'),
        tsconsole.bucket_ceiling(config, nullif(parent.first_bucket, '-infinity')));
    first_row := tsconsole.edge_row(config, 'min', config.first_bucket, 'infinity');
    if parent.id is not null then
        execute format('select min(lo) from %s where kind = ''h''', tsconsole.pending_table(parent.id)) into oldest_pending;
        if oldest_pending is not null then
            first_row := least(first_row, greatest(oldest_pending, config.first_bucket));
        end if;
    end if;
    -- An empty source has no bucket yet: whatever is loaded first, however old, will be new to the frontier.
    config.last_processed_time := case when first_row is null then '-infinity'
        else tsconsole.bucket_floor(config, tsconsole.safe_horizon(config)) end;
    if tsconsole.bucket_floor(config, first_row) < config.last_processed_time then
        config.history_from := tsconsole.bucket_floor(config, first_row);
        config.history_to := config.last_processed_time;
    end if;
    return config;
end;
$$;

comment on function tsconsole.with_start(silver.timeseries_rollup_config, silver.timeseries_rollup_config) is
'Sets where a new rollup begins: its first bucket, its first watermark, and the history below that.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.frozen_before(config silver.timeseries_rollup_config) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return greatest(
        (select p.retained_from from silver.timeseries_rollup_config p where p.target_table = (config).source_table),
        (config).source_gone_before,
        -- A day is 24 hours, also where the clocks change: live views in other sessions must say the same.
        (tsconsole.axis_clock(config) at time zone 'UTC' - (config).source_retention) at time zone 'UTC');
end;
$$;

comment on function tsconsole.frozen_before(silver.timeseries_rollup_config) is
'The time below which the source may no longer hold all rows: what is stored there stays as it is. Null when nothing is declared or dropped.
Example: select tsconsole.frozen_before(tsconsole.rollup(''silver.meters_1h''));';
