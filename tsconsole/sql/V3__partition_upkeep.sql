-- Upkeep of partitions: retention of sources, what becomes of expired partitions, and work on partitions that outlives a transaction.

alter table silver.timeseries_rollup_config add column retention_action text check (retention_action in ('drop', 'archive'));

comment on column silver.timeseries_rollup_config.retention_action is 'What becomes of a target partition older than retention_period: drop, or archive, which moves it to the schema of the target''s name and _archive; null means drop. Set it with silver.set_retention.';

create table silver.timeseries_source_retention (
    source_table     regclass    primary key,
    source_name      text        not null,
    retention_period interval    not null check (retention_period > '0'),
    retention_action text        not null default 'drop' check (retention_action in ('drop', 'archive')),
    created_at       timestamptz not null default clock_timestamp(),
    created_by       text        not null default current_user
);

comment on table silver.timeseries_source_retention is 'How long partitions of a source are kept, and what becomes of them then: drop or archive. One goes only when every rollup on the source has passed it and has nothing pending there. Set it with silver.set_retention.';

create table tsconsole.detachment (
    partition   oid         primary key,
    parent      regclass    not null,
    rollup_id   bigint,
    range_start timestamptz not null,
    range_end   timestamptz not null,
    action      text        not null check (action in ('drop', 'archive')),
    begun_at    timestamptz not null default clock_timestamp()
);

comment on table tsconsole.detachment is 'Partitions that retention is detaching concurrently, which takes several transactions: from the decision to the drop. A row that is left over is taken up by the next run.';

create table tsconsole.partition_rebuild (
    rollup_id      bigint      primary key references silver.timeseries_rollup_config on delete cascade,
    old_partitions oid[]       not null,
    new_tables     oid[]       not null,
    edges          timestamptz[] not null,
    range_start    timestamptz not null,
    range_end      timestamptz not null,
    copied_to      timestamptz not null,
    log_mark       bigint      not null,
    begun_at       timestamptz not null default clock_timestamp()
);

comment on table tsconsole.partition_rebuild is 'Partitions of a target that are being split or merged: which, into which tables with which edges, and how far the rows were copied. What steps with a higher id than log_mark in the refresh log have written is copied again before the new ones take the place of the old. A row that is left over is taken up by the next run.';

insert into tsconsole.schema_history (file_name) values ('V3__partition_upkeep.sql');
