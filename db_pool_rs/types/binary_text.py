"""The text of built-in types that are read as text, from their binary form: for fields of records, and columns beside.

Only in binary does a record name the types of its fields. So :data:`TEXTS` gives what PostgreSQL would have written,
for every type of which that is certain. It is not for money (`lc_monetary`), the `reg*` types (names under the search
path, of which only the OID is sent) and tsquery. `aclitem` and `gtsvector` have no binary form: the server refuses.
:data:`PLAIN` does the same for types that have values of their own in Python, for codecs, which take the text.
Their dates are written in the style ISO, and in UTC, whatever the session's are.

Sources: PostgreSQL's `*_send` and `*_out` functions. ValueError or struct.error for what they do not write.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from struct import Struct
from uuid import UUID

from . import oids as pg

Write = Callable[[bytes], str]

_number = Struct(">i").unpack_from
_short = Struct(">H").unpack_from


def float_text(value: float) -> str:
    """A float8 as PostgreSQL writes it: the shortest digits, in scientific form below 1e-4 and from 1e15 on."""
    text = repr(value)
    if text in ("nan", "inf", "-inf"):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    sign = "-" if text.startswith("-") else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = int(exponent or 0) + len(whole) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return sign + "0"
    if not -4 <= point - 1 < 15:
        rest = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1:+03d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    shown = digits.ljust(point, "0")
    return sign + shown[:point] + ("." + shown[point:] if len(shown) > point else "")


def _char(data: bytes) -> str:
    (byte,) = data
    return "" if byte == 0 else chr(byte) if byte < 0x80 else f"\\{byte:03o}"


def _floats(data: bytes, count: int) -> list[str]:
    return [*map(float_text, Struct(f">{count}d").unpack(data))]


def _points(data: bytes, count: int) -> str:
    found = _floats(data, 2 * count)
    return ",".join(f"({x},{y})" for x, y in zip(found[::2], found[1::2], strict=True))


def _path(data: bytes) -> str:
    closed, count = Struct(">Bi").unpack_from(data)
    if closed > 1 or len(data) != 5 + 16 * count:
        raise ValueError("malformed path")
    return f"({_points(data[5:], count)})" if closed else f"[{_points(data[5:], count)}]"


def _polygon(data: bytes) -> str:
    (count,) = _number(data)
    if len(data) != 4 + 16 * count:
        raise ValueError("malformed polygon")
    return f"({_points(data[4:], count)})"


def _line(data: bytes) -> str:
    return "{" + ",".join(_floats(data, 3)) + "}"


def _circle(data: bytes) -> str:
    x, y, radius = _floats(data, 3)
    return f"<({x},{y}),{radius}>"


def _bits(data: bytes) -> str:
    (count,) = _number(data)
    if count < 0 or len(data) != 4 + (count + 7) // 8:
        raise ValueError("malformed bits")
    return "".join(f"{byte:08b}" for byte in data[4:])[:count]


def _mac(size: int) -> Write:
    def write(data: bytes) -> str:
        if len(data) != size:
            raise ValueError(f"{len(data)} bytes where {size} are expected")
        return data.hex(":")

    return write


def _numbers(form: str, joined: str) -> Write:
    """Numbers of a fixed width, as this format shows them."""
    unpack = Struct(form).unpack
    return lambda data: joined.format(*unpack(data))


def _vector(form: str, element: int) -> Write:
    """int2vector, oidvector: an array of one dimension, from 0, without NULLs."""
    width = Struct(form).size
    stride, head = Struct(">i" + form[1:]), Struct(">iiIii").pack

    def write(data: bytes) -> str:
        values = [*stride.iter_unpack(data[20:])]
        if data[:20] != head(1, 0, element, len(values), 0) or any(size != width for size, _ in values):
            raise ValueError("malformed vector")
        return " ".join(str(value) for _, value in values)

    return write


def _snapshot(data: bytes) -> str:
    (count,) = _number(data)
    if count < 0 or len(data) != 20 + 8 * count:
        raise ValueError("malformed snapshot")
    low, high, *running = Struct(f">{count + 2}q").unpack_from(data, 4)
    return f"{low}:{high}:{','.join(map(str, running))}"


def _tsvector(data: bytes) -> str:
    (count,) = _number(data)
    at, found = 4, []
    for _ in range(count if count >= 0 else -1):
        end = data.index(b"\0", at)
        word = data[at:end].decode().replace("'", "''").replace("\\", "\\\\")
        places, at = _short(data, end + 1)[0], end + 3
        marks = [_short(data, at + 2 * number)[0] for number in range(places)]
        at += 2 * places
        shown = ",".join(f"{mark & 0x3FFF}{' CBA'[mark >> 14].strip()}" for mark in marks)
        found.append(f"'{word}':{shown}" if marks else f"'{word}'")
    if count < 0 or at != len(data):
        raise ValueError("malformed tsvector")
    return " ".join(found)


def versioned(data: bytes) -> str:
    """A text behind the number of its version, which is 1: jsonb, jsonpath, ltree."""
    if data[:1] != b"\1":
        raise ValueError("a version that is not known")
    return data[1:].decode()


_TEXTS: dict[str, Write] = {
    **dict.fromkeys(("unknown", "xml", "refcursor", "void"), bytes.decode),
    '"char"': _char,
    "point": lambda data: _points(data, 1),
    "lseg": lambda data: f"[{_points(data, 2)}]",
    "box": lambda data: _points(data, 2),
    "path": _path, "polygon": _polygon, "line": _line, "circle": _circle,
    "bit": _bits, "varbit": _bits, "macaddr": _mac(6), "macaddr8": _mac(8),
    "tid": _numbers(">IH", "({},{})"), "xid": _numbers(">I", "{}"), "cid": _numbers(">I", "{}"),
    "xid8": _numbers(">Q", "{}"), "pg_lsn": _numbers(">II", "{:X}/{:X}"),
    "int2vector": _vector(">h", pg.INT2.oid), "oidvector": _vector(">I", pg.OID.oid),
    "txid_snapshot": _snapshot, "pg_snapshot": _snapshot,
    "tsvector": _tsvector, "jsonpath": versioned,
}  # fmt: skip
_BY_NAME = {row.name: row.oid for row in pg.BUILTIN}
#: By OID, what writes the text of a value.
TEXTS: dict[int, Write] = {_BY_NAME[name]: write for name, write in _TEXTS.items()}


def _bool(data: bytes) -> str:
    (byte,) = data
    return "t" if byte else "f"


def _numeric(data: bytes) -> str:
    """Digits in base 10,000, the first of which stands for 10,000 to the power of the weight."""
    count, weight, sign, scale = Struct(">HhHH").unpack_from(data)
    digits = Struct(f">{count}H").unpack(data[8:])
    if sign not in (0, 0x4000):
        return {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}[sign]
    if scale > 0x3FFF or any(digit > 9999 for digit in digits):
        raise ValueError("malformed numeric")
    written = "0000" * (-1 - weight) + "".join(f"{digit:04}" for digit in digits)
    point = 4 * max(weight + 1, 0)
    written = written.ljust(point + scale, "0")
    text = (written[:point].lstrip("0") or "0") + ("." if scale else "") + written[point : point + scale]
    return f"-{text}" if sign and any(digits) else text


def _date(data: bytes) -> str:
    (days,) = Struct(">i").unpack(data)
    if days in _ENDS_OF_DAYS:
        return _ENDS_OF_DAYS[days]
    return str(date(2000, 1, 1) + timedelta(days))


def _timestamp(data: bytes) -> str:
    (micros,) = Struct(">q").unpack(data)
    if micros in _ENDS_OF_MICROS:
        return _ENDS_OF_MICROS[micros]
    text = str(datetime(2000, 1, 1) + timedelta(microseconds=micros))  # none is sent
    return text.rstrip("0") if "." in text else text


def _timestamptz(data: bytes) -> str:
    text = _timestamp(data)
    return text if text.endswith("infinity") else f"{text}+00"


_ENDS_OF_DAYS = {-(2**31): "-infinity", 2**31 - 1: "infinity"}
_ENDS_OF_MICROS = {-(2**63): "-infinity", 2**63 - 1: "infinity"}
#: By OID, what writes the text of a value of a type that Python has: of moments in the style ISO, and in UTC.
PLAIN: dict[int, Write] = {
    **TEXTS,
    **{row.oid: bytes.decode for row in pg.BUILTIN if row.kind == "str"},
    pg.BOOL.oid: _bool,
    pg.INT2.oid: _numbers(">h", "{}"), pg.INT4.oid: _numbers(">i", "{}"), pg.INT8.oid: _numbers(">q", "{}"),
    pg.OID.oid: _numbers(">I", "{}"),
    pg.FLOAT8.oid: lambda data: float_text(*Struct(">d").unpack(data)),
    pg.JSON.oid: bytes.decode, pg.JSONB.oid: versioned,
    pg.NUMERIC.oid: _numeric, pg.DATE.oid: _date, pg.TIMESTAMP.oid: _timestamp, pg.TIMESTAMPTZ.oid: _timestamptz,
    pg.UUID.oid: lambda data: str(UUID(bytes=data)),
    pg.BYTEA.oid: lambda data: "\\x" + data.hex(),
}  # fmt: skip
