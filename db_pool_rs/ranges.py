"""Ranges of PostgreSQL as Python values: :class:`Range`, the same in every engine.

A multirange is a list of them.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Range(Generic[T]):
    """A range of values: from `lower` to `upper`, None where it has no bound; or (`empty`) of no value at all.

    By default the lower bound belongs to it and the upper one does not: `Range(1, 5)` is `[1,5)`. A bound that is not
    there never does. Ranges are immutable and hashable, and equal where their bounds are: `Range(1, 5)` and
    `Range(1, 4, upper_inc=True)` are two ranges here, although the server makes the first one of both.
    """

    __slots__ = ("_isempty", "_lower", "_lower_inc", "_upper", "_upper_inc")

    def __init__(
        self,
        lower: T | None = None,
        upper: T | None = None,
        *,
        lower_inc: bool = True,
        upper_inc: bool = False,
        empty: bool = False,
    ) -> None:
        if empty:
            lower = upper = None
        self._lower, self._upper, self._isempty = lower, upper, empty
        self._lower_inc = lower_inc and lower is not None
        self._upper_inc = upper_inc and upper is not None

    @property
    def lower(self) -> T | None:
        """The lower bound; None if there is none, or the range is empty."""
        return self._lower

    @property
    def upper(self) -> T | None:
        """The upper bound; None if there is none, or the range is empty."""
        return self._upper

    @property
    def lower_inc(self) -> bool:
        """Whether the lower bound belongs to the range."""
        return self._lower_inc

    @property
    def upper_inc(self) -> bool:
        """Whether the upper bound belongs to the range."""
        return self._upper_inc

    @property
    def lower_inf(self) -> bool:
        """Whether the range has no lower bound, and is not empty."""
        return self._lower is None and not self._isempty

    @property
    def upper_inf(self) -> bool:
        """Whether the range has no upper bound, and is not empty."""
        return self._upper is None and not self._isempty

    @property
    def isempty(self) -> bool:
        """Whether no value belongs to the range."""
        return self._isempty

    def __contains__(self, value: Any) -> bool:
        if self._isempty:
            return False
        if self._lower is not None and (value < self._lower or (value == self._lower and not self._lower_inc)):
            return False
        return self._upper is None or bool(value < self._upper or (value == self._upper and self._upper_inc))

    def issubset(self, other: Range[T]) -> bool:
        """Whether every value of the range belongs to `other`."""
        if self._isempty or other._isempty:
            return self._isempty
        lower, upper, theirs = self._lower, self._upper, other
        above = theirs._lower is None or (lower is not None and (
            _less(theirs._lower, lower) or (lower == theirs._lower and (theirs._lower_inc or not self._lower_inc))
        ))  # fmt: skip
        below = theirs._upper is None or (upper is not None and (
            _less(upper, theirs._upper) or (upper == theirs._upper and (theirs._upper_inc or not self._upper_inc))
        ))  # fmt: skip
        return above and below

    def issuperset(self, other: Range[T]) -> bool:
        """Whether every value of `other` belongs to the range."""
        return other.issubset(self)

    def __bool__(self) -> bool:
        return not self._isempty

    def _key(self) -> tuple[Any, ...]:
        return self._lower, self._upper, self._lower_inc, self._upper_inc, self._isempty

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Range) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        return _range, self._key()

    def __str__(self) -> str:
        """As mathematicians write it, and PostgreSQL: `[1,5)`."""
        if self._isempty:
            return "empty"
        lower, upper = ("" if bound is None else str(bound) for bound in (self._lower, self._upper))
        return f"{'[' if self._lower_inc else '('}{lower},{upper}{']' if self._upper_inc else ')'}"

    def __repr__(self) -> str:
        if self._isempty:
            return "Range(empty=True)"
        parts = [repr(self._lower), repr(self._upper)]
        if not self._lower_inc and self._lower is not None:
            parts.append("lower_inc=False")
        if self._upper_inc:
            parts.append("upper_inc=True")
        return f"Range({', '.join(parts)})"


def _range(lower: Any, upper: Any, lower_inc: bool, upper_inc: bool, empty: bool) -> Range[Any]:
    return Range(lower, upper, lower_inc=lower_inc, upper_inc=upper_inc, empty=empty)


def _less(one: Any, other: Any) -> bool:
    return bool(one < other)
