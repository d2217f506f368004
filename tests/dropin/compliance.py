"""SQLAlchemy's own tests on its dialects and on ours, each in a process and a folder of its own.

    python -m tests.dropin.compliance FOLDER [CONTENDER ...] [--write] [--reports FOLDER]

This is what `nox -s sqlalchemy` runs. FOLDER is SQLAlchemy's source distribution, unpacked. A contender is a dialect
with a driver, a mode and "grouped": `postgresql-asyncpg`, `postgresql-full`, `postgresql-full-grouped`,
`sqlite-aiosqlite`, `sqlite-simple` ... (all of them by default). The tests are the compliance suite and those of the
dialect; a server is started for them. What SQLAlchemy knows of its own driver by its name, such as which tests are for
it, is asked of ours too.

It fails if a test fails that does not fail with SQLAlchemy's driver, unless :mod:`.compliance_reasons` says why.
`--write` puts the counts into docs/sqlalchemy.md. With `--reports` pytest's reports are kept in a folder, and what has
one there is not run again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.dropin.compliance_reasons import REASONS, reason
from tests.dropin.page import write
from tests.meta.source import ROOT
from tests.plugins.installation import find_installation
from tests.plugins.postgresql import ServerFarm

CONFTEST = """
from sqlalchemy.dialects import registry
import pytest

registry.register("postgresql.db_pool_rs", "tested", "Postgres")
registry.register("sqlite.db_pool_rs", "tested", "Sqlite")
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")
from sqlalchemy.testing.plugin.pytestplugin import *
"""
TESTED = """
from db_pool_rs.sqlalchemy.postgresql import PostgresDialect
from db_pool_rs.sqlalchemy.sqlite import SqliteDialect

class Postgres(PostgresDialect):
    driver = "asyncpg"  # what the tests know of a driver, they know by this name
    supports_statement_cache = True

class Sqlite(SqliteDialect):
    driver = "aiosqlite"
    supports_statement_cache = True
"""
SETUP = """
[sqla_testing]
requirement_cls=sqlalchemy.testing.requirements:SuiteRequirements
profile_file=profiles.txt
"""
SUITE = "from sqlalchemy.testing.suite import *\n"
#: What SQLAlchemy's tests want to find in a database.
PREPARE = """
CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2;
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION btree_gist;
ALTER DATABASE {name} SET default_text_search_config TO 'pg_catalog.english';
"""
SETTINGS = {"max_prepared_transactions": "10", "max_connections": "200"}
MODES = ("simple", "balanced", "full")
#: SQLAlchemy's own driver of each database, by which ours are judged.
REFERENCES = {"postgresql": "asyncpg", "sqlite": "aiosqlite"}
CONTENDERS = tuple(
    f"{database}-{way}"
    for database, reference in REFERENCES.items()
    for way in (reference, *MODES, *(f"{mode}-grouped" for mode in MODES if database == "postgresql"))
)
BEGIN, END = "<!-- compliance: begin -->\n", "<!-- compliance: end -->\n"


def url(dsn: str, mode: str) -> str:
    """The URL of an engine for a connection string of ours."""
    scheme, rest = dsn.split(":", 1)
    return f"{scheme}+db_pool_rs:{rest}{'&' if '?' in rest else '?'}mode={mode}"


def run(
    url: str, *arguments: str, source: Path | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run tests on a database, by SQLAlchemy's URL: those of `source`, or the compliance suite that is installed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "tested.py").write_text(TESTED)
        if source is None:
            (folder / "setup.cfg").write_text(SETUP)
            (folder / "test_suite.py").write_text(SUITE)
        else:
            shutil.copytree(source / "test", folder / "test", ignore=shutil.ignore_patterns("conftest.py"))
            shutil.copy(source / "setup.cfg", folder)
        command: Sequence[str] = (
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--tb=short"),
            *("-W", "ignore", "--rootdir", name, "--maxfail", "100000", "--dburi", url, *arguments),
            *(("test_suite.py",) if source is None else ()),
        )
        environment = {**os.environ, "PYTHONPATH": f"{name}{os.pathsep}{ROOT}"}
        return subprocess.run(
            command, cwd=name, env=environment, capture_output=True, text=True, check=False, timeout=timeout
        )


@dataclass
class Outcome:
    """What became of the tests: counts, and the names of those that failed."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, report: Path) -> Outcome:
        """From pytest's report in XML; names are without the driver's, which SQLAlchemy adds to each class."""
        outcome = cls()
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            module, _, test_class = str(case.get("classname")).rpartition(".")
            name = f"{module.rpartition('.')[2]}.{test_class.split('_')[0]}.{case.get('name')}"
            failed = case.find("failure") is not None or case.find("error") is not None
            kind = "failed" if failed else "skipped" if case.find("skipped") is not None else "passed"
            outcome.counts[kind] += 1
            if failed:
                outcome.failed.add(name)
        return outcome


@contextmanager
def server() -> Iterator[Any]:
    """A server for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="db-pool-compliance-"))
    try:
        made = ServerFarm(find_installation(folder), folder).make(conf=SETTINGS)
        try:
            yield made
        finally:
            made.remove()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test(contender: str, source: Path, server: Any, report: Path) -> None:
    """Run the compliance suite, and the tests of the dialect, on a contender."""
    database, _, way = contender.partition("-")
    if database == "postgresql":
        name = contender.replace("-", "_")
        server.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        server.sql(PREPARE.format(name=name), name)
        dsn = server.dsn(name)
    else:
        dsn = "sqlite:///async_querytest.db"  # SQLAlchemy's tests tell files by the parts of such names
    mode, _, grouped = way.partition("-")
    reference = mode == REFERENCES[database]
    where = dsn.replace(":", f"+{mode}:", 1) if reference else url(dsn, mode) + ("&grouped=true" if grouped else "")
    files = ("test/dialect/test_suite.py", f"test/dialect/{database}")
    done = run(where, f"--junitxml={report}", *files, source=source)
    if not report.exists():
        raise SystemExit(f"{contender}: the tests did not run\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def outcomes(contenders: Sequence[str], source: Path, reports: Path) -> dict[str, Outcome]:
    """What became of the tests with each contender, by its report, which is made where there is none."""
    files = {contender: (reports / f"{contender}.xml").resolve() for contender in contenders}
    if missing := [contender for contender, report in files.items() if not report.exists()]:
        with server() as running:
            for contender in missing:
                test(contender, source, running, files[contender])
                print(f"{contender}: {dict(Outcome.of(files[contender]).counts)}", flush=True)
    return {contender: Outcome.of(report) for contender, report in files.items()}


def explained(contender: str, found: dict[str, Outcome]) -> dict[str, str | None]:
    """The tests that fail with a contender, and not with SQLAlchemy's driver, and why."""
    database, _, way = contender.partition("-")
    alone = found[contender].failed - found[f"{database}-{REFERENCES[database]}"].failed
    return {name: reason(name, grouped=way.endswith("-grouped")) for name in sorted(alone)}


def table(found: dict[str, Outcome]) -> Iterator[str]:
    """Lines of Markdown: a row for each contender, then the reasons of what fails with ours alone."""
    yield "| dialect | passed | skipped | failed | with ours alone |"
    yield "|---|---:|---:|---:|---:|"
    for contender, outcome in found.items():
        database, _, way = contender.partition("-")
        ours = way != REFERENCES[database]
        name = f"`{database}+db_pool_rs`, {way.replace('-', ', ')}" if ours else f"`{database}+{way}`"
        counts = (f"{outcome.counts[kind]:,}" for kind in ("passed", "skipped", "failed"))
        yield f"| {' | '.join((name, *counts, str(len(explained(contender, found))) if ours else ''))} |"
    yield ""
    counts = [Counter(explained(contender, found).values()) for contender in found]
    for text in dict.fromkeys(text for _, text in REASONS):
        if most := max(one[text] for one in counts):
            yield f"- {most}: {text}"


def main() -> int:
    """Run the contenders; what fails without a reason is printed, and how many tests that are is returned."""
    add = argparse.ArgumentParser(prog="python -m tests.dropin.compliance")
    add.add_argument("source", type=Path)
    add.add_argument("contenders", nargs="*", metavar="CONTENDER")
    add.add_argument("--write", action="store_true")
    add.add_argument("--reports", type=Path)
    given = add.parse_args()
    named = given.contenders or CONTENDERS
    wanted = {*named, *(f"{one}-{REFERENCES[one]}" for one in {one.partition("-")[0] for one in named})}
    chosen = [one for one in CONTENDERS if one in wanted]
    with tempfile.TemporaryDirectory() as folder:
        found = outcomes(chosen, given.source, given.reports or Path(folder))
    lines = list(table(found))
    print("\n".join(lines))
    if given.write:
        write(ROOT / "docs/sqlalchemy.md", BEGIN, lines, END)
    unexplained = [f"{one}: {name}" for one in found for name, why in explained(one, found).items() if why is None]
    print(f"{len(unexplained)} without a reason", *unexplained, sep="\n")
    return len(unexplained)


if __name__ == "__main__":
    sys.exit(bool(main()))
