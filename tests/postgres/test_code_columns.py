"""The generator of schemas leaves no way out by which PostgreSQL runs a function of the user's."""

from __future__ import annotations

import psycopg

from tests.contract.schema_features import CODE_COLUMNS, VEHICLES

#: Columns of the catalogue that name a function, and those that hold a parsed expression or statement.
COLUMNS = """
    SELECT fktable::text || '.' || fkcols[1] FROM pg_get_catalog_foreign_keys() WHERE pktable = 'pg_proc'::regclass
    UNION
    SELECT a.attrelid::regclass::text || '.' || a.attname
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'pg_node_tree'::regtype
"""


def test_every_column_that_holds_code_has_a_vehicle_or_a_reason(pg_dsn: str) -> None:
    with psycopg.connect(pg_dsn) as connection:
        found = {name for (name,) in connection.execute(COLUMNS)}
        newest = connection.info.server_version >= 150000
    assert found <= set(CODE_COLUMNS)
    assert found == set(CODE_COLUMNS) or not newest
    reasons = {why for why in CODE_COLUMNS.values() if why not in VEHICLES}
    assert len(reasons) < 8, f"a vehicle was renamed: {reasons}"
