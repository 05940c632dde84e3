-- Late changes: which sources are tracked, the heartbeats behind the safe horizon, and what a source no longer holds.

alter table silver.timeseries_rollup_config drop constraint timeseries_rollup_config_change_tracking_check;
alter table silver.timeseries_rollup_config alter column change_tracking drop default;
alter table silver.timeseries_rollup_config add constraint timeseries_rollup_config_change_tracking_check
    check (change_tracking in ('trigger', 'look_back', 'ladder', 'none'));

comment on column silver.timeseries_rollup_config.change_tracking is 'How late changes are found: trigger logs each; ladder is handed them by the level below; look_back re-reads look_back_window at every refresh; none leaves it to silver.invalidate and silver.bulk_load.';

create table tsconsole.tracked_source (
    source_table  regclass    not null,
    time_column   text        not null,
    tracked_since timestamptz not null,
    lateness      interval    not null,
    condition     text        not null,
    primary key (source_table, time_column)
);

comment on table tsconsole.tracked_source is 'Sources that carry the triggers which log late changes, since when, the lateness that they judge by, and their condition. The lateness never grows: a row that was late for a watermark stays late.';

create table tsconsole.heartbeat (
    taken_at timestamptz not null,
    ceiling  xid8        not null
);

create index on tsconsole.heartbeat (ceiling);

comment on table tsconsole.heartbeat is 'A clock reading and a transaction id that was assigned after it: a transaction with a higher id began to write after that time.';

create table tsconsole.source_partition (
    source_table regclass    not null,
    partition    oid         not null,
    database     oid         not null,
    file_node    oid         not null,
    attached_by  xid         not null,
    range_start  timestamptz not null,
    range_end    timestamptz not null,
    primary key (source_table, partition)
);

comment on table tsconsole.source_partition is 'The partitions a source had when it was last looked at. A difference is a partition that was attached, detached, truncated or rewritten.';

create table tsconsole.frozen_range (
    source_table regclass    not null,
    lo           timestamptz not null,
    hi           timestamptz not null,
    frozen_at    timestamptz not null default clock_timestamp(),
    primary key (source_table, lo, hi)
);

comment on table tsconsole.frozen_range is 'Ranges that a source no longer holds, because a partition was dropped or detached. What was rolled up from them stays as it is.';

create table tsconsole.prepared_source (
    source_table regclass    primary key,
    prepared_at  timestamptz not null default clock_timestamp(),
    prepared_by  xid8        not null default pg_current_xact_id(),
    files        text[]      not null,
    row_changes  bigint      not null,
    view_rights  jsonb       not null
);

comment on table tsconsole.prepared_source is 'Sources whose triggers and live views are away for DDL, from silver.prepare_source_ddl to silver.refresh_source: which files they had then, what the transaction had changed, and who may read the live views.';

alter table silver.timeseries_rollup_config add column source_gone_before timestamptz;

comment on column silver.timeseries_rollup_config.source_gone_before is 'Source rows below this time may have vanished under an earlier, shorter source_retention: what is stored there stays as it is.';

-- The trigger functions run as the writer and call the logger, which runs as its owner.
grant usage on schema tsconsole to public;

insert into tsconsole.schema_history (file_name) values ('V2__late_changes.sql');
