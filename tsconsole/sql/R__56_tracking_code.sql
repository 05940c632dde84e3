-- The code that is generated for each tracked source: the condition of its triggers, its trackers, the loggers.

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


drop function if exists tsconsole.late_condition(regclass, text, text);

create or replace function tsconsole.trigger_condition(source regclass, time_column text, row_name text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- PostgreSQL reads the text of this condition anew for every statement: the shorter, the cheaper for writers of single rows.
    -- But where a row on time would be dear to hand over, because of many values or of one to be computed (which may fail, too),
    -- the clock is asked before. IS NULL would be true of a row of nulls.
    select format('%srow(%s.%I%s)::tsconsole.tracker_%2$s_%5$s is not distinct from null',
        case when not d.are_cheap then
            format('not (%s) and ', tsconsole.on_time_condition(source, trigger_condition.time_column, format('%s.%I', row_name, trigger_condition.time_column))) end,
        row_name, trigger_condition.time_column, d.fields, k.tracker)
    from tsconsole.tracker_arguments(source, trigger_condition.time_column) k,
         (select count(*) <= 2 and bool_and(tsconsole.is_stored_column(source, t.expression)) as are_cheap,
                 string_agg(', ' || coalesce(tsconsole.row_expression(source, t.expression, t.data_type, row_name), format('null::%s', t.data_type)), '' order by t.ordinal) as fields
          from tsconsole.tracked_dimensions(source, trigger_condition.time_column) t) d;
$$;

comment on function tsconsole.trigger_condition(regclass, text, text) is
'The WHEN clause of a source''s row triggers, which is never true: it hands the time of a row, with its dimensions, to the source''s tracker, by casting them to it; see tsconsole.tracker_check. Where dimensions are many, or expressions, rows on time are passed over before. PostgreSQL keeps the columns in a WHEN clause by their numbers, so that renaming them changes nothing.
Example: select tsconsole.trigger_condition(''raw.readings'', ''ts'', ''new'');';


create or replace function tsconsole.is_stored_column(source regclass, expression text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_attribute a where a.attrelid = source and a.attnum > 0 and expression = format('s.%I', a.attname) and a.attgenerated <> 'v');
$$;

comment on function tsconsole.is_stored_column(regclass, text) is
'Whether a dimension is a column of its source, as it is stored. Everything else is computed.
Example: select tsconsole.is_stored_column(''raw.readings'', ''s.device'');';


create or replace function tsconsole.row_expression(source regclass, expression text, data_type text, row_name text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning'
as $$
declare
    definition text;
begin
    -- A column of another type is not the one that the dimension was made for.
    select case when tsconsole.plain_type(c.data_type) = row_expression.data_type then format('%s.%I', row_name, c.column_name) end into definition
    from tsconsole.columns(source) c where expression = format('s.%I', c.column_name);
    if found then
        return definition;
    end if;
    -- The view makes PostgreSQL write the name of the row before each column: with one table it would leave it out.
    -- Not row_name at once: views had tables of the names new and old until 16.
    execute format('create temporary view tsconsole_probe as select (%s)::%s as tsconsole_expression from %s tsconsole_row cross join (select 1) as beside ("tsconsole beside")',
        expression, data_type, tsconsole.qualified_name(source));
    definition := pg_get_viewdef(to_regclass('pg_temp.tsconsole_probe'));
    execute 'drop view pg_temp.tsconsole_probe';
    return replace(substring(definition from '^[[:space:]]*SELECT (.*) AS tsconsole_expression[[:space:]]+FROM '), 'tsconsole_row.', row_name || '.');
exception when undefined_table or undefined_column or undefined_function or cannot_coerce or datatype_mismatch then
    return null;
end;
$$;

comment on function tsconsole.row_expression(regclass, text, text, text) is
'A dimension as an expression over the row of a trigger; null when the source has no such columns any more.
Example: select tsconsole.row_expression(''raw.readings'', ''(upper(site))'', ''text'', ''new'');';


create or replace function tsconsole.tracked_dimensions(source regclass, time_column text)
returns table (ordinal bigint, expression text, data_type text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select row_number() over (order by min(r.id * 100 + d.position)), d.expression, min(split_part(tsconsole.plain_type(d.data_type), ' collate ', 1))
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
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
    select format('insert into %s (lo, hi, all_series%s, kind) select b.lo, tsconsole.next_bucket(%L::interval, b.lo, %L, %L::timestamptz), %s%s, ''l'' '
                  'from (select %s as lo) b where b.lo >= %L::timestamptz;',
        tsconsole.pending_table((config).id),
        string_agg(format(', d%s', d.position), '' order by d.position) filter (where d.position is not null),
        (config).rollup_interval, tsconsole.bucket_zone(config), (config).bucket_origin,
        case when count(d.position) = 0 then 'true' else 'whole' end,
        string_agg(format(', case when not whole then u%s end', u.ordinal), '' order by d.position) filter (where d.position is not null),
        tsconsole.column_to_axis(config, tsconsole.bucket_expression(config, 'at')),
        greatest((config).first_bucket, tsconsole.earliest_time()))
    from (select 1) one
    left join tsconsole.rollup_dimension d on d.rollup_id = (config).id
    left join tsconsole.tracked_dimensions((config).source_table, (config).time_column) u on u.expression = d.expression;
$$;

comment on function tsconsole.log_statement(silver.timeseries_rollup_config) is
'The statement of a logger that queues a late bucket for one rollup.
Example: select tsconsole.log_statement(tsconsole.rollup(''silver.meters_1m''));';


drop function if exists tsconsole.tracker_block(regclass, text, text), tsconsole.tracker_source(regclass, text), tsconsole.tracker_source(regclass, text, text);

create or replace function tsconsole.tracked_row_source(source regclass, time_column text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select format('create type tsconsole.tracked_row_%s as (at %s%s)', k.tracker, k.time_type, k.arguments)
    from tsconsole.tracker_arguments(source, tracked_row_source.time_column) k;
$$;

comment on function tsconsole.tracked_row_source(regclass, text) is
'The CREATE TYPE of what a source''s trackers are told of a row: its time and its dimensions.
Example: select tsconsole.tracked_row_source(''raw.readings'', ''ts'');';


create or replace function tsconsole.tracker_check(source regclass, time_column text, row_name text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Mostly a row is on time. If it is late, its bucket is mostly that of the row before, and logged whole.
    select format('%1$s or %2$s = current_setting(''tsconsole.late_%3$s_%4$s'', true) collate "C" or tsconsole.note_%3$s_%5$s((value).at%6$s)',
        tsconsole.on_time_condition(source, tracker_check.time_column, '(value).at'), tsconsole.granule(source, tracker_check.time_column, '(value).at'),
        row_name, k.key, k.tracker, replace(', ' || nullif(k.names, ''), ', ', ', (value).'))
    from tsconsole.tracker_arguments(source, tracker_check.time_column) k;
$$;

comment on function tsconsole.tracker_check(regclass, text, text) is
'The CHECK of a source''s tracker of late rows, old or new ones, which is a domain over what tsconsole.tracked_row_source makes. It is always met: it passes over a row that is on time, and over one of the bucket that this transaction logged last, and whole, or that its bulk load covers, and asks the function of tsconsole.note_source about every other one. Of a domain PostgreSQL keeps the CHECK as long as the session lasts, ready to run: it is not read anew for each statement, like a WHEN clause, nor called for each row, like a function.
Example: select tsconsole.tracker_check(''raw.readings'', ''ts'', ''new'');';


create or replace function tsconsole.on_time_condition(source regclass, time_column text, time_sql text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
    -- Lateness is in seconds: a day would be as long as the writer's time zone says.
    select string_agg(distinct format(case
            when c.time_type = 'timestamptz'::regtype then '%1$s >= clock_timestamp() - %2$L::interval'
            when c.time_type = 'date'::regtype then '%1$s >= ((clock_timestamp() - %2$L::interval) at time zone %3$L)::date'
            else '%1$s >= (clock_timestamp() - %2$L::interval) at time zone %3$L' end,
            time_sql, make_interval(secs => extract(epoch from c.lateness)::float8), c.timezone), ' and ')
    from (select distinct r.time_type, case when r.time_type <> 'timestamptz'::regtype then r.timezone end as timezone, t.lateness
          from tsconsole.tracking_rollups(source, on_time_condition.time_column) r
          join tsconsole.tracked_source t on t.source_table = r.source_table and t.time_column = r.time_column) c;
$$;

comment on function tsconsole.on_time_condition(regclass, text, text) is
'The SQL that tells whether a row is younger than the shortest allowed lateness that any rollup on its source has had. time_sql is the SQL of its time.
Example: select tsconsole.on_time_condition(''raw.readings'', ''ts'', ''s.ts'');';


create or replace function tsconsole.note_source(source regclass, time_column text, row_name text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- An UPDATE that moves rows from bucket to bucket has two at a time: each side remembers its own.
    select format('create or replace function tsconsole.note_%s_%s(at %s%s) returns boolean language plpgsql volatile%s as %L',
        row_name, k.tracker, k.time_type, k.arguments,
        case when not k.is_plain then ' set extra_float_digits = 1 set datestyle = ''ISO'' set timezone = ''UTC''' end, format($body$
declare
    granule pg_catalog.text collate pg_catalog."C";
    series pg_catalog.text collate pg_catalog."C";
    remembered pg_catalog.text collate pg_catalog."C";
    logged pg_catalog.int4;
begin
    if pg_catalog.isfinite(at) is not true then
        return true;
    end if;
    granule := %1$s;
    if at operator(pg_catalog.<@) nullif(pg_catalog.current_setting('tsconsole.bulk_%2$s', true), '')::pg_catalog.%3$s then
        -- Its bucket was queued whole, like every bucket that the range touches.
        perform pg_catalog.set_config('tsconsole.late_%7$s_%2$s', granule, true);
        return true;
    end if;
    series := pg_catalog.concat(granule, '|', row(%4$s));
    -- A setting is null before its first use, and empty after a transaction that used it.
    if series operator(pg_catalog.=) pg_catalog.current_setting('tsconsole.late_%7$s_%2$s', true) then
        return true;
    end if;
    remembered := pg_catalog.current_setting('tsconsole.logged_%7$s_%2$s', true);
    logged := case when pg_catalog.split_part(remembered, '|', 1) operator(pg_catalog.=) granule
                   then pg_catalog.split_part(remembered, '|', 2)::pg_catalog.int4 operator(pg_catalog.+) 1 else %5$s end;
    perform tsconsole.log_%2$s(at%6$s, logged operator(pg_catalog.>) 3);
    perform pg_catalog.set_config('tsconsole.late_%7$s_%2$s', case when logged operator(pg_catalog.>) 3 then granule else series end, true),
            pg_catalog.set_config('tsconsole.logged_%7$s_%2$s', pg_catalog.concat(granule, '|', logged), true);
    return true;
end;
$body$,
            tsconsole.granule(source, note_source.time_column, 'at'), k.key, k.range_type, k.names, case when k.is_known then 1 else 4 end, ', ' || nullif(k.names, ''),
            row_name, k.tracker))
    from tsconsole.tracker_arguments(source, note_source.time_column) k;
$$;

comment on function tsconsole.note_source(regclass, text, text) is
'The CREATE FUNCTION of what a source''s tracker asks about a late row. It calls the logger only when the bucket or the series is another than the last one logged in this transaction, and not inside the range of silver.bulk_load; from the fourth series of a bucket on, or when a dimension is not known any more, the bucket is logged whole. It runs as the writer, and answers true.
Example: select tsconsole.note_source(''raw.readings'', ''ts'', ''new'');';


drop function if exists tsconsole.granule(regclass, text);

create or replace function tsconsole.granule(source regclass, time_column text, time_sql text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
    -- All rollups whose buckets are as wide share one. The bytes are exact, and cheaper to make than any text.
    select format('pg_catalog.encode(%s, ''hex'')', string_agg(format('pg_catalog.%s(%s)', k.send, b.start), ' operator(pg_catalog.||) ' order by b.start))
    from tsconsole.tracker_arguments(source, granule.time_column) k,
         (select distinct tsconsole.bucket_expression(r, time_sql) as start from tsconsole.tracking_rollups(source, granule.time_column) r) b;
$$;

comment on function tsconsole.granule(regclass, text, text) is
'An expression of type text that is another one for every two times that any rollup on a tracked source has in different buckets. time_sql is the SQL of the time.
Example: select tsconsole.granule(''raw.readings'', ''ts'', ''at'');';


drop function if exists tsconsole.tracker_arguments(regclass, text);

create or replace function tsconsole.tracker_arguments(
    source regclass, time_column text,
    out key text, out tracker text, out time_type text, out range_type text, out send text,
    out names text, out arguments text, out is_known boolean, out is_plain boolean
)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Trackers of other arguments have another name, so that both can stand until the triggers have changed over.
    select k.key, k.key || '_' || left(md5(c.base_name || u.arguments), 8), c.base_name, t.range_type, t.send,
           u.names, u.arguments, u.is_known, u.is_plain
    from tsconsole.columns(source) c
    cross join (select tsconsole.tracking_key(source, tracker_arguments.time_column) as key) k
    join (values ('date', 'daterange', 'date_send'), ('timestamp without time zone', 'tsrange', 'timestamp_send'),
                 ('timestamp with time zone', 'tstzrange', 'timestamptz_send')) t (base_name, range_type, send) using (base_name)
    cross join (
        select coalesce(string_agg('u' || d.ordinal, ', ' order by d.ordinal), '') as names,
               coalesce(string_agg(format(', u%s %s', d.ordinal, d.data_type), '' order by d.ordinal), '') as arguments,
               coalesce(bool_and(tsconsole.row_expression(source, d.expression, d.data_type, 'new') is not null), true) as is_known,
               coalesce(bool_and(tsconsole.is_plain_text(d.data_type::regtype)), true) as is_plain
        from tsconsole.tracked_dimensions(source, tracker_arguments.time_column) d) u
    where c.column_name = tracker_arguments.time_column;
$$;

comment on function tsconsole.tracker_arguments(regclass, text) is
'What the trackers of a source are made from: the key in the names of all that is generated for the source, and what the names of its trackers end with; the type of its time, the range of such times, and the function that makes bytes of one; its dimensions as names, and as names with types; whether the source still has all that these are computed from, and whether different values of them have different texts in every session.
Example: select * from tsconsole.tracker_arguments(''raw.readings'', ''ts'');';


create or replace function tsconsole.is_plain_text(type regtype) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select type in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'name'::regtype, 'smallint'::regtype, 'integer'::regtype,
                    'bigint'::regtype, 'numeric'::regtype, 'boolean'::regtype, 'uuid'::regtype, 'inet'::regtype, 'cidr'::regtype,
                    'macaddr'::regtype, 'date'::regtype, 'oid'::regtype)
        or (select t.typtype = 'e' from pg_type t where t.oid = type);
$$;

comment on function tsconsole.is_plain_text(regtype) is
'Whether different values of a type have different texts in every session. Of floats and times, and of what may hold some, a session''s settings can make the same.
Example: select tsconsole.is_plain_text(''uuid'');';


create or replace function tsconsole.never_called() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return null;
end;
$$;

comment on function tsconsole.never_called() is
'The function of all row triggers on tracked sources. Their WHEN clauses do the work and are never true, which is several times cheaper than calling a trigger function for each row.
Example: see tsconsole.trigger_condition.';

-- A partition is added by its owner, who needs this right then.
grant execute on function tsconsole.never_called() to public;


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
