"""What the driver reads in a statement's text: tag, parameters, role, lock."""

from __future__ import annotations

from typing import Any

import pytest

from db_pool_rs.drivers.sqlite.plan import Description, Lock, Role

TAGS = [
    ("SELECT 1", 3, "SELECT 3"),
    ("values (1)", 1, "SELECT 1"),
    ("/* c */ insert into t values (1)", 0, "INSERT 0 0"),
    ("REPLACE INTO t VALUES (1)", 1, "INSERT 0 1"),
    ("INSERT OR IGNORE INTO t VALUES (1)", 2, "INSERT 0 2"),
    ("UPDATE t SET a = 1", 7, "UPDATE 7"),
    ("DELETE FROM t", 7, "DELETE 7"),
    ("WITH x AS (SELECT 1) SELECT * FROM x", 1, "SELECT 1"),
    ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", 1, "INSERT 0 1"),
    ("WITH RECURSIVE x(n) AS (SELECT 1 UNION SELECT n FROM x), update AS (SELECT 2) DELETE FROM t", 4, "DELETE 4"),
    ("WITH replace AS (SELECT 1) UPDATE t SET a = 1", 4, "UPDATE 4"),
    ("CREATE TABLE t (a)", 0, "CREATE TABLE"),
    ("CREATE TEMP TABLE t (a)", 0, "CREATE TABLE"),
    ("CREATE UNIQUE INDEX i ON t (a)", 0, "CREATE INDEX"),
    ("CREATE VIRTUAL TABLE t USING fts5(a)", 0, "CREATE TABLE"),
    ("DROP VIEW v", 0, "DROP VIEW"),
    ("ALTER TABLE t ADD COLUMN b", 0, "ALTER TABLE"),
    ("PRAGMA foreign_keys", 5, "PRAGMA"),
    ("VACUUM", 0, "VACUUM"),
    ("EXPLAIN QUERY PLAN SELECT 1", 5, "EXPLAIN"),
    ("BEGIN", 0, "BEGIN"),
    ("END", 0, "COMMIT"),
    ("RELEASE x", 0, "RELEASE"),
]


@pytest.mark.parametrize(("sql", "rows", "tag"), TAGS)
def test_command_tags(sql: str, rows: int, tag: str) -> None:
    assert Description(sql).status(rows) == tag


LOCKS = [
    ("SELECT 1", Lock.READ),
    ("VALUES (1)", Lock.READ),
    ("WITH x AS (SELECT 1) SELECT * FROM x", Lock.READ),
    ("WITH x AS (SELECT 1) DELETE FROM t", Lock.WRITE),
    ("INSERT INTO t VALUES (1)", Lock.WRITE),
    ("CREATE TABLE t (a)", Lock.WRITE),
    ("CREATE TEMP TABLE t AS SELECT 1", Lock.READ),
    ("CREATE TEMPORARY VIEW v AS SELECT 1", Lock.READ),
    ("VACUUM", Lock.WRITE),
    ("ANALYZE", Lock.WRITE),
    ("REINDEX", Lock.WRITE),
    ("EXPLAIN DELETE FROM t", Lock.READ),
    ("ATTACH 'x' AS y", Lock.READ),
    ("DETACH y", Lock.READ),
    ("PRAGMA cache_size = 5", Lock.READ),
    ("PRAGMA user_version", Lock.READ),
    ("PRAGMA user_version = 5", Lock.WRITE),
    ("PRAGMA main.user_version(5)", Lock.WRITE),
    ("PRAGMA journal_mode = wal", Lock.WRITE),
    ("PRAGMA wal_checkpoint", Lock.WRITE),
    ("PRAGMA optimize", Lock.WRITE),
    ("BEGIN", Lock.BEGIN),
    ("BEGIN DEFERRED", Lock.BEGIN),
    ("SAVEPOINT x", Lock.BEGIN),
    ("BEGIN IMMEDIATE", Lock.WRITE),
    ("BEGIN EXCLUSIVE TRANSACTION", Lock.WRITE),
    ("BEGIN READ ONLY", Lock.READ),
    ("COMMIT", Lock.NONE),
    ("ROLLBACK", Lock.NONE),
    ("ROLLBACK TO x", Lock.NONE),
    ("RELEASE x", Lock.NONE),
]


@pytest.mark.parametrize(("sql", "lock"), LOCKS)
def test_locks(sql: str, lock: Lock) -> None:
    assert Description(sql).lock is lock


ROLES = [
    ("SELECT 1", Role.PLAIN),
    ("DROP TABLE t", Role.PLAIN),
    ("PRAGMA foreign_keys = OFF", Role.OUTSIDE),
    ("VACUUM", Role.OUTSIDE),
    ("begin", Role.BEGIN),
    ("BEGIN read only", Role.BEGIN_READ_ONLY),
    ("SAVEPOINT x", Role.SAVEPOINT),
    ("RELEASE x", Role.INNER),
    ("ROLLBACK TRANSACTION TO SAVEPOINT x", Role.INNER),
    ("ROLLBACK TO x", Role.INNER),
    ("ROLLBACK", Role.ROLLBACK),
    ("COMMIT TRANSACTION", Role.COMMIT),
    ("END", Role.COMMIT),
    ("DISCARD ALL", Role.RESET),
]


@pytest.mark.parametrize(("sql", "role"), ROLES)
def test_roles(sql: str, role: Role) -> None:
    assert Description(sql).role is role


CHANGES = [
    ("INSERT INTO t VALUES (1), (2), (3)", "INSERT 0 3"),
    ("INSERT INTO t SELECT a FROM t WHERE a > 1", "INSERT 0 2"),
    ("INSERT OR IGNORE INTO u VALUES (1), (1), (2)", "INSERT 0 2"),
    ("INSERT INTO u VALUES (1) ON CONFLICT DO NOTHING", "INSERT 0 0"),
    ("REPLACE INTO u VALUES (1), (2), (3)", "INSERT 0 3"),
    ("UPDATE t SET a = a RETURNING a", "UPDATE 5"),
    ("WITH x AS (SELECT 1) UPDATE t SET a = 1 WHERE a = 3", "UPDATE 2"),
    ("UPDATE t SET a = 9 WHERE a = 12345", "UPDATE 0"),
    ("SELECT * FROM t", "SELECT 5"),
    ("DELETE FROM t", "DELETE 5"),
    ("PRAGMA table_info(t)", "PRAGMA"),
    ("CREATE TABLE v (a)", "CREATE TABLE"),
]


async def test_tags_tell_what_was_changed(create_pool: Any) -> None:
    async with create_pool("sqlite://") as pool, pool.acquire() as conn:
        await conn.execute(
            "CREATE TABLE t (a); CREATE TABLE u (a UNIQUE); CREATE TABLE l (a);"
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO l VALUES (1), (2), (3); END"
        )
        for sql, tag in CHANGES:
            assert await conn.execute(sql) == tag, sql
        assert await conn.execute("PRAGMA user_version = 3") == "PRAGMA"


async def test_tags_of_the_pool_are_those_of_a_session(create_pool: Any) -> None:
    async def run(target: Any) -> list[str]:
        setup = ("CREATE TABLE t (a)", "CREATE TABLE u (a UNIQUE)")
        return [await target.execute(sql) for sql in (*setup, *(sql for sql, _ in CHANGES))]

    async with create_pool("sqlite://") as pool, create_pool("sqlite://") as other, other.acquire() as conn:
        assert await run(pool) == await run(conn) == ["CREATE TABLE"] * 2 + [tag for _, tag in CHANGES]
