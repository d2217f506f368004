"""One run of one contender, in a process of its own: a job as JSON on standard input, its figures as JSON on output.

Not for use by hand: `benchmark_modes` starts it. The job comes by standard input because it holds a connection string,
and every user of a machine can read command lines.
"""

from __future__ import annotations

import time

_STARTED = time.perf_counter()

import asyncio  # noqa: E402 -- a start is measured with what it imports
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from importlib import import_module  # noqa: E402

from ._measures import measure  # noqa: E402
from ._workloads import Job  # noqa: E402


def main() -> None:
    """Read the job, measure, print."""
    job = Job(**json.load(sys.stdin))
    run = import_module("uvloop").run if job.loop == "uvloop" else asyncio.run

    async def report() -> None:
        print(json.dumps(await measure(job, _STARTED)), flush=True)
        # The figures are out; how a contender takes its leave is not part of them.
        os._exit(0)

    run(report())


if __name__ == "__main__":
    main()
