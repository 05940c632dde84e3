"""Bad input: one clear sentence, the right SQLSTATE, a hint, and nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sql.support import (
    assert_true_rollup,
    call,
    call_run,
    create,
    create_ladder,
    make_readings,
    perform,
    refuse,
    refuse_create,
    run,
    shared_database,
    state,
    value,
)

READINGS = "raw.readings"


@pytest.fixture
def readings(db: psycopg.Connection) -> psycopg.Connection:
    make_readings(db, 100)
    return db


@pytest.fixture(scope="module")
def laddered(dsn: str, template: str) -> Iterator[psycopg.Connection]:
    """raw.readings with r1h and r1d, for all that is refused and so changes nothing."""
    with shared_database(dsn, template) as db:
        make_readings(db, 100)
        create(db, READINGS, "r1h", "1 hour")
        create(db, "silver.r1h", "r1d", "1 day")
        db.execute("create table raw.other (ts timestamptz)")
        run(db)
        yield db


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "says"),
    [
        ({"rollup_interval": "0"}, "TS001", "rollup_interval 00:00:00 is zero"),
        ({"rollup_interval": "-1 hour"}, "TS001", "is negative"),
        ({"rollup_interval": "1 month 3 days"}, "TS001", "mixes months with days"),
        ({"rollup_interval": None}, "TS001", "rollup_interval null is null"),
        ({"rollup_interval": "7 hours", "timezone": "Europe/Berlin"}, "TS004", "does not divide"),
        ({"target_table_name": ""}, "TS001", "target_table_name is empty"),
        ({"target_table_name": None}, "TS001", "target_table_name is empty"),
        ({"target_table_name": "x" * 80}, "TS001", "has 80 bytes, PostgreSQL allows 63"),
        ({"target_table_name": "ü" * 40}, "TS001", "has 80 bytes"),
        ({"target_table_name": "nowhere.x"}, "TS002", "there is no schema nowhere"),
        ({"target_table_name": "gold."}, "TS001", "is empty"),
        ({"time_column": "nothing"}, "TS001", "has no column nothing"),
        ({"time_column": "device"}, "TS001", "is text, not a time"),
        ({"dimensions": ["nothing"]}, "TS001", "'nothing' is neither a column"),
        ({"dimensions": ["device; drop table raw.readings"]}, "TS001", "nor an expression"),
        ({"dimensions": ["device) from raw.readings--"]}, "TS001", "nor an expression"),
        ({"dimensions": ["(select 1)"]}, "TS001", "nor an expression"),
        ({"dimensions": ["device", "device"]}, "TS001", "would be called device"),
        ({"dimensions": ["ts"]}, "TS001", "would be called ts"),
        ({"dimensions": ["upper(device) as rollup_count"]}, "TS001", "called rollup_count"),
        ({"dimensions": ["upper(device) as ctid"]}, "TS001", "ctid"),
        ({"dimensions": [f"upper(device) as {'x' * 64}"]}, "TS001", "cannot be called xxx"),
        ({"dimensions": [None]}, "TS001", "dimension"),
        ({"dimensions": [""]}, "TS001", "dimension"),
        ({"timezone": "Mars/Olympus"}, "TS001", "there is no time zone 'Mars/Olympus'"),
        ({"timezone": None}, "TS001", "there is no time zone null"),
        ({"timezone": "<X>-0:07"}, "TS001", "is 00:07:00 from UTC, which is no multiple of 15"),
        ({"timezone": "A-1:07B-2,M3.5.0,M10.5.0"}, "TS001", "is no multiple of 15 minutes"),
        ({"measures": {"nothing": ["min"]}}, "TS001", "has no column nothing"),
        ({"measures": {"device": ["avg"]}}, "TS004", "cannot have the aggregate 'avg'"),
        ({"measures": {"power": ["median"]}}, "TS004", "cannot have the aggregate 'median'"),
        ({"measures": {"power": ["x); drop"]}}, "TS004", "cannot have the aggregate"),
        ({"measures": {"power": "min"}}, "TS001", "must be a JSON object of arrays"),
        ({"measures": {"power": [1]}}, "TS001", "must be a JSON object of arrays"),
        ({"measures": '"power"'}, "TS001", "must be a JSON object of arrays"),
        ({"measures": "[]"}, "TS001", "must be a JSON object of arrays"),
        ({"change_tracking": "look_back"}, "TS001", "needs a look_back_window"),
        ({"change_tracking": "psychic"}, "TS001", "change_tracking 'psychic'"),
        ({"partition_manager": "magic"}, "TS001", "there is no partition_manager 'magic'"),
        ({"max_retries": -1}, "TS001", "max_retries is -1"),
        ({"look_back_window": "-1 day"}, "TS001", "negative"),
        ({"allowed_lateness": "-1 s"}, "TS001", "negative"),
        ({"allowed_lateness": "10000 years"}, "TS001", "longer than 1000 years"),
        ({"source_retention": "10000 years"}, "TS001", "longer than 1000 years"),
        ({"refresh_interval": "0"}, "TS001", "zero or negative"),
        ({"processing_window": "0"}, "TS001", "zero or negative"),
        ({"chunk_interval": "-1 day"}, "TS001", "negative"),
        ({"chunk_interval": "59 minutes"}, "TS001", "shorter than a bucket of 01:00:00"),
        ({"chunk_interval": "1 month 2 days"}, "TS001", "chunk_interval"),
        ({"retention_period": "0"}, "TS001", "zero or negative"),
        ({"source_retention": "-1 day"}, "TS001", "negative"),
        ({"max_execution_time": "0"}, "TS001", "zero or negative"),
        ({"alert_threshold": "-1 s"}, "TS001", "negative"),
        ({"source_table_name": None}, "TS001", "is not a table or a view"),
        ({"bucket_origin": "infinity"}, "TS001", "bucket_origin"),
        ({"dimensions": "{{device},{site}}"}, "TS001", "dimensions is an array of arrays"),
    ],
    ids=lambda given: next(iter(given.items())).__repr__()[:50] if isinstance(given, dict) else "",
)  # fmt: skip
def test_create_refuses(
    laddered: psycopg.Connection, arguments: dict[str, Any], sqlstate: str, says: str
) -> None:
    refuse_create(laddered, sqlstate, says, **arguments)


def test_a_null_takes_the_default(readings: psycopg.Connection) -> None:
    options = ("max_retries", "alert_threshold", "allowed_lateness", "max_execution_time",
               "is_active", "refresh_interval", "chunk_interval", "measures")  # fmt: skip
    create(readings, READINGS, "nulls", "1 hour", **dict.fromkeys(options))
    create(readings, READINGS, "plain", "1 hour")
    columns = ", ".join(options[:-1])
    rows = readings.execute(f"select distinct {columns} from silver.timeseries_rollup_config")
    assert len(rows.fetchall()) == 1


@pytest.mark.parametrize(
    "dimension",
    ["count(*)", "row_number() over ()", "unnest('{1,2}'::int[])", "random()", "now()::text",
     "readings::text", "(readings.*)::text", "generate_series(1, site)", "ts::text",
     "current_user", "nextval('tsconsole.schema_history_installed_rank_seq')"],
)  # fmt: skip
def test_create_refuses_a_dimension_that_is_no_value_of_the_row(
    laddered: psycopg.Connection, dimension: str
) -> None:
    refuse_create(laddered, "TS001", "dimension", dimensions=[dimension])


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("a integer", "has no time column that could be found"),
        ("a timestamptz, b timestamptz", "has no time column that could be found"),
        ("", "has no time column that could be found"),
        ("a time, b interval", "has no time column that could be found"),
    ],
)
def test_create_refuses_a_source_without_a_time_column(
    db: psycopg.Connection, columns: str, says: str
) -> None:
    db.execute(f"create table raw.odd ({columns})")
    said = refuse_create(db, "TS001", says, source_table_name="raw.odd")
    assert "time_column" in said.message_hint


def test_create_refuses_what_is_no_table(readings: psycopg.Connection) -> None:
    for relation in ("raw.readings_ts_idx", "tsconsole.schema_history_installed_rank_seq"):
        refuse_create(readings, "TS001", "is not a table or a view", source_table_name=relation)
    before = state(readings)
    with pytest.raises(psycopg.errors.UndefinedTable):
        create(readings, "raw.nothing", "x", "1 hour")
    assert state(readings) == before


def test_create_refuses_a_target_that_exists(readings: psycopg.Connection) -> None:
    create(readings, READINGS, "readings_1h", "1 hour")
    refuse_create(readings, "TS003", "target silver.readings_1h exists already")
    refuse_create(readings, "TS003", "exists already", target_table_name=READINGS)
    refuse_create(
        readings, "TS003", "exists already", target_table_name="silver.timeseries_error_log"
    )
    readings.execute('create view gold."My View" as select 1')
    refuse_create(readings, "TS003", 'gold."My View" exists', target_table_name="gold.My View")


def test_create_refuses_types_that_cannot_be_grouped_or_told_apart(db: psycopg.Connection) -> None:
    db.execute("create table raw.odd (ts timestamptz, j json, p point, v integer)")
    for dimension in ("j", "p"):
        refuse_create(
            db, "TS004", "cannot be grouped", source_table_name="raw.odd", dimensions=[dimension]
        )
    db.execute("create table raw.days (day date, v integer)")
    refuse_create(
        db, "TS001", "is not whole days", source_table_name="raw.days", rollup_interval="1 hour"
    )


def test_a_ladder_refuses_what_cannot_be_exact(readings: psycopg.Connection) -> None:
    create(readings, READINGS, "r1h", "1 hour", dimensions=["device"], measures={
        "power": ["mode", "sum", "first"], "temperature": ["array_agg", "max"]})  # fmt: skip

    def refuse_level(sqlstate: str, says: str, **arguments: Any) -> None:
        usual = {"source_table_name": "silver.r1h", "rollup_interval": "1 day"}
        refuse_create(readings, sqlstate, says, **(usual | arguments))

    refuse_level("TS004", "mode of power", measures={"power": ["mode"]})
    refuse_level("TS004", "min of power", measures={"power": ["min"]})
    refuse_level("TS004", "avg of power", measures={"power": ["avg"]})
    refuse_level("TS004", "array_agg of temp", measures={"temperature": ["array_agg"]})
    refuse_level("TS004", "first of power", dimensions=[], measures={"power": ["first"]})
    refuse_level("TS004", "are not made of whole buckets", rollup_interval="90 minutes")
    refuse_level("TS004", "are not made of whole buckets", rollup_interval="30 minutes")
    refuse_level("TS004", "are not made of whole buckets", timezone="Asia/Kolkata")
    refuse_level("TS004", "are not made of whole buckets", bucket_origin="2000-01-01 00:10Z")
    refuse_level("TS001", "is a measure of", dimensions=["max_temperature"])


def test_a_ladder_is_made_whole_or_not_at_all(readings: psycopg.Connection) -> None:
    def refuse_ladder(sqlstate: str, says: str, **arguments: Any) -> None:
        usual = {
            "source_table_name": READINGS,
            "target_prefix": "r",
            "rollup_intervals": "{1 minute,1 hour}",
        }
        statement, values = call("create_rollup_ladder", usual | arguments)
        refuse(readings, statement, values, sqlstate, says)

    refuse_ladder("TS001", "rollup_intervals is empty", rollup_intervals="{}")
    refuse_ladder("TS001", "rollup_intervals is empty", rollup_intervals=None)
    refuse_ladder("TS001", "an array of arrays", rollup_intervals="{{1 hour},{2 hours}}")
    refuse_ladder("TS001", "2 rollup_intervals and 1 retention", retention_periods="{1 day}")
    refuse_ladder("TS004", "not made of whole", rollup_intervals="{1 hour,1 minute}")
    refuse_ladder("TS003", "exists already", rollup_intervals="{1 hour,60 minutes}")
    refuse_ladder("TS001", "has a null among", rollup_intervals="{1 hour,null}")
    refuse_ladder("TS001", "bytes", target_prefix="x" * 62)
    refuse_ladder("TS001", "target_prefix is null", target_prefix=None)
    refuse_ladder("TS004", "mode of power", measures={"power": ["mode"]})


@pytest.mark.parametrize(
    ("statement", "sqlstate", "says"),
    [
        ("select silver.perform_rollup('nothing')", "TS002", "there is no table nothing"),
        ("select silver.perform_rollup('raw.other')", "TS002", "neither the target nor the source"),
        ("select silver.perform_rollup('a; drop table raw.readings')", "TS002", "there is no"),
        ("select silver.perform_rollup('\"')", "TS002", "there is no table"),
        ("select silver.perform_rollup('')", "TS002", "there is no table"),
        ("select silver.perform_rollup('other.silver.r1h')", "TS002", "there is no table"),
        ("select silver.perform_rollup('a.b.c.d')", "TS002", "there is no table a.b.c.d"),
        ("select silver.log_rollup_success(null, now(), now(), 1)", "TS001", "needs a table"),
        ("select silver.log_rollup_success('t', now(), now(), -1)", "TS001", "needs a table"),
        ("select silver.perform_step('raw.readings')", "TS002", "raw.readings is not a rollup"),
        ("select silver.perform_step(null::text)", "TS002", "null is not a rollup"),
        ("select silver.retry_rollup('raw.readings')", "TS002", "is not a rollup"),
        ("select silver.pause_rollup('raw.readings')", "TS002", "is not a rollup"),
        ("select silver.resume_rollup('raw.readings')", "TS002", "is not a rollup"),
        ("select silver.drop_rollup('raw.readings')", "TS002", "is not a rollup"),
        ("select silver.drop_rollup('nothing')", "TS002", "there is no table nothing"),
        ("select silver.progress('raw.readings')", "TS002", "is not a rollup"),
        ("select silver.verify_rollup('raw.readings')", "TS002", "is not a rollup"),
        ("select silver.verify_rollup('r1h', '2026-01-02', '2026-01-01')", "TS001", "is empty"),
        ("select silver.invalidate('r1h', '2026-01-02', '2026-01-01')", "TS001", "is empty"),
        ("select silver.invalidate('r1h', null, '2026-01-01')", "TS001", "is empty"),
        ("select silver.invalidate('raw.readings', '2026-01-01', '2026-01-02')", "TS002", "not a"),
        ("select silver.bulk_load('raw.readings', '2026-01-01', '2026-01-01')", "TS001", "empty"),
        ("select silver.optimize_chunk_interval('r1h', 0)", "TS001", "target_bytes is 0"),
        ("select silver.optimize_chunk_interval('raw.other')", "TS002", "neither the target"),
        ("select silver.maintain_timeseries_tables('raw.other')", "TS002", "neither the target"),
        ("call silver.run_rollups('nothing')", "TS002", "there is no table nothing"),
        ("call silver.run_rollups('raw.other')", "TS002", "neither the target nor the source"),
        ("select silver.drop_rollup('r1h')", "TS004", "silver.r1h is read by silver.r1d"),
        ("select silver.time_bucket('0', now())", "TS001", "a bucket cannot be 00:00:00 wide"),
        ("select silver.time_bucket('-1 day', now())", "TS001", "a bucket cannot be"),
        ("select silver.time_bucket('1 month 1 day', now())", "TS001", "a bucket cannot be"),
    ],
)  # fmt: skip
def test_every_other_call_refuses(
    laddered: psycopg.Connection, statement: str, sqlstate: str, says: str
) -> None:
    refuse(laddered, statement, None, sqlstate, says)


def test_a_name_that_two_tables_bear_is_refused(readings: psycopg.Connection) -> None:
    create(readings, READINGS, "silver.same", "1 hour")
    create(readings, READINGS, "gold.same", "1 hour")
    said = refuse(readings, "select silver.perform_rollup('same')", None, "TS002", "more than one")
    assert sorted(said.message_detail.split(", ")) == ["gold.same", "silver.same"]
    run(readings, "gold.same")
    assert value(readings, "select count(*) from silver.same") == 0


def test_no_rights_to_read_or_to_create(readings: psycopg.Connection) -> None:
    me = value(readings, "select current_user")
    readings.execute(f"revoke select on raw.readings from {me}")
    said = refuse_create(readings, "42501", f"role {me} may not read source raw.readings")
    assert said.message_hint == f"grant select on raw.readings to {me};"
    readings.execute(
        f"grant select on raw.readings to {me}; revoke create on schema gold from {me}"
    )
    said = refuse_create(
        readings, "42501", "may not create tables in schema gold", target_table_name="gold.x"
    )
    assert said.message_hint == f"grant create, usage on schema gold to {me};"


def test_no_rights_to_lock_the_source(readings: psycopg.Connection) -> None:
    """As on a table of somebody else that may be read and have triggers, and no more."""
    rights = "update, delete, truncate"
    if readings.info.server_version >= 170000:
        rights += ", maintain"
    readings.execute(f"revoke {rights} on raw.readings from current_user")
    refuse_create(readings, "TS004", "may not lock it", change_tracking="trigger")
    create(readings, READINGS, "r1h", "1 hour", look_back_window="10 years")
    assert value(readings, "select change_tracking from silver.timeseries_rollup_config") == (
        "look_back"
    )
    run(readings)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_steps_refuse_another_isolation_level(readings: psycopg.Connection, level: str) -> None:
    create_ladder(readings, READINGS, "r", ["1 minute"])
    readings.execute(f"set default_transaction_isolation = '{level}'")
    for function in ("perform_rollup", "perform_step", "retry_rollup"):
        said = refuse(
            readings, f"select silver.{function}('silver.r_1m')", None, "TS006",
            f"cannot run under isolation level {level}",
        )  # fmt: skip
        assert "read committed" in said.message_hint
    # The procedure sets its own.
    assert {step["outcome"] for step in call_run(readings)} == {"done"}


def test_the_procedure_refuses_to_run_inside_a_transaction(readings: psycopg.Connection) -> None:
    create(readings, READINGS, "r1h", "1 hour")
    before = state(readings)
    with (
        pytest.raises(psycopg.errors.InvalidTransactionTermination),
        readings.transaction(),
    ):
        call_run(readings)
    assert state(readings) == before


@pytest.mark.parametrize(
    "from_time, to_time, said",
    [
        ("2025-03-01 10:20Z", "2025-03-01 11:30Z", "widened to whole buckets"),
        ("2025-03-01 10:00Z", "2025-03-01 11:00Z", None),
        ("-infinity", "infinity", None),
        ("2020-01-01 00:20Z", "2020-01-02Z", "widened to whole buckets"),
        ("2031-01-01 00:20Z", "2031-01-02Z", "is filled up to"),
    ],
)
@pytest.mark.parametrize("function", ["invalidate", "verify_rollup"])
def test_a_range_that_is_not_what_was_asked_for_is_said(
    readings: psycopg.Connection, function: str, from_time: str, to_time: str, said: str | None
) -> None:
    create(readings, "raw.readings", "r", "1 hour")
    run(readings)
    notices: list[str] = []
    readings.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    readings.execute(f"select silver.{function}('silver.r', %s, %s)", [from_time, to_time])
    if said is None:
        assert notices == []
    else:
        assert [said in notice for notice in notices] == [True]


def test_a_value_too_large_for_an_index_fails_steps_and_no_writer(
    readings: psycopg.Connection,
) -> None:
    """The error says what is wrong; nothing is lost, and all goes on when the row is gone."""
    create(readings, "raw.readings", "r", "1 hour", dimensions=["device"])
    run(readings)
    readings.execute(
        "insert into raw.readings (ts, device, power) select '2025-03-01 10:20Z', "
        "string_agg(md5(i::text), ''), 1 from generate_series(1, 32768) i"
    )
    readings.execute("insert into raw.readings (ts, device, power) values ('2025-03-01Z', 'd1', 8)")
    steps = perform(readings)
    assert steps[0][1] == "failed"
    assert "index row" in steps[0][4]
    readings.execute("delete from raw.readings where length(device) > 1000")
    readings.execute("select silver.retry_rollup('silver.r')")
    run(readings)
    assert_true_rollup(readings, "silver.r", "date_trunc('hour', ts, 'UTC')", keys="device")
