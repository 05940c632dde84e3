"""psql on the connection that the console uses, in the console's terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping

from psycopg.conninfo import conninfo_to_dict, make_conninfo


def find_psql() -> str | None:
    """Where psql is; None when it is not on the path."""
    return shutil.which("psql")


def psql_call(
    program: str, conninfo: str, read_only: bool, environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The command and its environment. The password goes into the environment: a command line
    is seen by everybody on the machine.

    >>> call, with_password = psql_call("psql", "host=db password=x", False, {})
    >>> call, with_password
    (['psql', 'host=db'], {'PGPASSWORD': 'x'})
    """
    parts = conninfo_to_dict(conninfo)
    password = parts.pop("password", None)
    if read_only:
        options = f"{parts.get('options') or ''} -c default_transaction_read_only=on"
        parts["options"] = options.strip()
    variables = dict(environment)
    if password is not None:
        variables["PGPASSWORD"] = str(password)
    return [program, make_conninfo(**parts)], variables  # type: ignore[arg-type]


def run_psql(program: str, conninfo: str, read_only: bool) -> int:
    """Run psql until it is left; its exit code."""
    call, variables = psql_call(program, conninfo, read_only, os.environ)
    # ctrl+c reaches everybody in front of the terminal: psql takes it, the console must not.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(call, env=variables, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
