"""config.yaml: found, read safely, and turned into a `DeploymentConfig`.

Used through :func:`db_pool_rs.config.load_config`. The file is untrusted input: it is limited in size, read with the
safe loader, and aliases, which a few lines can blow up to gigabytes, are refused like duplicate and unknown keys.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .deployment import AutoSelection, BalancedOptions, DeploymentConfig, FullOptions, SimpleOptions
from .options import Rule, Shown, rules, shown, unknown
from .pool import PoolConfig, connect_options, pool_options

if TYPE_CHECKING:
    import yaml

#: Bytes. A config with a hundred pools has a tenth of it.
SIZE_LIMIT = 65_536

_SECTIONS: Mapping[str, type] = MappingProxyType(
    {"simple": SimpleOptions, "balanced": BalancedOptions, "full": FullOptions}
)
_TOP = ("deployment", *_SECTIONS, "pools")
_VARIABLE = re.compile(r"\$(?:\$(?=\{)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def read_config(path: str, named_by: str) -> DeploymentConfig:
    """The deployment that the file at `path` describes.

    A ./config.yaml that was merely found (`named_by` is empty) may be another program's: if none of its keys is ours,
    it is as if it were not there.
    """
    data = _parse(_read(path, named_by or "config"), path)
    if not named_by and isinstance(data, Mapping) and data and not set(data) & set(_TOP):
        return DeploymentConfig()
    return build_config({} if data is None else data, path)


def build_config(data: Any, source: str | None) -> DeploymentConfig:
    """The deployment that `data`, of the shape of config.yaml, describes; ConfigError names the path of a wrong key."""
    top = _mapping(data, source or "config", _TOP, "")
    deployment = _mapping(top.get("deployment"), "deployment", ("mode", "auto_selection"))
    return DeploymentConfig(
        **({"mode": deployment["mode"]} if "mode" in deployment else {}),
        auto_selection=_section(AutoSelection, deployment.get("auto_selection"), "deployment.auto_selection"),
        **{name: _section(options, top.get(name), name) for name, options in _SECTIONS.items()},
        pools=_pools(top.get("pools")),
        source=source,
    )


def expand(value: Any, path: str, rule: Rule | None) -> Any:
    """`value` with every `${VARIABLE}` in its texts replaced; `$${` stands for `${`."""
    if isinstance(value, Mapping):
        return {key: expand(item, f"{path}.{key}", None) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, path, None) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        if name not in os.environ:
            raise ConfigError(path, match[0], f"an environment variable that is set: {name} is not")
        return os.environ[name]

    text = _VARIABLE.sub(replace, value)
    return _as_number(text) if rule is not None and rule.numeric else text


def _as_number(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def _mapping(data: Any, path: str, known: tuple[str, ...], prefix: str | None = None) -> Mapping[str, Any]:
    # An empty section (`simple:` and nothing below) reads as None.
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ConfigError(path, Shown(f"<{type(data).__name__}>"), f"a mapping with the keys {', '.join(known)}")
    prefix = f"{path}." if prefix is None else prefix
    for key in data:
        if key not in known:
            raise unknown(f"{prefix}{key}", known)
    return data


def _section(options: type, data: Any, path: str) -> Any:
    return options(**_mapping(data, path, tuple(f.name for f in fields(options))))


def _pools(data: Any) -> Mapping[str, Mapping[str, Any]]:
    """The named pools: keys are checked, and values too where they do not depend on the environment."""
    if data is None:
        return MappingProxyType({})
    if not isinstance(data, Mapping):
        raise ConfigError("pools", Shown(f"<{type(data).__name__}>"), "a mapping of pool names to options")
    accepts = rules(PoolConfig)
    known = ("dsn", *pool_options() - {"name"}, *connect_options())
    pools = {}
    for name, options in data.items():
        if not isinstance(name, str) or not name:
            raise ConfigError("pools", shown(name), "names that are non-empty str")
        path = f"pools.{name}"
        pools[name] = MappingProxyType(dict(_mapping(options, path, known)))
        for key, value in pools[name].items():
            if key in accepts and not (isinstance(value, str) and "${" in value):
                accepts[key](f"{path}.{key}", value)
    return MappingProxyType(pools)


def _read(path: str, key: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(key, path, f"a readable file ({error.strerror})") from None
    if len(data) > SIZE_LIMIT:
        raise ConfigError(key, path, f"a file of at most {SIZE_LIMIT} bytes")
    return data


def _parse(data: bytes, path: str) -> Any:
    import yaml

    try:
        return yaml.load(data, Loader=_loader())
    except yaml.YAMLError as error:
        raise ConfigError(path, Shown(_problem(error)), "valid YAML without aliases and duplicate keys") from None
    except (RecursionError, ValueError, TypeError, LookupError, AttributeError):
        # The parser recurses, and its converters fail in their own ways: a date of 2024-99-99, an empty `!!int`.
        raise ConfigError(path, Shown("a value that cannot be read"), "valid YAML") from None


def _problem(error: yaml.YAMLError) -> str:
    # What it quotes may be a password: never str(error), which shows the line, nor the tag in `password: !secret`.
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark is not None else ""
    problem = getattr(error, "problem", None) or "not readable"
    return place + re.sub(r"'[^']{2,}'|\"[^\"]{2,}\"", "'...'", problem)


def _loader() -> type[yaml.SafeLoader]:
    import yaml
    from yaml.composer import ComposerError

    class Loader(yaml.SafeLoader):
        """SafeLoader that also refuses aliases and duplicate keys."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                event = self.peek_event()  # type: ignore[no-untyped-call]
                raise ComposerError(None, None, "an alias", event.start_mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            if isinstance(node, yaml.MappingNode):
                keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
                first = {key.value: key for key in reversed(keys)}
                if double := [key for key in keys if first[key.value] is not key]:
                    raise yaml.constructor.ConstructorError(None, None, "a duplicate key", double[0].start_mark)
            return super().construct_mapping(node, deep)

    return Loader


# -- changing one value ------------------------------------------------------------------------------------------------
#
# Everything else is left as it is: comments, order, quotes, blank lines. The parser's marks say where a value stands in
# the text; only that place is replaced, or a line is put in.


def set_value(text: str, section: str, key: str, value: str | int) -> str:
    """`text` with `section.key` set to `value` (a word or a number); ConfigError if its form leaves no room for it."""
    import yaml

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return f"{_ended(text)}{section}:\n  {key}: {value}\n"
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError("config", section, "a file that is a mapping")
    found = _child(root, section)
    if found is None:
        if root.flow_style:
            raise ConfigError("config", section, f"a file in block form, or one that has the section {section}")
        return f"{_ended(text)}\n{section}:\n  {key}: {value}\n"
    name, node = found
    if not isinstance(node, yaml.MappingNode):  # `section:` and nothing below
        return _inserted(text, name.end_mark.index + 1, f"\n  {key}: {value}")
    present = _child(node, key)
    if present is not None:
        scalar = present[1]
        return text[: scalar.start_mark.index] + str(value) + text[scalar.end_mark.index :]
    if node.flow_style:
        more = ", " if node.value else ""
        return _inserted(text, node.start_mark.index + 1, f"{key}: {value}{more}")
    return _inserted(text, node.start_mark.index, f"{key}: {value}\n{' ' * node.start_mark.column}")


def _child(node: yaml.MappingNode, name: str) -> tuple[Any, Any] | None:
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _inserted(text: str, index: int, more: str) -> str:
    return text[:index] + more + text[index:]


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
