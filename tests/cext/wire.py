"""A server in this process that speaks as much of PostgreSQL's protocol as a pool needs, and lies on demand.

It knows one statement, ASK, whose columns and rows are given. The next answer that has to do with it after `lie` is
called is the honest one passed through a function; then the connection is closed. All other answers are honest.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Sequence

from db_pool_rs.drivers.postgres.dialect import STARTUP_QUERY
from db_pool_rs.guard.keeper import CATALOG

ASK = "SELECT * FROM things WHERE id > $1"
_INT4 = 23
_TEXT = 25

Messages = list[bytes]
#: What becomes of an honest answer: the pieces that are sent one after the other.
Lie = Callable[[Messages], Sequence[bytes]]
Row = Sequence[bytes | None]


def message(kind: bytes, body: bytes = b"") -> bytes:
    """One message of the protocol."""
    return kind + struct.pack("!I", len(body) + 4) + body


def error(severity: str, sqlstate: str) -> bytes:
    """ErrorResponse."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": "no"}
    return message(b"E", b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0")


def data_row(values: Row) -> bytes:
    """DataRow."""
    cells = [b"\xff\xff\xff\xff" if value is None else struct.pack("!I", len(value)) + value for value in values]
    return message(b"D", struct.pack("!H", len(values)) + b"".join(cells))


def _row_description(oids: Sequence[int], format: int) -> bytes:
    columns = [f"c{i}\0".encode() + struct.pack("!IHIhih", 0, 0, oid, -1, -1, format) for i, oid in enumerate(oids)]
    return message(b"T", struct.pack("!H", len(oids)) + b"".join(columns))


_READY = message(b"Z", b"I")
_SETTINGS = {"server_version": "16.0", "client_encoding": "UTF8", "TimeZone": "UTC", "integer_datetimes": "on",
             "standard_conforming_strings": "on", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres"}  # fmt: skip
#: What is said to a client that is let in.
GREETING = [
    message(b"R", struct.pack("!I", 0)),
    *(message(b"S", f"{name}\0{value}\0".encode()) for name, value in _SETTINGS.items()),
    message(b"K", struct.pack("!II", 1, 2)),
    _READY,
]


class Session:
    """One connection, seen from the server."""

    def __init__(self, oids: Sequence[int], rows: Sequence[Row]) -> None:
        self._oids, self._rows = oids, rows
        self._texts: dict[bytes, str] = {}
        #: What is run next, and the format of its rows.
        self._bound, self._format = "", 0
        #: Whether what the client has sent has to do with ASK.
        self.asked = False

    def answer(self, kind: bytes, body: bytes) -> Messages:
        """What the server says to one message."""
        if kind == b"P":
            name, sql, _ = body.split(b"\0", 2)
            self._texts[name] = sql.decode()
            self.asked |= self._texts[name] == ASK
            return [message(b"1")]
        if kind == b"B":
            _, name, rest = body.split(b"\0", 2)
            self._bound, self._format = self._texts[name], struct.unpack("!H", rest[-2:])[0]
            return [message(b"2")]
        if kind == b"D":
            return self._described(body[:1], body[1:-1])
        return self._executed() if kind == b"E" else [_READY] if kind == b"S" else []

    def _described(self, what: bytes, name: bytes) -> Messages:
        sql = self._texts[name] if what == b"S" else self._bound
        oids = self._oids if sql == ASK else [_TEXT] * 3 if sql == STARTUP_QUERY else [_TEXT]
        columns = [_row_description(oids, 0 if what == b"S" else self._format)]
        taken = [_INT4] if sql == ASK else [_TEXT] if sql == CATALOG() else []
        parameters = struct.pack(f"!H{len(taken)}I", len(taken), *taken)
        return [message(b"t", parameters), *columns] if what == b"S" else columns

    def _executed(self) -> Messages:
        if self._bound != ASK:
            return self._told()
        self.asked = True
        return [*map(data_row, self._rows), message(b"C", f"SELECT {len(self._rows)}\0".encode())]

    def _told(self) -> Messages:
        """What pools ask of their own: nothing is in the catalogue."""
        if self._bound == CATALOG():
            return [message(b"C", b"SELECT 0\0")]
        row = [b"read committed", b"", b"1"] if self._bound == STARTUP_QUERY else [b"read committed"]
        return [data_row(row), message(b"C", b"SHOW\0")]


class LyingServer:
    """See the module; `port` is where it listens."""

    def __init__(self, oids: Sequence[int], rows: Sequence[Row]) -> None:
        self._oids, self._rows = oids, rows
        self._lie: Lie | None = None
        #: The answer to a Sync alone, with which an idle connection is asked for a sign of life.
        self.sign_of_life = b""
        #: So many connections are closed right behind the answer to their first question.
        self.hang_ups = 0
        self._sessions: set[asyncio.Task[None]] = set()
        #: The client has closed the connection on which it was lied to.
        self.left = asyncio.Event()
        self.port = 0

    def lie(self, lie: Lie) -> None:
        """Pass the next answer to ASK through `lie`."""
        self._lie = lie

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[LyingServer]:
        """Listen, and wait at the end until all clients have left."""
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
            if self._sessions:
                _, staying = await asyncio.wait(self._sessions, timeout=20)
                assert not staying, "a client has left its connection open"
        finally:
            listener.close()
            await listener.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._sessions.discard(task)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!I", await reader.readexactly(4))
        await reader.readexactly(size - 4)
        writer.write(b"".join(GREETING))
        session, said = Session(self._oids, self._rows), Messages()
        while True:
            kind, size = struct.unpack("!cI", await reader.readexactly(5))
            said += session.answer(kind, await reader.readexactly(size - 4))
            if kind != b"S":
                continue
            if session.asked and self._lie is not None:
                await self._deceive(said, reader, writer)
                return
            writer.write(self.sign_of_life if self.sign_of_life and said == [_READY] else b"".join(said))
            if self.hang_ups:
                self.hang_ups -= 1
                return
            session.asked = False
            said.clear()

    async def _deceive(self, said: Messages, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._lie is not None
        lie, self._lie = self._lie, None
        try:
            for piece in lie(said):
                writer.write(piece)
                await asyncio.sleep(0)
            writer.write_eof()
            while await reader.read(65536):
                pass
        finally:
            self.left.set()
