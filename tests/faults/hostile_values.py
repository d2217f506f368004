"""Run by test_hostile_values in a process of its own: what each damaged value gives, one line of JSON for each.

`python -m tests.faults.hostile_values MODE SEED COUNT`: the values of `DAMAGED`, then COUNT that are made of good ones,
through a pool. :mod:`.fuzz_inputs` gives such values to the engine's decoders alone.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import db_pool_rs
from db_pool_rs.types import oids as pg
from db_pool_rs.types.encode import encoder
from tests.cext.wire import ASK, LyingServer

RANGE, MULTIRANGE = 3904, 4451
TSTZ = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)


def _array(oid: int, *parts: bytes, count: int | None = None, dimensions: int = 1) -> bytes:
    number = len(parts) if count is None else count
    head = struct.pack(">iiI", dimensions, 0, oid) + struct.pack(">ii", number, 1) * min(dimensions, 6)
    return head + b"".join(struct.pack(">i", len(part)) + part for part in parts)


def _range(*parts: bytes, flags: int = 2) -> bytes:
    return bytes([flags]) + b"".join(struct.pack(">i", len(part)) + part for part in parts)


def _record(*fields: tuple[int, bytes | None], count: int | None = None) -> bytes:
    parts = [struct.pack(">I", oid) + (NULL if data is None else _sized(data)) for oid, data in fields]
    return struct.pack(">i", len(fields) if count is None else count) + b"".join(parts)


def _sized(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _nested(depth: int) -> bytes:
    data = _record()
    for _ in range(depth):
        data = _record((pg.RECORD.oid, data))
    return data


NULL = b"\xff\xff\xff\xff"
GOOD_RECORD = _record((23, b"\0\0\0\1"), (25, b"abc"), (pg.RECORD.oid, _record((600, bytes(16)), (20, None))))
ONE = struct.pack(">i", 1)
GOOD_ARRAY = _array(pg.TEXT.oid, b"abc", b"de")
#: Type, damaged value.
DAMAGED: list[tuple[int, bytes]] = [
    (pg.TEXT.array_oid, b""),
    (pg.TEXT.array_oid, b"\0\0\1"),
    (pg.TEXT.array_oid, GOOD_ARRAY[:20] + b"\x7f\xff\xff\xff" + GOOD_ARRAY[24:]),  # the next length is far away
    (pg.TEXT.array_oid, GOOD_ARRAY[:20] + b"\0\0\0\x40" + GOOD_ARRAY[24:]),  # foreign memory
    (pg.TEXT.array_oid, GOOD_ARRAY[:20] + b"\xff\xff\xff\xf0" + GOOD_ARRAY[24:]),
    (pg.TEXT.array_oid, _array(pg.TEXT.oid, b"abc", count=2**31 - 1)),
    (pg.TEXT.array_oid, _array(pg.TEXT.oid, b"abc", count=3)),
    (pg.TEXT.array_oid, _array(pg.TEXT.oid, b"abc", b"d", count=1)),
    (pg.TEXT.array_oid, _array(pg.INT8.oid, b"abc")),
    (pg.TEXT.array_oid, _array(pg.TEXT.oid, b"abc", dimensions=7)),
    (pg.INT4.array_oid, _array(pg.INT4.oid, b"\0\0\0\1", b"\0\0")),
    (pg.INT8.array_oid, _array(pg.INT8.oid, b"\1")),
    (pg.NUMERIC.array_oid, _array(pg.NUMERIC.oid, b"\x7f\xff\0\0\0\0\0\0\0\1")),
    (pg.NUMERIC.oid, b"\x7f\xff\0\0\0\0\0\0\0\1"),
    (pg.NUMERIC.oid, b"\0\1"),
    (pg.INT8.oid, b"\1"),
    (pg.INT4.oid, b"\0\0\0\0\1"),
    (pg.TIMETZ.oid, bytes(8)),
    (pg.TIMETZ.oid, bytes(16)),
    (pg.INTERVAL.oid, bytes(4)),
    (pg.TIMESTAMPTZ.oid, bytes(3)),
    (RANGE, b""),
    (RANGE, _range(ONE)),
    (RANGE, _range(ONE, ONE[:3])),
    (RANGE, _range(ONE, ONE) + b"\0"),
    (RANGE, b"\2" + b"\0\0\0\x09" + ONE + b"\0\0\0\4" + ONE),  # a length that leads behind the end
    (RANGE, b"\2" + b"\xff\xff\xff\xff" + b"\0\0\0\4" + ONE),
    (RANGE, _range(flags=0x81)),
    (3905, _array(RANGE, b"\2" + b"\0\0\0\x09" + ONE + b"\0\0\0\4" + ONE)),
    (MULTIRANGE, b"\0\0\0\2" + struct.pack(">i", 17) + _range(ONE, ONE)),
    (MULTIRANGE, b"\x7f\xff\xff\xff"),
    (MULTIRANGE, b"\0\0\0\1" + struct.pack(">i", 14) + _range(ONE, b"\1")),
    (pg.INET.oid, b"\2\x20\0\4\x7f\0"),
    (pg.RECORD.oid, b""),
    (pg.RECORD.oid, b"\0\0\1"),
    (pg.RECORD.oid, GOOD_RECORD[:-1]),
    (pg.RECORD.oid, GOOD_RECORD + b"\0"),
    (pg.RECORD.oid, _record((25, b"a"), count=2**31 - 1)),
    (pg.RECORD.oid, _record((25, b"a"), count=-1)),
    (pg.RECORD.oid, _record((25, b"a"), count=0)),
    (pg.RECORD.oid, GOOD_RECORD[:8] + b"\x7f\xff\xff\xff" + GOOD_RECORD[12:]),  # the next field is far away
    (pg.RECORD.oid, GOOD_RECORD[:8] + b"\xff\xff\xff\xfe" + GOOD_RECORD[12:]),
    (pg.RECORD.oid, _record((23, b"\0\0\1"))),
    (pg.RECORD.oid, _record((pg.NUMERIC.oid, b"\x7f\xff\0\0\0\0\0\0\0\1"))),
    (pg.RECORD.oid, _record((RANGE, _range(ONE)))),
    (pg.RECORD.oid, _record((pg.TEXT.array_oid, _array(pg.TEXT.oid, b"abc", count=3)))),
    (pg.RECORD.oid, _record((1017, _array(600, bytes(15))))),
    (pg.RECORD.oid, _record((600, bytes(15)))),
    (pg.RECORD.oid, _record((602, b"\1\x7f\xff\xff\xff"))),
    (pg.RECORD.oid, _record((1560, b"\x7f\xff\xff\xff\0"))),
    (pg.RECORD.oid, _record((3614, b"\x7f\xff\xff\xffabc"))),
    (pg.RECORD.oid, _record((3614, b"\0\0\0\1a\0\xff\xff"))),
    (pg.RECORD.oid, _record((5038, b"\x7f\xff\xff\xff" + bytes(16)))),
    (pg.RECORD.oid, _record((22, _array(pg.INT2.oid, b"\0\1")))),
    (pg.RECORD.oid, _record((790, bytes(8)))),  # money
    (pg.RECORD.oid, _nested(100)),
    (pg.RECORD.oid, _record((pg.RECORD.array_oid, _array(pg.RECORD.oid, GOOD_RECORD, b"\0\0\0\1")))),
    (pg.RECORD.array_oid, _array(pg.RECORD.oid, GOOD_RECORD[:-1])),
    (pg.RECORD.array_oid, _array(pg.TEXT.oid, GOOD_RECORD)),
    (pg.RECORD.array_oid, _array(pg.RECORD.oid, GOOD_RECORD, count=2**31 - 1)),
    (pg.NUMERIC.oid, bytes.fromhex("0003000100000003000109297f7c")),  # a digit of more than 9999
    (pg.NUMERIC.oid, bytes.fromhex("00010000000060000001")),  # a scale that is none
    (pg.NUMERIC.oid, bytes.fromhex("00018000000000000001")),  # digits far behind the last decimal
    (pg.NUMERIC.oid, bytes.fromhex("0001fff7000000020001")),
    (pg.NUMERIC.array_oid, _array(pg.NUMERIC.oid, bytes.fromhex("0001fff7000000020001"))),
]
GOOD: dict[int, Any] = {
    pg.INT4.array_oid: [1, None, -3], pg.TEXT.array_oid: ["a", "", None, "long " * 9], pg.INT8.oid: 2**40,
    pg.NUMERIC.array_oid: [Decimal("1.50"), Decimal("-1000000")], pg.NUMERIC.oid: Decimal("12345.678"),
    pg.TIMETZ.oid: time(1, 2, 3, tzinfo=timezone.utc), pg.INTERVAL.oid: timedelta(1, 2), pg.DATE.oid: date(2024, 2, 29),
    pg.TIMESTAMPTZ.array_oid: [TSTZ], pg.UUID.array_oid: [UUID(int=7)], pg.JSONB.oid: {"a": [1, "b"]},
    pg.BYTEA.array_oid: [b"\0\xff"], pg.BOOL.array_oid: [True, False], pg.FLOAT8.array_oid: [[1.5, 2.5]],
}  # fmt: skip
BINARY = {pg.RECORD.oid: GOOD_RECORD, pg.RECORD.array_oid: _array(pg.RECORD.oid, GOOD_RECORD, _nested(3)),
          RANGE: _range(ONE, ONE), 3905: _array(RANGE, _range(ONE, ONE)),
          MULTIRANGE: b"\0\0\0\1" + struct.pack(">i", 17) + _range(ONE, ONE)}  # fmt: skip


#: As text, in which a pool asks for what has no binary form that can be read.
TEXTS: list[tuple[int, bytes]] = [
    (pg.TEXT.array_oid, rb'{a,"",NULL,"b \"c\" \\",{}}'), (pg.TEXT.array_oid, b'[0:1]={a,"b,c"}'),
    (pg.INT4.array_oid, b"{{1,NULL},{-3,4}}"), (pg.NUMERIC.array_oid, b"{1.50,NaN}"), (pg.UUID.array_oid, b"{}"),
    (pg.BYTEA.oid, rb"a\\b\000c"), (pg.BYTEA.oid, rb"\x00ff7f"), (pg.BOOL.oid, b"t"), (pg.INT8.oid, b"-42"),
    (pg.FLOAT4.oid, b"1.1754944e-38"), (pg.FLOAT8.oid, b"-Infinity"), (pg.NUMERIC.oid, b"12345.678"),
    (pg.DATE.oid, b"2024-02-29"), (pg.TIME.oid, b"01:02:03.4"), (pg.TIMETZ.oid, b"01:02:03+05:30"),
    (pg.TIMESTAMP.oid, b"2024-02-29 12:00:00.000001"), (pg.TIMESTAMPTZ.oid, b"2024-02-29 12:00:00+00"),
    (pg.INTERVAL.oid, b"1 year -2 mons +3 days -04:05:06.7"), (pg.UUID.oid, b"12345678-1234-1234-1234-123456789abc"),
    (pg.JSONB.oid, b'{"a": [1, "b", null]}'), (pg.INET.oid, b"127.0.0.1/8"),
    (pg.BYTEA.array_oid, rb'{"\\x00ff"}'),
    (RANGE, b"[1,5)"), (RANGE, b"(,)"), (MULTIRANGE, b"{[1,2),[3,)}"), (3905, b'{"[1,2)",empty}'),
]  # fmt: skip


def mutated(chance: random.Random) -> tuple[int, bytes]:
    """A good value in binary, with some bytes altered, taken out, put in, or cut off."""
    oid, value = chance.choice([*GOOD.items(), *BINARY.items()])
    data = bytearray(value if oid in BINARY else encoder(oid).encode(value))
    return oid, altered(data, chance, (0, 1, 4, 0x7F, 0x80, 0xFF))


def mutated_text(chance: random.Random) -> tuple[int, bytes]:
    """The same in text."""
    oid, data = chance.choice(TEXTS)
    return oid, altered(bytearray(data), chance, b'\\"{},:[]()-+.x0NTe \x80\xff')


def altered(data: bytearray, chance: random.Random, telling: Sequence[int]) -> bytes:
    """With some bytes altered, taken out, put in, or cut off; `telling` are those that mean something."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0 if at < len(data):
                data[at] = chance.choice((*telling, chance.randrange(256)))
            case 1:
                data[at : at + chance.randint(1, 4)] = b""
            case 2:
                data[at:at] = bytes(chance.choices(telling, k=chance.randint(1, 4)))
            case 3:
                del data[at:]
    return bytes(data)


async def given(mode: str, oid: int, data: bytes) -> str:
    """What a call gives whose row has this value, and one after it on the same pool."""
    beside = [pg.FLOAT8.oid] if pg.reads_faster_in_text([oid]) else []  # with it the row is asked for in binary
    return await _given(mode, [oid, *beside], [[data, *(bytes(8) for _ in beside)]], 0)


async def given_among(mode: str, oid: int, data: bytes) -> str:
    """The same where it is one of many values: between NULLs, beside other columns."""
    oids = [pg.INT8.oid, oid, pg.TEXT.oid, pg.UUID.oid]
    rows = [[bytes(8), value, b"text", bytes(16)] for value in (None, *[data] * 3, None)]
    return await _given(mode, oids, rows, 1)


async def _given(mode: str, oids: list[int], rows: list[list[bytes | None]], column: int) -> str:
    async with LyingServer(oids, rows).running() as server:
        dsn = f"postgresql://u@127.0.0.1:{server.port}/d?sslmode=disable"
        async with db_pool_rs.create_pool(dsn, mode=mode, min_size=1, max_size=1) as pool:
            try:
                values = [repr(row[column]) for row in await asyncio.wait_for(pool.fetch(ASK, 1), 30)]
                found = "; ".join(dict.fromkeys(one for one in values if one != "None" or len(rows) == 1))
            except db_pool_rs.Error as error:
                found = type(error).__name__
            assert await pool.fetchval("SHOW default_transaction_isolation") == "read committed"
            return found


async def main(mode: str, seed: int, count: int) -> None:
    """One line for each value: its type, itself, what it gave, and what it gave among others."""
    chance = random.Random(seed)
    for oid, data in [*DAMAGED, *(mutated(chance) for _ in range(count))]:
        outcomes = await given(mode, oid, data), await given_among(mode, oid, data)
        print(json.dumps([oid, data.hex(), *outcomes]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
