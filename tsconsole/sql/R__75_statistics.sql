-- Figures for every rollup, and whether its configuration still fits the database.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.get_detailed_stats(pattern text)
returns table (
    target_table text, source_table text, rollup_interval interval, partitions integer, row_estimate bigint,
    table_bytes bigint, index_bytes bigint, total_bytes bigint, oldest_bucket timestamptz, last_processed_time timestamptz,
    lag interval, runs_24h bigint, rows_read_24h bigint, rows_written_24h bigint, avg_duration interval, errors_24h bigint,
    health_status text
)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select n.target_name, n.source_name, c.rollup_interval, parts.partitions, parts.row_estimate,
           parts.table_bytes, parts.index_bytes, parts.total_bytes,
           case when n.target_exists then tsconsole.oldest_bucket(c) end,
           m.last_processed_time, m.lag,
           runs.runs, runs.rows_read, runs.rows_written, runs.avg_duration, errors.errors, m.health_status
    from silver.timeseries_rollup_config c
    join silver.timeseries_operations_monitor m on m.id = c.id
    cross join lateral (
        select t.relname is not null as target_exists, t.relname::text as bare_name,
               case when t.oid is null then c.target_name else tsconsole.qualified_name(c.target_table) end as target_name,
               case when s.oid is null then c.source_name else tsconsole.qualified_name(c.source_table) end as source_name
        from (values (true)) one left join pg_class t on t.oid = c.target_table left join pg_class s on s.oid = c.source_table) n
    cross join lateral (
        select count(*)::integer as partitions, sum(p.row_estimate)::bigint as row_estimate, coalesce(sum(p.table_bytes), 0)::bigint as table_bytes,
               coalesce(sum(p.index_bytes), 0)::bigint as index_bytes, coalesce(sum(p.total_bytes), 0)::bigint as total_bytes
        from silver.get_partition_stats(c.target_table) p) parts
    cross join lateral (
        select count(*) as runs, coalesce(sum(l.rows_read), 0)::bigint as rows_read,
               coalesce(sum(l.rows_written), 0)::bigint as rows_written, avg(l.duration) as avg_duration
        from silver.timeseries_refresh_log l
        where l.rollup_id = c.id and l.end_time >= now() - interval '24 hours') runs
    cross join lateral (
        select count(*) as errors from silver.timeseries_error_log e
        where e.rollup_id = c.id and e.error_timestamp >= now() - interval '24 hours') errors
    where coalesce(pattern, '') = '' or n.target_name like pattern or n.bare_name like pattern
    order by 1;
$$;

comment on function silver.get_detailed_stats(text) is
'One row per rollup whose target''s name, with or without schema, is LIKE the pattern; null or '''' means all. Sizes and rows come from statistics (see silver.get_partition_stats); runs, rows, durations and errors are those of the last 24 hours.
Example: select target_table, row_estimate, pg_size_pretty(total_bytes), lag from silver.get_detailed_stats(''silver.%'');';


create or replace function silver.validate_rollup_config()
returns table (target_table text, source_table text, check_name text, is_valid boolean, severity text, message text, hint text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
    config silver.timeseries_rollup_config;
begin
    for config in select c.* from silver.timeseries_rollup_config c order by c.target_name loop
        return query
        select coalesce(t.name, config.target_name), coalesce(s.name, config.source_name), f.check_name, f.problem is null,
               case when f.problem is null then 'ok' else f.severity end, coalesce(f.problem, f.fine),
               case when f.problem is not null then f.hint end
        from tsconsole.config_findings(config) f
        left join lateral (select tsconsole.qualified_name(k.oid) as name from pg_class k where k.oid = config.target_table) t on true
        left join lateral (select tsconsole.qualified_name(k.oid) as name from pg_class k where k.oid = config.source_table) s on true;
    end loop;
    return query select null::text, f.* from tsconsole.dimension_findings() f;
end;
$$;

comment on function silver.validate_rollup_config() is
'Checks every rollup''s configuration against the database as it is now: one row per check, also for those that pass. severity: ok, warning (works, but look at it) or error (steps fail or results would be wrong); hint says what to do.
Example: select target_table, check_name, message, hint from silver.validate_rollup_config() where not is_valid;';


create or replace function tsconsole.config_findings(config silver.timeseries_rollup_config)
returns table (check_name text, severity text, problem text, fine text, hint text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    raised record;
begin
    raised := tsconsole.problem_of('tables exist', config);
    return query select 'tables exist', 'error', raised.problem, 'source and target exist', raised.hint;
    if raised.problem is not null then
        return;
    end if;

    raised := tsconsole.problem_of('columns fit', config);
    return query select 'columns fit', 'error', raised.problem, 'the step''s query can be planned: every column is there with a type that fits',
        coalesce(raised.hint, 'Restore the column or the right, or drop the rollup and create it again.');
    raised := tsconsole.problem_of('time zone', config);
    return query select 'time zone', 'error', raised.problem, (config).timezone || ' is a time zone', raised.hint;
    raised := tsconsole.problem_of('rollup interval', config);
    return query select 'rollup interval', 'error', raised.problem, 'buckets of ' || (config).rollup_interval || ' can be cut exactly', raised.hint;
    raised := tsconsole.problem_of('chunk interval', config);
    return query select 'chunk interval', 'error', raised.problem, 'partitions of ' || (config).chunk_interval || ' can be made',
        'Set chunk_interval in silver.timeseries_rollup_config to whole months, or to days and hours.';
    if exists (select from tsconsole.parent_rollup(config) p where p.id is not null) then
        raised := tsconsole.problem_of('ladder', config);
        return query select 'ladder', 'error', raised.problem, 'its buckets are made of whole buckets of the level below', raised.hint;
    end if;
    return query select 'time index', 'warning', tsconsole.time_index_problem(config), 'the source has an index on its time column',
        format('create index concurrently on %s (%I);', tsconsole.qualified_name((config).source_table), (config).time_column);
    return query select 'crash', 'warning', tsconsole.unlogged_problem(config), null::text, tsconsole.unlogged_hint(config)
        where tsconsole.unlogged_problem(config) is not null;
    raised := tsconsole.lock_problem(config);
    return query select 'locks', 'warning', raised.problem, 'the server can lock source and target with all their partitions', raised.hint;
    return query select f.* from tsconsole.target_findings(config) f;
    return query select f.* from tsconsole.retention_findings(config) f;
end;
$$;

comment on function tsconsole.config_findings(silver.timeseries_rollup_config) is
'The checks of one rollup: problem is null where there is none.
Example: select * from tsconsole.config_findings(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.problem_of(
    check_name text, config silver.timeseries_rollup_config, out problem text, out hint text
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    case check_name
        when 'tables exist' then perform tsconsole.check_relations(config);
        when 'columns fit' then perform tsconsole.plan_step(config);
        when 'time zone' then perform tsconsole.check_zone((config).timezone);
        when 'rollup interval' then
            perform tsconsole.check_interval((config).rollup_interval, (config).time_type, tsconsole.bucket_zone(config));
        when 'chunk interval' then
            perform tsconsole.bucket_edges(tsconsole.chunk_interval(config), now(), now(), 'UTC', null);
        when 'ladder' then perform tsconsole.check_nesting(tsconsole.parent_rollup(config), config);
    end case;
exception when others then
    get stacked diagnostics problem = message_text, hint = pg_exception_hint;
    hint := nullif(hint, '');
end;
$$;

comment on function tsconsole.problem_of(text, silver.timeseries_rollup_config) is
'What one of the checks that raise says about a rollup; null when it passes.
Example: select problem from tsconsole.problem_of(''columns fit'', tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.plan_step(config silver.timeseries_rollup_config) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
begin
    -- EXPLAIN resolves every name and checks every right, and runs nothing.
    execute 'explain ' || tsconsole.work_query(config, 'frontier')
    using (config).last_processed_time, (config).last_processed_time, null::tid[], null::tstzmultirange;
end;
$$;

comment on function tsconsole.plan_step(silver.timeseries_rollup_config) is
'Raises what the query of the next step would raise before it reads a row: missing columns, wrong types, missing rights.
Example: select tsconsole.plan_step(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.time_index_problem(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('the source has no index that begins with %I, so every step reads all of it', (config).time_column)
    where exists (select from pg_class c where c.oid = (config).source_table and c.relkind in ('r', 'p', 'm'))
      and not tsconsole.has_time_index((config).source_table, (config).time_column);
$$;

comment on function tsconsole.time_index_problem(silver.timeseries_rollup_config) is
'That the source lacks an index on its time column; null when it has one, or can have none.
Example: select tsconsole.time_index_problem(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.target_findings(config silver.timeseries_rollup_config)
returns table (check_name text, severity text, problem text, fine text, hint text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'unique index', 'error',
        case when tsconsole.key_index((config).target_table, tsconsole.key_columns(config)) is null
             then 'the target has no valid unique index on its bucket and dimensions' end,
        'the target has a unique index on its bucket and dimensions',
        format('select * from silver.maintain_timeseries_tables(%L);', tsconsole.qualified_name((config).target_table))
    union all
    select 'default partition', 'warning',
        (select format('rows in the default partition %s escape retention and stand in the way of new partitions', tsconsole.qualified_name(c.oid))
         from pg_partitioned_table p join pg_class c on c.oid = p.partdefid
         where p.partrelid = (config).target_table and ((config).partition_manager = 'native' or tsconsole.has_rows(c.oid))),
        case when (config).partition_manager = 'native' then 'the target has no default partition' else 'the default partition of pg_partman is empty' end,
        case when (config).partition_manager = 'native' then 'Move its rows into their partitions, then drop it.'
             else format('select * from silver.maintain_timeseries_tables(%L);', tsconsole.qualified_name((config).target_table)) end
    union all
    select 'row level security', 'warning',
        case when row_security_active((config).source_table) or row_security_active((config).target_table)
             then 'row level security applies to this role, so its steps fail rather than miss rows' end,
        'row level security hides no row from this role',
        'Run steps as the owner of the table, or as a role with BYPASSRLS.'
    union all
    select 'pending ranges', 'error',
        case when to_regclass(tsconsole.pending_table((config).id)) is null then 'the table of its pending ranges is gone' end,
        'the table of its pending ranges is there',
        'Drop the rollup with silver.drop_rollup(…, keep_data => true), and create it again.';
$$;

comment on function tsconsole.target_findings(silver.timeseries_rollup_config) is
'The checks that concern the target of a rollup.
Example: select * from tsconsole.target_findings(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.key_index(relation regclass, key_columns text[]) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select x.indexrelid::regclass
    from pg_index x
    where x.indrelid = relation and x.indisunique and x.indisvalid and x.indnullsnotdistinct and x.indpred is null and x.indexprs is null
      and (select array_agg(a.attname::text order by a.attname::text collate "C") from pg_attribute a
           where a.attrelid = relation and a.attnum = any (x.indkey))
          = (select array_agg(k order by k collate "C") from unnest(key_columns) k)
    order by x.indexrelid limit 1;
$$;

comment on function tsconsole.key_index(regclass, text[]) is
'The valid unique index (nulls not distinct) over exactly these columns of a table; null when there is none.
Example: select tsconsole.key_index(''silver.meters_1h'', ''{ts, device_id}'');';


create or replace function tsconsole.retention_findings(config silver.timeseries_rollup_config)
returns table (check_name text, severity text, problem text, fine text, hint text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'retention', 'error',
        case when (config).retention_period < (config).rollup_interval then format(
            'retention_period %s is shorter than a bucket', (config).retention_period) end,
        coalesce('rows are kept for ' || (config).retention_period, 'rows are kept for ever'),
        'Set a longer retention_period in silver.timeseries_rollup_config.'
    where (config).retention_period is null or (config).retention_period < (config).rollup_interval
       or not exists (select from silver.timeseries_rollup_config r where r.source_table = (config).target_table)
    union all
    select 'retention', case when r.rollup_interval > (config).retention_period then 'error' else 'warning' end,
        case when r.rollup_interval > (config).retention_period then format(
                 'retention_period %s is shorter than a bucket of %s, which reads this target', (config).retention_period, r.target_name)
             else tsconsole.reader_problem(r, tsconsole.axis_clock(config) - (config).retention_period) end,
        format('%s has read what retention may drop', r.target_name),
        'Until the reader has caught up, retention keeps the rows. Run it, or set a longer retention_period.'
    from silver.timeseries_rollup_config r
    where r.source_table = (config).target_table and (config).retention_period >= (config).rollup_interval
    union all
    select 'source retention', 'warning',
        coalesce(tsconsole.cut_problem(s.source_table), tsconsole.reader_problem(config, tsconsole.source_cutoff(s.source_table))),
        format('source %s keeps its rows for %s', tsconsole.qualified_name(s.source_table), s.retention_period),
        'Until then retention keeps the partitions of the source. Run the rollup, or set another period with silver.set_retention.'
    from silver.timeseries_source_retention s
    where s.source_table = (config).source_table;
$$;

comment on function tsconsole.retention_findings(silver.timeseries_rollup_config) is
'Whether retention of a rollup''s target leaves its readers what they need, one row per reader.
Example: select * from tsconsole.retention_findings(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.reader_problem(reader silver.timeseries_rollup_config, cutoff timestamptz) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    oldest_pending timestamptz;
begin
    if (reader).last_processed_time < cutoff then
        return format('%s has only come to %s%s', (reader).target_name, (reader).last_processed_time,
            case when not (reader).is_active then ' and is paused' end);
    end if;
    execute format('select min(lo) from %s', tsconsole.pending_table((reader).id)) into oldest_pending;
    if oldest_pending < cutoff then
        return format('%s still has to compute buckets from %s on', (reader).target_name, oldest_pending);
    end if;
    return null;
end;
$$;

comment on function tsconsole.reader_problem(silver.timeseries_rollup_config, timestamptz) is
'Why the rows of a table below a time cannot go yet because of a rollup that reads or writes it; null when they can.
Example: select tsconsole.reader_problem(tsconsole.rollup(''silver.meters_1d''), now() - interval ''30 days'');';


create or replace function tsconsole.dimension_findings()
returns table (source_table text, check_name text, is_valid boolean, severity text, message text, hint text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    dimension record;
begin
    for dimension in
        select d.source_table, d.dimension_column, tsconsole.qualified_name(d.source_table) as source_name
        from silver.timeseries_dimension_config d where d.is_active order by 3, d.id
    loop
        begin
            perform tsconsole.plan_dimensions(dimension.source_table, array[dimension.dimension_column]);
            return query select dimension.source_name, 'dimension', true, 'ok',
                format('dimension %s can be grouped by', dimension.dimension_column), null::text;
        exception when others then
            return query select dimension.source_name, 'dimension', false, 'error', sqlerrm,
                'Correct or delete its row in silver.timeseries_dimension_config.';
        end;
    end loop;
end;
$$;

comment on function tsconsole.dimension_findings() is
'Whether new rollups can group by the columns in silver.timeseries_dimension_config.
Example: select * from tsconsole.dimension_findings();';
