-- What the advice on indexes rests on: the queries that count, the statements that build an index, and the indexes in the way.

set check_function_bodies = off;  -- a function may stand above the helpers it calls

create or replace function tsconsole.advice_queries(relation regclass) returns table (name text, query text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with rollups as (
        select c, (c).source_table = relation as is_reader, tsconsole.qualified_name((c).target_table) as target,
               to_regclass(tsconsole.live_view(c)) as live_view, tsconsole.series_columns(c, 'p.d%s') as series,
               quote_literal(e.edge) || '::timestamptz' as hi,
               quote_literal(tsconsole.bucket_floor(c, e.edge - greatest((c).refresh_interval, (c).rollup_interval))) || '::timestamptz' as window_from,
               quote_literal(tsconsole.bucket_floor(c, e.edge - greatest(interval '1 day', (c).rollup_interval))) || '::timestamptz' as day_from
        from silver.timeseries_rollup_config c
        cross join lateral (select tsconsole.bucket_floor(c, case when isfinite(c.last_processed_time) then c.last_processed_time
                                                                  else tsconsole.axis_clock(c) end) as edge) e
        where relation in (c.source_table, c.target_table) and to_regclass(c.target_name) is not null
    )
    select 'the next window of ' || target, tsconsole.aggregate_query(c, window_from, hi, is_bounded := true)
    from rollups where is_reader
    union all
    select 'the next row for ' || target,
           format('select min(s.%I) from %s s where %s', (c).time_column, tsconsole.qualified_name(relation),
                  tsconsole.range_condition(c, 's', hi, '''infinity''::timestamptz'))
    from rollups where is_reader
    union all
    select 'a late day of one series for ' || target,
           format('select q.* from (select %s from %s p limit 1) series cross join lateral (%s) q', substr(series, 3), tsconsole.pending_table((c).id),
                  tsconsole.aggregate_query(c, day_from, hi, condition := tsconsole.same_series(c, 'series')))
    from rollups where is_reader and series <> ''
    union all
    select format('a day of one %s in %s', d.column_name, v.view),
           format('select * from %s t where %s and t.%I = (select p.d%s from %s p limit 1)', v.view, tsconsole.range_condition(c, 't', day_from, hi),
                  d.column_name, d.position, tsconsole.pending_table((c).id))
    from rollups
    join tsconsole.rollup_dimension d on d.rollup_id = (c).id
    cross join lateral (select tsconsole.qualified_name(live_view) as view where live_view is not null
                        union all select target where not is_reader) v
    union all
    select format('the last 100 buckets of one %s in %s', d.column_name, target),
           format('select * from %s t where t.%I = (select p.d%s from %s p limit 1) order by t.%I desc limit 100', target,
                  d.column_name, d.position, tsconsole.pending_table((c).id), (c).time_column)
    from rollups join tsconsole.rollup_dimension d on d.rollup_id = (c).id
    where not is_reader;
$$;

comment on function tsconsole.advice_queries(regclass) is
'The queries that an index on a table should serve: what steps and live views of its rollups ask of it, and filters by dimension and time on a target.
Example: select * from tsconsole.advice_queries(''raw.readings'');';


create or replace function tsconsole.index_definition(index_id oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'using ' || substr(pg_get_indexdef(x.indexrelid), length(format('CREATE %sINDEX %I ON %s%s USING ',
        case when x.indisunique then 'UNIQUE ' end, i.relname, case when i.relkind = 'I' then 'ONLY ' end, tsconsole.qualified_name(x.indrelid))) + 1)
    from pg_index x join pg_class i on i.oid = x.indexrelid where x.indexrelid = index_id;
$$;

comment on function tsconsole.index_definition(oid) is
'How an index is built, without its name and table.
Example: select tsconsole.index_definition(''raw.readings_ts_idx''::regclass);';


create or replace function tsconsole.new_index_name(relation regclass, name_part text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    nsp       name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation);
    wanted    text := (select c.relname || '_' || name_part || '_idx' from pg_class c where c.oid = relation);
    candidate text := tsconsole.fit_name(wanted);
    number    integer := 0;
begin
    while exists (select from pg_class c join pg_class t on t.relnamespace = c.relnamespace where t.oid = relation and c.relname = candidate) loop
        number := number + 1;
        candidate := tsconsole.fit_name(wanted || number);
    end loop;
    return format('%I.%I', nsp, candidate);
end;
$$;

comment on function tsconsole.new_index_name(regclass, text) is
'A free name for an index on a table, made as PostgreSQL makes them.
Example: select tsconsole.new_index_name(''raw.readings'', ''ts'');';


create or replace function tsconsole.index_steps(relation regclass, index_name text, definition text) returns table (step text, builds text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    nsp    name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation);
    label  text := (parse_ident(index_name))[cardinality(parse_ident(index_name))];
    own    record;
    child  record;
    part   record;
    wanted text;
begin
    select x.indexrelid as id, x.indisvalid as valid into own
    from pg_index x join pg_class i on i.oid = x.indexrelid where x.indrelid = relation and i.relname = label;
    if own.valid then
        return;
    end if;
    if (select c.relkind <> 'p' from pg_class c where c.oid = relation) then
        return query select format('drop index concurrently %I.%I', nsp, label), null where own.id is not null;
        return query select format('create index concurrently %I on %s %s', label, tsconsole.qualified_name(relation), definition), format('%I.%I', nsp, label);
        return;
    end if;
    -- A partitioned table takes no CONCURRENTLY: an index on it alone, one on each partition, and attached each.
    return query select format('create index %I on only %s %s', label, tsconsole.qualified_name(relation), definition), null where own.id is null;
    wanted := coalesce(tsconsole.index_definition(own.id), definition);
    for child in
        select c.oid::regclass as id, c.relkind, n.nspname,
               tsconsole.fit_name(case when starts_with(label, p.relname) then c.relname || substr(label, length(p.relname) + 1)
                                       else c.relname || '_' || label end) as part_index
        from pg_inherits h join pg_class c on c.oid = h.inhrelid join pg_namespace n on n.oid = c.relnamespace join pg_class p on p.oid = h.inhparent
        where h.inhparent = relation and not h.inhdetachpending and c.relkind in ('r', 'p')
        order by c.relname
    loop
        -- An index that is there already, attached or of the same definition, is taken.
        select i.relname::text as name, x.indisvalid as valid, coalesce(h.inhparent = own.id, false) as attached into part
        from pg_index x join pg_class i on i.oid = x.indexrelid left join pg_inherits h on h.inhrelid = x.indexrelid
        where x.indrelid = child.id and case when i.relispartition then h.inhparent = own.id else tsconsole.index_definition(x.indexrelid) = wanted end
        order by i.relispartition desc, x.indisvalid desc limit 1;
        if part.attached and not part.valid and child.relkind = 'r' then
            return query select format('reindex index concurrently %I.%I', child.nspname, part.name), null;
        elsif part.name is null or not part.valid then
            return query select s.* from tsconsole.index_steps(child.id, quote_ident(coalesce(part.name, child.part_index)), wanted) s;
        end if;
        return query select format('alter index %I.%I attach partition %I.%I', nsp, label, child.nspname, coalesce(part.name, child.part_index)), null
                     where part.attached is not true;
    end loop;
end;
$$;

comment on function tsconsole.index_steps(regclass, text, text) is
'The statements that build an index without blocking readers or writers, or complete one that is there in part; none when it is complete. Each runs by itself, outside a transaction; what one of them builds is left invalid when it is interrupted.
Example: select * from tsconsole.index_steps(''raw.readings'', ''raw.readings_ts_idx'', ''using btree (ts)'');';


create or replace function tsconsole.table_indexes(relation regclass)
returns table (
    id oid, holder oid, name text, is_whole boolean, is_valid boolean, is_removable boolean, is_unique boolean, method oid, key_count integer,
    key_parts text[], is_plain boolean, is_partial boolean, details text, scans bigint, bytes bigint
)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select x.indexrelid, x.indrelid, format('%I.%I', n.nspname, i.relname), i.relkind = 'I', x.indisvalid,
           -- A partition's share of an index goes with the whole, and what a constraint stands on stays.
           not i.relispartition and not x.indisreplident and not x.indisexclusion
               and not exists (select from pg_constraint k where k.conindid = x.indexrelid),
           x.indisunique, i.relam, x.indnkeyatts::integer,
           (select array_agg(format('%s/%s/%s/%s', x.indkey[k], x.indclass[k], x.indcollation[k], x.indoption[k]) order by k)
            from generate_series(0, x.indnkeyatts - 1) k),
           x.indexprs is null and x.indpred is null and x.indnatts = x.indnkeyatts, x.indpred is not null,
           format('%s|%s|%s|%s', pg_get_expr(x.indexprs, x.indrelid), pg_get_expr(x.indpred, x.indrelid), array_to_string(i.reloptions, ' '),
                  (select string_agg(x.indkey[k]::text, ' ' order by k) from generate_series(x.indnkeyatts::integer, x.indnatts - 1) k)),
           tree.scans, tree.bytes
    from pg_index x
    join pg_class i on i.oid = x.indexrelid
    join pg_namespace n on n.oid = i.relnamespace
    cross join lateral (
        with recursive parts as (
            select x.indexrelid as part
            union all
            select h.inhrelid from parts p join pg_inherits h on h.inhparent = p.part)
        select sum(pg_stat_get_numscans(p.part))::bigint as scans, sum(pg_relation_size(p.part))::bigint as bytes from parts p) tree
    where x.indislive and (x.indrelid = relation or x.indrelid in (select s.part from tsconsole.stored_parts(relation) s));
$$;

comment on function tsconsole.table_indexes(regclass) is
'The indexes of a table and of its partitions: what they hold, what depends on them, how often they were read, how large they are.
Example: select name, scans, bytes from tsconsole.table_indexes(''raw.readings'');';


create or replace function tsconsole.burdensome_indexes(relation regclass)
returns table (
    advice text, kind text, index_name text, definition text, cost_before float8, cost_after float8, size_bytes bigint, reason text, statement text
)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with indexes as materialized (select t.* from tsconsole.table_indexes(relation) t),
    reads as (
        select (select coalesce(sum(i.scans) filter (where i.holder = relation or i.is_removable), 0) from indexes i)
               + (select coalesce(sum(pg_stat_get_numscans(p.part)), 0) from tsconsole.stored_parts(relation) p) as count
    ),
    covered as (
        select distinct on (a.id) a.*, b.name as by_name, a.key_parts = b.key_parts and a.details = b.details as is_same
        from indexes a join indexes b on b.holder = a.holder and b.id <> a.id and b.method = a.method and b.is_valid
        where a.is_removable and a.is_valid
          and case when a.key_parts = b.key_parts and a.details = b.details
                   -- Of two that are the same, the one that keeps rows unique stays, else the older one.
                   then (not a.is_unique or b.is_unique) and (not b.is_removable or b.is_unique and not a.is_unique or b.id < a.id and a.is_unique = b.is_unique)
                   else not a.is_unique and a.method = (select m.oid from pg_am m where m.amname = 'btree') and a.is_plain and not b.is_partial
                        and a.key_count < b.key_count and a.key_parts = b.key_parts[1:a.key_count] end
        order by a.id, a.key_parts = b.key_parts desc, b.key_count
    ),
    found as (
        select case when c.is_same then 'duplicate' else 'redundant' end as kind, c.name, c.is_whole, c.bytes,
               case when c.is_same then 'the same as ' || c.by_name else c.by_name || ' begins with the same columns' end as reason
        from covered c
        union all
        select 'unused', i.name, i.is_whole, i.bytes,
               format('not read since %s, while the table was read %s times (reads on a standby are counted there)',
                      coalesce((select to_char(d.stats_reset, 'YYYY-MM-DD HH24:MI') from pg_stat_database d where d.datname = current_database()), 'it was created'),
                      reads.count)
        from indexes i, reads
        where i.holder = relation and i.is_removable and i.is_valid and not i.is_unique and i.scans = 0 and reads.count >= 100
          and i.id not in (select c.id from covered c)
          -- Its double may have been read in its place.
          and i.name not in (select c.by_name from covered c) and not tsconsole.is_last_time_index(relation, i.id)
        union all
        select 'invalid', i.name, i.is_whole, i.bytes, 'left by a CREATE INDEX that did not end: writers keep it, no query uses it'
        from indexes i
        where not i.is_valid and not i.is_whole and i.is_removable
          and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.id)
    )
    select 'drop', f.kind, f.name, null::text, null::float8, null::float8, f.bytes, f.reason,
           format('drop index %s%s;', case when not f.is_whole then 'concurrently ' end, f.name)
    from found f order by f.bytes desc;
$$;

comment on function tsconsole.burdensome_indexes(regclass) is
'The part of silver.recommend_indexes that names indexes to drop.
Example: see silver.recommend_indexes.';


create or replace function tsconsole.is_last_time_index(relation regclass, index_id oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Steps look the next row up by it, even where a small table is rather read whole today.
    select exists (
        select from pg_index x
        join pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
        join silver.timeseries_rollup_config c on relation in (c.source_table, c.target_table) and c.time_column = a.attname
        where x.indexrelid = index_id
          and not exists (select from pg_index y join pg_class i on i.oid = y.indexrelid
                          where y.indrelid = relation and y.indexrelid <> index_id and y.indkey[0] = x.indkey[0] and y.indisvalid
                            and y.indpred is null and i.relam = (select m.oid from pg_am m where m.amname = 'btree')));
$$;

comment on function tsconsole.is_last_time_index(regclass, oid) is
'Whether an index is the only one that begins with the time column of a rollup.
Example: select tsconsole.is_last_time_index(''raw.readings'', ''raw.readings_ts_idx''::regclass);';


create or replace function tsconsole.gin_indexes(relation regclass)
returns table (kind text, name_part text, definition text, cost_before float8, cost_after float8, size_bytes bigint, reason text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    wanted record;
    tried  record;
    has_btree_gin boolean := exists (select from pg_extension e where e.extname = 'btree_gin');
begin
    -- hypopg knows no GIN, so it is built on a sample, which takes a temporary table.
    if current_setting('transaction_read_only')::boolean or not has_database_privilege(current_database(), 'TEMP') then
        return;
    end if;
    for wanted in
        select distinct k.column_name, c.time_column
        from silver.timeseries_rollup_config c
        cross join tsconsole.columns(relation) k
        join pg_type t on t.oid = k.base_type
        where (k.base_name = 'jsonb' or t.typcategory = 'A' and t.typelem not in ('json'::regtype, 'xml'::regtype))
          and (c.target_table = relation or c.source_table = relation and exists (
                select from tsconsole.rollup_dimension d where d.rollup_id = c.id and d.expression = format('s.%I', k.column_name)))
          and not exists (select from pg_index x join pg_class i on i.oid = x.indexrelid join pg_am m on m.oid = i.relam
                          join pg_attribute a on a.attrelid = x.indrelid and a.attnum = any (x.indkey)
                          where x.indrelid = relation and m.amname = 'gin' and a.attname = k.column_name)
    loop
        definition := format('using gin (%s)', concat_ws(', ', quote_ident(wanted.column_name), case when has_btree_gin then quote_ident(wanted.time_column) end));
        tried := tsconsole.try_gin(relation, wanted.column_name, wanted.time_column, definition);
        if tried.cost_before - tried.cost_after >= greatest(100, 0.2 * tried.cost_before) then
            kind := 'gin';
            name_part := wanted.column_name || case when has_btree_gin then '_' || wanted.time_column else '' end;
            cost_before := tried.cost_before;
            cost_after := tried.cost_after;
            size_bytes := tried.size_bytes;
            reason := format('rows whose %s holds a value: %s times cheaper, on a sample of %s rows%s', wanted.column_name,
                round((tried.cost_before / tried.cost_after)::numeric, 1), tried.rows,
                case when not has_btree_gin then '; with the extension btree_gin it could hold the time too' else '' end);
            return next;
        end if;
    end loop;
end;
$$;

comment on function tsconsole.gin_indexes(regclass) is
'The GIN indexes that pay for filters (@>) on jsonb and array columns: those of a target, and dimensions in its source.
Example: select * from tsconsole.gin_indexes(''silver.meters_1h'');';


create or replace function tsconsole.try_gin(
    relation regclass, column_name text, time_column text, definition text,
    out cost_before float8, out cost_after float8, out size_bytes bigint, out rows bigint
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    query text;
begin
    execute format('create temporary table tsconsole_sample as select s.%1$I, s.%2$I from %3$s s where s.%1$I is not null limit 20000',
        column_name, time_column, (select tsconsole.qualified_name(p.part) from tsconsole.tried_parts(relation) p
                                   join pg_class c on c.oid = p.part order by c.reltuples desc, p.part limit 1));
    if tsconsole.has_time_index(relation, time_column) then
        execute format('create index on pg_temp.tsconsole_sample (%I)', time_column);
    end if;
    execute 'analyze pg_temp.tsconsole_sample';
    execute format('select count(*) from pg_temp.%I', 'tsconsole_sample') into rows;
    execute format('select format(%3$L, s.%1$I, min(t.%2$I), max(t.%2$I)) from pg_temp.tsconsole_sample t, '
                   '(select o.%1$I from pg_temp.tsconsole_sample o offset $1 / 2 limit 1) s group by s.%1$I',
        column_name, time_column,
        format('select * from pg_temp.tsconsole_sample where %1$I @> %%1$L and %2$I between %%2$L and %%3$L', column_name, time_column))
    into query using rows;
    if query is not null then
        cost_before := (tsconsole.plan_costs(array[query]))[1];
        execute 'create index tsconsole_sample_gin on pg_temp.tsconsole_sample ' || definition;
        cost_after := (tsconsole.plan_costs(array[query]))[1];
        size_bytes := pg_relation_size(to_regclass('pg_temp.tsconsole_sample_gin')) * greatest(tsconsole.estimated_rows(relation)::float8 / nullif(rows, 0), 1);
    end if;
    execute 'drop table pg_temp.tsconsole_sample';
end;
$$;

comment on function tsconsole.try_gin(regclass, text, text, text) is
'What a GIN index saves a filter by one value and a range of time, on a sample of the largest of the newest partitions.
Example: select * from tsconsole.try_gin(''raw.readings'', ''tags'', ''ts'', ''using gin (tags)'');';
