"""PostgreSQL servers that the tests own.

`PostgresServer` is one server: a copy of a data directory made once per run, a free port, a folder of its own. Every
method blocks until its effect is there, so a test under a running event loop calls it with `asyncio.to_thread`:

    server = own_server(conf={"max_connections": "20"}, hba=["host all all 127.0.0.1/32 scram-sha-256"])
    await asyncio.to_thread(server.restart, "immediate")
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.plugins.installation import Installation

START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

BASE_CONF = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # In the data directory instead of /dev/shm: nothing is left behind by a server that was killed.
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "autovacuum": "off",
    "timezone": "UTC",
}
TRUST_HBA = ("local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust")


class ServerError(RuntimeError):
    """A server could not be made, started or asked; the message ends with its log."""


class PostgresServer:
    """One PostgreSQL server in a folder of its own.

    `conf` holds settings of postgresql.conf and may be changed before `start`; so may `hba`, the lines of
    pg_hba.conf. The superuser `postgres` may always log in over the unix socket, so `sql` works whatever they say.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        installation: Installation,
        template: Path,
        folder: Path,
        *,
        conf: Mapping[str, str] | None = None,
        hba: Sequence[str] | None = None,
        fsync: bool = True,
    ) -> None:
        self.installation = installation
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.port = free_port()
        self.conf: dict[str, str] = {**BASE_CONF, "fsync": "on" if fsync else "off", **(conf or {})}
        self.hba: list[str] = list(TRUST_HBA if hba is None else hba)
        self._process: subprocess.Popen[bytes] | None = None
        installation.make_folder(folder)
        installation.run("cp", "-a", str(template), str(self.data))

    # ---- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        assert self._process is None, "the server runs already"
        self._write_settings()
        with self.log.open("ab") as log:
            self._process = self.installation.popen("postgres", "-D", str(self.data), stdout=log, stderr=log)
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self, mode: str = "fast", timeout: float = STOP_TIMEOUT) -> None:
        """Stop the server: `smart` waits for clients, `fast` ends them, `immediate` skips the shutdown checkpoint."""
        if self._process is None:
            return
        self._process.send_signal(STOP_SIGNALS[mode])
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"the server did not stop ({mode}); its log:\n{self.log_tail()}") from None
        self._process = None

    def restart(self, mode: str = "fast") -> None:
        """Stop and start again on the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """Kill the server and its backends at once, as a power cut would."""
        if self._process is None:
            return
        victims = [self._process.pid, *_children(self._process.pid)]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        _poll(lambda: not any(_is_alive(pid) for pid in victims), STOP_TIMEOUT, "the server's processes to end")
        self._remove_shared_memory()

    def pause(self) -> None:
        """Stop every process of the server where it is, as a machine that hangs does, until `resume`."""
        process = self._running()
        for pid in [process.pid, *_children(process.pid)]:  # the first one cannot start others any more
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the processes go on that `pause` has stopped."""
        process = self._running()
        for pid in [*_children(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server, however it is, and remove its folder.

        It is not waited for as long as others wait: a server does not end a child that waits for a client's first words
        (`authentication_timeout`, 60 s), and that client may be this process, whose event loop stands still here.
        """
        with contextlib.suppress(ServerError):
            self.stop("immediate", 2.0)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def reload(self) -> None:
        """Write `conf` and `hba` again and have the running server read them; returns when it has."""
        loaded = self.sql("SELECT pg_conf_load_time()")
        self._write_settings()
        self._running().send_signal(signal.SIGHUP)
        _poll(lambda: self.sql("SELECT pg_conf_load_time()") != loaded, START_TIMEOUT, "the settings to be read")

    @property
    def running(self) -> bool:
        """Whether the server's main process is there."""
        return self._process is not None and self._process.poll() is None

    def wait_ready(self) -> None:
        """Wait until the server accepts connections; a server that ended instead is an error with its log."""
        from psycopg import pq

        info = self.socket_dsn("postgres").encode()

        def accepts() -> bool:
            if not self.running:
                raise ServerError(f"the server ended while it started; its log:\n{self.log_tail()}")
            return pq.PGconn.ping(info) == pq.Ping.OK

        _poll(accepts, START_TIMEOUT, "the server to accept connections", self.log_tail)

    # ---- use ----------------------------------------------------------------------------------------------------

    def dsn(
        self,
        dbname: str = "postgres",
        *,
        user: str = "postgres",
        password: str | None = None,
        host: str | None = None,
        port: int | None = None,
        **parameters: str,
    ) -> str:
        """URL of a database over TCP; `parameters` become its query string."""
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        url = f"postgresql://{login}@{host or self.host}:{port or self.port}/{quote(dbname, safe='')}"
        return f"{url}?{urlencode(parameters)}" if parameters else url

    def socket_dsn(self, dbname: str = "postgres", *, user: str = "postgres") -> str:
        """The same over the unix socket in `folder`, in key=value form."""
        return f"host='{self.folder}' port={self.port} dbname='{dbname}' user='{user}'"

    def sql(self, query: str, dbname: str = "postgres") -> list[tuple[str | None, ...]]:
        """Run SQL as superuser on a connection of its own; rows of the last statement, values as text."""
        from psycopg import pq

        connection = pq.PGconn.connect(self.socket_dsn(dbname).encode())
        try:
            if connection.status != pq.ConnStatus.OK:
                raise ServerError(connection.get_error_message())
            result = connection.exec_(query.encode())
            if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY):
                raise ServerError(result.get_error_message())
            columns = range(result.nfields)
            return [tuple(_text(result.get_value(row, column)) for column in columns) for row in range(result.ntuples)]
        finally:
            connection.finish()

    def write_file(self, name: str, content: str, mode: int = 0o600) -> Path:
        """Put a file (a certificate, say) into the data directory, owned by the server's user."""
        path = self.data / name
        path.write_text(content)
        path.chmod(mode)
        self.installation.give(path)
        return path

    def log_tail(self, size: int = 4000) -> str:
        """The end of the server's log."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    # ---- within -------------------------------------------------------------------------------------------------

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server does not run"
        return self._process

    def _write_settings(self) -> None:
        settings = {**self.conf, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        lines = [f"{key} = '{str(value).replace(chr(39), chr(39) * 2)}'" for key, value in settings.items()]
        self.write_file("postgresql.conf", "\n".join(lines) + "\n")
        self.write_file("pg_hba.conf", "\n".join(["local all postgres trust", *self.hba]) + "\n")

    def _remove_shared_memory(self) -> None:
        """A killed server leaves a System V segment, which only names it as the owner of its data directory."""
        lock = self.data / "postmaster.pid"
        fields = lock.read_text().split("\n")[6].split() if lock.exists() else []
        if len(fields) == 2:
            ctypes.CDLL(None).shmctl(int(fields[1]), 0, None)  # 0: IPC_RMID


def free_port() -> int:
    """A TCP port of the loopback interface that no server listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _poll(done: Callable[[], bool], timeout: float, what: str, detail: Callable[[], str] = str) -> None:
    """Servers and foreign processes offer nothing to wait on, so they are asked again and again."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise ServerError(f"waited {timeout:.0f} s in vain for {what}\n{detail()}")
        time.sleep(0.01)


def _children(parent: int) -> list[int]:
    """Processes started by `parent`; their sessions are their own, so no process group holds them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
