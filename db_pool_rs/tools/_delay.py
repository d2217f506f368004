"""A server that is further away: a proxy in C between client and server, which holds every byte back for a while.

It is compiled when it is asked for; a proxy in Python would be slower than what it is to measure.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from ..cli.common import UsageError
from ._database import first_host

SOURCE = Path(__file__).with_name("delay_proxy.c")


@contextlib.contextmanager
def delayed(dsn: str, delays: Sequence[float]) -> Iterator[dict[float, str]]:
    """Connection strings for the server of `dsn`, a URL, by how many milliseconds longer their round trips are."""
    host = first_host(dsn)
    if host is None:
        raise UsageError("--delay-ms is for PostgreSQL")
    path = f"{host.host}/.s.PGSQL.{host.port}"
    target = ("unix", path) if host.is_unix else ("tcp", host.hostaddr or host.host, str(host.port))
    with _program() as program, contextlib.ExitStack() as running:
        yield {delay: _through(dsn, running.enter_context(_proxy(program, delay, target))) for delay in delays}


@contextlib.contextmanager
def _proxy(program: Path, delay: float, target: Sequence[str]) -> Iterator[int]:
    """Run the proxy; the port where it listens."""
    command = [str(program), str(round(delay * 500)), *target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdin is not None
        assert proxy.stdout is not None
        try:
            yield int(proxy.stdout.readline())
        finally:
            proxy.stdin.close()  # it ends


@contextlib.contextmanager
def _program() -> Iterator[Path]:
    """The compiled proxy, for a block: its file is gone after it."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise UsageError("--delay-ms needs a C compiler: it builds a small proxy")
    with tempfile.TemporaryDirectory(prefix="db-pool-benchmark-") as folder:
        program = Path(folder) / "delay_proxy"
        done = subprocess.run(
            [compiler, "-O2", "-o", program, SOURCE], capture_output=True, text=True, check=False, cwd=folder
        )
        if done.returncode != 0:
            raise UsageError(f"--delay-ms: {compiler} could not build its proxy: {done.stderr.strip()}")
        yield program


def _through(dsn: str, port: int) -> str:
    """The URL with another host and port, and all else as it was."""
    scheme, _, rest = dsn.partition("://")
    place, _, query = rest.partition("?")
    authority, slash, database = place.partition("/")
    user, at, _ = authority.rpartition("@")
    kept = [(key, value) for key, value in parse_qsl(query) if key not in ("host", "hostaddr", "port")]
    return f"{scheme}://{user}{at}127.0.0.1:{port}{slash}{database}" + (
        f"?{urlencode(kept, quote_via=quote)}" if kept else ""
    )
