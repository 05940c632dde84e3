-- first_value and last_value: aggregates for the value at the earliest and at the latest time of a group.
--
-- The value is carried as text, because an aggregate written in SQL can have no state that holds a time and a value of any type
-- at once. Text comes back as the same value: floats in their shortest exact form, dates in ISO form, whatever the session has set.
-- The functions called once per row pin no search path, which would double their cost; they name nothing outside pg_catalog
-- without its schema. Of two values at one time the smaller is the first and the greater the last; NULL is the greatest. Numbers
-- are compared as numbers, others by their text.
-- finalfunc_extra passes arguments that are there for their types only: plpgsql_check is told not to mind.

do $$
begin
    if to_regtype('tsconsole.timed_value') is null then
        create type tsconsole.timed_value as ("time" timestamptz, value text, value_type regtype);
        comment on type tsconsole.timed_value is 'The state of first_value and last_value: the value kept so far, as text, and its time.';
    end if;
end;
$$;


create or replace function tsconsole.exact_text(value anyelement) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
set datestyle = 'ISO, YMD'
as $$
begin
    return format('%s', value);
end;
$$;

comment on function tsconsole.exact_text(anyelement) is
'A value as the text that its type reads back exactly, whatever the session has set.
Example: select tsconsole.exact_text(0.1::float8 + 0.2::float8);';


create or replace function tsconsole.timed_value(value anyelement, "time" timestamptz) returns tsconsole.timed_value
language plpgsql stable parallel safe
as $$
begin
    if num_nulls(value) = 1 then
        return ("time", null::text, pg_typeof(value));
    end if;
    -- Almost every session; the function that sets these costs 2 µs.
    if left(current_setting('datestyle'), 3) = 'ISO' and current_setting('extra_float_digits')::integer > 0 then
        return ("time", format('%s', value), pg_typeof(value));
    end if;
    return ("time", tsconsole.exact_text(value), pg_typeof(value));
end;
$$;

comment on function tsconsole.timed_value(anyelement, timestamptz) is
'The state of first_value or last_value after its first row.
Example: select tsconsole.timed_value(21.5, now());';


create or replace function tsconsole.is_greater(left_value tsconsole.timed_value, right_value tsconsole.timed_value) returns boolean
language sql immutable parallel safe
return case
    when (left_value).value is null or (right_value).value is null then (left_value).value is null and (right_value).value is not null
    when (left_value).value_type in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision') then
        (left_value).value::numeric > (right_value).value::numeric
    else (left_value).value > (right_value).value end;

comment on function tsconsole.is_greater(tsconsole.timed_value, tsconsole.timed_value) is
'Whether the value of one state is greater than that of another: numbers as numbers, others by their text, NULL greatest.
Example: select tsconsole.is_greater(tsconsole.timed_value(10, now()), tsconsole.timed_value(9, now()));';


create or replace function tsconsole.earlier_value(one tsconsole.timed_value, other tsconsole.timed_value) returns tsconsole.timed_value
language plpgsql immutable parallel safe
as $$
begin
    if other."time" < one."time" or one."time" is null or (other."time" = one."time" and tsconsole.is_greater(one, other)) then
        return other;
    end if;
    return one;
end;
$$;

comment on function tsconsole.earlier_value(tsconsole.timed_value, tsconsole.timed_value) is
'Of two states of first_value the one to keep.
Example: select tsconsole.earlier_value(tsconsole.timed_value(1, now()), tsconsole.timed_value(2, now() - interval ''1 hour''));';


create or replace function tsconsole.later_value(one tsconsole.timed_value, other tsconsole.timed_value) returns tsconsole.timed_value
language plpgsql immutable parallel safe
as $$
begin
    if other."time" > one."time" or one."time" is null or (other."time" = one."time" and tsconsole.is_greater(other, one)) then
        return other;
    end if;
    return one;
end;
$$;

comment on function tsconsole.later_value(tsconsole.timed_value, tsconsole.timed_value) is
'Of two states of last_value the one to keep.
Example: select tsconsole.later_value(tsconsole.timed_value(1, now()), tsconsole.timed_value(2, now() - interval ''1 hour''));';


create or replace function tsconsole.first_value_step(state tsconsole.timed_value, value anyelement, "time" timestamptz) returns tsconsole.timed_value
language plpgsql stable parallel safe
as $$
begin
    if "time" is null or "time" > state."time" then
        return state;
    elsif "time" < state."time" or state."time" is null then
        return tsconsole.timed_value(value, "time");
    end if;
    return tsconsole.earlier_value(state, tsconsole.timed_value(value, "time"));
end;
$$;

comment on function tsconsole.first_value_step(tsconsole.timed_value, anyelement, timestamptz) is
'The state of first_value after one more row.
Example: select tsconsole.first_value_step(null, 21.5, now());';


create or replace function tsconsole.last_value_step(state tsconsole.timed_value, value anyelement, "time" timestamptz) returns tsconsole.timed_value
language plpgsql stable parallel safe
as $$
begin
    if "time" is null or "time" < state."time" then
        return state;
    elsif "time" > state."time" or state."time" is null then
        return tsconsole.timed_value(value, "time");
    end if;
    return tsconsole.later_value(state, tsconsole.timed_value(value, "time"));
end;
$$;

comment on function tsconsole.last_value_step(tsconsole.timed_value, anyelement, timestamptz) is
'The state of last_value after one more row.
Example: select tsconsole.last_value_step(null, 21.5, now());';


create or replace function tsconsole.first_value_step(state tsconsole.timed_value, value anyelement, "time" timestamp) returns tsconsole.timed_value
language plpgsql stable parallel safe
as $$
begin
    return tsconsole.first_value_step(state, value, "time" at time zone 'UTC');
end;
$$;

comment on function tsconsole.first_value_step(tsconsole.timed_value, anyelement, timestamp) is
'The state of first_value after one more row, for times without zone.
Example: select tsconsole.first_value_step(null, 21.5, localtimestamp);';


create or replace function tsconsole.last_value_step(state tsconsole.timed_value, value anyelement, "time" timestamp) returns tsconsole.timed_value
language plpgsql stable parallel safe
as $$
begin
    return tsconsole.last_value_step(state, value, "time" at time zone 'UTC');
end;
$$;

comment on function tsconsole.last_value_step(tsconsole.timed_value, anyelement, timestamp) is
'The state of last_value after one more row, for times without zone.
Example: select tsconsole.last_value_step(null, 21.5, localtimestamp);';


create or replace function tsconsole.timed_value_result(state tsconsole.timed_value, value anyelement, "time" timestamptz) returns anyelement
language plpgsql stable parallel safe
as $$
-- @plpgsql_check_options: other_warnings = off, extra_warnings = off
declare
    result alias for $0;
begin
    -- A row type is read from its text by dynamic SQL only; other types by the function's own return.
    if state.value like '(%' and exists (select from pg_catalog.pg_type t where t.oid = state.value_type and t.typtype = 'c') then
        execute format('select ($1::%s).*', state.value_type) into result using state.value;
        return result;
    end if;
    return state.value;
end;
$$;

comment on function tsconsole.timed_value_result(tsconsole.timed_value, anyelement, timestamptz) is
'The value in the final state of first_value or last_value, in its own type.
Example: select tsconsole.timed_value_result(tsconsole.timed_value(21.5, now()), null::numeric, null);';


create or replace function tsconsole.timed_value_result(state tsconsole.timed_value, value anyelement, "time" timestamp) returns anyelement
language plpgsql stable parallel safe
as $$
-- @plpgsql_check_options: other_warnings = off, extra_warnings = off
begin
    return tsconsole.timed_value_result(state, value, null::timestamptz);
end;
$$;

comment on function tsconsole.timed_value_result(tsconsole.timed_value, anyelement, timestamp) is
'The value in the final state of first_value or last_value, in its own type, for times without zone.
Example: select tsconsole.timed_value_result(tsconsole.timed_value(21.5, now()), null::numeric, null::timestamp);';


create or replace aggregate silver.first_value(value anyelement, "time" timestamptz) (
    sfunc = tsconsole.first_value_step, stype = tsconsole.timed_value, finalfunc = tsconsole.timed_value_result, finalfunc_extra,
    combinefunc = tsconsole.earlier_value, parallel = safe);

comment on aggregate silver.first_value(anyelement, timestamptz) is
'The value at the earliest time of a group; rows without a time are left out, a NULL value counts. Of several values at that time the smallest.
Example: select device_id, silver.first_value(temperature, ts) from raw.readings group by device_id;';


create or replace aggregate silver.last_value(value anyelement, "time" timestamptz) (
    sfunc = tsconsole.last_value_step, stype = tsconsole.timed_value, finalfunc = tsconsole.timed_value_result, finalfunc_extra,
    combinefunc = tsconsole.later_value, parallel = safe);

comment on aggregate silver.last_value(anyelement, timestamptz) is
'The value at the latest time of a group; rows without a time are left out, a NULL value counts. Of several values at that time the greatest.
Example: select device_id, silver.last_value(temperature, ts) from raw.readings group by device_id;';


create or replace aggregate silver.first_value(value anyelement, "time" timestamp) (
    sfunc = tsconsole.first_value_step, stype = tsconsole.timed_value, finalfunc = tsconsole.timed_value_result, finalfunc_extra,
    combinefunc = tsconsole.earlier_value, parallel = safe);

comment on aggregate silver.first_value(anyelement, timestamp) is
'The value at the earliest time of a group, for times without zone.
Example: select silver.first_value(temperature, ts) from raw.local_readings;';


create or replace aggregate silver.last_value(value anyelement, "time" timestamp) (
    sfunc = tsconsole.last_value_step, stype = tsconsole.timed_value, finalfunc = tsconsole.timed_value_result, finalfunc_extra,
    combinefunc = tsconsole.later_value, parallel = safe);

comment on aggregate silver.last_value(anyelement, timestamp) is
'The value at the latest time of a group, for times without zone.
Example: select silver.last_value(temperature, ts) from raw.local_readings;';
