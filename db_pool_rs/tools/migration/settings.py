"""What a configuration becomes when its mode changes; config.yaml rewritten, with a backup, and restored.

A key is carried over if it has another value than its default, and its counterpart does not have one already: both
are then what a person wanted. Backups stand beside the file, `config.yaml.bak`, then `.bak.2` and so on; each undo
takes back the newest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...config import DeploymentConfig, load_config
from ...config.yaml_file import set_value
from ...errors import ConfigError
from .._files import beside, copy_beside

#: What a key is called in each mode: the threads for blocking calls, and those that decode results.
COUNTERPARTS = (
    {
        "simple": "simple.thread_pool_size",
        "balanced": "balanced.python_workers",
        "full": "full.max_blocking_threads",
    },
    {"balanced": "balanced.native_workers", "full": "full.tokio_threads"},
)


@dataclass(frozen=True, slots=True)
class Change:
    """A key and its value of now (`old_key`, `old`), and what takes its place; `note` says what is not plain."""

    old_key: str
    old: Any
    new_key: str
    new: Any
    note: str = ""

    def __str__(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        if self.old_key == self.new_key:
            return f"{self.old_key}: {self.old} -> {self.new}{note}"
        return f"{self.old_key}: {self.old} -> {self.new_key}: {self.new}{note}"


def changes(deployment: DeploymentConfig, before: str, after: str) -> list[Change]:
    """What becomes of the keys if `after` takes the place of `before`."""
    found = [Change("deployment.mode", deployment.mode, "deployment.mode", after)]
    return [change for change in (*found, *_carried(deployment, before, after)) if change.note or _differs(change)]


def migrated(deployment: DeploymentConfig, made: list[Change]) -> DeploymentConfig:
    """The deployment with the changes made."""
    for change in made:
        section, _, key = change.new_key.partition(".")
        if section == "deployment":
            deployment = replace(deployment, **{key: change.new})
        else:
            deployment = replace(deployment, **{section: replace(getattr(deployment, section), **{key: change.new})})
    return deployment


def apply_changes(file: Path, made: list[Change]) -> Path:
    """Make the changes in the file, after a backup beside it, whose path is returned.

    What is written is read once more before it takes the file's place; ConfigError, and nothing is changed, if the
    file's form does not allow a change.
    """
    text = file.read_text(encoding="utf-8")
    wanted = migrated(load_config(file), made)
    for change in made:
        section, _, key = change.new_key.partition(".")
        text = set_value(text, section, key, change.new)
    with beside(file, text) as scratch:
        got = load_config(scratch)
        if replace(got, source=None) != replace(wanted, source=None):
            raise ConfigError("config", str(file), "a file in a form that can be changed; set the keys yourself")
        backup = copy_beside(file, _backups(file))
        os.replace(scratch, file)
    return backup


def undo(file: Path) -> Path:
    """Put the newest backup back in the file's place, and return the path that it had."""
    newest = None
    for path in _backups(file):
        if not os.path.lexists(path):
            break
        if path.is_file() and not path.is_symlink():
            newest = path
    if newest is None:
        raise ConfigError("config", str(file), f"a file with a backup beside it, {file.name}.bak")
    os.replace(newest, file)
    return newest


def _carried(deployment: DeploymentConfig, before: str, after: str) -> Iterator[Change]:
    plain = DeploymentConfig()
    for names in COUNTERPARTS:
        if before in names and after in names:
            old, new = _value(deployment, names[before]), _value(deployment, names[after])
            if new != _value(plain, names[after]):
                yield Change(names[before], old, names[after], new, "set already, stays")
            elif old != _value(plain, names[before]):
                yield Change(names[before], old, names[after], old)


def _value(deployment: DeploymentConfig, path: str) -> Any:
    section, _, key = path.partition(".")
    return getattr(getattr(deployment, section), key)


def _differs(change: Change) -> bool:
    return change.old_key != change.new_key or change.old != change.new


def _backups(file: Path) -> Iterator[Path]:
    yield file.with_name(f"{file.name}.bak")
    number = 2
    while True:
        yield file.with_name(f"{file.name}.bak.{number}")
        number += 1
