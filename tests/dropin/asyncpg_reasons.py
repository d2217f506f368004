"""Why tests of asyncpg's own fail with `db_pool_rs.asyncpg` that pass with asyncpg."""

from __future__ import annotations

import re

_INSIDES = "look at other private attributes and functions of asyncpg (`_cancel`, `_uid`, `_state`, `_config` ...)"
_HOLDERS = "look at the private parts of asyncpg's pools (`_holders`, `_queue`)"
_PROXIES = "tell the connection of a pool from its proxy: here a `Connection` is of one acquire, and its own proxy"
_CACHE = "look at asyncpg's private cache of statements (`_stmt_cache`, `_prepare`)"
_WIRE = "look at asyncpg's private protocol and transport (`queries_count`, `_connect_addr`, buffer limits ...)"
_UNSUPPORTED = "not supported, and says so: `create_pool(connect=)`, since the pool opens its connections itself"

_ARGUMENTS = "arguments that do not fit are told in the pool's words: statement, parameter, what it takes, what it got"
_LITERALS = "a str is taken as the literal of a range; 65,535 arguments are allowed, not half of them"
_OPTIONS = "mistakes in options are told in the pool's words: the option, its value, what is allowed (ConfigError)"
_URLS = "connection strings are read as libpq does (docs/asyncpg.md); a passfile that is not used is told to the log"
_DOCS = "docstrings and hints are not asyncpg's; `position` of an error is an int"
_FIRST = "`fetchrow` and `fetchval` of a prepared statement read its whole result, so it has a command tag"
_COPY = "COPY takes records of types that have a text codec, which asyncpg refuses"
_NUMERIC = "a numeric is read and written as text: no exponent is kept, and the server refuses sNaN"
_QUEUE = "concurrent calls on a connection queue here"
_HEALED = "statements that DDL has outdated are prepared again"
_TOLD = "a transaction in which a statement failed is not said to be committed (InFailedSQLTransactionError)"
_TICK = "listeners are called in the next tick of the event loop, or when the answer is there"
_LISTENING = "what `init` listens to ends with it: a termination listener is of one acquire"
_RECORDS = "records are tuples: they can be made and pickled, `items()` is a tuple, each shape has its class"
_CERTIFICATE = "a context of the module ssl does not tell its client certificate; libpq refuses keys that others read"
_ATTEMPTS = "TLS and attempts are those of libpq and rustls: their number and order, what follows a refusal"
_TLS = "errors of TLS are a ConnectFailed, without the causes and words of Python's ssl"
_WANTED = "where no host is the wanted one, each that was tried is told"
_LOGIN = "logins: md5 is supported, a callable must return a password"
_CLOSING = "`close` ends what runs at once, and `release` asks nothing of a clean connection: they wait for no time-out"
_CLOSED = "what runs on a connection that the program closes is a ConnectionDoesNotExistError, not a QueryCanceledError"
_MANY = "executemany reads its arguments before it sends them in a transaction"

_ANY = ".*"
#: Patterns of `file.class.test` and of what it says, and the reason; the first that fits counts.
REASONS: tuple[tuple[str, str, str], ...] = (
    (_ANY, r".*attribute '(_holders?|_queue)'", _HOLDERS),
    (_ANY, r".*(attribute '(_stmt_cache|_prepare)'|local variable 'con_chk')", _CACHE),
    (_ANY, r".*('Protocol' object has|'Transport' object has|attribute '_connect_addr'|utils' has .*'protocol)", _WIRE),
    (_ANY, r".*(has no attribute '_|does not have the attribute '_|BUILTIN_TYPE_OID_MAP)", _INSIDES),
    (_ANY, r"failed: NotImplementedError: create_pool\(connect", _UNSUPPORTED),
    (r"test_pool\.TestPool\.test_pool_(08|11|exception_in_setup_and_init|release_in_xact)", "", _PROXIES),
    (r"test_pool\.TestPool\.test_pool_13", "", _DOCS),
    (r"test_pool\.TestPool\.test_pool_max_inactive_time_05", "", _LISTENING),
    (r"test_pool\.TestPoolReconnectWithTargetSessionAttrs\.", "", _WANTED),
    (r"test_connect\.TestConnectionAttributes\.", "", _ATTEMPTS),
    (r"test_connect\.TestClientSSLConnection\.", "", _CERTIFICATE),
    (r"test_connect\.TestConnection\.test_connection_no_home_dir", "", _OPTIONS),
    (r"test_connect\.TestSSLConnection\.test_direct_tls_configuration_sources", "", _OPTIONS),
    (r"test_connect\.TestSSLConnection\.test_(ssl_handshake|sslrequest_errors|tls_version|ssl_client_auth)", "", _TLS),
    (r"test_connect\.TestSSLConnection\.test_ssl_connection_sslmode", "", _TLS),
    (r"test_connect\.Test(No)?SSLConnection\.test_(ssl|nossl|direct_tls)", "", _ATTEMPTS),
    (r"test_connect\.TestConnectParams\.", "", _URLS),
    (r"test_connect\.TestAuthentication\.", "", _LOGIN),
    (r"test_connect\.TestConnectionCleanup\.", "", _ATTEMPTS),
    (r"test_connect\.TestConnection\.test_connection_cancelled_during_transport_setup", "", _INSIDES),
    (r".*interrupted_close", "", _CLOSED),
    (r"test_exceptions\.", "", _DOCS),
    (r"test_prepare\..*pgbouncer_note", "", _DOCS),
    (r"test_copy\.TestCopyTo\.test_copy_records_to_table_no_binary_codec", "", _COPY),
    (r"test_codecs\..*test_(numeric|standard_codecs)", "", _NUMERIC),
    (r"test_codecs\..*test_range_types", "", _LITERALS),
    (r"test_prepare\..*max_args", "", _LITERALS),
    (r"test_codecs\.", r"failed: AssertionError: .* does not match ", _ARGUMENTS),
    (r"test_execute\.TestExecuteMany\.test_executemany_bad_input", "", _ARGUMENTS),
    (r"test_prepare\..*concurrent_calls", "", _QUEUE),
    (r"test_prepare\..*test_prepare_statement_invalid", "", _HEALED),
    (r"test_introspection\..*retries_after_cache_bust", "", _INSIDES),
    (r"test_prepare\..*test_prepare_04", "", _FIRST),
    (r"test_execute\.TestExecuteMany\.", "", _MANY),
    (r"test_timeout\.TestTimeout\.test_timeout_0[46]", "failed: db_pool_rs.errors.InFailedSqlTransaction", _TOLD),
    (r"test_timeout\.TestTimeoutCoversPrepare", "", _INSIDES),
    (r"test_adversity\.", "failed: AssertionError: TimeoutError not raised", _CLOSING),
    (r"test_listeners\.", "", _TICK),
    (r"test_record\.", "", _RECORDS),
)


def reason(name: str, said: str) -> str | None:
    """The reason for a test that says so; None if there is none."""
    fitting = (why for test, text, why in REASONS if re.match(test, name) and re.match(text, said, re.DOTALL))
    return next(fitting, None)
