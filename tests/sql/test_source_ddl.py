"""DDL on a source: prepared, refreshed, in one transaction or in several, and without prepare."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from .support import (
    assert_same,
    assert_verified,
    column,
    create,
    create_ladder,
    make_recent_readings,
    monitor,
    perform,
    refuse,
    run,
    value,
)

Connect = Callable[..., psycopg.Connection]
PREPARE = "select silver.prepare_source_ddl('raw.readings')"
REFRESH = "select silver.refresh_source('raw.readings')"
OLD = "(select min(ts) + interval '90 min' from raw.readings)"
PENDING = """
    select coalesce(jsonb_object_agg(kind, n), '{}')
    from (select kind, count(*) as n from tsconsole.pending_1 group by 1) p
"""


@pytest.fixture
def ladder(db: psycopg.Connection) -> psycopg.Connection:
    make_recent_readings(db, 3000)
    db.execute("alter table raw.readings add column unused integer")
    create_ladder(
        db, "raw.readings", "r", ["1 hour", "1 day"],
        dimensions=["site", "upper(device) as machine"],
        measures={"temperature": ["min", "avg", "last"], "power": ["max", "avg"]},
    )  # fmt: skip
    run(db)
    return db


def assert_exact(db: psycopg.Connection, *, time: str = "ts", site: str = "site",
                 device: str = "device", temperature: str = "temperature",
                 power: str = "power") -> None:  # fmt: skip
    """Both live views equal GROUP BY, and both tables wherever nothing is pending."""
    for level, width in {"r_1h": "1 hour", "r_1d": "1 day"}.items():
        assert_same(
            db,
            f"select date_bin('{width}', {time}, '2000-01-03 00:00Z'), {site}, upper({device}), "
            f"count(*), min({temperature}), avg({temperature}), "
            f"silver.last_value({temperature}, {time}), max({power}), avg({power})::numeric "
            "from raw.readings group by 1, 2, 3",
            f"select {time}, site, machine, rollup_count, min_temperature, avg_temperature, "
            f"last_temperature, max_power, avg_power from silver.{level}_live",
        )
    assert_verified(db, "silver.r_1h")
    assert_verified(db, "silver.r_1d")


def assert_tracked(db: psycopg.Connection, time: str = "ts") -> None:
    """A late row is logged, and reaches both levels."""
    db.execute(
        f"insert into raw.readings ({time}) select min({time}) + interval '5 h' from raw.readings"
    )
    assert value(db, "select count(*) from tsconsole.pending_1 where kind = 'l'") >= 1
    run(db)


def test_what_stands_in_the_way_is_away(ladder: psycopg.Connection) -> None:
    ladder.execute("grant select on silver.r_1h_live to public")
    with ladder.transaction():
        ladder.execute(PREPARE)
        ladder.execute(
            "alter table raw.readings drop column unused; "
            "alter table raw.readings rename column power to strength; "
            "alter table raw.readings rename column ts to taken"
        )
        renames = '{"power": "strength", "ts": "taken"}'
        assert value(ladder, "select silver.refresh_source('raw.readings', %s)", [renames]) == 0
    assert value(ladder, PENDING) == {}
    assert_exact(ladder, time="taken", power="strength")
    assert_tracked(ladder, "taken")
    assert_exact(ladder, time="taken", power="strength")
    assert value(ladder, "select has_table_privilege('public', 'silver.r_1h_live', 'select')")
    assert monitor(ladder, "silver.r_1h")["health_status"] == "OK"


def test_a_wider_type(ladder: psycopg.Connection) -> None:
    notices: list[str] = []
    ladder.add_notice_handler(lambda said: notices.append(said.message_primary or ""))
    with ladder.transaction():
        ladder.execute(PREPARE)
        ladder.execute(
            "alter table raw.readings alter column power type bigint, alter column site type bigint"
        )
        queued = value(ladder, REFRESH)
    # ALTER TYPE … USING can change values, so what was rewritten is computed again.
    assert queued > 0 and any("rewritten" in notice for notice in notices)
    assert_exact(ladder)
    run(ladder)
    ladder.execute(f"insert into raw.readings values ({OLD}, 'd1', 5e9::bigint, 1, 7e9::bigint)")
    assert_exact(ladder)
    run(ladder)
    assert_exact(ladder)
    assert value(ladder, "select max(max_power) from silver.r_1d") == 7 * 10**9


def test_a_wider_type_that_left_the_values_alone(ladder: psycopg.Connection) -> None:
    with ladder.transaction():
        ladder.execute(PREPARE)
        ladder.execute("alter table raw.readings alter column power type numeric")
        ladder.execute("select silver.refresh_source('raw.readings', recompute := false)")
    assert value(ladder, PENDING) == {}
    assert_exact(ladder)
    assert_tracked(ladder)
    assert_exact(ladder)


def test_values_changed_by_the_transaction_itself(ladder: psycopg.Connection) -> None:
    with ladder.transaction():
        ladder.execute(PREPARE)
        ladder.execute("update raw.readings set power = power + 1")
        assert value(ladder, REFRESH) > 0
    assert_exact(ladder)
    run(ladder)
    assert_exact(ladder)


def test_in_several_transactions(ladder: psycopg.Connection, connect: Connect) -> None:
    notices: list[str] = []
    ladder.add_notice_handler(lambda said: notices.append(said.message_primary or ""))
    watermark = value(
        ladder, "select max(last_processed_time) from silver.timeseries_rollup_config"
    )
    ladder.execute(PREPARE)
    health = monitor(ladder, "silver.r_1h")
    assert health["health_status"] == "WARNING"
    assert "silver.refresh_source('raw.readings')" in health["health_reason"]
    connect().execute(
        f"insert into raw.readings values ({OLD}, 'd1', 0, -50, 5000), "
        f"({OLD} - interval '70 days', 'new', 0, 1, 1); "
        "delete from raw.readings where device = 'd2' and "
        "ts < (select min(ts) + interval '71 days' from raw.readings)"
    )
    # No step, no reader, no live view meanwhile.
    assert [outcome for _, outcome, *_ in perform(ladder)] == ["idle", "idle"]
    assert value(ladder, "select count(*) from tsconsole.due_rollups()") == 0
    assert watermark == value(
        ladder, "select max(last_processed_time) from silver.timeseries_rollup_config"
    )
    refuse(
        ladder, "select silver.create_rollup_table('raw.readings', 'x', '1 hour')", None,
        "TS005", "prepared",
    )  # fmt: skip
    refuse(ladder, "select * from silver.live(null::silver.r_1d)", None, "TS005", "away")
    assert value(ladder, REFRESH) > 0
    assert any("late changes were not logged" in notice for notice in notices)
    assert set(value(ladder, PENDING)) == {"r"}
    assert_exact(ladder)
    run(ladder)
    assert_exact(ladder)
    assert_tracked(ladder)
    assert monitor(ladder, "silver.r_1h")["health_status"] == "OK"


def test_a_step_in_hand_does_not_slip_through(ladder: psycopg.Connection) -> None:
    ladder.execute(f"insert into raw.readings values ({OLD}, 'd1', 0, -50, 5000)")
    ladder.execute(PREPARE)
    outcome = value(ladder, "select outcome from tsconsole.try_work(1, 'recompute')")
    assert outcome == "busy"
    assert value(ladder, "select count(*) from silver.timeseries_error_log") == 0


def test_a_rename_without_prepare(ladder: psycopg.Connection) -> None:
    ladder.execute(
        "alter table raw.readings rename column temperature to heat; "
        'alter table raw.readings rename column device to "Gerät"; '
        "alter table raw.readings rename column ts to site_time; "
        "alter table raw.readings rename column site to place"
    )
    ladder.execute(
        "insert into raw.readings select site_time, 'zz', 1, 2, 3 from raw.readings limit 50"
    )
    assert [step[1] for step in perform(ladder)] == ["failed", "idle"]
    said = refuse(ladder, REFRESH, None, "TS001", "no longer fits")
    for name in ("temperature", "machine", "site"):
        assert name in said.message_detail
    renames = '{"temperature": "heat", "device": "Gerät", "ts": "site_time", "site": "place"}'
    ladder.execute("select silver.refresh_source('raw.readings', %s)", [renames])
    names = {"time": "site_time", "site": "place", "device": '"Gerät"', "temperature": "heat"}
    assert_exact(ladder, **names)
    run(ladder)
    assert_exact(ladder, **names)
    assert_tracked(ladder, "site_time")
    assert_exact(ladder, **names)


def test_columns_that_changed_names_with_each_other(ladder: psycopg.Connection) -> None:
    ladder.execute(
        "alter table raw.readings rename column temperature to x; "
        "alter table raw.readings rename column power to temperature; "
        "alter table raw.readings rename column x to power"
    )
    renames = '{"power": "temperature", "temperature": "power"}'
    ladder.execute("select silver.refresh_source('raw.readings', %s)", [renames])
    assert_exact(ladder, temperature="power", power="temperature")
    assert_tracked(ladder)
    assert_exact(ladder, temperature="power", power="temperature")


@pytest.mark.parametrize(
    ("renames", "message"),
    [
        ('{"power": "nothing"}', "no column nothing"),
        ('{"power": null}', "no column null"),
        ('{"power": "unused"}', "was not renamed"),
        ("[]", "not a JSON object"),
    ],
)
def test_renames_that_did_not_happen(
    ladder: psycopg.Connection, renames: str, message: str
) -> None:
    refuse(ladder, "select silver.refresh_source('raw.readings', %s)", [renames], "TS001", message)


def test_a_measure_that_is_gone_is_dropped_first(ladder: psycopg.Connection) -> None:
    ladder.execute(PREPARE)
    ladder.execute("alter table raw.readings drop column power")
    said = refuse(ladder, REFRESH, None, "TS001", "no longer fits")
    assert "column power of measure max_power is gone" in said.message_detail
    assert "drop_measures" in (said.message_hint or "")
    for level in ("1d", "1h"):
        ladder.execute(
            f"select silver.drop_measures('silver.r_{level}', "
            '\'{"power": ["max", "avg", "sum", "count"]}\')'
        )
    ladder.execute(REFRESH)
    run(ladder)
    assert_verified(ladder, "silver.r_1h")
    assert value(ladder, "select sum(rollup_count) from silver.r_1d_live") == 3000


def test_the_time_column_keeps_its_type(db: psycopg.Connection) -> None:
    db.execute("create table raw.readings (ts timestamp, v integer)")
    db.execute("create index on raw.readings (ts); insert into raw.readings values (now(), 1)")
    create(db, "raw.readings", "r_1h", "1 hour")
    db.execute(PREPARE)
    db.execute("alter table raw.readings alter column ts type timestamptz")
    refuse(db, REFRESH, None, "TS004", "timestamp with time zone now")
    db.execute("alter table raw.readings alter column ts type timestamp")
    db.execute(REFRESH)
    run(db)
    assert_verified(db, "silver.r_1h")


@pytest.mark.parametrize("tracking", ["look_back", "none"])
def test_sources_without_triggers(db: psycopg.Connection, tracking: str) -> None:
    make_recent_readings(db)
    create(db, "raw.readings", "r_1h", "1 hour", change_tracking=tracking,
           look_back_window="1 day", measures={"power": ["sum"]}, dimensions=[])  # fmt: skip
    run(db)
    db.execute(PREPARE)
    db.execute("alter table raw.readings rename column power to strength")
    db.execute("select silver.refresh_source('raw.readings', '{\"power\": \"strength\"}')")
    run(db)
    assert_verified(db, "silver.r_1h")
    assert value(db, "select sum(sum_power) from silver.r_1h_live") == value(
        db, "select sum(strength) from raw.readings"
    )


def test_partitions_in_one_transaction(db: psycopg.Connection) -> None:
    db.execute(
        "create table raw.readings (ts timestamptz, device text, power integer) "
        "partition by range (ts); "
        "create table raw.old partition of raw.readings "
        "for values from (minvalue) to ('2026-01-01'); "
        "create table raw.new partition of raw.readings "
        "for values from ('2026-01-01') to (maxvalue); "
        "create index on raw.readings (ts); insert into raw.readings select "
        "timestamptz '2025-12-30' + i * interval '1 min', 'a', i from generate_series(1, 5000) i"
    )
    create(db, "raw.readings", "r_1h", "1 hour", dimensions=["device"])
    run(db)
    with db.transaction():
        db.execute(PREPARE)
        db.execute("alter table raw.readings alter column power type bigint")
        db.execute("select silver.refresh_source('raw.readings', recompute := false)")
    run(db)
    assert value(db, PENDING) == {}
    assert (
        value(db, "select count(*) from silver.timeseries_refresh_log where work = 'recompute'")
        == 0
    )
    db.execute("insert into raw.old values ('2025-12-30 12:00Z', 'b', 5)")
    assert value(db, PENDING) == {"l": 1}
    assert value(db, "select count(*) from pg_trigger where tgname like 'tsconsole%'") == 12
    run(db)
    assert_verified(db, "silver.r_1h")


def test_refusals(ladder: psycopg.Connection) -> None:
    ladder.execute("create table raw.other (ts timestamptz)")
    for function in ("prepare_source_ddl", "refresh_source"):
        refuse(ladder, f"select silver.{function}('silver.r_1h')", None, "TS004", "a rollup")
        refuse(
            ladder, f"select silver.{function}('raw.other'::regclass)", None, "TS002", "no rollup"
        )
    ladder.execute("create view raw.mine as select * from silver.r_1d_live")
    refuse(ladder, PREPARE, None, "TS004", "r_1d_live")
    assert column(ladder, "select count(*) from tsconsole.prepared_source") == [0]


def test_a_step_that_was_prepared_before_the_triggers_went_waits(
    ladder: psycopg.Connection,
) -> None:
    """Between its two transactions an operator may have prepared DDL: it does nothing."""
    ladder.execute(f"update raw.readings set temperature = 1 where ts < {OLD}")
    rollup = value(ladder, "select id from silver.timeseries_rollup_config order by id limit 1")
    step = ladder.execute("select outcome, work from tsconsole.prepare_step(%s)", [rollup])
    assert step.fetchall() == [("ready", "recompute")]
    ladder.execute(PREPARE)
    assert (
        value(ladder, f"select outcome from tsconsole.execute_step({rollup}, null, 'recompute')")
        == "idle"
    )
    assert value(ladder, "select count(*) from silver.timeseries_error_log") == 0
    ladder.execute(REFRESH)
    run(ladder)
    assert_exact(ladder)


def test_a_time_column_that_was_renamed_unprepared_is_named(db: psycopg.Connection) -> None:
    """Its triggers are there all the time; it is not they that the error is about."""
    make_recent_readings(db)
    create(db, "raw.readings", "r", "1 hour", dimensions=["device"])
    run(db)
    db.execute("alter table raw.readings rename column ts to taken")
    db.execute("insert into raw.readings select now() - interval '3 hours', 'a', 1, 1")
    assert "source raw.readings has no column ts any more" in str(perform(db))
    hint = value(db, "select error_hint from silver.timeseries_error_log")
    assert """select silver.refresh_source('raw.readings', '{"ts": "new name"}');""" in hint
    db.execute("""select silver.refresh_source('raw.readings', '{"ts": "taken"}')""")
    db.execute("select silver.retry_rollup('silver.r')")
    run(db)
    assert_verified(db, "silver.r")
