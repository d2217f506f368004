"""The data of a COPY in binary -> Arrow, with pyarrow (needs pyarrow); every length is checked.

Values stay bytes until a batch is full, then each column is made at once.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, NoReturn

import pyarrow as pa

from ..errors import DecodeError
from .forms import MOST_BYTES, Form
from .table import Batches
from .values import CONVERT, GROWS, STORED, TYPES

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER = len(_SIGNATURE) + 8
_short = struct.Struct(">h").unpack_from
_length = struct.Struct(">i").unpack_from


class Decoder:
    """Takes the data as they come; `take` gives the batches that are full: of `rows` rows, or `most` bytes."""

    def __init__(self, forms: Sequence[Form], rows: int, clamp: bool, most: int = MOST_BYTES) -> None:
        self._rows, self._forms, self._most = rows, forms, most
        self._columns: list[list[bytes | None]] = [[] for _ in forms]
        self._makers = [_maker(form, clamp) for form in forms]
        self._schema = pa.schema([(form.name, _kept_as(form)) for form in forms])
        #: Columns whose values become text that is longer than they are.
        self._growing = [
            (number, GROWS[form.kind]) for number, form in enumerate(forms) if form.kind in GROWS and not form.precision
        ]
        self._rest = bytearray()
        #: Bytes of `_rest` without which its row is not complete: a long value is put together once.
        self._needed = 0
        self._size = 0
        self._begun = self._ended = False
        self._batches: deque[pa.RecordBatch] = deque()

    @property
    def ready(self) -> bool:
        """Whether a batch is full."""
        return bool(self._batches)

    def feed(self, data: bytes) -> None:
        """Take data; DecodeError if they are no data of COPY for these columns, or Arrow cannot hold a value."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data, self._needed = bytes(self._rest), 0
        at = 0 if self._begun else self._begin(data)
        while not self._ended and (after := self._row(data, at)) > at:
            at = after
            if len(self._columns[0] if self._columns else ()) >= self._rows or self._size >= self._most:
                self._flush()
        self._rest = bytearray(data[at:])

    def take(self, *, rest: bool) -> Batches:
        """The first batch that is full; with `rest`, all that are left: DecodeError if the data do not end there."""
        if not rest:
            return Batches(pa.Table.from_batches([self._batches.popleft()], self._schema))
        if not self._ended or self._rest:
            raise DecodeError("the data of COPY are not complete")
        self._flush()
        batches, self._batches = self._batches, deque()
        return Batches(pa.Table.from_batches(batches, self._schema))

    def _begin(self, data: bytes) -> int:
        """Where the rows begin; 0 if that has not come."""
        if len(data) < _HEADER:
            return 0
        (extension,) = _length(data, _HEADER - 4)
        if not data.startswith(_SIGNATURE) or extension < 0:
            raise DecodeError("no data of COPY in binary")
        self._begun = len(data) >= _HEADER + extension
        return _HEADER + extension if self._begun else 0

    def _row(self, data: bytes, at: int) -> int:
        """Take a row; where the next one begins, `at` if the row is not complete."""
        end = len(data)
        if not self._begun or end - at < 2:
            return at
        (count,) = _short(data, at)
        if count == -1:
            self._ended = True
            return at + 2
        if count != len(self._columns):
            raise DecodeError(f"a row of {count} values where {len(self._columns)} are expected")
        values: list[bytes | None] = []
        place = at + 2
        for number in range(count):
            if end - place < 4:
                self._needed = place + 4 - at
                return at
            (length,) = _length(data, place)
            place += 4
            if length == -1:
                values.append(None)
                continue
            if not 0 <= length <= self._most:
                self._refuse(number, length)
            if end - place < length:
                self._needed = place + length - at
                return at
            values.append(data[place : place + length])
            place += length
        self._size += place - at + self._grown(values)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        return place

    def _grown(self, values: list[bytes | None]) -> int:
        """The bytes of text that the values of a row become, beyond those that they are."""
        total = 0
        for number, grows in self._growing:
            value, form = values[number], self._forms[number]
            if value is None:
                continue
            with _named(form):
                elements: list[bytes | None] = [value]
                if form.is_list:
                    elements = []
                    _elements(value, elements)
                size = sum([grows(element) for element in elements if element is not None])
            if size > self._most:
                self._refuse(number, size)
            total += size
        return total

    def _refuse(self, number: int, size: int) -> NoReturn:
        what = (
            f"a value of {size} bytes" if size < 0 else f"a value of more than {self._most} bytes has no form in Arrow"
        )
        raise DecodeError(f'column "{self._forms[number].name}": {what}')

    def _flush(self) -> None:
        if self._columns and not self._columns[0]:
            return
        arrays = []
        for form, column, make in zip(self._forms, self._columns, self._makers, strict=True):
            with _named(form):
                arrays.append(make(column))
            column.clear()
        self._size = 0
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))


@contextmanager
def _named(form: Form) -> Iterator[None]:
    """What is wrong with a value is told with the name of its column."""
    try:
        yield
    except (ValueError, struct.error, pa.ArrowException, DecodeError, ArithmeticError) as error:
        raise DecodeError(f'column "{form.name}": {error}') from None


def _kept_as(form: Form) -> pa.DataType:
    kept = TYPES[str(form.kind)] if form.kind != "numeric" else pa.string()
    if form.precision:
        kept = pa.decimal128(form.precision, form.scale)
    return pa.list_(kept) if form.is_list else kept


def _maker(form: Form, clamp: bool) -> Callable[[list[bytes | None]], Any]:
    """The function that makes a column of its values."""
    single = form._replace(is_list=False)
    kept = _kept_as(single)
    convert = CONVERT[str(form.kind)](single, clamp)

    def make(column: list[bytes | None]) -> Any:
        if None not in column:
            values = convert(column)  # type: ignore[arg-type]
        else:
            there = iter(convert([value for value in column if value is not None]))
            values = [None if value is None else next(there) for value in column]
        stored = STORED.get(str(form.kind))
        if stored is not None:
            return pa.array(values, type=stored).view(kept)
        made = pa.array(values, type=pa.string() if form.kind == "enum" else kept)
        return made.dictionary_encode() if form.kind == "enum" else made

    return (lambda column: _lists(column, make, _kept_as(form))) if form.is_list else make


def _lists(column: list[bytes | None], make: Callable[[list[bytes | None]], Any], kept: pa.DataType) -> Any:
    elements: list[bytes | None] = []
    counts: list[int | None] = []
    for value in column:
        before = len(elements)
        if value is not None:
            _elements(value, elements)
        counts.append(None if value is None else len(elements) - before)
    ends = list(accumulate((count or 0 for count in counts), initial=0))
    offsets = [None if count is None else end for count, end in zip(counts, ends[:-1], strict=True)] + ends[-1:]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), make(elements)).cast(kept)


def _elements(value: bytes, into: list[bytes | None]) -> None:
    """The elements of an array. Layout: backend/utils/adt/arrayfuncs.c, array_send."""
    (dimensions,) = _length(value, 0)
    if dimensions not in (0, 1):
        raise DecodeError(f"an array of {dimensions} dimensions has no form in Arrow; cast it to text")
    count, place = (_length(value, 12)[0], 20) if dimensions else (0, 12)
    for _ in range(count):
        (length,) = _length(value, place)
        place += 4 + max(length, 0)
        if length < -1 or place > len(value):
            raise DecodeError("an array has another length than it says")
        into.append(None if length < 0 else value[place - length : place])
    if count < 0 or place != len(value):
        raise DecodeError("an array has another length than it says")
