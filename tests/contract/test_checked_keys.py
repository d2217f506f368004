"""What is sent where keys are deferred (rule 8.3), message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from db_pool_rs.drivers.postgres.dialect import CHECK_KEYS
from tests.contract.guarding import QUICK, at_rest, script
from tests.plugins.proxy import TO_SERVER, FaultProxy

#: A group of calls, and whether keys are checked in front of it.
TEXTS = {
    "INSERT INTO book VALUES ($1, 1)": True,
    "DELETE FROM author WHERE id = -$1::int": True,
    "INSERT INTO plain VALUES ($1)": False,
    "SELECT author FROM book WHERE id = $1": False,
}


def messages(sent: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The messages of the protocol, each a type and a body."""
    while sent:
        size = int.from_bytes(sent[1:5], "big")
        yield sent[:1], sent[5 : 1 + size]
        sent = sent[1 + size :]


def groups(sent: bytes) -> Iterator[list[str]]:
    """What is executed in front of each Sync: "check" and "statement"."""
    group: list[str] = []
    checking = False
    for kind, body in messages(sent):
        if kind == b"P":
            checking = CHECK_KEYS.encode() in body
        elif kind == b"E":
            group.append("check" if checking else "statement")
            checking = False
        elif kind == b"S":
            yield group
            group = []


# rule 8.3
@pytest.mark.parametrize(("sql", "checks"), TEXTS.items(), ids=list(TEXTS))
async def test_keys_are_checked_once_in_front_of_groups_that_may_reach_them(
    open_pool: Any, proxy: FaultProxy, pg_database: str, sql: str, checks: bool
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1, **QUICK)
    await script(
        pool,
        "CREATE TABLE author (id int PRIMARY KEY); CREATE TABLE plain (id int); INSERT INTO author VALUES (1);"
        "CREATE TABLE book (id int PRIMARY KEY, author int REFERENCES author DEFERRABLE INITIALLY DEFERRED)",
    )
    await at_rest(pool)
    for number in range(4):
        await pool.execute(sql, 1000 + number)
    sent = bytearray()

    def record(chunk: bytes) -> bytes:
        sent.extend(chunk)
        return chunk

    proxy.corrupt(record, TO_SERVER)
    await asyncio.gather(*[pool.execute(sql, number) for number in range(1, 41)])
    await pool.execute(sql, 41)  # alone
    found = [group for group in groups(bytes(sent)) if group]
    assert sum(group.count("statement") for group in found) == 41
    assert any(len(group) > 5 for group in found), "hardly anything was grouped: the test shows nothing"
    for group in found:
        alone = group.count("statement") == 1
        assert group.count("check") == int(checks and not alone)
        assert "check" not in group[1:]
