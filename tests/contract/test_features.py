"""`pool.features`: one exact set for each engine and database, and what is in it works; what is not, raises."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from db_pool_rs import arrow
from db_pool_rs.errors import InterfaceError
from db_pool_rs.features import FEATURES, features_of
from db_pool_rs.modes import MODES

SERVER = {"codecs", "copy", "describe", "listen", "server"}
#: Exactly these, and no others.
EXPECTED: dict[tuple[str, str], set[str]] = {
    ("simple", "postgresql"): SERVER,
    ("balanced", "postgresql"): SERVER,
    ("full", "postgresql"): {*SERVER, "arrow"},
    ("simple", "sqlite"): set(),
    ("balanced", "sqlite"): set(),
    ("full", "sqlite"): set(),
}


async def _records(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (a int)")
    await pool.copy_in("t", source=[(1,)])


async def _copied(pool: Any) -> None:
    async with pool.acquire() as connection:
        await connection.copy_records_to_table("t", records=[(1,)])


async def _heard(pool: Any) -> None:
    async with pool.listen("channel") as events:
        assert events is not None


async def _listener(pool: Any) -> None:
    async with pool.acquire() as connection:
        await connection.add_listener("channel", _nothing)
        await connection.remove_listener("channel", _nothing)


async def _parameters(pool: Any) -> None:
    async with pool.acquire() as connection:
        (await connection.prepare("SELECT 1")).get_parameters()


async def _attributes(pool: Any) -> None:
    async with pool.acquire() as connection:
        (await connection.prepare("SELECT 1")).get_attributes()


def _of_connection(name: str) -> Callable[[Any], Awaitable[None]]:
    async def call(pool: Any) -> None:
        async with pool.acquire() as connection:
            getattr(connection, name)()

    return call


async def _codec(pool: Any) -> None:
    pool.set_type_codec("int4", encoder=str, decoder=int)


def _nothing(*_: Any) -> None:
    pass


#: What a feature allows.
TRIALS: dict[str, list[Callable[[Any], Awaitable[None]]]] = {
    "codecs": [_codec],
    "copy": [_records, _copied],
    "describe": [_parameters, _attributes],
    "listen": [_heard, _listener],
    "server": [_of_connection(name) for name in ("get_server_pid", "get_server_version", "get_settings")],
    "arrow": [],  # below: it needs a program without pyarrow
}


async def test_the_set_is_exactly_this(open_pool: Any, engine: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn)
    assert pool.features == EXPECTED[engine.name, backend.name]
    assert isinstance(pool.features, frozenset)


def test_each_feature_is_one_of_some_pool_and_has_a_trial() -> None:
    assert set(EXPECTED) == {(mode, database) for mode in MODES for database in ("postgresql", "sqlite")}
    assert set().union(*EXPECTED.values()) == set(FEATURES) == set(TRIALS)
    assert all(features_of(*key) == names for key, names in EXPECTED.items())


@pytest.mark.parametrize("name", [name for name in TRIALS if TRIALS[name]])
async def test_what_is_there_works_and_what_is_not_raises(open_pool: Any, backend: Any, name: str) -> None:
    pool = await open_pool(backend.dsn)
    for trial in TRIALS[name]:
        if name in pool.features:
            await trial(pool)
        else:
            with pytest.raises(InterfaceError):
                await trial(pool)


@pytest.fixture
def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in which pyarrow cannot be imported."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, module)
    for module in ("db_pool_rs.arrow.table", "db_pool_rs.arrow.python"):
        monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.delattr(arrow, module.rpartition(".")[2], raising=False)  # the package has what was imported
    monkeypatch.setitem(sys.modules, "pyarrow", None)


@pytest.mark.usefixtures("without_pyarrow")
async def test_arrow_without_pyarrow(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn)
    if "arrow" in pool.features:
        assert hasattr(await pool.fetch_arrow("SELECT 1 AS a"), "__arrow_c_stream__")
    else:
        with pytest.raises(InterfaceError, match="pyarrow"):
            await pool.fetch_arrow("SELECT 1 AS a")
