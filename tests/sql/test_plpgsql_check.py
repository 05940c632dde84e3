"""plpgsql_check finds nothing wrong in any function of the core."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

# Every plpgsql function of the core; a trigger function could only be checked with its table.
CHECK = """
    select p.proname, found.level, found.message, found.lineno, found.query
      from pg_proc as p
      join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
     cross join lateral plpgsql_check_function_tb(
           p.oid, fatal_errors := false, other_warnings := true, extra_warnings := false,
           performance_warnings := false, security_warnings := false) as found
     where p.pronamespace in ('silver'::regnamespace, 'tsconsole'::regnamespace)
       and p.prorettype <> 'trigger'::regtype
     order by 1, 4
"""

COUNT = """
    select count(*) from pg_proc as p join pg_language as l on l.oid = p.prolang
     where l.lanname = 'plpgsql'
       and p.pronamespace in ('silver'::regnamespace, 'tsconsole'::regnamespace)
"""

EXPECTED = {
    # The argument is called so in TimescaleDB, whose queries shall run here.
    'name of parameter "offset" is reserved keyword',
    # Any type is read from its text: that is how first_value and last_value carry it.
    ("timed_value_result", "target type is different type than source type"),
}


def test_every_function_is_clean(
    db: psycopg.Connection, require_extension: Callable[[psycopg.Connection, str], None]
) -> None:
    require_extension(db, "plpgsql_check")
    findings = [
        (name, *finding)
        for name, *finding in db.execute(CHECK).fetchall()
        if finding[1] not in EXPECTED and (name, finding[1]) not in EXPECTED
    ]
    assert not findings, "\n".join(map(str, findings))
    row = db.execute(COUNT).fetchone()
    assert row is not None and row[0] > 20
