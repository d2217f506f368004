"""Every way from a text to a function that can notice company is found, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from .guarding import QUICK, guarded, script

#: An operator class of integers whose comparison tells.
CLASS = (
    "CREATE FUNCTION compare(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN"
    " PERFORM tell(); RETURN $1 - $2; END $$; CREATE OPERATOR CLASS c FOR TYPE int USING btree AS OPERATOR 1 <,"
    " OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 compare(int, int);"
)
WAYS = {
    "default": ("CREATE TABLE t (id int, v text DEFAULT tell())", "INSERT INTO t (id) VALUES (1)"),
    "check": ("CREATE TABLE t (id int CHECK (tell() IS NOT NULL))", "INSERT INTO t VALUES (1)"),
    "domain": ("CREATE DOMAIN d AS int CHECK (tell() IS NOT NULL); CREATE TABLE t (id d)", "INSERT INTO t VALUES (1)"),
    "cast to a domain": ("CREATE DOMAIN d AS int CHECK (tell() IS NOT NULL)", "SELECT $1::d"),
    "a table of the server's below": (
        "CREATE TABLE t () INHERITS (information_schema.sql_features);"
        "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM tell(); RETURN NULL; END $$;"
        "CREATE TRIGGER x AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION told()",
        "UPDATE information_schema.sql_features SET comments = $1",
    ),
    "view": ("CREATE VIEW v AS SELECT tell() AS x; CREATE VIEW w AS SELECT x FROM v", "SELECT x FROM w"),
    "rule": (
        "CREATE TABLE t (id int); CREATE RULE r AS ON INSERT TO t DO ALSO SELECT tell()",
        "INSERT INTO t VALUES (1)",
    ),
    "policy": (
        "CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (tell() <> '')",
        "SELECT id FROM t",
    ),
    "partition": (
        "CREATE TABLE t (id int) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t DEFAULT;"
        "CREATE TRIGGER x BEFORE INSERT ON t1 FOR EACH ROW EXECUTE FUNCTION trigger_tell()",
        "INSERT INTO t VALUES (1)",
    ),
    "child": (
        "CREATE TABLE t (id int); CREATE TABLE t1 () INHERITS (t);"
        "CREATE TRIGGER x BEFORE UPDATE ON t1 FOR EACH ROW EXECUTE FUNCTION trigger_tell()",
        "UPDATE t SET id = 1",
    ),
    "cascade": (
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE c (id int REFERENCES t ON DELETE CASCADE);"
        "CREATE TRIGGER x AFTER DELETE ON c FOR EACH ROW EXECUTE FUNCTION trigger_tell()",
        "DELETE FROM t WHERE id = 1",
    ),
    "operator": ("CREATE OPERATOR @#@ (FUNCTION = tell2, LEFTARG = int, RIGHTARG = int)", "SELECT 1 @#@ 2"),
    "cast": (
        "CREATE TYPE pair AS (a int, b int); CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql AS"
        " $$ SELECT $1, length(tell()) $$; CREATE CAST (int AS pair) WITH FUNCTION to_pair(int) AS ASSIGNMENT;"
        "CREATE TABLE t (p pair)",
        "INSERT INTO t VALUES (1)",
    ),
    "aggregate": (
        "CREATE AGGREGATE total(int) (SFUNC = tell2, STYPE = int)",
        "SELECT total(id) FROM (VALUES (1)) x(id)",
    ),
    "function in a function": (
        "CREATE FUNCTION outer_tell() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN TELL(); END $$",
        'SELECT public."outer_tell"()',
    ),
    "standard body": (
        "CREATE FUNCTION atomic_tell() RETURNS text BEGIN ATOMIC SELECT set_config('a.b', 'c', true); END",
        "SELECT atomic_tell()",
    ),
    "trigger that writes elsewhere": (
        "CREATE TABLE t (id int); CREATE TABLE u (id text DEFAULT tell()); CREATE FUNCTION f() RETURNS trigger"
        " LANGUAGE plpgsql AS $$ BEGIN INSERT INTO u VALUES (DEFAULT); RETURN NEW; END $$;"
        "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "INSERT INTO t VALUES (1)",
    ),
    "dynamic SQL": (
        "CREATE FUNCTION run(s text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE s; END $$",
        "SELECT run('SELECT 1')",
    ),
    "quoted": ('CREATE FUNCTION "Tell It"() RETURNS text LANGUAGE sql AS $$ SELECT tell() $$', 'SELECT "Tell It"()'),
    "system column in a view": ("CREATE TABLE t (id int); CREATE VIEW v AS SELECT xmin AS x FROM t", "SELECT x FROM v"),
    "built-in in a default": (
        "CREATE TABLE t (id int, x bigint DEFAULT txid_current())", "INSERT INTO t (id) VALUES (1)",
    ),
    "built-in in a domain's default": (
        "CREATE DOMAIN d AS bigint DEFAULT txid_current(); CREATE TABLE t (id int, x d)",
        "INSERT INTO t (id) VALUES (1)",
    ),
    "default of an argument": (
        "CREATE FUNCTION f(a int, b text DEFAULT tell()) RETURNS int LANGUAGE sql AS 'SELECT a'", "SELECT f(1)",
    ),
    "built-in in the default of an argument": (
        "CREATE FUNCTION f(a int, b text DEFAULT set_config('a.b', 'c', true)) RETURNS int LANGUAGE sql AS 'SELECT a'",
        "SELECT f(1)",
    ),
    "built-in as an operator": (
        "CREATE OPERATOR @#@ (FUNCTION = pg_try_advisory_lock, LEFTARG = int, RIGHTARG = int)", "SELECT 1 @#@ 2",
    ),
    "built-in as a cast": (
        "CREATE CAST (bigint AS bool) WITH FUNCTION pg_try_advisory_lock(bigint)", "SELECT $1::bigint::bool",
    ),
    "built-in in an aggregate": (
        "CREATE AGGREGATE configure(text, bool) (SFUNC = set_config, STYPE = text, INITCOND = 'a.b')",
        "SELECT configure(a, true) FROM (VALUES ('x')) AS x(a)",
    ),
    "operator class of an index": (
        f"{CLASS} CREATE TABLE t (id int); CREATE INDEX ON t (id c)", "INSERT INTO t VALUES (1)",
    ),
    "operator class of a partition key": (
        f"{CLASS} CREATE TABLE t (id int) PARTITION BY RANGE (id c); CREATE TABLE p PARTITION OF t DEFAULT",
        "INSERT INTO t VALUES (1)",
    ),
    "operator class of a range": (
        f"{CLASS} CREATE TYPE span AS RANGE (subtype = int, subtype_opclass = c)", "SELECT span(1, 2)",
    ),
    "operator class of a type": (
        "CREATE TYPE pair AS (a int, b int); CREATE FUNCTION compare(pair, pair) RETURNS int IMMUTABLE LANGUAGE sql AS"
        " $$ SELECT tell2(1, 2) $$; CREATE FUNCTION less(pair, pair) RETURNS bool IMMUTABLE LANGUAGE sql AS"
        " $$ SELECT true $$; CREATE OPERATOR <# (FUNCTION = less, LEFTARG = pair, RIGHTARG = pair);"
        "CREATE OPERATOR CLASS c DEFAULT FOR TYPE pair USING btree AS OPERATOR 1 <#, FUNCTION 1 compare(pair, pair);"
        "CREATE TABLE t (p pair)",
        "SELECT p FROM t ORDER BY p",
    ),
    "partition key": (
        "CREATE FUNCTION key(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM tell(); RETURN a; END $$;"
        "CREATE TABLE t (id int) PARTITION BY RANGE (key(id)); CREATE TABLE p PARTITION OF t DEFAULT",
        "INSERT INTO t VALUES (1)",
    ),
    "a partition's own name": (
        "CREATE TABLE t (id int) PARTITION BY RANGE (id); CREATE TABLE p PARTITION OF t DEFAULT;"
        "CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION trigger_tell()",
        "INSERT INTO p VALUES (1)",
    ),
    "default of a view": (
        "CREATE TABLE t (id text); CREATE VIEW v AS SELECT id FROM t; ALTER VIEW v ALTER id SET DEFAULT tell()",
        "INSERT INTO v VALUES (DEFAULT)",
    ),
    "default set by a key": (
        "CREATE TABLE t (id text PRIMARY KEY);"
        "CREATE TABLE c (id text DEFAULT tell() REFERENCES t ON DELETE SET DEFAULT)",
        "DELETE FROM t WHERE id = 'a'",
    ),
    "foreign table": (
        "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER far FOREIGN DATA WRAPPER far;"
        "CREATE FOREIGN TABLE t (id int) SERVER far",
        "SELECT id FROM t",
    ),
}  # fmt: skip
TELL = """
CREATE FUNCTION tell() RETURNS text LANGUAGE sql AS $$ SELECT pg_notify('a', 'b'); SELECT 'told' $$;
CREATE FUNCTION tell2(int, int) RETURNS int LANGUAGE sql AS $$ SELECT length(tell()) $$;
CREATE FUNCTION trigger_tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM tell(); RETURN NEW; END $$;
"""


@pytest.fixture
def outside_of_schemas(pg_server: Any, pg_database: str) -> Iterator[None]:
    """What belongs to no schema does not go with it."""
    yield
    pg_server.sql("DROP CAST IF EXISTS (bigint AS bool); DROP FOREIGN DATA WRAPPER IF EXISTS far CASCADE", "contract")


# rule 8.1
@pytest.mark.parametrize("way", list(WAYS))
async def test_every_way_to_a_function_is_found(
    open_pool: Any, pg_database: str, outside_of_schemas: None, way: str
) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    schema, sql = WAYS[way]
    await script(pool, TELL + schema)
    explained = await guarded(pool, sql)
    assert explained.reason is not None
    assert not explained.grouped


HARMLESS = {
    "update": ("CREATE TABLE t (id int, v int)", "UPDATE t SET v = 1 WHERE id = $1"),
    "touch trigger": (
        "CREATE TABLE t (id int, at timestamptz); CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.at := now(); UPDATE t SET at = now() WHERE false; RETURN NEW; END $$;"
        "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION touch()",
        "INSERT INTO t VALUES ($1)",
    ),
    "serial": ("CREATE TABLE t (id serial PRIMARY KEY, v int UNIQUE)", "INSERT INTO t (v) VALUES ($1)"),
    "word in a comment": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN -- no pg_notify here\n RETURN 1; END $$",
        "SELECT f()",
    ),
}


# rule 8.1
@pytest.mark.parametrize("way", list(HARMLESS))
async def test_what_is_harmless_is_grouped(open_pool: Any, pg_database: str, way: str) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    schema, sql = HARMLESS[way]
    await script(pool, TELL + schema)
    assert (await guarded(pool, sql)).reason is None


# rules 3.9, 8.4
async def test_what_the_guard_asks_does_not_wait_for_writes_that_wait_for_it(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await pool.execute("CREATE TABLE t (id int)")
    await asyncio.gather(*(pool.execute("INSERT INTO t VALUES ($1)", i) for i in range(5000)))
    assert pool.stats().groups < 2500
