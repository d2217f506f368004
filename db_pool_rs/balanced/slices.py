"""Results to rows, in one piece or slice by slice.

A long result is made into rows a slice at a time, with a tick of the event loop for others in between: its caller
waits, no other call does. Rows whose values are long are made value by value. What the kernel has to do for a slice
takes a small part of what the making of its rows takes, so that it is done on the spot; of a result so large that this
would add up, the kernel decodes all slices before, in one call without the GIL on one of the driver's threads.

The garbage collector is spared the rows: see :mod:`~db_pool_rs.drivers.postgres.results`.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from importlib import import_module
from typing import TYPE_CHECKING, Any

from db_pool_rs_balanced import ffi, lib

from ..drivers.collector import can_freeze, gc_paused
from ..drivers.postgres.results import cells, fitting
from ..errors import DecodeError
from ..record import Record
from .columns import LOADERS, LoadersMissing, Plan
from .libpq import PGresult

if TYPE_CHECKING:
    from ..drivers.postgres.results import LongResults

#: A slice has at most so many rows, and about so many bytes of what libpq keeps of a result.
SLICE = 1024
SLICE_BYTES = 1 << 20
#: From so many bytes on, a result is decoded on a thread.
NATIVE_BYTES = 1 << 22


def is_long(result: PGresult) -> bool:
    """Whether a result takes more than one tick of the event loop."""
    return result.ntuples > SLICE or (result.memory > SLICE_BYTES and result.ntuples * result.nfields > 1)


def new_block() -> Any:
    """Buffers for decoded columns."""
    block = lib.dbp_block_new()
    if not block:
        raise MemoryError
    return ffi.gc(block, lib.dbp_block_free)


def decode(block: Any, plan: Plan, result: PGresult, first: int = 0, most: int = 0) -> tuple[list[Record], int]:
    """`most` rows from `first` on (0: all), by way of `block`; and about how many bytes they have."""
    rows = _decode(block, plan, result, first, most)
    return _built(block, plan, result, rows, first), int(block.largest)


async def decode_long(
    block: Any, workers: Executor, plan: Plan, result: PGresult, long: LongResults
) -> tuple[list[Record], int]:
    """All rows, slice by slice, and about how many bytes they have. `block` may be used by others in between.

    It ends early where the callers are gone.

    psycopg's loaders are imported by a thread if they are needed.
    """
    total, size = result.ntuples, 0
    step = max(1, min(SLICE, total * SLICE_BYTES // max(result.memory, 1)))
    blocks: list[Any] = []
    if result.memory > NATIVE_BYTES:
        blocks = [new_block() for _ in range(0, total, step)]
        await asyncio.get_running_loop().run_in_executor(workers, _decode_all, blocks, plan, result, step)
        blocks.reverse()
    records: list[Record] = []
    age = can_freeze()
    for first in range(0, total, step):
        if long.gone:
            break
        own = blocks.pop() if blocks else None
        last = min(first + step, total)
        if fitting(result, plan.dear, first, step) < last - first:
            await asyncio.get_running_loop().run_in_executor(workers, import_module, LOADERS)
            records += [plan.record(await cells(plan.load, result, row)) for row in range(first, last)]
            size = max(size, result.memory)
            continue
        try:
            records += _slice(own, block, plan, result, first, step, age)
        except LoadersMissing:
            await asyncio.get_running_loop().run_in_executor(workers, import_module, LOADERS)
            records += _slice(own, block, plan, result, first, step, age)
        size += int((own or block).largest)
        await asyncio.sleep(0)
    return records, size


def _slice(own: Any, block: Any, plan: Plan, result: PGresult, first: int, step: int, age: bool) -> list[Record]:
    """Rows from `first` on: those in `own`, decoded before, or by way of `block`."""
    with gc_paused(age):
        rows = own.rows if own else _decode(block, plan, result, first, step)
        return _built(own or block, plan, result, rows, first)


def _decode_all(blocks: list[Any], plan: Plan, result: PGresult, step: int) -> None:
    """Run by a worker thread: nearly all of it without the GIL."""
    pointers = ffi.new("dbp_block *[]", blocks)
    _check(lib.dbp_decode_slices(pointers, len(blocks), result.ptr, step, plan.count, plan.kinds))


def _decode(block: Any, plan: Plan, result: PGresult, first: int, most: int) -> int:
    pointer = ffi.new("PGresult *[]", [result.ptr])
    return int(lib.dbp_decode(block, pointer, ffi.NULL, 1, first, most, plan.count, plan.kinds))


def _built(block: Any, plan: Plan, result: PGresult, rows: int, first: int) -> list[Record]:
    _check(rows)
    return plan.rows(block, result.get_value, first)


def _check(found: int) -> None:
    if found == -1:
        raise MemoryError
    if found < 0:
        raise DecodeError("the server sent other columns than it had described")
