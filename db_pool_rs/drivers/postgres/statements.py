"""What the server told of a statement text: parameter types in, column types out. Kept per pool, used by every link."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import ArgumentError
from ...types import oids as pg
from ...types.layout import FIXED_SIZES
from ...types.parameters import MAX_PARAMETERS, ParameterCodec
from .session_settings import is_sensitive

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

    from ...types.decode import RowDecoder

#: Of the 64 bits of a hash, which has a sign.
_WORD = 2**64 - 1


class Description:
    """Parameters and columns of one text.

    ``name`` is that of the prepared statement. It is made from the text itself, so that behind a proxy which shares
    server connections between programs equal names mean equal texts; ``version`` tells a text prepared again, after a
    change of its tables, from the one before.
    """

    __slots__ = (
        "decoder", "encode", "formats", "is_sensitive", "learned", "name", "names", "oids", "param_oids",
        "result_format", "row_bytes", "sql", "wide",
    )  # fmt: skip

    def __init__(
        self, sql: str, param_oids: Sequence[int], names: Sequence[str], oids: Sequence[int], version: int
    ) -> None:
        self.sql = sql.encode()
        self.learned = time.monotonic()
        self.name = f"dbp_{hash(sql) & _WORD:016x}_{version}".encode()
        codec = ParameterCodec(param_oids, sql)
        self.param_oids = tuple(param_oids)
        self.encode = codec.encode
        self.formats = codec.formats
        self.names = tuple(names)
        self.oids = tuple(oids)
        self.result_format = self.best_format()
        self.is_sensitive = not self.result_format and is_sensitive(self.oids)
        self.decoder: RowDecoder | None = None
        #: For the size of a result: bytes of the columns of fixed size, and the numbers of the others.
        self.row_bytes = sum(FIXED_SIZES.get(oid, 0) for oid in self.oids)
        self.wide = tuple(i for i, oid in enumerate(self.oids) if oid not in FIXED_SIZES)

    @classmethod
    def of_result(cls, sql: str, result: PGresult, version: int) -> Description:
        """From the answer to Describe, or from rows (then without parameters)."""
        params = [result.param_type(i) for i in range(result.nparams)]
        return cls(sql, params, *columns_of(result), version)

    def agrees(self, other: Description) -> bool:
        """Whether the other one tells the same of the same text."""
        return (self.param_oids, self.names, self.oids) == (other.param_oids, other.names, other.oids)

    def best_format(self) -> int:
        """The format to ask for: 1 (binary) where every column can be read so."""
        return pg.result_format(self.oids)

    def decoder_for(self, session: PGconn) -> RowDecoder:
        """What decodes results of this session: its settings count."""
        decoder = self.decoder
        if decoder is None or not decoder.fits(session):
            from ...types.decode import RowDecoder

            decoder = self.decoder = RowDecoder(self.names, self.oids, self.result_format, session)
        return decoder

    def size(self, result: PGresult) -> int:
        """About how many bytes the result holds: exact for fixed columns, the first row's size for the others."""
        rows = result.ntuples
        if not rows:
            return 0
        first = sum(len(result.get_value(0, i) or b"") for i in self.wide) if self.wide else 0
        return rows * (self.row_bytes + first)


def most_described(libpq_version: int) -> int:
    """How many parameters a statement may have whose types must be asked for.

    libpq before 18 breaks the connection if the server lists the types of more than fit in 30,000 bytes.
    """
    return MAX_PARAMETERS if libpq_version >= 180_000 else 7_498


def check_count(args: Sequence[object], most: int) -> None:
    """ArgumentError for more arguments than the server can tell the types of."""
    if len(args) > most:
        why = "" if most == MAX_PARAMETERS else " with a libpq before 18"
        raise ArgumentError(f"at most {most} arguments are possible{why}, got {len(args)}")


def columns_of(result: PGresult) -> tuple[list[str], list[int]]:
    """Names and types of a result's columns."""
    columns = range(result.nfields)
    return [(result.fname(i) or b"").decode("utf-8", "replace") for i in columns], [result.ftype(i) for i in columns]
