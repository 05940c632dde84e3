-- The definition of a rollup, as a person or a program reads it.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

-- A column of its result is new.
drop function if exists tsconsole.rollup_definition(regclass);

create or replace function tsconsole.rollup_definition(target regclass)
returns table (
    target_table regclass, source_table regclass, reads_rollup boolean, time_column text, time_type regtype, rollup_interval interval,
    timezone text, bucket_origin timestamptz, look_back_window interval, allowed_lateness interval, refresh_interval interval,
    processing_window interval, chunk_interval interval, retention_period interval, retention_action text, source_retention interval, max_retries integer,
    alert_threshold interval, max_execution_time interval, change_tracking text, partition_manager text, is_active boolean,
    last_processed_time timestamptz, created_at timestamptz, created_by text,
    dimensions text[], measures jsonb, ladder text[], create_statement text, step_query text
)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select c.target_table, c.source_table, (tsconsole.parent_rollup(c)).id is not null, c.time_column, c.time_type, c.rollup_interval,
           c.timezone, c.bucket_origin, c.look_back_window, c.allowed_lateness, c.refresh_interval,
           c.processing_window, c.chunk_interval, c.retention_period, coalesce(c.retention_action, 'drop'), c.source_retention, c.max_retries,
           c.alert_threshold, c.max_execution_time, c.change_tracking, c.partition_manager, c.is_active,
           nullif(c.last_processed_time, '-infinity'), c.created_at, c.created_by,
           tsconsole.dimension_arguments(c.id), tsconsole.measure_arguments(c.id),
           array(select tsconsole.qualified_name(l) from tsconsole.ladder_of(c.target_table) l),
           tsconsole.create_statement(c), tsconsole.insert_query(c)
    from tsconsole.rollup(target) c;
$$;

comment on function tsconsole.rollup_definition(regclass) is
'Everything that defines a rollup: its settings, dimensions and measures, the ladder it stands in (lowest first), the statement that would create it again, and the statement its steps run.
Example: select create_statement from tsconsole.rollup_definition(''silver.meters_1h'');';


create or replace function tsconsole.dimension_arguments(rollup_id bigint) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select case when d.expression = format('s.%I', d.column_name) then d.column_name
                             else format('%s as %I', d.expression, d.column_name) end
                 -- One that is being dropped has no value any more.
                 from tsconsole.rollup_dimension d where d.rollup_id = dimension_arguments.rollup_id and d.expression not like 'null::%' order by d.position);
$$;

comment on function tsconsole.dimension_arguments(bigint) is
'The dimensions of a rollup in the form of create_rollup_table''s argument.
Example: select tsconsole.dimension_arguments(1);';


create or replace function tsconsole.measure_arguments(rollup_id bigint) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(m.source_column, m.aggregates), '{}')
    from (select m.source_column, jsonb_agg(m.aggregate order by m.position) as aggregates
          from tsconsole.rollup_measure m where m.rollup_id = measure_arguments.rollup_id group by m.source_column) m;
$$;

comment on function tsconsole.measure_arguments(bigint) is
'The measures of a rollup in the form of create_rollup_table''s argument.
Example: select tsconsole.measure_arguments(1);';


create or replace function tsconsole.ladder_of(target regclass) returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive below as (
        select c.target_table, c.source_table, 0 as level from silver.timeseries_rollup_config c where c.target_table = ladder_of.target
        union all
        select p.target_table, p.source_table, b.level - 1
        from below b join silver.timeseries_rollup_config p on p.target_table = b.source_table
    ), above as (
        select ladder_of.target as target_table, 0 as level
        union all
        select c.target_table, a.level + 1
        from above a join silver.timeseries_rollup_config c on c.source_table = a.target_table
    )
    select t.target_table from (select b.target_table, b.level from below b union select a.target_table, a.level from above a) t
    order by t.level, t.target_table;
$$;

comment on function tsconsole.ladder_of(regclass) is
'The ladder a rollup stands in: the levels below it, itself, and what reads it, lowest first.
Example: select tsconsole.ladder_of(''silver.meters_1h'');';


create or replace function tsconsole.create_statement(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
-- Whoever runs it may have other styles than who is shown it.
set intervalstyle = 'postgres'
set datestyle = 'ISO, YMD'
as $$
    select format(E'select silver.create_rollup_table(\n    %s);', string_agg(format('%s := %s', a.name, a.value), E',\n    ' order by a.rank))
        || case when (config).retention_action = 'archive'
                then format(E'\nselect silver.set_retention(%L, %L, %L);', tsconsole.qualified_name((config).target_table), (config).retention_period, 'archive')
                else '' end
    from (values
        (1, 'source_table_name', format('%L', tsconsole.qualified_name((config).source_table)), true),
        (2, 'target_table_name', format('%L', tsconsole.qualified_name((config).target_table)), true),
        (3, 'rollup_interval', format('%L', (config).rollup_interval), true),
        (4, 'look_back_window', format('%L', (config).look_back_window), (config).look_back_window is not null),
        (5, 'time_column', format('%L', (config).time_column), true),
        (6, 'dimensions', format('%L', tsconsole.dimension_arguments((config).id)), true),
        (7, 'measures', format('%L', tsconsole.measure_arguments((config).id)), true),
        (8, 'timezone', format('%L', (config).timezone), (config).timezone <> 'UTC'),
        (9, 'bucket_origin', format('%L', (config).bucket_origin), (config).bucket_origin is not null),
        (10, 'allowed_lateness', format('%L', (config).allowed_lateness), (config).allowed_lateness <> '30 seconds'),
        (11, 'refresh_interval', format('%L', (config).refresh_interval), true),
        (12, 'processing_window', format('%L', (config).processing_window), (config).processing_window is not null),
        (13, 'chunk_interval', format('%L', (config).chunk_interval), true),
        (14, 'retention_period', format('%L', (config).retention_period), (config).retention_period is not null),
        (15, 'source_retention', format('%L', (config).source_retention), (config).source_retention is not null),
        (16, 'max_retries', (config).max_retries::text, (config).max_retries <> 8),
        (17, 'alert_threshold', format('%L', (config).alert_threshold), (config).alert_threshold <> '1 hour'),
        (18, 'max_execution_time', format('%L', (config).max_execution_time), (config).max_execution_time <> '1 hour'),
        (19, 'change_tracking', format('%L', (config).change_tracking), (config).change_tracking <> 'ladder'),
        (20, 'partition_manager', format('%L', (config).partition_manager), (config).partition_manager <> 'native'),
        (21, 'is_active', (config).is_active::text, not (config).is_active)
    ) a (rank, name, value, is_wanted)
    where a.is_wanted;
$$;

comment on function tsconsole.create_statement(silver.timeseries_rollup_config) is
'The call of silver.create_rollup_table that would create a rollup again with its present settings, and one of silver.set_retention when old partitions are archived.
Example: select tsconsole.create_statement(tsconsole.rollup(''silver.meters_1h''));';
