"""Runs the contenders in turn, each in a process of its own, and gathers what they print."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from ..errors import redact
from ._results import Measurement
from ._workloads import Job

#: Seconds that a run may take besides those it measures: the interpreter, connections, the statements still running.
GRACE = 60.0


class RunError(Exception):
    """A contender gave no figures; the message is the last line that it wrote, without secrets."""


def run_job(job: Job) -> dict[str, float]:
    """The figures of one run in a new process."""
    command = [sys.executable, "-m", "db_pool_rs.tools._contender"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(job)),
            capture_output=True,
            text=True,
            timeout=GRACE + 4 * job.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunError("it did not come to an end") from None
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise RunError(redact(said[-1])[:300] if said else f"its process ended with status {done.returncode}")
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


def run_rounds(
    job: Job, contenders: Sequence[str], rounds: int, before: Callable[[str], None] = lambda name: None
) -> Measurement:
    """Every contender once in each round, in the same order; `before` hears who comes next.

    A contender that fails is not tried again: a figure that is missing says more than one that hung for a minute.
    """
    measurement = Measurement(job.workload, job.tasks, {name: [] for name in contenders}, delay_ms=job.delay_ms)
    for _ in range(rounds):
        for name in contenders:
            before(name)
            if name not in measurement.failures:
                try:
                    measurement.runs[name].append(run_job(replace(job, contender=name)))
                except RunError as error:
                    measurement.failures[name] = str(error)
                    measurement.runs[name].clear()
    return measurement
