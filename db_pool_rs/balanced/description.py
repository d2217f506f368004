"""What the server told of a text, with what the kernel needs to send and decode its executions."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from struct import Struct
from typing import Any

from db_pool_rs_balanced import ffi

from ..drivers.postgres.statements import Description
from ..types import oids as pg
from ..types.catalog import Catalog
from ..types.layout import FIXED_SIZES
from .columns import Plan, kinds

#: Types whose encoder is that of `struct`: several arguments are encoded in one call.
_CODES = {
    pg.INT2.oid: "h", pg.INT4.oid: "i", pg.INT8.oid: "q", pg.OID.oid: "I", pg.FLOAT4.oid: "f", pg.FLOAT8.oid: "d"
}  # fmt: skip

Encode = Callable[[Sequence[Any]], Any]


class KernelDescription(Description):
    """A :class:`~db_pool_rs.drivers.postgres.statements.Description` for the kernel.

    Arguments that all have a fixed size, none of them NULL, are encoded as one piece of bytes, `widths` telling where
    each ends; all others as a list.
    """

    __slots__ = ("_texts", "nparams", "plan", "widths")

    def __init__(
        self, sql: str, param_oids: Sequence[int], names: Sequence[str], oids: Sequence[int], version: int,
        catalog: Catalog,
    ) -> None:  # fmt: skip
        super().__init__(sql, param_oids, names, oids, version, catalog)
        self.nparams = len(self.param_oids)
        self.plan: Plan | None = None
        self.widths: list[int] | None = None
        #: By result format: the kernel's dbp_text, and what it points to.
        self._texts: dict[int, tuple[Any, dict[str, Any]]] = {}
        codes = [_CODES.get(oid) if self.foreign is None else None for oid in self.param_oids]
        if None not in codes:
            self.encode = _packing("".join(map(str, codes)), self.encode)
            self.widths = [FIXED_SIZES[oid] for oid in self.param_oids]

    def best_format(self) -> int:
        """Binary where every column can be read so: the kernel walks values at no cost."""
        return int(self.has_binary())

    def plan_for(self, session: Any) -> Plan:
        """How results of this session are decoded."""
        plan = self.plan
        if plan is None or not plan.fits(session):
            catalog = self.catalog if self.foreign_columns or self.records else None
            plan = self.plan = Plan(self.names, self.oids, self.result_format, session, catalog)
        return plan

    def query(self, format: int) -> Any:
        """The kernel's dbp_text for results in this format."""
        made = self._texts.get(format)
        if made is None:
            members: dict[str, Any] = {
                "name": ffi.new("char[]", self.name),
                "formats": ffi.new("int[]", self.formats),
                "kinds": kinds(self.oids, format, self.foreign_columns),
            }
            if self.widths is not None:
                members["widths"] = ffi.new("int[]", self.widths)
            numbers = {"nparams": self.nparams, "result_format": format, "ncolumns": len(self.oids)}
            made = self._texts[format] = (ffi.new("dbp_text *", {**members, **numbers}), members)
        return made[0]

    def pieces(self, rows: Sequence[Any]) -> tuple[Any, bytes]:
        """The encoded arguments of several executions as dbp_send takes them: lengths, and all values in one piece."""
        if self.widths is not None:
            try:
                return ffi.NULL, b"".join(rows)
            except TypeError:  # there are NULLs
                rows = [self._split(row) if type(row) is bytes else row for row in rows]
        values = list(chain.from_iterable(rows))
        try:
            return array("i", map(len, values)).tobytes(), b"\0".join(values)
        except TypeError:
            lengths = array("i", [-1 if value is None else len(value) for value in values])
            return lengths.tobytes(), b"\0".join([value for value in values if value is not None])

    def _split(self, row: bytes) -> list[bytes]:
        values, start = [], 0
        for width in self.widths or ():
            values.append(row[start : start + width])
            start += width
        return values


def _packing(codes: str, one_by_one: Encode) -> Encode:
    pack = Struct(">" + codes).pack

    def encode(args: Sequence[Any]) -> Any:
        try:
            return pack(*args)
        except Exception:  # a NULL, or what no encoder takes
            return one_by_one(args)

    return encode
