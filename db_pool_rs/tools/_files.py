"""Files that tools write: never through a link that is there already, never under a name that could be foreseen."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_file(path: Path, text: str) -> None:
    """Give `path` this content, at once or not at all; a link is replaced, and what it leads to stays as it is."""
    with beside(path, text) as scratch:
        os.replace(scratch, path)


@contextlib.contextmanager
def beside(path: Path, text: str) -> Iterator[Path]:
    """A new file in the folder of `path`, readable for the same people; gone at the end if it was not moved."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    scratch = Path(name)
    try:
        with open(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
        if path.is_file() and not path.is_symlink():
            shutil.copymode(path, scratch)
        else:
            scratch.chmod(0o666 & ~_umask())
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def copy_beside(path: Path, names: Iterator[Path]) -> Path:
    """Copy a file, mode and times included, under the first name at which there is nothing, not even a broken link."""
    for name in names:
        try:
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with open(handle, "wb") as copy:
            copy.write(path.read_bytes())
        shutil.copystat(path, name)
        return name
    raise FileExistsError(f"{path}: every name for a copy is taken")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
