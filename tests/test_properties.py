"""Random sequences of changes and steps: after each, the live views equal GROUP BY."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytestmark = [pytest.mark.sql, pytest.mark.slow]

Connection = psycopg.Connection[Any]
Operation = tuple[Any, ...]
# Target: bucket width in milliseconds, dimensions, level below.
LEVELS: dict[str, tuple[int, tuple[str, ...], str | None]] = {
    "a": (100, ("dev", "site"), None),
    "b": (400, ("dev",), "a"),
    "c": (1200, (), "b"),
    "d": (300, (), None),
}

# Seconds from the clock: mostly the last two seconds, where the frontier passes.
moments = st.one_of(
    st.floats(-2, 0.1), st.floats(-0.3, 0), st.floats(-40, 0), st.sampled_from([None, 50.0])
)
devices = st.sampled_from([None, 1, 2, 3, 4, 5, 6])
sites = st.sampled_from([None, "x"])
writers = st.sampled_from(["plain", "plain", "open"])
spans = st.sampled_from([0.2, 3.0, 60.0])
targets = st.sampled_from(list(LEVELS))

changes = st.one_of(
    st.tuples(st.just("insert"), writers, st.lists(st.tuples(moments, devices, sites), max_size=7)),
    st.tuples(st.just("same bucket"), writers, st.floats(-3, 0), st.integers(1, 7)),
    st.tuples(st.just("shift"), writers, moments.filter(bool), spans, st.floats(-2, 2)),
    st.tuples(st.just("series"), writers, moments.filter(bool), spans, devices, sites),
    st.tuples(st.just("delete"), writers, moments.filter(bool), spans),
    st.tuples(st.just("bulk load"), writers, st.floats(-20, -1), spans),
    st.tuples(st.just("truncate"), st.sampled_from(["", "_old", "_new"])),
)
control = st.one_of(
    st.tuples(st.sampled_from(["begin", "commit", "rollback"])),
    st.tuples(st.sampled_from(["savepoint s", "rollback to s", "release s"])),
    st.tuples(st.just("invalidate"), targets, st.floats(-40, 0), spans),
    st.tuples(st.sampled_from(["pause", "resume"]), targets),
    st.tuples(st.just("alter"), st.sampled_from(["a", "d"]), st.sampled_from([0, 50, 100, 700])),
    st.tuples(st.sampled_from(["add measure", "drop measure"])),
)
steps = st.one_of(
    st.tuples(st.just("step"), targets),
    st.tuples(st.just("step"), targets),
    st.tuples(st.just("step within"), targets),
    st.tuples(st.just("run")),
)
operations = st.lists(st.one_of(changes, changes, steps, control), min_size=4, max_size=18)


class Sequence:
    """A source with its rollups, and the sessions that change them.

    `plain` commits each statement; `open` has a transaction open between begin and commit;
    `worker` steps, and `reader` looks.
    """

    def __init__(self, connect: Callable[..., Connection], number: int) -> None:
        self.source = f"raw.p{number}"
        self.prefix = f"silver.p{number}"
        self.connect = connect
        self.sessions = {name: connect() for name in ("plain", "open", "worker", "reader")}
        for session in self.sessions.values():
            session.execute("set lock_timeout = '100ms'")
            # A prepared statement that is run again in a transaction takes no notice of a partition
            # that was attached meanwhile: it holds its locks already (see docs/architecture.md).
            session.prepare_threshold = None
        self.db = self.sessions["worker"]

    def create(self) -> None:
        self.db.execute(
            f"create table {self.source} (ts timestamptz, dev integer, site text, v bigint) "
            "partition by range (ts);"
            f"create table {self.source}_none partition of {self.source} default"
        )
        edge = self.db.execute("select (now() - interval '5 s')::text").fetchone()[0]
        for name, bounds in {
            "old": f"(minvalue) to ('{edge}')",
            "new": f"('{edge}') to (maxvalue)",
        }.items():
            self.db.execute(
                f"create table {self.source}_{name} partition of {self.source} "
                f"for values from {bounds}"
            )
        self.db.execute(f"create index on {self.source} (ts)")
        self.db.execute(
            f"insert into {self.source} select now() - random() * interval '40 s', "
            "nullif(i % 7, 0), case when i % 3 = 0 then 'x' end, i from generate_series(1, 150) i"
        )
        for target, (width, keys, below) in LEVELS.items():
            self.db.execute(
                "select silver.create_rollup_table(%s::regclass, %s, %s * interval '1 ms', "
                'dimensions := %s, measures := \'{"v": ["min", "avg"]}\', '
                "allowed_lateness := '100 ms', refresh_interval := '100 ms', "
                "processing_window := '10 s')",
                [
                    self.source if below is None else f"{self.prefix}_{below}",
                    f"{self.prefix}_{target}",
                    width,
                    list(keys),
                ],
            )

    def drop(self) -> None:
        for session in self.sessions.values():
            session.rollback()
        for target in reversed(LEVELS):
            self.db.execute(f"select silver.drop_rollup('{self.prefix}_{target}')")
        self.db.execute(f"drop table {self.source}")
        for session in self.sessions.values():
            session.close()

    def apply(self, operation: Operation) -> None:
        """Do it; what a lock or an aborted transaction forbids is left out."""
        kind, *arguments = operation
        method = getattr(self, "do_" + kind.replace(" ", "_"), None)
        try:
            if method is not None:
                method(*arguments)
            else:
                self.sessions["open"].execute(kind)
        except (
            psycopg.errors.LockNotAvailable,
            psycopg.errors.InFailedSqlTransaction,
            psycopg.errors.InvalidSavepointSpecification,
            psycopg.errors.NoActiveSqlTransaction,
        ):
            self.sessions["open"].execute("rollback")

    def do_begin(self) -> None:
        self.sessions["open"].execute("rollback")
        self.sessions["open"].execute("begin")

    def do_insert(self, writer: str, rows: list[tuple[float | None, int | None, Any]]) -> None:
        for moment, dev, site in rows:
            self.sessions[writer].execute(
                f"insert into {self.source} values "
                "(clock_timestamp() + %s * interval '1 second', %s, %s, 7)",
                [moment, dev, site],
            )

    def do_same_bucket(self, writer: str, moment: float, rows: int) -> None:
        self.sessions[writer].execute(
            f"insert into {self.source} select clock_timestamp() + %s * interval '1 s', "
            "nullif(i, 4), null, i from generate_series(1, %s) i",
            [moment, rows],
        )

    def do_shift(self, writer: str, moment: float, span: float, by: float) -> None:
        self.sessions[writer].execute(
            f"update {self.source} set ts = ts + %s * interval '1 s', v = v + 1 where {WITHIN}",
            [by, moment, moment, span],
        )

    def do_series(
        self, writer: str, moment: float, span: float, dev: int | None, site: str | None
    ) -> None:
        self.sessions[writer].execute(
            f"update {self.source} set dev = %s, site = %s where {WITHIN}",
            [dev, site, moment, moment, span],
        )

    def do_delete(self, writer: str, moment: float, span: float) -> None:
        self.sessions[writer].execute(
            f"delete from {self.source} where {WITHIN}", [moment, moment, span]
        )

    def do_bulk_load(self, writer: str, moment: float, span: float) -> None:
        with self.sessions[writer].transaction():
            self.sessions[writer].execute(
                "select silver.bulk_load(%s::regclass, clock_timestamp() + %s * interval '1 s', "
                "clock_timestamp() + %s * interval '1 s')",
                [self.source, moment, moment + span],
            )
            self.do_same_bucket(writer, moment + span / 2, 3)
            self.do_same_bucket(writer, moment - 0.5, 1)

    def do_truncate(self, partition: str) -> None:
        self.sessions["plain"].execute(f"truncate {self.source}{partition}")

    def do_invalidate(self, target: str, moment: float, span: float) -> None:
        self.db.execute(
            "select silver.invalidate(%s::regclass, now() + %s * interval '1 s', "
            "now() + %s * interval '1 s')",
            [f"{self.prefix}_{target}", moment, moment + span],
        )

    def do_pause(self, target: str) -> None:
        self.db.execute("select silver.pause_rollup(%s::regclass)", [f"{self.prefix}_{target}"])

    def do_resume(self, target: str) -> None:
        self.db.execute("select silver.resume_rollup(%s::regclass)", [f"{self.prefix}_{target}"])

    def nothing_is_open(self) -> bool:
        """Whether a change of definition can be had without waiting for a transaction's end."""
        return all(
            session.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            for session in self.sessions.values()
        )

    def do_alter(self, target: str, lateness: int) -> None:
        """Another allowed lateness."""
        if self.nothing_is_open():
            self.db.execute(
                "select silver.alter_rollup(%s::regclass, allowed_lateness := %s)",
                [f"{self.prefix}_{target}", f"{lateness} ms"],
            )

    def do_add_measure(self) -> None:
        if not self.nothing_is_open():
            return
        self.db.execute(
            'select silver.add_measures(%s::regclass, \'{"v": ["max"]}\') '
            "where not exists (select from tsconsole.rollup_measure m "
            "where m.rollup_id = (tsconsole.rollup(%s::regclass)).id and m.aggregate = 'max')",
            [f"{self.prefix}_d"] * 2,
        )

    def do_drop_measure(self) -> None:
        if not self.nothing_is_open():
            return
        self.db.execute(
            'select silver.drop_measures(%s::regclass, \'{"v": ["max"]}\') '
            "where exists (select from tsconsole.rollup_measure m "
            "where m.rollup_id = (tsconsole.rollup(%s::regclass)).id and m.aggregate = 'max')",
            [f"{self.prefix}_d"] * 2,
        )

    def do_step(self, target: str, session: str = "worker") -> None:
        outcome, said = (
            self.sessions[session]
            .execute(
                "select outcome, error_message from silver.perform_step(%s::regclass)",
                [f"{self.prefix}_{target}"],
            )
            .fetchone()
        )
        assert outcome in ("done", "idle", "busy", "paused"), said

    def do_step_within(self, target: str) -> None:
        """In the transaction that has changed the source, if one is open."""
        self.do_step(target, "open")

    def do_run(self) -> None:
        results = self.db.execute("call silver.run_rollups(%s, 12, true, null)", [self.source])
        assert all(r["outcome"] in ("done", "busy") for r in results.fetchone()[0])

    def check(self, session: str) -> None:
        db = self.sessions[session]
        if db.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            return
        for target in LEVELS:
            found = db.execute(self.difference(target, f"{self.prefix}_{target}_live"))
            rows = found.fetchall()
            assert not rows, f"{session} sees in the live view of {target}: {rows}"

    def difference(self, target: str, relation: str, where: str = "true") -> str:
        """The bag difference of GROUP BY over the source and relation: n < 0 is too many."""
        width, keys, _ = LEVELS[target]
        columns = ", ".join(("ts", *keys, "rollup_count", "min_v", "sum_v", "count_v"))
        return (
            f"select sum(side), {columns} from ("
            f"select 1 as side, date_bin('{width} ms', ts, '2000-01-03 00:00+00') as ts"
            f"{''.join(f', {key}' for key in keys)}, count(*) as rollup_count, min(v) as min_v, "
            f"sum(v) as sum_v, count(v) as count_v from {self.source} where isfinite(ts) group by "
            f"{', '.join(str(n + 2) for n in range(1 + len(keys)))} union all "
            f"select -1, {columns} from {relation}) q where {where} "
            f"group by {columns} having sum(side) <> 0 limit 5"
        )

    def end(self) -> None:
        """All is committed and stepped: stored rows equal GROUP BY, and verify agrees."""
        self.sessions["open"].execute("rollback")
        for target in LEVELS:
            self.do_resume(target)
        self.db.execute("call silver.run_rollups(%s, null, true, null)", [self.source])
        self.check("reader")
        for target in LEVELS:
            name = f"{self.prefix}_{target}"
            mark = f"(tsconsole.rollup('{name}'::regclass)).last_processed_time"
            rows = self.db.execute(self.difference(target, name, f"ts < {mark}")).fetchall()
            assert not rows, f"stored in {target}: {rows}"
            differing = self.db.execute("select * from silver.verify_rollup(%s::regclass)", [name])
            assert not differing.fetchall()
        left = "select pending_ranges, retry_count from silver.timeseries_operations_monitor"
        assert set(self.db.execute(left).fetchall()) == {(0, 0)}


WITHIN = (
    "ts >= clock_timestamp() + %s * interval '1 s' "
    "and ts < clock_timestamp() + (%s + %s) * interval '1 s'"
)


def test_live_views_equal_group_by_after_every_operation(
    connect: Callable[..., Connection],
) -> None:
    numbers = itertools.count()

    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        # The clock goes on: a shorter sequence is another one, and shrinking would take minutes.
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(operations)
    def compare(sequence_of: list[Operation]) -> None:
        sequence = Sequence(connect, next(numbers))
        sequence.create()
        try:
            for operation in sequence_of:
                sequence.apply(operation)
                sequence.check("reader")
                sequence.check("open")
            sequence.end()
        finally:
            sequence.drop()

    compare()
