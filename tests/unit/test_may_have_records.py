"""Which texts may have records without a type of their own in their rows."""

from __future__ import annotations

import pytest

from db_pool_rs.sql import classify
from db_pool_rs.sql.records import may_have_records

MAY = """
SELECT ROW(1, 2)
select row (1)
SELECT (1, 2)
SELECT '(', 1
SELECT f(1)
SELECT x FROM (SELECT 1) x
WITH x AS (SELECT 1) SELECT x FROM x
VALUES (ROW(1))
SELECT mine.count(1)
SELECT n FROM upper('a') WITH ORDINALITY n
SELECT 1 -- in
(1, 2)
SELECT "count"(1)
INSERT INTO t VALUES (1) RETURNING ROW(1)
UPDATE t SET a = b FROM (SELECT 1) x RETURNING x
DELETE FROM t WHERE f(1) RETURNING a
FETCH 5 FROM mine
FETCH FORWARD 5 IN "db_pool_rs_cursor_1"
""".strip().replace("-- in\n", "-- in@")
CANNOT = """
SELECT 1
SELECT * FROM t WHERE a IN (1, 2)
SELECT count(*), max (a), pg_catalog.now() FROM t
SELECT a FROM t ORDER BY a
VALUES (1)
INSERT INTO t (a, b) VALUES (1, 2)
INSERT INTO t (a, b) SELECT 1, 2 RETURNING a
UPDATE t SET a = f(1)
UPDATE t SET a = 1 RETURNING a
CREATE TABLE t (a int)
SET x TO (1)
EXECUTE p (1)
FETCH FORWARD 5 FROM "db_pool_rs_cursor_1"
""".strip()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [(sql.replace("@", "\n"), text is MAY) for text in (MAY, CANNOT) for sql in text.split("\n")],
)
def test_texts(sql: str, expected: bool) -> None:
    assert may_have_records(sql, classify(sql).command) is expected
