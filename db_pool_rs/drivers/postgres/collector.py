"""Python's garbage collector, while the rows of a long result are made; docs/adr/0006 has the reasons and figures.

Rows have no cycles, but thousands of new ones make the collector look for some: at first through the youngest objects,
and again and again through all objects of the process, which holds the event loop for longer than any slice. So it is
off while a slice is made, and what is alive then joins the oldest generation.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def can_freeze() -> bool:
    """Whether rows can be put into the oldest generation: whoever has frozen objects wants them to stay frozen."""
    return not gc.get_freeze_count()


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
