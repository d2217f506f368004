"""How many bytes values take on the wire."""

from __future__ import annotations

from . import oids as pg

#: Bytes of one value of the types whose values all have the same size.
FIXED_SIZES = {
    pg.BOOL.oid: 1, pg.INT2.oid: 2, pg.INT4.oid: 4, pg.INT8.oid: 8, pg.OID.oid: 4, pg.FLOAT4.oid: 4, pg.FLOAT8.oid: 8,
    pg.DATE.oid: 4, pg.TIME.oid: 8, pg.TIMETZ.oid: 12, pg.TIMESTAMP.oid: 8, pg.TIMESTAMPTZ.oid: 8, pg.INTERVAL.oid: 16,
    pg.UUID.oid: 16,
}  # fmt: skip
