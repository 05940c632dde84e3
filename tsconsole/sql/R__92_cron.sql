-- Scheduling by pg_cron: our jobs are made, brought up to date and removed; or written down for the database where it lives.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.schedule_jobs(
    rollups_every     interval default null,
    retries_every     interval default '1 minute',
    maintenance_every interval default '5 minutes',
    keep_run_details  interval default '7 days'
) returns table (job_name text, schedule text, command text, outcome text, statement text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    is_here boolean := tsconsole.cron_is_here();
    job     record;
begin
    perform tsconsole.check_cron();
    for job in select j.* from tsconsole.cron_jobs_wanted(rollups_every, retries_every, maintenance_every, keep_run_details) j loop
        return query select job.name, job.schedule, job.command,
            case when is_here then tsconsole.schedule_job(job.name, job.schedule, job.command) else 'elsewhere' end, job.statement;
    end loop;
end;
$$;

comment on function silver.schedule_jobs(interval, interval, interval, interval) is
'Has pg_cron run the rollups that are due, the retries and the maintenance, and prune its own run details. Where pg_cron lives in this database, its jobs are made or brought up to date; outcome says created, updated or unchanged. Where it lives in another (show cron.database_name), outcome is elsewhere, and statement is what to run there. rollups_every: null takes the shortest refresh_interval, 10 s at least and a minute at most; pg_cron before 1.5 knows minutes only, so seconds become a minute. TS001 for an interval that a schedule cannot express, TS004 without pg_cron, 42501 without USAGE on its schema.
Example: select job_name, schedule, outcome, statement from silver.schedule_jobs();';


create or replace function silver.unschedule_jobs()
returns table (job_name text, outcome text, statement text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    is_here boolean := tsconsole.cron_is_here();
    name    text;
    removed bigint;
begin
    perform tsconsole.check_cron();
    foreach name in array tsconsole.cron_job_names() loop
        if is_here then
            execute format('select count(%s(j.jobid)) from %s j where j.jobname = $1 and j.username = current_user',
                tsconsole.cron_object('unschedule'), tsconsole.cron_object('job'))
            into removed using name;
        end if;
        return query select name,
            case when not is_here then 'elsewhere' when removed > 0 then 'removed' else 'absent' end,
            format('select cron.unschedule(jobid) from cron.job where jobname = %L;', name);
    end loop;
end;
$$;

comment on function silver.unschedule_jobs() is
'Removes the jobs that silver.schedule_jobs made. outcome: removed, absent, or elsewhere when pg_cron does not live in this database: then statement is what to run where it does.
Example: select * from silver.unschedule_jobs();';


create or replace function tsconsole.cron_is_here() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_extension e where e.extname = 'pg_cron');
$$;

comment on function tsconsole.cron_is_here() is
'Whether pg_cron lives in this database.
Example: select tsconsole.cron_is_here();';


create or replace function tsconsole.check_cron() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_available_extensions a where a.name = 'pg_cron') then
        raise exception 'pg_cron is not installed on this server' using
            errcode = 'TS004',
            hint = 'Install its package, add pg_cron to shared_preload_libraries, restart, and create extension pg_cron in the database that cron.database_name names. Or run tsconsole worker, which needs nothing.';
    elsif tsconsole.cron_is_here() and not has_schema_privilege('cron', 'usage') then
        raise exception 'role % may not use pg_cron', quote_ident(current_user) using
            errcode = '42501', hint = format('As an administrator: grant usage on schema cron to %I;', current_user);
    end if;
end;
$$;

comment on function tsconsole.check_cron() is
'Refuses (TS004) to schedule on a server without pg_cron, or (42501) without the right to use it.
Example: select tsconsole.check_cron();';


create or replace function tsconsole.cron_job_names() returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- One pg_cron serves all databases of a server.
    select array_agg(tsconsole.fit_name(format('tsconsole %s in %s', w.what, current_database())) order by w.rank)
    from unnest(array['rollups', 'retries', 'maintenance', 'pruning']) with ordinality w (what, rank);
$$;

comment on function tsconsole.cron_job_names() is
'What our jobs are called in pg_cron: rollups, retries, maintenance, pruning of run details.
Example: select tsconsole.cron_job_names();';


create or replace function tsconsole.cron_jobs_wanted(rollups_every interval, retries_every interval, maintenance_every interval, keep_run_details interval)
returns table (name text, schedule text, command text, statement text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    names   text[]  := tsconsole.cron_job_names();
    seconds boolean := tsconsole.cron_knows_seconds();
    often   interval := coalesce(rollups_every, (
        select least('1 minute', greatest('10 seconds', date_trunc('second', min(c.refresh_interval))))
        from silver.timeseries_rollup_config c where c.is_active having count(*) > 0));
begin
    if (keep_run_details > '0') is not true then
        raise exception 'keep_run_details is %', coalesce(keep_run_details::text, 'null') using
            errcode = 'TS001', hint = 'Give how long the run details of pg_cron are kept, such as 7 days.';
    end if;
    return query
        select j.name, j.schedule, j.command, case j.rank
            -- The run details are in pg_cron's database.
            when 4 then format('select cron.schedule(%L, %L, %L);', j.name, j.schedule, j.command)
            else format('select cron.schedule_in_database(%L, %L, %L, %L, username => %L);', j.name, j.schedule, j.command, current_database(), current_user) end
        from (values
            (1, names[1], tsconsole.cron_schedule('rollups_every', coalesce(often, '1 minute'), seconds), 'call silver.run_due_rollups(''50 seconds'')'),
            (2, names[2], tsconsole.cron_schedule('retries_every', retries_every, seconds), 'select * from silver.handle_rollup_retries()'),
            (3, names[3], tsconsole.cron_schedule('maintenance_every', maintenance_every, seconds), 'call silver.run_maintenance()'),
            (4, names[4], '17 3 * * *', format(
                'delete from cron.job_run_details where username = %L and database = %L and coalesce(end_time, start_time) < now() - interval %L',
                current_user, current_database(), keep_run_details))
        ) j (rank, name, schedule, command) order by j.rank;
end;
$$;

comment on function tsconsole.cron_jobs_wanted(interval, interval, interval, interval) is
'The jobs that pg_cron should have, and the statement that makes each from pg_cron''s own database.
Example: select * from tsconsole.cron_jobs_wanted(null, ''1 minute'', ''5 minutes'', ''7 days'');';


create or replace function tsconsole.cron_knows_seconds() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(string_to_array(substring(coalesce(a.installed_version, a.default_version) from '^\d+\.\d+'), '.')::integer[] >= '{1,5}', false)
    from pg_available_extensions a where a.name = 'pg_cron';
$$;

comment on function tsconsole.cron_knows_seconds() is
'Whether pg_cron takes schedules below a minute: since 1.5.
Example: select tsconsole.cron_knows_seconds();';


create or replace function tsconsole.cron_schedule(argument text, every interval, knows_seconds boolean) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    seconds numeric := extract(epoch from every);
    minutes integer;
begin
    if (every > '0') is not true then
        raise exception '% is %', argument, coalesce(every::text, 'null') using
            errcode = 'TS001', hint = 'Give how often the job runs, such as 1 minute; silver.unschedule_jobs() ends all jobs.';
    end if;
    if seconds between 1 and 59 and seconds = floor(seconds) then
        return case when knows_seconds then format('%s seconds', floor(seconds)) else '* * * * *' end;
    end if;
    minutes := case when seconds % 60 = 0 and seconds <= 86400 then seconds / 60 end;
    if minutes = 1440 then
        return '0 0 * * *';
    elsif minutes = 60 or minutes = 1 then
        return case minutes when 60 then '0 * * * *' else '* * * * *' end;
    elsif 60 % minutes = 0 then
        return format('*/%s * * * *', minutes);
    elsif minutes % 60 = 0 and 1440 % minutes = 0 then
        return format('0 */%s * * *', minutes / 60);
    end if;
    raise exception '% is %, which a cron schedule cannot express', argument, every using
        errcode = 'TS001', hint = 'Use 1 to 59 whole seconds, minutes that divide an hour, hours that divide a day, or a day.';
end;
$$;

comment on function tsconsole.cron_schedule(text, interval, boolean) is
'An interval as pg_cron writes it; seconds become a minute where pg_cron does not know them. argument: what to call it in an error.
Example: select tsconsole.cron_schedule(''rollups_every'', ''5 minutes'', true);';


create or replace function tsconsole.schedule_job(job_name text, schedule text, command text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    job_id  bigint;
    is_same boolean;
begin
    execute format(
        'select j.jobid, j.schedule = $2 and j.command = $3 and j.active and j.database = current_database() '
        'from %s j where j.jobname = $1 and j.username = current_user', tsconsole.cron_object('job'))
    into job_id, is_same using job_name, schedule, command;
    if is_same then
        return 'unchanged';
    end if;
    -- Whoever asks for jobs wants them to run; and only an administrator may alter one that was switched off.
    if job_id is not null then
        execute format('select %s($1)', tsconsole.cron_object('unschedule')) using job_id;
    end if;
    execute format('select %s($1, $2, $3)', tsconsole.cron_object('schedule')) using job_name, schedule, command;
    return case when job_id is null then 'created' else 'updated' end;
end;
$$;

comment on function tsconsole.schedule_job(text, text, text) is
'Makes one job of pg_cron in this database, or brings it up to date: created, updated or unchanged.
Example: see silver.schedule_jobs.';


create or replace function tsconsole.cron_object(name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Looked up, so that nothing here is bound to an extension that need not be there.
    select format('%I.%I', n.nspname, cron_object.name) from pg_namespace n where n.nspname = 'cron';
$$;

comment on function tsconsole.cron_object(text) is
'A table or function of pg_cron, with its schema; null where pg_cron is not.
Example: select tsconsole.cron_object(''job'');';
