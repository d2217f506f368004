"""A result in Arrow, made by pyarrow (needs pyarrow), and one of rows whose columns have no types: SQLite's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ..errors import DecodeError


class Batches:
    """Rows in Arrow's memory, for whatever reads the Arrow C stream interface."""

    __slots__ = ("_table",)

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self._table.num_rows)

    @property
    def num_columns(self) -> int:
        """How many columns there are."""
        return int(self._table.num_columns)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self._table.column_names)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A capsule with an ArrowArrayStream; each call makes a new one, over the same memory."""
        return self._table.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        """A capsule with an ArrowSchema."""
        return self._table.schema.__arrow_c_schema__()

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        return f"<ArrowTable of {self.num_rows} rows: {', '.join(self.column_names)}>"


def of_rows(names: Sequence[str], rows: Sequence[Sequence[Any]], like: Batches | None = None) -> Batches:
    """The table of these rows; the values of a column decide what it is, or the columns of `like`.

    DecodeError names a column whose values are not all of one type; whole and broken numbers are.
    """
    arrays = []
    for number, name in enumerate(names):
        values = [row[number] for row in rows]
        try:
            arrays.append(_column(values, None if like is None else like._table.schema.types[number]))
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            found = ", ".join(sorted({type(value).__name__ for value in values if value is not None}))
            kept = "" if like is None else f" where {like._table.schema.types[number]} came before"
            raise DecodeError(f'column "{name}": Arrow needs one type, there are {found}{kept}; CAST it') from None
    return Batches(pa.Table.from_arrays(arrays, names=list(names)))


#: What a column is whose values are all of this type; pyarrow by itself would take one for another.
_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}


def _column(values: list[Any], kept: pa.DataType | None) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float} or (kinds == {int} and kept == pa.float64()):
        kinds, values = {float}, [None if value is None else float(value) for value in values]
    if not kinds:
        return pa.array(values, pa.null() if kept is None else kept)
    made = _TYPES[kinds.pop()]
    if kinds or (kept is not None and made != kept):
        raise TypeError
    return pa.array(values, made)
