-- Retention: whole partitions of a target that are old enough go, once nobody needs them any more.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.maintain_retention(config silver.timeseries_rollup_config, out outcome text, out detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    cutoff  timestamptz := tsconsole.axis_clock(config) - config.retention_period;
    part    record;
    dropped text[] := array[]::text[];
    problem text;
begin
    outcome := 'skipped';
    if config.retention_period is null then
        detail := 'no retention_period: rows are kept for ever';
        return;
    elsif not pg_try_advisory_xact_lock(tsconsole.lock_class('partition'), config.id::integer) then
        detail := 'busy: another session is making or dropping partitions';
        return;
    end if;
    for part in
        select p.partition, p.range_end, tsconsole.qualified_name(p.partition) as name
        from tsconsole.partitions(config.target_table) p where p.range_end <= cutoff order by p.range_end
    loop
        problem := tsconsole.retention_problem(config, part.range_end);
        exit when problem is not null;
        problem := tsconsole.drop_partition(config, part.partition, part.range_end);
        exit when problem is not null;
        dropped := dropped || part.name;
    end loop;
    if cardinality(dropped) > 0 or problem is null then
        outcome := 'done';
    end if;
    detail := concat_ws('; ',
        coalesce('dropped ' || nullif(array_to_string(dropped, ', '), ''),
                 case when problem is null then 'no partition is older than ' || config.retention_period end),
        part.name || ' stays: ' || problem);
end;
$$;

comment on function tsconsole.maintain_retention(silver.timeseries_rollup_config) is
'Drops the partitions of a target that end before its retention_period, oldest first, and stops at the first that a rollup still needs.
Example: select * from tsconsole.maintain_retention(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.retention_problem(config silver.timeseries_rollup_config, range_end timestamptz) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- The rollup itself, and every rollup that reads it, must have passed the range and have nothing pending there.
    select tsconsole.reader_problem(r, range_end)
    from silver.timeseries_rollup_config r
    where (r.id = (config).id or r.source_table = (config).target_table) and tsconsole.reader_problem(r, range_end) is not null
    order by r.id <> (config).id, r.id limit 1;
$$;

comment on function tsconsole.retention_problem(silver.timeseries_rollup_config, timestamptz) is
'Why the rows of a target below a time cannot be dropped yet, naming the rollup that needs them; null when they can.
Example: select tsconsole.retention_problem(tsconsole.rollup(''silver.meters_1h''), now() - interval ''90 days'');';


create or replace function tsconsole.drop_partition(config silver.timeseries_rollup_config, partition regclass, range_end timestamptz) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    problem text;
begin
    for attempt in 1 .. 3 loop
        begin
            -- DETACH keeps new readers waiting behind it, hence the short timeout; tried again rather than waited for.
            execute format('alter table %s detach partition %s',
                tsconsole.qualified_name(config.target_table), tsconsole.qualified_name(partition));
            -- Asked again now that no step can be writing: one may have queued something for a reader meanwhile.
            problem := tsconsole.retention_problem(config, range_end);
            if problem is not null then
                raise exception '%', problem using errcode = 'TS005';
            end if;
            update silver.timeseries_rollup_config c set retained_from = greatest(c.retained_from, range_end) where c.id = config.id;
            execute format('drop table %s', tsconsole.qualified_name(partition));
            return null;
        exception
            when lock_not_available then
                perform pg_sleep(0.1 + 0.2 * random());
            when sqlstate 'TS005' then
                return sqlerrm;
        end;
    end loop;
    return 'it is in use: its lock was not to be had in 200 ms, three times';
end;
$$;

comment on function tsconsole.drop_partition(silver.timeseries_rollup_config, regclass, timestamptz) is
'Detaches and drops one partition of a target. Returns what stood in the way; null when it is gone.
Example: see tsconsole.maintain_retention.';
