"""The options of `create_pool` for type checkers, from the declarations that check them at run time."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from ...config import PoolConfig
from ...config.options import rules
from ...config.pool import ALIASES, DB_TYPE, connect_options
from ...conninfo.params import ALIASES as CONNECT_ALIASES
from ...conninfo.params import OWN, PARAMETERS, SQLITE_OPTIONS
from .target import BY, PACKAGE

TARGET = PACKAGE / "options.py"

HEADER = f'''\
"""The options of `create_pool` and of `DatabasePool.create_pool`, as type checkers and editors see them.

{BY} from the options of `PoolConfig` and of the connection.

    options: PoolOptions = {{"max_size": 20, "command_timeout": 5}}
    pool = create_pool("postgresql://", **options)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from ssl import SSLContext
from typing import Any, Literal, TypedDict

from .abc import SessionHook
from .codecs import Codec
from .conninfo import PasswordProvider

__all__ = ["ModeName", "PoolOptions"]

#: The modes by name; `auto` takes the best that is installed.
ModeName = Literal["auto", "simple", "balanced", "full"]


class PoolOptions(TypedDict, total=False):
    """Every option; none is required. Times are seconds unless a name ends in `_ms`, sizes bytes."""
'''

CONNECTION = """\
    # Where and how to connect: libpq's parameters, and those of SQLite; None says nothing.
"""


def render() -> str:
    """The whole module."""
    pool = "".join(_field(*one) for one in _pool())
    return f"{HEADER}\n{pool}\n{CONNECTION}{''.join(_field(*one) for one in _connection())}"


def _pool() -> Iterator[tuple[str, str, str]]:
    """Name, type and documentation of the options that do not say where to connect."""
    other = {name: alias for alias, name in ALIASES.items()}
    for name, field in PoolConfig.__dataclass_fields__.items():
        if rule := rules(PoolConfig).get(name):
            yield name, rule.type, field.metadata["doc"]
            if name in other:
                yield other[name], rule.type, f"Another name of `{name}`."


def _connection() -> Iterator[tuple[str, str, str]]:
    """The same of those that say where and how; None counts as not given."""
    kinds = {"db_type": DB_TYPE.type, **{name: one.type for name, one in PARAMETERS.items()}, **OWN, **SQLITE_OPTIONS}
    kinds |= {alias: kinds[name] for alias, name in CONNECT_ALIASES.items()}
    for name in kinds:
        if name in connect_options():
            other = f"Another name of `{CONNECT_ALIASES[name]}`." if name in CONNECT_ALIASES else ""
            yield name, f"{kinds[name]} | None", other


def _field(name: str, kind: str, doc: str) -> str:
    line = f"    {name}: {kind}\n"
    if not doc:
        return line
    if len(doc) > 110:
        doc = "\n    ".join(textwrap.wrap(doc, 110)) + "\n    "
    return f'{line}    """{doc}"""\n'


def outputs() -> dict[Path, str]:
    """The wanted text of the module."""
    return {TARGET: render()}
