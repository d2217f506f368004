"""What Python's garbage collector does meanwhile."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from db_pool_rs.drivers import collector


def freeze() -> None:
    """Leave what exists by now, all modules and all tests of the run, out of the collections to come.

    They run after every async test: without this the end of a test takes longer than the test.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def watched_collector() -> Iterator[list[int]]:
    """The generations that are looked through inside the block, in order; nothing is frozen or due at its beginning."""
    gc.unfreeze()
    collector.forget()
    gc.collect()
    passes: list[int] = []

    def count(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            passes.append(info["generation"])

    gc.callbacks.append(count)
    try:
        yield passes
    finally:
        gc.callbacks.remove(count)
        freeze()
