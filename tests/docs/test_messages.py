"""What the pages quote: messages are those of the code, of the builds or of the scripts; doctor's lines are doctor's.

On the page on troubleshooting a message stands in bold code; `...` in it is whatever differs from case to case: what
stands between is compared.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache

import pytest

from tests.meta.source import ROOT

MESSAGE = re.compile(r"\*\*`([^`]+)`\*\*")
SOURCES = ("db_pool_rs/**/*.py", "cext/*.py", "rust/*.py", "rust/*/src/**/*.rs", "scripts/*.sh")
#: Where a long text goes on in the next literal.
JOINT = re.compile(r'"\n\s*f?"')
MODES = (ROOT / "docs" / "modes.md").read_text()
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()


@cache
def source() -> str:
    """All texts that there may be."""
    texts = [path.read_text() for pattern in SOURCES for path in sorted(ROOT.glob(pattern))]
    return JOINT.sub("", "\n".join(texts)).replace('\\"', '"')


def missing(message: str) -> list[str]:
    """Parts of a message that are nowhere in the source."""
    return [part for part in message.split("...") if part not in source()]


@pytest.mark.parametrize("message", sorted(set(MESSAGE.findall(PAGE))))
def test_the_message_exists(message: str) -> None:
    assert not missing(message)


def test_a_message_that_does_not_exist_is_noticed() -> None:
    assert missing("the pool ... is on the moon") == [" is on the moon"]


def labels(output: str) -> list[str]:
    """Sections and names of what doctor prints, without the values."""
    return [name for line in output.splitlines() if (name := line[:20].strip())]


def test_the_page_on_modes_shows_what_doctor_prints(pg_database: str) -> None:
    shown = next(block for block in re.findall(r"^```text\n(.*?)^```", MODES, re.M | re.S) if "Installation" in block)
    command = [sys.executable, "-m", "db_pool_rs", "doctor", "--dsn", pg_database]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "DB_POOL_", "PG"))}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=clean, check=False)
    assert labels(done.stdout) == labels(shown)
