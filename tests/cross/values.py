"""Random values of every type that engines read and write themselves."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
INT4 = st.integers(-(2**31), 2**31 - 1)
OFFSETS = st.integers(-15 * 60, 15 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
NUMERIC = st.decimals(allow_nan=False, allow_infinity=False, places=7, min_value=-(10**20), max_value=10**20)
#: Numbers that jsonb keeps as they are: it has no other zero, and stores floats as decimals.
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(0.001, 1e6, allow_subnormal=False)
JSON: Any = st.recursive(
    st.none() | st.booleans() | TEXT | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)

VALUES: dict[str, Any] = {
    "bool": st.booleans(),
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": INT4,
    "int8": st.integers(-(2**63), 2**63 - 1),
    "oid": st.integers(0, 2**32 - 1),
    "float4": st.floats(width=32),
    "float8": st.floats(),
    "numeric": NUMERIC,
    "text": TEXT,
    "varchar": TEXT,
    "bytea": st.binary(),
    "date": st.dates(),
    "time": st.times(),
    "timetz": st.times(timezones=OFFSETS),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(timezones=st.timezones()),
    "interval": st.timedeltas(),
    "uuid": st.uuids(),
    "json": JSON,
    "jsonb": JSON,
    "inet": st.ip_addresses(),
}


def arrays(items: Any) -> Any:
    """Lists with NULLs, of one dimension and of two."""
    inner = st.none() | items.filter(lambda value: not isinstance(value, list))
    return st.lists(inner, max_size=4) | st.lists(st.tuples(inner, inner).map(list), min_size=1, max_size=2)


ARRAYS = {f"{name}[]": arrays(items) for name, items in VALUES.items() if not name.startswith("json")}
ARRAYS["jsonb[]"] = st.lists(st.none() | JSON, max_size=3)
#: What may be given as an argument where something else is expected.
ANYTHING = st.one_of(*VALUES.values(), st.lists(st.integers()), st.sets(st.integers(), max_size=1))
