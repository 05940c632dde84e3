-- Tables without a primary key can be in a publication, too (FOR ALL TABLES, or a blue/green deployment): whoever deletes from
-- them needs a replica identity then, and steps do. Without such a publication it costs nothing.

alter table tsconsole.attempt replica identity full;
alter table tsconsole.heartbeat replica identity full;

do $$
declare
    pending regclass;
begin
    for pending in
        select to_regclass(format('tsconsole.pending_%s', c.id)) from silver.timeseries_rollup_config c
        where to_regclass(format('tsconsole.pending_%s', c.id)) is not null
    loop
        execute format('alter table %s replica identity full', pending);
        -- Every frontier step asks for ranges that a clock which was put back reads again; mostly there are none.
        execute format('create index on %s (lo) where kind = ''c''', pending);
    end loop;
end;
$$;

insert into tsconsole.schema_history (file_name) values ('V9__published_tables.sql');
