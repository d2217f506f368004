"""The messages that the page on troubleshooting explains are those of the code, of the builds or of the scripts.

A message stands there in bold code; `...` in it is whatever differs from case to case: what stands between is compared.
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.meta.source import ROOT

MESSAGE = re.compile(r"\*\*`([^`]+)`\*\*")
SOURCES = ("db_pool_rs/**/*.py", "cext/*.py", "rust/*/src/**/*.rs", "scripts/*.sh")
#: Where a long text goes on in the next literal.
JOINT = re.compile(r'"\n\s*f?"')
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
