-- Which columns a source had when it was prepared for DDL.

alter table tsconsole.prepared_source add column columns jsonb not null default '{}';

comment on column tsconsole.prepared_source.columns is 'The name of each column of the source at that time, with its number: another number later is another column of that name.';

insert into tsconsole.schema_history (file_name) values ('V6__source_columns.sql');
