-- What of this database can notice that a statement shares a transaction with others: docs/scheduling.md, part 8.
--
-- The result is a graph, one edge a row. Its nodes are the things that a text can name: functions (f), relations (r),
-- types (t) and operators (o), each a letter and an oid; and event triggers (e). "*" stands for every text.
--
--   used      what is used ("keys" stands for deferred keys); null in a row that tells what `node` is by itself
--   node      what uses it: who uses the node uses what it uses
--   name      of the node
--   via       how, in words
--   writing   only statements that write go this way
--   source    rows of functions: language, volatility, whether it is a trigger, whether its body writes, the
--             extension, the text of the body. Rows that begin a chain: null
--
-- $1 are names of the server's own functions that matter, $2 is the same as patterns of LIKE. (One regular expression
-- for all of them takes fifty times as long.)

WITH mattering AS MATERIALIZED (
    SELECT p.oid, p.proname::text AS name
    FROM pg_catalog.pg_proc p
    WHERE p.oid < 16384 AND (p.proname::text = ANY ($1) OR p.proname::text LIKE ANY ($2))
),
-- Rule 8.1: functions of the user's, with what is needed to read their bodies. The texts of other languages are
-- of no use, and their functions matter only if they are VOLATILE, or run SQL out of a string (tablefunc's crosstab).
functions AS (
    SELECT p.oid, p.proname::text AS name, l.lanname::text AS language, p.provolatile::text AS volatility,
           p.prorettype IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
               AS is_trigger,
           CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN p.prosrc END AS body,
           -- Bodies of standard SQL are kept parsed (PostgreSQL 14). By way of JSON, older servers need not know of them.
           CASE WHEN l.lanname = 'sql' AND p.prosrc = '' THEN pg_catalog.to_jsonb(p) ->> 'prosqlbody' END AS parsed,
           e.extname::text AS extension
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    LEFT JOIN (pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e
               ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.oid = d.refobjid)
        ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
    WHERE p.oid >= 16384
),
-- Expressions that run when a relation or a domain is used.
expressions AS (
    -- Defaults and generated columns.
    SELECT 'r' || a.adrelid AS node, a.adbin::text AS tree, 'a default' AS via, true AS writing
    FROM pg_catalog.pg_attrdef a WHERE a.oid >= 16384
    UNION ALL
    SELECT 't' || t.oid, t.typdefaultbin::text, 'a default', false
    FROM pg_catalog.pg_type t WHERE t.typdefaultbin IS NOT NULL AND t.oid >= 16384
    UNION ALL
    -- Defaults of arguments.
    SELECT 'f' || p.oid, p.proargdefaults::text, 'a default', false
    FROM pg_catalog.pg_proc p WHERE p.proargdefaults IS NOT NULL AND p.oid >= 16384
    UNION ALL
    -- CHECK constraints, of tables and of domains.
    SELECT CASE WHEN c.contypid <> 0 THEN 't' || c.contypid ELSE 'r' || c.conrelid END, c.conbin::text,
           'constraint ' || c.conname, c.contypid = 0
    FROM pg_catalog.pg_constraint c WHERE c.conbin IS NOT NULL AND c.oid >= 16384
    UNION ALL
    -- Row policies.
    SELECT 'r' || p.polrelid, concat(p.polqual::text, p.polwithcheck::text), 'policy ' || p.polname, false
    FROM pg_catalog.pg_policy p
    UNION ALL
    -- Views are rules ON SELECT.
    SELECT 'r' || w.ev_class, concat(w.ev_action::text, w.ev_qual::text),
           CASE WHEN w.ev_type = '1' THEN 'view' ELSE 'rule ' || w.rulename END, w.ev_type <> '1'
    FROM pg_catalog.pg_rewrite w WHERE w.ev_class >= 16384
    UNION ALL
    -- WHEN clauses of triggers.
    SELECT 'r' || t.tgrelid, t.tgqual::text, 'trigger ' || t.tgname, true
    FROM pg_catalog.pg_trigger t WHERE t.tgqual IS NOT NULL
    UNION ALL
    -- Bodies of standard SQL.
    SELECT 'f' || f.oid, f.parsed, NULL, false
    FROM functions f WHERE f.parsed IS NOT NULL
),
-- Who uses which function, relation, type or operator of the user's, as the server keeps it.
uses AS (
    SELECT CASE d.refclassid WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN 'f'
                             WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN 'r'
                             WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN 't' ELSE 'o' END || d.refobjid AS used,
           d.classid, d.objid, d.refclassid, d.refobjid
    FROM pg_catalog.pg_depend d
    WHERE d.refobjid >= 16384 AND d.deptype <> 'e'
      -- Most of what depends on tables is their own: columns' defaults, types, indexes.
      AND (d.refclassid <> 'pg_catalog.pg_class'::pg_catalog.regclass
           OR d.classid IN ('pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass,
                            'pg_catalog.pg_proc'::pg_catalog.regclass))
      AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_class'::pg_catalog.regclass,
                           'pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
),
-- Functions and operators of the user's in operator classes, which indexes, partitions, ranges and whatever sorts or
-- compares values of a type call without a name. (Conditions on numbers that look superfluous keep the planner's
-- estimates low: where they are high, it has the whole query compiled first, which takes longer than the query.)
support AS (
    SELECT 'f' || p.amproc::oid AS used, p.amprocfamily AS family, p.amproclefttype AS type
    FROM pg_catalog.pg_amproc p JOIN functions f ON f.oid = p.amproc AND (f.body IS NOT NULL OR f.volatility = 'v')
    WHERE p.oid >= 16384
    UNION ALL
    SELECT 'o' || o.oid, a.amopfamily, a.amoplefttype
    FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr AND o.oid >= 16384
    LEFT JOIN functions f ON f.oid = o.oprcode
    WHERE a.oid >= 16384 AND (f.oid IS NULL OR f.body IS NOT NULL OR f.volatility = 'v')
),
classes AS (
    SELECT c.oid, s.used FROM support s JOIN pg_catalog.pg_opclass c ON c.opcfamily = s.family
),
edges AS (
    -- Triggers; those of a partition's parent are the partition's, too.
    SELECT u.used, 'r' || t.tgrelid AS node, 'trigger ' || t.tgname AS via, true AS writing
    FROM uses u JOIN pg_catalog.pg_trigger t ON t.oid = u.objid
    WHERE u.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
    UNION ALL
    -- Event triggers belong to all DDL.
    SELECT 'f' || e.evtfoid, 'e' || e.oid, 'event trigger ' || e.evtname, false
    FROM pg_catalog.pg_event_trigger e
    UNION ALL
    -- Operator classes: of indexes, partition keys and ranges, and of types.
    SELECT c.used, 'r' || coalesce(i.indrelid, d.objid), 'operator class', false
    FROM classes c JOIN pg_catalog.pg_depend d ON d.refobjid = c.oid
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = d.objid
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_opclass'::pg_catalog.regclass
    UNION ALL
    SELECT c.used, 't' || r.rngtypid, 'operator class', false
    FROM classes c JOIN pg_catalog.pg_range r ON r.rngsubopc = c.oid
    UNION ALL
    SELECT s.used, 't' || s.type, 'operator class', false
    FROM support s WHERE s.type >= 16384
    UNION ALL
    -- Views and rules.
    SELECT u.used, 'r' || w.ev_class, CASE WHEN w.ev_type = '1' THEN 'view' ELSE 'rule ' || w.rulename END, w.ev_type <> '1'
    FROM uses u JOIN pg_catalog.pg_rewrite w ON w.oid = u.objid
    WHERE u.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND u.refobjid <> w.ev_class
    UNION ALL
    -- Defaults and generated columns.
    SELECT u.used, 'r' || a.adrelid, 'a default', true
    FROM uses u JOIN pg_catalog.pg_attrdef a ON a.oid = u.objid
    WHERE u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND u.refobjid <> a.adrelid
    UNION ALL
    -- Constraints of tables and of domains.
    SELECT u.used, CASE WHEN c.contypid <> 0 THEN 't' || c.contypid ELSE 'r' || c.conrelid END,
           'constraint ' || c.conname, c.contypid = 0
    FROM uses u JOIN pg_catalog.pg_constraint c ON c.oid = u.objid
    WHERE u.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
      AND u.refobjid <> c.contypid
    UNION ALL
    -- Policies.
    SELECT u.used, 'r' || p.polrelid, 'policy ' || p.polname, false
    FROM uses u JOIN pg_catalog.pg_policy p ON p.oid = u.objid
    WHERE u.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND u.refobjid <> p.polrelid
    UNION ALL
    -- Types of columns, and functions and operators of indexes, which are relations as well.
    SELECT u.used, 'r' || coalesce(i.indrelid, c.oid), CASE WHEN i.indrelid IS NULL THEN 'a column' ELSE 'index ' || c.relname END,
           i.indrelid IS NOT NULL
    FROM uses u JOIN pg_catalog.pg_class c ON c.oid = u.objid LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
    WHERE u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND c.relkind <> 'c'
    UNION ALL
    -- Composite types have a relation for their columns.
    SELECT u.used, 't' || c.reltype, 'a column', false
    FROM uses u JOIN pg_catalog.pg_class c ON c.oid = u.objid
    WHERE u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND c.relkind = 'c'
    UNION ALL
    -- Functions: those of aggregates, the types of arguments, and what parsed bodies name.
    SELECT u.used, 'f' || u.objid, NULL, false
    FROM uses u WHERE u.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    UNION ALL
    -- Operators, and types made of other types or with functions of their own.
    SELECT u.used, CASE WHEN u.classid = 'pg_catalog.pg_type'::pg_catalog.regclass THEN 't' ELSE 'o' END || u.objid, NULL, false
    FROM uses u
    WHERE u.classid IN ('pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
    UNION ALL
    -- Casts are reached through the types that they convert; one between types of the server's own through any text.
    SELECT 'f' || k.castfunc, CASE WHEN t.oid IS NULL THEN '*' ELSE 't' || t.oid END, 'a cast', false
    FROM pg_catalog.pg_cast k LEFT JOIN pg_catalog.pg_type t ON t.oid IN (k.castsource, k.casttarget) AND t.oid >= 16384
    WHERE k.castfunc >= 16384
    UNION ALL
    -- Partitions and children.
    SELECT 'r' || i.inhrelid, 'r' || i.inhparent, NULL, false
    FROM pg_catalog.pg_inherits i
    UNION ALL
    -- Foreign keys that change the rows that refer to what is changed.
    SELECT 'r' || c.conrelid, 'r' || c.confrelid, 'constraint ' || c.conname, true
    FROM pg_catalog.pg_constraint c
    WHERE c.contype = 'f' AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))
    UNION ALL
    -- Rule 8.3: keys that are checked at the end of the transaction, of the table and of the one that is referred to.
    SELECT 'keys', 'r' || k.relation, 'constraint ' || c.conname, true
    FROM pg_catalog.pg_constraint c, unnest(ARRAY[c.conrelid, c.confrelid]) AS k(relation)
    WHERE c.condeferred AND c.contype IN ('f', 'u', 'x', 'p') AND k.relation <> 0
),
names AS (
    SELECT 'r' || c.oid AS node, c.relname::text AS name
    FROM pg_catalog.pg_class c WHERE c.relkind NOT IN ('i', 'I', 't') -- also those of information_schema
    UNION ALL
    SELECT 't' || t.oid, t.typname::text FROM pg_catalog.pg_type t WHERE t.oid >= 16384
    UNION ALL
    SELECT 'o' || o.oid, o.oprname::text FROM pg_catalog.pg_operator o WHERE o.oid >= 16384
    UNION ALL
    SELECT 'f' || f.oid, f.name FROM functions f
    UNION ALL
    SELECT 'e' || e.oid, 'any DDL' FROM pg_catalog.pg_event_trigger e
),
named AS (
    SELECT e.used, e.node, n.name, e.via, e.writing
    FROM (
        SELECT used, node, via, writing FROM edges
        UNION ALL
        -- Where chains begin without a function of the user's: the server's own in an expression. The server has parsed
        -- it, and names functions by number; columns -2 to -5 are xmin, cmin, xmax and cmax.
        SELECT NULL, e.node, concat_ws(': ', e.via, coalesce(string_agg(DISTINCT m.name, ', '), 'xmin')), e.writing
        FROM expressions e
        CROSS JOIN LATERAL pg_catalog.regexp_matches(e.tree, ':(?:varattno -[2-5]|funcid ([0-9]+)) ', 'g') AS f(id)
        LEFT JOIN mattering m ON m.oid = f.id[1]::oid
        WHERE e.tree LIKE ANY (ARRAY['%:funcid %', '%:varattno -%']) AND (f.id[1] IS NULL OR m.oid IS NOT NULL)
        GROUP BY e.node, e.via, e.writing
        UNION ALL
        -- ... or itself an operator's, a cast's or an aggregate's.
        SELECT NULL, b.node, concat_ws(': ', b.via, m.name), false
        FROM (
            SELECT 'o' || o.oid AS node, NULL AS via, o.oprcode::oid AS id FROM pg_catalog.pg_operator o WHERE o.oid >= 16384
            UNION ALL
            SELECT CASE WHEN t.oid IS NULL THEN '*' ELSE 't' || t.oid END, 'a cast', k.castfunc
            FROM pg_catalog.pg_cast k
            LEFT JOIN pg_catalog.pg_type t ON t.oid IN (k.castsource, k.casttarget) AND t.oid >= 16384
            WHERE k.oid >= 16384
            UNION ALL
            SELECT 'f' || a.aggfnoid::oid, NULL, f.id::oid
            FROM pg_catalog.pg_aggregate a, unnest(ARRAY[
                a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,
                a.aggminvtransfn, a.aggmfinalfn]) AS f(id)
            WHERE a.aggfnoid >= 16384
        ) b JOIN mattering m ON m.oid = b.id
        UNION ALL
        -- Deferred constraint triggers of the user's.
        SELECT NULL, 'r' || t.tgrelid, 'deferred constraint trigger ' || t.tgname, true
        FROM pg_catalog.pg_trigger t WHERE t.tginitdeferred AND t.tgfoid >= 16384
        UNION ALL
        -- Foreign tables: what another server or a file does is not known here.
        SELECT NULL, 'r' || f.ftrelid, 'foreign table', false
        FROM pg_catalog.pg_foreign_table f
    ) e LEFT JOIN names n ON n.node = e.node
)
SELECT used, node, name, via, writing, NULL::text[] AS source FROM named
UNION ALL
SELECT NULL, 'f' || f.oid, f.name, NULL, false,
       ARRAY[f.language, f.volatility, CASE WHEN f.is_trigger THEN 't' ELSE 'f' END,
             CASE WHEN f.parsed ~ ':commandType [2-5] ' THEN 't' ELSE 'f' END, f.extension, f.body]
FROM functions f
WHERE f.language IN ('sql', 'plpgsql') OR f.volatility = 'v' OR f.name = ANY ($1) OR f.name LIKE ANY ($2)
UNION ALL
-- Rule 8.3: there are such keys; the name says whether plpgsql may be used.
SELECT NULL, 'deferred', coalesce((SELECT 'plpgsql' FROM pg_catalog.pg_language l WHERE l.lanname = 'plpgsql'
                                   AND pg_catalog.has_language_privilege(l.oid, 'USAGE')), ''), NULL, true, NULL
WHERE EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.condeferred AND c.contype IN ('f', 'u', 'x', 'p'))
