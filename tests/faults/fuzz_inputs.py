"""One target of :mod:`.fuzzing`, in a process of its own, which a mistake would end.

`python -m tests.faults.fuzz_inputs TARGET MODE SECONDS SEED [COUNT]`: until SECONDS have passed, or COUNT inputs. The
last line is JSON: `inputs`, how many were `refused`, and how many were `wrong`, each of which was told before. An input
that takes longer than :data:`HANGS` ends the process by SIGALRM. The input in hand, where it has bytes of its own, is
in the file that `DB_POOL_FUZZ_INPUT` names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import hypothesis
from hypothesis import strategies as st

import db_pool_rs
from tests.cext.lies import lies, outcome, tables
from tests.cext.wire import GREETING, Lie
from tests.faults.hostile_values import mutated, mutated_text

#: Seconds that an input may take.
HANGS = 60
#: What surrounds a value, and must not be found in it.
SURROUNDINGS = (b"\xa5" * 64, b"\x1e" * 64)
Decode = Callable[[int, int, bytes, bytes], Any]


# -- values -----------------------------------------------------------------------------------------------------------


def decoder(mode: str) -> Decode:
    """What decodes a value, of a type and format, between two others."""
    if mode == "full":
        from db_pool_rs_full import _decode  # type: ignore[attr-defined]

        settings = ("", "ISO, MDY", "postgres")
        columns = [("a", 17), ("c", 0), ("b", 17)]
        return lambda oid, format, data, other: _decode(
            [columns[0], ("c", oid), columns[2]], [[other if format else b"\\x", data, other if format else b"\\x"]],
            format, settings,
        )[0][1]  # fmt: skip
    if mode == "balanced":
        return _kernel()
    from db_pool_rs.types.decode import RowDecoder

    made = lru_cache(None)(lambda oid, format: RowDecoder(["c"], [oid], format))

    def load(oid: int, format: int, data: bytes, other: bytes) -> Any:
        whole = other + data + other
        value = memoryview(whole)[len(other) : -len(other)] if other else data
        return made(oid, format).load(0, 0, value)

    return load


def _kernel() -> Decode:
    import db_pool_rs.types.loaders  # noqa: F401
    from db_pool_rs.balanced.columns import Plan
    from db_pool_rs.balanced.slices import decode, new_block
    from tests.cext.results import Session, result_of

    block = new_block()
    made = lru_cache(None)(lambda oid, format: Plan(["a", "c", "b"], [17, oid, 17], format, Session()))

    def load(oid: int, format: int, data: bytes, other: bytes) -> Any:
        around = other if format else b"\\x"
        result = result_of([17, oid, 17], [[around, data, around]], format)
        return decode(block, made(oid, format), result)[0][0][1]

    return load


def read(decode: Decode, oid: int, format: int, data: bytes, other: bytes = b"") -> str:
    """A value, or DecodeError."""
    try:
        return repr(decode(oid, format, data, other))
    except db_pool_rs.DecodeError:
        return "DecodeError"


class Inputs:
    """Until when there are inputs, and what came of them."""

    def __init__(self, seconds: float, count: int | None) -> None:
        self._end, self.most = time.monotonic() + seconds, count
        self.inputs = self.refused = self.wrong = self.foreign = 0
        name = os.environ.get("DB_POOL_FUZZ_INPUT")
        self._file: mmap.mmap | None = None
        if name is not None:
            with open(name, "wb+") as file:
                file.truncate(1 << 16)
                self._file = mmap.mmap(file.fileno(), 1 << 16)

    def next(self, every: int = 1) -> bool:
        """Whether there is another one; the clock is asked at each `every`th."""
        if self.inputs % every == 0:
            signal.alarm(HANGS)
            if time.monotonic() >= self._end:
                return False
        if self.inputs == self.most:
            return False
        self.inputs += 1
        return True

    def holds(self, what: bytes) -> None:
        """Keep what is decoded now, for the one who looks at what is left of this process."""
        if self._file is not None:
            line = what[: (1 << 16) - 1] + b"\n"
            self._file[: len(line)] = line

    def tell(self) -> None:
        """The last line."""
        counts = {name: getattr(self, name) for name in ("inputs", "refused", "wrong", "foreign")}
        print(json.dumps(counts), flush=True)


def values(mode: str, seed: int, inputs: Inputs) -> None:
    """Altered values: what an engine says does not depend on what surrounds a value, and is what `simple` says.

    That in binary only: each engine has parsers of its own for text, which agree on what PostgreSQL writes.
    """
    chance = random.Random(seed)
    decode, expected = decoder(mode), decoder("simple")
    while inputs.next(256):
        format = chance.randrange(2)
        oid, data = mutated(chance) if format else mutated_text(chance)
        inputs.holds(f"{oid} {format} {data.hex()}".encode())
        found = [read(decode, oid, format, data, other) for other in SURROUNDINGS]
        wanted = read(expected, oid, format, data)
        inputs.refused += wanted == "DecodeError"
        inputs.foreign += found[0] != found[1]
        if found[0] != found[1] or (format and found[0] != wanted):
            inputs.wrong += found[0] == found[1]
            print(json.dumps([oid, format, data.hex(), *found, wanted]), flush=True)


# -- conversations ----------------------------------------------------------------------------------------------------


async def login(mode: str, lie: Lie) -> list[str]:
    """What becomes of an attempt to connect to a server whose greeting is a lie, and then of the next one."""
    lied = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lied
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            size = int.from_bytes(await reader.readexactly(4), "big")
            await reader.readexactly(size - 4)
            for piece in GREETING if lied else lie(GREETING):
                writer.write(piece)
                await asyncio.sleep(0)
            lied = True
            writer.write_eof()
            while await reader.read(65536):
                pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        dsn = f"postgresql://u@127.0.0.1:{port}/d?sslmode=disable"
        try:
            pool = await db_pool_rs.create_pool(dsn, mode=mode, min_size=1, max_size=1, connect_timeout=20)
        except db_pool_rs.Error as error:
            return [type(error).__name__]
        await pool.close(timeout=5)
        return ["open"]


def conversations(
    mode: str, seed: int, inputs: Inputs, given: dict[str, st.SearchStrategy[Any]], talk: Callable[..., Any]
) -> None:
    """Lies by chance; an AssertionError, or an error that is none of ours, is a wrong answer."""
    loop = asyncio.new_event_loop()

    def one(**drawn: Any) -> None:
        inputs.inputs += 1
        signal.alarm(HANGS)
        loop.run_until_complete(talk(mode, **drawn))

    check = hypothesis.settings(
        max_examples=inputs.most or 50, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )(hypothesis.given(**given)(one))
    while inputs.next():
        inputs.inputs -= 1
        inputs.holds(f"seed {seed}".encode())
        try:
            hypothesis.seed(seed)(check)()
        except Exception as error:
            inputs.wrong += 1
            print(json.dumps([f"seed {seed}", repr(error), getattr(error, "__notes__", [])]), flush=True)
        seed += 1
    loop.close()


async def _session(mode: str, **drawn: Any) -> None:
    found = await outcome(mode, **drawn)
    if mode == "balanced":
        expected = await outcome("simple", **drawn)
        assert found == expected, f"{found} where simple has {expected}"


SESSION: dict[str, st.SearchStrategy[Any]] = {
    "table": tables(), "lie": lies(), "tasks": st.integers(1, 3), "known": st.booleans()
}  # fmt: skip


@contextlib.contextmanager
def _counted(seconds: float, count: int | None) -> Iterator[Inputs]:
    inputs = Inputs(seconds, count)
    yield inputs
    signal.alarm(0)
    inputs.tell()


def main(target: str, mode: str, seconds: float, seed: int, count: int | None = None) -> int:
    """Run one target; 1 if something was wrong."""
    with _counted(seconds, count) as inputs:
        if target == "values":
            values(mode, seed, inputs)
        elif target == "login":
            conversations(mode, seed, inputs, {"lie": lies()}, login)
        else:
            conversations(mode, seed, inputs, SESSION, _session)
    return 1 if inputs.wrong or inputs.foreign else 0


if __name__ == "__main__":
    name, engine, limit, first, *most = sys.argv[1:]
    sys.exit(main(name, engine, float(limit), int(first), int(most[0]) if most else None))
