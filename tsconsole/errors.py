"""Every error a user can meet, as one clear sentence and what to do about it.

psycopg's errors are translated here and nowhere else.
"""

from __future__ import annotations

import re

import psycopg


class TsconsoleError(Exception):
    """An error with a message for people, and a hint that says what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ArgumentError(TsconsoleError):
    """An argument has a value that means nothing."""


class ConfigError(TsconsoleError):
    """The configuration file, or an argument that chooses from it, is wrong."""


class InstallError(TsconsoleError):
    """The core cannot be installed as things are."""


class OperationError(TsconsoleError):
    """PostgreSQL refused or failed an operation."""

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        sqlstate: str | None = None,
        detail: str | None = None,
        context: str | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.sqlstate = sqlstate
        self.detail = detail
        self.context = context


class ConnectionLost(OperationError):
    """There is no server at the other end, or no longer."""


# What libpq says when it cannot connect (it gives no SQLSTATE then), and what to do about it.
_CONNECTION_HINTS = (
    (
        r"password authentication failed|no password supplied|authentication failed",
        "Check the user and the password (in the DSN, PGPASSWORD or ~/.pgpass).",
    ),
    (r'database ".*" does not exist', "Check the database's name; `psql -l` lists what exists."),
    (r'role ".*" does not exist', "Check the user's name; PGUSER or user=… in the DSN sets it."),
    (
        r"Connection refused|No such file or directory|is the server running",
        "Check that the server runs and that host and port are right (--dsn, PGHOST, PGPORT).",
    ),
    (
        r"could not translate host name|Name or service not known|Temporary failure in name",
        "Check the spelling of the host name and that it resolves on this machine.",
    ),
    (
        r"timeout expired|timed out|Network is unreachable|No route to host",
        "Check that this machine may reach the server: security group, firewall, VPN.",
    ),
    (
        r"too many (clients|connections)|remaining connection slots",
        "The server has no free connection: raise max_connections or close some.",
    ),
    (
        r"the database system is (starting up|shutting down)|recovery",
        "Wait a moment and try again.",
    ),
    (r"no pg_hba\.conf entry", "The server does not accept this host, user and database together."),
    (r"SSL|certificate", "Check sslmode and the certificates in the DSN."),
    (r"invalid (connection option|dsn|URI)|missing \"=\"", "A DSN is key=value pairs or a URI."),
)

_STATE_HINTS = {
    "42P01": "Check the name: with its schema, in double quotes where it has capitals or spaces.",
    "42501": "Ask the object's owner, or an administrator, for the right that is missing.",
    "57014": "The statement was cancelled, or ran longer than statement_timeout allows.",
    "55P03": "Another session holds a lock; try again, or see `tsconsole doctor` for who.",
    "40P01": "Two sessions waited for each other; try again.",
    "53300": "The server has no free connection: raise max_connections or close some.",
    "25006": "This is a standby or a read-only session; connect to the primary.",
    "22007": "An interval is written as 5m, 1h or '15 minutes', a time as 2025-03-30 12:00.",
    "22008": "The value is outside of what PostgreSQL can hold.",
    "22P02": "Check the value against what the argument expects.",
    "22023": "Check the value against what the argument expects.",
}

# Raised when the core's own schemas, tables or functions are not there.
_MISSING_STATES = {"42P01", "42883", "3F000", "42704"}

# The server ended the session (57014 only cancels a statement), or the protocol broke.
_ENDED_SESSION = re.compile(r"57P0|08|25P03")

_CORE_OBJECT = re.compile(r'"?\b(silver|tsconsole)\b"?')


def explain(error: psycopg.Error) -> OperationError:
    """Translate what psycopg raised into a sentence for people."""
    if error.sqlstate is None:
        return explain_connection(error)
    diag = error.diag
    message = sentence(diag.message_primary or str(error))
    hint = diag.message_hint or _STATE_HINTS.get(error.sqlstate)
    if error.sqlstate in _MISSING_STATES and _is_core(message):
        hint = (
            "The core is not installed here, or older than this program: run `tsconsole install`."
        )
    kind = ConnectionLost if _ENDED_SESSION.match(error.sqlstate) else OperationError
    return kind(message, hint, error.sqlstate, diag.message_detail, diag.context)


def explain_connection(error: Exception, target: str | None = None) -> OperationError:
    """Translate an error that has no SQLSTATE: there is no connection, or no longer.

    `target` says where a connection was wanted; without it there was one.
    """
    text = _first_cause(str(error)) or type(error).__name__
    hint = next((hint for pattern, hint in _CONNECTION_HINTS if re.search(pattern, text)), None)
    if target is not None:
        return ConnectionLost(sentence(f"Cannot connect to {target}: {text}"), hint)
    if isinstance(error, (psycopg.OperationalError, OSError)):
        return ConnectionLost(
            sentence(f"The connection to the server was lost: {text}"),
            hint or "The server ended the session, or the network failed.",
        )
    return OperationError(sentence(text), hint)


def sentence(text: str) -> str:
    """The text on one line, with a capital first letter unless it begins with a name.

    >>> sentence("division\\nby zero"), sentence("max_retries is -1")
    ('Division by zero', 'max_retries is -1')
    """
    flat = " ".join(text.split())
    first = flat.partition(" ")[0]
    return flat[:1].upper() + flat[1:] if first.isalpha() else flat


def _is_core(message: str) -> bool:
    return _CORE_OBJECT.search(message) is not None


def _first_cause(text: str) -> str:
    """The part of libpq's message that says what is wrong, without its many prefixes."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = next((line for line in lines if "FATAL:" in line), None)
    if fatal is not None:
        return fatal.split("FATAL:", 1)[1].strip()
    first = lines[0] if lines else ""
    first = re.sub(r"^connection failed: ", "", first)
    return re.sub(r"^connection to server ", "server ", first)
