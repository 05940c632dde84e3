-- The public functions again, taking the name of a table as text: an unqualified name that is not on the search path
-- still finds its target or source. The bodies are bound at creation, so only visible_table depends on the caller's path.

create or replace function silver.perform_step(target text) returns silver.step_result
language sql volatile
begin atomic
    select * from silver.perform_step(tsconsole.find_table(target, tsconsole.visible_table(target)));
end;

comment on function silver.perform_step(text) is
'As silver.perform_step(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.perform_rollup(table_name text default null) returns setof silver.step_result
language sql volatile
begin atomic
    select * from silver.perform_rollup(tsconsole.find_table(table_name, tsconsole.visible_table(table_name)));
end;

comment on function silver.perform_rollup(text) is
'As silver.perform_rollup(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.retry_rollup(target text) returns setof silver.step_result
language sql volatile
begin atomic
    select * from silver.retry_rollup(tsconsole.find_table(target, tsconsole.visible_table(target)));
end;

comment on function silver.retry_rollup(text) is
'As silver.retry_rollup(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.pause_rollup(target text) returns void
language sql volatile
begin atomic
    select silver.pause_rollup(tsconsole.find_table(target, tsconsole.visible_table(target)));
end;

comment on function silver.pause_rollup(text) is
'As silver.pause_rollup(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.resume_rollup(target text) returns void
language sql volatile
begin atomic
    select silver.resume_rollup(tsconsole.find_table(target, tsconsole.visible_table(target)));
end;

comment on function silver.resume_rollup(text) is
'As silver.resume_rollup(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.pending_ranges(target text, max_ranges integer default 200)
returns table (work text, range_start timestamptz, range_end timestamptz)
language sql volatile
begin atomic
    select * from silver.pending_ranges(tsconsole.find_table(target, tsconsole.visible_table(target)), max_ranges);
end;

comment on function silver.pending_ranges(text, integer) is
'As silver.pending_ranges(regclass, integer), with the name of the table as text.
Example: see there.';


create or replace function silver.cancel_step(target text, worker_pid integer) returns boolean
language sql volatile
begin atomic
    select silver.cancel_step(tsconsole.find_table(target, tsconsole.visible_table(target)), worker_pid);
end;

comment on function silver.cancel_step(text, integer) is
'As silver.cancel_step(regclass, integer), with the name of the table as text.
Example: see there.';


create or replace function silver.drop_rollup(target text, keep_data boolean default false) returns void
language sql volatile
begin atomic
    select silver.drop_rollup(tsconsole.find_table(target, tsconsole.visible_table(target)), keep_data);
end;

comment on function silver.drop_rollup(text, boolean) is
'As silver.drop_rollup(regclass, boolean), with the name of the table as text.
Example: see there.';


create or replace function silver.invalidate(target text, from_time timestamptz, to_time timestamptz) returns bigint
language sql volatile
begin atomic
    select silver.invalidate(tsconsole.find_table(target, tsconsole.visible_table(target)), from_time, to_time);
end;

comment on function silver.invalidate(text, timestamptz, timestamptz) is
'As silver.invalidate(regclass, timestamptz, timestamptz), with the name of the table as text.
Example: see there.';


create or replace function silver.bulk_load(source text, from_time timestamptz, to_time timestamptz) returns bigint
language sql volatile
begin atomic
    select silver.bulk_load(tsconsole.find_table(source, tsconsole.visible_table(source)), from_time, to_time);
end;

comment on function silver.bulk_load(text, timestamptz, timestamptz) is
'As silver.bulk_load(regclass, timestamptz, timestamptz), with the name of the table as text.
Example: see there.';


create or replace function silver.thaw(source text, from_time timestamptz, to_time timestamptz) returns bigint
language sql volatile
begin atomic
    select silver.thaw(tsconsole.find_table(source, tsconsole.visible_table(source)), from_time, to_time);
end;

comment on function silver.thaw(text, timestamptz, timestamptz) is
'As silver.thaw(regclass, timestamptz, timestamptz), with the name of the table as text.
Example: see there.';


create or replace function silver.progress(target text) returns table (total interval, done interval, fraction float8, rows_per_second float8, remaining interval, pending_ranges bigint)
language sql volatile
begin atomic
    select * from silver.progress(tsconsole.find_table(target, tsconsole.visible_table(target)));
end;

comment on function silver.progress(text) is
'As silver.progress(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.verify_rollup(target text, from_time timestamptz default null, to_time timestamptz default null) returns table (bucket timestamptz, dimensions jsonb, column_name text, expected text, found text)
language sql volatile
begin atomic
    select * from silver.verify_rollup(tsconsole.find_table(target, tsconsole.visible_table(target)), from_time, to_time);
end;

comment on function silver.verify_rollup(text, timestamptz, timestamptz) is
'As silver.verify_rollup(regclass, timestamptz, timestamptz), with the name of the table as text.
Example: see there.';


create or replace function silver.get_partition_stats(table_name text) returns table (partition_name text, range_start timestamptz, range_end timestamptz, row_estimate bigint, estimated_at timestamptz, table_bytes bigint, index_bytes bigint, total_bytes bigint, bytes_per_row float8, dead_rows bigint, last_vacuum timestamptz, last_analyze timestamptz, state text)
language sql volatile
begin atomic
    select * from silver.get_partition_stats(tsconsole.find_table(table_name, tsconsole.visible_table(table_name)));
end;

comment on function silver.get_partition_stats(text) is
'As silver.get_partition_stats(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.optimize_chunk_interval(table_name text, target_bytes bigint default 268435456) returns table (target_table text, previous_interval interval, chunk_interval interval, bytes_per_hour float8, reason text)
language sql volatile
begin atomic
    select * from silver.optimize_chunk_interval(tsconsole.find_table(table_name, tsconsole.visible_table(table_name)), target_bytes);
end;

comment on function silver.optimize_chunk_interval(text, bigint) is
'As silver.optimize_chunk_interval(regclass, bigint), with the name of the table as text.
Example: see there.';


create or replace function silver.maintain_timeseries_tables(table_name text default null, tasks text[] default null) returns table (target_table text, task text, outcome text, detail text, duration interval)
language sql volatile
begin atomic
    select * from silver.maintain_timeseries_tables(tsconsole.find_table(table_name, tsconsole.visible_table(table_name)), tasks);
end;

comment on function silver.maintain_timeseries_tables(text, text[]) is
'As silver.maintain_timeseries_tables(regclass, text[]), with the name of the table as text; without one, all rollups.
Example: select * from silver.maintain_timeseries_tables();';


create or replace function silver.alter_rollup(
    target text, allowed_lateness interval default null, refresh_interval interval default null, processing_window interval default null,
    chunk_interval interval default null, retention_period interval default null, source_retention interval default null, max_retries integer default null,
    alert_threshold interval default null, max_execution_time interval default null, look_back_window interval default null, clear text[] default null
) returns table (setting text, old_value text, new_value text)
language sql volatile
begin atomic
    select * from silver.alter_rollup(tsconsole.find_table(target, tsconsole.visible_table(target)), allowed_lateness, refresh_interval, processing_window,
        chunk_interval, retention_period, source_retention, max_retries, alert_threshold, max_execution_time, look_back_window, clear);
end;

comment on function silver.alter_rollup(text, interval, interval, interval, interval, interval, interval, integer, interval, interval, interval, text[]) is
'As silver.alter_rollup(regclass, …), with the name of the table as text.
Example: see there.';


create or replace function silver.add_measures(target text, measures jsonb) returns text[]
language sql volatile
begin atomic
    select silver.add_measures(tsconsole.find_table(target, tsconsole.visible_table(target)), measures);
end;

comment on function silver.add_measures(text, jsonb) is
'As silver.add_measures(regclass, jsonb), with the name of the table as text.
Example: see there.';


create or replace function silver.drop_measures(target text, measures jsonb) returns text[]
language sql volatile
begin atomic
    select silver.drop_measures(tsconsole.find_table(target, tsconsole.visible_table(target)), measures);
end;

comment on function silver.drop_measures(text, jsonb) is
'As silver.drop_measures(regclass, jsonb), with the name of the table as text.
Example: see there.';


create or replace function silver.prepare_source_ddl(source text) returns void
language sql volatile
begin atomic
    select silver.prepare_source_ddl(tsconsole.find_table(source, tsconsole.visible_table(source)));
end;

comment on function silver.prepare_source_ddl(text) is
'As silver.prepare_source_ddl(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.refresh_source(source text, renames jsonb default '{}', recompute boolean default null) returns bigint
language sql volatile
begin atomic
    select silver.refresh_source(tsconsole.find_table(source, tsconsole.visible_table(source)), renames, recompute);
end;

comment on function silver.refresh_source(text, jsonb, boolean) is
'As silver.refresh_source(regclass, jsonb, boolean), with the name of the table as text.
Example: see there.';


create or replace function silver.repair_rollup(target text, from_time timestamptz default null, to_time timestamptz default null) returns bigint
language sql volatile
begin atomic
    select silver.repair_rollup(tsconsole.find_table(target, tsconsole.visible_table(target)), from_time, to_time);
end;

comment on function silver.repair_rollup(text, timestamptz, timestamptz) is
'As silver.repair_rollup(regclass, timestamptz, timestamptz), with the name of the table as text.
Example: see there.';


create or replace function silver.recommend_indexes(table_name text)
returns table (
    advice text, kind text, index_name text, definition text, cost_before float8, cost_after float8, size_bytes bigint,
    reason text, statement text
)
language sql volatile
begin atomic
    select * from silver.recommend_indexes(tsconsole.find_table(table_name, tsconsole.visible_table(table_name)));
end;

comment on function silver.recommend_indexes(text) is
'As silver.recommend_indexes(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.set_retention(table_name text, retention_period interval, retention_action text default 'drop') returns void
language sql volatile
begin atomic
    select silver.set_retention(tsconsole.find_table(table_name, tsconsole.visible_table(table_name)), retention_period, retention_action);
end;

comment on function silver.set_retention(text, interval, text) is
'As silver.set_retention(regclass, interval, text), with the name of the table as text.
Example: see there.';


create or replace function silver.apply_retention(table_name text default null, dry_run boolean default false)
returns table (
    partitioned_table text, partition_name text, range_start timestamptz, range_end timestamptz, total_bytes bigint, action text, reason text
)
language sql volatile
begin atomic
    select * from silver.apply_retention(tsconsole.find_table(table_name, tsconsole.visible_table(table_name)), dry_run);
end;

comment on function silver.apply_retention(text, boolean) is
'As silver.apply_retention(regclass, boolean), with the name of the table as text; without one, all tables.
Example: see there.';


create or replace function silver.plan_partition_rebuild(target text)
returns table (work text, range_start timestamptz, range_end timestamptz, partitions integer, becomes integer, total_bytes bigint)
language sql stable
begin atomic
    select * from silver.plan_partition_rebuild(tsconsole.find_table(target, tsconsole.visible_table(target)));
end;

comment on function silver.plan_partition_rebuild(text) is
'As silver.plan_partition_rebuild(regclass), with the name of the table as text.
Example: see there.';


create or replace function silver.partman_settings(table_name text) returns table (setting text, value text)
language sql stable
begin atomic
    select * from silver.partman_settings(tsconsole.find_table(table_name, tsconsole.visible_table(table_name)));
end;

comment on function silver.partman_settings(text) is
'As silver.partman_settings(regclass), with the name of the table as text.
Example: see there.';
