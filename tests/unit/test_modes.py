"""Modes: who decides, what is available, and the rule of `auto` against a brute-force oracle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import db_pool_rs
from db_pool_rs import ConfigError, ModeUnavailableError, modes
from db_pool_rs.config import AutoSelection, DeploymentConfig, load_config
from db_pool_rs.modes import MODES, detect_best_mode, load_engine, resolve_mode
from db_pool_rs.modes.selection import COMPLEXITY, Candidate, ModeFigures, select
from tests.meta.source import ROOT

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adr_figures: None) -> Path:
    """An empty working folder, no environment, no figures but those of ADR-003."""
    monkeypatch.chdir(tmp_path)
    for name in ("DB_POOL_MODE", "DB_POOL_CONFIG", "DB_POOL_FIGURES"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a native module on the path: `install("db_pool_rs_balanced", "__version__ = '1'")`."""
    modules = folder / "modules"
    modules.mkdir()
    monkeypatch.syspath_prepend(str(modules))

    def make(module: str, source: str) -> None:
        (modules / f"{module}.py").write_text(source)
        # Whatever is there now, nothing too, is there again after the test; the file is imported in between.
        monkeypatch.setitem(sys.modules, module, None)
        del sys.modules[module]

    return make


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes exactly the given modes available."""

    def allow(*names: str) -> None:
        monkeypatch.setattr(modes, "unavailable", lambda mode, _=None: None if mode in names else "not here")

    return allow


# ---- the rule of auto -----------------------------------------------------------------------------------------------

figures = st.builds(
    ModeFigures,
    qps=st.integers(0, 5).map(float),
    memory_mb=st.integers(0, 5).map(float),
    startup_s=st.just(0.1),
    source=st.sampled_from(["measured", "targets"]),
)
candidates = st.lists(
    st.builds(
        Candidate,
        mode=st.sampled_from("abcdef"),
        complexity=st.sampled_from(COMPLEXITY),
        figures=figures,
        unavailable=st.none() | st.just("not here"),
        native=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda candidate: candidate.mode,
)
limits = st.builds(
    AutoSelection,
    performance_threshold=st.integers(0, 5),
    memory_limit=st.integers(1, 5),
    complexity_tolerance=st.sampled_from(COMPLEXITY),
)


def oracle(some: list[Candidate], rules: AutoSelection) -> set[str]:
    """The modes that the rule allows to be chosen, written down word for word."""
    level = {"low": 1, "medium": 2, "high": 3}
    available = [c for c in some if c.unavailable is None]
    within = [
        c
        for c in available
        if c.figures.memory_mb <= rules.memory_limit and level[c.complexity] <= level[rules.complexity_tolerance]
    ]
    if not within:
        return {c.mode for c in available if all(level[c.complexity] <= level[d.complexity] for d in available)}
    if any(c.native for c in within):
        within = [c for c in within if c.native]
    meeting = [c for c in within if c.figures.qps >= rules.performance_threshold]
    if meeting:
        return {c.mode for c in meeting if all(level[c.complexity] <= level[d.complexity] for d in meeting)}
    return {c.mode for c in within if all(c.figures.qps >= d.figures.qps for d in within)}


@given(candidates, limits)
def test_auto_follows_the_rule(some: list[Candidate], rules: AutoSelection) -> None:
    decision = select(some, rules)
    allowed = oracle(some, rules)
    if decision is None:
        assert not allowed
        assert all(c.unavailable for c in some)
        return
    assert decision.mode in allowed
    assert [r.mode for r in decision.rejected] == [c.mode for c in some if c.mode != decision.mode]
    assert all(r.reason for r in decision.rejected)
    assert all(
        word in str(decision) for word in (decision.mode, *decision.reasons, *(r.reason for r in decision.rejected))
    )


@given(candidates, limits)
def test_auto_does_not_depend_on_the_order(some: list[Candidate], rules: AutoSelection) -> None:
    def level(decision: modes.Decision | None) -> object:
        chosen = [c for c in some if decision is not None and c.mode == decision.mode]
        return [(c.complexity, c.figures.qps) for c in chosen]

    assert level(select(some, rules)) == level(select(some[::-1], rules))


@pytest.mark.parametrize(
    ("available", "rules", "chosen"),
    [
        # The ADR's table: simple 5,000/s and 100 MB, balanced 12,000 and 80, full 20,000 and 50.
        ("simple balanced full", {}, "balanced"),
        ("simple full", {}, "full"),
        ("full", {}, "full"),
        ("simple", {}, "simple"),
        ("simple full", {"complexity_tolerance": "medium"}, "simple"),
        ("full", {"complexity_tolerance": "medium"}, "full"),
        ("balanced full", {"complexity_tolerance": "low"}, "balanced"),
        ("simple", {"memory_limit": 40}, "simple"),
        ("simple balanced full", {"complexity_tolerance": "medium"}, "balanced"),
        ("simple balanced full", {"performance_threshold": 5000}, "balanced"),
        ("simple balanced full", {"performance_threshold": 5000, "complexity_tolerance": "low"}, "simple"),
        ("simple balanced full", {"performance_threshold": 12001}, "full"),
        ("simple balanced full", {"performance_threshold": 12001, "complexity_tolerance": "medium"}, "balanced"),
        ("simple balanced full", {"performance_threshold": 50000, "complexity_tolerance": "low"}, "simple"),
        ("simple balanced full", {"performance_threshold": 0, "memory_limit": 99}, "balanced"),
        ("simple balanced full", {"memory_limit": 79, "complexity_tolerance": "high"}, "full"),
    ],
)
def test_auto_on_the_adrs_figures(only: Any, available: str, rules: dict[str, Any], chosen: str) -> None:
    only(*available.split())
    config = {"deployment": {"auto_selection": rules}}
    decision = detect_best_mode(explain=True, config=config)
    assert decision.mode == detect_best_mode(config=config) == chosen
    assert decision.figures_source == "ADR-003"
    assert {r.mode for r in decision.rejected} == set(MODES) - {chosen}


def test_auto_says_when_nothing_is_fast_enough(only: Any) -> None:
    only("simple")
    decision = detect_best_mode(explain=True)
    assert "no mode within the limits reaches performance_threshold (10,000" in decision.reasons[0]
    assert str(decision).splitlines() == [
        "mode simple",
        f"  because {decision.reasons[0]}",
        "  not balanced: not here",
        "  not full: not here",
        "  figures: ADR-003",
    ]


def test_auto_without_any_mode_lists_every_attempt(only: Any) -> None:
    only()
    with pytest.raises(ModeUnavailableError) as caught:
        detect_best_mode()
    assert caught.value.mode == "auto"
    assert caught.value.reason == "simple: not here; balanced: not here; full: not here"


def test_limits_never_leave_nothing(only: Any) -> None:
    only("full")
    decision = detect_best_mode(
        explain=True, config={"deployment": {"auto_selection": {"complexity_tolerance": "low"}}}
    )
    assert decision.mode == "full"
    assert decision.reasons == (
        "nothing that is installed is within the limits, and it is the least complex "
        "(its complexity is high, complexity_tolerance is low)",
    )
    assert [r.reason for r in decision.rejected] == ["not here", "not here"]


# ---- who decides ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "environment", "file", "mode", "by"),
    [
        ("full", "balanced", "simple", "full", "argument"),
        ("auto", "balanced", "simple", "balanced", "DB_POOL_MODE"),
        ("auto", "", "simple", "simple", "config.yaml"),
        ("auto", None, "full", "full", "config.yaml"),
        ("auto", "auto", "full", "balanced", "least complex"),
        ("auto", None, "auto", "balanced", "least complex"),
        ("auto", None, None, "balanced", "least complex"),
    ],
)
def test_argument_then_environment_then_file_then_auto(
    argument: str, environment: str | None, file: str | None, mode: str, by: str, only: Any, monkeypatch: Any
) -> None:
    only(*MODES)
    if environment is not None:
        monkeypatch.setenv("DB_POOL_MODE", environment)
    if file is not None:
        Path("config.yaml").write_text(f"deployment: {{mode: {file}}}")
    decision = resolve_mode(argument, load_config())
    assert decision.mode == mode
    assert by in decision.reasons[0]


@pytest.mark.parametrize("mode", ["Simple", "fast", "", None, 3, ["simple"]])
def test_an_unknown_mode_is_refused(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for attempt in (
        lambda: resolve_mode(mode, DeploymentConfig()),
        lambda: db_pool_rs.create_pool("sqlite://", mode=mode),
        lambda: db_pool_rs.create_database_pool(mode),
        lambda: load_engine(mode, DeploymentConfig()),
    ):
        with pytest.raises(ConfigError, match=r"^mode: .*simple \| balanced \| full"):
            attempt()
    if isinstance(mode, str) and mode:
        monkeypatch.setenv("DB_POOL_MODE", mode)
        with pytest.raises(ConfigError, match=r"^DB_POOL_MODE: "):
            detect_best_mode()


@pytest.mark.parametrize("asked_by", ["argument", "environment", "file"])
def test_a_mode_that_was_asked_for_never_falls_back(asked_by: str, only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    only("simple", "full")
    config = {"deployment": {"mode": "balanced"}} if asked_by == "file" else {}
    if asked_by == "environment":
        monkeypatch.setenv("DB_POOL_MODE", "balanced")
    mode = "balanced" if asked_by == "argument" else "auto"
    for attempt in (
        lambda: db_pool_rs.create_pool("sqlite://", mode=mode, config=config),
        lambda: db_pool_rs.create_database_pool(mode, config=config),
        lambda: db_pool_rs.DatabasePool(mode, config=config),
    ):
        with pytest.raises(ModeUnavailableError) as caught:
            attempt()
        error = caught.value
        assert (error.mode, error.reason) == ("balanced", "not here")
        assert error.install.startswith(f'pip install "db-pool-rs[balanced]=={db_pool_rs.__version__}"; ')
        assert error.install.endswith("in a clone of db_pool_rs run scripts/setup_balanced.sh, or pip install ./cext")


# ---- what is available ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["balanced", "full"])
def test_a_native_module_must_be_there_whole_and_of_this_version(
    mode: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modes, "_engine_problem", lambda mode: None)
    module = f"db_pool_rs_{mode}"
    for source, reason in (
        ("raise ImportError('libpq.so.5: cannot open')", "cannot be imported: libpq.so.5: cannot open"),
        ("raise RuntimeError('broken')", "cannot be imported: broken"),
        ("", f"has version None, db_pool_rs has {db_pool_rs.__version__}: they must be equal"),
        ("__version__ = '0.0.9'", f"has version 0.0.9, db_pool_rs has {db_pool_rs.__version__}: they must be equal"),
    ):
        install(module, source)
        assert modes.unavailable(mode) == f"the module {module} {reason}"
        with pytest.raises(ModeUnavailableError):
            load_engine(mode, DeploymentConfig())


@pytest.mark.parametrize("mode", [mode for mode in MODES.values() if mode.folder], ids=lambda mode: mode.name)
def test_what_installs_a_mode_is_there(mode: modes.Mode) -> None:
    script, folder = mode.install.split()[-5].strip(","), mode.install.split()[-1]
    assert (ROOT / script).is_file()
    assert mode.native is not None
    assert f'name = "{mode.native.replace("_", "-")}"' in (ROOT / folder / "pyproject.toml").read_text()


@pytest.mark.parametrize("mode", ["balanced", "full"])
def test_a_mode_that_is_not_installed(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whether or not this machine has it.
    monkeypatch.setattr(modes, "find_spec", lambda module: None)
    assert modes.unavailable(mode) == f"db_pool_rs {db_pool_rs.__version__} does not contain the {mode} engine"
    monkeypatch.setattr(modes, "_engine_problem", lambda mode: None)
    assert modes.unavailable(mode) == f"the module db_pool_rs_{mode} is not installed"
    package = __import__(f"db_pool_rs.{mode}", fromlist=["DatabasePool"])
    with pytest.raises(ModeUnavailableError) as caught:
        package.DatabasePool()
    assert caught.value.mode == mode
    assert f"scripts/setup_{mode}.sh" in str(caught.value)


def test_simple_needs_psycopg_for_postgresql_only(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: set[str] = set()
    monkeypatch.setattr(modes, "find_spec", lambda module: None if module in missing else object())
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    assert modes.unavailable("simple", "postgresql") is None
    missing.update(("psycopg_binary", "psycopg_c"))
    assert "without libpq" in str(modes.unavailable("simple", "postgresql"))
    missing.add("psycopg")
    assert modes.unavailable("simple", "postgresql") == "psycopg is not installed, without which it serves SQLite only"
    assert modes.unavailable("simple", "sqlite") is None
    assert modes.unavailable("simple") is None
    with pytest.raises(ModeUnavailableError, match=r'psycopg is not installed.*pip install "psycopg\[binary\]"'):
        db_pool_rs.create_pool("postgresql://db.example/shop", mode="simple")


def test_simple_says_so_when_psycopg_cannot_be_imported(install: Install, folder: Path) -> None:
    """In an interpreter of its own: what is imported meanwhile would be there twice for the tests that follow."""
    install("psycopg", "raise ImportError('no pq wrapper available')")
    code = """
import db_pool_rs, db_pool_rs.config, sys
from db_pool_rs.modes import load_engine
sys.path.insert(0, sys.argv[1])
engine = load_engine("simple", db_pool_rs.config.DeploymentConfig())
try:
    engine.pool(db_pool_rs.config.pool_config("postgresql://db.example/shop"))
except db_pool_rs.ModeUnavailableError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(folder / "modules")]
    assert "no pq wrapper available" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_class_of_a_mode_serves_no_other() -> None:
    from db_pool_rs.simple import DatabasePool

    assert issubclass(DatabasePool, db_pool_rs.DatabasePool)
    assert DatabasePool().mode == DatabasePool("simple").mode == "simple"
    with pytest.raises(ConfigError, match=r"^mode: 'full' is not allowed; allowed: simple"):
        DatabasePool("full")


def test_the_class_of_a_mode_is_not_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from db_pool_rs.simple import DatabasePool

    monkeypatch.setenv("DB_POOL_MODE", "full")
    assert DatabasePool(config={"deployment": {"mode": "balanced"}}).mode == "simple"


def test_workers_come_from_the_section_of_the_mode() -> None:
    def workers(config: dict[str, Any], *dsn: str, **options: Any) -> int:
        return db_pool_rs.create_pool(*dsn, mode="simple", config=config, **options).config.thread_pool_size

    config = {"simple": {"thread_pool_size": 7}, "pools": {"default": {"dsn": "sqlite://", "thread_pool_size": 2}}}
    assert workers({}, "sqlite://") == 4
    assert workers(config, "sqlite://") == 7
    assert workers(config, "sqlite://", thread_pool_size=3) == 3
    assert workers(config) == 2
    deployment = load_config({"balanced": {"python_workers": 5}})
    assert modes.pool_defaults("balanced", deployment) == {"thread_pool_size": 5}
    assert modes.pool_defaults("full", deployment) == {}


# ---- what an import costs -------------------------------------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`."""
    report = "import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_import_loads_next_to_nothing() -> None:
    before = loaded_by("import importlib, typing")
    assert {name for name in loaded_by("import db_pool_rs") - before if not name.startswith("_")} == {"db_pool_rs"}


def test_a_pool_loads_only_what_its_database_needs() -> None:
    never = {"yaml", "difflib", "argparse", "multiprocessing", "logging.handlers", "db_pool_rs.facade"}
    loaded = loaded_by("import db_pool_rs; db_pool_rs.create_pool('sqlite://')")
    assert not loaded & {*never, "psycopg", "db_pool_rs.drivers.postgres.driver"}
    loaded = loaded_by("import db_pool_rs; db_pool_rs.create_pool('postgresql://h/d', mode='simple')")
    assert not loaded & {*never, "sqlite3", "db_pool_rs.drivers.sqlite.driver"}
    loaded = loaded_by("import db_pool_rs; db_pool_rs.DatabasePool()")
    assert not loaded & {"yaml", "psycopg", "db_pool_rs.drivers.postgres.driver", "db_pool_rs.drivers.sqlite.driver"}


def test_every_public_name_is_there() -> None:
    for name in db_pool_rs.__all__:
        assert getattr(db_pool_rs, name) is not None
    assert set(db_pool_rs.__all__) <= set(dir(db_pool_rs))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        db_pool_rs.nothing  # noqa: B018
