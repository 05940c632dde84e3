-- What the last runs of each rollup came to, kept beside the run log: a monitor of a thousand rollups reads a thousand rows, not
-- the last twenty runs of each.

create table tsconsole.recent_runs (
    rollup_id        bigint primary key references silver.timeseries_rollup_config (id) on delete cascade,
    runs             bigint not null default 0,
    since            timestamptz,
    took             interval,
    rows_read        double precision,
    last_rows        bigint,
    last_duration    interval,
    history_took     interval,
    history_covered  interval,
    history_rows     double precision,
    last_late_end    timestamptz
) with (fillfactor = 50);  -- space for its updates beside the row

comment on table tsconsole.recent_runs is 'What the last 20 runs in the log came to, one row for each rollup; a trigger on silver.timeseries_refresh_log keeps it.';
comment on column tsconsole.recent_runs.runs is 'How many runs these are: 20, or fewer while there were no more.';
comment on column tsconsole.recent_runs.since is 'When the first of them began.';
comment on column tsconsole.recent_runs.took is 'The time they took together.';
comment on column tsconsole.recent_runs.rows_read is 'The source rows they read.';
comment on column tsconsole.recent_runs.last_rows is 'The source rows that the last of them read.';
comment on column tsconsole.recent_runs.last_duration is 'What the last of them took.';
comment on column tsconsole.recent_runs.history_took is 'The time that those of them took which filled in history; null when there is none.';
comment on column tsconsole.recent_runs.history_covered is 'The length of history that these filled in.';
comment on column tsconsole.recent_runs.history_rows is 'The source rows that these read.';
comment on column tsconsole.recent_runs.last_late_end is 'When the last of them that recomputed ended; null when there is none.';

insert into tsconsole.recent_runs (rollup_id) select c.id from silver.timeseries_rollup_config c;

-- How many errors a rollup has had since: without reading all that it ever had.
create index on silver.timeseries_error_log (rollup_id, error_timestamp);

insert into tsconsole.schema_history (file_name) values ('V8__recent_runs.sql');
