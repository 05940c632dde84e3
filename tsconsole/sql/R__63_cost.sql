-- What steps cost: a model learned from the last runs chooses the width of windows, and says beforehand what a step will take.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

-- They had fewer arguments once.
drop function if exists tsconsole.learned_window(silver.timeseries_rollup_config, text);
drop function if exists tsconsole.learned_window(silver.timeseries_rollup_config, text, timestamptz, timestamptz);
drop function if exists tsconsole.predict(silver.timeseries_rollup_config, text, tsconsole.work_range);

create or replace function tsconsole.step_aim() returns float8
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select greatest(extract(epoch from coalesce(nullif(current_setting('tsconsole.step_aim', true), '')::interval, '5 seconds'))::float8, 0.01);
$$;

comment on function tsconsole.step_aim() is
'How many seconds a step should take: 5, or what the setting tsconsole.step_aim says, such as 2s.
Example: select tsconsole.step_aim();';


create or replace function tsconsole.work_units(work text, rows float8, groups float8) returns float8
language sql immutable parallel safe
-- Measured: a row that is written, with its index entry, takes as long as some ten that are read. Recomputing writes
-- only what differs.
return rows + case when work = 'recompute' then 0 else 10 * least(rows, groups) end;

comment on function tsconsole.work_units(text, float8, float8) is
'How much work it is to read so many rows and write so many groups, in rows read.
Example: select tsconsole.work_units(''history'', 100000, 500);';


-- Its result had no name before it was handed on.
drop function if exists tsconsole.cost_model(silver.timeseries_rollup_config, text);

create or replace function tsconsole.cost_model(config silver.timeseries_rollup_config, work text) returns tsconsole.step_model
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    model tsconsole.step_model;
begin
    with recent as (
        select row_number() over (order by l.id desc) as age, extract(epoch from l.duration)::float8 as took, w.width,
               greatest(l.rows_read, 1)::float8 as rows, l.rows_written / w.width as groups,
               tsconsole.work_units(l.work, greatest(l.rows_read, 1), l.rows_written) as units,
               l.rows_read::float8 / nullif(l.estimated_rows, 0) as found
        from (select r.* from silver.timeseries_refresh_log r where r.rollup_id = (config).id order by r.id desc limit 200) l,
             lateral (select greatest(extract(epoch from l.window_end - l.window_start)::float8, 0.001) as width) w
        where l.work = cost_model.work
          and (l.rows_read > 0 or l.window_end > l.window_start and not tsconsole.has_time_index((config).source_table, (config).time_column))
        order by l.id desc limit 12
    ), fixed as (
        -- What a step takes without rows can be told apart only where their number varied.
        select least(case when max(r.units) >= 4 * min(r.units) then greatest(regr_intercept(r.took, r.units), 0) else 0 end, min(r.took)) as overhead
        from recent r
    )
    -- The last run weighs as much as all before it: so a step that load made slow makes the next window narrow.
    select count(*)::integer, max(f.overhead),
           sum(power(0.5, r.age) * greatest(r.took - f.overhead, r.took / 10)) / sum(power(0.5, r.age) * r.units),
           max(r.rows / r.width) filter (where r.age = 1), max(r.groups),
           max(r.width) filter (where r.age = 1),
           sum(power(0.5, r.age) * r.rows) / sum(power(0.5, r.age) * greatest(r.took, 0.001)),
           -- The planner is heeded while what it said last was true within 3 times.
           case when count(r.found) = 0 then 1
                when (array_agg(r.found order by r.age) filter (where r.found is not null))[1] between 0.33 and 3
                then least(greatest(exp(sum(power(0.5, r.age) * ln(greatest(r.found, 0.01))) filter (where r.found is not null)
                                        / sum(power(0.5, r.age)) filter (where r.found is not null)), 0.25), 4) end
    into model
    from recent r cross join fixed f;
    return model;
end;
$$;

comment on function tsconsole.cost_model(silver.timeseries_rollup_config, text) is
'What the last runs of a kind of work teach: the fixed part of a step in seconds, seconds per unit of work, source rows per second of the last window (data_rate), the most groups per second of a window (group_rate), and source rows read per second of a step (speed). planner_factor: how many rows there are for each that the planner expects; null while it was wrong.
Example: select * from tsconsole.cost_model(tsconsole.rollup(''silver.meters_1h''), ''history'');';


create or replace function tsconsole.expected_rows(config silver.timeseries_rollup_config, from_time timestamptz, to_time timestamptz) returns float8
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    plan json;
begin
    -- By the statistics of the time column: some tenths of a millisecond, and no row is read.
    execute format('explain (format json) select from %s s where %s',
        tsconsole.qualified_name((config).source_table), tsconsole.range_condition(config, 's', '$1', '$2'))
    into plan using least(from_time, to_time), greatest(from_time, to_time);
    return (plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8;
end;
$$;

comment on function tsconsole.expected_rows(silver.timeseries_rollup_config, timestamptz, timestamptz) is
'How many source rows the planner expects in a range.
Example: select tsconsole.expected_rows(tsconsole.rollup(''silver.meters_1h''), now() - interval ''1 day'', now());';


create or replace function tsconsole.learned_window(
    config silver.timeseries_rollup_config, work text, edge timestamptz default null, reach timestamptz default null,
    model tsconsole.step_model default null
) returns interval
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    aim    float8 := tsconsole.step_aim();
    -- Nothing is known yet: a million units a second, every row a group.
    wanted float8 := aim * 1e6;
    width  float8;
    widest float8;
begin
    if model.runs is null then
        model := tsconsole.cost_model(config, work);
    end if;
    if model.runs = 0 then
        width := tsconsole.first_window(config);
        widest := 4 * width;
    else
        wanted := greatest(aim - model.overhead, aim / 2) / greatest(model.seconds_per_unit, 1e-10);
        width := wanted / tsconsole.work_units(work, model.data_rate, model.group_rate);
        widest := case when model.planner_factor is null then 4 when model.runs < 2 then 8 else 256 end * model.last_width;
    end if;
    -- One step makes at most some 50 partitions, however thin the data is.
    widest := least(widest, extract(epoch from least((config).processing_window, 50 * (config).chunk_interval)), 1e11);
    if edge is not null and model.planner_factor is not null and work <> 'recompute' then
        if work = 'history' and (model.runs = 0 or tsconsole.is_shared(config)) then
            -- Each worker leaves half of what is left to the others, unless that is less than half a step.
            wanted := least(wanted, greatest(tsconsole.history_units(config, edge, model.planner_factor, model.group_rate) / 2, wanted / 2));
        end if;
        -- In the steady state there is less to do than the window could hold, and nothing to look at.
        if work <> 'frontier' or model.runs = 0 or extract(epoch from reach - edge) > least(width, 4 * model.last_width) then
            width := tsconsole.fit_window(config, work, edge, reach, width, widest, wanted, model.planner_factor, model.group_rate);
        end if;
    elsif model.runs > 0 then
        width := least(greatest(width, model.last_width / 16), 4 * model.last_width);
    end if;
    return make_interval(secs => greatest(least(width, widest), least(extract(epoch from (config).rollup_interval), widest)));
end;
$$;

comment on function tsconsole.learned_window(silver.timeseries_rollup_config, text, timestamptz, timestamptz, tsconsole.step_model) is
'The width of window that should take as long as tsconsole.step_aim() says, by the cost model. edge: where the window begins (its end, for history), so that the planner''s statistics are asked how many rows lie there, towards reach; without it by the rate of the last window. model: the cost model, where it is known already. Never wider than processing_window.
Example: select tsconsole.learned_window(tsconsole.rollup(''silver.meters_1h''), ''history'');';


create or replace function tsconsole.is_shared(config silver.timeseries_rollup_config) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Between two of its steps a worker holds no claim.
    return exists (select from tsconsole.running_steps() s where s.rollup_id = (config).id)
        or exists (
            select from (select l.worker_pid, l.end_time from silver.timeseries_refresh_log l where l.rollup_id = (config).id order by l.id desc limit 20) r
            where r.worker_pid <> pg_backend_pid() and r.end_time > clock_timestamp() - interval '10 seconds');
end;
$$;

comment on function tsconsole.is_shared(silver.timeseries_rollup_config) is
'Whether another session works on a rollup, or did within the last 10 seconds.
Example: select tsconsole.is_shared(tsconsole.rollup(''silver.meters_1h''));';


create or replace function tsconsole.history_units(
    config silver.timeseries_rollup_config, edge timestamptz, planner_factor float8, group_rate float8
) returns float8
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    oldest timestamptz;
    rows   float8;
begin
    execute format('select min(lo) from %s where kind = ''h''', tsconsole.pending_table((config).id)) into oldest;
    rows := planner_factor * tsconsole.expected_rows(config, oldest, edge);
    return tsconsole.work_units('history', rows, coalesce(group_rate * extract(epoch from edge - oldest), rows));
end;
$$;

comment on function tsconsole.history_units(silver.timeseries_rollup_config, timestamptz, float8, float8) is
'How many units of work the history below an edge is, by the planner''s statistics.
Example: see tsconsole.learned_window.';


create or replace function tsconsole.fit_window(
    config silver.timeseries_rollup_config, work text, edge timestamptz, reach timestamptz, first_guess float8, widest float8, wanted float8,
    planner_factor float8, group_rate float8
) returns float8
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    forward  boolean := reach > edge;
    most     float8  := least(widest, case when isfinite(reach) then abs(extract(epoch from reach - edge)) end);
    width    float8  := least(first_guess, most);
    too_few  float8  := 0;
    too_many float8;
    rows     float8;
    units    float8;
begin
    for attempt in 1 .. 10 loop
        rows := planner_factor * tsconsole.expected_rows(config, edge,
            case when forward then edge + make_interval(secs => width) else edge - make_interval(secs => width) end);
        units := greatest(tsconsole.work_units(work, rows, coalesce(group_rate * width, rows)), 1);
        exit when units between 0.85 * wanted and 1.15 * wanted or width >= most and units < wanted;
        if units < wanted then
            too_few := width;
            width := case when too_many is null then least(width * least(greatest(wanted / units, 1.2), 8), most) else (too_few + too_many) / 2 end;
        else
            too_many := width;
            width := case when too_few = 0 then width * least(greatest(wanted / units, 0.125), 0.8) else (too_few + too_many) / 2 end;
        end if;
    end loop;
    return width;
end;
$$;

comment on function tsconsole.fit_window(silver.timeseries_rollup_config, text, timestamptz, timestamptz, float8, float8, float8, float8, float8) is
'The width in seconds of the window at an edge, towards reach, that holds the wanted units of work by the planner''s statistics.
Example: see tsconsole.learned_window.';


create or replace function tsconsole.predict(
    config silver.timeseries_rollup_config, work text, range tsconsole.work_range, model tsconsole.step_model
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    width     float8 := extract(epoch from (range).hi - (range).data_from);
    rows      float8;
    estimated float8;
    seconds   float8;
begin
    if (range).hi is null or (range).hi <= (range).data_from then
        perform set_config('tsconsole.predicted', '', true);
        return;
    end if;
    rows := width * model.data_rate;
    seconds := model.overhead + model.seconds_per_unit * tsconsole.work_units(work, rows, width * model.group_rate);
    -- Small steps are not worth asking the planner.
    if work <> 'recompute' and (model.runs = 0 or seconds > tsconsole.step_aim() / 20) then
        estimated := tsconsole.expected_rows(config, (range).data_from, (range).hi);
        rows := coalesce(estimated * model.planner_factor, rows);
        seconds := model.overhead + model.seconds_per_unit * tsconsole.work_units(work, rows, width * model.group_rate);
    end if;
    seconds := case when model.runs > 0 then least(seconds, 1e8) end;
    perform set_config('tsconsole.predicted', format('%s,%s', seconds, round(estimated::numeric)), true);
end;
$$;

comment on function tsconsole.predict(silver.timeseries_rollup_config, text, tsconsole.work_range, tsconsole.step_model) is
'Notes, for the log of the step that the calling transaction is about to do, how long it should take and how many rows the planner expects.
Example: see tsconsole.choose_range.';


drop function if exists silver.step_costs(regclass);

create or replace function silver.step_costs(target regclass)
returns table (
    work text, runs integer, aim interval, overhead interval, rows_per_second float8, next_window interval,
    last_predicted interval, last_duration interval, typical_ratio float8
)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select w.work, m.runs, make_interval(secs => tsconsole.step_aim()), make_interval(secs => m.overhead), m.speed,
           tsconsole.learned_window(c, w.work), l.predicted[1], l.took[1], l.ratio
    from tsconsole.rollup(target) c
    cross join unnest(array['frontier', 'recompute', 'history']) with ordinality w (work, rank)
    cross join lateral tsconsole.cost_model(c, w.work) m
    left join lateral (
        select array_agg(r.predicted_duration order by r.id desc) as predicted, array_agg(r.duration order by r.id desc) as took,
               percentile_cont(0.5) within group (order by extract(epoch from r.duration)::float8 / extract(epoch from nullif(r.predicted_duration, '0'))::float8) as ratio
        from (select q.* from silver.timeseries_refresh_log q where q.rollup_id = c.id order by q.id desc limit 200) r
        where r.work = w.work and r.predicted_duration is not null) l on true
    where m.runs > 0
    order by w.rank;
$$;

comment on function silver.step_costs(regclass) is
'What is known of the steps of a rollup, for each kind of work that it has done: how long a step should take (aim), the fixed part of one, source rows read per second, how wide the next window would be at the rate of the last, what the last step was predicted to take and took, and how many times the predicted time the steps took, the median. TS002 when it is not a rollup.
Example: select * from silver.step_costs(''silver.meters_1h'');';


create or replace function tsconsole.slowdown() returns float8
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Steps of a few milliseconds say nothing about load.
    select case when count(*) >= 3 then
        percentile_cont(0.5) within group (order by extract(epoch from l.duration)::float8 / extract(epoch from l.predicted_duration)::float8) end
    from silver.timeseries_refresh_log l
    where l.end_time > clock_timestamp() - interval '30 seconds' and l.predicted_duration >= interval '100 milliseconds';
$$;

comment on function tsconsole.slowdown() is
'How many times their predicted time the steps of the last 30 seconds took, of all workers together: the median; null when there were fewer than three. Workers run fewer steps side by side while it is high.
Example: select tsconsole.slowdown();';
