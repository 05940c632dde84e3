"""Where the stress takes place: a source, a ladder of three levels on it, and one more rollup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

SOURCE = "raw.events"
LATENESS = "500 milliseconds"
HISTORY_SECONDS = 240

# Partitions of a minute around now, and one for what is older.
SOURCE_TABLE = """
    create sequence raw.event_ids;
    create table raw.events (
        id bigint not null default nextval('raw.event_ids'),
        ts timestamptz, dev integer, site text, v bigint) partition by range (ts);
    create index on raw.events (ts);
    create index on raw.events (dev, ts);
    create index on raw.events (id);
    create schema stress;
    create table stress.bounds (name text primary key, lo timestamptz, hi timestamptz);
    do $$
    declare
        start timestamptz := date_trunc('minute', now()) - interval '5 minutes';
    begin
        execute format('create table raw.events_old partition of raw.events '
                       'for values from (minvalue) to (%L)', start);
        for i in 0 .. 20 loop
            execute format('create table raw.events_%s partition of raw.events '
                           'for values from (%L) to (%L)', i, start, start + interval '1 minute');
            insert into stress.bounds values ('events_' || i, start, start + interval '1 minute');
            start := start + interval '1 minute';
        end loop;
    end
    $$;
"""

HISTORY = """
    insert into raw.events (ts, dev, site, v)
    select now() - random() * %s * interval '1 second', nullif((random() * 12)::integer, 0),
           (array[null, 'a', 'b'])[1 + (random() * 2.99)::integer], (random() * 1000000)::bigint
    from generate_series(1, 4000)
"""


@dataclass(frozen=True)
class Level:
    """One rollup: its target, the table it reads, and the GROUP BY that it stands for."""

    target: str
    source: str
    width: str
    keys: tuple[str, ...]

    def create(self, db: psycopg.Connection[Any]) -> None:
        db.execute(
            "select silver.create_rollup_table(%s::regclass, %s, %s, "
            'dimensions := %s, measures := \'{"v": ["min", "max", "avg"]}\', '
            "allowed_lateness := %s, refresh_interval := '250 ms', "
            "processing_window := '15 seconds', chunk_interval := '2 minutes')",
            [self.source, self.target, self.width, list(self.keys), LATENESS],
        )

    @property
    def columns(self) -> str:
        return ", ".join(["ts", *self.keys, "rollup_count", "min_v", "max_v", "sum_v", "count_v"])

    def truth(self, where: str = "true") -> str:
        """The same columns by GROUP BY over the source, without the core's help."""
        keys = "".join(f", {key}" for key in self.keys)
        grouped = ", ".join(str(n + 1) for n in range(1 + len(self.keys)))
        return (
            f"select * from (select date_bin('{self.width}', ts, "
            f"'2000-01-03 00:00:00+00') as ts{keys}, count(*) as rollup_count, min(v) as min_v, "
            f"max(v) as max_v, sum(v) as sum_v, count(v) as count_v "
            f"from {SOURCE} where isfinite(ts) group by {grouped}) s where {where}"
        )

    def differences(self, relation: str, where: str = "true") -> str:
        """The bag difference of truth and relation: n > 0 is missing there, n < 0 too many."""
        return (
            f"select sum(side) as n, {self.columns} from ("
            f"select 1 as side, {self.columns} from ({self.truth(where)}) e union all "
            f"select -1, {self.columns} from {relation} where {where}) q "
            f"group by {self.columns} having sum(side) <> 0 order by ts limit 12"
        )

    def live_differences(self) -> str:
        return self.differences(f"{self.target}_live")


# Narrow buckets, so that the frontier takes many steps while the writers write.
LADDER = (
    Level("silver.events_1", SOURCE, "250 milliseconds", ("dev", "site")),
    Level("silver.events_2", "silver.events_1", "1 second", ("dev", "site")),
    Level("silver.events_3", "silver.events_2", "5 seconds", ("dev",)),
)
TOTAL = Level("silver.events_total", SOURCE, "1750 milliseconds", ())
LEVELS = (*LADDER, TOTAL)


def make_source(db: psycopg.Connection[Any], with_default: bool = True) -> None:
    """The source and its history; a default partition takes rows without a time."""
    db.execute(SOURCE_TABLE)
    if with_default:
        db.execute("create table raw.events_none partition of raw.events default")
    db.execute(HISTORY, [HISTORY_SECONDS])
    db.execute("analyze raw.events")


def widen_races(db: psycopg.Connection[Any], functions: Sequence[str], longest_ms: float) -> None:
    """Put random pauses before and after the stages of a step.

    Two statements that run microseconds apart hardly ever have another session's commit between
    them; with pauses they do.
    """
    set_nap(db, longest_ms)
    for function in functions:
        arguments, result, count = db.execute(
            "select pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.pronargs "
            "from pg_proc p where p.pronamespace = 'tsconsole'::regnamespace and p.proname = %s",
            [function],
        ).fetchone()
        passed = ", ".join(f"${n + 1}" for n in range(count))
        call = f"tsconsole.{function}_itself({passed})"
        body = f"perform {call};" if result == "void" else f"result := {call};"
        declared = "" if result == "void" else f"declare result {result}; "
        leave = "" if result == "void" else " return result;"
        db.execute(f"alter function tsconsole.{function} rename to {function}_itself")
        db.execute(
            f"create function tsconsole.{function}({arguments}) returns {result} "
            f"language plpgsql volatile as $$ {declared}begin perform stress.nap(); {body} "
            f"perform stress.nap();{leave} end $$"
        )


def set_nap(db: psycopg.Connection[Any], longest_ms: float) -> None:
    db.execute(
        "create or replace function stress.nap() returns void language plpgsql volatile as $$ "
        f"begin if random() < 0.4 and {longest_ms} > 0 then "
        f"perform pg_sleep(random() * {longest_ms} / 1000.0); end if; end $$"
    )


STAGES = ("claim", "choose_range", "absorb_late", "settle")
