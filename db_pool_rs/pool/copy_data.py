"""The data of a COPY: records, encoded as the table's columns want it; where other data come from and go to.

Records travel in binary if all columns have a binary form here, else as text, which every type has.

Files are read and written on a thread, a piece at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import ipaddress
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..aio import remaining
from ..errors import ArgumentError, InterfaceError
from ..types import scalars
from ..types.encode import BINARY, Encoder, encoder
from ..types.explain import Rejected, describe
from ..types.oids import CIDR, INET
from ..types.parameters import MAX_MESSAGE
from .named import NO_VALUES

if TYPE_CHECKING:
    from ..drivers.base import WriteRecords
    from ..types.catalog import Catalog
    from .lease import Lease

#: What the columns of a table are called and which types they have (`own`), and the type below where it is a domain.
COLUMNS = """\
WITH RECURSIVE base(number, name, own, type) AS (
    SELECT attnum, attname::text, atttypid, atttypid FROM pg_catalog.pg_attribute
    WHERE attrelid = $1::text::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    UNION ALL
    SELECT number, name, own, typbasetype FROM base, pg_catalog.pg_type t WHERE t.oid = base.type AND typtype = 'd')
SELECT name, own::oid AS own, type::oid AS type, pg_catalog.format_type(type, NULL) AS shown,
    typreceive::text AS receive
FROM base, pg_catalog.pg_type t WHERE t.oid = base.type AND typtype <> 'd' ORDER BY number"""

#: The answer about types, as the catalogue wants it: all in text.
_IN_TEXT = "oid::text, name, kind, part::text, delimiter::text, fields::text, plain_name::text, schema::text"

#: Types whose binary form is their text. That of xml is not: the server reads it in the encoding that it declares.
_TEXTUAL = frozenset(("textrecv", "varcharrecv", "bpcharrecv", "namerecv", "enum_recv", "citextrecv"))
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_length = struct.Struct(">i").pack
#: Bytes of records that are sent at a time.
PIECE = 1 << 16
#: Bytes read from a file, or gathered for it, at a time. More, since each piece costs two changes of threads.
FILE_PIECE = 1 << 19
_SOURCES = "a path, a binary file or an asynchronous iterable of bytes"
_OUTPUTS = "a path, a binary file or a coroutine function that takes bytes"


class TypedDatabase(Protocol):
    """A database that has COPY: its types, and the question for them."""

    types_query: str

    @property
    def write_records(self) -> WriteRecords | None:
        """What writes records in binary, if it has a way of its own."""

    @property
    def catalog(self) -> Catalog:
        """What is known of types that are not built in."""


async def record_encoder(lease: Lease, columns: Sequence[Any], deadline: float | None) -> RecordEncoder:
    """What encodes records for these columns: rows of :data:`COLUMNS`. The server is asked for types as needed."""
    database = cast(TypedDatabase, lease.session().database)
    catalog = database.catalog
    names = [column["name"] for column in columns]
    binary = [_binary_encoder(column, catalog) for column in columns]
    chosen = [one for one in binary if one is not None]
    if len(chosen) == len(binary):
        written = [(column["type"], one.encode) for column, one in zip(columns, chosen, strict=True)]
        write = None if database.write_records is None else partial(database.write_records, written)
        return RecordEncoder(names, chosen, is_text=False, forget=lambda: None, write=write)
    oids = [column["own"] for column in columns]
    if asked := catalog.outdated(oids):
        question = f"SELECT {_IN_TEXT} FROM ({database.types_query}) AS known"
        catalog.learn(asked, await lease.ask(question, (list(asked),), remaining(deadline)))
    encoders = [catalog.text_encoder(oid) for oid in oids]
    return RecordEncoder(names, encoders, is_text=True, forget=lambda: catalog.forget(catalog.foreign(oids)))


class RecordEncoder:
    """Encodes records, each column by its encoder: in binary, or (`is_text`) in COPY's text."""

    def __init__(
        self,
        names: Sequence[str],
        encoders: Sequence[Encoder],
        is_text: bool,
        forget: Callable[[], None],
        write: Callable[[Iterator[Any], int], tuple[bytes, int, tuple[Any, ...] | None]] | None = None,
    ) -> None:
        self.format = "text" if is_text else "binary"
        #: To be called where records were refused: types may be others by now (rule 4.7).
        self.forget = forget
        self._write = write
        self._names = names
        self._encoders = encoders
        self._functions = [one.encode for one in encoders]
        self._append = self._append_text if is_text else self._append_binary
        self._head = b"" if is_text else struct.pack(">h", len(names))
        self._first, self._last = (b"", b"") if is_text else (_HEADER, _TRAILER)

    async def pieces(self, records: Any) -> AsyncIterator[bytes]:
        """The data for `records`, an iterable or an asynchronous one; ArgumentError names the one that does not fit."""
        data = bytearray(self._first)
        if self._write is not None and isinstance(records, Iterable) and not hasattr(records, "__aiter__"):
            for piece in self._written(self._write, data, iter(records)):
                yield piece
        else:
            number = 0
            async for record in _each(records):
                self._add(data, number, record)
                number += 1
                if len(data) >= PIECE:
                    yield bytes(data)
                    data.clear()
        yield bytes(data) + self._last

    def _written(self, write: Callable[..., Any], data: bytearray, records: Iterator[Any]) -> Iterator[bytes]:
        """The pieces but the last, which is left in `data`."""
        number, stopped = 0, ()
        while stopped is not None:
            written, count, stopped = write(records, PIECE - len(data))
            data += written
            number += count
            for record in stopped or ():
                self._add(data, number, record)
                number += 1
            if len(data) >= PIECE:
                yield bytes(data)
                data.clear()

    def _add(self, data: bytearray, number: int, record: Any) -> None:
        if type(record) is not tuple and isinstance(record, NO_VALUES):
            raise ArgumentError(f"record {number}: a sequence of values expected, got {describe(record)}")
        before = len(data)
        try:
            self._append(data, record)
        except Exception as error:
            raise self._explained(number, record) from error
        if len(data) - before > MAX_MESSAGE and (too_long := self._too_long(number, record)) is not None:
            raise too_long

    def _append_binary(self, data: bytearray, record: Any) -> None:
        parts = [self._head]
        for function, value in zip(self._functions, record, strict=True):
            if value is None:
                parts.append(_NULL)
            else:
                encoded = function(value)
                parts += (_length(len(encoded)), encoded)
        data += b"".join(parts)

    def _append_text(self, data: bytearray, record: Any) -> None:
        columns = zip(self._functions, record, strict=True)
        data += b"\t".join([b"\\N" if value is None else _escaped(function(value)) for function, value in columns])
        data += b"\n"

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
        changed = ArgumentError(f"record {number} changed while it was being encoded")
        return self._too_long(number, values) or changed

    def _too_long(self, number: int, record: Any) -> ArgumentError | None:
        """The error of a record with a value that is longer than PostgreSQL's are."""
        for name, one, value in zip(self._names, self._encoders, record, strict=False):
            if value is not None and (size := len(one.encode(value))) > MAX_MESSAGE:
                reason = f"{size:,} bytes, but a value takes at most {MAX_MESSAGE:,} (1 GB)"
                return ArgumentError(f'record {number}, column "{name}": {reason}')
        return None


async def _each(records: Any) -> AsyncIterator[Any]:
    if hasattr(records, "__aiter__"):
        async for record in records:
            yield record
    elif isinstance(records, Iterable):
        for record in records:
            yield record
    else:
        raise InterfaceError(f"records: an iterable of records expected, got {type(records).__name__}")


def _escaped(data: bytes) -> bytes:
    """A value in COPY's text; the empty one stays what it is."""
    if b"\\" in data:
        data = data.replace(b"\\", b"\\\\")
    return data.replace(b"\n", b"\\n").replace(b"\r", b"\\r").replace(b"\t", b"\\t")


def _binary_encoder(column: Any, catalog: Catalog) -> Encoder | None:
    """What writes the values of a column in binary; None if there is no such form here, or perhaps a codec."""
    if catalog.has_codecs and catalog.is_foreign(column["own"]):
        return None
    known = encoder(column["type"])
    if known.format == BINARY:
        return known
    if column["type"] in (INET.oid, CIDR.oid):
        return Encoder(known.name, BINARY, _network(column["type"] == CIDR.oid), known.accepts)
    if column["receive"] in _TEXTUAL:
        return Encoder(column["shown"], BINARY, scalars.encode_text, "str")
    return None


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


# -- files, streams and functions --------------------------------------------------------------------------------------


def source_of(given: Any) -> AsyncIterator[bytes]:
    """The pieces of what `copy_to_table` was given."""
    if isinstance(given, (str, os.PathLike)):
        return _read_path(given)
    if hasattr(given, "__aiter__"):
        iterator: AsyncIterator[bytes] = given.__aiter__()
        return iterator
    if callable(getattr(given, "read", None)):
        return _read(given)
    raise InterfaceError(f"source: {_SOURCES} expected, got {type(given).__name__}")


async def told_apart(given: Any) -> tuple[Any, Any]:
    """What `copy_in` was given: a source of data, else None, and records, else None. The first piece of it decides."""
    if isinstance(given, (bytes, bytearray, memoryview)):
        return _each((given,)), None
    if isinstance(given, (str, os.PathLike)) or callable(getattr(given, "read", None)):
        return given, None
    iterate = getattr(given, "__aiter__", None)
    if iterate is None and not isinstance(given, Iterable):
        raise InterfaceError(f"source: {_SOURCES}, or records expected, got {type(given).__name__}")
    iterator = _each(given) if iterate is None else iterate()
    first = [one async for one in _first(iterator)]
    whole = _chained(first, iterator)
    return (whole, None) if first and isinstance(first[0], (bytes, bytearray, memoryview)) else (None, whole)


async def _first(iterator: AsyncIterator[Any]) -> AsyncIterator[Any]:
    with contextlib.suppress(StopAsyncIteration):
        yield await iterator.__anext__()


async def _chained(first: list[Any], rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    close = getattr(rest, "aclose", None)
    try:
        for one in first:
            yield one
        async for one in rest:
            yield one
    finally:
        if close is not None:
            await close()


async def _read_path(path: Any) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(open, path, "rb")
    try:
        async for piece in _read(file):
            yield piece
    finally:
        file.close()


async def _read(file: Any) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, FILE_PIECE):
        yield piece


@contextlib.asynccontextmanager
async def sink_of(given: Any) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    """The function that takes the data for what `copy_from_table` was given; at the end everything is written."""
    if isinstance(given, (str, os.PathLike)):
        file = await asyncio.to_thread(open, given, "wb")
        try:
            async with _writing(file) as write:
                yield write
        finally:
            file.close()
    elif callable(getattr(given, "write", None)):
        async with _writing(given) as write:
            yield write
    elif inspect.iscoroutinefunction(given):
        yield given
    else:
        raise InterfaceError(f"output: {_OUTPUTS} expected, got {type(given).__name__}")


@contextlib.asynccontextmanager
async def _writing(file: Any) -> AsyncIterator[Callable[[bytes], Awaitable[Any]]]:
    gathered = bytearray()

    async def write(data: bytes) -> None:
        gathered.extend(data)
        if len(gathered) >= FILE_PIECE:
            await flush()

    async def flush() -> None:
        data = bytes(gathered)
        gathered.clear()
        await asyncio.to_thread(file.write, data)

    yield write
    if gathered:
        await flush()
