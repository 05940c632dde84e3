-- Creating a rollup: check, plan, make the target, queue its history.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.create_rollup_table(
    source_table_name  regclass,
    target_table_name  text,
    rollup_interval    interval,
    look_back_window   interval    default null,
    time_column        text        default null,
    dimensions         text[]      default null,
    measures           jsonb       default null,
    timezone           text        default 'UTC',
    bucket_origin      timestamptz default null,
    allowed_lateness   interval    default '30 seconds',
    refresh_interval   interval    default null,
    processing_window  interval    default null,
    chunk_interval     interval    default null,
    retention_period   interval    default null,
    source_retention   interval    default null,
    max_retries        integer     default 8,
    alert_threshold    interval    default '1 hour',
    max_execution_time interval    default '1 hour',
    change_tracking    text        default 'auto',
    partition_manager  text        default 'native',
    is_active          boolean     default true
) returns regclass
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config;
begin
    config.source_table := source_table_name;
    config.target_name := target_table_name;
    config.time_column := time_column;
    config.rollup_interval := rollup_interval;
    config.timezone := timezone;
    config.bucket_origin := bucket_origin;
    config.look_back_window := look_back_window;
    config.allowed_lateness := allowed_lateness;
    config.refresh_interval := refresh_interval;
    config.processing_window := processing_window;
    config.chunk_interval := chunk_interval;
    config.retention_period := retention_period;
    config.source_retention := source_retention;
    config.max_retries := max_retries;
    config.alert_threshold := alert_threshold;
    config.max_execution_time := max_execution_time;
    config.change_tracking := change_tracking;
    config.partition_manager := partition_manager;
    config.is_active := is_active;
    return tsconsole.create_rollup(config, null, dimensions, measures);
end;
$$;

comment on function silver.create_rollup_table(regclass, text, interval, interval, text, text[], jsonb, text, timestamptz, interval, interval, interval, interval, interval, interval, integer, interval, interval, text, text, boolean) is
'Creates a rollup: the partitioned target, its configuration, and its history as pending ranges; the next step or worker fills it. Returns the target. Errors: TS001 bad argument, TS002 not found, TS003 target exists, TS004 cannot be exact, 42501 no right.
time_column: found by itself when null. dimensions: columns or expressions; null means those of silver.timeseries_dimension_config. measures: {"column": ["min", "max", "avg", "sum", "count", "first", "last", "mode", "array_agg"]}; null means every other column. timezone: where buckets start. look_back_window: how far back the first run starts; null means from the first row.
Example: select silver.create_rollup_table(source_table_name := ''raw.readings'', target_table_name := ''readings_1h'', rollup_interval := ''1 hour'', dimensions := ''{device_id}'');';


create or replace function silver.create_rollup_table(
    source_table_name     regclass,
    target_schema         text,
    target_table_name     text,
    rollup_table_interval interval,
    look_back_window      interval default null,
    retention_period      interval default null,
    processing_window     interval default null,
    initial_status        text     default 'idle',
    is_active             boolean  default true
) returns regclass
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config;
begin
    config.source_table := source_table_name;
    config.target_name := target_table_name;
    config.rollup_interval := rollup_table_interval;
    config.timezone := 'UTC';
    config.look_back_window := look_back_window;
    config.allowed_lateness := '30 seconds';
    config.retention_period := retention_period;
    config.processing_window := processing_window;
    config.max_retries := 8;
    config.alert_threshold := '1 hour';
    config.max_execution_time := '1 hour';
    config.change_tracking := 'auto';
    config.partition_manager := 'native';
    config.is_active := is_active and initial_status is distinct from 'paused';
    return tsconsole.create_rollup(config, target_schema, null, null);
end;
$$;

comment on function silver.create_rollup_table(regclass, text, text, interval, interval, interval, interval, text, boolean) is
'The longer form, with the schema of the target as an argument of its own; initial_status ''paused'' creates it paused. Otherwise as the other form.
Example: select silver.create_rollup_table(source_table_name := ''raw.readings'', target_schema := ''gold'', target_table_name := ''readings_15m'', rollup_table_interval := ''15 minutes'');';


create or replace function tsconsole.create_rollup(
    wanted silver.timeseries_rollup_config, target_schema text, dimensions text[], measures jsonb
) returns regclass
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := wanted;
    parent silver.timeseries_rollup_config;
    target record;
begin
    perform tsconsole.check_source(config.source_table);
    -- A new reader must not miss changes that are being handed to the readers known before it.
    perform pg_advisory_xact_lock(tsconsole.lock_class('readers'), p.id::integer)
    from silver.timeseries_rollup_config p where p.target_table = config.source_table;
    parent := tsconsole.parent_rollup(config);
    target := tsconsole.split_target(target_schema, config.target_name);
    perform tsconsole.check_target(target.schema_name, target.table_name);

    config.time_column := coalesce(parent.time_column, tsconsole.find_time_column(config.source_table, config.time_column));
    select c.base_type into config.time_type from tsconsole.columns(config.source_table) c where c.column_name = config.time_column;
    perform tsconsole.check_zone(config.timezone);
    perform tsconsole.check_origin(config.bucket_origin);
    perform tsconsole.check_interval(config.rollup_interval, config.time_type, tsconsole.bucket_zone(config));
    if parent.id is not null then
        perform tsconsole.check_nesting(parent, config);
    end if;
    config := tsconsole.with_defaults(config);
    config.change_tracking := tsconsole.choose_tracking(config, parent);
    perform tsconsole.check_retention(config);
    perform tsconsole.check_partman(config, target.schema_name, target.table_name);
    if config.change_tracking = 'trigger' then
        perform tsconsole.begin_tracking(config);
    end if;

    config.source_name := tsconsole.qualified_name(config.source_table);
    config.target_name := format('%I.%I', target.schema_name, target.table_name);
    config.id := nextval(pg_get_serial_sequence('silver.timeseries_rollup_config', 'id'));
    config := tsconsole.make_target(config, parent, dimensions, measures);
    perform tsconsole.make_pending_table(config.id);
    perform tsconsole.queue_history(config);
    perform tsconsole.begin_partman(config);
    if config.change_tracking = 'trigger' then
        perform tsconsole.refresh_tracking(config.source_table, config.time_column);
    end if;
    perform tsconsole.make_live_view(config);
    perform tsconsole.advise_index(config);
    perform tsconsole.say_unlogged(config);
    return config.target_table;
end;
$$;

comment on function tsconsole.create_rollup(silver.timeseries_rollup_config, text, text[], jsonb) is
'What both forms of silver.create_rollup_table do.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.with_defaults(wanted silver.timeseries_rollup_config) returns silver.timeseries_rollup_config
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config := wanted;
    width interval := wanted.rollup_interval;
begin
    config.allowed_lateness := coalesce(config.allowed_lateness, '30 seconds');
    config.max_retries := coalesce(config.max_retries, 8);
    config.alert_threshold := coalesce(config.alert_threshold, '1 hour');
    config.max_execution_time := coalesce(config.max_execution_time, '1 hour');
    config.is_active := coalesce(config.is_active, true);
    config.refresh_interval := coalesce(config.refresh_interval, greatest('1 second', least(width, interval '1 hour')));
    config.chunk_interval := coalesce(config.chunk_interval, tsconsole.default_chunk(width));
    if config.look_back_window < '0' or config.allowed_lateness < '0' or least(
        config.refresh_interval, config.processing_window, config.chunk_interval, config.retention_period,
        config.source_retention, config.alert_threshold, config.max_execution_time) <= '0' then
        raise exception 'an interval among the arguments is zero or negative' using
            errcode = 'TS001', hint = 'Only look_back_window and allowed_lateness may be zero; nothing may be negative.';
    elsif (select p.months > 0 and p.seconds > 0 from tsconsole.interval_parts(config.chunk_interval) p) then
        raise exception 'chunk_interval % mixes months with days or time', config.chunk_interval using
            errcode = 'TS001', hint = 'Use whole hours, days, weeks or months.';
    elsif config.chunk_interval < width then
        raise exception 'chunk_interval % is shorter than a bucket of %', config.chunk_interval, width using
            errcode = 'TS001', hint = format('Most partitions would stay empty. Use %s or more; without one it is %s.', width, tsconsole.default_chunk(width));
    elsif greatest(config.look_back_window, config.allowed_lateness, config.refresh_interval, config.processing_window, config.chunk_interval,
                   config.retention_period, config.source_retention, config.alert_threshold, config.max_execution_time) > interval '1000 years' then
        raise exception 'an interval among the arguments is longer than 1000 years' using
            errcode = 'TS001', hint = 'Give null where there shall be no limit.';
    elsif config.max_retries < 0 then
        raise exception 'max_retries is %', config.max_retries using errcode = 'TS001', hint = 'Use 0 or more.';
    end if;
    config.created_at := clock_timestamp();
    config.created_by := current_user;
    return config;
end;
$$;

comment on function tsconsole.with_defaults(silver.timeseries_rollup_config) is
'Fills in what the caller left open and refuses values that make no sense.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.default_chunk(bucket_width interval) returns interval
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select greatest(bucket_width, case
        when bucket_width < interval '1 minute' then interval '1 day'
        when bucket_width < interval '1 hour' then interval '7 days'
        when bucket_width < interval '1 day' then interval '1 month'
        when bucket_width < interval '1 month' then interval '1 year'
        else interval '10 years' end);
$$;

comment on function tsconsole.default_chunk(interval) is
'The width of a target''s partitions when nothing was measured or said: by the width of a bucket.
Example: select tsconsole.default_chunk(''1 hour'');';


create or replace function tsconsole.make_pending_table(rollup_id bigint) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- No key: a step deletes by ctid what it claimed. Short-lived rows want an eager autovacuum, and the monitor looks into
    -- a table only while it has a page.
    execute format(
        'create table %s (lo timestamptz not null, hi timestamptz not null check (hi > lo), all_series boolean not null%s, kind "char" not null) '
        'with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0)',
        tsconsole.pending_table(rollup_id),
        (select string_agg(format(', d%s %s', d.position, tsconsole.plain_type(d.data_type)), '' order by d.position)
         from tsconsole.rollup_dimension d where d.rollup_id = make_pending_table.rollup_id));
    execute format('create index on %s (lo) where kind = ''c''', tsconsole.pending_table(rollup_id));
    -- Without it no step could delete from a table that is published.
    execute format('alter table %s replica identity full', tsconsole.pending_table(rollup_id));
    execute format('create index on %s (lo)', tsconsole.pending_table(rollup_id));
    perform tsconsole.give_to_owner('table', tsconsole.pending_table(rollup_id));
    execute format('comment on table %s is %L', tsconsole.pending_table(rollup_id),
        'Ranges of buckets that steps must still compute (kind h, history) or recompute (kind l, late; r, everything again; c, what a clock that was put back reads again), of all series or of the one in d1, d2, …');
end;
$$;

comment on function tsconsole.make_pending_table(bigint) is
'Creates the typed table of pending ranges of a new rollup.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.give_to_owner(kind text, name text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'silver.timeseries_rollup_config'::regclass);
begin
    -- Whichever member of the owning role creates a rollup, every other member can run it.
    if owner <> current_user and pg_has_role(owner, 'member') then
        execute format('alter %s %s owner to %I', kind, name, owner);
    end if;
end;
$$;

comment on function tsconsole.give_to_owner(text, text) is
'Makes the owner of the core the owner of a new table, view or function, when the caller is a member of that role. name is SQL.
Example: select tsconsole.give_to_owner(''table'', ''silver.meters_1h'');';


create or replace function tsconsole.advise_index(config silver.timeseries_rollup_config) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_class c where c.oid = (config).source_table and c.relkind in ('r', 'p', 'm'))
       and not tsconsole.has_time_index((config).source_table, (config).time_column) then
        raise notice 'source % has no index that begins with %, so every step reads all of it', (config).source_name, quote_ident((config).time_column)
            using hint = case when exists (select from pg_class c where c.oid = (config).source_table and c.relkind = 'p')
                then format('create index on %s (%I);  -- on a partitioned table; to keep writers going, first create index concurrently on each partition',
                            (config).source_name, (config).time_column)
                else format('create index concurrently on %s (%I);', (config).source_name, (config).time_column) end;
    end if;
end;
$$;

comment on function tsconsole.advise_index(silver.timeseries_rollup_config) is
'A notice with the CREATE INDEX statement when the source has no index on its time column.
Example: see silver.create_rollup_table.';


create or replace function tsconsole.unlogged_problem(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'the source is unlogged: a crash of the server empties it, and no rollup notices'
    where exists (select from tsconsole.with_partitions((config).source_table) p join pg_class c on c.oid = p where c.relpersistence = 'u');
$$;

comment on function tsconsole.unlogged_problem(silver.timeseries_rollup_config) is
'That a source, or one of its partitions, is unlogged; null when none is.
Example: select tsconsole.unlogged_problem(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.unlogged_hint(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('What was rolled up is kept then, except where late changes were still to be computed. To have it empty too: '
                  'select silver.invalidate(%L, ''-infinity'', ''infinity''); to avoid it: alter table … set logged;', (config).target_name);
$$;

comment on function tsconsole.unlogged_hint(silver.timeseries_rollup_config) is
'What becomes of a rollup whose unlogged source was emptied, and what can be done.
Example: select tsconsole.unlogged_hint(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.say_unlogged(config silver.timeseries_rollup_config) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if tsconsole.unlogged_problem(config) is not null then
        raise notice '%', tsconsole.unlogged_problem(config) using hint = tsconsole.unlogged_hint(config);
    end if;
end;
$$;

comment on function tsconsole.say_unlogged(silver.timeseries_rollup_config) is
'A notice when the source of a new rollup is unlogged.
Example: see silver.create_rollup_table.';
