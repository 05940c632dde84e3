-- The public functions on partitions again, taking the name of a table as text; see R__90.

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
