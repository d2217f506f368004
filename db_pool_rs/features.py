"""What not every pool has: by its mode and its database. All else works in every mode and on both databases.

A program that can do without looks into `pool.features`; a call that is not there raises InterfaceError.
"""

from __future__ import annotations

from typing import NamedTuple


class Feature(NamedTuple):
    """What it is, and the modes that have it for each database."""

    what: str
    postgresql: frozenset[str]
    sqlite: frozenset[str] = frozenset()


_ALL = frozenset(("simple", "balanced", "full"))

#: By name.
FEATURES: dict[str, Feature] = {
    "arrow": Feature("`fetch_arrow` and `stream_arrow` without pyarrow", frozenset(("full",))),
    "codecs": Feature("the option `codecs`, and `set_type_codec`", _ALL),
    "copy": Feature("COPY: `copy_in`, `copy_out`, and those of connections", _ALL),
    "describe": Feature("`get_parameters` and `get_attributes` of a prepared statement", _ALL),
    "listen": Feature("`listen`, `add_listener`, and callbacks for the loss of a connection", _ALL),
    "server": Feature("`get_server_pid`, `get_server_version` and `get_settings`", _ALL),
}


def features_of(mode: str, database: str) -> frozenset[str]:
    """The names of those that a pool of this mode has, on "postgresql" or "sqlite"."""
    modes = {name: one.sqlite if database == "sqlite" else one.postgresql for name, one in FEATURES.items()}
    return frozenset(name for name, having in modes.items() if mode in having)
