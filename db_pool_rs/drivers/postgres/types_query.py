"""The question what types are made of that are not built in: those asked for, and all that these are made of.

One row for each type that exists:

    oid        of the type
    name       in SQL, under the search path of the session
    kind       pg_type.typtype: b (base), c (composite), d (domain), e (enum), r (range), m (multirange), p (pseudo);
               a for an array
    part       of a domain its base type, of an array its element, of a range its subtype, of a multirange its range;
               else 0
    delimiter  what stands between the elements of an array of it
    fields     of a composite: JSON, [[name, type], ...] in order, without dropped columns; else NULL
    plain_name, schema   its own name, and where it is

(A column of pg_range that PostgreSQL 13 does not have is read by way of JSON.)

Some types of fixed length have elements too, point among them; an array is what its element says is its array.
"""

from __future__ import annotations

from collections.abc import Iterable

#: `$1` stands for the types asked for.
TYPES_QUERY = """
WITH RECURSIVE wanted (oid) AS (
    SELECT pg_catalog.unnest($1::pg_catalog.oid[])
    UNION
    SELECT made_of.part
    FROM wanted w
    JOIN pg_catalog.pg_type t ON t.oid = w.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype
        UNION ALL
        SELECT t.typelem
        UNION ALL
        SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
        UNION ALL
        SELECT r.rngtypid
        FROM pg_catalog.pg_range r
        WHERE t.typtype = 'm' AND (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid = t.oid
        UNION ALL
        SELECT a.atttypid
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped
    ) made_of (part)
    WHERE made_of.part <> 0
)
SELECT
    t.oid,
    pg_catalog.format_type(t.oid, NULL) AS name,
    CASE WHEN e.oid IS NULL THEN t.typtype::text ELSE 'a' END AS kind,
    coalesce(nullif(t.typbasetype, 0), e.oid, r.rngsubtype, m.rngtypid, 0) AS part,
    t.typdelim AS delimiter,
    (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, a.atttypid::pg_catalog.int8) ORDER BY a.attnum)
     FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = t.typrelid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped) AS fields,
    t.typname AS plain_name,
    n.nspname AS schema
FROM wanted w
JOIN pg_catalog.pg_type t ON t.oid = w.oid
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
LEFT JOIN pg_catalog.pg_range m
    ON t.typtype = 'm' AND (pg_catalog.to_jsonb(m) ->> 'rngmultitypid')::pg_catalog.oid = t.oid
"""


def types_query(asked: Iterable[int]) -> str:
    """The query for these types."""
    return TYPES_QUERY.replace("$1", "'{" + ",".join(map(str, asked)) + "}'")
