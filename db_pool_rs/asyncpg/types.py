"""Types by asyncpg's names: descriptions of types and columns, ranges, bit strings, geometry, the server's version.

Bit strings and geometry are `str` in pools of this package; :data:`CODECS` make asyncpg's values of them.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..codecs import Codec
from ..described import Attribute, ServerVersion, Type
from ..ranges import Range
from . import times

__all__ = [
    "Attribute",
    "BitString",
    "Box",
    "Circle",
    "Line",
    "LineSegment",
    "Path",
    "Point",
    "Polygon",
    "Range",
    "ServerVersion",
    "Type",
]


class BitString(str):
    """Bits, as the str of zeros and ones that they are here: `bit` and `varbit` come as one."""

    __slots__ = ()

    def __new__(cls, bitstring: str = "") -> BitString:
        """From zeros and ones; blanks and underscores between them are left out."""
        bits = bitstring.replace(" ", "").replace("_", "")
        if set(bits) - {"0", "1"}:
            raise ValueError("a bit string has zeros and ones only")
        return super().__new__(cls, bits)

    @classmethod
    def frombytes(cls, bytes_: bytes, bitlength: int | None = None) -> BitString:
        """The first `bitlength` bits of bytes; all of them by default."""
        bits = "".join(format(byte, "08b") for byte in bytes_)
        return cls(bits if bitlength is None else bits[:bitlength])

    def as_string(self) -> str:
        """Groups of four bits with blanks between them."""
        return " ".join(self[at : at + 4] for at in range(0, len(self), 4))

    def to_int(self, bitorder: str = "big", *, signed: bool = False) -> int:
        """The number that the bits are; the first is the highest one, unless `bitorder` is "little"."""
        bits = str(self) if bitorder == "big" else self[::-1]
        number = int(bits or "0", 2)
        return number - (1 << len(self)) if signed and bits[:1] == "1" else number

    @classmethod
    def from_int(cls, x: int, length: int, bitorder: str = "big", *, signed: bool = False) -> BitString:
        """The bits of a number. ValueError if it has more than `length`."""
        low, high = (-(1 << (length - 1)), 1 << (length - 1)) if signed else (0, 1 << length)
        if not low <= x < high:
            raise ValueError(f"{x} does not fit into {length} bits")
        bits = format(x % (1 << length), f"0{length}b")
        return cls(bits if bitorder == "big" else bits[::-1])

    @property
    def bytes(self) -> bytes:
        """The bits, filled up with zeros at the end."""
        size = -(-len(self) // 8)
        return int(self.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")


class Point(tuple[float, float]):
    """A point of a plane."""

    __slots__ = ()

    def __new__(cls, x: float, y: float) -> Point:
        """From its coordinates."""
        return super().__new__(cls, (float(x), float(y)))

    @property
    def x(self) -> float:
        """The first coordinate."""
        return self[0]

    @property
    def y(self) -> float:
        """The second coordinate."""
        return self[1]

    def __repr__(self) -> str:
        return f"{type(self).__name__}{tuple(self)!r}"


class LineSegment(tuple[Point, Point]):
    """What is between two points."""

    __slots__ = ()

    def __new__(cls, p1: Iterable[float], p2: Iterable[float]) -> LineSegment:
        """From its ends."""
        return super().__new__(cls, (Point(*p1), Point(*p2)))

    @property
    def p1(self) -> Point:
        """The first end."""
        return self[0]

    @property
    def p2(self) -> Point:
        """The second end."""
        return self[1]

    __repr__ = Point.__repr__


class Box(LineSegment):
    """A rectangle, from its upper right corner to the lower left one."""

    __slots__ = ()
    high, low = LineSegment.p1, LineSegment.p2


class Line(tuple[float, float, float]):
    """A line where `A` x + `B` y + `C` is 0."""

    __slots__ = ()

    def __new__(cls, A: float, B: float, C: float) -> Line:
        """From its coefficients."""
        return super().__new__(cls, (A, B, C))

    @property
    def A(self) -> float:
        """The factor of x."""
        return self[0]

    @property
    def B(self) -> float:
        """The factor of y."""
        return self[1]

    @property
    def C(self) -> float:
        """What is added."""
        return self[2]

    __repr__ = Point.__repr__


class Path:
    """Points that lines join; closed where the last is joined to the first."""

    __slots__ = ("is_closed", "points")

    def __init__(self, *points: Iterable[float], is_closed: bool = False) -> None:
        self.points = tuple(Point(*point) for point in points)
        self.is_closed = is_closed

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Path):
            return NotImplemented
        return (self.points, self.is_closed) == (other.points, other.is_closed)

    def __hash__(self) -> int:
        return hash((self.points, self.is_closed))

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, at: Any) -> Any:
        return self.points[at]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.points))})"


class Polygon(Path):
    """A closed path, with what is inside of it."""

    __slots__ = ()

    def __init__(self, *points: Iterable[float]) -> None:
        super().__init__(*points, is_closed=True)


class Circle(tuple[Point, float]):
    """What is not farther than `radius` from `center`."""

    __slots__ = ()

    def __new__(cls, center: Iterable[float], radius: float) -> Circle:
        """From center and radius."""
        return super().__new__(cls, (Point(*center), float(radius)))

    @property
    def center(self) -> Point:
        """The point in the middle."""
        return self[0]

    @property
    def radius(self) -> float:
        """The distance of the border."""
        return self[1]

    __repr__ = Point.__repr__


_NUMBER = re.compile(r"[-+.\w]+")


def _flat(value: Any) -> list[float]:
    """The numbers of a value, which may be asyncpg's own or any sequence of that form."""
    return [value] if isinstance(value, (int, float)) else [number for one in value for number in _flat(one)]


def _numbers(value: Any) -> str:
    return ",".join(map(repr, _flat(value)))


def _points(text: str) -> list[tuple[float, float]]:
    numbers = list(map(float, _NUMBER.findall(text)))
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _path_text(value: Any) -> str:
    """A path is open where it says so; a list or tuple is asyncpg's: a list open, a tuple closed."""
    closed = value.is_closed if isinstance(value, Path) else not isinstance(value, list)
    return f"({_numbers(value)})" if closed else f"[{_numbers(value)}]"


def _circle(text: str) -> Circle:
    x, y, radius = map(float, _NUMBER.findall(text))
    return Circle((x, y), radius)


def _bits(value: Any) -> str:
    return BitString.frombytes(bytes(value)) if isinstance(value, (bytes, bytearray)) else BitString(value)


def _json(value: Any) -> str:
    """A list is not JSON yet, though its `str` may look like it."""
    if not isinstance(value, str):
        raise TypeError(f"str expected, got {type(value).__name__}")
    return value


def _char(value: Any) -> str:
    return value if isinstance(value, str) else bytes(value).decode("ascii").rstrip("\0")


def _tid(value: Any) -> str:
    return value if isinstance(value, str) else "({},{})".format(*value)


def _lsn(value: Any) -> str:
    return value if isinstance(value, str) else f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"


def _lsn_number(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def _in_parentheses(value: Any) -> str:
    return f"({_numbers(value)})"


_MADE: tuple[tuple[str, Callable[[Any], str], Callable[[str], Any]], ...] = (
    ("bit", _bits, BitString),
    ("varbit", _bits, BitString),
    ("point", _in_parentheses, lambda text: Point(*_points(text)[0])),
    ("lseg", _numbers, lambda text: LineSegment(*_points(text))),
    ("box", _numbers, lambda text: Box(*_points(text))),
    ("line", lambda value: f"{{{_numbers(value)}}}", lambda text: Line(*map(float, _NUMBER.findall(text)))),
    ("path", _path_text, lambda text: Path(*_points(text), is_closed=text.startswith("("))),
    ("polygon", _in_parentheses, lambda text: Polygon(*_points(text))),
    ("circle", _numbers, _circle),
)
#: How asyncpg reads and writes what is done otherwise in pools of this package; json is text for asyncpg.
CODECS = (
    *times.CODECS,
    *(Codec(name, encoder, decoder, "pg_catalog") for name, encoder, decoder in _MADE),
    *(Codec(name, _json, str, "pg_catalog") for name in ("json", "jsonb")),
    Codec("char", _char, lambda text: (text or "\0").encode(), "pg_catalog"),
    Codec("tid", _tid, lambda text: tuple(map(int, text[1:-1].split(","))), "pg_catalog"),
    Codec("pg_lsn", _lsn, _lsn_number, "pg_catalog"),
    Codec("void", None, lambda _: None, "pg_catalog"),
    Codec("numeric", str, decimal.Decimal, "pg_catalog"),  # of a float, a str or whatever else has its text
)
