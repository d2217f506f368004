"""SQL texts drawn from a grammar: what PostgreSQL 15 takes, in every form of statement, oddly written.

A rule is a list of alternatives; `{name}` stands for another rule, every blank for a gap of white space and comments.
Once a text is long enough only the first alternative of a rule is taken, so each of these must end.
"""

from __future__ import annotations

import re
from random import Random

from hypothesis import strategies as st

from tests.unit.sql_utilities import UTILITIES

QUERIES: dict[str, list[str]] = {
    "query": [
        "{select}",
        "{with} {select}",
        "( {query} )",
        "( {query} ) UNION ALL ( {query} )",
        "{select} EXCEPT {select}",
        "VALUES ( {expr} , {expr} ) , ( {expr} , {expr} )",
        "TABLE {table}",
        "( {query} ) {locking}",
        "{with} TABLE {name}",
    ],
    "select": [
        "SELECT {expr}",
        "SELECT {target} , {target} FROM {from}",
        "SELECT DISTINCT {expr} FROM {from} WHERE {condition}",
        "SELECT {target} FROM {from} WHERE {condition} {locking}",
        "SELECT {target} {into} FROM {from}",
        "SELECT {expr} FROM {from} GROUP BY ROLLUP ( {column} ) HAVING {condition} ORDER BY {expr} LIMIT {expr}",
        "SELECT * FROM {from} FETCH FIRST 2 ROWS ONLY",
        "SELECT FROM {from} , LATERAL ( {query} ) AS {name}",
    ],
    "into": ["INTO {name}", "INTO {temp} {name}", "INTO {temp} TABLE {table}", "INTO UNLOGGED {name}"],
    "temp": ["TEMP", "TEMPORARY", "LOCAL TEMP", "GLOBAL TEMPORARY"],
    "locking": [
        "FOR UPDATE",
        "FOR SHARE OF {name} NOWAIT",
        "FOR NO KEY UPDATE SKIP LOCKED",
        "FOR KEY SHARE",
        "LIMIT 1 FOR UPDATE",
        "ORDER BY 1 FOR SHARE FOR UPDATE",
    ],
    "with": [
        "WITH {cte}",
        "WITH {cte} , {cte}",
        "WITH RECURSIVE {name} ( {name} , {name} ) AS ( {query} UNION ALL {query} ) SEARCH DEPTH FIRST BY {name} "
        "SET {name}",
        "WITH RECURSIVE {cte} , {name} AS ( {query} ) CYCLE {name} SET {name} USING {name}",
    ],
    "cte": [
        "{name} AS ( {select} )",
        "{name} ( {name} ) AS NOT MATERIALIZED ( {query} )",
        "{name} AS MATERIALIZED ( {modifying} RETURNING {expr} )",
        "{name} AS ( {with} {select} )",
        "{name} AS ( {with} {modifying} )",
        "{name} AS ( {modifying} RETURNING * )",
    ],
    "modifying": [
        "DELETE FROM {table}",
        "INSERT INTO {table} DEFAULT VALUES",
        "INSERT INTO {table} AS {name} ( {name} , {name} ) VALUES ( {expr} , DEFAULT ) , ( {expr} , {expr} )",
        "INSERT INTO {table} {query}",
        "INSERT INTO {table} ( {name} ) OVERRIDING SYSTEM VALUE {query} ON CONFLICT ( {name} ) DO UPDATE "
        "SET {name} = {expr} WHERE {condition}",
        "UPDATE ONLY {table} SET {name} = {expr} , ( {name} , {name} ) = ( {query} ) WHERE {condition}",
        "UPDATE {table} AS {name} SET {name} = DEFAULT FROM {from} WHERE {column} IN ( {select} )",
        "DELETE FROM {table} USING {from} WHERE CURRENT OF {name}",
        "DELETE FROM {table} WHERE {condition}",
    ],
    "merge": [
        "MERGE INTO {table} USING {from} ON {condition} WHEN MATCHED THEN DELETE",
        "MERGE INTO {table} AS {name} USING ( {query} ) AS {name} ON {condition} WHEN NOT MATCHED AND {condition} "
        "THEN INSERT ( {name} ) VALUES ( {expr} ) WHEN MATCHED THEN UPDATE SET {name} = {expr}",
    ],
    "from": [
        "{table}",
        "{table} AS {name} ( {name} )",
        "{table} LEFT JOIN {table} ON {condition}",
        "( {query} ) AS {name}",
        "{call} AS {name} ( {name} {type} )",
        "ROWS FROM ( {call} , {call} ) WITH ORDINALITY",
        "{table} TABLESAMPLE {name} ( {expr} ) REPEATABLE ( 1 )",
    ],
    "target": ["{expr}", "{expr} AS {label}", "{column} AS {label}", "{name} . *", "( {query} )"],
    "condition": [
        "TRUE",
        "{expr} = {expr}",
        "EXISTS ( {query} )",
        "{expr} IN ( 1 , {string} , {expr} )",
        "{expr} = ANY ( {query} )",
        "{column} LIKE {string} ESCAPE {string} AND NOT {condition}",
        "{expr} BETWEEN SYMMETRIC {expr} AND {expr} OR {condition}",
        "{expr} IS NOT DISTINCT FROM {expr}",
    ],
    "expr": [
        "{literal}",
        "{column}",
        "{call}",
        "( {query} )",
        "CASE WHEN {condition} THEN {expr} ELSE {expr} END",
        "CAST ( {expr} AS {type} )",
        "{literal} :: {type}",
        "( {expr} , {expr} )",
        "ARRAY [ {expr} , {expr} ]",
        "substring ( {string} FROM 1 FOR 2 )",
        "substring ( {column} FOR {expr} )",
        "EXTRACT ( YEAR FROM {column} )",
        "count ( * ) FILTER ( WHERE {condition} ) OVER ( PARTITION BY {expr} ROWS UNBOUNDED PRECEDING )",
        "{expr} OPERATOR ( pg_catalog . + ) {expr}",
        "- {expr}",
        "{column} -> {string} ->> {string}",
        "{expr} AT TIME ZONE {string}",
        "interval {string}",
        "current_timestamp",
        "ROW ( {expr} )",
        "( {name} ) . {name}",
        "{name} . {label}",
    ],
    "call": [
        "{harmless} ( )",
        "{harmless} ( {expr} , {expr} )",
        "{harmless} ( VARIADIC {expr} )",
        "{telling} ( {expr} )",
        "pg_catalog . {telling} ( {string} , {string} , TRUE )",
        "set_config ( {string} , {expr} , {flag} )",
        "public . {harmless} ( {name} => {expr} )",
    ],
    "flag": ["true", "false", "{expr}"],
    "type": ["int", "text [ ]", "numeric ( 10 , 2 )", "timestamp with time zone", "{table}"],
    "column": ["{name}", "{name} . {name}", "{name} . {system}", "{system}"],
    "table": ["{name}", "{schema} . {name}"],
    "literal": ["1", "{string}", "$1", "-1.5e3", "NULL", "TRUE", "B'01'", "X'1F'"],
}

TERMINALS: dict[str, list[str]] = {
    "name": [
        "a", "t", "T2", "_x", "a$b", "insert", "update", "delete", "merge", "temp", "share", "session", "set",
        "explain", "größe", "名", "search", "by", "values", '"select"', '"FOR UPDATE"', '"a""b"', '"; DROP TABLE x"',
        '"--"', '"/*"', "pg_temperature", '"XMIN"', "xmin1", "e", "u", "n", "set_configs", '"SET_CONFIG"',
    ],
    "label": ["a", "into", "update", "for", "with", "select", '"INTO"', "end", "insert"],
    "system": ["xmin", "xmax", "cmin", "CMAX", '"xmin"', '"cmax"', "ctid", "tableoid", 'U&"xmin"'],
    "schema": ["public", "pg_catalog", "pg_temp", '"pg_temp"', "pg_temp_3", '"PG_TEMP"', "temp"],
    "harmless": ["lower", "my_function", '"Update"', "insert", "nextval", "now", "set_config_2", '"set_CONFIG"'],
    "telling": [
        "pg_notify", "pg_advisory_lock", "pg_advisory_xact_lock", "currval", "setval", "set_config", '"set_config"',
        "pg_current_xact_id", "lo_create", "dblink", "setseed", "query_to_xml", "pg_stat_reset", "PG_Notify",
        'U&"set\\005fconfig"',
    ],
    "string": [
        "'a'", "''", "'it''s'", "'; DELETE FROM t; --'", "'FOR UPDATE'", "'/*'", "'\"'", "'$$'", "'\\'", "'a\\\\'",
        "E'it\\'s; '", "e'\\\\'", "E'a''b\\''", "E'a'\n'b\\';'", "'a'\n  'b;'", "U&'d\\0061t'", "N'n;'", "$$a'b$$",
        "$q$ $$ ; ' $q$", "$é$;$é$", "$$ INTO TEMP x $$", "'$1'", "$q$--$q$",
    ],
}  # fmt: skip

GAPS = [" ", " ", " ", "\n", "\t", "\r\n", "\f", " /**/ ", "/* ; ' */", '/* /* " */ $$ */', "-- ; '\n", " --\r", "\v"]
_PUNCTUATION = set("(),[];")

RULES = {**QUERIES, **TERMINALS, **UTILITIES}
STATEMENTS = ("query", "modifying", "merge", "with_modifying", "utility")
RULES["with_modifying"] = ["{with} {modifying} RETURNING {target}", "{with} {merge}", "{modifying} RETURNING {target}"]
_PART = re.compile(r"\{(\w+)\}")
#: How many rules a statement takes before only first alternatives are taken.
BUDGET = 60


def statement(random: Random, start: str | None = None) -> str:
    """One statement."""
    tokens = _expand(random, start or random.choice(STATEMENTS), [random.randrange(BUDGET)])
    text = tokens[0]
    for token in tokens[1:]:
        gap = random.choice(GAPS)
        if (token[0] in _PUNCTUATION or text[-1] in _PUNCTUATION) and random.random() < 0.5:
            gap = ""
        text += gap + (token.swapcase() if token.isalpha() and token.isascii() and random.random() < 0.3 else token)
    return text


def _expand(random: Random, rule: str, budget: list[int]) -> list[str]:
    """The tokens of a rule; `budget` is what is left of it for the whole statement."""
    alternatives = RULES[rule]
    if rule in TERMINALS:
        return [random.choice(alternatives)]
    budget[0] -= 1
    chosen = random.choice(alternatives) if budget[0] > 0 or rule in UTILITIES else alternatives[0]
    tokens: list[str] = []
    for part in chosen.split(" "):
        found = _PART.fullmatch(part)
        tokens += [part] if found is None else _expand(random, found[1], budget)
    return tokens


#: One number decides a whole statement: a choice of Hypothesis's own for each token would take a hundred times as long.
statements = st.integers(0, 2**64).map(lambda seed: statement(Random(seed)))
