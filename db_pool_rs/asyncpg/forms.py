"""`set_type_codec(format="binary")` and `format="tuple"`: what coders of values in these forms are given.

Values of types that have a codec travel as text here, whatever the engine. For the types of which asyncpg's tuples are,
and for those of which binary coders are in use (json and jsonb, uuid, numbers, dates and times, hstore, geometries of
PostGIS, vectors of pgvector), the text is made into that form and back, exactly; a composite's tuple is made of its
fields. Binary forms of other types are a NotImplementedError that names these.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import InterfaceError
from .names import quoted
from .times import (
    infinite,
    text_of_date,
    text_of_interval,
    text_of_moment,
    text_of_time,
    tuple_of_date,
    tuple_of_interval,
    tuple_of_moment,
    tuple_of_time,
)
from .types import BitString


class Form(NamedTuple):
    """What makes a form of a text, and the text of it."""

    of_text: Callable[[str], Any]
    text: Callable[[Any], str]


#: By the names of types: (months, days, microseconds), days or microseconds from 2000 on, with the zone's seconds.
TUPLES = {
    "date": Form(tuple_of_date, text_of_date),
    "time": Form(lambda text: tuple_of_time(text)[:1], lambda parts: text_of_time(*_checked(parts, 1))),
    "timetz": Form(tuple_of_time, lambda parts: text_of_time(*_checked(parts, 2))),
    "timestamp": Form(tuple_of_moment, text_of_moment),
    "timestamptz": Form(tuple_of_moment, lambda parts: infinite(text_of_moment(parts), "+00")),
    "interval": Form(tuple_of_interval, text_of_interval),
}
FORMATS = ("text", "binary", "tuple")
#: SQL's names of types, as asyncpg knows them, by their own.
STANDARD_NAMES = {
    "bigint": "int8",
    "bit varying": "varbit",
    "boolean": "bool",
    "char": "bpchar",
    "character": "bpchar",
    "character varying": "varchar",
    "decimal": "numeric",
    "double precision": "float8",
    "int": "int4",
    "integer": "int4",
    "real": "float4",
    "smallint": "int2",
    **{f"{one} with {zone}": f"{one}tz" for one in ("time", "timestamp") for zone in ("timezone", "time zone")},
    **{f"{one} without {zone}": one for one in ("time", "timestamp") for zone in ("timezone", "time zone")},
}
_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"=>(?:NULL|"((?:[^"\\]|\\.)*)")(?:, )?', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def _checked(parts: tuple[int, ...], count: int) -> tuple[int, ...]:
    if len(parts) != count:
        raise ValueError(f"a tuple of {count} numbers expected, got one of {len(parts)}")
    return tuple(parts)


def _packed(layout: str, of_text: Callable[[str], Any] = int, text: Callable[[Any], str] = str) -> Form:
    one = struct.Struct(f"!{layout}")
    return Form(lambda value: one.pack(of_text(value)), lambda data: text(one.unpack(bytes(data))[0]))


def _of_tuple(name: str, layout: str, order: Callable[[Any], Any] = tuple) -> Form:
    """The binary form has the numbers of the tuple."""
    of_text, text = TUPLES[name]
    one = struct.Struct(f"!{layout}")
    return Form(lambda value: one.pack(*order(of_text(value))), lambda data: text(order(one.unpack(bytes(data)))))


def _marked(mark: bytes) -> Form:
    """UTF-8 behind a byte that says the version."""

    def text(data: Any) -> str:
        if bytes(data[:1]) != mark:
            raise ValueError(f"it must begin with the byte {mark!r}, which says its version")
        return bytes(data[1:]).decode()

    return Form(lambda value: mark + value.encode(), text)


def _bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError("bytea_output is not hex")
    return bytes.fromhex(text[2:])


def _bits(text: str) -> bytes:
    return struct.pack("!i", len(text)) + BitString(text).bytes


def _text_of_bits(data: Any) -> str:
    (length,) = struct.unpack_from("!i", data)
    return str(BitString.frombytes(bytes(data[4:]), length))


def _hstore(text: str) -> bytes:
    pairs = [(match[1], match[2]) for match in _PAIR.finditer(text)]
    made = struct.pack("!i", len(pairs))
    for pair in pairs:
        for part in pair:
            data = None if part is None else _ESCAPED.sub(r"\1", part).encode()
            made += b"\xff\xff\xff\xff" if data is None else struct.pack("!i", len(data)) + data
    return made


def _text_of_hstore(data: Any) -> str:
    rest, parts = memoryview(bytes(data)), []
    (count,), rest = struct.unpack_from("!i", rest), rest[4:]
    for _ in range(2 * count):
        (size,), rest = struct.unpack_from("!i", rest), rest[4:]
        part = None if size < 0 else bytes(rest[:size]).decode()
        parts.append("NULL" if part is None else '"' + re.sub(r'(["\\])', r"\\\1", part) + '"')
        rest = rest[max(size, 0) :]
    return ", ".join(f"{key}=>{value}" for key, value in zip(parts[::2], parts[1::2], strict=True))


# ---- pgvector: how many, then floats of four or two bytes ----


def _numbers(text: str) -> list[float]:
    return list(map(float, text.strip("[]").split(",")))


def _dense(text: str, layout: str) -> bytes:
    numbers = _numbers(text)
    return struct.pack(f"!HH{len(numbers)}{layout}", len(numbers), 0, *numbers)


def _text_of_dense(data: Any, layout: str) -> str:
    (count,) = struct.unpack_from("!H", data)
    return f"[{','.join(map(repr, struct.unpack_from(f'!{count}{layout}', data, 4)))}]"


def _vector(text: str) -> bytes:
    return _dense(text, "f")


def _text_of_vector(data: Any) -> str:
    return _text_of_dense(data, "f")


def _halfvec(text: str) -> bytes:
    return _dense(text, "e")


def _text_of_halfvec(data: Any) -> str:
    return _text_of_dense(data, "e")


def _sparsevec(text: str) -> bytes:
    """The dimension, how many are not zero, their places from 0 on, and floats of four bytes; of `{1:1.5,3:2}/5`."""
    listed, _, dimension = text.partition("/")
    pairs = [pair.split(":") for pair in listed.strip("{}").split(",") if pair]
    places, numbers = [int(place) - 1 for place, _ in pairs], [float(number) for _, number in pairs]
    return struct.pack(f"!iii{len(pairs)}i{len(pairs)}f", int(dimension), len(pairs), 0, *places, *numbers)


def _text_of_sparsevec(data: Any) -> str:
    dimension, count, _ = struct.unpack_from("!iii", data)
    found = struct.unpack_from(f"!{count}i{count}f", data, 12)
    pairs = zip(found[:count], found[count:], strict=True)
    return f"{{{','.join(f'{place + 1}:{number!r}' for place, number in pairs)}}}/{dimension}"


_UTF8 = Form(str.encode, lambda data: bytes(data).decode())
_HEX = Form(bytes.fromhex, lambda data: bytes(data).hex())
#: By the names of types; those of PostGIS and pgvector are as their own functions send and take them.
BINARY: dict[str, Form] = {
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "json", "xml", "unknown", "citext"), _UTF8),
    **dict.fromkeys(("jsonb", "jsonpath", "ltree", "lquery", "ltxtquery"), _marked(b"\x01")),
    **dict.fromkeys(("geometry", "geography", "raster"), _HEX),  # their text is hexadecimal, both ways
    "bytea": Form(_bytes, lambda data: "\\x" + bytes(data).hex()),
    "bool": Form(lambda text: b"\x01" if text == "t" else b"\x00", lambda data: "f" if bytes(data) == b"\x00" else "t"),
    "int2": _packed("h"),
    "int4": _packed("i"),
    "int8": _packed("q"),
    "oid": _packed("I"),
    "float4": _packed("f", float, repr),
    "float8": _packed("d", float, repr),
    "uuid": Form(lambda text: uuid.UUID(text).bytes, lambda data: str(uuid.UUID(bytes=bytes(data)))),
    "bit": Form(_bits, _text_of_bits),
    "varbit": Form(_bits, _text_of_bits),
    "date": _of_tuple("date", "i"),
    "time": _of_tuple("time", "q"),
    "timetz": _of_tuple("timetz", "qi"),
    "timestamp": _of_tuple("timestamp", "q"),
    "timestamptz": _of_tuple("timestamptz", "q"),
    "interval": _of_tuple("interval", "qii", lambda parts: tuple(parts)[::-1]),
    "hstore": Form(_hstore, _text_of_hstore),
    "vector": Form(_vector, _text_of_vector),
    "halfvec": Form(_halfvec, _text_of_halfvec),
    "sparsevec": Form(_sparsevec, _text_of_sparsevec),
}


def check_codec(name: str, kind: str, form: str) -> bool:
    """Whether it is a composite type. An InterfaceError where asyncpg takes no codec, as it says it."""
    if kind == "d":
        raise InterfaceError("custom codecs on domain types are not supported: set the codec on the base type")
    if kind == "c" and form != "tuple":
        raise InterfaceError("only tuple-format codecs can be used on composite types")
    if kind not in ("b", "c", "e"):
        raise InterfaceError(
            f"cannot use custom codec on type {name}: it is neither a scalar type nor a composite type"
        )
    return kind == "c"


def form_of(name: str, kind: str, form: str) -> Form | None:
    """The form of values of a type of this kind; None for their text. NotImplementedError where it is not known."""
    if form == "text":
        return None
    if form == "tuple" and name in TUPLES:
        return TUPLES[name]
    if form == "binary" and name in BINARY:
        return BINARY[name]
    if form == "binary" and kind == "e":
        return _UTF8
    known = sorted(TUPLES if form == "tuple" else BINARY)
    raise NotImplementedError(
        f"set_type_codec({name!r}, format={form!r}): values with a codec travel as text, and this form of it is known "
        f"for {', '.join(known)}{'' if form == 'tuple' else ' and enums'}; use format='text'"
    )


def encoder_of(form: Form, encoder: Callable[[Any], Any]) -> Callable[[Any], str]:
    """What makes the text of what the program's encoder makes."""
    return lambda value: form.text(encoder(value))


def decoder_of(form: Form, decoder: Callable[[Any], Any]) -> Callable[[str], Any]:
    """What gives the program's decoder what it takes."""
    return lambda text: decoder(form.of_text(text))


# ---- what the catalogue tells of types, without values: any type of a parameter or a column may have a codec ----

#: As many rows as the kind of a type says.
_TYPE = """
SELECT NULL FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace,
pg_catalog.generate_series(1, 1 + CASE WHEN t.typcategory = 'A' THEN 0 ELSE strpos('bced', t.typtype::text) END)
WHERE t.typname = {} AND n.nspname = {}
"""
_KINDS = "Abced"
#: Types of extensions that do not come as text.
_KNOWN = ("hstore", "vector", "halfvec")
#: A row if a domain is one over this type.
_BASE = """
SELECT NULL FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_type AS b ON b.oid = t.typbasetype WHERE t.typname = {} AND n.nspname = {} AND b.typname = {}
"""


async def named(session: Any, typename: str, schema: str) -> tuple[str, str]:
    """The own name of a type, and its kind; ValueError if it is not there: its codec would have no effect."""
    name = STANDARD_NAMES.get(typename.lower(), typename) if schema == "pg_catalog" else typename
    rows = await session.fetch(_TYPE.format(quoted(name), quoted(schema)))
    if not rows:
        raise ValueError(f"unknown type: {schema}.{typename} (built-in types are in the schema pg_catalog)")
    return name, _KINDS[len(rows) - 1]


async def check_built_in(session: Any, typename: str, schema: str, codec: str) -> None:
    """NotImplementedError, unless the pool reads and writes the type by this codec of asyncpg's anyway.

    That is so of hstore, of domains by the codec of their base types, and of unknown types of extensions as text.
    """
    name, kind = await named(session, typename, schema)
    standard = STANDARD_NAMES.get(codec.lower(), codec)
    if kind == "d":
        same = bool(await session.fetch(_BASE.format(quoted(name), quoted(schema), quoted(standard))))
    elif codec == "pg_contrib.hstore":
        same = name == "hstore"
    else:
        same = standard == "text" and kind == "b" and schema != "pg_catalog" and name not in _KNOWN
    if not same:
        raise NotImplementedError(
            f"set_builtin_type_codec({typename!r}, codec_name={codec!r}): the pool reads types as they are; "
            "set_type_codec says it otherwise"
        )
