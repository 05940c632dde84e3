-- How long the rows of a table are kept, and what becomes of its partitions then.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.set_retention(table_name regclass, retention_period interval, retention_action text default 'drop') returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config;
begin
    if retention_action not in ('drop', 'archive') or retention_action is null then
        raise exception 'retention_action is %', coalesce(quote_literal(retention_action), 'null') using
            errcode = 'TS001', hint = 'Use drop, or archive to move partitions to a schema of their own.';
    end if;
    perform tsconsole.check_has_rollups(table_name);
    select c.* into config from silver.timeseries_rollup_config c where c.target_table = table_name;
    if config.id is not null then
        config.retention_period := set_retention.retention_period;
        perform tsconsole.check_retention(config);
        update silver.timeseries_rollup_config c
        set retention_period = set_retention.retention_period, retention_action = set_retention.retention_action where c.id = config.id;
    elsif retention_period is null then
        delete from silver.timeseries_source_retention s where s.source_table = table_name;
        -- What is half detached must not stay so for want of a retention that would finish it.
        perform f.partition_name from tsconsole.finish_detachments(array[table_name]) f;
    else
        perform tsconsole.check_source_retention(table_name, retention_period);
        insert into silver.timeseries_source_retention as s (source_table, source_name, retention_period, retention_action)
        values (table_name, tsconsole.qualified_name(table_name), set_retention.retention_period, set_retention.retention_action)
        on conflict (source_table) do update set source_name = excluded.source_name,
            retention_period = excluded.retention_period, retention_action = excluded.retention_action;
    end if;
end;
$$;

comment on function silver.set_retention(regclass, interval, text) is
'Sets how long the rows of a target, or of a source that is partitioned by its time column, are kept; null keeps them for ever. retention_action: drop, or archive, which moves old partitions to the schema <schema>_archive. Partitions of a source go only when every rollup on it has passed them and has nothing pending there; what was rolled up from them stays. TS001 when the period is shorter than a bucket, or than a rollup that reads the table needs; TS002 when the table has no rollup; TS004 when a source cannot be cut by partitions.
Example: select silver.set_retention(''raw.readings'', ''90 days'', ''archive'');';


create or replace function tsconsole.needed_source_age(reader silver.timeseries_rollup_config) returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select greatest((reader).rollup_interval, case when (reader).change_tracking = 'look_back' then (reader).look_back_window end);
$$;

comment on function tsconsole.needed_source_age(silver.timeseries_rollup_config) is
'How old rows of its source a rollup still reads in the normal course: a bucket, and what it looks back.
Example: select tsconsole.needed_source_age(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.check_retention(config silver.timeseries_rollup_config) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    below record;
begin
    if (config).retention_period <= '0' then
        raise exception 'retention_period is %', (config).retention_period using
            errcode = 'TS001', hint = 'Give how long rows are kept, for example 1 year; null keeps them for ever.';
    elsif (config).retention_period < (config).rollup_interval then
        raise exception 'retention_period % is shorter than a bucket of %', (config).retention_period, (config).rollup_interval using
            errcode = 'TS001', hint = format('Use %s or more, or null to keep everything.', (config).rollup_interval);
    elsif (config).source_retention < (config).rollup_interval then
        raise exception 'source_retention % is shorter than a bucket of %', (config).source_retention, (config).rollup_interval using
            errcode = 'TS001', hint = format('Every bucket would be frozen before it is complete. Use %s or more, or null when the source keeps its rows.', (config).rollup_interval);
    end if;
    perform tsconsole.check_readers((config).target_table, (config).retention_period);
    select p.retention_period, tsconsole.qualified_name(p.target_table) as name into below from silver.timeseries_rollup_config p
    where p.target_table = (config).source_table and p.retention_period < tsconsole.needed_source_age(config)
    union all
    select s.retention_period, tsconsole.qualified_name(s.source_table) from silver.timeseries_source_retention s
    where s.source_table = (config).source_table and s.retention_period < tsconsole.needed_source_age(config);
    if found then
        raise exception 'rows of % are kept for %, which is shorter than what this rollup needs: %', below.name, below.retention_period,
            tsconsole.needed_source_age(config) using
            errcode = 'TS001', hint = format('First: select silver.set_retention(%L, %L);', below.name, tsconsole.needed_source_age(config));
    end if;
end;
$$;

comment on function tsconsole.check_retention(silver.timeseries_rollup_config) is
'Refuses (TS001) a retention that is shorter than a bucket, or than the level above needs, or a level below that keeps its rows for too short a time.
Example: select tsconsole.check_retention(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.check_readers(relation regclass, retention_period interval) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    reader silver.timeseries_rollup_config;
begin
    select r.* into reader from silver.timeseries_rollup_config r
    where r.source_table = relation and check_readers.retention_period < tsconsole.needed_source_age(r)
    order by tsconsole.needed_source_age(r) desc limit 1;
    if found then
        raise exception 'retention_period % is shorter than what % needs, which reads %', retention_period,
            tsconsole.qualified_name(reader.target_table), tsconsole.qualified_name(relation) using
            errcode = 'TS001', hint = format('Use %s or more.', tsconsole.needed_source_age(reader));
    end if;
end;
$$;

comment on function tsconsole.check_readers(regclass, interval) is
'Refuses (TS001) a retention of a table that is shorter than a rollup on it needs.
Example: select tsconsole.check_readers(''raw.readings'', ''90 days'');';


create or replace function tsconsole.check_source_retention(source regclass, retention_period interval) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    problem text := tsconsole.cut_problem(source);
begin
    if check_source_retention.retention_period <= '0' then
        raise exception 'retention_period is %', retention_period using
            errcode = 'TS001', hint = 'Give how long rows are kept, for example 90 days; null keeps them for ever.';
    elsif problem is not null then
        raise exception '%', problem using errcode = 'TS004',
            hint = 'Partition it by range of the time column; or delete old rows yourself and say so: silver.alter_rollup(…, source_retention := …) for each rollup on it.';
    end if;
    perform tsconsole.check_readers(source, retention_period);
end;
$$;

comment on function tsconsole.check_source_retention(regclass, interval) is
'Refuses a retention of a source that its rollups cannot live with (TS001), or that cannot be applied by partitions (TS004).
Example: select tsconsole.check_source_retention(''raw.readings'', ''90 days'');';


create or replace function tsconsole.cut_problem(source regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when k.column_name is null then format('%s is not partitioned by range, so it has no partitions to take away', tsconsole.qualified_name(source))
        when o.target_table is not null then format('%s is partitioned by %I, but %s reads it by %I',
            tsconsole.qualified_name(source), k.column_name, tsconsole.qualified_name(o.target_table), o.time_column)
        end
    from (values (1)) one
    cross join lateral (select tsconsole.partition_column(source) as column_name) k
    left join lateral (select c.target_table, c.time_column from silver.timeseries_rollup_config c
                       where c.source_table = source and c.time_column <> k.column_name limit 1) o on true;
$$;

comment on function tsconsole.cut_problem(regclass) is
'Why the partitions of a source cannot be taken away by their age; null when they can.
Example: select tsconsole.cut_problem(''raw.readings'');';


create or replace function tsconsole.has_retention(config silver.timeseries_rollup_config) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select (config).retention_period is not null
        or exists (select from tsconsole.detachment d where d.parent in ((config).target_table, (config).source_table))
        or exists (select from silver.timeseries_source_retention s where s.source_table = (config).source_table)
           and (config).id = (select min(c.id) from silver.timeseries_rollup_config c where c.source_table = (config).source_table);
$$;

comment on function tsconsole.has_retention(silver.timeseries_rollup_config) is
'Whether maintenance of a rollup has rows to let go: those of its target, or, with the first rollup on it, those of its source; or a detachment to finish.
Example: select tsconsole.has_retention(tsconsole.rollup(''silver.meters_1h''));';


create or replace view silver.timeseries_retention as
select tsconsole.last_name(c.target_table, c.target_name) as table_name, false as is_source, c.retention_period,
       coalesce(c.retention_action, 'drop') as retention_action
from silver.timeseries_rollup_config c
union all
select distinct on (c.source_table) tsconsole.last_name(c.source_table, c.source_name), true, s.retention_period, s.retention_action
from silver.timeseries_rollup_config c
left join silver.timeseries_source_retention s on s.source_table = c.source_table
where not exists (select from silver.timeseries_rollup_config p where p.target_table = c.source_table);

comment on view silver.timeseries_retention is
'How long every target and every first source keeps its rows, and what becomes of its partitions then. retention_period null: for ever. Change it with silver.set_retention.
Example: select * from silver.timeseries_retention order by is_source desc, table_name;';
