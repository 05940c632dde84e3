-- What a step makes sure of before and after it reads its source.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.partition_fingerprints(source regclass) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(p::text), '{}') from tsconsole.present_partitions(source) p;
$$;

comment on function tsconsole.partition_fingerprints(regclass) is
'What identifies each partition of a table as it is now.
Example: select tsconsole.partition_fingerprints(''raw.readings'');';


create or replace function tsconsole.check_inventory(config silver.timeseries_rollup_config, partitions_before text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from tsconsole.source_partition s
               where s.source_table = (config).source_table
                 and row(s.partition, s.file_node, s.attached_by)::text not in (select p from unnest(partitions_before) p)) then
        raise exception 'a partition of % was dropped or changed, and it is not noted yet', (config).source_name using
            errcode = 'TS005', hint = 'The next step notes it.';
    end if;
end;
$$;

comment on function tsconsole.check_inventory(silver.timeseries_rollup_config, text[]) is
'Refuses (TS005) to begin while a partition that the inventory knows is not there: what it held is not frozen yet.
Example: see silver.perform_step.';


create or replace function tsconsole.check_still_whole(
    config silver.timeseries_rollup_config, range tsconsole.work_range, kept tstzmultirange, partitions_before text[]
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    kept_now tstzmultirange := tsconsole.kept_ranges(config);
begin
    -- Against what this step read itself: a diff by another worker may have slipped in between.
    if exists (select p from unnest(partitions_before) p except select p from unnest(tsconsole.partition_fingerprints((config).source_table)) p) then
        raise exception 'a partition of % was dropped or changed during the step', (config).source_name using
            errcode = 'TS005', hint = 'The step was undone and is done again.';
    elsif (kept_now - kept) && tstzrange((range).lo, (range).hi) then
        raise exception 'rows of % grew older than source_retention during the step', (config).source_name using
            errcode = 'TS005', hint = 'The step was undone and is done again.';
    elsif (kept - kept_now) && tstzrange((range).lo, (range).hi) then
        -- The late ranges that came with it would be settled without having been read.
        raise exception 'a partition of % came back during the step', (config).source_name using
            errcode = 'TS005', hint = 'The step was undone and is done again.';
    end if;
end;
$$;

comment on function tsconsole.check_still_whole(silver.timeseries_rollup_config, tsconsole.work_range, tstzmultirange, text[]) is
'After the aggregate: refuses (TS005) a result from a source whose partitions went or came back meanwhile, or that retention may have thinned out.
Example: see silver.perform_step.';


create or replace function tsconsole.check_relations(config silver.timeseries_rollup_config) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    gone text := case
        when not exists (select from pg_class c where c.oid = (config).source_table) then 'source ' || (config).source_name
        when not exists (select from pg_class c where c.oid = (config).target_table) then 'target ' || (config).target_name
    end;
    other text;
begin
    if gone is not null then
        raise exception '% was dropped', gone using
            errcode = 'TS002', hint = 'Drop the rollup with silver.drop_rollup, or restore the table and create the rollup again.';
    end if;
    perform tsconsole.check_not_prepared((config).source_table);
    other := coalesce(tsconsole.foreign_column(config, '{}'),
                      (select c.column_name from tsconsole.columns((config).source_table) c
                       where c.column_name = (config).time_column and c.base_type <> (config).time_type));
    if other is not null then
        raise exception 'column % of source % is not the one that % was made for', quote_ident(other), (config).source_name, (config).target_name using
            errcode = 'TS004',
            hint = format('Give the old column its name back, or fit the rollups to the new one: select silver.refresh_source(%L);', (config).source_name);
    elsif not exists (select from tsconsole.columns((config).source_table) c where c.column_name = (config).time_column) then
        raise exception 'source % has no column % any more', (config).source_name, quote_ident((config).time_column) using
            errcode = 'TS004',
            hint = format('Give it its name back, or say which one it is now: select silver.refresh_source(%L, %L);', (config).source_name, jsonb_build_object((config).time_column, 'new name'));
    elsif (config).change_tracking = 'trigger' and (select c.relkind = 'r' from pg_class c where c.oid = (config).source_table)
          and exists (select from pg_inherits i where i.inhparent = (config).source_table) then
        raise exception 'other tables inherit from %, whose late changes its triggers do not see', (config).source_name using
            errcode = 'TS004',
            hint = 'Let them inherit no more, or make the source a partitioned table; or create the rollup again with change_tracking look_back.';
    elsif (config).change_tracking = 'trigger' and not tsconsole.has_triggers((config).source_table, (config).time_column) then
        raise exception 'late changes of % are not logged: its triggers named tsconsole_… were dropped or disabled', (config).source_name using
            errcode = 'TS004',
            hint = format('Bring them back, and compute again what changed meanwhile: select silver.refresh_source(%L);', (config).source_name);
    end if;
end;
$$;

comment on function tsconsole.check_relations(silver.timeseries_rollup_config) is
'Refuses to work on a rollup whose source or target is gone (TS002), or whose source has another column under a name that it reads, has no time column of that name, lacks its triggers, or has heirs that they do not see (TS004).
Example: select tsconsole.check_relations(tsconsole.rollup(''silver.meters_1h''));';
