"""Values that no server sends: each gives a DecodeError or a value, never foreign memory, on every engine.

They are decoded in a process of its own, which a mistake would end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.faults.hostile_values import DAMAGED
from tests.plugins.engines import EngineSpec

TOP = Path(__file__).parents[2]
#: `DB_POOL_FUZZ=inputs` makes the short run a long one; see nox -s fuzz.
INPUTS = int(os.environ.get("DB_POOL_FUZZ", "60"))
SEED = int(os.environ.get("DB_POOL_FUZZ_SEED", "13"))


async def _outcomes(mode: str, count: int) -> list[tuple[int, str, str, str]]:
    command = (sys.executable, "-X", "faulthandler", "-m", "tests.faults.hostile_values", mode, str(SEED), str(count))
    process: Any = await asyncio.create_subprocess_exec(
        *command, cwd=TOP, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    found = [tuple(json.loads(line)) for line in out.splitlines()]
    assert process.returncode == 0, f"ended after {found[-1:]}: {errors.decode()[-2000:]}"
    return found


async def test_damaged_values_are_refused(engine: EngineSpec) -> None:
    found = await _outcomes(engine.name, 0)
    assert [(oid, data) for oid, data, *_ in found] == [(oid, data.hex()) for oid, data in DAMAGED]
    assert [one for one in found if one[2:] != ("DecodeError", "DecodeError")] == []


async def test_altered_values_give_the_same_everywhere(engine: EngineSpec) -> None:
    """A value where bytes were changed is read as `simple` reads it, or refused by both; nothing crashes or hangs."""
    found = await _outcomes(engine.name, INPUTS)
    expected = found if engine.name == "simple" else await _outcomes("simple", INPUTS)
    assert len(found) == len(DAMAGED) + INPUTS
    assert found == expected
    assert [one for one in found if one[2] != one[3]] == []  # alone or among others
