-- What a source consisted of: its columns when it was prepared for DDL, its partitions when they went.

alter table tsconsole.prepared_source add column columns jsonb not null default '{}';

comment on column tsconsole.prepared_source.columns is 'The name of each column of the source at that time, with its number: another number later is another column of that name.';

alter table tsconsole.frozen_range add column partition oid;

comment on column tsconsole.frozen_range.partition is 'The partition that held this range: when that one comes back, the range is no longer frozen.';

-- Partitions by other columns may have held the same range.
alter table tsconsole.frozen_range drop constraint frozen_range_pkey;

alter table tsconsole.frozen_range add unique nulls not distinct (source_table, lo, hi, partition);

insert into tsconsole.schema_history (file_name) values ('V5__source_identity.sql');
