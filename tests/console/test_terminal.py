"""The real program in a pseudo-terminal: what comes out, and how it ends."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support import Wire, missing


class Terminal:
    """A program in a pseudo-terminal of its own, as a session leader."""

    def __init__(self, dsn: str, *arguments: str, size: tuple[int, int] = (80, 24)) -> None:
        self.master, slave = pty.openpty()
        self.resize(size)
        unwanted = ("TEXTUAL", "COLUMNS", "LINES")  # the size comes from the terminal
        environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tsconsole", "--dsn", dsn, *arguments],
            stdin=slave, stdout=slave, stderr=slave, close_fds=True, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=environment | {"TERM": "xterm-256color", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        os.close(slave)
        self.output = ""

    def resize(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def read(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                return
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            self.output += data.decode(errors="replace")

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < end, f"{text!r} did not appear in {self.output[-2000:]!r}"
            assert self.process.poll() is None or text in self.output, self.output[-2000:]
            self.read(0.1)

    def send(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait(self, seconds: float = 15.0) -> int:
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, "it did not end"
            self.read(0.1)
        self.read(0.2)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(database: str) -> Iterator[Terminal]:
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("""
            create table raw.t (ts timestamptz not null, x float8);
            insert into raw.t
            select now() - i * interval '1 minute', i from generate_series(1, 300) as i;
            select silver.create_rollup_table('raw.t', 'silver.t_1h', '1 hour');
        """)
    program = Terminal(database)
    yield program
    program.close()


def test_it_draws_takes_keys_and_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.wait_for("t_1h")
    terminal.send("?")
    terminal.wait_for("Keys that work here")
    terminal.send("\x1b")
    terminal.read(0.5)
    terminal.send("q")
    assert terminal.wait() == 0
    assert "Traceback" not in terminal.output
    assert "\x1b[?1049h" in terminal.output, "it drew on the alternate screen"
    assert "\x1b[?1049l" in terminal.output, "and left it"
    assert "\x1b[?25h" in terminal.output, "and the cursor is back"


def test_it_follows_the_terminals_size(terminal: Terminal) -> None:
    terminal.wait_for("t_1h")
    for size in ((20, 5), (160, 45)):
        terminal.resize(size)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.read(1.0)
        assert terminal.process.poll() is None
    terminal.wait_for("ROWS/RUN")
    terminal.send("q")
    assert terminal.wait() == 0


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_signal_ends_it_cleanly(terminal: Terminal, name: str) -> None:
    terminal.wait_for("t_1h")
    os.kill(terminal.process.pid, getattr(signal, name))
    assert terminal.wait() == 0
    assert "Traceback" not in terminal.output


@pytest.mark.parametrize("moment", ["\x1b[?1049h", "connecting", "There are no rollups"])
def test_a_closed_terminal_ends_it(database: str, moment: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # A server that never answers: the program is connecting for as long as it takes.
        port = silent.getsockname()[1]
        dsn = f"postgresql://operator@127.0.0.1:{port}/iot" if moment == "connecting" else database
        close_the_terminal(Terminal(dsn), moment)


def close_the_terminal(program: Terminal, moment: str) -> None:
    program.wait_for(moment)
    os.close(program.master)
    try:
        assert program.process.wait(15) is not None
    finally:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


def test_no_server_is_said_on_the_screen() -> None:
    program = Terminal("postgresql://operator@127.0.0.1:1/iot")
    try:
        program.wait_for("next try in")
        assert "refused" in program.output
        program.send("q")
        assert program.wait() == 0
        assert "Traceback" not in program.output
    finally:
        program.close()


def test_without_a_terminal_it_says_so(database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tsconsole", "--dsn", database],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr


def test_a_killed_server_is_said_and_found_again(database: str) -> None:
    wire = Wire(database)
    dsn = make_conninfo(database, host="127.0.0.1", port=wire.port)
    try:
        psycopg.connect(dsn, connect_timeout=3).close()
    except psycopg.OperationalError:
        missing("the server takes no password-less TCP connections")
    program = Terminal(dsn, size=(120, 36))
    try:
        program.wait_for("There are no rollups")
        wire.cut()
        program.wait_for("SERVER LOST")
        program.wait_for("refused")
        program.resize((60, 10))
        program.send("?")
        program.wait_for("Keys that work here")
        program.send("\x1b")
        wire.mend()
        program.wait_for("connected again", 60)
        program.send("q")
        assert program.wait() == 0
        assert "Traceback" not in program.output
    finally:
        program.close()
        wire.cut()
