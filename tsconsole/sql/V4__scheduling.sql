-- What maintenance did, which workers there are, and what a step was expected to take.

create table silver.timeseries_maintenance_log (
    id           bigint generated always as identity primary key,
    rollup_id    bigint,
    target_table text        not null,
    task         text        not null,
    outcome      text        not null check (outcome in ('done', 'skipped', 'failed')),
    detail       text,
    start_time   timestamptz not null,
    end_time     timestamptz not null,
    duration     interval    generated always as (end_time - start_time) stored,
    runs         bigint      not null default 1,
    worker_pid   integer     not null default pg_backend_pid()
);

create index on silver.timeseries_maintenance_log (rollup_id, task, id);
create index on silver.timeseries_maintenance_log (end_time);

comment on table silver.timeseries_maintenance_log is 'What each task of maintenance did: outcome done, skipped (detail says why) or failed (the whole error is in silver.timeseries_error_log). Runs in a row that said the same are one row, with the times of the last.';
comment on column silver.timeseries_maintenance_log.runs is 'How many runs in a row said this.';

create table tsconsole.worker (
    id         bigint generated always as identity primary key,
    name       text        not null,
    host       text        not null,
    pid        integer     not null,
    version    text        not null,
    jobs       integer     not null check (jobs > 0),
    started_at timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp(),
    running    integer     not null default 0,
    parallel   integer     not null default 1,
    steps      bigint      not null default 0,
    failures   bigint      not null default 0,
    last_step  text
);

comment on table tsconsole.worker is 'The workers that run now, each with a heartbeat; a worker that ends takes its row away, one that dies leaves it with an old seen_at.';
comment on column tsconsole.worker.jobs is 'How many steps it may run side by side.';
comment on column tsconsole.worker.parallel is 'How many it runs at most at present: fewer than jobs while steps take longer than predicted.';
comment on column tsconsole.worker.running is 'How many steps it was running at seen_at.';

alter table silver.timeseries_refresh_log add column predicted_duration interval;
alter table silver.timeseries_refresh_log add column estimated_rows bigint;

comment on column silver.timeseries_refresh_log.predicted_duration is 'What the step was expected to take when its window was chosen; null while there was nothing to learn from.';
comment on column silver.timeseries_refresh_log.estimated_rows is 'How many source rows the planner saw in the window; null when it was not asked.';

insert into tsconsole.schema_history (file_name) values ('V4__scheduling.sql');
