"""One value of a YAML file changed, everything else left as it is: comments, order, quotes, blank lines.

The parser's marks say where a value stands in the text; only that place is replaced, or a line is put in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    import yaml


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
