"""The SQLite library that Python's `sqlite3` uses is lent to the engine, so that there is one in the process.

POSIX locks belong to a process, and closing any descriptor of a file drops them: with two copies of SQLite in a process
neither sees the other's locks, and files are damaged (https://www.sqlite.org/howtocorrupt.html). So the engine has
none.

Two ways, whichever works: the symbols of the library, where `_sqlite3` links to a shared one or shows those of its own;
else the engine is loaded as an extension of SQLite's, which gives it the table of its functions. What symbols were
found is tried: both must see one database in memory. Where neither works, mode full does not serve SQLite.
"""

from __future__ import annotations

import ctypes
import sqlite3
import sys
import threading
from functools import cache
from importlib import import_module
from uuid import uuid4

#: The first version that has every function that the engine calls.
MINIMUM = (3, 34, 1)
#: What helps where there is a problem.
REMEDY = (
    f"mode='simple' or 'auto'; or a Python whose sqlite3 is at least {'.'.join(map(str, MINIMUM))} and uses a shared"
    " library (as those of Linux distributions and conda-forge do) or was built with"
    " --enable-loadable-sqlite-extensions"
)

_lock = threading.Lock()


def problem() -> str | None:
    """Why the engine cannot use the SQLite of this Python; None if it can, and does from now on."""
    with _lock:
        return _lend()


@cache
def _lend() -> str | None:
    if sqlite3.sqlite_version_info < MINIMUM:
        return f"it needs SQLite {'.'.join(map(str, MINIMUM))}, this Python has {sqlite3.sqlite_version}"
    import db_pool_rs_full as native

    addresses = _symbols(native._sqlite_functions())
    if addresses is not None and _is_the_same(addresses):
        try:
            native._lend_sqlite(addresses)
        except ValueError as error:
            return f"the SQLite of this Python cannot be used: {error}"
    elif native.__file__ is not None:
        _load_as_extension(native.__file__)
    if native._sqlite_missing() is None:
        return None
    return (
        "the SQLite of this Python shows no symbols and loads no extensions, and a second one would not see its locks"
    )


def _symbols(names: list[str]) -> dict[str, int] | None:
    """The addresses of these functions in the library of `_sqlite3`, if it has them all."""
    file = getattr(import_module("_sqlite3"), "__file__", None)  # none: it is built into the interpreter
    try:
        library = ctypes.PyDLL("sqlite3" if sys.platform == "win32" else file)
        return {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names}
    except (AttributeError, OSError):
        return None


def _is_the_same(addresses: dict[str, int]) -> bool:
    """Whether these functions see a database in memory that `sqlite3` has made."""
    uri = f"file:db_pool_rs_{uuid4().hex}?mode=memory&cache=shared"
    pointer, result = ctypes.c_void_p, ctypes.c_int
    open_v2 = ctypes.PYFUNCTYPE(result, ctypes.c_char_p, pointer, result, pointer)(addresses["sqlite3_open_v2"])
    close = ctypes.PYFUNCTYPE(result, pointer)(addresses["sqlite3_close_v2"])
    prepare = ctypes.PYFUNCTYPE(result, pointer, ctypes.c_char_p, result, pointer, pointer)(
        addresses["sqlite3_prepare_v2"]
    )
    finalize = ctypes.PYFUNCTYPE(result, pointer)(addresses["sqlite3_finalize"])
    ours = sqlite3.connect(uri, uri=True)
    theirs, statement = pointer(), pointer()
    try:
        ours.execute("CREATE TABLE here (a)")
        flags = 0x2 | 0x4 | 0x40  # SQLITE_OPEN_READWRITE, _CREATE, _URI
        if open_v2(uri.encode(), ctypes.byref(theirs), flags, None):
            return False
        code: int = prepare(theirs, b"SELECT a FROM here", -1, ctypes.byref(statement), None)
        return code == 0
    finally:
        finalize(statement)
        close(theirs)
        ours.close()


def _load_as_extension(file: str) -> None:
    """Have SQLite call the engine's entry point, if this Python allows that."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.enable_load_extension(True)
        connection.load_extension(file)
    except (AttributeError, sqlite3.Error):
        pass
    finally:
        connection.close()
