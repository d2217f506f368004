"""psycopg's loaders: imported when a value needs them, and never by the event loop's thread."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.meta.source import ROOT

PROGRAM = """
import asyncio, json, sys, threading
from db_pool_rs import create_pool

class Watch:
    threads = []

    def find_spec(self, name, path=None, target=None):
        if name == "psycopg":
            self.threads.append(threading.current_thread() is threading.main_thread())

sys.meta_path.insert(0, Watch())

async def main(dsn, sql, *args):
    async with create_pool(dsn, mode=sys.argv[1], config={}) as pool:
        calls = [pool.fetchval(sql, *args) for _ in range(20)] + [pool.fetchval("SELECT 1") for _ in range(20)]
        answers = [str(one) for one in await asyncio.gather(*calls, return_exceptions=True)]
        try:
            answers.append(str(await pool.fetchval(sql, *args)))
        except Exception as error:
            answers.append(str(error))
        print(json.dumps([answers, Watch.threads, pool.stats().lost]))

asyncio.run(main(*json.loads(sys.argv[2])))
"""


#: What psycopg reads in a mode: for `full` what may have parts in another style than ISO.
BALANCED = [
    ("SELECT $1::jsonb", [{"b": 1}], "{'b': 1}"),
    ("SELECT '1.2.3.4'::inet", [], "1.2.3.4"),
    ("SELECT '{1}'::int[] FROM generate_series(1, $1)", [3000], "[1]"),
    ("SELECT '-infinity'::date + $1::int AS a", [0], 'column "a" (date) of row 1: date too small'),
    ("SELECT '-infinity'::date AS a FROM generate_series(1, $1)", [3000], 'column "a" (date) of row 1: date too '),
]
SYSTEM = "SELECT n FROM pg_catalog.pg_namespace n"
FULL = [
    (f"{SYSTEM} WHERE n.nspname = 'pg_catalog' AND $1 = 5", [5], "<Record oid=11 nspname='pg_catalog'"),
    (f"{SYSTEM}, generate_series(1, $1) WHERE n.nspname = 'pg_catalog'", [3000], "<Record oid=11 nspname='pg_catalog'"),
]
CASES = [*(("balanced", *case) for case in BALANCED), *(("full", *case) for case in FULL)]
NONE = [
    "SELECT 7, 1.5, now(), 'x', md5('')::uuid FROM generate_series(1, $1)",
    "SELECT count(a) FROM (SELECT NULL::int4range AS a) AS b WHERE $1 > 0",
    "SELECT '[1,2]'::int4range WHERE $1 < 0",
]


def run(mode: str, dsn: str, sql: str, *args: object) -> tuple[set[str], list[bool]]:
    """In a new process, 21 times: the answers, and for each import of psycopg whether the loop's thread did it."""
    pytest.importorskip(f"db_pool_rs_{mode}")
    command = [sys.executable, "-c", PROGRAM, mode, json.dumps([dsn, sql, *args])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    answers, by_loop, lost = json.loads(done.stdout)
    assert lost == 0
    assert answers[20:40] == ["1"] * 20
    return {*answers[:20], *answers[40:]}, by_loop


@pytest.mark.parametrize(("mode", "sql", "args", "answer"), CASES)
def test_they_are_imported_off_the_loop(pg_dsn: str, mode: str, sql: str, args: list[object], answer: str) -> None:
    style = "?options=-c%20datestyle%3DGerman" if mode == "full" else ""
    answers, by_loop = run(mode, pg_dsn + style, sql, *args)
    assert len(answers) == 1
    assert answers.pop().startswith(answer)
    assert by_loop == [False]


#: What `full` reads itself, and `balanced` does not.
RANGES = [
    "SELECT int4range(1, 5), '{[1,2),[4,)}'::int4multirange FROM generate_series(1, $1)",
    "SELECT ARRAY['[0001-01-01,2024-05-01)'::daterange] AS a WHERE $1 > 0",
    "SELECT n, ARRAY[n] FROM pg_catalog.pg_namespace n WHERE $1 > 0",
    "SELECT ROW(n, now(), point(1, 2)), ARRAY[(1, 'a')] FROM pg_catalog.pg_namespace n WHERE $1 > 0",
]


@pytest.mark.parametrize("sql", RANGES)
def test_full_needs_none_for_ranges_composites_and_records(pg_dsn: str, sql: str) -> None:
    assert run("full", pg_dsn, sql, 3000)[1] == []


@pytest.mark.parametrize("sql", NONE)
@pytest.mark.parametrize("mode", ["balanced", "full"])
def test_what_the_engine_knows_needs_none(pg_dsn: str, mode: str, sql: str) -> None:
    assert run(mode, pg_dsn, sql, 3000)[1] == []
