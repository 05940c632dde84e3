-- Tables of pending ranges are vacuumed as soon as a range was seen to, so that the monitor sees by their size that nothing is pending.

do $$
declare
    pending regclass;
begin
    for pending in
        select to_regclass(format('tsconsole.pending_%s', c.id)) from silver.timeseries_rollup_config c
        where to_regclass(format('tsconsole.pending_%s', c.id)) is not null
    loop
        execute format('alter table %s set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0)', pending);
    end loop;
end;
$$;

insert into tsconsole.schema_history (file_name) values ('V7__eager_vacuum.sql');
