"""What a server can get wrong: tables, changes to the honest answer, and what comes of one for the caller."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from datetime import date, datetime, timezone
from itertools import pairwise
from typing import Any

from hypothesis import note
from hypothesis import strategies as st

import db_pool_rs
from db_pool_rs.types import oids as pg
from db_pool_rs.types.encode import encoder

from .wire import ASK, Lie, LyingServer, Messages, data_row, error, message

#: Longer than an answer can take, however busy the machine is.
HANGS = 20
#: Calls of one tick are one group, however slow the answers are.
PATIENT = {"fast_ms": 60_000, "stall_ms": 60_000}

MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28), timezones=st.just(timezone.utc))
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VALUES: dict[int, st.SearchStrategy[Any]] = {
    pg.BOOL.oid: st.booleans(),
    pg.INT4.oid: st.integers(-(2**31), 2**31 - 1),
    pg.INT8.oid: st.integers(-(2**63), 2**63 - 1),
    pg.FLOAT8.oid: st.floats(allow_nan=False),
    pg.TEXT.oid: TEXT,
    pg.BYTEA.oid: st.binary(max_size=20),
    pg.DATE.oid: st.dates(date(1, 1, 3), date(9999, 12, 28)),
    pg.TIMESTAMPTZ.oid: MOMENTS,
    pg.UUID.oid: st.uuids(),
    pg.JSONB.oid: st.dictionaries(TEXT, st.integers(0, 9), max_size=2),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[int], list[list[bytes | None]]]:
    """Types of columns, and rows as they are sent: in binary, so there is a column that each mode asks for in it."""
    oids = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    if pg.reads_faster_in_text(oids):
        oids.append(pg.FLOAT8.oid)
    cells = [st.none() | VALUES[oid].map(encoder(oid).encode) for oid in oids]
    return oids, draw(st.lists(st.tuples(*cells).map(list), max_size=5))


# -- lies: each takes the messages of an honest answer ----------------------------------------------------------------

Change = Callable[[Messages], Messages]
number = st.integers(0, 40)
byte = st.integers(0, 255)


def one(change: Callable[..., Messages], *given: st.SearchStrategy[Any]) -> st.SearchStrategy[Change]:
    """`change` makes others of one message, chosen by its number (counted around)."""

    def build(which: int, *drawn: Any) -> Change:
        def changed(said: Messages) -> Messages:
            i = which % len(said)
            return [*said[:i], *change(said[i], *drawn), *said[i + 1 :]]

        return changed

    return st.builds(build, number, *given)


def swap(first: int, second: int) -> Change:
    """Two messages change places."""

    def changed(said: Messages) -> Messages:
        found, i, j = list(said), first % len(said), second % len(said)
        found[i], found[j] = found[j], found[i]
        return found

    return changed


def overwritten(said: bytes, where: int, byte: int) -> Messages:
    """With another byte in the body."""
    i = 5 + where % max(1, len(said) - 5)
    return [said[:i] + bytes([byte]) + said[i + 1 :]]


def resized(said: bytes, by: int) -> Messages:
    """With another length in the head."""
    return [said[:1] + struct.pack("!I", (len(said) - 1 + by) % 2**32) + said[5:]]


STRANGE = st.sampled_from(
    [
        error("ERROR", "22012"), error("FATAL", "57P01"), error("ERROR", "0A000"), error("PANIC", "XX000"),
        message(b"N", error("NOTICE", "00000")[5:]), message(b"A", struct.pack("!I", 7) + b"channel\0payload\0"),
        message(b"S", b"TimeZone\0Europe/Berlin\0"), message(b"s"), message(b"n"), message(b"1"), message(b"2"),
        message(b"3"), message(b"I"), message(b"t", b"\0\0"), message(b"R", b"\0\0\0\3"), message(b"Z", b"I"),
        message(b"Z", b"T"), message(b"C", b"SELECT 1\0"), message(b"G", b"\0\0\1\0\1"), message(b"H", b"\0\0\1\0\1"),
        message(b"d", b"row\n"), message(b"c"), message(b"W", b"\0\0\0"), message(b"v", b"\0\0\0\0\0\0\0\0"),
        message(b"?", b"what"), message(b"\0"), b"\0" * 8, b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ]
)  # fmt: skip
ROWS = st.lists(st.none() | st.binary(max_size=12), max_size=6).map(data_row)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    one(lambda said: []),
    one(lambda said: [said, said]),
    one(lambda said, strange: [strange, said], STRANGE | ROWS),
    one(lambda said, byte: [bytes([byte]) + said[1:]], byte),
    one(lambda said, size: [said[: size % len(said)]], number),
    one(overwritten, number, byte),
    one(resized, st.integers(-6, 6) | st.integers(-(2**31), 2**31)),
    st.builds(swap, number, number),
)


@st.composite
def lies(draw: st.DrawFn) -> Lie:
    """Some changes, and in how many pieces the answer arrives."""
    changes = draw(st.lists(CHANGES, max_size=2))
    cuts = draw(st.lists(st.integers(0, 300), max_size=3))
    ends_early = draw(st.none() | st.integers(0, 300))

    def lie(said: Messages) -> list[bytes]:
        for change in changes:
            said = [part for part in change(said) if part] or [b"\0"]
        whole = b"".join(said)[:ends_early]
        note(f"sent: {whole!r}")
        places = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
        return [whole[start:end] for start, end in pairwise(places)]

    return lie


# -- what comes of it -------------------------------------------------------------------------------------------------


async def outcome(mode: str, table: Any, lie: Lie, tasks: int, known: bool = True) -> list[str]:
    """What each of some calls gives whose common answer is a lie; afterwards the pool works as before.

    If the statement is not known yet, the lie is about its types, which the pool may believe.
    """
    async with LyingServer(*table).running() as server:
        dsn = f"postgresql://u@127.0.0.1:{server.port}/d?sslmode=disable"
        async with db_pool_rs.create_pool(dsn, mode=mode, min_size=1, max_size=1, **PATIENT) as pool:
            honest = [await pool.fetch(ASK, 1) for _ in range(4 if known else 0)]
            server.lie(lie)
            calls = asyncio.gather(*(pool.fetch(ASK, i) for i in range(tasks)), return_exceptions=True)
            found = await asyncio.wait_for(calls, HANGS)
            await asyncio.wait_for(server.left.wait(), HANGS)
            assert (
                await asyncio.wait_for(pool.fetchval("SHOW default_transaction_isolation"), HANGS) == "read committed"
            )
            assert not known or await asyncio.wait_for(pool.fetch(ASK, 1), HANGS) == honest[-1]
            return [described(one) for one in found]


def described(found: Any) -> str:
    """Rows with the types of their values; of an error its class."""
    if isinstance(found, BaseException):
        assert isinstance(found, db_pool_rs.Error), found
        return type(found).__name__
    return repr([tuple(row) for row in found])
