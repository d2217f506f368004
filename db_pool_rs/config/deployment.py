"""The deployment that config.yaml describes: mode, what `auto` looks for, set-up of each engine, named pools."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .options import apply, choice, either, integer, number, option

#: The pool that exists without being described.
DEFAULT_POOL = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoSelection:
    """What mode `auto` looks for: the least complex mode that is fast enough (see :mod:`~db_pool_rs.modes`)."""

    performance_threshold: float = option(
        10_000.0, number("statements per second", zero=True), "A mode that reaches this is fast enough."
    )
    memory_limit: float = option(200.0, number("MB"), "Modes that need more resident memory are not chosen.")
    complexity_tolerance: str = option(
        "high",
        choice("low", "medium", "high"),
        "What `auto` may choose of what is installed: pure Python (low), a C extension too (medium), Rust too (high).",
    )

    def __post_init__(self) -> None:
        apply(self, "deployment.auto_selection.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleOptions:
    """Set-up of the pure Python engine."""

    thread_pool_size: int = option(
        4,
        integer(1, 1024),
        "Worker threads of a pool for SQLite and blocking calls, where the pool does not say itself.",
    )

    def __post_init__(self) -> None:
        apply(self, "simple.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedOptions:
    """Set-up of the engine with the C extension."""

    native_workers: int = option(8, integer(1, 1024), "Threads of a pool for decoding long results in C.")
    python_workers: int = option(4, integer(1, 1024), "Worker threads for blocking calls in Python.")

    def __post_init__(self) -> None:
        apply(self, "balanced.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FullOptions:
    """Set-up of the Rust engine."""

    tokio_threads: int | str = option(
        "auto", either("auto", integer(1, 1024)), "Threads of the tokio runtime; auto: what the engine finds best."
    )
    max_blocking_threads: int = option(512, integer(1, 65_536), "The most threads that tokio starts for blocking work.")

    def __post_init__(self) -> None:
        apply(self, "full.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentConfig:
    """What config.yaml says; without one, the defaults.

    `pools` holds the options of the named pools as they were written, `${VARIABLES}` not yet replaced: a process needs
    the secrets of the pools that it opens, not those of all. They are left out of the repr.
    """

    mode: str = option("auto", choice("auto", "simple", "balanced", "full"), "Which engine serves the pools.")
    auto_selection: AutoSelection = AutoSelection()
    simple: SimpleOptions = SimpleOptions()
    balanced: BalancedOptions = BalancedOptions()
    full: FullOptions = FullOptions()
    pools: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    source: str | None = field(default=None, metadata={"doc": "The file this was read from."})

    def __post_init__(self) -> None:
        apply(self, "deployment.")


FILE_NAME = "config.yaml"


def find_config() -> tuple[str, str] | None:
    """The file to read where none was asked for, and what named it: DB_POOL_CONFIG, else ./config.yaml if it exists."""
    if path := os.environ.get("DB_POOL_CONFIG"):
        return path, "DB_POOL_CONFIG"
    return (FILE_NAME, "") if os.path.isfile(FILE_NAME) else None


#: What says how to deploy: the path of a config.yaml, its content, a DeploymentConfig, or None for the usual places.
ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | DeploymentConfig | None
