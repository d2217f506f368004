"""Why tests of asyncpg's own fail with `db_pool_rs.asyncpg` that pass with asyncpg."""

from __future__ import annotations

import re

_INSIDES = "look at other private attributes and functions of asyncpg (`_cancel`, `_top_xact`, `_uid`, `_state` ...)"
_HOLDERS = "look at the private parts of asyncpg's pools (`_holders`, `_queue`, `_con`)"
_CACHE = "look at asyncpg's private cache of statements (`_stmt_cache`, `_prepare`)"
_WIRE = "look at asyncpg's private protocol and transport (`_protocol`, `_transport`, `_connect_addr`, `_server_caps`)"
_PARSER = "call asyncpg's private parser of connection strings and PG* variables (`_parse_connect_dsn_and_args`)"
_UNSUPPORTED = "not supported, and says so: `create_pool(connect=)`, since the pool opens its connections itself"
_WORDS = "the same error, in other words or of another class"
_COPY = "COPY takes records of types that have a text codec, which asyncpg refuses"
_VALUES = "values: ranges, arrays and hstore of other kinds of objects, elements of anonymous records as text, sNaN"
_QUEUE = "concurrent calls on a connection queue here; statements that DDL has outdated are prepared again"
_TOLD = "a transaction in which a statement failed is not said to be committed (InFailedSQLTransactionError)"
_TICK = "listeners are called in the next tick of the event loop, or when the answer is there"
_SIZES = "sizes: `min_size` connections are kept, `init_size` has no effect, connections are not closed by `release`"
_RECORDS = "records: tuples that can be made and pickled; a `record_class` is derived from"
_TLS = (
    "TLS by libpq or rustls: errors are ConnectFailed (an OSError), attempts theirs; no client certificate of a context"
)
_LOGIN = "logins: md5 is supported, hosts are tried in the pool's own order, a password may not be None"
_CLOSING = "closing: `close` and `release` are not limited by the statement that runs, which is cancelled"
_MANY = "executemany reads its arguments before it sends them in a transaction"

_FIELDS = "errors: fields of other types (`position` is an int), DETAIL and PgBouncer's hint at other places"
_ENDED = "a call whose connection is closed meanwhile is a ConnectionLost: its outcome is unknown"

_ANY = ".*"
#: Patterns of `file.class.test` and of what it says, and the reason; the first that fits counts.
REASONS: tuple[tuple[str, str, str], ...] = (
    (_ANY, r".*attribute '(_holders|_queue|_con)'", _HOLDERS),
    (_ANY, r".*(attribute '(_stmt_cache|_prepare)'|local variable 'con_chk')", _CACHE),
    (
        _ANY,
        r".*(attribute '(_protocol|_transport|_connect_addr|_server_caps)'|utils' has .*'protocol)",
        _WIRE,
    ),
    (_ANY, r".*attribute '_parse_connect_dsn_and_args'", _PARSER),
    (
        _ANY,
        r".*(has no attribute '_|does not have the attribute '_|BUILTIN_TYPE_OID_MAP)",
        _INSIDES,
    ),
    (_ANY, r"failed: NotImplementedError", _UNSUPPORTED),
    (r"test_connect\.(TestSSLConnection|TestClientSSLConnection|TestNoSSLConnection)\.", "", _TLS),
    (r"test_connect\.TestConnection\.test_connection_(ssl|no_home_dir)", "", _TLS),
    (r".*interrupted_(by_server|close|terminate)", "", _ENDED),
    (_ANY, r"failed: AssertionError: .* does not match ", _WORDS),
    (r"test_exceptions\.", "", _FIELDS),
    (r"test_copy\.TestCopyFrom\.test_copy_from_query_to_bad_output", "", _WORDS),
    (r"test_copy\.TestCopyTo\.test_copy_records_to_table_no_binary_codec", "", _COPY),
    (r"test_codecs\.", "", _VALUES),
    (r"test_connect\.TestAuthentication\.", "", _LOGIN),
    (r"test_connect\.(TestConnectionAttributes|TestConnectionCleanup)\.", "", _LOGIN),
    (r"test_connect\.TestConnection\.test_connection_cancelled_during_transport_setup", "", _INSIDES),
    (r"test_pool\.TestPoolReconnectWithTargetSessionAttrs\.", "", _WORDS),
    (r"test_prepare\..*concurrent_calls", "", _QUEUE),
    (r"test_prepare\..*test_prepare_statement_invalid", "", _QUEUE),
    (r"test_introspection\..*retries_after_cache_bust", "", _QUEUE),
    (r"test_prepare\..*pgbouncer_note", "", _FIELDS),
    (r"test_prepare\..*test_prepare_04", "", _WORDS),
    (r"test_execute\..*test_execute_script_3", "", _WORDS),
    (r"test_execute\.TestExecuteMany\.", "", _MANY),
    (r"test_timeout\.TestTimeout\.test_timeout_0[46]", "failed: db_pool_rs.errors.InFailedSqlTransaction", _TOLD),
    (r"test_timeout\.", "", _CLOSING),
    (r"test_adversity\.", "failed: AssertionError: TimeoutError not raised", _CLOSING),
    (r"test_listeners\.", "", _TICK),
    (r"test_cursor\.TestCursor\.test_cursor_02", "", _WORDS),
    (r"test_record\.", "", _RECORDS),
    (r"test_pool\.TestPool\.test_pool_13", "", _WORDS),
    (r"test_pool\.TestPool\.test_pool_(init|max_inactive|min_size|size)", "", _SIZES),
)


def reason(name: str, said: str) -> str | None:
    """The reason for a test that says so; None if there is none."""
    fitting = (why for test, text, why in REASONS if re.match(test, name) and re.match(text, said, re.DOTALL))
    return next(fitting, None)
