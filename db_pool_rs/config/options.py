"""What one option accepts: the checks behind `PoolConfig`, `DeploymentConfig` and config.yaml.

A :class:`Rule` turns a given value into the stored one, or refuses it; ``allowed`` is the text that the refusal shows.
:func:`option` makes a dataclass field of a default, a rule and its documentation, so that an option is described in one
place; :func:`apply` holds a finished dataclass to its rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from ..errors import ConfigError, Error, redact

P = ParamSpec("P")
T = TypeVar("T")


class Rule(NamedTuple):
    """What an option accepts: in words, as a function, and as the type that a caller's type checker holds it to.

    `numeric` options may come as text from the environment.
    """

    allowed: str
    accept: Callable[[Any], Any]
    type: str
    numeric: bool = False

    def __call__(self, key: str, value: Any) -> Any:
        """The value to store; ConfigError naming `key` if it is refused."""
        try:
            return self.accept(value)
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(key, shown(value), self.allowed) from None


def option(default: Any, rule: Rule, doc: str, *, limit: str = "", convert: Callable[[Any], Any] | None = None) -> Any:
    """A dataclass field with its rule and documentation.

    `limit`: the numbers of the scheduler that it sets (:func:`limits_of`), by name and separated by spaces; `convert`
    makes them of the option's value.
    """
    metadata = {"rule": rule, "doc": doc, "limits": limit.split(), "convert": convert}
    return field(default=default, metadata=metadata)


def limits_of(config: Any) -> dict[str, Any]:
    """The numbers of the scheduler that the options of `config` set, by name."""
    limits: dict[str, Any] = {}
    for f in fields(config):
        names, convert = f.metadata.get("limits", ()), f.metadata.get("convert")
        value = getattr(config, f.name)
        limits.update(dict.fromkeys(names, value if convert is None else convert(value)))
    return limits


def rules(config: type) -> dict[str, Rule]:
    """The rules of a dataclass by option name; fields without one are left out."""
    return {f.name: f.metadata["rule"] for f in fields(config) if "rule" in f.metadata}


def apply(config: Any, prefix: str = "") -> None:
    """Check every option of a frozen dataclass from its `__post_init__`, and store what the rules make of it."""
    for name, rule in rules(type(config)).items():
        given = getattr(config, name)
        stored = rule(prefix + name, given)
        if stored is not given:
            object.__setattr__(config, name, stored)


def unknown(path: str, known: Iterable[str]) -> ConfigError:
    """The error for a key that does not exist: the known ones, the closest first."""
    from difflib import get_close_matches

    everything = sorted(known)
    near = get_close_matches(path.rpartition(".")[2][:64], everything, n=3)
    listed = [*(f"{name} (did you mean this?)" for name in near), *(n for n in everything if n not in near)]
    # The key may be what was not meant to be one, a connection string say.
    return ConfigError(redact(path)[:100], Shown("<unknown>"), listed)


def discreet(function: Callable[P, T]) -> Callable[P, T]:
    """Errors of ours leave `function` without the frames in which they arose.

    For functions that are given connection strings and passwords: programs that report a traceback with the values of
    its variables would report these.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Error as error:
            caught = error
        del args, kwargs
        caught.__context__ = None
        raise caught.with_traceback(None)

    return call


class Shown:
    """Stands in an error for a value that is not shown, and says what it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def shown(value: Any) -> Any:
    """`value` as an error may show it: short scalars as they are, of anything else only the type."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        clean = redact(value)
        return clean if len(clean) <= 100 else f"{clean[:100]}..."
    return Shown(f"<{type(value).__name__}>")


def integer(least: int, most: int = 1_000_000, *, none: str = "", stored_none: int | None = None) -> Rule:
    """An int from `least` to `most`. If `none` says what it means, None too, which is stored as `stored_none`."""

    def accept(value: Any) -> Any:
        if none and (value is None or value == stored_none):
            return stored_none
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError
        return value

    return Rule(f"an int from {least} to {most}{_or_none(none)}", accept, _optional("int", none), numeric=True)


def number(unit: str, *, none: str = "", stored_none: float | None = None, zero: bool = False) -> Rule:
    """A finite int or float above 0 (from 0 with `zero`), stored as float; None as with :func:`integer`."""

    def accept(value: Any) -> Any:
        # What None was stored as is accepted too: a config can be made of another's fields.
        if none and (value is None or value == stored_none):
            return stored_none
        # bool is an int to Python, but a duration of True is a mistake.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise TypeError
        if value < 0 or (value == 0 and not zero):
            raise ValueError
        return float(value)

    allowed = f"{unit}, a number {'from' if zero else 'above'} 0{_or_none(none)}"
    return Rule(allowed, accept, _optional("float", none), numeric=True)


def choice(*names: str, or_callable: str = "") -> Rule:
    """One of `names`, or any callable if `or_callable` names the type of one."""

    def accept(value: Any) -> Any:
        if not (isinstance(value, str) and value in names) and not (or_callable and callable(value)):
            raise ValueError
        return value

    if or_callable:
        return Rule(f"{' | '.join(names)} | an async callable", accept, f"{literal(*names)} | {or_callable}")
    return Rule(" | ".join(names), accept, literal(*names))


def literal(*names: str) -> str:
    """The type of these texts."""
    return f"Literal[{', '.join(chr(34) + name + chr(34) for name in names)}]"


def text(what: str) -> Rule:
    """A str without control characters: it goes into messages and logs."""

    def accept(value: Any) -> Any:
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 200:
            raise ValueError
        return value

    return Rule(f"{what}, 1 to 200 printable characters", accept, "str")


def names(what: str) -> Rule:
    """Several names, stored as a frozenset in lower case."""

    def accept(value: Any) -> Any:
        if isinstance(value, (str, bytes, Mapping)):
            raise TypeError
        items = list(value)
        if not all(isinstance(item, str) and item for item in items):
            raise ValueError
        return frozenset(item.lower() for item in items)

    return Rule(f"{what}, a collection of non-empty str", accept, "list[str] | tuple[str, ...] | AbstractSet[str]")


def function(what: str, kind: str) -> Rule:
    """A callable of the type `kind`, or None."""

    def accept(value: Any) -> Any:
        if value is not None and not callable(value):
            raise TypeError
        return value

    return Rule(f"{what}, or None", accept, f"{kind} | None")


def either(word: str, rule: Rule) -> Rule:
    """The word itself, or what `rule` accepts."""
    type = f"{literal(word)} | {rule.type}"
    return Rule(
        f"{word} | {rule.allowed}", lambda value: value if value == word else rule.accept(value), type, rule.numeric
    )


def _optional(type: str, none: str) -> str:
    return f"{type} | None" if none else type


def _or_none(meaning: str) -> str:
    return f", or None ({meaning})" if meaning else ""
