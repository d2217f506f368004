"""Records as the data of a binary COPY, encoded as the table's columns want it."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from ..errors import ArgumentError, InterfaceError
from ..types import scalars
from ..types.encode import BINARY, Encoder, encoder
from ..types.explain import Rejected, describe
from ..types.oids import CIDR, INET

#: What the columns of a table are called and which types they have; a domain is sent as the type below it.
COLUMNS = """\
WITH RECURSIVE base(number, name, type) AS (
    SELECT attnum, attname::text, atttypid FROM pg_catalog.pg_attribute
    WHERE attrelid = $1::text::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    UNION ALL
    SELECT number, name, typbasetype FROM base, pg_catalog.pg_type t WHERE t.oid = base.type AND typtype = 'd')
SELECT name, type::oid AS type, pg_catalog.format_type(type, NULL) AS shown, typreceive::text AS receive
FROM base, pg_catalog.pg_type t WHERE t.oid = base.type AND typtype <> 'd' ORDER BY number"""

#: Types whose binary form is their text.
_TEXTUAL = frozenset(("textrecv", "varcharrecv", "bpcharrecv", "namerecv", "enum_recv", "citextrecv", "xml_recv"))
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_length = struct.Struct(">i").pack
#: Bytes sent at a time.
PIECE = 1 << 16


class RecordEncoder:
    """Encodes records for these columns: rows of :data:`COLUMNS`."""

    def __init__(self, columns: Sequence[Any]) -> None:
        self._names = [column["name"] for column in columns]
        self._encoders = [_encoder_of(column) for column in columns]
        self._functions = [one.encode for one in self._encoders]
        self._head = struct.pack(">h", len(columns))

    async def pieces(self, records: Any) -> AsyncIterator[bytes]:
        """The data for `records`, an iterable or an asynchronous one; ArgumentError names the one that does not fit."""
        data = bytearray(_HEADER)
        number = 0
        async for record in _each(records):
            self._append(data, number, record)
            number += 1
            if len(data) >= PIECE:
                yield bytes(data)
                data.clear()
        yield bytes(data) + _TRAILER

    def _append(self, data: bytearray, number: int, record: Any) -> None:
        parts = [self._head]
        try:
            for function, value in zip(self._functions, record, strict=True):
                if value is None:
                    parts.append(_NULL)
                else:
                    encoded = function(value)
                    parts += (_length(len(encoded)), encoded)
        except Exception as error:
            raise self._explained(number, record) from error
        data += b"".join(parts)

    def _explained(self, number: int, record: Any) -> ArgumentError:
        try:
            values = tuple(record)
        except TypeError:
            return ArgumentError(f"record {number}: a sequence of values expected, got {describe(record)}")
        if len(values) != len(self._names):
            return ArgumentError(f"record {number}: {len(self._names)} values expected, got {len(values)}")
        for name, one, value in zip(self._names, self._encoders, values, strict=True):
            try:
                if value is not None:
                    one.encode(value)
            except Exception as error:
                reason = f": {error}" if isinstance(error, (Rejected, UnicodeError)) else ""
                wanted = f"{one.name} expected ({one.accepts}), got {describe(value)}"
                return ArgumentError(f'record {number}, column "{name}": {wanted}{reason}')
        return ArgumentError(f"record {number} changed while it was being encoded")


async def _each(records: Any) -> AsyncIterator[Any]:
    if hasattr(records, "__aiter__"):
        async for record in records:
            yield record
    elif isinstance(records, Iterable):
        for record in records:
            yield record
    else:
        raise InterfaceError(f"records: an iterable of records expected, got {type(records).__name__}")


def _encoder_of(column: Any) -> Encoder:
    known = encoder(column["type"])
    if known.format == BINARY:
        return known
    if column["type"] in (INET.oid, CIDR.oid):
        return Encoder(known.name, BINARY, _network(column["type"] == CIDR.oid), known.accepts)
    if column["receive"] in _TEXTUAL:
        return Encoder(column["shown"], BINARY, scalars.encode_text, "str")
    raise InterfaceError(
        f'the column "{column["name"]}" has the type {column["shown"]}, for which there is no binary form here: '
        "use copy_to_table with text, or executemany"
    )


def _network(cidr: bool) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
            address, bits = value.network_address, value.prefixlen
        else:
            interface = ipaddress.ip_interface(value)
            address, bits = interface.ip, interface.network.prefixlen
        packed = address.packed
        return bytes((2 if address.version == 4 else 3, bits, cidr, len(packed))) + packed

    return encode
