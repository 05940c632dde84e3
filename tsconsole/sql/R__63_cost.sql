-- What steps were expected to take and what they took.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

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
