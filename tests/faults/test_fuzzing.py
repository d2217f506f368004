"""A short run of the fuzzers, each in a process of its own, which a mistake ends: `nox -s fuzz` is the long one."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from tests.faults.fuzzing import TOP, Outcome
from tests.plugins.engines import EngineSpec

INPUTS = {"values": 1000, "login": 15}


@pytest.mark.parametrize("target", INPUTS)
async def test_a_short_run_finds_nothing(engine: EngineSpec, target: str) -> None:
    command = ("-X", "faulthandler", "-m", "tests.faults.fuzz_inputs", target, engine.name, "200", "7")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, str(INPUTS[target]), cwd=TOP,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    *told, counts = out.decode().splitlines() or [""]
    assert process.returncode == 0, f"{told} {counts} {errors.decode()[-2000:]}"
    assert Outcome(**json.loads(counts)).is_clean()
    assert json.loads(counts)["inputs"] == INPUTS[target]
