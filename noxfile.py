"""Sessions of nox; `nox -l` lists them. Each makes its environment with uv from the lock file.

`nox` alone runs what a change must pass on this machine: lint, types and the tests on one Python. The whole matrix is
`nox -s tests`: Python 3.10 to 3.13, psycopg's implementations (`binary`; `python`, which needs the system's libpq),
and the loops asyncio and uvloop. An interpreter that is not installed is skipped, except in CI.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nox
import nox.command

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "tests-3.11(binary, asyncio)"]
nox.options.error_on_missing_interpreters = bool(os.environ.get("CI"))
nox.options.download_python = "never"

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
ENGINES = "simple,balanced,full"
#: What is repeated more often than a run of the tests takes time for.
LONG = {"DB_POOL_CANCELS": "400"}


def install(session: nox.Session, *groups: str, extra: str = "simple") -> None:
    """Bring the session's environment to the lock file: the project, extras ("simple,full"), and dependency groups."""
    session.run_install(
        *("uv", "sync", "--locked", "--no-default-groups", f"--python={session.virtualenv.location}"),
        *(f"--extra={name}" for name in extra.split(",")),
        *(f"--group={group}" for group in groups),
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location, "UV_PYTHON_DOWNLOADS": "never"},
        silent=True,
    )


@nox.session(python=PYTHONS)
@nox.parametrize("loop", ["asyncio", "uvloop"], ids=["asyncio", "uvloop"])
@nox.parametrize("psycopg", ["binary", "python"], ids=["binary", "python"])
def tests(session: nox.Session, psycopg: str, loop: str) -> None:
    """Run the suite; arguments after `--` go to pytest."""
    install(session, "test")
    session.run("pytest", "--loop", loop, *session.posargs, env={"PSYCOPG_IMPL": psycopg})


@nox.session
def sanitizers(session: nox.Session) -> None:
    """Run the C kernel's tests under the address, undefined-behaviour and leak sanitizers (gcc)."""
    os.environ["DB_POOL_KERNEL_SANITIZE"] = "1"
    install(session, "test", extra="balanced")
    reports = Path(session.create_tmp())
    for old in reports.glob("report.*"):
        old.unlink()
    # Python itself leaks at its end: only what passed through the kernel or libpq counts.
    preload = {"LD_PRELOAD": _sanitizers(session), "LSAN_OPTIONS": "exitcode=0"}
    leaks = {"ASAN_OPTIONS": f"detect_leaks=1:log_path={reports.resolve() / 'report'}"}
    lies = "tests/cext/test_wire.py"  # libpq itself loses results of a server that breaks the protocol
    of_the_kernel = ("tests/cext", "tests/unit/test_answer.py")
    session.run("pytest", *of_the_kernel, f"--ignore={lies}", *session.posargs, env=preload | leaks)
    session.run("pytest", lies, *session.posargs, env=preload | {"ASAN_OPTIONS": "detect_leaks=0"})
    if any(name in path.read_text() for path in reports.glob("report.*") for name in ("dbp_", "libpq")):
        session.error(f"memory was lost: see {reports}/report.*")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Feed damaged values and broken protocol to every engine: `nox -s fuzz -- [SECONDS [TARGET ...]]`.

    A target is `values`, `session` or `login`, each with an engine or without (`values balanced`), or one of rust/fuzz
    (`cargo install cargo-fuzz`). The kernel of `balanced` runs under the sanitizers. A table at the end says what was
    found (tests/faults/fuzzing.py); an input that did harm becomes a test, or a seed.
    """
    os.environ["DB_POOL_KERNEL_SANITIZE"] = "1"
    install(session, "test", extra=ENGINES)
    environment = {"DB_POOL_FUZZ_PRELOAD": _sanitizers(session)}
    session.run("python", "-m", "tests.faults.fuzzing", *session.posargs, env=environment)


def _sanitizers(session: nox.Session) -> str:
    """The libraries that a kernel built with DB_POOL_KERNEL_SANITIZE needs, as LD_PRELOAD wants them."""
    names = (f"-print-file-name=lib{name}.so" for name in ("asan", "ubsan"))
    return ":".join(str(session.run("gcc", name, external=True, silent=True)).strip() for name in names)


@nox.session
def sqlalchemy(session: nox.Session) -> None:
    """SQLAlchemy's own tests on its dialects and ours: `nox -s sqlalchemy -- [--write] [CONTENDER ...]`.

    A contender is `postgresql-asyncpg`, `postgresql-full`, `postgresql-full-grouped`, `sqlite-aiosqlite` ... (default:
    all). The tests are those of SQLAlchemy's source distribution, of the version in uv.lock, which is downloaded.
    `--write` brings docs/sqlalchemy.md up to date.
    """
    install(session, "test", extra=ENGINES)
    folder = _source(session, "sqlalchemy", "/test/", "/setup.cfg")
    session.run("python", "-m", "tests.dropin.compliance", str(next(folder.iterdir())), *session.posargs)


@nox.session
def asyncpg(session: nox.Session) -> None:
    """asyncpg's own tests on asyncpg and on `db_pool_rs.asyncpg`: `nox -s asyncpg -- [--write] [CONTENDER ...]`.

    A contender is `asyncpg` or a mode (default: all). The tests are those of asyncpg's source distribution, of the
    version in uv.lock, which is downloaded. `--write` brings docs/asyncpg.md up to date.
    """
    install(session, "test", extra=ENGINES)
    folder = _source(session, "asyncpg", "/tests/", "/asyncpg/")
    session.run("python", "-m", "tests.dropin.asyncpg_suite", str(next(folder.iterdir())), *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Load and faults by chance on each engine and event loop: `nox -s chaos -- [SECONDS [ENGINES [LOOPS]]]`.

    Ten minutes each by default. A line for each says what callers were told and what the server held at the end, the
    longest call, and what is left behind; the memory must stay flat.
    """
    given = session.posargs
    seconds, engines, loops = [*given, *("600", ENGINES, "asyncio,uvloop")[len(given) :]]
    environment = {"DB_POOL_SOAK_SECONDS": seconds, "DB_POOL_REQUIRE_ENGINES": engines}
    install(session, "test", extra=engines)
    for loop in loops.split(","):
        for engine in engines.split(","):
            command = ("pytest", "-q", "-s", "--loop", loop, "tests/faults/test_soak.py", "-k", engine)
            session.run(*command, env=environment)


@nox.session
def restarts(session: nox.Session) -> None:
    """End the connection of `pool.listen` 1,000 times on each engine: `nox -s restarts -- [TIMES]`."""
    install(session, "test", extra=ENGINES)
    environment = {"DB_POOL_RESTARTS": [*session.posargs, "1000"][0]}
    session.run(
        "pytest", "-q", "--timeout", "3600", "tests/contract/test_listen.py", "-k", "between_two_gaps", env=environment
    )


@nox.session
def stress(session: nox.Session) -> None:
    """Run the whole suite again and again and count the red tests: `nox -s stress -- [RUNS [ARGUMENTS]]`.

    Five runs by default, the last two of them beside six busy processes; further arguments go to pytest.
    """
    runs, arguments = int([*session.posargs, "5"][0]), session.posargs[1:]
    install(session, "test", extra=ENGINES)
    red: Counter[str] = Counter()
    for run in range(1, runs + 1):
        report = Path(session.create_tmp()).resolve() / f"run{run}.xml"
        with _busy_processes(6 if run > runs - 2 else 0):
            command = ("pytest", "-q", "-n2", f"--junitxml={report}", *arguments)
            session.run(*command, success_codes=[0, 1], env=LONG | {"DB_POOL_REQUIRE_ENGINES": ENGINES})
        cases = xml.etree.ElementTree.parse(report).iter("testcase")
        failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
        red.update({f"{case.get('classname')}::{case.get('name')}" for case in failed})
        session.log(f"run {run} of {runs}: {len(failed)} red")
    for name, count in red.most_common():
        session.warn(f"red in {count} of {runs}: {name}")
    if red:
        session.error(f"{len(red)} tests were red")


@contextlib.contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    """So many processes that do nothing but use a processor."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@nox.session
def equivalence(session: nox.Session) -> None:
    """Twenty minutes of groups against statements alone: `nox -s equivalence -- simple`; the counts are printed."""
    mode = session.posargs[0] if session.posargs else "simple"
    install(session, "test", extra=mode)
    os.environ.setdefault("DB_POOL_EQUIVALENCE_SECONDS", "1200")
    tests = ("tests/contract/test_equivalence.py", "-k", f"long_time and {mode}", "-s")
    session.run("pytest", *tests, env={"DB_POOL_REQUIRE_ENGINES": mode})


@nox.session
def bare(session: nox.Session) -> None:
    """The contract suite on an event loop that watches no descriptors, as asyncio's on Windows."""
    install(session, "test", extra=ENGINES)
    names = ("statements", "transactions", "copy", "notifications", "outages", "timeouts", "lending", "forks")
    files = [f"tests/contract/test_{name}.py" for name in names]
    session.run("pytest", "-q", "-n2", "--loop", "bare", *files, *session.posargs)


@nox.session
def grammar(session: nox.Session) -> None:
    """Compare the class of each statement in PostgreSQL's own regression tests with the opinion of its grammar.

    The source distribution of pglast, of the version in uv.lock, carries their SQL; it is downloaded.
    """
    install(session, "test")
    folder = _source(session, "pglast", "/postgres_regress/")
    tests = ("tests/unit/test_statement_grammar.py", "-k", "regression", "-s")
    session.run("pytest", "-q", *tests, env={"DB_POOL_REGRESS_SQL": str(folder)})


def _source(session: nox.Session, name: str, *parts: str) -> Path:
    """Download the source distribution that uv.lock names; the folder of its files in whose path one of `parts` is."""
    text = Path("uv.lock").read_text(encoding="utf-8")
    found = re.search(rf'sdist = {{ url = "([^"]+/{name}-[^"]+\.tar\.gz)", hash = "sha256:([0-9a-f]{{64}})"', text)
    assert found is not None, f"uv.lock names no source distribution of {name}"
    with urllib.request.urlopen(found[1]) as answer:
        packed = answer.read()
    assert hashlib.sha256(packed).hexdigest() == found[2], "it is not the file that uv.lock names"
    folder = Path(session.create_tmp()).resolve() / name
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        wanted = [one for one in archive.getmembers() if one.isfile() and any(part in one.name for part in parts)]
        archive.extractall(folder, wanted, filter="data")
    return folder


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and generated files; every complaint is shown before the session fails."""
    install(session, "dev")
    commands = [["ruff", "check", "."], ["python", "-m", "db_pool_rs.tools.generate_interfaces", "--check"]]
    failed = []
    for command in commands:
        try:
            session.run(*command)
        except nox.command.CommandFailed:
            failed.append(command)
    if failed:
        session.error("failed: " + ", ".join(" ".join(command) for command in failed))


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "dev")
    session.run("mypy")
    session.run("basedpyright")


@nox.session
def workflows(session: nox.Session) -> None:
    """Check the workflows of .github: their form, and what makes them unsafe."""
    install(session, "dev")
    files = [str(path) for path in sorted(Path(".github/workflows").glob("*.yml"))]
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    session.run("zizmor", "--offline", "--quiet", ".github")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken link is an error. Then look at it in Chromium, if there is one."""
    install(session, "docs", "test")
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})
    session.run("pytest", "-q", "-rs", "tests/docs/test_site.py")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the wheels and sdists of every distribution into dist/; `nox -s extras` tries what was built.

    `nox -s wheels -- [--pythons 3.10,3.13] [--sdists] [NAME ...]`; the manual is scripts/wheels.py.
    """
    install(session, "wheels")
    session.run("python", "scripts/wheels.py", *session.posargs)


@nox.session
def extras(session: nox.Session) -> None:
    """Try each extra of what `nox -s wheels` left in dist/, wheels and sdists, in empty environments.

    `nox -s extras -- [--pythons 3.10,3.13] [--folder dist] [wheel|sdist] [EXTRA ...]`; the manual is scripts/extras.py.
    """
    session.run("python", "scripts/extras.py", *session.posargs)


@nox.session
def reproducible(session: nox.Session) -> None:
    """Build every distribution twice, from two clones of the last commit; the bytes must be equal.

    `nox -s reproducible -- full` builds what is named only: db-pool-rs, balanced, full (default: all); wheels with
    native code are built for the Python that nox runs on. Both clones have the same path: the bill of materials in the
    wheel of full names the folder it was built in.
    """
    install(session, "wheels")
    sources = Path(session.create_tmp()).resolve() / "sources"
    python = f"--pythons={sys.version_info.major}.{sys.version_info.minor}"
    hashes: list[dict[str, str]] = []
    commit = str(session.run("git", "rev-parse", "HEAD", external=True, silent=True)).strip()
    for dist in (sources.parent / "first", sources.parent / "second"):
        for old in (dist, sources):
            shutil.rmtree(old, ignore_errors=True)
        session.run("git", "clone", "--quiet", "--no-hardlinks", ".", str(sources), external=True)
        session.run("git", "-C", str(sources), "checkout", "--quiet", commit, external=True)  # there may be later ones
        session.run("python", str(sources / "scripts/wheels.py"), f"--out={dist}", python, *session.posargs)
        hashes.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in dist.glob("db_pool_rs*")})
    for name, digest in sorted(hashes[0].items()):
        session.log(f"{'equal' if hashes[1].get(name) == digest else 'DIFFERENT'}  {digest[:16]}  {name}")
    if hashes[0] != hashes[1]:
        session.error("two builds differ")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the pool beside its rivals; arguments after `--` go to the benchmark."""
    install(session, "test", "bench")
    session.run("python", "-m", "db_pool_rs.tools.benchmark_modes", *session.posargs)
