"""Python's garbage collector, while the rows of a long result are made: docs/adr/0006 has the reasons and figures."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

#: For so many seconds objects that the program has frozen are taken to be frozen still: to count them is to walk them.
REMEMBERED = 60.0

_frozen_until = 0.0


def can_freeze() -> bool:
    """Whether rows can be put into the oldest generation: objects that a program has frozen are to stay frozen."""
    global _frozen_until
    if monotonic() < _frozen_until:
        return False
    if gc.get_freeze_count():
        _frozen_until = monotonic() + REMEMBERED
        return False
    return True


def forget() -> None:
    """Ask anew whether objects are frozen."""
    global _frozen_until
    _frozen_until = 0.0


@contextmanager
def gc_paused(age: bool) -> Iterator[None]:
    """Without the collector; at the end it works again, if it did, and with `age` takes all there is for old.

    (The frozen are a generation of their own, which is merged with the oldest when they are thawed.)
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if age:
                gc.freeze()
                gc.unfreeze()
            gc.enable()
