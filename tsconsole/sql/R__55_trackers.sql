-- What is generated for each tracked source, made and dropped: its trackers of late rows, and the functions behind them.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.make_trackers(source regclass, time_column text, tracker text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning'
as $$
declare
    row_type text := 'tsconsole.tracked_row_' || tracker;
    side text;
    domain text;
    note text;
    condition text;
begin
    if to_regtype(row_type) is null then
        execute tsconsole.tracked_row_source(source, time_column);
        perform tsconsole.give_to_owner('type', row_type);
    end if;
    foreach side in array array['old', 'new'] loop
        note := format('tsconsole.note_%s_%s', side, tracker);
        domain := format('tsconsole.tracker_%s_%s', side, tracker);
        execute tsconsole.note_source(source, time_column, side);
        -- Writers call it.
        execute format('grant execute on function %s to public', note);
        perform tsconsole.give_to_owner('function', note);
        condition := tsconsole.tracker_check(source, time_column, side);
        if to_regtype(domain) is null then
            execute format('create domain %s as %s', domain, row_type);
            perform tsconsole.give_to_owner('domain', domain);
        elsif exists (select from pg_constraint k where k.contypid = domain::regtype) then
            -- Not IF EXISTS: where there is none, PostgreSQL would be left with a message that no savepoint may follow.
            execute format('alter domain %s drop constraint noted', domain);
        end if;
        execute format('alter domain %s add constraint noted check (%s)', domain, condition);
    end loop;
end;
$$;

comment on function tsconsole.make_trackers(regclass, text, text) is
'Makes the trackers of late rows of a source, or changes them to the buckets of the rollups that it has now. tracker is what their names end with.
Example: see tsconsole.refresh_tracking.';


create or replace function tsconsole.tracking_functions(key text, variadic kinds text[]) returns oid[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select p.oid from pg_proc p
                 where p.pronamespace = 'tsconsole'::regnamespace and p.proname in (select kind || '_' || key from unnest(kinds) kind));
$$;

comment on function tsconsole.tracking_functions(text, text[]) is
'The functions of these kinds that were generated for a tracked source, whatever their arguments: track_truncate, log, log_truncate; by the name of a tracker note_old and note_new.
Example: select tsconsole.tracking_functions(tsconsole.tracking_key(''raw.readings'', ''ts''), ''log'');';


drop function if exists tsconsole.row_trackers(text);

create or replace function tsconsole.drop_trackers(key text, kept text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning'
as $$
declare
    former text;
begin
    -- With a tracker go the triggers that cast to it, also where the source belongs to somebody else.
    for former in
        select f.tracker
        from pg_type t cross join lateral (select substring(t.typname from format('^tracked_row_(%s_[0-9a-f]{8})$', key)) as tracker) f
        where t.typnamespace = 'tsconsole'::regnamespace and f.tracker <> coalesce(kept, '')
    loop
        execute format('drop type tsconsole.%I cascade', 'tracked_row_' || former);
        perform tsconsole.drop_functions(tsconsole.tracking_functions(former, 'note_old', 'note_new'));
    end loop;
    -- Of former versions, the functions that the triggers called.
    perform tsconsole.drop_functions(tsconsole.tracking_functions(key, 'track', 'track_old', 'track_new', 'note_old', 'note_new'));
end;
$$;

comment on function tsconsole.drop_trackers(text, text) is
'Drops the trackers of late rows of a source, with the triggers that hand rows to them; kept is the tracker that stays, if any.
Example: select tsconsole.drop_trackers(tsconsole.tracking_key(''raw.readings'', ''ts''), null);';


create or replace function tsconsole.drop_tracking(key text) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select tsconsole.drop_trackers(key, null);
    select tsconsole.drop_functions(tsconsole.tracking_functions(key, 'track_truncate', 'log', 'log_truncate'));
$$;

comment on function tsconsole.drop_tracking(text) is
'Drops all that was generated for a tracked source, with its triggers.
Example: select tsconsole.drop_tracking(tsconsole.tracking_key(''raw.readings'', ''ts''));';


drop function if exists tsconsole.drop_logger(text);

create or replace function tsconsole.drop_functions(functions oid[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning'
as $$
declare
    f oid;
begin
    foreach f in array functions loop
        execute format('drop function %s cascade', f::regprocedure);
    end loop;
end;
$$;

comment on function tsconsole.drop_functions(oid[]) is
'Drops generated functions of a tracked source, with what calls them.
Example: select tsconsole.drop_functions(tsconsole.tracking_functions(''16384_1'', ''log''));';


create or replace function tsconsole.drop_restored_tracking(source regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    former text;
begin
    -- A dump brings the triggers of a source back under the number that it had in the other database. They log to the same
    -- tables, and writers would fail once those are gone. Those of a source that is tracked here are not touched: this one may
    -- be, or have been, a partition of it.
    for former in
        select k.key
        from pg_trigger t cross join lateral (select substring(t.tgname from '^tsconsole_(\d+_\d+)_(?:insert|update|delete|truncate)$') as key) k
        where t.tgrelid = source and k.key is not null
        group by k.key
        having split_part(k.key, '_', 1)::oid not in (select source union all select s.source_table from tsconsole.tracked_source s)
    loop
        perform tsconsole.drop_tracking(former);
    end loop;
end;
$$;

comment on function tsconsole.drop_restored_tracking(regclass) is
'Drops the triggers that a source brought along from another database in a dump, with their functions.
Example: select tsconsole.drop_restored_tracking(''raw.readings'');';
