-- DDL on a source: taking away what stands in its way, and fitting the rollups to what came of it.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.prepare_source_ddl(source regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    levels bigint[] := array(select r from tsconsole.rollups_of(source) r);
    rights jsonb;
begin
    perform tsconsole.check_ddl_source(source);
    if exists (select from tsconsole.prepared_source p where p.source_table = source) then
        raise notice '% is prepared already', tsconsole.qualified_name(source);
        return;
    end if;
    perform tsconsole.claim_rollups(array(select c.id from silver.timeseries_rollup_config c where c.source_table = source));
    rights := tsconsole.live_rights(levels);
    -- Of each partition the table and four triggers.
    perform tsconsole.check_partition_locks(source, 5);
    perform tsconsole.run_briefly(
        tsconsole.drop_view_statements(levels) || tsconsole.lock_statements(source)
        || array(select format('select tsconsole.drop_triggers(%s::regclass, %L)', source::oid, t.time_column)
                 from tsconsole.tracked_source t where t.source_table = source));
    insert into tsconsole.prepared_source (source_table, files, row_changes, view_rights, columns)
    values (source, tsconsole.table_files(source), tsconsole.row_changes(source), rights, tsconsole.column_numbers(source));
end;
$$;

comment on function silver.prepare_source_ddl(regclass) is
'Takes away what stands in the way of DDL on a source: the live views of its rollups and of those above, and the triggers. Until silver.refresh_source, which belongs in the same transaction where that is possible, the rollups that read the source make no step and have no live view, and late changes are not logged. TS002 when no rollup reads it, TS004 when it is itself a rollup or when something else reads a live view, TS005 when a step, a writer or a reader does not end.
Example: begin; select silver.prepare_source_ddl(''raw.readings''); alter table raw.readings alter column power type bigint; select silver.refresh_source(''raw.readings''); commit;';


create or replace function silver.refresh_source(source regclass, renames jsonb default '{}', recompute boolean default null) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    levels bigint[] := array(select r from tsconsole.rollups_of(source) r);
    readers bigint[] := array(select c.id from silver.timeseries_rollup_config c where c.source_table = source order by c.id);
    prepared tsconsole.prepared_source;
    rights jsonb;
    reason text;
    queued bigint := 0;
begin
    perform tsconsole.check_ddl_source(source);
    renames := coalesce(renames, '{}');
    perform tsconsole.check_renames(source, renames);
    perform tsconsole.claim_rollups(levels);
    select p.* into prepared from tsconsole.prepared_source p where p.source_table = source;
    perform tsconsole.lock_source(source) where exists (select from tsconsole.tracked_source t where t.source_table = source);
    perform tsconsole.check_fit(source, renames);
    reason := coalesce(tsconsole.recompute_reason(prepared, source, recompute),
                       case when recompute is null then tsconsole.replaced_column(prepared, source, renames) end,
                       case when recompute is null then tsconsole.tracking_gap(source, renames) end);
    rights := coalesce(prepared.view_rights, tsconsole.live_rights(levels));
    perform tsconsole.run_briefly(tsconsole.drop_view_statements(levels));
    delete from tsconsole.prepared_source p where p.source_table = source;
    perform tsconsole.refit(l.id, renames) from unnest(levels) with ordinality l (id, rank) order by l.rank;
    perform tsconsole.track_again(source, renames);
    perform tsconsole.bring_live_views_back(levels, rights);
    perform tsconsole.end_wait(l) from unnest(levels) l;
    update silver.timeseries_dimension_config d set dimension_column = renames ->> d.dimension_column
    where d.source_table = source and renames ? d.dimension_column;
    if reason is not null then
        select coalesce(sum(tsconsole.queue_refill(c)), 0) into queued from silver.timeseries_rollup_config c where c.id = any (readers);
        raise notice 'everything that was rolled up from % is computed again: %', tsconsole.qualified_name(source), reason
            using hint = 'Newest first, and only what differs is written; recompute := false would leave it out.';
    end if;
    return queued;
end;
$$;

comment on function silver.refresh_source(regclass, jsonb, boolean) is
'After DDL on a source: fits its rollups and those above to the columns as they are now, and brings triggers and live views back. renames: {"old column": "new column"}. A renamed time column is renamed in the targets too; other columns of the targets keep their names, and take the wider type where the source column did. Everything is computed again, with a notice, when late changes may have been missed (silver.prepare_source_ddl was committed before this) or values may be others (the transaction changed rows, a table was rewritten, or a column was replaced by another of its name); recompute says otherwise: false for a change of type that left every value equal. Returns the number of ranges queued. Works without prepare, too, after a plain rename. TS001 with the list of what no longer fits, TS002 when no rollup reads the source, TS004 when it cannot be done, TS005 when a step or a writer does not end.
Example: select silver.refresh_source(''raw.readings'', ''{"temp": "temperature"}'');';


create or replace function tsconsole.check_ddl_source(source regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from silver.timeseries_rollup_config c where c.target_table = source) then
        raise exception '% is itself a rollup', tsconsole.qualified_name(source) using
            errcode = 'TS004', hint = 'Change it with silver.add_measures and silver.drop_measures, or its own source.';
    elsif not exists (select from silver.timeseries_rollup_config c where c.source_table = source) then
        raise exception 'no rollup reads %', coalesce(tsconsole.qualified_name(source), 'null') using
            errcode = 'TS002', hint = 'Sources are listed in silver.timeseries_operations_monitor.';
    elsif not exists (select from pg_class c where c.oid = source) then
        raise exception 'source % was dropped', (select min(c.source_name) from silver.timeseries_rollup_config c where c.source_table = source) using
            errcode = 'TS002', hint = 'Drop its rollups with silver.drop_rollup and create them again on the new table.';
    end if;
end;
$$;

comment on function tsconsole.check_ddl_source(regclass) is
'Refuses a table that is no source of a rollup, or that is a rollup itself.
Example: select tsconsole.check_ddl_source(''raw.readings'');';


create or replace function tsconsole.check_not_prepared(source regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from tsconsole.prepared_source p where p.source_table = source) then
        raise exception 'source % is prepared for DDL', tsconsole.qualified_name(source) using
            errcode = 'TS005', hint = format('When the DDL is done: select silver.refresh_source(%L);', tsconsole.qualified_name(source));
    end if;
end;
$$;

comment on function tsconsole.check_not_prepared(regclass) is
'Refuses (TS005) to work on a source between silver.prepare_source_ddl and silver.refresh_source.
Example: select tsconsole.check_not_prepared(''raw.readings'');';


create or replace function tsconsole.check_renames(source regclass, renames jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    problem text;
begin
    if jsonb_typeof(renames) <> 'object' then
        raise exception 'renames is not a JSON object' using errcode = 'TS001', hint = 'For example: {"old column": "new column"}';
    end if;
    select case
        when r.value is null or not exists (select from tsconsole.columns(source) c where c.column_name = r.value)
            then format('%s has no column %s', tsconsole.qualified_name(source), coalesce(quote_ident(r.value), 'null'))
        else format('%s still has the column %I: it was not renamed', tsconsole.qualified_name(source), r.key) end
    into problem
    from jsonb_each_text(renames) r
    where r.value is null
       or not exists (select from tsconsole.columns(source) c where c.column_name = r.value)
       or exists (select from tsconsole.columns(source) c where c.column_name = r.key)
          and r.key not in (select o.value from jsonb_each_text(renames) o where o.value is not null)
    limit 1;
    if problem is not null then
        raise exception '%', problem using errcode = 'TS001', hint = 'renames is {"old column": "new column"}, after the columns were renamed.';
    end if;
end;
$$;

comment on function tsconsole.check_renames(regclass, jsonb) is
'Refuses renames that do not describe what happened to the columns of a source.
Example: select tsconsole.check_renames(''raw.readings'', ''{"temp": "temperature"}'');';


create or replace function tsconsole.table_files(source regclass) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(c.oid || ':' || c.relfilenode order by c.oid), '{}')
    from tsconsole.with_partitions(source) p join pg_class c on c.oid = p where c.relkind in ('r', 'm');
$$;

comment on function tsconsole.table_files(regclass) is
'The files of a table and its partitions: others after a rewrite or TRUNCATE.
Example: select tsconsole.table_files(''raw.readings'');';


create or replace function tsconsole.row_changes(source regclass) returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(sum(pg_stat_get_xact_tuples_inserted(p) + pg_stat_get_xact_tuples_updated(p) + pg_stat_get_xact_tuples_deleted(p)), 0)::bigint
    from tsconsole.with_partitions(source) p;
$$;

comment on function tsconsole.row_changes(regclass) is
'How many rows of a table this transaction has inserted, updated and deleted so far.
Example: select tsconsole.row_changes(''raw.readings'');';


create or replace function tsconsole.recompute_reason(prepared tsconsole.prepared_source, source regclass, wanted boolean) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select case
        when not wanted then null
        when wanted then 'as asked for'
        when (prepared).source_table is null then null
        when (prepared).prepared_by is distinct from pg_current_xact_id_if_assigned()
             and exists (select from silver.timeseries_rollup_config c where c.source_table = source and c.change_tracking = 'trigger')
            then 'late changes were not logged since silver.prepare_source_ddl, ' || tsconsole.in_words(clock_timestamp() - (prepared).prepared_at) || ' ago'
        when (prepared).files <> tsconsole.table_files(source) then 'the table, or a partition, was rewritten, so its values may be others'
        when (prepared).prepared_by = pg_current_xact_id_if_assigned()
             and ((prepared).row_changes <> tsconsole.row_changes(source) or not current_setting('track_counts')::boolean)
            then 'this transaction changed rows without their being logged'
    end;
$$;

comment on function tsconsole.recompute_reason(tsconsole.prepared_source, regclass, boolean) is
'Why everything must be computed again after DDL, in words; null when it need not.
Example: see silver.refresh_source.';


create or replace function tsconsole.column_numbers(source regclass) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(a.attname, a.attnum), '{}') from pg_attribute a
    where a.attrelid = source and a.attnum > 0 and not a.attisdropped;
$$;

comment on function tsconsole.column_numbers(regclass) is
'The number of each column of a table, which stays the same when it is renamed.
Example: select tsconsole.column_numbers(''raw.readings'');';


create or replace function tsconsole.replaced_column(prepared tsconsole.prepared_source, source regclass, renames jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when (prepared).source_table is not null then (
            select format('column %I was replaced by another of that name', n.new_name)
            from jsonb_each((prepared).columns) before (name, number)
            cross join lateral (select coalesce(renames ->> before.name, before.name) as new_name) n
            where tsconsole.column_numbers(source) -> n.new_name <> before.number
            limit 1)
        else (
            select coalesce('column ' || quote_ident(tsconsole.foreign_column(c, renames)) || ' was replaced by another of that name',
                            'its live view was away, so nothing tells whether the columns are the same')
            from silver.timeseries_rollup_config c
            where c.source_table = source and (tsconsole.existing_live_view(c.id) is null or tsconsole.foreign_column(c, renames) is not null)
            limit 1)
    end;
$$;

comment on function tsconsole.replaced_column(tsconsole.prepared_source, regclass, jsonb) is
'Says which column that the rollups of a source read is not the one it was before the DDL, though it has its name; null when there is none.
Example: see silver.refresh_source.';


create or replace function tsconsole.foreign_column(config silver.timeseries_rollup_config, renames jsonb) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The live view follows its columns wherever they are renamed to: it knows which ones it was made for.
    live regclass := tsconsole.existing_live_view((config).id);
begin
    if live is null or (tsconsole.parent_rollup(config)).id is not null then
        return null;
    end if;
    return (
        select a.attname
        from pg_attribute a
        join (select coalesce(renames ->> n.name, n.name) as name from (
                  select m.source_column as name from tsconsole.rollup_measure m where m.rollup_id = (config).id
                  union select (config).time_column
                  union select k.name from tsconsole.rollup_dimension d
                        join (select o.attname as name from pg_attribute o where o.attrelid = (config).source_table
                              union select jsonb_object_keys(renames)) k on d.expression = format('s.%I', k.name)
                        where d.rollup_id = (config).id) n) needed on a.attname = needed.name
        where a.attrelid = (config).source_table and a.attnum > 0
          and not exists (
              select from pg_rewrite w
              join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
              where w.ev_class = live and d.refobjid = a.attrelid and d.refobjsubid = a.attnum)
        limit 1);
end;
$$;

comment on function tsconsole.foreign_column(silver.timeseries_rollup_config, jsonb) is
'A column of the source that has the name of one that the rollup reads, and is another; null when there is none, or no live view to tell it by.
Example: select tsconsole.foreign_column(tsconsole.rollup(''silver.meters_1h''), ''{}'');';


create or replace function tsconsole.drop_triggers(source regclass, time_column text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tsconsole.drop_tracking(tsconsole.tracking_key(source, time_column));
    update tsconsole.tracked_source t set condition = ''
    where t.source_table = source and t.time_column = drop_triggers.time_column;
end;
$$;

comment on function tsconsole.drop_triggers(regclass, text) is
'Takes the triggers off a tracked source, until tsconsole.refresh_tracking.
Example: see silver.prepare_source_ddl.';


create or replace function tsconsole.tracking_gap(source regclass, renames jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Of what was prepared, recompute_reason knows whether anybody could write meanwhile.
    select 'late changes may not have been logged: triggers were dropped or disabled'
    where not exists (select from tsconsole.prepared_source p where p.source_table = source)
      and exists (select from tsconsole.tracked_source t where t.source_table = source and t.condition <> ''
                  and not tsconsole.has_triggers(source, coalesce(renames ->> t.time_column, t.time_column)));
$$;

comment on function tsconsole.tracking_gap(regclass, jsonb) is
'Why late changes of a tracked source may be missing that was not prepared for DDL, in words; null when none is.
Example: select tsconsole.tracking_gap(''raw.readings'', ''{}'');';


create or replace function tsconsole.track_again(source regclass, renames jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning'
as $$
declare
    tracked tsconsole.tracked_source;
    known tsconsole.tracked_source[] := array(select t from tsconsole.tracked_source t where t.source_table = source);
begin
    -- In two strokes: columns may have changed names with each other.
    delete from tsconsole.tracked_source t where t.source_table = source;
    foreach tracked in array known loop
        tracked.time_column := coalesce(renames ->> tracked.time_column, tracked.time_column);
        if not tsconsole.has_triggers(source, tracked.time_column) then
            tracked.condition := '';
            tracked.tracked_since := clock_timestamp();
        end if;
        insert into tsconsole.tracked_source select tracked.*;
    end loop;
    foreach tracked in array known loop
        tracked.time_column := coalesce(renames ->> tracked.time_column, tracked.time_column);
        perform tsconsole.refresh_tracking(source, tracked.time_column);
    end loop;
    -- Rewritten files are accounted for: what was missed is queued as a whole.
    update tsconsole.source_partition s set file_node = p.file_node
    from tsconsole.present_partitions(source) p
    where s.source_table = source and s.partition = p.partition and s.attached_by = p.attached_by and s.file_node <> p.file_node;
end;
$$;

comment on function tsconsole.track_again(regclass, jsonb) is
'Generates the tracking of a source anew after DDL; its writers must be locked out.
Example: see silver.refresh_source.';
