"""A strategy of Hypothesis for each built-in type whose values can be sent: as results come out.

What comes as text is written as PostgreSQL writes it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_interface, ip_network
from typing import Any

from hypothesis import strategies as st

from db_pool_rs import Range

#: Types that have no values to be sent, and why.
WITHOUT = {
    "unknown": "a literal whose type is not decided",
    "void": "a result without a value",
    "record": "its fields have no types in text",
    "gtsvector": "its input function refuses everything",
}

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
WORDS = st.text("abcxyz", min_size=1, max_size=6)
BYTES = st.integers(0, 255).map("{:02x}".format)
OFFSETS = st.integers(-57_599, 57_599).map(lambda seconds: timezone(timedelta(seconds=seconds)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))
UTC_MOMENTS = MOMENTS.map(lambda value: value.replace(tzinfo=timezone.utc))
DECIMALS = st.builds(
    lambda sign, digits, places: Decimal((sign, digits, -places)),
    *(st.integers(0, 1), st.lists(st.integers(0, 9), min_size=1, max_size=30).map(tuple), st.integers(0, 20)),
)
#: Numbers that JSON, `jsonb` and Python write alike.
NUMBERS = st.integers() | st.integers(-(2**40), 2**40).map(lambda number: number / 8)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
).filter(lambda value: value is not None)
HALVES = st.integers(-99, 99).map(lambda number: f"{number / 2:g}")
POINTS = st.builds("({},{})".format, HALVES, HALVES)
LISTS = st.lists(POINTS, min_size=1, max_size=4).map(",".join)
SNAPSHOTS = st.just("10:20:10,14") | st.integers(3, 10**6).map(lambda xid: f"{xid}:{xid}:")
ADDRESSES = st.ip_addresses()


def _signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _unsigned(bits: int) -> st.SearchStrategy[str]:
    return st.integers(0, 2**bits - 1).map(str)


def _money(cents: int) -> str:
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}${whole:,}.{rest:02}"


def _box(a: int, b: int, c: int, d: int) -> str:
    return f"({max(a, c)},{max(b, d)}),({min(a, c)},{min(b, d)})"


def _line(a: int, b: int, c: int) -> str:
    return f"{{{a},{b or 1},{c}}}"


@st.composite
def ranges(draw: st.DrawFn, bounds: st.SearchStrategy[Any], is_discrete: bool) -> Range[Any]:
    """As the server writes them: of whole numbers and days the lower bound belongs to them, the upper does not."""
    if draw(st.booleans()) and draw(st.booleans()):
        return Range(empty=True)
    lower, upper = sorted(draw(st.lists(bounds, min_size=2, max_size=2, unique=True)))
    lower, upper = draw(st.sampled_from([(lower, upper), (lower, None), (None, upper), (None, None)]))
    if is_discrete:
        return Range(lower, upper)
    return Range(lower, upper, lower_inc=draw(st.booleans()), upper_inc=draw(st.booleans()))


@st.composite
def multiranges(draw: st.DrawFn, bounds: st.SearchStrategy[Any]) -> list[Range[Any]]:
    """Ranges in order that do not touch."""
    found = sorted(draw(st.lists(bounds, max_size=6, unique=True)))
    return [Range(lower, upper) for lower, upper in zip(found[::2], found[1::2], strict=False)]


BOUNDS = {
    "int4": st.integers(-(2**31), 2**31 - 2),
    "int8": st.integers(-(2**63), 2**63 - 2),
    "num": DECIMALS,
    "date": st.dates(max_value=date(9999, 12, 30)),
    "ts": MOMENTS,
    "tstz": UTC_MOMENTS,
}

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "bytea": st.binary(max_size=40),
    '"char"': st.characters(min_codepoint=1, max_codepoint=127),
    "name": st.text("abc é\"',{}()", max_size=20),
    "int8": _signed(64),
    "int2": _signed(16),
    "int2vector": st.lists(_signed(16).map(str), max_size=4).map(" ".join),
    "int4": _signed(32),
    "regproc": st.just("now"),
    "text": TEXTS,
    "oid": st.integers(0, 2**32 - 1),
    "tid": st.builds("({},{})".format, _unsigned(32), _unsigned(16)),
    "xid": _unsigned(32),
    "cid": _unsigned(32),
    "oidvector": st.lists(_unsigned(32), max_size=4).map(" ".join),
    "json": DOCUMENTS,
    "xml": WORDS.map("<a>{}</a>".format),
    "point": POINTS,
    "lseg": st.builds("[{},{}]".format, POINTS, POINTS),
    "path": LISTS.map("({})".format) | LISTS.map("[{}]".format),
    "box": st.builds(_box, *[st.integers(-99, 99)] * 4),
    "polygon": LISTS.map("({})".format),
    "line": st.builds(_line, *[st.integers(-99, 99)] * 3),
    "cidr": ADDRESSES.map(ip_network) | st.sampled_from(["10.0.0.0/8", "::/0"]).map(ip_network),
    "float4": st.floats(width=32, allow_nan=False),
    "float8": st.floats(allow_nan=False),
    "circle": st.builds("<{},{}>".format, POINTS, st.integers(0, 99)),
    "macaddr8": st.lists(BYTES, min_size=8, max_size=8).map(":".join),
    "money": _signed(64).map(_money),
    "macaddr": st.lists(BYTES, min_size=6, max_size=6).map(":".join),
    "inet": ADDRESSES | st.sampled_from(["10.1.2.3/8", "fe80::1/10"]).map(ip_interface),
    "aclitem": st.sampled_from(["postgres=r/postgres", "=r*w/postgres"]),
    "bpchar": TEXTS,
    "varchar": TEXTS,
    "date": st.dates(),
    "time": st.times(),
    "timestamp": MOMENTS,
    "timestamptz": UTC_MOMENTS,
    "interval": st.timedeltas(),
    "timetz": st.builds(lambda value, zone: value.replace(tzinfo=zone), st.times(), OFFSETS),
    "bit": st.sampled_from("01"),
    "varbit": st.text("01", max_size=20),
    "numeric": DECIMALS,
    "refcursor": TEXTS,
    "regprocedure": st.just("now()"),
    "regoper": st.just("||/"),
    "regoperator": st.just("+(integer,integer)"),
    "regclass": st.just("pg_class"),
    "regtype": st.sampled_from(["integer", "timestamp with time zone"]),
    "uuid": st.uuids(),
    "txid_snapshot": SNAPSHOTS,
    "pg_lsn": st.builds("{:X}/{:X}".format, *[st.integers(0, 2**32 - 1)] * 2),
    "tsvector": st.sets(WORDS, max_size=3).map(lambda words: " ".join(f"'{word}'" for word in sorted(words))),
    "tsquery": st.lists(WORDS, min_size=1, max_size=3).map(lambda words: " & ".join(f"'{word}'" for word in words)),
    "regconfig": st.just("english"),
    "regdictionary": st.just("english_stem"),
    "jsonb": DOCUMENTS,
    **{f"{name}range": ranges(bounds, name in ("int4", "int8", "date")) for name, bounds in BOUNDS.items()},
    **{f"{name}multirange": multiranges(bounds) for name, bounds in BOUNDS.items()},
    "jsonpath": WORDS.map('$."{}"'.format),
    "regnamespace": st.just("pg_catalog"),
    "regrole": st.just("postgres"),
    "regcollation": st.just('"C"'),
    "pg_snapshot": SNAPSHOTS,
    "xid8": _unsigned(64),
}  # fmt: skip
