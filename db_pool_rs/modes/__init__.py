"""Which engine serves: the modes simple, balanced and full, and how one of them is chosen.

The first of these that says something decides: the `mode` argument, the environment variable DB_POOL_MODE,
`deployment.mode` of config.yaml; else `auto`. (As an argument "auto" says nothing, it is the default; DB_POOL_MODE=auto
does overrule config.yaml.) A mode that was asked for is used or is an error; only `auto` looks at what is there.

=========  ==========================================  ==========  =======================================
mode       engine                                      complexity  needs
=========  ==========================================  ==========  =======================================
simple     pure Python                                 low         psycopg for PostgreSQL, else nothing
balanced   the same, its driver in C                   medium      the module db_pool_rs_balanced
full       Rust                                        high        the module db_pool_rs_full
=========  ==========================================  ==========  =======================================

How `auto` weighs them is in :mod:`~db_pool_rs.modes.selection`, what it knows of their speed in
:mod:`~db_pool_rs.modes.figures`. Nothing is imported to find out what is installed, except a native module that is
there: its version must be this package's.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, overload

from .. import __version__
from ..config import DeploymentConfig, load_config
from ..config.options import shown
from ..errors import INSTALL_PSYCOPG, ConfigError, ModeUnavailableError

if TYPE_CHECKING:
    from ..abc import Engine
    from ..config.deployment import ConfigSource
    from .figures import load_figures, save_figures
    from .selection import Decision, ModeFigures, Rejected

__all__ = [
    "MODES",
    "Decision",
    "Mode",
    "ModeFigures",
    "Rejected",
    "choose_mode",
    "detect_best_mode",
    "load_engine",
    "load_figures",
    "pool_defaults",
    "resolve_mode",
    "save_figures",
    "unavailable",
]

#: What a pool connects to: "postgresql" or "sqlite"; None stands for either.
Database = str | None


class Mode(NamedTuple):
    """A mode: its place in the complexity levels, the module with its engine.

    `native` is the module that it cannot do without, `folder` where a clone of the project has that.
    """

    name: str
    complexity: str
    native: str | None
    folder: str | None
    engine: str

    @property
    def install(self) -> str:
        """How to install what the mode needs."""
        if self.folder is None:
            return INSTALL_PSYCOPG
        return (
            f'pip install "db-pool-rs[{self.name}]=={__version__}"; '
            f"in a clone of db_pool_rs run scripts/setup_{self.name}.sh, or pip install ./{self.folder}"
        )


#: Every mode by name, least complex first.
MODES = {
    mode.name: mode
    for mode in (
        Mode("simple", "low", None, None, "db_pool_rs.simple.engine"),
        Mode("balanced", "medium", "db_pool_rs_balanced", "cext", "db_pool_rs.balanced.engine"),
        Mode("full", "high", "db_pool_rs_full", "rust", "db_pool_rs.full.engine"),
    )
}


def __getattr__(name: str) -> Any:
    """What is of no use where the mode is named, and is imported when it is used."""
    home = {"load_figures": "figures", "save_figures": "figures"}.get(name, "selection")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(f".{home}", __name__), name))


def unavailable(mode: str, database: Database = None) -> str | None:
    """Why `mode` cannot serve `database` in this installation; None if it can."""
    known = _known(mode)
    if known.native is not None:
        return _engine_problem(known) or _native_problem(known.native) or _database_problem(known, database)
    return _psycopg_problem() if database == "postgresql" else None


@overload
def detect_best_mode(
    explain: Literal[False] = False, *, config: ConfigSource = None, database: Database = None
) -> str: ...
@overload
def detect_best_mode(explain: Literal[True], *, config: ConfigSource = None, database: Database = None) -> Decision: ...
def detect_best_mode(
    explain: bool = False, *, config: ConfigSource = None, database: Database = None
) -> str | Decision:
    """The mode that is used where none is asked for; with `explain`, the decision with its reasons.

    DB_POOL_MODE and config.yaml count. `database` ("postgresql" or "sqlite") says what has to be served; without it a
    mode that serves only one of them is good enough. Raises ModeUnavailableError if there is no such mode.
    """
    decision = resolve_mode("auto", load_config(config), database)
    return decision if explain else decision.mode


def choose_mode(mode: str, deployment: DeploymentConfig, database: Database = None) -> str:
    """Which mode to use, given what the caller asked for; ModeUnavailableError if it cannot be used."""
    asked, _ = _asked(mode, deployment)
    return resolve_mode(mode, deployment, database).mode if asked == "auto" else _require(asked, database).name


def resolve_mode(mode: str, deployment: DeploymentConfig, database: Database = None) -> Decision:
    """The same, with the reasons."""
    from .figures import load_figures  # of no use where the mode is named
    from .selection import Candidate, Decision, select

    asked, by = _asked(mode, deployment)
    if asked != "auto":
        _require(asked, database)
        return Decision(asked, (f"{by} asks for it",))
    figures = load_figures()
    candidates = [
        Candidate(
            known.name,
            known.complexity,
            figures[known.name],
            unavailable(known.name, database),
            native=known.native is not None,
        )
        for known in MODES.values()
    ]
    decision = select(candidates, deployment.auto_selection)
    if decision is None:
        attempts = "; ".join(f"{c.mode}: {c.unavailable}" for c in candidates)
        raise ModeUnavailableError("auto", attempts, "install what one of them lacks")
    return decision


def load_engine(mode: str, deployment: DeploymentConfig) -> Engine:
    """The engine of `mode`, set up as `deployment` says; ModeUnavailableError if it is not installed."""
    known = _require(mode, None)
    return cast("Engine", import_module(known.engine).engine(deployment))


def pool_defaults(mode: str, deployment: DeploymentConfig) -> dict[str, Any]:
    """The options that pools of `mode` have where they do not say otherwise."""
    if mode == "simple":
        return {"thread_pool_size": deployment.simple.thread_pool_size}
    if mode == "balanced":
        return {"thread_pool_size": deployment.balanced.python_workers}
    return {}


def _asked(mode: str, deployment: DeploymentConfig) -> tuple[str, str]:
    """The mode that was asked for, and by what."""
    if _checked("mode", mode) != "auto":
        return mode, "the argument `mode`"
    if environment := os.environ.get("DB_POOL_MODE"):
        return _checked("DB_POOL_MODE", environment), "DB_POOL_MODE"
    return deployment.mode, f"deployment.mode in {deployment.source or 'the configuration'}"


def _checked(key: str, mode: Any) -> str:
    if mode != "auto" and not (isinstance(mode, str) and mode in MODES):
        raise ConfigError(key, shown(mode), " | ".join(("auto", *MODES)))
    return str(mode)


def _known(mode: str) -> Mode:
    if _checked("mode", mode) == "auto":
        raise ConfigError("mode", mode, " | ".join(MODES))
    return MODES[mode]


def _require(mode: str, database: Database) -> Mode:
    known = _known(mode)
    if reason := unavailable(mode, database):
        raise ModeUnavailableError(mode, reason, _remedy(known))
    return known


def _remedy(mode: Mode) -> str:
    """What helps: to install the engine, or, where it is installed, what the engine says."""
    if mode.native is None or _engine_problem(mode) or _native_problem(mode.native):
        return mode.install
    remedy = getattr(import_module(mode.engine), "remedy", None)
    return mode.install if remedy is None else str(remedy())


def _native_problem(module: str) -> str | None:
    if find_spec(module) is None:
        return f"the module {module} is not installed"
    try:
        version = getattr(import_module(module), "__version__", None)
    except Exception as error:
        # Whatever a broken build raises, the other modes still work.
        return f"the module {module} cannot be imported: {error}"
    if version != __version__:
        return f"the module {module} has version {version}, db_pool_rs has {__version__}: they must be equal"
    return None


def _engine_problem(mode: Mode) -> str | None:
    if find_spec(mode.engine) is None:
        return f"db_pool_rs {__version__} does not contain the {mode.name} engine"
    return None


def _database_problem(mode: Mode, database: Database) -> str | None:
    problem = getattr(import_module(mode.engine), "problem", None)
    return None if problem is None else cast("str | None", problem(database))


def _psycopg_problem() -> str | None:
    if find_spec("psycopg") is None:
        return "psycopg is not installed, without which it serves SQLite only"
    if find_spec("psycopg_binary") is None and find_spec("psycopg_c") is None:
        from ctypes.util import find_library

        if find_library("pq") is None:
            return "psycopg is installed without libpq, without which it serves SQLite only"
    return None
