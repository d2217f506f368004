"""Why tests of asyncpg's own fail with `db_pool_rs.asyncpg` that pass with asyncpg."""

from __future__ import annotations

import re

_INSIDES = "look at private attributes and functions of asyncpg (`_protocol`, `_holders`, `_stmt_cache` ...)"
_UNSUPPORTED = "not supported, and says so: `connect=`, codecs by asyncpg's own names"
_WORDS = "the same error, in other words, of another class or with fields of other types (`position` is an int)"
_CODECS = "codecs: taken for every type, also for domains and composites, where asyncpg refuses them"
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

_ANY = ".*"
#: Patterns of `file.class.test` and of what it says, and the reason; the first that fits counts.
REASONS: tuple[tuple[str, str, str], ...] = (
    (
        _ANY,
        r".*(has no attribute '_|does not have the attribute '_|BUILTIN_TYPE_OID_MAP|utils' has no attribute 'protocol"
        r"|local variable 'con_chk')",
        _INSIDES,
    ),
    (_ANY, r"failed: NotImplementedError", _UNSUPPORTED),
    (r"test_connect\.(TestSSLConnection|TestClientSSLConnection|TestNoSSLConnection)\.", "", _TLS),
    (r"test_connect\.TestConnection\.test_connection_(ssl|no_home_dir)", "", _TLS),
    (_ANY, r"failed: AssertionError: .* does not match ", _WORDS),
    (r"test_exceptions\.", "", _WORDS),
    (r"test_copy\.TestCopyFrom\.test_copy_from_query_to_bad_output", "", _WORDS),
    (r"test_copy\.TestCopyTo\.test_copy_records_to_table_no_binary_codec", "", _CODECS),
    (r"test_codecs\.TestCodecs\.test_custom_codec", "failed: AssertionError: InterfaceError not raised", _CODECS),
    (r"test_codecs\.", "", _VALUES),
    (r"test_connect\.TestAuthentication\.", "", _LOGIN),
    (r"test_connect\.(TestConnectionAttributes|TestConnectionCleanup)\.", "", _LOGIN),
    (r"test_connect\.TestConnection\.test_connection_cancelled_during_transport_setup", "", _INSIDES),
    (r"test_pool\.TestPoolReconnectWithTargetSessionAttrs\.", "", _WORDS),
    (r"test_prepare\..*concurrent_calls", "", _QUEUE),
    (r"test_prepare\..*test_prepare_statement_invalid", "", _QUEUE),
    (r"test_introspection\..*retries_after_cache_bust", "", _QUEUE),
    (r"test_prepare\..*(test_prepare_04|interrupted_close|pgbouncer_note)", "", _WORDS),
    (r"test_execute\..*(test_execute_script_3|interrupted)", "", _WORDS),
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
