"""The console on a database in a known state, under a clock that stands still."""

from __future__ import annotations

import atexit
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any


def temporary_folder(name: str) -> str:
    """A folder that is gone when the tests are."""
    path = tempfile.mkdtemp(prefix=f"tsconsole-{name}-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


# Before Textual is imported: it reads the environment when it is.
for _name in [n for n in os.environ if n == "NO_COLOR" or n.startswith("TEXTUAL")]:
    if _name != "TEXTUAL_SNAPSHOT_TEMPDIR":
        del os.environ[_name]
# The snapshot plugin sets this before its workers start, and wants it in each of them.
if "TEXTUAL_SNAPSHOT_TEMPDIR" not in os.environ:
    os.environ["TEXTUAL_SNAPSHOT_TEMPDIR"] = temporary_folder("pictures")
# What the operator of this machine is shown is left alone.
os.environ["XDG_STATE_HOME"] = temporary_folder("state")
os.environ.update(TZ="UTC", LC_ALL="C.UTF-8", TERM="xterm-256color", COLORTERM="truecolor")
time.tzset()

# Not at the top (E402): Textual reads the environment, set above, when it is imported.
import psycopg  # noqa: E402
import pytest  # noqa: E402
from pytest_textual_snapshot import node_to_report_path  # noqa: E402
from textual.app import App  # noqa: E402

from console.pictures import difference, export_screenshot  # noqa: E402
from console.states import FixedServer, failing, healthy  # noqa: E402
from tsconsole.actions.action import write_keys_plainly  # noqa: E402
from tsconsole.app import TsConsole  # noqa: E402
from tsconsole.config import ConsoleConfig  # noqa: E402
from tsconsole.database import Settings  # noqa: E402

MakeConsole = Callable[..., TsConsole]


@pytest.fixture
def snap_compare(
    snap_compare: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., bool]:
    """Compares pictures by what is seen, and says what differs."""
    monkeypatch.setattr(App, "export_screenshot", export_screenshot)

    def compare(*arguments: Any, **options: Any) -> bool:
        same: bool = snap_compare(*arguments, **options)
        if not same:
            kept = pickle.loads(node_to_report_path(request.node).read_bytes())
            print(difference(kept[1], kept[2]))
        return same

    return compare


@pytest.fixture
def fixed_server(monkeypatch: pytest.MonkeyPatch) -> FixedServer:
    """A server on which it is always the same time."""
    return FixedServer(monkeypatch)


@pytest.fixture
def console(database: str) -> Iterator[MakeConsole]:
    """Makes consoles on `database` whose own clock stands still."""

    def make(dsn: str = database, **options: Any) -> TsConsole:
        config = ConsoleConfig(theme=options.pop("theme", None))
        settings = Settings(dsn=dsn, origin="--dsn", connect_timeout=2.0)
        fixed: dict[str, Any] = {"clock": lambda: 1000.0, "ticks": False}
        return TsConsole(settings, config, **(fixed | options))

    yield make
    write_keys_plainly(False)


@pytest.fixture
def billing(db: psycopg.Connection) -> psycopg.Connection:
    """A source of two days of readings, and a view over it that can be made to fail."""
    db.execute("""
        create table raw.billing (
            ts timestamptz not null, account_id int, amount float8, parts int);
        insert into raw.billing
        select date_trunc('hour', now()) - i * interval '10 minutes', i % 5, i, 2
          from generate_series(1, 288) as i;
        create index on raw.billing (ts);
        create view raw.ratio as select ts, account_id, amount / parts as ratio from raw.billing;
        analyze raw.billing;
    """)
    return db


@pytest.fixture
def rollups(billing: psycopg.Connection) -> psycopg.Connection:
    """Two rollups of that source, which have not run yet."""
    for width in ("1h", "1d"):
        billing.execute(
            "select silver.create_rollup_table('raw.billing', %s, %s::interval)",
            [f"silver.b_{width}", width],
        )
    return billing


@pytest.fixture
def ill(
    console: MakeConsole,
    db: psycopg.Connection,
    connect: Callable[..., psycopg.Connection],
    fixed_server: FixedServer,
) -> MakeConsole:
    """A console on a database where two rollups fail."""
    fixed_server.t0 = failing(db, connect)
    return console


@pytest.fixture
def well(console: MakeConsole, db: psycopg.Connection, fixed_server: FixedServer) -> MakeConsole:
    """A console on a database where nothing is wrong, and nothing runs."""
    fixed_server.t0 = healthy(db)
    return console
