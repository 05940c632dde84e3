-- One step: choose the work, claim it, do it, and log what came of it.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function silver.perform_step(target regclass) returns silver.step_result
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select tsconsole.execute_step((tsconsole.rollup(target)).id);
$$;

comment on function silver.perform_step(regclass) is
'Does one step of a rollup in the calling transaction: the frontier if a bucket is complete, else recomputing, else history. A failure is logged and returned, not raised. TS002 when it is not a rollup, TS006 under another isolation level than READ COMMITTED.
Example: select * from silver.perform_step(''silver.meters_1h'');';


-- They did not hear what had been prepared once.
drop function if exists tsconsole.execute_step(bigint, timestamptz);
drop function if exists tsconsole.try_work(bigint, text);
drop function if exists tsconsole.do_work(silver.timeseries_rollup_config, text, integer);

create or replace function tsconsole.execute_step(
    rollup_id bigint, as_of timestamptz default null, prepared_work text default null
) returns silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Some stored values are compared as text: all digits of it.
set extra_float_digits = 1
as $$
declare
    config silver.timeseries_rollup_config;
    result silver.step_result;
    work text;
    is_prepared boolean;
    tried text[] := array[]::text[];
    outcome text := 'idle';
begin
    perform tsconsole.check_isolation();
    select c.* into config from silver.timeseries_rollup_config c where c.id = execute_step.rollup_id;
    if config.id is null or not config.is_active then
        delete from tsconsole.attempt a where a.rollup_id = config.id and a.pid = pg_backend_pid();
        return (config.target_table, null, 'paused', null, null, 0, 0, null, null, null)::silver.step_result;
    end if;
    if config.change_tracking = 'trigger' and not tsconsole.check_partitions(config.source_table) then
        delete from tsconsole.attempt a where a.rollup_id = config.id and a.pid = pg_backend_pid();
        return (config.target_table, null, 'busy', null, null, 0, 0, null, null, null)::silver.step_result;
    end if;
    -- What was found a moment ago comes first, and is not looked for again. Where history had no rows and is done without a
    -- run, what it kept from being recomputed is free at the end.
    foreach work in array array_remove(array[prepared_work, 'frontier', 'recompute', 'history', 'recompute'], null) loop
        is_prepared := prepared_work is not null
            and not exists (select from tsconsole.prepared_source p where p.source_table = config.source_table);
        prepared_work := null;
        -- What another session is at is not tried twice.
        continue when work = any (tried) and outcome <> 'idle';
        if not is_prepared and not tsconsole.has_work(config, work, as_of) then
            perform tsconsole.forget_vanished(config);
            continue;
        end if;
        if tsconsole.is_waiting(config.id, work) then
            outcome := 'waiting';
            continue;
        end if;
        result := tsconsole.try_work(config.id, work, is_prepared);
        tried := tried || work;
        if result.outcome in ('done', 'failed') then
            return result;
        elsif result.outcome <> 'idle' then
            outcome := result.outcome;
        end if;
    end loop;
    delete from tsconsole.attempt a where a.rollup_id = config.id and a.pid = pg_backend_pid();
    return (config.target_table, null, outcome, null, null, 0, 0, null, null, null)::silver.step_result;
end;
$$;

comment on function tsconsole.execute_step(bigint, timestamptz, text) is
'One step of the rollup with this id; see silver.perform_step. as_of: no frontier step once the watermark has reached what was complete at that time, so that a call which loops over steps comes to an end. prepared_work: what tsconsole.prepare_step has just found to do.
Example: select * from tsconsole.execute_step(1);';


create or replace function tsconsole.check_isolation() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a step cannot run under isolation level %', current_setting('transaction_isolation') using
            errcode = 'TS006',
            detail = 'Its statements must each see what was committed before them.',
            hint = 'set transaction isolation level read committed, or alter role … set default_transaction_isolation = ''read committed''.';
    end if;
end;
$$;

comment on function tsconsole.check_isolation() is
'Refuses (TS006) any isolation level but READ COMMITTED: a step needs a fresh snapshot for each of its statements.
Example: select tsconsole.check_isolation();';


create or replace function tsconsole.has_work(config silver.timeseries_rollup_config, work text, as_of timestamptz default null) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    found_work boolean;
    reach record;
begin
    -- While its triggers are away for DDL, nothing may be called complete.
    if exists (select from tsconsole.prepared_source p where p.source_table = (config).source_table) then
        return false;
    elsif work = 'frontier' and tsconsole.clock_went_back(config) then
        return true;
    elsif work = 'frontier' then
        select r.* into reach
        from tsconsole.reach((config).source_table, (config).time_column, (config).time_type, (config).timezone, (config).change_tracking, (config).allowed_lateness) r;
        return coalesce(tsconsole.bucket_floor(config, nullif(least(reach.horizon, tsconsole.axis_time(config, as_of - reach.lateness - tsconsole.clock_margin())), '-infinity')) > (config).last_processed_time, false);
    end if;
    -- Mostly there is nothing at all, which is told without planning the whole condition.
    execute format('select exists (select from %s p where p.kind = any ($1))', tsconsole.pending_table((config).id))
    into found_work using case when work = 'history' then '{h}' else '{l,r}' end::"char"[];
    if not found_work then
        return false;
    end if;
    execute format('select exists (select from %s p where %s)',
        tsconsole.pending_table((config).id), tsconsole.eligible(config, work)) into found_work using (config).last_processed_time;
    return found_work;
end;
$$;

comment on function tsconsole.has_work(silver.timeseries_rollup_config, text, timestamptz) is
'Whether a rollup has work of this kind that could be begun now; as_of: or at that time, for the frontier.
Example: select tsconsole.has_work(tsconsole.rollup(''silver.meters_1h''), ''history'');';


create or replace function tsconsole.eligible(config silver.timeseries_rollup_config, work text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A ladder's history goes bottom up, each bucket once; and nothing is recomputed that history still has to compute. What
    -- stands in the way is gathered once: looked for anew for each range, a backlog of late rows would take quadratic time.
    return case work
        when 'history' then 'p.kind = ''h'''
        else 'p.kind in (''l'', ''r'') and p.lo < $1' || tsconsole.overlaps_none_condition(tsconsole.pending_ranges_query((config).id, 'h'))
            -- A late row for a partition that is just being detached decides whether it goes: not to be taken for frozen meanwhile.
            || tsconsole.overlaps_none_condition(format('select range_agg(tstzrange(d.range_start, d.range_end)) from tsconsole.detachment d where d.parent = %s and d.rollup_id is null',
                                                (config).source_table::oid)) end
        || coalesce((select tsconsole.overlaps_none_condition(tsconsole.pending_ranges_query(parent.id, 'h'))
                         || tsconsole.overlaps_none_condition(tsconsole.pending_ranges_query(parent.id, 'r'), 'p.kind = ''r'' and ')
                     from silver.timeseries_rollup_config parent where parent.target_table = (config).source_table), '');
end;
$$;

comment on function tsconsole.eligible(silver.timeseries_rollup_config, text) is
'The SQL condition under which a pending range p can be worked on now; $1 is the watermark.
Example: select tsconsole.eligible(tsconsole.rollup(''silver.meters_1h''), ''history'');';


create or replace function tsconsole.pending_ranges_query(rollup_id bigint, kind text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('select range_agg(tstzrange(q.lo, q.hi)) from %s q where q.kind = %L', tsconsole.pending_table(rollup_id), kind);
$$;

comment on function tsconsole.pending_ranges_query(bigint, text) is
'The SQL that gathers the pending ranges of one kind as a multirange; null when there are none.
Example: select tsconsole.pending_ranges_query(1, ''h'');';


create or replace function tsconsole.overlaps_none_condition(ranges_query text, condition text default '') returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format(' and (%ststzrange(p.lo, p.hi) && (%s)) is not true', condition, ranges_query);
$$;

comment on function tsconsole.overlaps_none_condition(text, text) is
'The SQL condition that a pending range p overlaps nothing of what ranges_query gathers. condition: SQL under which it matters.
Example: select tsconsole.overlaps_none_condition(tsconsole.pending_ranges_query(1, ''h''));';


create or replace function tsconsole.claim(rollup_id bigint, work text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A new reader takes this lock exclusively, so that the list of readers cannot grow while changes are handed on.
    if work <> 'frontier' and not pg_try_advisory_xact_lock_shared(tsconsole.lock_class('readers'), rollup_id::integer) then
        return false;
    elsif work = 'history' then
        -- Shared: any number of workers share a backfill. The ranges themselves are claimed by row locks.
        return pg_try_advisory_xact_lock_shared(tsconsole.lock_class(work), rollup_id::integer);
    end if;
    return pg_try_advisory_xact_lock(tsconsole.lock_class(work), rollup_id::integer);
end;
$$;

comment on function tsconsole.claim(bigint, text) is
'Claims a kind of work of a rollup until the transaction ends; false when another session holds it. Never waits.
Example: select tsconsole.claim(1, ''frontier'');';


create or replace function tsconsole.try_work(rollup_id bigint, work text, is_prepared boolean default false) returns silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    config silver.timeseries_rollup_config;
    is_mine boolean := tsconsole.claim(rollup_id, work);
    result silver.step_result;
begin
    -- Read after the claim: the snapshot of the claiming statement is older than the lock.
    select c.* into config from silver.timeseries_rollup_config c where c.id = try_work.rollup_id;
    if not is_mine then
        return (config.target_table, work, 'busy', null, null, 0, 0, null, null, null)::silver.step_result;
    end if;
    -- A deadlock or a serialization failure is nobody's fault and mostly gone at once.
    for tries_left in reverse 3 .. 0 loop
        result := tsconsole.do_work(config, work, tries_left, is_prepared);
        is_prepared := false;
        exit when result.outcome <> 'again';
    end loop;
    return result;
end;
$$;

comment on function tsconsole.try_work(bigint, text, boolean) is
'Claims one kind of work of a rollup and does a step of it; busy when another session holds it, waiting while it backs off after a failure. is_prepared: tsconsole.prepare_step has just looked after its partitions.
Example: select * from tsconsole.try_work(1, ''frontier'');';


create or replace function tsconsole.do_work(
    config silver.timeseries_rollup_config, work text, tries_left integer, is_prepared boolean
) returns silver.step_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    started timestamptz := clock_timestamp();
    stage text := 'range';
    range tsconsole.work_range;
    query text;
    rows_read bigint;
    rows_written bigint;
    rows_deleted bigint;
    kept tstzmultirange;
    partitions_before text[];
    failure silver.timeseries_error_log;
begin
    -- The claim was made outside this block: an error in here must not release it before it is logged.
    begin
        perform tsconsole.count_crashes(config);
        if tsconsole.is_waiting(config.id, work) then
            return (config.target_table, work, 'waiting', null, null, 0, 0, null, null, null)::silver.step_result;
        end if;
        perform tsconsole.check_relations(config);
        partitions_before := tsconsole.partition_fingerprints(config.source_table);
        perform tsconsole.check_inventory(config, partitions_before);
        kept := tsconsole.kept_ranges(config);
        range := tsconsole.choose_range(config, work, case when work = 'frontier' then tsconsole.safe_horizon(config) end);
        if range.hi is null then
            -- Nothing of it is left; but ranges that other workers hold do not count as nothing.
            if work = 'frontier' or not tsconsole.has_work(config, work) then
                perform tsconsole.forget_retry(config.id, work);
            end if;
            return (config.target_table, work, 'idle', null, null, 0, 0, null, null, null)::silver.step_result;
        end if;
        perform tsconsole.check_edges(config, range);
        stage := 'partitions';
        -- The partitions of late ranges are mostly there; where one is missing after all, the work is done again.
        if work <> 'recompute' or not is_prepared then
            perform tsconsole.make_room(config, work, range);
        end if;
        stage := 'query';
        query := tsconsole.work_query(config, work, coalesce(range.only_series, false));
        perform tsconsole.absorb_late(config, work, range);
        if work = 'recompute' then
            select r.rows_read, r.rows_written, r.rows_deleted into rows_read, rows_written, rows_deleted
            from tsconsole.run_uncompiled(query, range, kept) r;
        else
            execute query into rows_read, rows_written, rows_deleted
                using range.lo, range.hi, range.entries, kept;
        end if;
        stage := 'guard';
        perform tsconsole.check_still_whole(config, range, kept, partitions_before);
        if kept <> '{}' then
            perform tsconsole.note_losses(config, work, range, kept);
        end if;
        perform tsconsole.settle(config, work, range);
        return tsconsole.record_success(config, work, range, rows_read, rows_written, rows_deleted, started);
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics
            failure.sql_state = returned_sqlstate, failure.error_message = message_text,
            failure.error_detail = pg_exception_detail, failure.error_hint = pg_exception_hint,
            failure.error_context = pg_exception_context, failure.schema_name = schema_name,
            failure.table_name = table_name, failure.constraint_name = constraint_name;
    end;
    -- Not a failure: the next step takes it up again.
    if failure.sql_state = 'TS005' or stage = 'partitions' and failure.sql_state = '55P03' then
        return (config.target_table, work, 'busy', null, null, 0, 0, null, null, null)::silver.step_result;
    end if;
    if tries_left > 0 and tsconsole.is_passing(config, failure) then
        return (config.target_table, work, 'again', null, null, 0, 0, null, null, null)::silver.step_result;
    end if;
    failure.work := work;
    failure.window_start := range.lo;
    failure.window_end := range.hi;
    failure.attempted_query := tsconsole.with_values(query, range);
    delete from tsconsole.attempt a where a.rollup_id = config.id and a.pid = pg_backend_pid();
    return tsconsole.record_failure(config, failure, started);
end;
$$;

comment on function tsconsole.do_work(silver.timeseries_rollup_config, text, integer, boolean) is
'Does a step of work that was claimed, and logs it. Outcome again, while tries are left, for a deadlock, a serialization failure, or a row that came while the partitions were made. On an error everything the step did is undone and the failure is logged and returned.
Example: see silver.perform_step.';


create or replace function tsconsole.is_passing(config silver.timeseries_rollup_config, failure silver.timeseries_error_log) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- 23514 without a constraint: no partition for a row that came after the range had been chosen.
    select (failure).sql_state in ('40001', '40P01')
        or (failure).sql_state = '23514' and (failure).constraint_name = '' and exists (
               select from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.oid = (config).target_table and n.nspname = (failure).schema_name and c.relname = (failure).table_name);
$$;

comment on function tsconsole.is_passing(silver.timeseries_rollup_config, silver.timeseries_error_log) is
'Whether a failure comes of other sessions'' doings at the same time, and is mostly gone when the work is done again at once.
Example: see silver.perform_step.';


create or replace function tsconsole.with_values(query text, range tsconsole.work_range) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
    -- $10 and above do not occur.
    select replace(replace(query, '$1', format('%L::timestamptz', (range).lo)), '$2', format('%L::timestamptz', (range).hi));
$$;

comment on function tsconsole.with_values(text, tsconsole.work_range) is
'A step''s query with its range written in, so that an operator can run its SELECT by hand.
Example: select tsconsole.with_values(''select $1'', null);';
