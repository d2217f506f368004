"""Every option of a pool and of a deployment: what it is called, accepts and means.

`PoolConfig` is one frozen value that an engine makes a pool from; :func:`pool_config` makes it of what a caller writes
(`create_pool(dsn, max_size=20)`), and refuses what it does not know. `DeploymentConfig` says which mode to use and how
the modes are set up; it has the shape of config.yaml, which :func:`load_config` reads.

    >>> config = pool_config("sqlite://", max_size=4, command_timeout=2)
    >>> config.max_size, config.command_timeout
    (4, 2.0)

An option is declared once, by :func:`~db_pool_rs.config.options.option`: default, rule and documentation. The rules are
applied whenever a config is made, so a `PoolConfig` that exists is valid. Wrong options raise
:class:`~db_pool_rs.errors.ConfigError`, which names the option, the value (secrets hidden) and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from .deployment import (
    AutoSelection,
    BalancedOptions,
    ConfigSource,
    DeploymentConfig,
    FullOptions,
    SimpleOptions,
    find_config,
)
from .options import discreet, rules, shown
from .pool import PoolConfig, pool_config

__all__ = [
    "AutoSelection",
    "BalancedOptions",
    "DeploymentConfig",
    "FullOptions",
    "PoolConfig",
    "SimpleOptions",
    "load_config",
    "pool_config",
]


@discreet
def load_config(source: ConfigSource = None) -> DeploymentConfig:
    """The deployment that config.yaml describes.

    `source` is the path of the file, its content as a mapping ({} for the defaults), or a DeploymentConfig, which is
    returned as it is. Without it the file that DB_POOL_CONFIG names is read, else ./config.yaml if it exists and has a
    section of ours; else the defaults hold. A ConfigError names the path of what is wrong, such as
    `deployment.auto_selection.memory_limit`.
    """
    if isinstance(source, DeploymentConfig):
        return source
    found = find_config() if source is None else None
    if source is None and found is None:
        return DeploymentConfig()
    from . import yaml_file  # of no use where there is no such file

    if found is not None:
        return yaml_file.read_config(*found)
    if isinstance(source, Mapping):
        return yaml_file.build_config(source, None)
    if isinstance(source, (str, os.PathLike)):
        return yaml_file.read_config(os.fspath(source), "config")
    raise ConfigError("config", shown(source), "a path, a mapping, a DeploymentConfig or None")


@discreet
def named_pool(
    deployment: DeploymentConfig, name: str, options: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> PoolConfig:
    """The pool that config.yaml calls `name`: `options` win over what is written there, and that over `defaults`.

    Only here `${VARIABLES}` are replaced. KeyError if there is no such pool.
    """
    from .yaml_file import expand

    path = f"pools.{name}"
    accepts = rules(PoolConfig)
    written = {key: expand(value, f"{path}.{key}", accepts.get(key)) for key, value in deployment.pools[name].items()}
    try:
        return pool_config(**{"name": name, **(defaults or {}), **written, **options})
    except ConfigError as error:
        raise ConfigError(f"{path}.{error.key}", error.value, error.allowed) from None
