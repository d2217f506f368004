"""What the guard says of extensions, against those that PostgreSQL brings along."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.guard.findings import Findings, findings
from db_pool_rs.guard.keeper import CATALOG, parameters
from db_pool_rs.guard.words import HARMLESS, read_body

#: What was judged, by name and by what the documentation of PostgreSQL 15 says: every VOLATILE function in C of the
#: extensions that count as harmless. None runs SQL, keeps anything on the session, or can tell what else is in its
#: transaction.
LOOKED_AT = {
    "autoinc": {"autoinc"},  # a trigger that calls nextval
    "insert_username": {"insert_username"},  # a trigger that sets a column
    "moddatetime": {"moddatetime"},  # a trigger that sets a column to now(), which groups share
    "pgcrypto": {
        "gen_random_bytes", "gen_random_uuid", "gen_salt", "pgp_pub_encrypt", "pgp_pub_encrypt_bytea",
        "pgp_sym_encrypt", "pgp_sym_encrypt_bytea",
    },
    "tsm_system_rows": {"system_rows"},
    "tsm_system_time": {"system_time"},
    "unaccent": {"unaccent_init", "unaccent_lexize"},
    "uuid-ossp": {"uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4"},
}  # fmt: skip
#: Extensions of which something must run alone: one name of each.
ALONE = {
    "dblink": "dblink_exec",  # another connection
    "pg_stat_statements": "pg_stat_statements",  # a view that tells what others do
    "pg_trgm": "set_limit",  # keeps a setting
    "pgrowlocks": "pgrowlocks",
    "postgres_fdw": "postgres_fdw_disconnect",
    "tablefunc": "crosstab",  # runs a string
    "xml2": "xpath_table",
}
FUNCTIONS = """
SELECT e.extname::text, p.proname::text
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid JOIN pg_language l ON l.oid = p.prolang
WHERE p.provolatile = 'v' AND l.lanname NOT IN ('sql', 'plpgsql')
"""


@pytest.fixture
async def found(pg_server: Any) -> tuple[Findings, dict[str, set[str]]]:
    """A database with every extension that is there: what the guard finds, and the VOLATILE functions by extension."""
    pg_server.sql("DROP DATABASE IF EXISTS extended")
    pg_server.sql("CREATE DATABASE extended")
    async with create_pool(pg_server.dsn("extended"), max_size=1) as pool:
        available = [name for (name,) in await pool.fetch("SELECT name FROM pg_available_extensions")]
        for name in sorted({*HARMLESS, *ALONE, "tcn"} & set(available)):
            await pool.execute(f'CREATE EXTENSION "{name}" CASCADE')
        await pool.execute("CREATE VIEW crossed AS SELECT * FROM crosstab('SELECT 1, 2, 3') AS (a int, b int)")
        functions = defaultdict(set)
        for extension, name in await pool.fetch(FUNCTIONS):
            functions[extension].add(name)
        return findings(await pool.fetch(CATALOG(), *parameters())), functions


# rule 8.1
async def test_harmless_extensions_are(found: tuple[Findings, dict[str, set[str]]]) -> None:
    guard, functions = found
    for extension in HARMLESS & set(functions):
        assert functions[extension] <= LOOKED_AT.get(extension, set()), f"{extension}: not looked at yet"
    looked_at = {name for extension in HARMLESS for name in LOOKED_AT.get(extension, ())}
    assert looked_at.isdisjoint(guard.reading)
    assert looked_at.isdisjoint(guard.writing)


# rule 8.1
async def test_extensions_that_are_not_run_alone(found: tuple[Findings, dict[str, set[str]]]) -> None:
    guard, functions = found
    there = {name for extension, name in ALONE.items() if extension in functions or extension == "xml2"}
    assert there <= set(guard.reading)
    assert len(there) > 5
    assert guard.reading["crossed"] == "crossed: view -> function crosstab(): written in c"


# rule 8.1
async def test_the_server_finds_the_functions_that_are_looked_for_in_bodies(pg_server: Any) -> None:
    """By name and by patterns of LIKE it finds what the words of a body are compared with, and nothing else."""
    asked = "proname::text = ANY ($1) OR proname::text LIKE ANY ($2)"
    async with create_pool(pg_server.dsn("postgres"), max_size=1) as pool:
        rows = await pool.fetch(f"SELECT DISTINCT proname::text, {asked} FROM pg_catalog.pg_proc", *parameters())
    found = {name for name, matters in rows if matters}
    assert found == {name for name, _ in rows if read_body(f"SELECT x.{name}()").reason == name}
    assert {"lo_get", "pg_notify", "nextval", "lower", "count"} & found == {"lo_get", "pg_notify"}
