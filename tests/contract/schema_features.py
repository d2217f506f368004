"""Schemas that run code: every way of PostgreSQL to reach a function from a statement, with every effect it can have.

A *vehicle* is such a way (a trigger, a default, a rule, ...), an *effect* what the function does there. A schema is a
few of them, each with tables of its own, and the statements that set them off. Numbers stand for `{n}`; each statement
takes a key that no other statement of the program takes, and a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

#: What a function does, as statements of plpgsql. All but the first two would be noticed by company in a transaction.
EFFECTS = {
    "nothing": "NULL;",
    "a row elsewhere": "INSERT INTO log VALUES ('{n}');",
    "pg_notify": "PERFORM pg_notify('news', 'from {n}');",
    "NOTIFY": "NOTIFY news, 'from {n}';",
    "a setting of the transaction": "PERFORM set_config('own.tenant', '{n}', true);",
    "SET LOCAL": "SET LOCAL own.tenant = '{n}';",
    "a setting of the session": "PERFORM set_config('own.tenant', '{n}', false);",
    "a temporary table": "CREATE TEMP TABLE IF NOT EXISTS scratch (a int) ON COMMIT DROP;",
    "a temporary table that stays": "CREATE TEMP TABLE IF NOT EXISTS scratch (a int);",
    "dynamic SQL": "EXECUTE 'SELECT pg_' || 'notify(''news'', ''from {n}'')';",
    "the transaction's id": "INSERT INTO token VALUES (pg_current_xact_id()::text);",
    "a lock of the session": "PERFORM pg_advisory_lock({n});",
}
#: The role that programs run as.
ROLE = "program"
#: These leave something on the session, so that even a statement alone is noticed by the next one there.
LASTING = ("a setting of the session", "a temporary table that stays", "a lock of the session")

#: What the server refuses in functions that are not VOLATILE, and vehicles that call theirs while they are made.
VOLATILE = (
    "a row elsewhere", "NOTIFY", "SET LOCAL", "a temporary table", "a temporary table that stays",
    "the transaction's id",
)  # fmt: skip
CALLED_BY_SETUP = ("difference of a range",)

TABLE = "CREATE TABLE t{n} (id int PRIMARY KEY, v int CHECK (v < 90));"
TRIGGER = "CREATE FUNCTION g{n}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {effect} RETURN NEW; END $$;"
FUNCTION = "CREATE FUNCTION f{n}(a int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN {effect} RETURN a; END $$;"
INSERT = "INSERT INTO t{n} VALUES ($1, $2)"
ROWS = "SELECT id, v FROM t{n} ORDER BY id"


@dataclass(frozen=True)
class Vehicle:
    """How a function is reached: the schema, the statements that reach it, and what is there afterwards."""

    setup: str
    steps: tuple[str, ...] = (INSERT,)
    rows: str = ROWS


def _trigger(what: str, more: tuple[str, ...] = ()) -> Vehicle:
    return Vehicle(f"{TABLE}{TRIGGER}CREATE {what} EXECUTE FUNCTION g{{n}}();", (INSERT, *more))


PREFILLED = TABLE + "INSERT INTO t{n} SELECT i, 0 FROM generate_series(-200, 2000) i;"
#: A function that may be used where only IMMUTABLE ones are taken. The server believes that, and lets it read only.
IMMUTABLE = FUNCTION.replace(" LANGUAGE", " IMMUTABLE LANGUAGE")
MERGE = (
    "MERGE INTO t{n} USING (VALUES ($1::int, $2::int)) AS s (id, v) ON t{n}.id = s.id"
    " WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)"
)
UPDATE, DELETE = "UPDATE t{n} SET v = $2 WHERE id = $1", "DELETE FROM t{n} WHERE id = $1 AND v < $2"
#: An operator class of integers. Its table holds a row, so that each insert compares.
COMPARE = (
    "CREATE FUNCTION f{n}(a int, b int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN {effect}"
    " RETURN CASE WHEN a < b THEN -1 WHEN a > b THEN 1 ELSE 0 END; END $$;"
    "CREATE OPERATOR CLASS c{n} FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=,"
    " OPERATOR 5 >, FUNCTION 1 f{n}(int, int);"
)
UPSERT = "INSERT INTO t{n} VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET v = $2"
CHANGE = "WITH new AS (INSERT INTO t{n} VALUES ($1, $2) RETURNING id) SELECT id FROM new"

#: Every schema feature of PostgreSQL 15 that runs code of the user's when rows are read or written.
VEHICLES = {
    "BEFORE ROW trigger": _trigger("TRIGGER r{n} BEFORE INSERT ON t{n} FOR EACH ROW", (CHANGE,)),
    "AFTER ROW trigger": _trigger("TRIGGER r{n} AFTER INSERT OR UPDATE ON t{n} FOR EACH ROW", (UPSERT, MERGE)),
    "BEFORE STATEMENT trigger": _trigger("TRIGGER r{n} BEFORE INSERT ON t{n} FOR EACH STATEMENT"),
    "AFTER STATEMENT trigger": _trigger("TRIGGER r{n} AFTER INSERT ON t{n} FOR EACH STATEMENT"),
    "trigger with a transition table": _trigger(
        "TRIGGER r{n} AFTER INSERT ON t{n} REFERENCING NEW TABLE AS added FOR EACH STATEMENT"
    ),
    "trigger with a condition": _trigger("TRIGGER r{n} AFTER INSERT ON t{n} FOR EACH ROW WHEN (NEW.v > 0)"),
    "constraint trigger, immediate": _trigger(
        "CONSTRAINT TRIGGER r{n} AFTER INSERT ON t{n} DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW"
    ),
    "constraint trigger, deferred": _trigger(
        "CONSTRAINT TRIGGER r{n} AFTER INSERT ON t{n} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    ),
    "INSTEAD OF trigger": Vehicle(
        f"{TABLE}CREATE VIEW w{{n}} AS SELECT id, v FROM t{{n}};"
        "CREATE FUNCTION g{n}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {effect}"
        " INSERT INTO t{n} VALUES (NEW.id, NEW.v); RETURN NEW; END $$;"
        "CREATE TRIGGER r{n} INSTEAD OF INSERT ON w{n} FOR EACH ROW EXECUTE FUNCTION g{n}();",
        ("INSERT INTO w{n} VALUES ($1, $2)",),
    ),
    "updatable view of a table with a trigger": Vehicle(
        f"{TABLE}{TRIGGER}CREATE TRIGGER r{{n}} AFTER INSERT ON t{{n}} FOR EACH ROW EXECUTE FUNCTION g{{n}}();"
        "CREATE VIEW w{n} AS SELECT id, v FROM t{n}; CREATE VIEW x{n} AS SELECT * FROM w{n};",
        ("INSERT INTO x{n} VALUES ($1, $2)",),
    ),
    "trigger of a partition": Vehicle(
        "CREATE TABLE t{n} (id int, v int CHECK (v < 90)) PARTITION BY RANGE (id);"
        "CREATE TABLE p{n} PARTITION OF t{n} DEFAULT;" + TRIGGER
        + "CREATE TRIGGER r{n} AFTER INSERT ON p{n} FOR EACH ROW EXECUTE FUNCTION g{n}();"
    ),
    "trigger of a child": Vehicle(
        f"{TABLE}{TRIGGER}CREATE TABLE p{{n}} () INHERITS (t{{n}});"
        "CREATE TRIGGER r{n} AFTER UPDATE ON p{n} FOR EACH ROW EXECUTE FUNCTION g{n}();"
        "INSERT INTO p{n} SELECT i, 0 FROM generate_series(-200, 2000) i;",
        (UPDATE,),
    ),
    "trigger behind a cascade": Vehicle(
        f"{PREFILLED}{TRIGGER}CREATE TABLE c{{n}} (id int PRIMARY KEY REFERENCES t{{n}} ON DELETE CASCADE);"
        "CREATE TRIGGER r{n} AFTER DELETE ON c{n} FOR EACH ROW EXECUTE FUNCTION g{n}();"
        "INSERT INTO c{n} SELECT id FROM t{n};",
        (DELETE,),
    ),
    "default set by a key": Vehicle(
        f"{PREFILLED}{FUNCTION}INSERT INTO t{{n}} VALUES (-1000, 0);"
        "CREATE TABLE c{n} (id int PRIMARY KEY, t int UNIQUE);"
        "INSERT INTO c{n} SELECT id, id FROM t{n}; ALTER TABLE c{n} DROP CONSTRAINT c{n}_t_key, ALTER t SET DEFAULT"
        " f{n}(-1000), ADD FOREIGN KEY (t) REFERENCES t{n} ON DELETE SET DEFAULT; CREATE INDEX ON c{n} (t);",
        (DELETE,),
    ),
    "UPDATE OF trigger": Vehicle(
        f"{PREFILLED}{TRIGGER}"
        "CREATE TRIGGER r{n} BEFORE UPDATE OF v ON t{n} FOR EACH ROW EXECUTE FUNCTION g{n}();",
        (UPDATE, MERGE, UPSERT),
    ),
    "DELETE trigger": Vehicle(
        f"{PREFILLED}{TRIGGER}CREATE TRIGGER r{{n}} AFTER DELETE ON t{{n}} REFERENCING OLD TABLE AS gone"
        " FOR EACH STATEMENT EXECUTE FUNCTION g{n}();",
        (DELETE,),
    ),
    "TRUNCATE trigger": Vehicle(
        f"{TABLE}{TRIGGER}CREATE TABLE z{{n}} ();"
        "CREATE TRIGGER r{n} AFTER TRUNCATE ON z{n} FOR EACH STATEMENT EXECUTE FUNCTION g{n}();",
        ("TRUNCATE z{n}", INSERT),
    ),
    "row that changes its partition": Vehicle(
        "CREATE TABLE t{n} (id int, v int CHECK (v < 90)) PARTITION BY LIST (v);"
        "CREATE TABLE p{n} PARTITION OF t{n} FOR VALUES IN (0); CREATE TABLE q{n} PARTITION OF t{n} DEFAULT;"
        "CREATE INDEX ON t{n} (id); INSERT INTO t{n} SELECT i, 0 FROM generate_series(-200, 2000) i;" + TRIGGER
        + "CREATE TRIGGER r{n} AFTER DELETE ON p{n} FOR EACH ROW EXECUTE FUNCTION g{n}();",
        (UPDATE,),
    ),
    "trigger of the parent, by the partition's name": Vehicle(
        "CREATE TABLE t{n} (id int, v int CHECK (v < 90)) PARTITION BY RANGE (id);"
        "CREATE TABLE p{n} PARTITION OF t{n} DEFAULT;" + TRIGGER
        + "CREATE TRIGGER r{n} AFTER INSERT ON t{n} FOR EACH ROW EXECUTE FUNCTION g{n}();",
        ("INSERT INTO p{n} VALUES ($1, $2)",),
    ),
    "partition key": Vehicle(
        f"{IMMUTABLE}CREATE TABLE t{{n}} (id int, v int CHECK (v < 90)) PARTITION BY RANGE (f{{n}}(id));"
        "CREATE TABLE p{n} PARTITION OF t{n} DEFAULT;"
    ),
    "event trigger": Vehicle(
        f"{TABLE}CREATE FUNCTION g{{n}}() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {{effect}} END $$;"
        "CREATE EVENT TRIGGER e{n} ON ddl_command_end WHEN TAG IN ('COMMENT') EXECUTE FUNCTION g{n}();"
        f"CREATE TABLE z{{n}} (); ALTER TABLE z{{n}} OWNER TO {ROLE};",
        ("COMMENT ON TABLE z{n} IS 'seen'", INSERT),
    ),
    "rule, also": Vehicle(
        f"{TABLE}{FUNCTION}CREATE RULE r{{n}} AS ON INSERT TO t{{n}} DO ALSO SELECT f{{n}}(1);",
    ),
    "rule, instead": Vehicle(
        f"{TABLE}{FUNCTION}CREATE VIEW w{{n}} AS SELECT id, v FROM t{{n}};"
        "CREATE RULE r{n} AS ON INSERT TO w{n} DO INSTEAD INSERT INTO t{n} VALUES (f{n}(NEW.id), NEW.v);",
        ("INSERT INTO w{n} VALUES ($1, $2)",),
    ),
    "default": Vehicle(
        f"{FUNCTION}CREATE TABLE t{{n}} (id int PRIMARY KEY, v int CHECK (v < 90), w int DEFAULT f{{n}}(3));"
    ),
    "default of a domain": Vehicle(
        f"{FUNCTION}CREATE DOMAIN d{{n}} AS int DEFAULT f{{n}}(3);"
        "CREATE TABLE t{n} (id int PRIMARY KEY, v int CHECK (v < 90), w d{n});"
    ),
    "default of a view": Vehicle(
        f"{TABLE}{FUNCTION}CREATE VIEW w{{n}} AS SELECT id, v FROM t{{n}};"
        "ALTER VIEW w{n} ALTER v SET DEFAULT f{n}(3);",
        ("INSERT INTO w{n} VALUES ($1)",),
    ),
    "default of an argument": Vehicle(
        f"{TABLE}{FUNCTION}"
        "CREATE FUNCTION h{n}(a int, b int DEFAULT f{n}(3)) RETURNS int LANGUAGE sql AS $$ SELECT a + 0 * b $$;",
        ("INSERT INTO t{n} SELECT h{n}($1), $2",),
    ),
    "CHECK of a table": Vehicle(f"{FUNCTION}CREATE TABLE t{{n}} (id int PRIMARY KEY, v int CHECK (f{{n}}(v) < 90));"),
    "CHECK of a domain": Vehicle(
        f"{FUNCTION}CREATE DOMAIN d{{n}} AS int CHECK (f{{n}}(VALUE) < 90);"
        "CREATE TABLE t{n} (id int PRIMARY KEY, v d{n});"
    ),
    "domain in a composite": Vehicle(
        f"{FUNCTION}CREATE DOMAIN d{{n}} AS int CHECK (f{{n}}(VALUE) < 90); CREATE TYPE y{{n}} AS (a d{{n}});"
        "CREATE TABLE t{n} (id int PRIMARY KEY, v y{n});",
        ("INSERT INTO t{n} VALUES ($1, ROW($2::int))",),
    ),
    "array of a domain": Vehicle(
        f"{FUNCTION}CREATE DOMAIN d{{n}} AS int CHECK (f{{n}}(VALUE) < 90);"
        "CREATE TABLE t{n} (id int PRIMARY KEY, v d{n}[]);",
        ("INSERT INTO t{n} VALUES ($1, ARRAY[$2::int])",),
    ),
    "row policy for reads": Vehicle(
        f"{PREFILLED}{FUNCTION}ALTER TABLE t{{n}} ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p{n} ON t{n} USING (f{n}(id) = id);",
        ("SELECT id FROM t{n} WHERE id = $1 AND $2::int > 0", "UPDATE t{n} SET v = 1 WHERE id = $1 AND $2::int > 0"),
        "SELECT 1",
    ),
    "view with a check option": Vehicle(
        f"{TABLE}{FUNCTION}CREATE VIEW w{{n}} AS SELECT id, v FROM t{{n}} WHERE f{{n}}(id) = id WITH CHECK OPTION;",
        ("INSERT INTO w{n} VALUES ($1, $2)",),
    ),
    "row policy": Vehicle(
        f"{TABLE}{FUNCTION}ALTER TABLE t{{n}} ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p{n} ON t{n} USING (true) WITH CHECK (f{n}(id) = id);"
    ),
    "view": Vehicle(
        f"{FUNCTION}CREATE VIEW w{{n}} AS SELECT i AS id, f{{n}}(i) AS v FROM generate_series(1, 3) i;",
        ("SELECT v FROM w{n} WHERE id = 1 AND $1::int <> $2::int",),
        "SELECT 1",
    ),
    "call": Vehicle(FUNCTION, ("SELECT f{n}($1) + $2::int - $2::int",), "SELECT 1"),
    "call by a function": Vehicle(
        f"{FUNCTION}CREATE FUNCTION h{{n}}(a int) RETURNS int LANGUAGE sql AS $$ SELECT f{{n}}(a) $$;",
        ("SELECT h{n}($1) + $2::int - $2::int",),
        "SELECT 1",
    ),
    "call inside a write": Vehicle(f"{TABLE}{FUNCTION}", ("INSERT INTO t{n} SELECT f{n}($1), $2",)),
    "procedure": Vehicle(
        f"{TABLE}CREATE PROCEDURE f{{n}}(a int, b int) LANGUAGE plpgsql AS $$ BEGIN {{effect}}"
        " INSERT INTO t{n} VALUES (a, b); END $$;",
        ("CALL f{n}($1, $2)",),
    ),
    "function that returns rows": Vehicle(
        f"{FUNCTION}CREATE FUNCTION h{{n}}(a int) RETURNS SETOF int LANGUAGE sql AS $$ VALUES (f{{n}}(a)), (a) $$;",
        ("SELECT * FROM h{n}($1) WHERE $2::int IS NOT NULL",),
        "SELECT 1",
    ),
    "aggregate": Vehicle(
        "CREATE FUNCTION f{n}(a int, b int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN {effect} RETURN a + b; END $$;"
        "CREATE AGGREGATE a{n} (int) (SFUNC = f{n}, STYPE = int, INITCOND = '0');",
        ("SELECT a{n}(x) FROM (VALUES ($1::int), ($2::int)) AS v(x)",),
        "SELECT 1",
    ),
    "operator": Vehicle(
        f"{TABLE}"
        "CREATE FUNCTION f{n}(a int, b int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN {effect} RETURN a; END $$;"
        "CREATE OPERATOR @@@{marks} (LEFTARG = int, RIGHTARG = int, FUNCTION = f{n});",
        ("INSERT INTO t{n} VALUES ($1::int @@@{marks} 1, $2)",),
    ),
    "cast": Vehicle(
        f"{TABLE}CREATE TYPE y{{n}} AS (a int);"
        "CREATE FUNCTION f{n}(a y{n}) RETURNS int LANGUAGE plpgsql AS $$ BEGIN {effect} RETURN a.a; END $$;"
        "CREATE CAST (y{n} AS int) WITH FUNCTION f{n}(y{n}) AS ASSIGNMENT;",
        ("INSERT INTO t{n} VALUES (ROW($1)::y{n}, $2)",),
    ),
    "generated column": Vehicle(
        f"{IMMUTABLE}"
        "CREATE TABLE t{n} (id int PRIMARY KEY, v int CHECK (v < 90), w int GENERATED ALWAYS AS (f{n}(v)) STORED);"
    ),
    "index on an expression": Vehicle(
        f"{TABLE}{IMMUTABLE}CREATE INDEX i{{n}} ON t{{n}} (id) WHERE f{{n}}(v) > 1;"
    ),
    "exclusion constraint": Vehicle(f"{TABLE}{IMMUTABLE}ALTER TABLE t{{n}} ADD EXCLUDE (f{{n}}(id) WITH =);"),
    "operator class of an index": Vehicle(
        f"{TABLE}{COMPARE}INSERT INTO t{{n}} VALUES (-999, 0); CREATE INDEX ON t{{n}} (v c{{n}});"
    ),
    "operator class of a range": Vehicle(
        f"{COMPARE}CREATE TYPE y{{n}} AS RANGE (subtype = int, subtype_opclass = c{{n}});"
        "CREATE TABLE t{n} (id int PRIMARY KEY, v y{n});",
        ("INSERT INTO t{n} VALUES ($1, y{n}($2, 90))",),
    ),
    "difference of a range": Vehicle(
        "CREATE FUNCTION f{n}(a int, b int) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN {effect}"
        " RETURN a - b; END $$; CREATE TYPE y{n} AS RANGE (subtype = int, subtype_diff = f{n});"
        "CREATE TABLE t{n} (id int PRIMARY KEY, v y{n}); CREATE INDEX ON t{n} USING gist (v);"
        "INSERT INTO t{n} SELECT i, y{n}(i, i + 1) FROM generate_series(-900, -200) i;",
        ("INSERT INTO t{n} VALUES ($1, y{n}($2, 90))",),
    ),
    "rule with a condition": Vehicle(
        f"{TABLE}{FUNCTION}CREATE RULE r{{n}} AS ON INSERT TO t{{n}} WHERE f{{n}}(NEW.v) > 90 DO ALSO SELECT 1;",
    ),
    "trigger with a condition that calls": Vehicle(
        f"{TABLE}{FUNCTION}CREATE FUNCTION g{{n}}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
        "CREATE TRIGGER r{n} BEFORE INSERT ON t{n} FOR EACH ROW WHEN (f{n}(NEW.v) > 0) EXECUTE FUNCTION g{n}();",
    ),
    "call by a body that is kept parsed": Vehicle(
        f"{FUNCTION}CREATE FUNCTION h{{n}}(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT f{{n}}(a); END;",
        ("SELECT h{n}($1) + $2::int - $2::int",),
        "SELECT 1",
    ),
    "identity and serial": Vehicle(
        "CREATE TABLE t{n} (id int PRIMARY KEY, v int CHECK (v < 90), w int GENERATED ALWAYS AS IDENTITY, x serial);",
        ("INSERT INTO t{n} (id, v) VALUES ($1, $2)",),
    ),
    "materialized view": Vehicle(
        f"{TABLE}CREATE MATERIALIZED VIEW w{{n}} AS SELECT count(*) AS v FROM t{{n}};",
        (INSERT, "SELECT v FROM w{n} WHERE $1::int <> $2::int OR true"),
    ),
}  # fmt: skip

#: Every place in PostgreSQL's catalogue that names a function, or holds an expression that may: the vehicle that goes
#: this way, or why none can. Functions of C are no statement's text, and only superusers make them.
_C = "only functions of C take or return its types"
_PARSER = "a text search parser's functions take `internal`: only C has it"
CODE_COLUMNS = {
    **{f"pg_aggregate.{name}": "aggregate" for name in (
        "aggcombinefn", "aggfinalfn", "aggfnoid", "aggmfinalfn", "aggminvtransfn", "aggmtransfn", "aggtransfn",
    )},
    **dict.fromkeys(("pg_aggregate.aggdeserialfn", "pg_aggregate.aggserialfn", "pg_am.amhandler"), _C),
    "pg_amproc.amproc": "operator class of an index",
    "pg_attrdef.adbin": "default",
    "pg_cast.castfunc": "cast",
    "pg_class.relpartbound": "bounds are computed once, when the partition is made",
    "pg_constraint.conbin": "CHECK of a table",
    "pg_conversion.conproc": _C,
    "pg_event_trigger.evtfoid": "event trigger",
    **dict.fromkeys(("pg_foreign_data_wrapper.fdwhandler", "pg_foreign_data_wrapper.fdwvalidator"), _C),
    "pg_index.indexprs": "index on an expression",
    "pg_index.indpred": "index on an expression",
    **dict.fromkeys(("pg_language.laninline", "pg_language.lanplcallfoid", "pg_language.lanvalidator"), _C),
    "pg_operator.oprcode": "operator",
    **dict.fromkeys(("pg_operator.oprjoin", "pg_operator.oprrest"), _C),
    "pg_partitioned_table.partexprs": "partition key",
    "pg_policy.polqual": "row policy for reads",
    "pg_policy.polwithcheck": "row policy",
    "pg_proc.proargdefaults": "default of an argument",
    "pg_proc.prosqlbody": "call by a body that is kept parsed",
    "pg_proc.prosupport": _C,
    "pg_publication_rel.prqual": "functions of users are refused in it, and it runs where changes are sent",
    "pg_range.rngcanonical": _C,
    "pg_range.rngsubdiff": "difference of a range",
    "pg_rewrite.ev_action": "rule, instead",
    "pg_rewrite.ev_qual": "rule with a condition",
    "pg_statistic_ext.stxexprs": "evaluated by ANALYZE, which no group has",
    **dict.fromkeys(("pg_transform.trffromsql", "pg_transform.trftosql"), _C),
    "pg_trigger.tgfoid": "AFTER ROW trigger",
    "pg_trigger.tgqual": "trigger with a condition that calls",
    **dict.fromkeys((f"pg_ts_parser.prs{name}" for name in ("end", "headline", "lextype", "start", "token")), _PARSER),
    **dict.fromkeys(("pg_ts_template.tmplinit", "pg_ts_template.tmpllexize"), _PARSER),
    **dict.fromkeys((f"pg_type.typ{name}" for name in (
        "analyze", "input", "modin", "modout", "output", "receive", "send", "subscript",
    )), _C),
    "pg_type.typdefaultbin": "default of a domain",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A part of a schema: how it is made, the statements that use it, and how to look at what they did."""

    name: str
    setup: str
    steps: tuple[str, ...]
    rows: str


def part(number: int, vehicle: str, effect: str) -> Part:
    """A vehicle with an effect, under a number of its own."""
    if vehicle in CALLED_BY_SETUP and effect in VOLATILE:
        effect = "nothing"
    found, body = VEHICLES[vehicle], EFFECTS[effect].replace("{n}", str(number))

    def filled(text: str) -> str:
        return text.replace("{n}", str(number)).replace("{effect}", body).replace("{marks}", "#" * number)

    return Part(f"{vehicle}: {effect}", filled(found.setup), tuple(map(filled, found.steps)), filled(found.rows))


def parts(random: Random, vehicles: Sequence[str], effects: tuple[str, ...]) -> list[Part]:
    """These vehicles for one schema, each with some effect; as often as not with one that needs not be alone."""
    harmless = ("nothing", "a row elsewhere")
    return [
        part(number, vehicle, random.choice(harmless if random.random() < 0.5 else effects))
        for number, vehicle in enumerate(vehicles, 1)
    ]


def portions(random: Random, size: int) -> Iterator[list[str]]:
    """All vehicles in random portions, again and again: each comes as often as the others."""
    while True:
        names = random.sample(sorted(VEHICLES), len(VEHICLES))
        yield from (names[start : start + size] for start in range(0, len(names), size))
