-- What the functions that change a rollup share: waiting for its steps, short locks, its live views, refilling it.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.claim_rollups(rollup_ids bigint[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    rollup_id bigint;
begin
    -- By id, so that no two sessions wait for each other.
    for rollup_id in select i from unnest(rollup_ids) i order by i loop
        if not tsconsole.claim_steps(rollup_id, '30s') then
            raise exception 'a step of % is still running', (select c.target_name from silver.timeseries_rollup_config c where c.id = rollup_id) using
                errcode = 'TS005', hint = 'Pause the rollup with silver.pause_rollup, or try again when the step has ended.';
        end if;
    end loop;
end;
$$;

comment on function tsconsole.claim_rollups(bigint[]) is
'Claims all work of these rollups until the transaction ends, waiting at most 30 s for the steps in hand. TS005 when one does not end.
Example: select tsconsole.claim_rollups(''{1,2}'');';


create or replace function tsconsole.claim_steps(rollup_id bigint, patience text default '500ms') returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'  -- so that what is set below ends with this function
as $$
begin
    perform set_config('lock_timeout', patience, true);
    -- While this waits, no further step begins: theirs is a try-lock. So a busy worker cannot keep it out for ever.
    perform pg_advisory_xact_lock(tsconsole.lock_class(w), rollup_id::integer) from unnest(array['frontier', 'recompute', 'history']) w;
    return true;
exception when lock_not_available then
    return false;
end;
$$;

comment on function tsconsole.claim_steps(bigint, text) is
'Claims all work of a rollup until the transaction ends; false when a step is still running after this long for each kind of work.
Example: select tsconsole.claim_steps(1);';


create or replace function tsconsole.run_briefly(statements text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    budget constant interval := interval '500 milliseconds';
    statement text;
    started timestamptz;
    usual_timeout text := current_setting('lock_timeout');
    objects text;
begin
    for attempt in 1 .. 20 loop
        started := clock_timestamp();
        begin
            foreach statement in array statements loop
                perform set_config('lock_timeout', greatest(1, 1000 * extract(epoch from started + budget - clock_timestamp()))::integer || 'ms', true);
                execute statement;
            end loop;
            perform set_config('lock_timeout', usual_timeout, true);
            return;
        exception
            when lock_not_available then
                null;
            when dependent_objects_still_exist or feature_not_supported then
                get stacked diagnostics objects = pg_exception_detail;
                raise exception '%', sqlerrm using
                    errcode = 'TS004', detail = objects, hint = 'Drop what reads it, and create that again afterwards.';
        end;
        perform pg_sleep(0.1 + 0.2 * random());
    end loop;
    raise exception 'the locks could not be had within 20 tries of %', budget using
        errcode = 'TS005', detail = 'While trying: ' || statement,
        hint = 'A transaction that uses the table or its live view stays open; end it (see pg_stat_activity), or try again.';
end;
$$;

comment on function tsconsole.run_briefly(text[]) is
'Runs statements that need strong locks, in short tries: nobody queues behind them for more than half a second. TS005 when the locks are not to be had, TS004 when something else reads what they drop.
Example: select tsconsole.run_briefly(''{alter table silver.meters_1h add column note text}'');';


create or replace function tsconsole.lock_statements(relation regclass) returns text[]
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- The table, a column that is dropped, and an index in which the first row is looked for.
    select tsconsole.check_partition_locks(relation, 3);
    -- One by one, before the statement that needs them all: the budget of run_briefly then covers the sum.
    select coalesce(array_agg(format('lock table only %s in access exclusive mode', tsconsole.qualified_name(p)) order by p <> relation, p), '{}')
    from tsconsole.with_partitions(relation) p join pg_class c on c.oid = p
    where c.relkind in ('r', 'p') and has_table_privilege(p, 'truncate');
$$;

comment on function tsconsole.lock_statements(regclass) is
'The statements that lock a table and each of its partitions, for tsconsole.run_briefly. TS004 when there are more than the server can lock at once.
Example: select tsconsole.lock_statements(''silver.meters_1h'');';


create or replace function tsconsole.with_readers(target regclass) returns bigint[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive levels as (
        select c.id, c.target_table, 0 as depth from silver.timeseries_rollup_config c where c.target_table = target
        union all
        select c.id, c.target_table, l.depth + 1 from levels l join silver.timeseries_rollup_config c on c.source_table = l.target_table
    )
    select coalesce(array_agg(l.id order by l.depth, l.id), '{}') from levels l;
$$;

comment on function tsconsole.with_readers(regclass) is
'A rollup and all that read it, directly or through others, lower levels first.
Example: select tsconsole.with_readers(''silver.meters_1m'');';


create or replace function tsconsole.existing_live_view(rollup_id bigint) returns regclass
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Found by what it reads, so that a renamed target does not hide it.
    return (
        select r.ev_class::regclass
        from pg_depend d
        join pg_rewrite r on r.oid = d.objid
        join pg_class v on v.oid = r.ev_class
        where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
          and d.refobjid = to_regclass('tsconsole.stale_' || rollup_id)
          and not (v.relnamespace = 'tsconsole'::regnamespace and v.relname ~ '^stale_[0-9]+$')
        order by r.oid limit 1);
end;
$$;

comment on function tsconsole.existing_live_view(bigint) is
'The live view of a rollup under whatever name it has; null while it is away.
Example: select tsconsole.existing_live_view(1);';


create or replace function tsconsole.live_rights(rollup_ids bigint[]) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(i, to_jsonb(v.relacl::text[])), '{}')
    from unnest(rollup_ids) i join pg_class v on v.oid = tsconsole.existing_live_view(i);
$$;

comment on function tsconsole.live_rights(bigint[]) is
'Who may do what with the live views of these rollups, by id, so that it can be granted again when they come back.
Example: select tsconsole.live_rights(''{1,2}'');';


create or replace function tsconsole.drop_view_statements(rollup_ids bigint[]) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Top first: each level's view reads that of the level below.
    select coalesce(array_agg(format('select tsconsole.drop_live_view(c) from silver.timeseries_rollup_config c where c.id = %s', i.id) order by i.rank desc), '{}')
    from unnest(rollup_ids) with ordinality i (id, rank)
    where to_regclass('tsconsole.stale_' || i.id) is not null;
$$;

comment on function tsconsole.drop_view_statements(bigint[]) is
'The statements that take away the live views of these rollups, given lowest first, for tsconsole.run_briefly.
Example: select tsconsole.drop_view_statements(''{1,2}'');';


create or replace function tsconsole.bring_live_views_back(rollup_ids bigint[], rights jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    rollup_id bigint;
    config silver.timeseries_rollup_config;
    granted record;
begin
    foreach rollup_id in array rollup_ids loop
        select c.* into config from silver.timeseries_rollup_config c where c.id = rollup_id;
        perform tsconsole.make_live_view(config);
        for granted in
            select a.privilege_type, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end as role, a.is_grantable
            from jsonb_array_elements_text(nullif(rights -> rollup_id::text, 'null')) item, aclexplode(array[item::aclitem]) a
            where a.grantee <> (select v.relowner from pg_class v where v.oid = tsconsole.existing_live_view(rollup_id))
        loop
            execute format('grant %s on %s to %s%s', granted.privilege_type, tsconsole.live_view(config), granted.role,
                           case when granted.is_grantable then ' with grant option' end);
        end loop;
    end loop;
end;
$$;

comment on function tsconsole.bring_live_views_back(bigint[], jsonb) is
'Creates the live views of these rollups, lowest first, and grants again what tsconsole.live_rights found.
Example: see silver.refresh_source.';


create or replace function tsconsole.queue_refill(config silver.timeseries_rollup_config) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    hi timestamptz := (config).last_processed_time;
    lo timestamptz := greatest((config).first_bucket, tsconsole.kept_before(config));
    pieces float8;
    queued bigint;
begin
    lo := greatest(lo, tsconsole.bucket_floor(config, least(
        tsconsole.edge_row(config, 'min', lo, hi), tsconsole.edge_row(config, 'min', lo, hi, (config).target_table))));
    if not isfinite(hi) or not isfinite(lo) or lo >= hi then
        return 0;
    end if;
    -- Pieces of about one window: a step takes whole ones.
    pieces := greatest(1, least(5000, ceil(extract(epoch from hi - lo) / extract(epoch from tsconsole.learned_window(config, 'history')))));
    execute format(
        'insert into %s (lo, hi, all_series, kind) '
        'select p.edge, p.next_edge, true, ''r'' from ('
        '  select e.edge, lead(e.edge, 1, $2) over (order by e.edge) as next_edge from ('
        '    select distinct tsconsole.bucket_floor($1, $3 + i * ($4 / $5)) as edge from generate_series(0, $5 - 1) i) e) p '
        'where p.edge < p.next_edge', tsconsole.pending_table((config).id))
    using config, hi, lo, hi - lo, pieces::integer;
    get diagnostics queued = row_count;
    return queued;
end;
$$;

comment on function tsconsole.queue_refill(silver.timeseries_rollup_config) is
'Queues everything that a rollup has computed for being recomputed, newest first, behind all late ranges (kind r). Its claims must be held. Returns the number of ranges.
Example: select tsconsole.queue_refill(tsconsole.rollup(''silver.meters_1h''));';


drop function if exists tsconsole.choose_refill(silver.timeseries_rollup_config);  -- it asked for the cost model itself once

create or replace function tsconsole.choose_refill(config silver.timeseries_rollup_config, model tsconsole.step_model) returns tsconsole.work_range
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    range tsconsole.work_range;
    first_row timestamptz;
    last_row timestamptz;
    newest text := format(
        'select array_agg(q.id), min(q.lo), max(q.hi) from ('
        '  select p.ctid as id, p.lo, p.hi, coalesce(sum(p.hi - p.lo) over (order by p.lo desc, p.ctid rows between unbounded preceding and 1 preceding), ''0'') as above'
        '  from %s p where p.kind = ''r'' and %s order by p.lo desc, p.ctid limit 500) q where q.above = ''0'' or q.above + (q.hi - q.lo) <= $2',
        tsconsole.pending_table((config).id), tsconsole.eligible(config, 'recompute'));
    width interval := tsconsole.learned_window(config, 'recompute', model => model);
begin
    loop
        execute newest into range.entries, range.lo, range.hi using (config).last_processed_time, width;
        if range.entries is null then
            return null;
        end if;
        first_row := least(tsconsole.edge_row(config, 'min', range.lo, range.hi),
                           tsconsole.edge_row(config, 'min', range.lo, range.hi, (config).target_table));
        exit when first_row is not null;
        -- Nothing there, nor down to the next row below: done, without a run. A gap may be years of small ranges.
        last_row := greatest(tsconsole.edge_row(config, 'max', '-infinity', range.lo),
                             tsconsole.edge_row(config, 'max', '-infinity', range.lo, (config).target_table));
        execute format('delete from %s p where p.kind = ''r'' and p.lo > $2 and p.hi <= $3 and %s', tsconsole.pending_table((config).id),
                       tsconsole.eligible(config, 'recompute'))
        using (config).last_processed_time, coalesce(last_row, '-infinity'), range.hi;
    end loop;
    range.data_from := greatest(range.lo, tsconsole.bucket_floor(config, first_row));
    return range;
end;
$$;

comment on function tsconsole.choose_refill(silver.timeseries_rollup_config, tsconsole.step_model) is
'The newest ranges of a refill, about one window of them, for a recompute step that finds no late range.
Example: see tsconsole.choose_recompute.';
