"""SQLAlchemy's compliance suite for dialects, in a process and a folder of its own: its plugin of pytest is not ours.

    python -m tests.dropin.compliance URL [arguments of pytest]        what `nox -s sqlalchemy -- URL` runs

The database of a server needs schemas `test_schema` and `test_schema_2`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.meta.source import ROOT

CONFTEST = """
from sqlalchemy.dialects import registry
import pytest

registry.register("postgresql.db_pool_rs", "db_pool_rs.sqlalchemy.postgresql", "PostgresDialect")
registry.register("sqlite.db_pool_rs", "db_pool_rs.sqlalchemy.sqlite", "SqliteDialect")
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")
from sqlalchemy.testing.plugin.pytestplugin import *
"""
SETUP = """
[sqla_testing]
requirement_cls=sqlalchemy.testing.requirements:SuiteRequirements
profile_file=profiles.txt
"""
#: Whether a cursor is one of the server's the suite asks by the names of SQLAlchemy's own drivers.
NOT_FOR_OTHERS = ("ServerSideCursorsTest",)


def url(dsn: str, mode: str) -> str:
    """The URL of an engine for a connection string of ours."""
    scheme, rest = dsn.split(":", 1)
    return f"{scheme}+db_pool_rs:{rest}{'&' if '?' in rest else '?'}mode={mode}"


def run(url: str, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run the suite on a database; SQLAlchemy's URL."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (
            ("conftest.py", CONFTEST),
            ("setup.cfg", SETUP),
            ("test_suite.py", "from sqlalchemy.testing.suite import *\n"),
        ):
            Path(folder, name).write_text(text)
        command: Sequence[str] = (
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--tb=short"),
            *("-W", "ignore", "--rootdir", folder, "--dburi", url, "test_suite.py", *arguments),
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=timeout
        )


if __name__ == "__main__":
    where, *rest = sys.argv[1:]
    done = run(where, *(rest or ("-k", " and ".join(f"not {name}" for name in NOT_FOR_OTHERS))))
    print(done.stdout[-20_000:], done.stderr[-5_000:])
    sys.exit(done.returncode)
