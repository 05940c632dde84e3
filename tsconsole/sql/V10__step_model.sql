-- What the last steps teach, computed once for a step and handed on.

create type tsconsole.step_model as (
    runs integer, overhead float8, seconds_per_unit float8, data_rate float8, group_rate float8,
    last_width float8, speed float8, planner_factor float8
);

comment on type tsconsole.step_model is
'What the last runs of a kind of work teach about the next one; tsconsole.cost_model says what each field is.';

insert into tsconsole.schema_history (file_name) values ('V10__step_model.sql');
