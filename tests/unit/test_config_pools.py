"""The pools of config.yaml: variables, what wins, and where an error points to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.config import DeploymentConfig, load_config, named_pool, pool_config
from db_pool_rs.errors import ConfigError


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)


def load(text: str) -> DeploymentConfig:
    path = Path("given.yaml")
    path.write_text(text)
    return load_config(path)


def test_variables_are_replaced_when_the_pool_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(
        'pools: {main: {dsn: "sqlite:///${FOLDER}/$${X}$y.db", max_size: "${SIZE}", command_timeout: "${TIME}"}}'
    )
    with pytest.raises(ConfigError) as caught:
        named_pool(config, "main", {})
    assert caught.value.key == "pools.main.dsn"
    assert "FOLDER is not" in caught.value.allowed
    monkeypatch.setenv("FOLDER", "/data")
    monkeypatch.setenv("SIZE", "12")
    monkeypatch.setenv("TIME", "0.5")
    pool = named_pool(config, "main", {})
    assert pool.target == pool_config("sqlite:////data/${X}$y.db").target
    assert (pool.max_size, pool.command_timeout, pool.name) == (12, 0.5, "main")
    monkeypatch.setenv("SIZE", "a dozen")
    with pytest.raises(ConfigError, match=r"^pools\.main\.max_size: "):
        named_pool(config, "main", {})


def test_a_password_of_digits_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "0042")
    config = load_config({"pools": {"main": {"dsn": "postgresql://app@db.example/d", "password": "${PW}"}}})
    expected = load_config({"pools": {"main": {"dsn": "postgresql://app:0042@db.example/d"}}})
    assert named_pool(config, "main", {}) == named_pool(expected, "main", {})


def test_a_missing_variable_hinders_only_its_pool() -> None:
    config = load_config({"pools": {"a": {"dsn": "${NOT_SET_ANYWHERE}"}, "b": {"dsn": "sqlite://"}}})
    assert named_pool(config, "b", {}).target.database_system == "sqlite"


def test_options_win_over_the_file_and_the_file_over_defaults() -> None:
    config = load_config({"pools": {"main": {"dsn": "sqlite://", "max_size": 3, "min_size": 0}}})
    pool = named_pool(config, "main", {"max_size": 5}, {"min_size": 2, "thread_pool_size": 9})
    assert (pool.max_size, pool.min_size, pool.thread_pool_size) == (5, 0, 9)


@pytest.mark.parametrize(
    ("options", "key"),
    [({"min_size": 11}, "min_size"), ({"dsn": "mysql://h/d"}, "dsn"), ({"db_type": "oracle"}, "db_type")],
)
def test_what_shows_when_a_pool_is_used_has_its_path_too(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        named_pool(load_config({"pools": {"main": options}}), "main", {})
    assert caught.value.key == f"pools.main.{key}"


@pytest.mark.parametrize("name", ["", 7, None])
def test_pools_have_names(name: Any) -> None:
    with pytest.raises(ConfigError, match="names that are non-empty str"):
        load_config({"pools": {name: {"dsn": "sqlite://"}}})
