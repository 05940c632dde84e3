"""A worker process: steps rollups in every way there is, until SIGTERM; made to be killed.

Run as `python worker.py <dsn> <seed> <target> …`. What must not happen goes to stderr.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import time
from types import FrameType
from typing import Any

import psycopg

# A cancelled or timed-out step, a lock that another holds, a rollup that is not there yet.
EXPECTED = ("57014", "55P03", "TS002", "TS005", "40P01")

# A backend that is terminated before a rollback has its warning; who must know meets the error.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

is_stopping = False
parent = os.getppid()


def stop(_number: int, _frame: FrameType | None) -> None:
    global is_stopping
    is_stopping = True


def goes_on() -> bool:
    """Not when told to stop, nor when the test itself was killed."""
    return not is_stopping and os.getppid() == parent


def work(db: psycopg.Connection[Any], dice: random.Random, targets: list[str]) -> None:
    target = dice.choice(targets)
    match dice.choices(range(5), (40, 30, 10, 10, 10))[0]:
        case 0:
            db.execute("call silver.run_rollups(null, 1, false, null)")
        case 1:
            db.execute("call silver.run_rollups(%s, 3, false, null)", [target])
        case 2:
            db.execute("set statement_timeout = '3s'")
            db.execute("call silver.run_rollups(null, null, false, null)")
            db.execute("reset statement_timeout")
        case 3:
            with db.transaction(force_rollback=dice.random() < 0.3):
                db.execute("select silver.perform_rollup(%s::regclass)", [target])
        case 4:
            for one in reversed(targets):
                db.execute("select silver.perform_step(%s::regclass)", [one])


def session(dsn: str, dice: random.Random, targets: list[str]) -> None:
    with psycopg.connect(dsn, autocommit=True, application_name="stress-worker") as db:
        db.execute("set client_connection_check_interval = '200ms'")
        while goes_on():
            try:
                work(db, dice, targets)
            except psycopg.Error as error:
                if db.closed:
                    raise
                if error.sqlstate not in (*EXPECTED, "42P01"):
                    print(f"{error.sqlstate}: {error}", file=sys.stderr, flush=True)
            time.sleep(dice.uniform(0, 0.05))


def main(dsn: str, seed: str, *targets: str) -> None:
    signal.signal(signal.SIGTERM, stop)
    dice = random.Random(seed)
    while goes_on():
        try:
            session(dsn, dice, list(targets))
        except psycopg.OperationalError:
            # Terminated, or the server is away for a moment.
            time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
