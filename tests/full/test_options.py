"""Connect options that only libpq has are refused when a pool is made, not ignored."""

from __future__ import annotations

import pytest

pytest.importorskip("db_pool_rs_full")

from db_pool_rs import create_pool
from db_pool_rs.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("requirepeer", "postgres"),
        ("gssencmode", "require"),
        ("sslcertmode", "require"),
    ],
)
async def test_what_only_libpq_has_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        await create_pool(f"postgresql://localhost/none?{name}={value}", mode="full")
