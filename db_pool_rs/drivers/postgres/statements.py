"""Prepared statements: what the server told of their texts, and which of them a connection has.

A description (parameter types in, column types out) is kept per pool and used by every link. When it is out of date:
:mod:`.staleness`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Protocol

from ...errors import ArgumentError, Error, InterfaceError
from ...record import Column, Status
from ...sql.named import highest
from ...types import oids as pg
from ...types.binary import RECORDS, obstacle, types_in, types_in_array
from ...types.catalog import Catalog
from ...types.encode import TEXT
from ...types.layout import FIXED_SIZES
from ...types.parameters import MAX_PARAMETERS, ForeignCodec, ParameterCodec
from .session_settings import SessionSettings, is_kept, is_sensitive

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

    from ...scheduler.cost import Query
    from ...scheduler.model import StatementRequest
    from ...types.decode import RowDecoder
    from .libpq import Libpq

#: What stands for the question about types, in the list of what is asked.
TYPES = b"types"
#: Of the 64 bits of a hash, which has a sign.
_WORD = 2**64 - 1


class Description:
    """Parameters and columns of one text.

    ``name`` is that of the prepared statement. It is made from the text itself, so that behind a proxy which shares
    server connections between programs equal names mean equal texts; ``version`` tells a text prepared again, after a
    change of its tables, from the one before.
    """

    __slots__ = (
        "catalog", "decoder", "encode", "foreign", "foreign_columns", "formats", "is_checked", "is_sensitive",
        "learned", "name", "names", "oids", "param_oids", "records", "result_format", "row_bytes", "sql", "wide",
    )  # fmt: skip

    def __init__(
        self, sql: str, param_oids: Sequence[int], names: Sequence[str], oids: Sequence[int], version: int,
        catalog: Catalog,
    ) -> None:  # fmt: skip
        self.sql = sql.encode()
        self.learned = time.monotonic()
        self.name = f"dbp_{hash(sql) & _WORD:016x}_{version}".encode()
        is_foreign = catalog.is_foreign
        codec = ParameterCodec(param_oids, sql)
        self.param_oids = tuple(param_oids)
        #: Of parameters whose types are not built in.
        self.foreign = ForeignCodec(param_oids, sql, catalog) if catalog.foreign(param_oids) else None
        self.encode = codec.encode if self.foreign is None else self.foreign.encode
        self.formats = [
            TEXT if is_foreign(oid) else format for oid, format in zip(param_oids, codec.formats, strict=True)
        ]
        self.names = tuple(names)
        self.oids = tuple(oids)
        #: Types of columns that are not built in.
        self.foreign_columns = catalog.foreign(oids)
        #: Numbers of the columns that hold records without a type of their own: all columns come in binary then.
        self.records = tuple(i for i, oid in enumerate(oids) if oid in RECORDS and not is_foreign(oid))
        self.catalog = catalog
        self.result_format = self.best_format()
        self.is_sensitive = not self.result_format and is_sensitive(self.oids)
        #: Whether there is something to look at before each execution.
        self.is_checked = self.is_sensitive or self.foreign is not None or (bool(self.records) and len(oids) > 1)
        self.decoder: RowDecoder | None = None
        #: For the size of a result: bytes of the columns of fixed size, and the numbers of the others.
        self.row_bytes = sum(FIXED_SIZES.get(oid, 0) for oid in self.oids)
        self.wide = tuple(i for i, oid in enumerate(self.oids) if oid not in FIXED_SIZES)

    @classmethod
    def of_result(cls, sql: str, result: PGresult, version: int, catalog: Catalog) -> Description:
        """From the answer to Describe, or from rows (then without parameters)."""
        params = [result.param_type(i) for i in range(result.nparams)]
        return cls(sql, params, *columns_of(result), version, catalog)

    def agrees(self, other: Description) -> bool:
        """Whether the other one tells the same of the same text."""
        return (self.param_oids, self.names, self.oids) == (other.param_oids, other.names, other.oids)

    def is_outdated(self) -> bool:
        """Whether types of parameters may have changed since."""
        return self.foreign is not None and self.foreign.is_outdated()

    def types_missing(self) -> tuple[int, ...]:
        """Types of parameters that the server must be asked about before arguments can be encoded."""
        return () if self.foreign is None else self.foreign.missing()

    @staticmethod
    def current(seen: Description | None) -> Description | None:
        """What was seen of an execution, or of a cursor, unless codecs of its columns were set or reset since."""
        kept = seen is not None and seen.foreign_columns == seen.catalog.foreign(seen.oids)
        return seen if kept else None

    def best_format(self) -> int:
        """The format to ask for: 1 (binary) where every column can be read so, unless text is read faster."""
        return int(self.has_binary() and not pg.reads_faster_in_text(self.oids))

    def has_binary(self) -> bool:
        """Whether every column can be read in binary."""
        return bool(self.records) or (not self.foreign_columns and bool(pg.result_format(self.oids)))

    def check_columns(self) -> tuple[int, ...]:
        """Types of columns beside records that the server must be asked about before it is known how they come.

        InterfaceError for one that cannot be read in binary; nothing was sent yet.
        """
        if not self.records or self.result_format == 0:
            return ()
        if unknown := self.catalog.missing(self.foreign_columns):
            return unknown
        for name, oid in zip(self.names, self.oids, strict=True):
            if (reason := obstacle(self.catalog, oid)) is not None:
                raise InterfaceError(
                    f'column "{name}" ({self.catalog.type_name(oid)}) cannot be read beside a record without a type,'
                    f" whose statement comes in binary: {reason}. Cast it to text, or the record to a composite type"
                )
        return ()

    def decoder_for(self, session: PGconn) -> RowDecoder:
        """What decodes results of this session: its settings count."""
        decoder = self.decoder
        if decoder is None or not decoder.fits(session):
            from ...types.decode import RowDecoder

            catalog = self.catalog if self.foreign_columns or self.records else None
            decoder = self.decoder = RowDecoder(self.names, self.oids, self.result_format, session, catalog)
        return decoder

    def size(self, result: PGresult) -> int:
        """About how many bytes the result holds: exact for fixed columns, the first row's size for the others."""
        rows = result.ntuples
        if not rows:
            return 0
        first = sum(len(result.get_value(0, i) or b"") for i in self.wide) if self.wide else 0
        return rows * (self.row_bytes + first)


class Prepared:
    """Names of the statements that one connection has prepared, at most `limit`, the least recently used first.

    What is sent is taken for done until the answer comes: a group may use a text several times, and more texts than are
    to be kept. If the group fails, `rollback` goes back to what the server has confirmed.
    """

    __slots__ = ("_there", "limit", "names")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: What will be there when everything that was sent is executed.
        self.names: dict[bytes, None] = {}
        self._there: dict[bytes, None] = {}

    def touch(self, name: bytes) -> None:
        """It is being used."""
        if name in self.names:
            del self.names[name]
            self.names[name] = None

    def add(self, name: bytes) -> None:
        """It is being prepared."""
        if name:
            self.names[name] = None

    def surplus(self) -> list[bytes]:
        """Take out what must go before one more is prepared."""
        gone = list(self.names)[: max(0, len(self.names) + 1 - self.limit)]
        for name in gone:
            del self.names[name]
        return gone

    def was_added(self, name: bytes) -> None:
        """The server has prepared it."""
        if name:
            self._there[name] = None

    def was_dropped(self, name: bytes) -> None:
        """The server has dropped it."""
        self._there.pop(name, None)

    def rollback(self) -> None:
        """A part of what was sent was not executed."""
        self.names = dict(self._there)

    def discard(self, name: bytes) -> None:
        """It is of no use any more."""
        self.names.pop(name, None)
        self._there.pop(name, None)

    def clear(self) -> None:
        """The server has dropped them all."""
        self.names.clear()
        self._there.clear()


class Host(Protocol):
    """What connections need of their driver, which keeps what is known of statement texts for all of them."""

    libpq: Libpq
    description_type: type[Description]
    max_statements: int
    #: See :class:`~db_pool_rs.drivers.postgres.driver.PostgresDriver`.
    named: bool
    doubted: bool
    version: int

    @property
    def catalog(self) -> Catalog:
        """What is known of types that are not built in."""

    def described(self, query: Query, result: PGresult) -> Description:
        """What a result tells of a text."""

    def learn(self, query: Query, result: PGresult) -> None:
        """The server answered a Describe."""

    def direct(self, query: Query, result: PGresult) -> Description:
        """What rows tell of a text that was run without asking first."""

    def forget(self, query: Query, described: Description) -> None:
        """What was known of a text is out of date."""

    def schema_changed(self, certain: bool) -> None:
        """Tables were changed, or may have been."""

    def doubt_names(self) -> None:
        """A name was taken on a connection."""

    def judge_names(self, direct: bool) -> None:
        """Whether a connection leads to the process that it was opened to."""


class Unfit(Exception):
    """Arguments of a statement do not fit."""

    def __init__(self, statement: StatementRequest, cause: Exception) -> None:
        super().__init__(str(cause))
        self.statement, self.cause = statement, cause


def all_encoded(group: Sequence[StatementRequest], several: bool) -> bool:
    """Whether nothing is left for `encode_arguments` to do, as with nearly every group."""
    for statement in group:
        described: Description | None = statement.query.description
        if described is not statement.described:
            return False
        if described is None:
            if several or statement.args:
                return False
        elif described.is_checked:
            return False
    return True


def encode_arguments(
    group: Sequence[StatementRequest],
    driver: Host,
    settings: SessionSettings,
    must_ask: Callable[[StatementRequest], bool],
    several: bool,
) -> tuple[StatementRequest | None, tuple[int, ...]]:
    """Encode the arguments whose types became known, or changed, since the call; Unfit if one does not fit.

    All of them before the first message is written: half a group must not lie in libpq's buffer. Nor must half a group
    be committed: if types are missing in one of `several` callers, they are asked for before all else. Returns the
    statement that the server must be asked about first, and, where its parameters are described, types that must be
    looked up.
    """
    for statement in group:
        described: Description | None = statement.query.description
        try:
            if described is not None and described.is_outdated():
                driver.forget(statement.query, described)
                described = None
            if described is None:
                if statement.args:
                    most = most_described(driver.libpq.version())
                    check_count(len(statement.args), most)
                    check_count(parameters_of(statement.query.sql, most), most)
                if several and must_ask(statement):
                    return statement, ()
                described = statement.described
                if described is not None and statement.args and not is_kept(statement.query):
                    described.encode(statement.args)  # refuses them: the text has no parameters, and it was asked about
            elif statement.described is not described:
                if unknown := described.types_missing():
                    return statement, unknown
                statement.params = described.encode(statement.args)
                statement.described = described
            if described is not None and described.is_checked and statement.want:
                settings.check(described)
                if unknown := described.check_columns():
                    return statement, unknown
        except Exception as error:  # whatever it is, it is this statement's: no other may wait for its end
            foreign = described.foreign if described is not None and isinstance(error, Error) else None
            if foreign is not None and foreign.may_be_stale():
                return statement, foreign.missing()
            raise Unfit(statement, error) from error
    return None, ()


def unknown_columns(group: Sequence[StatementRequest], driver: Host) -> tuple[int, ...]:
    """Types of the results' columns that the server must be asked about before the rows can be read."""
    found: list[int] = []
    for statement in group:
        if not statement.want:
            continue
        described = statement.described
        if described is None:
            described = statement.described = driver.direct(statement.query, statement.value)
        if described.foreign_columns:
            found += described.foreign_columns
        if described.records and described.result_format:
            found += driver.catalog.foreign(_types_in_records(described, statement.value))
    return driver.catalog.missing(found) if found else ()


def _types_in_records(described: Description, result: PGresult) -> set[int]:
    found: set[int] = set()
    for column in described.records:
        look = types_in if described.oids[column] == pg.RECORD.oid else types_in_array
        for data in map(result.get_value, range(result.ntuples), repeat(column)):
            if data is not None:
                look(data, found)
    return found


def most_described(libpq_version: int) -> int:
    """How many parameters a statement may have whose types must be asked for.

    libpq before 18 breaks the connection if the server lists the types of more than fit in 30,000 bytes.
    """
    return MAX_PARAMETERS if libpq_version >= 180_000 else 7_498


def check_count(count: int, most: int) -> None:
    """ArgumentError for more arguments than the server can tell the types of."""
    if count > most:
        why = "" if most == MAX_PARAMETERS else " with a libpq before 18"
        raise ArgumentError(f"at most {most} arguments are possible{why}, got {count}")


def parameters_of(sql: str, most: int) -> int:
    """The highest number of a text's parameters, where it may be above `most`; the server refuses one that has gaps."""
    return highest(sql, "postgresql") if most < MAX_PARAMETERS and len(sql) > 3 * most else 0


def first_unfit(group: Sequence[StatementRequest], libpq_version: int) -> StatementRequest | None:
    """The first of these texts that the server cannot be asked about; it has its error."""
    most = most_described(libpq_version)
    for statement in group:
        try:
            check_count(parameters_of(statement.query.sql, most), most)
        except ArgumentError as error:
            statement.error = error
            return statement
    return None


def texts_of(result: PGresult) -> list[list[str | None]]:
    """The values of a result in text."""
    rows, columns = range(result.ntuples), range(result.nfields)
    values = [[result.get_value(row, column) for column in columns] for row in rows]
    return [[None if value is None else bytes(value).decode("utf-8", "replace") for value in row] for row in values]


def columns_of(result: PGresult) -> tuple[list[str], list[int]]:
    """Names and types of a result's columns."""
    columns = range(result.nfields)
    return [(result.fname(i) or b"").decode("utf-8", "replace") for i in columns], [result.ftype(i) for i in columns]


def details_of(result: PGresult) -> tuple[tuple[Column, ...], Status]:
    """The columns of a result, also of one without rows, and its command tag."""
    modifiers = map(result.fmod, range(result.nfields))
    columns = tuple(map(Column, *columns_of(result), modifiers))
    return columns, Status((result.command_status or b"").decode())


def types_of(result: PGresult) -> tuple[tuple[int, ...], tuple[Column, ...]]:
    """The types of a statement's parameters, and its columns, from the answer to Describe."""
    return tuple(map(result.param_type, range(result.nparams))), details_of(result)[0]
