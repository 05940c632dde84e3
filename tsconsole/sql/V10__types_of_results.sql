-- What the last steps teach, and what waits: computed once and handed on.

create type tsconsole.step_model as (
    runs integer, overhead float8, seconds_per_unit float8, data_rate float8, group_rate float8,
    last_width float8, speed float8, planner_factor float8
);

comment on type tsconsole.step_model is
'What the last runs of a kind of work teach about the next one; tsconsole.cost_model says what each field is.';

create type tsconsole.summary_of_pending as (ranges bigint, history_left interval);

comment on type tsconsole.summary_of_pending is
'How much of a rollup waits to be computed; tsconsole.sum_up_pending says what each field is.';

-- Whether all that was claimed is single series, a few in each bucket: that takes a shorter statement.
alter type tsconsole.work_range add attribute only_series boolean;

insert into tsconsole.schema_history (file_name) values ('V10__types_of_results.sql');
