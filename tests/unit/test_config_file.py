"""config.yaml: every key, every way to get it wrong, and where it is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.config import AutoSelection, DeploymentConfig, load_config, named_pool
from db_pool_rs.config.yaml_file import SIZE_LIMIT
from db_pool_rs.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"

#: As ADR-003 shows it.
ADR = """
deployment:
  mode: auto  # auto, simple, balanced, full
  auto_selection:
    performance_threshold: 10000  # QPS
    memory_limit: 200  # MB
    complexity_tolerance: medium  # low, medium, high
simple:
  thread_pool_size: 4
balanced:
  native_workers: 8
  python_workers: 4
full:
  tokio_threads: "auto"
  max_blocking_threads: 512
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and no environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("DB_POOL_CONFIG", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def load(text: str | bytes) -> DeploymentConfig:
    path = Path("given.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path)


# ---- keys -----------------------------------------------------------------------------------------------------------


def values(config: DeploymentConfig) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name != "source"}


#: The default differs from the ADR's example: an engine that was installed may be used.
ADR_WITH_DEFAULTS = ADR.replace("complexity_tolerance: medium", "complexity_tolerance: high")


def test_the_adrs_file_is_the_defaults() -> None:
    assert values(load(ADR_WITH_DEFAULTS)) == values(DeploymentConfig())
    assert load(ADR).auto_selection == AutoSelection(complexity_tolerance="medium")


def test_the_example_is_the_defaults_and_shows_every_key() -> None:
    assert values(load_config(EXAMPLE)) == values(DeploymentConfig())
    assert yaml.safe_load(EXAMPLE.read_text()) == yaml.safe_load(ADR_WITH_DEFAULTS)


def test_the_examples_pools_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = EXAMPLE.read_text().splitlines()
    commented = lines[lines.index("# pools:") :]
    config = load("\n".join(line.removeprefix("# ") for line in commented))
    monkeypatch.setenv("REPORTS_PASSWORD", "secret")
    assert named_pool(config, "default", {}).target.database_system == "sqlite"
    assert named_pool(config, "reports", {}).command_timeout == 5.0


def test_every_key_arrives() -> None:
    config = load(
        """
        deployment:
          mode: full
          auto_selection: {performance_threshold: 0, memory_limit: 0.5, complexity_tolerance: low}
        simple: {thread_pool_size: 7}
        balanced: {native_workers: 2, python_workers: 3}
        full: {tokio_threads: 6, max_blocking_threads: 9}
        pools: {main: {dsn: "sqlite://", max_size: 3}}
        """
    )
    assert config.mode == "full"
    selection = config.auto_selection
    assert (selection.performance_threshold, selection.memory_limit) == (0.0, 0.5)
    assert selection.complexity_tolerance == "low"
    assert config.simple.thread_pool_size == 7
    assert (config.balanced.native_workers, config.balanced.python_workers) == (2, 3)
    assert (config.full.tokio_threads, config.full.max_blocking_threads) == (6, 9)
    assert config.pools == {"main": {"dsn": "sqlite://", "max_size": 3}}
    assert config.source == "given.yaml"


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "simple:\n", "deployment:\n  auto_selection:\n", "pools:\n"])
def test_empty_sections_are_the_defaults(text: str) -> None:
    assert values(load(text)) == values(DeploymentConfig())


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("deployment.mode", "fastest", "auto | simple | balanced | full"),
        ("deployment.mode", None, "auto | simple | balanced | full"),
        ("deployment.auto_selection.performance_threshold", "10k", "statements per second, a number from 0"),
        ("deployment.auto_selection.performance_threshold", -1, "statements per second, a number from 0"),
        ("deployment.auto_selection.memory_limit", 0, "MB, a number above 0"),
        ("deployment.auto_selection.memory_limit", True, "MB, a number above 0"),
        ("deployment.auto_selection.complexity_tolerance", "none", "low | medium | high"),
        ("simple.thread_pool_size", 0, "an int from 1 to 1024"),
        ("simple.thread_pool_size", "4", "an int from 1 to 1024"),
        ("balanced.native_workers", 1.5, "an int from 1 to 1024"),
        ("balanced.python_workers", [], "an int from 1 to 1024"),
        ("full.tokio_threads", "some", "auto | an int from 1 to 1024"),
        ("full.max_blocking_threads", 0, "an int from 1 to 65536"),
        ("pools.main.max_size", "many", "an int from 1 to 1000000"),
        ("pools.main.reset", "sometimes", "dirty | always | off | an async callable"),
        ("deployment", 1, "a mapping with the keys mode, auto_selection"),
        ("simple", ["x"], "a mapping with the keys thread_pool_size"),
        ("pools", "x", "a mapping of pool names to options"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(key: str, value: Any, allowed: str) -> None:
    data: Any = value
    for part in reversed(key.split(".")):
        data = {part: data}
    read: list[Callable[[], DeploymentConfig]] = [lambda: load(yaml.safe_dump(data)), lambda: load_config(data)]
    for attempt in read:
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert caught.value.key == key
        assert caught.value.allowed == allowed


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("deploymnt: {}", "deploymnt", "deployment"),
        ("deployment: {modus: auto}", "deployment.modus", "mode"),
        (
            "deployment: {auto_selection: {memory_limt: 3}}",
            "deployment.auto_selection.memory_limt",
            "memory_limit",
        ),
        ("simple: {threads: 3}", "simple.threads", ""),
        ("full: {tokio_thread: 3}", "full.tokio_thread", "tokio_threads"),
        ("pools: {main: {dns: x}}", "pools.main.dns", "dsn"),
        ("pools: {main: {name: x}}", "pools.main.name", "dbname"),
        ("pools: {main: {target: x}}", "pools.main.target", ""),
        ("pools: {main: {7: x}}", "pools.main.7", ""),
        ("True: x", "True", ""),
    ],
)
def test_an_unknown_key_is_named_by_its_path(text: str, key: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.key == key
    assert caught.value.allowed.startswith(f"{near} (did you mean this?)" if near else "")


# ---- untrusted text -------------------------------------------------------------------------------------------------

BOMB = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("simple: {thread_pool_size: 4}\nsimple: {}", "line 2: a duplicate key"),
        ("simple:\n  thread_pool_size: 4\n  thread_pool_size: 5", "line 3: a duplicate key"),
        (BOMB, "an alias"),
        ("pools: {a: &a {dsn: x}, b: *a}", "line 1: an alias"),
        ("pools: {a: &a {dsn: x}, b: {<<: *a}}", "an alias"),
        ("simple: !!python/object/apply:os.system [echo]", "could not determine a constructor"),
        ("simple: [", "expected the node content"),
        ("simple: {thread_pool_size: 2024-99-99}", "cannot be read"),
        ("simple: !!int ''", "cannot be read"),
        ("simple: !!timestamp x", "cannot be read"),
        ("[" * 2000, "cannot be read"),
        (b"simple: \xff\xfe", ""),
        (b"simple: \x00", ""),
        ("? [a, b]\n: c", "unhashable"),
        ("just text", "a mapping"),
        ("- simple", "a mapping"),
    ],
)
def test_bad_yaml_is_a_config_error(text: str | bytes, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.key == "given.yaml"
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_has_a_size() -> None:
    load(b"#" * SIZE_LIMIT)
    with pytest.raises(ConfigError, match="at most 65536 bytes"):
        load(b"#" * (SIZE_LIMIT + 1))


@pytest.mark.parametrize(
    "text",
    [
        "pools: {main: {password: !hunter2 }}",
        "pools: {main: {password: *hunter2 }}",
        "pools: {main: {password: hunter2, password: hunter2}}",
        "pools: {main: {password: @hunter2}}",
        "pools: {main: {password: 'hunter2}}",
        "pools: [{password: hunter2}]",
        "pools: {main: [hunter2]}",
        "pools: {main: {pwd: hunter2}}",
        "pools: {main: {max_size: {password: hunter2}}}",
        "pools: {main: {dsn: 'postgresql://a:hunter2@h:port/d'}}",
        "hunter2",
    ],
)
def test_no_error_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        named_pool(load(text), "main", {})
    error = caught.value
    assert "hunter2" not in f"{error} {error!r} {error.args} {error.__dict__} {error.__cause__}"


def test_repr_shows_no_secret() -> None:
    assert "hunter2" not in repr(load("pools: {main: {dsn: 'postgresql://a:hunter2@h/d', password: hunter2}}"))


# ---- where it is ----------------------------------------------------------------------------------------------------


def test_argument_then_environment_then_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_config().source is None
    Path("config.yaml").write_text("simple: {thread_pool_size: 1}")
    assert load_config().simple.thread_pool_size == 1
    (folder / "other.yaml").write_text("simple: {thread_pool_size: 2}")
    monkeypatch.setenv("DB_POOL_CONFIG", str(folder / "other.yaml"))
    assert load_config().simple.thread_pool_size == 2
    Path("third.yaml").write_text("simple: {thread_pool_size: 3}")
    assert load_config("third.yaml").simple.thread_pool_size == 3
    assert load_config({"simple": {"thread_pool_size": 4}}).simple.thread_pool_size == 4
    assert load_config({}) == DeploymentConfig()
    ready = DeploymentConfig(mode="simple")
    assert load_config(ready) is ready


@pytest.mark.parametrize("named_by", ["config", "DB_POOL_CONFIG"])
def test_a_file_that_was_named_must_be_there(named_by: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (folder / "missing.yaml", folder):
        monkeypatch.setenv("DB_POOL_CONFIG", str(path) if named_by == "DB_POOL_CONFIG" else "")
        with pytest.raises(ConfigError) as caught:
            load_config(path if named_by == "config" else None)
        assert caught.value.key == named_by
        assert caught.value.value == str(path)


def test_another_programs_config_yaml_is_not_read() -> None:
    Path("config.yaml").write_text("server: {port: 80}\nlogging: debug\n")
    assert load_config() == DeploymentConfig()
    with pytest.raises(ConfigError, match=r"^logging: |^server: "):
        load_config("config.yaml")
    Path("config.yaml").write_text("server: {port: 80}\nsimple: {thread_pool_size: 3}\n")
    with pytest.raises(ConfigError, match=r"^server: "):
        load_config()


@pytest.mark.parametrize("source", [7, b"config.yaml", ["config.yaml"]])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(ConfigError, match=r"^config: "):
        load_config(source)


# ---- any content ----------------------------------------------------------------------------------------------------

workers = st.integers(1, 1024)

#: PyYAML writes U+0085 as the line break that it is, and then reads a space.
written = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85"))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "deployment": st.fixed_dictionaries(
                {},
                optional={
                    "mode": st.sampled_from(["auto", "simple", "balanced", "full"]),
                    "auto_selection": st.fixed_dictionaries(
                        {},
                        optional={
                            "performance_threshold": st.integers(0, 10**9) | st.floats(0, 1e9),
                            "memory_limit": st.integers(1, 10**9) | st.floats(0.001, 1e9),
                            "complexity_tolerance": st.sampled_from(["low", "medium", "high"]),
                        },
                    ),
                },
            ),
            "simple": st.fixed_dictionaries({}, optional={"thread_pool_size": workers}),
            "balanced": st.fixed_dictionaries({}, optional={"native_workers": workers, "python_workers": workers}),
            "full": st.fixed_dictionaries(
                {},
                optional={"tokio_threads": workers | st.just("auto"), "max_blocking_threads": st.integers(1, 65_536)},
            ),
            "pools": st.dictionaries(
                st.text(st.characters(categories=["L"]), min_size=1, max_size=9),
                st.fixed_dictionaries({}, optional={"max_size": st.integers(1, 99), "password": written}),
                max_size=3,
            ),
        },
    )
)
def test_what_is_written_is_what_is_read(data: dict[str, Any]) -> None:
    config = load(yaml.safe_dump(data, allow_unicode=True))
    assert values(config) == values(load_config(data))
    deployment = data.get("deployment", {})
    assert config.mode == deployment.get("mode", "auto")
    for section, part in (
        (config.auto_selection, deployment.get("auto_selection", {})),
        (config.simple, data.get("simple", {})),
        (config.balanced, data.get("balanced", {})),
        (config.full, data.get("full", {})),
    ):
        for key, value in part.items():
            assert getattr(section, key) == value
    assert config.pools == data.get("pools", {})


FRAGMENTS = (
    "deployment: simple: pools: mode : - { } [ ] &a *a !!int ' << ? | > % @ 0x 1e9 null ~ 2024-01-01 --- ... é #"
)
fragments = st.sampled_from([*FRAGMENTS.split(), '"', "\n", "  ", "\t", ": "])


@given(
    st.binary() | st.text().map(str.encode) | st.lists(fragments, max_size=30).map(lambda some: "".join(some).encode())
)
def test_any_file_is_read_or_refused(text: bytes) -> None:
    message = ""
    try:
        assert isinstance(load(text), DeploymentConfig)
    except ConfigError as error:
        message = str(error)
    assert len(message) < 1000
