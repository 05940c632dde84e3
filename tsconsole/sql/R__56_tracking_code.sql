-- The code that is generated for each tracked source: the condition of its triggers, the trigger functions, the loggers.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.tracking_rollups(source regclass, time_column text) returns setof silver.timeseries_rollup_config
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c from silver.timeseries_rollup_config c
    where c.source_table = source and c.time_column = tracking_rollups.time_column and c.change_tracking = 'trigger'
    order by c.id;
$$;

comment on function tsconsole.tracking_rollups(regclass, text) is
'The rollups whose late changes the triggers of a source log.
Example: select id from tsconsole.tracking_rollups(''raw.readings'', ''ts'');';


create or replace function tsconsole.late_condition(source regclass, time_column text, row_name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- A row inside an announced bulk load is logged already. Lateness is in seconds: a day would be as long as the writer's
    -- time zone says. PostgreSQL reads the text of this condition anew for every statement: the shorter, the cheaper for
    -- writers of single rows.
    select format('(%1$s) and tsconsole.is_outside_bulk(%2$s.%3$I::%4$s, %5$L)',
        string_agg(distinct format(case
            when c.time_type = 'timestamptz'::regtype then '%1$s.%2$I < clock_timestamp() - %3$L::interval'
            when c.time_type = 'date'::regtype then '%1$s.%2$I < ((clock_timestamp() - %3$L::interval) at time zone %4$L)::date'
            else '%1$s.%2$I < (clock_timestamp() - %3$L::interval) at time zone %4$L' end,
            row_name, c.time_column, make_interval(secs => extract(epoch from c.lateness)::float8), c.timezone), ' or '),
        row_name, late_condition.time_column, format_type(min(c.time_type::oid::bigint)::oid, null), 'tsconsole.bulk_' || tsconsole.tracking_key(source, late_condition.time_column))
    from (select distinct r.time_type, r.time_column, case when r.time_type <> 'timestamptz'::regtype then r.timezone end as timezone, t.lateness
          from tsconsole.tracking_rollups(source, late_condition.time_column) r
          join tsconsole.tracked_source t on t.source_table = r.source_table and t.time_column = r.time_column) c;
$$;

comment on function tsconsole.late_condition(regclass, text, text) is
'The WHEN clause under which a row of a source counts as late: older than the shortest allowed lateness that any of its rollups has had.
Example: select tsconsole.late_condition(''raw.readings'', ''ts'', ''new'');';


-- One for each type of time column: which range the setting holds cannot be said in a function for any type.
create or replace function tsconsole.is_outside_bulk(at timestamptz, setting text) returns boolean
language plpgsql stable
as $$
-- No SET clause, and no SQL function: both would cost more than the check. Every name is qualified.
begin
    -- The setting is null before its first use, and '' after a transaction that used it.
    return coalesce(not at operator(pg_catalog.<@) nullif(pg_catalog.current_setting(setting, true), '')::pg_catalog.tstzrange, true);
end;
$$;

comment on function tsconsole.is_outside_bulk(timestamptz, text) is
'Whether a row lies outside the range that silver.bulk_load announced in this transaction, if it did. Every writer of a tracked source calls it.
Example: select tsconsole.is_outside_bulk(timestamptz ''2026-01-01'', ''tsconsole.bulk_1_1'');';

grant execute on function tsconsole.is_outside_bulk(timestamptz, text) to public;


create or replace function tsconsole.is_outside_bulk(at timestamp, setting text) returns boolean
language plpgsql stable
as $$
-- No SET clause, and no SQL function: both would cost more than the check. Every name is qualified.
begin
    -- The setting is null before its first use, and '' after a transaction that used it.
    return coalesce(not at operator(pg_catalog.<@) nullif(pg_catalog.current_setting(setting, true), '')::pg_catalog.tsrange, true);
end;
$$;

comment on function tsconsole.is_outside_bulk(timestamp, text) is
'Whether a row lies outside the range that silver.bulk_load announced in this transaction, if it did. Every writer of a tracked source calls it.
Example: select tsconsole.is_outside_bulk(timestamp ''2026-01-01'', ''tsconsole.bulk_1_1'');';

grant execute on function tsconsole.is_outside_bulk(timestamp, text) to public;


create or replace function tsconsole.is_outside_bulk(at date, setting text) returns boolean
language plpgsql stable
as $$
-- No SET clause, and no SQL function: both would cost more than the check. Every name is qualified.
begin
    -- The setting is null before its first use, and '' after a transaction that used it.
    return coalesce(not at operator(pg_catalog.<@) nullif(pg_catalog.current_setting(setting, true), '')::pg_catalog.daterange, true);
end;
$$;

comment on function tsconsole.is_outside_bulk(date, text) is
'Whether a row lies outside the range that silver.bulk_load announced in this transaction, if it did. Every writer of a tracked source calls it.
Example: select tsconsole.is_outside_bulk(date ''2026-01-01'', ''tsconsole.bulk_1_1'');';

grant execute on function tsconsole.is_outside_bulk(date, text) to public;


create or replace function tsconsole.tracked_dimensions(source regclass, time_column text)
returns table (ordinal bigint, expression text, data_type text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select row_number() over (order by min(r.id * 100 + d.position)), d.expression, min(split_part(d.data_type, ' collate ', 1))
    from tsconsole.tracking_rollups(source, tracked_dimensions.time_column) r
    join tsconsole.rollup_dimension d on d.rollup_id = r.id
    group by d.expression;
$$;

comment on function tsconsole.tracked_dimensions(regclass, text) is
'The dimensions of all rollups on a tracked source, each once.
Example: select * from tsconsole.tracked_dimensions(''raw.readings'', ''ts'');';


create or replace function tsconsole.logger_source(source regclass, time_column text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(
        'create or replace function tsconsole.log_%s(at %s%s, whole boolean) returns void language plpgsql security definer '
        'set search_path = pg_catalog, pg_temp set timezone = ''UTC'' set datestyle = ''ISO'' as %L',
        tsconsole.tracking_key(source, logger_source.time_column),
        (select c.base_name from tsconsole.columns(source) c where c.column_name = logger_source.time_column),
        (select string_agg(format(', u%s %s', u.ordinal, u.data_type), '' order by u.ordinal) from tsconsole.tracked_dimensions(source, logger_source.time_column) u),
        E'begin\n' || coalesce(string_agg(tsconsole.log_statement(r), E'\n' order by r.id), 'null;') || E'\nend;')
    from tsconsole.tracking_rollups(source, logger_source.time_column) r;
$$;

comment on function tsconsole.logger_source(regclass, text) is
'The CREATE FUNCTION of a source''s logger, which queues one late bucket (of one series, or whole) for every rollup on the source. It runs as its owner, so that writers need no right on our tables.
Example: select tsconsole.logger_source(''raw.readings'', ''ts'');';


create or replace function tsconsole.log_statement(config silver.timeseries_rollup_config) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('insert into %s (lo, hi, all_series%s, kind) select b.lo, tsconsole.next_bucket(%L::interval, b.lo, %L, %L::timestamptz), %s%s, ''l'' '
                  'from (select %s as lo) b where b.lo >= %L::timestamptz;',
        tsconsole.pending_table((config).id),
        string_agg(format(', d%s', d.position), '' order by d.position) filter (where d.position is not null),
        (config).rollup_interval, tsconsole.bucket_zone(config), (config).bucket_origin,
        case when count(d.position) = 0 then 'true' else 'whole' end,
        string_agg(format(', case when not whole then u%s end', u.ordinal), '' order by d.position) filter (where d.position is not null),
        tsconsole.column_to_axis(config, tsconsole.bucket_expression(config, 'at')),
        (config).first_bucket)
    from (select 1) one
    left join tsconsole.rollup_dimension d on d.rollup_id = (config).id
    left join tsconsole.tracked_dimensions((config).source_table, (config).time_column) u on u.expression = d.expression;
$$;

comment on function tsconsole.log_statement(silver.timeseries_rollup_config) is
'The statement of a logger that queues a late bucket for one rollup.
Example: select tsconsole.log_statement(tsconsole.rollup(''silver.meters_1m''));';


create or replace function tsconsole.tracker_source(source regclass, time_column text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format(
        'create or replace function tsconsole.track_%s() returns trigger language plpgsql as %L',
        tsconsole.tracking_key(source, time_column),
        E'#variable_conflict use_column\ndeclare\n    is_counted boolean;\n    granule text;\n    series text;\n    remembered text;\n    logged integer;\nbegin\n'
        || E'    if tg_op <> ''INSERT'' then\n' || tsconsole.tracker_block(source, time_column, 'old') || E'    end if;\n'
        || E'    if tg_op <> ''DELETE'' then\n' || tsconsole.tracker_block(source, time_column, 'new') || E'    end if;\n'
        || E'    return null;\nend;');
$$;

comment on function tsconsole.tracker_source(regclass, text) is
'The CREATE FUNCTION of a source''s row trigger function. It runs as the writer and calls the logger only when the bucket or the series is another than the last one logged in this transaction; from the fourth series of a bucket on, the bucket is logged whole.
Example: select tsconsole.tracker_source(''raw.readings'', ''ts'');';


create or replace function tsconsole.tracker_block(source regclass, time_column text, row_name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- A column that was renamed, or whose name another one has now, must not fail the writer: the whole source is queued
    -- then, and the next step says what is wrong.
    select format($block$        begin
            if %9$s then
                raise undefined_column;
            end if;
            is_counted := pg_catalog.isfinite(%1$s.%2$I);
            granule := pg_catalog.concat_ws(',', %3$s);
            series := granule %4$s;
        exception when undefined_column or undefined_function then
            is_counted := true;
            granule := 'renamed';
            series := granule;
        end;
        remembered := pg_catalog.current_setting('tsconsole.late_%5$s', true);
        if is_counted and remembered is distinct from series and remembered is distinct from granule then
            if granule = 'renamed' then
                logged := 4;
                perform tsconsole.log_truncate_%5$s(%7$s);
            else
                remembered := pg_catalog.current_setting('tsconsole.logged_%5$s', true);
                logged := case when pg_catalog.split_part(remembered, '|', 1) = granule then pg_catalog.split_part(remembered, '|', 2)::integer + 1 else 1 end;
                perform tsconsole.log_%5$s(%1$s.%2$I%6$s, logged > 3%8$s);
            end if;
            perform pg_catalog.set_config('tsconsole.late_%5$s', case when logged > 3 then granule else series end, true),
                    pg_catalog.set_config('tsconsole.logged_%5$s', granule || '|' || logged, true);
        end if;
$block$,
        row_name, time_column,
        coalesce((select string_agg(distinct format('extract(epoch from %s)', tsconsole.bucket_expression(r, format('%s.%I', row_name, r.time_column))), ', ')
         from tsconsole.tracking_rollups(source, time_column) r), '0'),
        '|| ''|'' || row(' || nullif(u.list, '') || ')::text',
        tsconsole.tracking_key(source, time_column),
        ', ' || nullif(u.list, ''),
        source::oid,
        -- An expression over a virtual column, which has no value yet when a trigger looks: log whole buckets.
        case when exists (select from pg_attribute a where a.attrelid = source and a.attgenerated = 'v' and not a.attisdropped)
                  and exists (select from tsconsole.tracked_dimensions(source, time_column) d where d.expression !~ '^s\.') then ' or true' else '' end,
        (select string_agg(format('pg_catalog.pg_typeof(%s.%I) operator(pg_catalog.<>) %L::pg_catalog.regtype', row_name, c.column_name, format_type(a.atttypid, null)), ' or ' order by a.attnum)
         from tsconsole.columns(source) c join pg_attribute a on a.attrelid = source and a.attname = c.column_name
         where c.column_name = time_column or exists (
             select from tsconsole.tracked_dimensions(source, time_column) d where d.expression = format('s.%I', c.column_name))))
    from (select coalesce(string_agg(case
              -- A virtual column has no value yet when a trigger looks: compute it.
              when v.generated is not null then format('(select %s from (select %s.*) s)', v.generated, row_name)
              when d.expression ~ '^s\.("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)$' then row_name || substr(d.expression, 2)
              else format('(select %s from (select %s.*) s)', d.expression, row_name) end, ', ' order by d.ordinal), '') as list
          from tsconsole.tracked_dimensions(source, time_column) d
          left join lateral (
              select pg_get_expr(g.adbin, g.adrelid) as generated
              from pg_attribute a join pg_attrdef g on g.adrelid = a.attrelid and g.adnum = a.attnum
              where a.attrelid = source and a.attgenerated = 'v' and d.expression = format('s.%I', a.attname)) v on true) u;
$$;

comment on function tsconsole.tracker_block(regclass, text, text) is
'The part of a row trigger function that looks at the old or the new row.
Example: select tsconsole.tracker_block(''raw.readings'', ''ts'', ''new'');';


create or replace function tsconsole.truncate_tracker_source(source regclass, time_column text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('create or replace function tsconsole.track_truncate_%1$s() returns trigger language plpgsql as %2$L', k.key,
        format('begin perform tsconsole.log_truncate_%s(tg_relid); return null; end;', k.key))
    from (select tsconsole.tracking_key(source, time_column) as key) k;
$$;

comment on function tsconsole.truncate_tracker_source(regclass, text) is
'The CREATE FUNCTION of a source''s truncate trigger function.
Example: select tsconsole.truncate_tracker_source(''raw.readings'', ''ts'');';


create or replace function tsconsole.truncate_logger_source(source regclass, time_column text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('create or replace function tsconsole.log_truncate_%s(relation regclass) returns void language sql security definer '
                  'set search_path = pg_catalog, pg_temp as %L',
        tsconsole.tracking_key(source, time_column),
        format('select tsconsole.log_truncate(%s::regclass, %L, relation);', source::oid, time_column));
$$;

comment on function tsconsole.truncate_logger_source(regclass, text) is
'The CREATE FUNCTION that lets a writer''s TRUNCATE queue what it emptied.
Example: select tsconsole.truncate_logger_source(''raw.readings'', ''ts'');';


create or replace function tsconsole.log_truncate(source regclass, time_column text, relation regclass) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select tsconsole.queue_late(r, coalesce(p.range_start, '-infinity'), coalesce(p.range_end, 'infinity'))
    from tsconsole.tracking_rollups(source, time_column) r
    left join lateral (
        select b.range_start, b.range_end
        from pg_inherits i, tsconsole.partitions(i.inhparent) b
        where relation <> source and i.inhrelid = relation and b.partition = relation) p on true;
$$;

comment on function tsconsole.log_truncate(regclass, text, regclass) is
'Queues what a TRUNCATE of a source, or of one of its partitions, has emptied.
Example: see tsconsole.truncate_logger_source.';
