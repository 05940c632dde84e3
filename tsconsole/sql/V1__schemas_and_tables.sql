-- The schemas, the four public tables, and the private tables of the rollup engine.

create schema if not exists raw;
create schema if not exists silver;
create schema if not exists gold;
create schema if not exists tsconsole;

comment on schema silver is 'Rollups of time-series data: the public functions, tables and views, and the targets that name no schema.';
comment on schema tsconsole is 'Private machinery of the rollup engine. Nothing here is an interface; use the functions of schema silver.';

create table tsconsole.schema_history (
    installed_rank integer generated always as identity,
    file_name      text primary key,
    checksum       text,
    installed_at   timestamptz not null default clock_timestamp(),
    installed_by   text not null default current_user,
    execution_ms   integer
);

comment on table tsconsole.schema_history is 'Which file of the core was applied, when, by whom. checksum is the SHA-256 of the file; null when the file was applied by psql or another migration tool.';

create type silver.step_result as (
    target_table  regclass,
    work          text,
    outcome       text,
    window_start  timestamptz,
    window_end    timestamptz,
    rows_read     bigint,
    rows_written  bigint,
    duration      interval,
    sql_state     text,
    error_message text
);

comment on type silver.step_result is 'What one step did. work: frontier, history, recompute or null. outcome: done, idle (nothing to do), busy (another session holds the claim), waiting (backing off after a failure), paused, or failed (then sql_state and error_message say why).';

create table silver.timeseries_rollup_config (
    id                  bigint generated always as identity primary key,
    source_table        regclass    not null,
    target_table        regclass    not null unique,
    source_name         text        not null,
    target_name         text        not null,
    time_column         text        not null,
    time_type           regtype     not null,
    rollup_interval     interval    not null,
    timezone            text        not null default 'UTC',
    bucket_origin       timestamptz,
    look_back_window    interval,
    allowed_lateness    interval    not null default '30 seconds' check (allowed_lateness >= '0'),
    refresh_interval    interval    not null check (refresh_interval > '0'),
    processing_window   interval    check (processing_window > '0'),
    chunk_interval      interval    not null check (chunk_interval > '0'),
    retention_period    interval    check (retention_period > '0'),
    source_retention    interval    check (source_retention > '0'),
    max_retries         integer     not null default 8 check (max_retries >= 0),
    alert_threshold     interval    not null default '1 hour' check (alert_threshold > '0'),
    max_execution_time  interval    not null default '1 hour' check (max_execution_time > '0'),
    change_tracking     text        not null default 'none' check (change_tracking in ('none', 'trigger', 'look_back')),
    partition_manager   text        not null default 'native' check (partition_manager in ('native', 'partman')),
    is_active           boolean     not null default true,
    first_bucket        timestamptz not null,
    history_from        timestamptz,
    history_to          timestamptz,
    last_processed_time timestamptz not null,
    last_refresh_time   timestamptz,
    retained_from       timestamptz,
    created_at          timestamptz not null default clock_timestamp(),
    created_by          text        not null default current_user
);

create index on silver.timeseries_rollup_config (source_table);

comment on table silver.timeseries_rollup_config is 'One row per rollup: what is read, what is written, how, and how far it has come. Create rows with silver.create_rollup_table.';
comment on column silver.timeseries_rollup_config.source_name is 'Schema-qualified name of the source when it was last looked at; logs keep it after a drop.';
comment on column silver.timeseries_rollup_config.target_name is 'Schema-qualified name of the target when it was last looked at; logs keep it after a drop.';
comment on column silver.timeseries_rollup_config.time_type is 'timestamptz, timestamp or date. Times of the last two are stored in this table as if they were UTC.';
comment on column silver.timeseries_rollup_config.timezone is 'Zone in which buckets of a timestamptz source start, and in which the clock is read for a timestamp or date source.';
comment on column silver.timeseries_rollup_config.look_back_window is 'How far back the first run starts; null means from the first row.';
comment on column silver.timeseries_rollup_config.allowed_lateness is 'The frontier stays this far behind the clock, so that rows may arrive this late.';
comment on column silver.timeseries_rollup_config.refresh_interval is 'How often the frontier is due.';
comment on column silver.timeseries_rollup_config.processing_window is 'The widest window one step takes; null means learned from measured durations.';
comment on column silver.timeseries_rollup_config.chunk_interval is 'Width of the partitions of the target that are made from now on.';
comment on column silver.timeseries_rollup_config.retention_period is 'Target partitions whose end is older than this are dropped by maintenance; null keeps them.';
comment on column silver.timeseries_rollup_config.source_retention is 'Source rows older than this may vanish; buckets that reach beyond it are kept as they are.';
comment on column silver.timeseries_rollup_config.max_retries is 'Retries after a failure before the work waits for an operator.';
comment on column silver.timeseries_rollup_config.alert_threshold is 'ALERT when a due rollup is this far behind, or a step has run this long.';
comment on column silver.timeseries_rollup_config.max_execution_time is 'Limit of one step.';
comment on column silver.timeseries_rollup_config.change_tracking is 'How late changes are found: look_back re-reads look_back_window at every refresh; none leaves it to silver.invalidate and silver.bulk_load.';
comment on column silver.timeseries_rollup_config.first_bucket is 'The rollup covers buckets from here on; -infinity when nothing limits it.';
comment on column silver.timeseries_rollup_config.history_from is 'Start of the history that was queued at creation.';
comment on column silver.timeseries_rollup_config.history_to is 'End of the history that was queued at creation: the first watermark.';
comment on column silver.timeseries_rollup_config.last_processed_time is 'The watermark: every bucket below it is complete, except the pending ranges. -infinity until the source has its first row.';
comment on column silver.timeseries_rollup_config.retained_from is 'Rows of the target below this time were dropped by retention.';

create table silver.timeseries_dimension_config (
    id               bigint generated always as identity primary key,
    source_table     regclass    not null,
    dimension_column text        not null,
    description      text,
    is_active        boolean     not null default true,
    created_at       timestamptz not null default clock_timestamp(),
    unique (source_table, dimension_column)
);

comment on table silver.timeseries_dimension_config is 'Dimensions that create_rollup_table groups by when it is given none. Example: insert into silver.timeseries_dimension_config (source_table, dimension_column) values (''raw.readings'', ''device_id'').';

create table silver.timeseries_refresh_log (
    id                bigint generated always as identity primary key,
    rollup_id         bigint,
    table_name        text        not null,
    work              text,
    start_time        timestamptz not null,
    end_time          timestamptz not null,
    duration          interval    generated always as (end_time - start_time) stored,
    records_processed bigint      not null,
    window_start      timestamptz,
    window_end        timestamptz,
    rows_read         bigint,
    rows_written      bigint,
    rows_deleted      bigint,
    worker_pid        integer     not null default pg_backend_pid(),
    refresh_timestamp timestamptz not null default clock_timestamp()
);

create index on silver.timeseries_refresh_log (rollup_id, id);
create index on silver.timeseries_refresh_log (end_time);

comment on table silver.timeseries_refresh_log is 'One row per step that did something: what work, which window, how many rows were read, written and deleted, and how long it took.';
comment on column silver.timeseries_refresh_log.records_processed is 'Rows read from the source.';

create table silver.timeseries_error_log (
    id              bigint generated always as identity primary key,
    rollup_id       bigint,
    source_table    text        not null,
    target_table    text        not null,
    work            text,
    window_start    timestamptz,
    window_end      timestamptz,
    error_timestamp timestamptz not null default clock_timestamp(),
    sql_state       text,
    error_message   text        not null,
    error_detail    text,
    error_hint      text,
    error_context   text,
    schema_name     text,
    table_name      text,
    constraint_name text,
    attempted_query text,
    retry_count     integer,
    worker_pid      integer     not null default pg_backend_pid()
);

create index on silver.timeseries_error_log (rollup_id, id);
create index on silver.timeseries_error_log (error_timestamp);

comment on table silver.timeseries_error_log is 'One row per failed step: SQLSTATE, message, detail, hint, context, and the query that was attempted.';
comment on column silver.timeseries_error_log.retry_count is 'Which retry failed; 0 is the first try.';

create table tsconsole.rollup_dimension (
    rollup_id   bigint  not null references silver.timeseries_rollup_config on delete cascade,
    position    integer not null,
    column_name text    not null,
    expression  text    not null,
    data_type   text    not null,
    primary key (rollup_id, position)
);

comment on table tsconsole.rollup_dimension is 'The dimensions of each rollup. expression is SQL over the source; column_name and data_type are those of the target column.';

create table tsconsole.rollup_measure (
    rollup_id     bigint  not null references silver.timeseries_rollup_config on delete cascade,
    position      integer not null,
    target_column text    not null,
    aggregate     text    not null,
    source_column text    not null,
    data_type     text    not null,
    expression    text    not null,
    is_generated  boolean not null,
    primary key (rollup_id, position),
    unique (rollup_id, target_column)
);

comment on table tsconsole.rollup_measure is 'The measure columns of each rollup. source_column is the column of the first source, at every level; expression is SQL over the source of this level, or over the target''s own columns when is_generated.';

create table tsconsole.retry (
    rollup_id       bigint      not null references silver.timeseries_rollup_config on delete cascade,
    work            text        not null,
    retry_count     integer     not null,
    next_retry_time timestamptz,
    gave_up_at      timestamptz,
    last_error_time timestamptz not null,
    error_id        bigint,
    primary key (rollup_id, work)
);

comment on table tsconsole.retry is 'The work that is failing now. A row goes only when that work succeeds. retry_count is the number of the next retry, or of the last one after giving up.';

create table tsconsole.attempt (
    rollup_id     bigint      not null references silver.timeseries_rollup_config on delete cascade,
    work          text        not null,
    pid           integer     not null,
    started_at    timestamptz not null default clock_timestamp()
);

create index on tsconsole.attempt (rollup_id);

comment on table tsconsole.attempt is 'Steps that were begun and have not ended. A row whose backend is gone is a crash; the next step counts it.';

create type tsconsole.work_range as (
    lo        timestamptz,
    hi        timestamptz,
    data_from timestamptz,
    entries   tid[]
);

comment on type tsconsole.work_range is 'What one step takes on: the range [lo, hi) on bucket edges, where its first row may be (data_from), and the claimed pending ranges.';

-- Each file records itself, so that an installation by psql is known to `tsconsole install` too.
insert into tsconsole.schema_history (file_name) values ('V1__schemas_and_tables.sql');
