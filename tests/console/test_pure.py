"""What the console computes without widgets: names, order, filter, summary, form, polling."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsconsole.background import jobs
from tsconsole.background.operation import Background, Result
from tsconsole.errors import ConnectionLost, OperationError
from tsconsole.formatting import age, break_sql, countdown, fit_names, size, when
from tsconsole.health import summarize
from tsconsole.models import (
    Health,
    LadderRequest,
    Outcome,
    RollupRequest,
    RollupStatus,
    SourceColumn,
    StepResult,
)
from tsconsole.polling import Poller, PollFailure
from tsconsole.presentation import create_form
from tsconsole.presentation.create_form import Form, parse_width
from tsconsole.presentation.ladder import ladder_of
from tsconsole.presentation.monitor_view import View, visible
from tsconsole.presentation.once import Once
from tsconsole.widgets.errors_pane import group_errors

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=timezone.utc)


def rollup(name: str, health: Health = "OK", **values: Any) -> RollupStatus:
    base = RollupStatus(
        id=abs(hash(name)), source_table="raw.x", target_table=name, status="idle",
        started_at=None, last_processed_time=NOW, last_processed_rows=1, retry_count=0,
        last_error_time=None, next_retry_time=None, health_status=health,
        latest_error=None, avg_duration=None, success_rate=None, health_reason="up to date",
        lag=timedelta(seconds=10), pending_ranges=0, worker_pid=None, rollup_interval="00:01:00",
        max_retries=8, backfill_fraction=None, rows_per_second=None, last_duration=None,
    )  # fmt: skip
    return replace(base, **values)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.from_regex(r"(silver|gold)\.[a-z]{1,30}_(1m|1h|1d)", fullmatch=True), unique=True),
    st.integers(8, 40),
)
def test_shortened_names_stay_apart(names: list[str], width: int) -> None:
    shortened = fit_names(names, width)
    assert set(shortened) == set(names)
    assert len(set(shortened.values())) == len(names)


def test_ages_and_sizes() -> None:
    assert age(timedelta(days=400)) == "400 d"
    assert age(timedelta(seconds=-5)) == "-5 s"
    assert age(None) == "·"
    assert countdown(timedelta(0)) == "now"
    assert size(1023.6 * 1024) == "1.0 MB"
    assert when(NOW - timedelta(hours=2), NOW) == "10:00"
    assert when(NOW - timedelta(days=2), NOW) == "03-12 12:00"
    assert when(NOW - timedelta(days=2), NOW, is_brief=True) == "03-12"
    assert when(NOW - timedelta(days=900), NOW).startswith("2023-")


def test_a_query_is_broken_at_its_clauses_and_nowhere_else() -> None:
    query = """select 'x from y', "odd where" from t where a = 'it''s from' group by 1"""
    broken = break_sql(query)
    assert broken.splitlines() == [
        """select 'x from y', "odd where\"""", "from t", "where a = 'it''s from'", "group by 1",
    ]  # fmt: skip
    assert broken.replace("\n", " ") == query


def test_worst_first_and_the_filter() -> None:
    rollups = [
        rollup("silver.a_1m"),
        rollup("silver.b_1m", "WARNING", lag=timedelta(minutes=5)),
        rollup("silver.c_1m", "ALERT"),
        rollup("silver.d_1m", "WARNING", lag=timedelta(minutes=9)),
    ]

    def names(view: View) -> list[str]:
        return [r.target_table[7] for r in visible(rollups, view)]

    assert names(View()) == ["c", "d", "b", "a"]
    assert names(View(is_reversed=True)) == ["a", "b", "d", "c"]
    assert names(View(problems_only=True)) == ["c", "d", "b"]
    assert names(View(filter="b_1m")) == ["b"]
    assert names(View(filter="warning !b_1m")) == ["d"]
    assert names(View().next_order()) == ["a", "b", "c", "d"]


def test_the_worst_lag_allows_for_the_bucket() -> None:
    daily = rollup("silver.x_1d", lag=timedelta(hours=12), rollup_interval="1 day")
    late = rollup("silver.x_1m", lag=timedelta(hours=1))
    summary = summarize([daily, late], [])
    assert summary.worst_lag_target == "silver.x_1m"
    assert summary.counts["OK"] == 2


def test_the_ladder_from_its_source_up() -> None:
    rollups = [
        rollup("silver.x_1h", source_table="silver.x_1m"),
        rollup("silver.x_1m"),
        rollup("silver.x_1d", source_table="silver.x_1h"),
        rollup("silver.other", source_table="raw.y"),
    ]
    rungs = ladder_of(rollups, "silver.x_1h")
    assert [(rung.depth, rung.name) for rung in rungs] == [
        (0, "raw.x"), (1, "silver.x_1m"), (2, "silver.x_1h"), (3, "silver.x_1d"),
    ]  # fmt: skip


def test_equal_errors_are_one_row() -> None:
    from console.states import error_entry

    errors = [error_entry(3, "a"), error_entry(2, "b"), error_entry(1, "a")]
    assert [(g.latest.id, g.count) for g in group_errors(errors)] == [(3, 2), (2, 1)]


@pytest.mark.parametrize(
    ("text", "suffix"),
    [("1m", "1m"), ("90 s", "90s"), ("1h30m", "90m"), ("01:00:00", "1h"), ("7 days", "1w"),
     ("1 mon", "1mon"), ("1 year", "1y"), ("500ms", "500ms")],
)  # fmt: skip
def test_bucket_widths(text: str, suffix: str) -> None:
    width = parse_width(text)
    assert not isinstance(width, str)
    assert width.suffix == suffix


@pytest.mark.parametrize("text", ["0s", "-1m", "1 mon 2 days", "often", "1", "1 lightyear"])
def test_widths_that_are_none(text: str) -> None:
    assert isinstance(parse_width(text), str)


COLUMNS = (
    SourceColumn("ts", "timestamp with time zone", "time", ("min", "max"), True),
    SourceColumn("device", "integer", "dimension", ("min", "max", "avg"), False),
    SourceColumn("t", "double precision", "measure", ("min", "max", "avg", "sum", "count"), False),
    SourceColumn("state", "text", "dimension", ("mode",), False),
)


def proposed(**values: Any) -> Form:
    return replace(create_form.propose(Form(), "raw.readings", False, COLUMNS, set()), **values)


def test_the_form_proposes() -> None:
    form = proposed()
    assert form.target == "silver.readings_1m"
    assert form.dimensions == ("device", "state")
    assert create_form.check(form, set()) == {}
    wanted = create_form.request(form)
    assert isinstance(wanted, RollupRequest)
    assert wanted.measures == {"t": ["min", "max", "avg", "sum", "count"]}
    taken = {"silver.readings_1m"}
    assert create_form.propose_target(form, taken) == "silver.readings_2_1m"


def test_several_intervals_are_a_ladder() -> None:
    form = proposed(intervals="1m, 1h, 1d", target="silver.r", retention="30d, , 1y")
    assert create_form.check(form, set()) == {}
    wanted = create_form.request(form)
    assert isinstance(wanted, LadderRequest)
    assert wanted.rollup_intervals == ["1 minutes", "1 hours", "1 days"]
    assert wanted.retention_periods == ["30 days", None, "1 years"]
    assert create_form.names_of(form) == ["silver.r_1m", "silver.r_1h", "silver.r_1d"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"intervals": "0s"}, "intervals"),
        ({"intervals": "7m, 1h"}, "intervals"),
        ({"intervals": "1h, 1m"}, "intervals"),
        ({"intervals": ""}, "intervals"),
        ({"target": " "}, "target"),
        ({"target": "silver." + "x" * 64}, "target"),
        ({"target": "silver.taken"}, "target"),
        ({"timezone": ""}, "timezone"),
        ({"look_back": "soon"}, "look_back"),
        ({"retention": "1d, 2d"}, "retention"),
        ({"time_column": None}, "time_column"),
    ],
)
def test_the_form_says_what_is_wrong_where(values: dict[str, Any], field: str) -> None:
    assert list(create_form.check(proposed(**values), {"silver.taken"})) == [field]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("There is no time zone 'Mars'", "timezone"),
        ("Target silver.x exists already", "target"),
        ("Rollup_interval 00:00:00 is zero", "intervals"),
        ("Dimension 'x' is neither a column", "dimensions"),
        ("Role op may not read source raw.x", "source"),
    ],
)
def test_a_refusal_is_shown_beside_its_field(message: str, field: str) -> None:
    assert create_form.field_of(message) == field


def step(outcome: Outcome, **values: Any) -> StepResult:
    base = StepResult(
        "silver.x", "frontier", outcome, NOW, NOW, 10, 2, timedelta(seconds=1), None, None
    )
    return replace(base, **values)


def test_runs_are_concluded_in_one_sentence() -> None:
    done = jobs.conclude_run([step("done"), step("idle", rows_read=None, rows_written=None)])
    assert done.message == "1 step, 10 rows read, 2 written, 1.0 s"
    failed = jobs.conclude_run([step("done"), step("failed", error_message="no\nluck")])
    assert (failed.message, failed.severity) == ("failed: no luck", "error")
    assert "another worker" in jobs.conclude_run([step("busy")]).message
    assert jobs.conclude_run([]).message == "nothing to do"


def test_nothing_is_computed_again_for_the_same_objects() -> None:
    calls: list[list[int]] = []

    def total(rows: list[int], more: int) -> int:
        calls.append(rows)
        return sum(rows) + more

    once, rows = Once(total), [1, 2]
    assert [once(rows, 1), once(rows, 1), once([1, 2], 1), once(rows, 2)] == [4, 4, 4, 5]
    assert len(calls) == 3


async def test_polls_never_overlap_and_wait_longer_after_each_failure() -> None:
    at_once = most = 0
    outcomes: list[object] = []
    failing = False

    async def fetch() -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        if failing:
            raise ConnectionLost("gone")
        return 1

    poller: Poller[int] = Poller(fetch, outcomes.append, outcomes.append, interval=0.001)
    task = asyncio.create_task(poller.run())
    await asyncio.sleep(1.0)  # Each poll is followed by a pause of four times its length.
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert most == 1
    assert len(outcomes) > 3

    failing = True
    delays = [await poller.poll_once() for _ in range(8)]
    assert delays == sorted(delays) and delays[0] == 1.0 and delays[-1] == 30.0
    failure = outcomes[-1]
    assert isinstance(failure, PollFailure) and failure.is_lost and failure.attempt == 8


async def test_one_failed_poll_is_no_news() -> None:
    outcomes: list[object] = []
    answers = iter([OperationError("no table"), 1, OperationError("no"), OperationError("no")])

    async def fetch() -> int:
        answer = next(answers)
        if isinstance(answer, OperationError):
            raise answer
        return answer

    poller: Poller[int] = Poller(fetch, outcomes.append, outcomes.append)
    for _ in range(4):
        await poller.poll_once()
    assert outcomes[0] == 1
    assert [type(outcome) for outcome in outcomes[1:]] == [PollFailure]


async def test_held_polls_wait_to_be_asked() -> None:
    polls = 0

    async def fetch() -> None:
        nonlocal polls
        polls += 1

    poller: Poller[None] = Poller(fetch, lambda _: None, lambda _: None, interval=0.01)
    poller.hold()
    task = asyncio.create_task(poller.run())
    await asyncio.sleep(0.1)
    assert polls == 1
    poller.poke()
    await asyncio.sleep(0.1)
    assert polls == 2
    poller.hold()
    await asyncio.sleep(0.1)
    assert polls > 3
    task.cancel()


async def test_an_operation_ends_in_words_whatever_happens() -> None:
    changes: list[str] = []

    @asynccontextmanager
    async def connect() -> Any:
        yield None

    background = Background(connect, lambda op: changes.append(op.outcome))

    async def refuse(connection: Any, report: Any) -> Result:
        raise OperationError("no", "ask somebody")

    async def break_down(connection: Any, report: Any) -> Result:
        raise ZeroDivisionError("oh")

    async def sleep(connection: Any, report: Any) -> Result:
        report("step 1")
        await asyncio.sleep(60)
        return Result("never")

    refused = await background.perform(background.begin("run", "a"), refuse)
    assert refused.result is not None and refused.result.text == "no\n\nask somebody"
    broken = await background.perform(background.begin("run", "b"), break_down)
    assert broken.outcome == "failed"
    operation = background.begin("run", "c")
    task = asyncio.create_task(background.perform(operation, sleep))
    await asyncio.sleep(0.01)
    assert background.is_busy("run", "c")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert background.operations[operation.id].outcome == "cancelled"
    assert background.running == ()


@pytest.mark.parametrize(
    ("settings", "is_plain"), [({"LC_ALL": "C"}, True), ({"LC_ALL": "C.UTF-8"}, False), ({}, False)]
)
def test_the_locale_says_which_glyphs_there_are(settings: dict[str, str], is_plain: bool) -> None:
    """Asked in a process of its own: Python sets the locale at its start."""
    others = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
    script = "from tsconsole.health import plain_glyphs; print(plain_glyphs())"
    found = subprocess.run(
        [sys.executable, "-c", script], env=others | settings, capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == str(is_plain)
