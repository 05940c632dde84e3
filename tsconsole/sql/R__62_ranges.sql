-- Which range a step takes: how wide its window is, and where it lies.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

-- They asked for the cost model themselves once.
drop function if exists tsconsole.choose_frontier(silver.timeseries_rollup_config, timestamptz);
drop function if exists tsconsole.choose_history(silver.timeseries_rollup_config);
drop function if exists tsconsole.choose_recompute(silver.timeseries_rollup_config);

create or replace function tsconsole.first_window(config silver.timeseries_rollup_config) returns float8
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- A million units of work a second, every row a group of its own: tsconsole.work_units.
    first_rows float8 := tsconsole.step_aim() * 1e6 / 11;
    estimate float8 := tsconsole.estimated_rows((config).source_table);
    span float8;
begin
    if tsconsole.has_time_index((config).source_table, (config).time_column) then
        span := extract(epoch from tsconsole.edge_row(config, 'max', '-infinity', 'infinity') - tsconsole.edge_row(config, 'min', '-infinity', 'infinity'));
    else
        -- Every window reads all of the source anyway.
        span := extract(epoch from (config).history_to - (config).history_from);
    end if;
    return greatest(60 * extract(epoch from (config).rollup_interval), span * first_rows / nullif(estimate, 0));
end;
$$;

comment on function tsconsole.first_window(silver.timeseries_rollup_config) is
'The width in seconds of the first window, before any duration is known: about half a million source rows by statistics, at least 60 buckets.
Example: select tsconsole.first_window(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.choose_range(config silver.timeseries_rollup_config, work text, horizon timestamptz) returns tsconsole.work_range
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    model tsconsole.step_model := tsconsole.cost_model(config, work);
    range tsconsole.work_range := case work
        when 'frontier' then tsconsole.choose_frontier(config, horizon, model)
        when 'recompute' then tsconsole.choose_recompute(config, model)
        when 'history' then tsconsole.choose_history(config, model) end;
begin
    perform tsconsole.predict(config, work, range, model);
    return range;
end;
$$;

comment on function tsconsole.choose_range(silver.timeseries_rollup_config, text, timestamptz) is
'The range that the next step of this work takes, not above the horizon; hi is null when there is none.
Example: select * from tsconsole.choose_range(tsconsole.rollup(''silver.meters_1h''), ''frontier'', now());';


create or replace function tsconsole.choose_frontier(
    config silver.timeseries_rollup_config, safe_horizon timestamptz, model tsconsole.step_model
) returns tsconsole.work_range
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    range tsconsole.work_range;
    horizon timestamptz := tsconsole.bucket_floor(config, nullif(safe_horizon, '-infinity'));
    first_row timestamptz;
begin
    range.lo := greatest((config).last_processed_time, (config).first_bucket, tsconsole.earliest_time());
    if tsconsole.clock_went_back(config) then
        perform tsconsole.note_clock(config);
    end if;
    if horizon is null or horizon <= range.lo then
        return null;
    end if;
    -- Without an index this reads the source once more, but saves walking through a gap.
    first_row := tsconsole.edge_row(config, 'min', range.lo, horizon);
    if first_row is null and not isfinite((config).last_processed_time) then
        return null;
    end if;
    -- A gap is jumped in one step: the window counts from the next row on.
    range.data_from := coalesce(tsconsole.bucket_floor(config, first_row), horizon);
    range.hi := least(horizon, tsconsole.window_end(config, range.data_from,
        tsconsole.learned_window(config, 'frontier', range.data_from, horizon, model)));
    return range;
end;
$$;

comment on function tsconsole.choose_frontier(silver.timeseries_rollup_config, timestamptz, tsconsole.step_model) is
'The next range above the watermark: up to the last complete bucket, at most one window from the next source row on.
Example: see tsconsole.choose_range.';


create or replace function tsconsole.choose_history(config silver.timeseries_rollup_config, model tsconsole.step_model) returns tsconsole.work_range
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    range tsconsole.work_range;
    entry_id tid;
    entry_lo timestamptz;
    entry_hi timestamptz;
    newest_claim text := format('select p.ctid, p.lo, p.hi from %s p where %s order by p.lo desc limit 1 for update skip locked',
                                tsconsole.pending_table((config).id), tsconsole.eligible(config, 'history'));
    width interval;
    last_row timestamptz;
    top timestamptz;
    kept timestamptz := tsconsole.kept_before(config);
    is_indexed boolean := tsconsole.has_time_index((config).source_table, (config).time_column);
begin
    perform tsconsole.forget_frozen_history(config);
    loop
        execute newest_claim into entry_id, entry_lo, entry_hi;
        if entry_id is null then
            return null;
        end if;
        -- What is frozen is not computed any more.
        last_row := case when entry_hi <= kept then null
                         when is_indexed then tsconsole.edge_row(config, 'max', greatest(entry_lo, kept), entry_hi)
                         -- One reading of the source finds the next row below, however far.
                         else tsconsole.edge_row(config, 'max', kept, entry_hi) end;
        exit when last_row >= entry_lo;
        -- Nothing there: done, without a run.
        execute format('delete from %s where ctid = $1', tsconsole.pending_table((config).id)) using entry_id;
        if not is_indexed then
            perform tsconsole.drop_history(config, coalesce(last_row, '-infinity'), entry_lo);
        end if;
    end loop;
    range.hi := entry_hi;
    range.lo := greatest(entry_lo, kept);
    range.entries := array[entry_id];
    top := least(tsconsole.window_end(config, tsconsole.bucket_floor(config, last_row), '0'), range.hi);
    width := tsconsole.learned_window(config, 'history', top, greatest(kept, tsconsole.earliest_time()), model);
    range.data_from := case when top - tsconsole.earliest_time() > width then tsconsole.bucket_floor(config, top - width) else tsconsole.earliest_time() end;
    while range.data_from < range.lo loop
        -- Of several, the last is taken whole or not: no worker leaves scraps between its range and that of another.
        execute format('select p.ctid, p.lo from %s p where p.kind = ''h'' and p.hi = $2 and ($4 < 4 or p.lo >= $3) and %s limit 1 for update skip locked',
                       tsconsole.pending_table((config).id), tsconsole.eligible(config, 'history'))
        into entry_id, entry_lo using null::timestamptz, range.lo, range.data_from, cardinality(range.entries);
        exit when entry_id is null;
        range.lo := entry_lo;
        range.entries := range.entries || entry_id;
    end loop;
    range.data_from := greatest(range.lo, range.data_from);
    range.lo := range.data_from;
    return range;
end;
$$;

comment on function tsconsole.choose_history(silver.timeseries_rollup_config, tsconsole.step_model) is
'Claims the newest free history and as many adjacent ranges below it as fill a window; the range is the top of what was claimed. Stretches without rows are done at once.
Example: see tsconsole.choose_range.';


drop function if exists tsconsole.drop_empty_history(silver.timeseries_rollup_config, timestamptz, timestamptz);

create or replace function tsconsole.drop_history(
    config silver.timeseries_rollup_config, above timestamptz, below timestamptz, out first_lo timestamptz, out last_hi timestamptz
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('with dropped as (delete from %1$s where ctid = any (array('
                   'select p.ctid from %1$s p where p.lo > $1 and p.hi <= $2 and %2$s for update skip locked)) returning lo, hi) '
                   'select min(lo), max(hi) from dropped',
        tsconsole.pending_table((config).id), tsconsole.eligible(config, 'history'))
    into first_lo, last_hi using above, below;
end;
$$;

comment on function tsconsole.drop_history(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'Takes the history that begins after one time and ends by another off the pending ranges, without a run, but for what other workers hold. Returns what it spanned; nulls when there was none.
Example: see tsconsole.choose_history.';


create or replace function tsconsole.choose_recompute(config silver.timeseries_rollup_config, model tsconsole.step_model) returns tsconsole.work_range
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    range tsconsole.work_range;
    first_lo timestamptz;
    last_lo timestamptz;
    last_hi timestamptz;
    width_before interval;
    first_hi timestamptz;
    width interval;
    next_row timestamptz;
begin
    -- Late ranges first, but where they never end, a refill must come to its end too.
    if random() < 0.25 then
        range := tsconsole.choose_refill(config, model);
        if range.entries is not null then
            return range;
        end if;
    end if;
    range := tsconsole.choose_series(config);
    if range.only_series then
        return range;
    end if;
    width := tsconsole.learned_window(config, 'recompute', model => model);
    -- In bucket order, so that neighbours are read together; as many as make up a window.
    execute format(
        'select array_agg(id), min(lo), max(hi) filter (where lo = first_lo), max(lo), max(width_before), max(hi) from ('
        '  select w.id, w.lo, w.hi, min(w.lo) over () as first_lo, coalesce(sum(w.width) over (order by w.lo, w.id rows between unbounded preceding and 1 preceding), ''0'') as width_before from ('
        -- Only what an entry adds to those before it counts: one bucket may be logged thousands of times.
        '    select p.ctid as id, p.lo, p.hi, case when p.all_series then greatest(p.hi - greatest(p.lo, max(case when p.all_series then p.hi end)'
        '           over (order by p.lo, p.ctid rows between unbounded preceding and 1 preceding)), ''0'') else ''0'' end as width'
        '    from %s p where p.kind = ''l'' and %s order by p.lo, p.ctid limit 5000) w) q'
        -- The step looks into every partition from the first to the last of them, and locks it.
        ' where width_before < $2 and (lo < first_lo + $3 or lo = first_lo)',
        tsconsole.pending_table((config).id), tsconsole.eligible(config, 'recompute'))
    into range.entries, first_lo, first_hi, last_lo, width_before, last_hi using (config).last_processed_time, width, 500 * (config).chunk_interval;
    if range.entries is null then
        return tsconsole.choose_refill(config, model);
    end if;
    range.lo := first_lo;
    range.data_from := first_lo;
    if first_hi > tsconsole.window_end(config, first_lo, '0') then
        -- Of more than one bucket, the first may lie long before any row.
        next_row := least(tsconsole.edge_row(config, 'min', first_lo, last_hi),
                          tsconsole.edge_row(config, 'min', first_lo, last_hi, (config).target_table));
        range.data_from := greatest(first_lo, coalesce(tsconsole.bucket_floor(config, next_row), last_hi));
    end if;
    range.hi := least(last_hi, (config).last_processed_time,
                      tsconsole.window_end(config, greatest(last_lo, range.data_from), width - width_before));
    range.data_from := least(range.data_from, range.hi);
    return range;
end;
$$;

comment on function tsconsole.choose_recompute(silver.timeseries_rollup_config, tsconsole.step_model) is
'The next late ranges below the watermark, in bucket order, about one window of them; what lies at or above hi is left for later. Now and then, and when there is none, those of a refill.
Example: see tsconsole.choose_range.';


create or replace function tsconsole.choose_series(config silver.timeseries_rollup_config) returns tsconsole.work_range
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    range tsconsole.work_range;
    last_lo timestamptz;
begin
    execute format(
        'select array_agg(id), min(lo), max(lo), max(hi), count(*) <= 100 and not bool_or(all_series) and max(in_bucket) <= 5 from ('
        '  select l.*, count(*) over (partition by l.lo) as in_bucket from ('
        '    select p.ctid as id, p.lo, p.hi, p.all_series from %s p where p.kind = ''l'' and %s limit 101) l) q',
        tsconsole.pending_table((config).id), tsconsole.eligible(config, 'recompute'))
    into range.entries, range.lo, last_lo, range.hi, range.only_series using (config).last_processed_time;
    -- The step looks into every partition from the first to the last of them, and locks it.
    range.only_series := coalesce(range.only_series and last_lo < range.lo + 500 * (config).chunk_interval, false);
    range.data_from := range.lo;
    range.hi := least(range.hi, (config).last_processed_time);
    return range;
end;
$$;

comment on function tsconsole.choose_series(silver.timeseries_rollup_config) is
'All late ranges below the watermark, where they are a hundred at most, each one bucket of one series, and no more than five in a bucket: there is nothing to weigh then. only_series is false where they are not.
Example: see tsconsole.choose_recompute.';
