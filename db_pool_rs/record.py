"""What statements return: `Record`, a row, `Status`, a tag, `Result`, both with the columns; and `Event`, of LISTEN.

A `Record` is a tuple of the row's values that can also be asked by column name:

    row = await pool.fetchrow("SELECT id, name FROM users")
    row["name"]; row[1]; row.get("age"); dict(row); id, name = row; row == (7, "x")

- Equal to, ordered with and hashed as the plain tuple of its values; the names do not count.
- `in` asks for a column name, as it does in asyncpg (and as `dict(row)` suggests), not for a value.
- If several columns have one name, the name means the last of them, as in asyncpg and in `dict(row)`.
- Columns are not attributes: a column may be called `count` or `index`, which are methods of every tuple.
- Slices, sums and so on are plain tuples.

There is one subclass for each shape (tuple of column names), which holds the names, so that a row costs what a tuple
costs. The classes are cached, and may be dropped from the cache: nothing depends on two rows of a shape having the same
class.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, cast

_item = tuple.__getitem__


class Record(tuple[Any, ...]):
    """A row: the tuple of its values, which can be asked by column name too. Made by the classes of `record_class`."""

    __slots__ = ()

    _names: ClassVar[tuple[str, ...]] = ()
    _index: ClassVar[dict[str, int]] = {}

    def __getitem__(self, key: Any) -> Any:
        """The value of a column by name or position, or a plain tuple for a slice. KeyError or IndexError if none."""
        if not isinstance(key, str):
            return _item(self, key)
        try:
            return _item(self, self._index[key])
        except KeyError:
            raise KeyError(_unknown(key, self._names)) from None

    def get(self, name: str, default: Any = None) -> Any:
        """The value of the column, or `default` if there is no such column."""
        position = self._index.get(name)
        return default if position is None else _item(self, position)

    def keys(self) -> tuple[str, ...]:
        """The column names, in the order of the columns."""
        return self._names

    def values(self) -> tuple[Any, ...]:
        """The values as a plain tuple."""
        return tuple(self)

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Pairs of column name and value, in the order of the columns."""
        return tuple(zip(self._names, self, strict=True))

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __reduce__(self) -> tuple[Callable[..., Record], tuple[Any, ...]]:
        return _rebuild, (self._names, tuple(self))

    def __repr__(self) -> str:
        return "".join([f"<{type(self).__name__}", *(f" {name}={value!r}" for name, value in self.items()), ">"])


@lru_cache(maxsize=1024)
def record_class(names: tuple[str, ...]) -> type[Record]:
    """The class of rows with these columns; call it with the row's values, one for each name (this is not checked)."""
    index = {name: position for position, name in enumerate(names)}
    members = {"__slots__": (), "__module__": __name__, "__doc__": Record.__doc__, "_names": names, "_index": index}
    return cast("type[Record]", type("Record", (Record,), members))


def _rebuild(names: tuple[str, ...], values: tuple[Any, ...]) -> Record:
    return record_class(names)(values)


def _unknown(name: str, names: tuple[str, ...]) -> str:
    return f"no column {name!r}; columns: {', '.join(names) or 'none'}"


class Status(str):
    """The command tag of a statement, such as `UPDATE 3`; empty for an empty statement."""

    __slots__ = ()

    @property
    def rows(self) -> int:
        """How many rows the statement returned or changed; 0 for commands that do not count rows."""
        last = self.rpartition(" ")[2]
        return int(last) if last.isascii() and last.isdigit() else 0

    @property
    def command(self) -> str:
        """The tag without its numbers: `UPDATE`, `CREATE TABLE`."""
        return self.rstrip(" 0123456789")


class Event(NamedTuple):
    """A notification of `channel`, sent with `payload` by the session of the server process `pid`.

    Where `gap` is true it is none: notifications may be missing here, because the connection was lost, or, if `dropped`
    is above 0, because so many did not fit into the queue.
    """

    channel: str
    payload: str
    pid: int
    gap: bool = False
    dropped: int = 0


class Column(NamedTuple):
    """One column of a result: its name, and of PostgreSQL's the OID of its type and the type modifier.

    The modifier is that of `pg_attribute.atttypmod`, -1 where there is none. SQLite's values have types, its columns
    have none: there the OID is 0.
    """

    name: str
    type_oid: int
    type_modifier: int


class Result(NamedTuple):
    """What one execution has told: its rows, its columns, which are there without a row too, and its command tag."""

    rows: list[Record]
    columns: tuple[Column, ...]
    status: Status


class LoggedQuery(NamedTuple):
    """A statement that the database has answered, as a query logger is told of it.

    `seconds` are those from its call to its answer; for one on a connection, from its being sent. `error` is None where
    it succeeded.
    """

    query: str
    args: tuple[Any, ...]
    seconds: float
    error: Exception | None
