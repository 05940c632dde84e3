-- Which errors an operator has seen to.

alter table silver.timeseries_error_log add column acknowledged_at timestamptz;
alter table silver.timeseries_error_log add column acknowledged_by text;

comment on column silver.timeseries_error_log.acknowledged_at is 'When an operator acknowledged it with silver.acknowledge_error; null: nobody has yet.';
comment on column silver.timeseries_error_log.acknowledged_by is 'The role that acknowledged it.';

insert into tsconsole.schema_history (file_name) values ('V6__acknowledged_errors.sql');
