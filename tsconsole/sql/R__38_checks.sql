-- Checks of what a user asks for, each with its own sentence. All raise; none returns a verdict.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.interval_parts(width interval, out months integer, out seconds numeric, out is_negative boolean)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select m, extract(day from width) * 86400 + t, m < 0 or extract(day from width) < 0 or t < 0
    from (select (extract(year from width) * 12 + extract(month from width))::integer as m,
                 extract(hour from width) * 3600 + extract(minute from width) * 60 + extract(second from width) as t) f;
$$;

comment on function tsconsole.interval_parts(interval) is
'An interval as whole months and the seconds beside them (a day is 86,400), and whether any part is negative.
Example: select * from tsconsole.interval_parts(''1 day 2 hours'');';


create or replace function tsconsole.check_interval(width interval, time_type regtype, zone text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    parts record;
    problem text;
begin
    select * into parts from tsconsole.interval_parts(width);
    problem := case
        when width is null then 'is null'
        when width = '0' then 'is zero'
        when parts.is_negative then 'is negative or has a negative part'
        when parts.months <> 0 and parts.seconds <> 0 then 'mixes months with days or time, so its buckets would have no fixed edges'
        when time_type = 'date'::regtype and parts.seconds % 86400 <> 0 then 'is not whole days, but the time column is a date'
        when parts.seconds % 86400 <> 0 and zone <> 'UTC' and parts.seconds > 86400
            then 'is more than a day but not whole days, which a zone with clock changes cannot cut'
        when parts.seconds % 86400 <> 0 and zone <> 'UTC' and 3600 % parts.seconds <> 0 and (parts.seconds % 3600 <> 0 or 86400 % parts.seconds <> 0)
            then format('does not divide an hour or a day evenly, which zone %s needs because its clock changes', zone)
    end;
    if problem is not null then
        raise exception 'rollup_interval % %', coalesce(width::text, 'null'), problem using
            errcode = case when parts.months = 0 and zone <> 'UTC' and width > '0' then 'TS004' else 'TS001' end,
            hint = 'Use something like 15 minutes, 1 hour, 1 day or 3 months.';
    end if;
end;
$$;

comment on function tsconsole.check_interval(interval, regtype, text) is
'Refuses a bucket width that is zero, negative, mixed, or cannot be cut exactly in the zone.
Example: select tsconsole.check_interval(''1 hour'', ''timestamptz'', ''UTC'');';


create or replace function tsconsole.check_zone(zone text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    begin
        perform timestamptz '2000-01-01 00:00:00+00' at time zone zone;
        if zone is null then
            raise invalid_parameter_value;
        end if;
    exception when others then
        raise exception 'there is no time zone %', coalesce(quote_literal(zone), 'null') using
            errcode = 'TS001', hint = 'Names such as Europe/Berlin are listed in pg_timezone_names.';
    end;
    perform tsconsole.check_offsets(zone);
end;
$$;

comment on function tsconsole.check_zone(text) is
'Refuses (TS001) a name that is not a time zone, or one that was made up and is odd minutes from UTC.
Example: select tsconsole.check_zone(''Europe/Berlin'');';


create or replace function tsconsole.check_offsets(zone text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    odd interval;
begin
    -- PostgreSQL takes rules such as <X>-0:07 for zones, too. Buckets are cut with plain arithmetic, and levels of a ladder read in
    -- another zone, because every zone with a name has been a multiple of 15 minutes from UTC since 1980.
    select (d at time zone 'UTC' at time zone zone) - d into odd
    from generate_series(timestamp '1980-01-01', timestamp '2038-01-01', interval '7 days') d
    where mod(extract(epoch from (d at time zone 'UTC' at time zone zone) - d), 900) <> 0 limit 1;
    if found then
        raise exception 'time zone % is % from UTC, which is no multiple of 15 minutes', quote_literal(zone), odd using
            errcode = 'TS001', hint = 'Names such as Europe/Berlin are listed in pg_timezone_names.';
    end if;
end;
$$;

comment on function tsconsole.check_offsets(text) is
'Refuses (TS001) a time zone whose distance from UTC is no multiple of 15 minutes: one that was made up.
Example: select tsconsole.check_offsets(''Asia/Kathmandu'');';


create or replace function tsconsole.check_origin(origin timestamptz) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not isfinite(origin) then
        raise exception 'bucket_origin is %', origin using errcode = 'TS001', hint = 'Give a time from which buckets are counted, or null.';
    end if;
end;
$$;

comment on function tsconsole.check_origin(timestamptz) is
'Refuses an origin of buckets that is infinite.
Example: select tsconsole.check_origin(''2026-01-01'');';


create or replace function tsconsole.check_edges(config silver.timeseries_rollup_config, range tsconsole.work_range) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    parent silver.timeseries_rollup_config := tsconsole.parent_rollup(config);
    odd timestamptz;
begin
    if parent.id is null or tsconsole.bucket_zone(parent) = tsconsole.bucket_zone(config) then
        return;
    end if;
    -- Of old data every day: a zone may have been odd for some years only, as Singapore was from 1933 to 1941. Before 1800
    -- clocks did not change.
    select e into odd
    from (select unnest(array[(range).data_from, (range).hi])
          union all
          select tsconsole.bucket_floor(config, d)
          from generate_series(greatest((range).data_from, '1800-01-01 00:00:00+00'), least((range).hi, '1980-01-01 00:00:00+00'), interval '24 hours') d) edge (e)
    where tsconsole.bucket_floor(parent, e) <> e limit 1;
    if odd is not null then
        raise exception 'the bucket that starts at % in zone % does not start with a bucket of %', odd, tsconsole.bucket_zone(config),
            tsconsole.qualified_name(parent.target_table) using
            errcode = 'TS004', hint = 'At that time the zone was not a multiple of 15 minutes from UTC. Read the first source instead.';
    end if;
end;
$$;

comment on function tsconsole.check_edges(silver.timeseries_rollup_config, tsconsole.work_range) is
'Refuses (TS004) a range in which buckets of this level are not made of whole buckets of the level below, as with old data in zones that were odd then.
Example: see silver.perform_step.';


create or replace function tsconsole.check_nesting(parent silver.timeseries_rollup_config, child silver.timeseries_rollup_config) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    below record;
    above record;
    same_zone boolean := tsconsole.bucket_zone(parent) = tsconsole.bucket_zone(child);
    fits boolean;
begin
    select * into below from tsconsole.interval_parts((parent).rollup_interval);
    select * into above from tsconsole.interval_parts((child).rollup_interval);
    fits := case
        when (parent).bucket_origin is distinct from (child).bucket_origin then false
        -- Every zone of today is a multiple of 15 minutes from UTC; steps check the edges of older data.
        when not same_zone then below.months = 0 and 900 % below.seconds = 0 and tsconsole.bucket_zone(parent) = 'UTC'
        when below.months > 0 then above.months > 0 and above.months % below.months = 0
        when above.months > 0 then 86400 % below.seconds = 0
        else above.seconds % below.seconds = 0
    end;
    if not fits then
        raise exception 'buckets of % (zone %) are not made of whole buckets of % (zone %)',
            (child).rollup_interval, tsconsole.bucket_zone(child), (parent).rollup_interval, tsconsole.bucket_zone(parent) using
            errcode = 'TS004',
            hint = format('Choose a multiple of %s with the same zone and origin, or read the source of %s instead.',
                          (parent).rollup_interval, tsconsole.qualified_name((parent).target_table));
    end if;
end;
$$;

comment on function tsconsole.check_nesting(silver.timeseries_rollup_config, silver.timeseries_rollup_config) is
'Refuses a level of a ladder whose buckets are not made of whole buckets of the level below.
Example: select tsconsole.check_nesting(tsconsole.rollup(''silver.meters_1m''), tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.check_source(source regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    kind "char";
begin
    select c.relkind into kind from pg_class c where c.oid = source;
    if kind is null or kind not in ('r', 'p', 'v', 'm', 'f') then
        raise exception 'source % is not a table or a view', coalesce(tsconsole.qualified_name(source), 'null') using
            errcode = 'TS001', hint = 'source_table_name is a table, a view or a foreign table.';
    elsif (select c.relpersistence = 't' from pg_class c where c.oid = source) then
        raise exception 'source % is a temporary table', source using
            errcode = 'TS004', hint = 'Workers could not read it; use an ordinary or an unlogged table.';
    elsif not has_table_privilege(source, 'select') then
        raise exception 'role % may not read source %', current_user, tsconsole.qualified_name(source) using
            errcode = '42501', hint = format('grant select on %s to %I;', tsconsole.qualified_name(source), current_user);
    end if;
    perform tsconsole.check_not_prepared(source);
end;
$$;

comment on function tsconsole.check_source(regclass) is
'Refuses a source that is no table or view, or that the caller may not read.
Example: select tsconsole.check_source(''raw.readings'');';


create or replace function tsconsole.split_target(target_schema text, target_table_name text, out schema_name text, out table_name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    parts text[];
begin
    if target_schema is not null then
        parts := array[target_schema, target_table_name];
    elsif target_table_name ~ '^[[:space:]]*"' or target_table_name ~ '[.]"' then
        begin
            parts := parse_ident(target_table_name);
        exception when invalid_parameter_value then
            parts := array[target_table_name];
        end;
    elsif strpos(target_table_name, '.') > 0 then
        parts := array[split_part(target_table_name, '.', 1), substr(target_table_name, strpos(target_table_name, '.') + 1)];
    else
        parts := array[target_table_name];
    end if;
    schema_name := case when cardinality(parts) = 1 then 'silver' else parts[1] end;
    table_name := parts[cardinality(parts)];
end;
$$;

comment on function tsconsole.split_target(text, text) is
'Schema and name of a target: what stands before the first dot is a schema, unless the name is in double quotes; no schema means silver. Capitals are kept.
Example: select * from tsconsole.split_target(null, ''gold.meters_1h'');';


create or replace function tsconsole.check_target(schema_name text, table_name text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(table_name, '') = '' then
        raise exception 'target_table_name is empty' using errcode = 'TS001', hint = 'Give a name, for example meters_1h.';
    elsif octet_length(table_name) > 63 then
        raise exception 'target_table_name has % bytes, PostgreSQL allows 63: %', octet_length(table_name), table_name using
            errcode = 'TS001', hint = 'Choose a shorter name.';
    elsif not exists (select from pg_namespace n where n.nspname = schema_name) then
        raise exception 'there is no schema % for the target %', quote_ident(schema_name), quote_ident(table_name) using
            errcode = 'TS002', hint = format('create schema %I; or put a name with a dot in double quotes.', schema_name);
    elsif not has_schema_privilege(schema_name, 'create') then
        raise exception 'role % may not create tables in schema %', current_user, quote_ident(schema_name) using
            errcode = '42501', hint = format('grant create, usage on schema %I to %I;', schema_name, current_user);
    elsif exists (select from pg_class c where c.relnamespace = (select n.oid from pg_namespace n where n.nspname = schema_name) and c.relname = table_name) then
        raise exception 'target %.% exists already', quote_ident(schema_name), quote_ident(table_name) using
            errcode = 'TS003', hint = 'Choose another name, or drop the rollup with silver.drop_rollup.';
    end if;
end;
$$;

comment on function tsconsole.check_target(text, text) is
'Refuses a target that has no usable name, exists already, or lies where the caller may not create.
Example: select tsconsole.check_target(''silver'', ''meters_1h'');';
