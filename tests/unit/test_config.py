"""PoolConfig: what each option accepts, and what the errors say."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs import Codec, DatabasePool, Error, create_pool
from db_pool_rs.config import PoolConfig, pool_config
from db_pool_rs.config.options import rules
from db_pool_rs.conninfo import ConnectConfig, SqliteConfig
from db_pool_rs.errors import ConfigError

CODEC = Codec("mood", decoder=str.upper)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


async def hook(connection: Any) -> None:
    """Stands for an application's init or reset."""


def make(**options: Any) -> PoolConfig:
    return pool_config("sqlite://", **options)


# ---- values ---------------------------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_design() -> None:
    config = make()
    assert (config.min_size, config.max_size, config.acquire_timeout) == (1, 10, 30.0)
    assert (config.idle_timeout, config.max_lifetime, config.max_statements) == (600.0, 3600.0, 256)
    assert (config.pipelining, config.reset, config.retry, config.command_timeout) == ("auto", "dirty", "off", None)
    assert (config.thread_pool_size, config.group_max, config.stall_ms, config.fast_ms) == (4, 64, 50.0, 2.0)


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("max_size", 1_000_000, 1_000_000),
        ("acquire_timeout", 5, 5.0),
        ("acquire_timeout", 0.25, 0.25),
        ("acquire_timeout", None, math.inf),
        ("idle_timeout", None, math.inf),
        ("max_lifetime", None, math.inf),
        ("max_waiting", 0, 0),
        ("max_waiting", None, 2**63 - 1),
        ("max_statements", 0, 0),
        ("command_timeout", None, None),
        ("command_timeout", 3, 3.0),
        ("slow_query_ms", 0, 0.0),
        ("leak_after", 0.5, 0.5),
        ("pipelining", "reads", "reads"),
        ("reset", "always", "always"),
        ("reset", hook, hook),
        ("init", hook, hook),
        ("row", dict, dict),
        ("codecs", [CODEC], (CODEC,)),
        ("infinity", "clamp", "clamp"),
        ("retry", "reads", "reads"),
        ("alone_functions", ["App.Touch", "f"], frozenset({"app.touch", "f"})),
        ("lane_wait_ms", 0, 0.0),
        ("name", "reports", "reports"),
    ],
)
def test_accepted(name: str, given: Any, stored: Any) -> None:
    value = getattr(make(**{name: given}), name)
    assert value == stored
    assert type(value) is type(stored)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_size", 0),
        ("max_size", -1),
        ("max_size", "10"),
        ("max_size", 10.0),
        ("max_size", True),
        ("max_size", None),
        ("max_size", 10**9),
        ("min_size", -1),
        ("acquire_timeout", 0),
        ("acquire_timeout", -1),
        ("acquire_timeout", "30"),
        ("acquire_timeout", True),
        ("acquire_timeout", math.nan),
        ("idle_timeout", -math.inf),
        ("command_timeout", 0),
        ("command_timeout", math.inf),
        ("slow_query_ms", -0.1),
        ("max_waiting", -1),
        ("pipelining", "on"),
        ("pipelining", None),
        ("pipelining", ["auto"]),
        ("reset", "dirt"),
        ("reset", None),
        ("init", "SET search_path = app"),
        ("row", "dict"),
        ("codecs", CODEC),
        ("infinity", "ignore"),
        ("codecs", ["mood"]),
        ("retry", True),
        ("alone_functions", "f"),
        ("alone_functions", 7),
        ("alone_functions", ["f", ""]),
        ("alone_functions", [b"f"]),
        ("thread_pool_size", 0),
        ("group_max", 0),
        ("stall_ms", 0),
        ("fast_bytes", 0),
        ("name", ""),
        ("name", "two\nlines"),
        ("name", 7),
    ],
)
def test_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**{name: value})
    assert caught.value.key == name
    assert caught.value.allowed == rules(PoolConfig)[name].allowed
    assert isinstance(caught.value, ValueError)


def test_min_size_is_at_most_max_size() -> None:
    assert make(min_size=3, max_size=3).min_size == 3
    with pytest.raises(ConfigError, match=r"^min_size: 11 is not allowed; allowed: .* max_size \(10\)"):
        make(min_size=11)
    with pytest.raises(ConfigError, match=r"^min_size: 3 "):
        replace(make(min_size=3), max_size=2)


def test_a_config_that_exists_is_valid_and_stays_so() -> None:
    config = make()
    with pytest.raises(FrozenInstanceError):
        config.max_size = 0  # type: ignore[misc]
    with pytest.raises(ConfigError, match="max_size"):
        replace(config, max_size=0)
    assert hash(config) == hash(make())
    assert config == make()


def test_each_option_is_documented() -> None:
    for option in fields(PoolConfig):
        assert option.metadata["doc"].endswith("."), option.name
        assert "rule" in option.metadata or option.name == "target"


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_in_common_use() -> None:
    config = pool_config(
        db_type="postgresql",
        host="db.example",
        port=5433,
        database="shop",
        username="app",
        password="pw",
        min_connections=2,
        max_connections=8,
    )
    assert (config.min_size, config.max_size) == (2, 8)
    assert isinstance(config.target, ConnectConfig)
    assert config == pool_config(
        host="db.example", port=5433, database="shop", user="app", password="pw", min_size=2, max_size=8
    )


@pytest.mark.parametrize(("one", "other"), [("min_connections", "min_size"), ("max_connections", "max_size")])
def test_an_option_is_given_once(one: str, other: str) -> None:
    with pytest.raises(ConfigError, match=f"only one of {one} and {other}"):
        make(**{one: 3, other: 3})


def test_unknown_option_shows_the_closest_first_and_all() -> None:
    with pytest.raises(ConfigError) as caught:
        make(max_szie=3)
    assert caught.value.key == "max_szie"
    assert caught.value.allowed.startswith("max_size (did you mean this?), ")
    for name in (*rules(PoolConfig), "dsn", "host", "password", "db_type"):
        assert name in caught.value.allowed


def test_what_is_no_option() -> None:
    for name in ("target", "thread_pool_sizes", "", "MAX_SIZE"):
        with pytest.raises(ConfigError):
            make(**{name: 1})


# ---- where to connect -----------------------------------------------------------------------------------------------


def test_nothing_said_is_database_url_else_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool_config().target == pool_config("sqlite://").target
    assert pool_config().target.database_system == "sqlite"
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/shop")
    assert pool_config(max_size=3).target == pool_config("postgresql://db.example/shop").target
    assert pool_config().target.database_system == "postgresql"
    assert pool_config("sqlite://").target.database_system == "sqlite"


def test_options_that_do_not_say_where_complete_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool_config(busy_timeout=100).target == pool_config("sqlite://?busy_timeout=100").target
    assert pool_config(host=None).target.database_system == "sqlite"
    assert pool_config(user="app").target == pool_config("postgresql://app@/app").target
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/shop")
    expected = pool_config("postgresql://db.example/shop", application_name="x").target
    assert pool_config(application_name="x").target == expected
    assert pool_config(host="other").target == pool_config("postgresql://other").target


def test_db_type_sqlite_takes_the_database_as_path() -> None:
    target = pool_config(db_type="sqlite", database="/data/a ?%23.db").target
    assert isinstance(target, SqliteConfig)
    assert target.path == "/data/a ?%23.db"
    assert pool_config(db_type="sqlite").target == pool_config("sqlite://").target


def test_db_type_must_agree_with_the_connection_string() -> None:
    assert pool_config("sqlite://", db_type="sqlite").target.database_system == "sqlite"
    for dsn, db_type in (("sqlite://", "postgresql"), ("postgresql://h/d", "sqlite"), ("sqlite://", "mysql")):
        with pytest.raises(ConfigError, match=r"^db_type: "):
            pool_config(dsn, db_type=db_type)
    with pytest.raises(ConfigError, match=r"allowed: postgresql \| sqlite"):
        pool_config(db_type="oracle")


# ---- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dsn", "options"),
    [
        (None, {"password": ["hunter2"]}),
        (None, {"pasword": "hunter2"}),
        (None, {"postgresql://app:hunter2@db.example/shop": 1}),
        (None, {"max_size": "postgresql://app:hunter2@db.example/shop"}),
        (None, {"max_size": {"password": "hunter2"}}),
        (None, {"name": "x\n" + "y" * 90 + "password=hunter2"}),
        ("postgresql://app:hunter2@db.example/shop", {"max_size": 0}),
        ("postgresql://app:hunter2@db.example:port/shop", {}),
        ("postgresql://app:hunter2@db.example/shop", {"db_type": "sqlite"}),
    ],
)
def test_no_error_shows_a_secret(dsn: str | None, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        pool_config(dsn, **options)
    error = caught.value
    assert "hunter2" not in f"{error} {error!r} {error.args} {error.__dict__} {error.__cause__}"


def test_no_frame_of_a_traceback_holds_a_secret() -> None:
    dsn = "postgresql://app:hunter2@db.example/shop"
    calls: list[Callable[[], object]] = [
        lambda: pool_config(dsn, max_size=0),
        lambda: pool_config(dsn, password=["hunter2"]),
        lambda: pool_config(dsn + "?port=x"),
        lambda: create_pool(dsn, password="hunter2", max_szie=3),
        lambda: create_pool(dsn, mode="fastest"),
        lambda: create_pool(dsn, config={"pools": {"main": {"pasword": "hunter2"}}}),
        lambda: DatabasePool("fastest", config={"pools": {"main": {"password": "hunter2"}}}),
        lambda: DatabasePool(config={"pools": {"main": {"password": ["hunter2"], "max_size": 0}}}),
        lambda: DatabasePool("simple", config={})._describe("main", dsn, {"max_size": 0}),
    ]
    for call in calls:
        with pytest.raises(Error) as caught:
            call()
        for error in (caught.value, caught.value.__cause__, caught.value.__context__):
            for frame, _ in traceback.walk_tb(error.__traceback__ if error else None):
                if "tests" not in frame.f_code.co_filename:
                    assert "hunter2" not in repr(frame.f_locals), frame


def test_repr_shows_no_secret() -> None:
    assert "hunter2" not in repr(pool_config("postgresql://app:hunter2@db.example/shop", password="hunter2"))


# ---- any options ----------------------------------------------------------------------------------------------------

seconds = st.integers(1, 10**6) | st.floats(1e-6, 1e6)
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
    "min_size": st.integers(0, 5),
    "max_size": st.integers(5, 50),
    "acquire_timeout": st.none() | seconds,
    "max_waiting": st.none() | st.integers(0, 10**6),
    "idle_timeout": st.none() | seconds,
    "max_lifetime": st.none() | seconds,
    "max_statements": st.integers(0, 1000),
    "pipelining": st.sampled_from(["auto", "reads", "off"]),
    "command_timeout": st.none() | seconds,
    "reset": st.sampled_from(["dirty", "always", "off", hook]),
    "init": st.none() | st.just(hook),
    "row": st.sampled_from([None, dict, tuple]),
    "infinity": st.sampled_from(["error", "clamp"]),
    "codecs": st.sampled_from([(), (CODEC,)]),
    "slow_query_ms": st.none() | seconds,
    "leak_after": st.none() | seconds,
    "listen_dsn": st.none() | st.just("postgresql://one@two:3/four"),
    "retry": st.sampled_from(["off", "reads"]),
    "alone_functions": st.lists(st.text(min_size=1)),
    "shared_functions": st.lists(st.text(min_size=1)),
    "guard_refresh": seconds,
    "thread_pool_size": st.integers(1, 64),
    "group_max": st.integers(1, 100),
    "stall_ms": seconds,
    "fast_ms": seconds,
    "fast_bytes": st.integers(1, 10**6),
    "lane_wait_ms": seconds,
    "write_lane_wait_ms": seconds,
}


def test_the_strategies_cover_every_option() -> None:
    assert OPTIONS.keys() == rules(PoolConfig).keys()


@given(st.fixed_dictionaries({}, optional=OPTIONS))
def test_a_config_can_be_made_of_another_ones_fields(options: dict[str, Any]) -> None:
    config = make(**options)
    again = make(**{name: getattr(config, name) for name in rules(PoolConfig)})
    assert again == config
    for name, value in options.items():
        if value is not None and name not in ("alone_functions", "shared_functions", "listen_dsn"):
            assert getattr(config, name) == value


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(OPTIONS)), anything)
def test_any_value_is_stored_or_refused_by_name(name: str, value: Any) -> None:
    try:
        config = make(**{name: value})
    except ConfigError as error:
        refused = error.key
    else:
        refused = name
        assert make(**{name: getattr(config, name)}) == config
    assert refused in (name, "min_size")
