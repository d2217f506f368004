"""The two written forms, held against libpq's own parser."""

from __future__ import annotations

import pickle
from typing import Any
from urllib.parse import quote as percent

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import OperationalError, pq

from db_pool_rs import conninfo
from db_pool_rs.conninfo import ConnectConfig, SqliteConfig, parse_dsn
from db_pool_rs.conninfo.dsn import parse_keyvalue, parse_url, quote
from db_pool_rs.conninfo.params import PARAMETERS
from db_pool_rs.errors import ConfigError, Error


def libpq(text: str) -> dict[str, str] | None:
    """What libpq reads; None if it refuses, or it is no UTF-8, which is all that we take."""
    try:
        options = pq.Conninfo.parse(text.encode())
        return {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}
    except (OperationalError, UnicodeDecodeError):
        return None


def ours(text: str) -> dict[str, str] | None:
    """What we read; None if we refuse. Names are the parser's business in libpq, and not in ours."""
    try:
        found = parse_url(text) if text.startswith(("postgresql://", "postgres://")) else parse_keyvalue(text)
    except ConfigError:
        return None
    if "requiressl" in found or not set(found) <= set(PARAMETERS):
        return None
    return found


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NAMES = st.sampled_from(sorted(name for name, parameter in PARAMETERS.items() if parameter.since <= pq.version()))
NASTY = st.text(st.sampled_from("ab='\\ \t\n:/@?&#%,[]+0é\u00a0"), max_size=30)


@given(st.dictionaries(NAMES, TEXT))
def test_keyvalue_round_trip_is_what_libpq_reads(values: dict[str, str]) -> None:
    text = " ".join(f"{key}={quote(value)}" for key, value in values.items())
    assert parse_keyvalue(text) == values
    assert libpq(text) == values


@given(NASTY)
@example("host = 'a b' port=1")
@example("host='a")
@example("host='x'port=5")
@example("password='a\\'b\\\\' host\t=\nx")
def test_any_text_is_read_as_libpq_reads_it(text: str) -> None:
    for prefix in ("host=a ", "password=", "user='", ""):
        assert ours(prefix + text) == libpq(prefix + text)


@given(NASTY)
@example("u:p@h:1,[::1]:2,/db?application_name=x+y%20")
@example("h%2Ci:5,6/")
@example(",:5,h:/x")
@example("h/?&")
@example("h/?")
@example("h?a=b=c")
@example(" h/d")
@example("a b@h")
@example("h/%00")
@example("h/a%zz")
@example("[]/")
@example("[::1]x/")
@example("h/db?ssl=true")
def test_any_url_is_read_as_libpq_reads_it(text: str) -> None:
    if pq.version() < 170000:
        text = text.replace(" ", "")  # blanks in URLs became errors with libpq 17
    for prefix in ("postgresql://", "postgres://h/", "postgresql://u:", "postgresql://h/d?user="):
        assert ours(prefix + text) == libpq(prefix + text)


@given(
    user=TEXT,
    password=TEXT,
    dbname=TEXT,
    hosts=st.lists(st.tuples(TEXT, st.integers(1, 65535)), min_size=1, max_size=3),
    query=st.dictionaries(st.sampled_from(["application_name", "options", "sslcert"]), TEXT.filter(bool)),
)
def test_url_round_trip_is_what_libpq_reads(
    user: str, password: str, dbname: str, hosts: list[tuple[str, int]], query: dict[str, str]
) -> None:
    places = ",".join(f"{percent(host, safe='')}:{port}" for host, port in hosts)
    text = f"postgresql://{percent(user, safe='')}:{percent(password, safe='')}@{places}/{percent(dbname, safe='')}"
    text += "?" + "&".join(f"{key}={percent(value, safe='')}" for key, value in query.items())
    expected = {
        "user": user,
        "password": password,
        "host": ",".join(host for host, _ in hosts),
        "port": ",".join(str(port) for _, port in hosts),
        "dbname": dbname,
        **query,
    }
    assert parse_url(text) == libpq(text) == {key: value for key, value in expected.items() if value}


def test_every_parameter_is_libpqs_with_its_variable() -> None:
    known = {
        option.keyword.decode(): option.envvar.decode() if option.envvar else None
        for option in pq.Conninfo.get_defaults()
    }
    for name, parameter in PARAMETERS.items():
        if pq.version() >= parameter.since:
            assert known[name] == parameter.env


# ---- what they mean -------------------------------------------------------------------------------------------------


def connect_config(dsn: str | None = None, **options: Any) -> ConnectConfig:
    config = parse_dsn(dsn, environ={"HOME": "/nonexistent"}, **options)
    assert isinstance(config, ConnectConfig)
    return config


def refusal(dsn: str | None = None, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_dsn(dsn, environ={"HOME": "/nonexistent"}, **options)
    return caught.value


def test_several_hosts() -> None:
    config = connect_config("postgresql://u@h1:1,[::1]:2,%2Frun%2Fx:3/d")
    assert [(h.host, h.port) for h in config.hosts] == [("h1", 1), ("::1", 2), ("/run/x", 3)]
    assert [h.is_unix for h in config.hosts] == [False, False, True]
    assert str(config) == "postgresql://u@h1:1,[::1]:2,/run/x:3/d"


def test_one_port_serves_all_hosts_and_empty_ones_are_5432() -> None:
    assert [h.port for h in connect_config("host=a,b port=7").hosts] == [7, 7]
    assert [h.port for h in connect_config("host=a,b port=7,").hosts] == [7, 5432]


def test_hosts_as_lists() -> None:
    config = connect_config(host=["a", "b"], port=[1, None], hostaddr=["10.0.0.1", "::1"], username="u", database="d")
    assert [(h.host, h.hostaddr, h.port) for h in config.hosts] == [("a", "10.0.0.1", 1), ("b", "::1", 5432)]
    assert (config.user, config.dbname) == ("u", "d")


def test_abstract_socket_and_address_without_name() -> None:
    assert connect_config("host=@abstract").hosts[0].is_unix
    only_address = connect_config("hostaddr=127.0.0.1").hosts[0]
    assert (only_address.host, only_address.is_local(), str(only_address)) == ("", True, "127.0.0.1:5432")


def test_default_is_the_socket_folder_then_localhost() -> None:
    *sockets, last = connect_config().hosts
    assert last.host == "localhost"
    assert all(host.is_unix for host in sockets)


def test_database_is_named_like_the_user() -> None:
    assert connect_config("user=somebody").dbname == "somebody"
    assert connect_config().user


@pytest.mark.parametrize(
    ("dsn", "options", "key"),
    [
        ("host=a,b port=1,2,3", {}, "port"),
        ("host=a,b hostaddr=10.0.0.1", {}, "hostaddr"),
        ("host=a hostaddr=nonsense", {}, "hostaddr"),
        ("host=a port=0", {}, "port"),
        ("host=a port=65536", {}, "port"),
        ("host=a port=x", {}, "port"),
        ("", {"port": 1.5}, "port"),
        ("", {"port": True, "host": object()}, "host"),
        ("sslmode=verify", {}, "sslmode"),
        ("target_session_attrs=master", {}, "target_session_attrs"),
        ("load_balance_hosts=yes", {}, "load_balance_hosts"),
        ("connect_timeout=soon", {}, "connect_timeout"),
        ("connect_timeout=nan", {}, "connect_timeout"),
        ("client_encoding=LATIN1", {}, "client_encoding"),
        ("require_auth=password,!md5", {}, "require_auth"),
        ("require_auth=md5,md5", {}, "require_auth"),
        ("require_auth=trust", {}, "require_auth"),
        ("keepalives_idle=x", {}, "keepalives_idle"),
        ("ssl_min_protocol_version=SSLv3", {}, "ssl_min_protocol_version"),
        ("sslmode=require sslrootcert=system", {}, "sslmode"),
        ("sslmode=prefer sslnegotiation=direct", {}, "sslmode"),
        ("sslmode=verify-full", {}, "sslrootcert"),
        ("replication=database", {}, "replication"),
        ("oauth_issuer=x", {}, "oauth_issuer"),
        ("service=nowhere", {}, "service"),
        (None, {"dbname": "a", "database": "b"}, "database"),
        (None, {"ssl": True, "sslmode": "require"}, "ssl"),
        (None, {"ssl": 1}, "ssl"),
        (None, {"ssl": "on"}, "sslmode"),
        (None, {"server_settings": "a=b"}, "server_settings"),
        (None, {"server_settings": {"a b": "c"}}, "server_settings"),
        (None, {"server_settings": {"a": object()}}, "server_settings.a"),
        (None, {"server_settings": {"client_encoding": "LATIN1"}}, "client_encoding"),
        (None, {"user": "a\0b"}, "user"),
        (None, {"allow_cleartext_password": "perhaps"}, "allow_cleartext_password"),
        ("mysql://h/d", {}, "dsn"),
        ("justaname", {}, "dsn"),
        ("host=a\0", {}, "dsn"),
    ],
)
def test_wrong_values_are_named(dsn: str | None, options: dict[str, Any], key: str) -> None:
    assert refusal(dsn, **options).key == key


def test_a_dsn_that_is_no_text() -> None:
    assert refusal(b"host=a").key == "dsn"  # type: ignore[arg-type]


def test_unknown_keys_show_similar_ones() -> None:
    error = refusal("hots=a")
    assert error.key == "hots"
    assert error.allowed.startswith("host (did you mean this?)")
    assert "sslrootcert" in refusal(ssl_rootcert="x").allowed


def test_driver_schemes_are_told_the_right_form() -> None:
    assert "postgresql://" in str(refusal("postgresql+asyncpg://u@h/d"))
    assert "sqlite:///" in str(refusal("sqlite+aiosqlite:///x.db"))


def test_a_context_without_authorities_is_told_the_parameters() -> None:
    import ssl

    error = refusal(ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    assert "sslrootcert" in error.allowed


@pytest.mark.parametrize(("ssl", "mode"), [(True, "require"), (False, "disable"), ("verify-ca", "verify-ca")])
def test_ssl(ssl: bool | str, mode: str) -> None:
    assert connect_config(ssl=ssl, sslrootcert="/ca.pem").ssl.mode == mode


def test_system_certificates_are_verified_fully() -> None:
    assert connect_config("sslrootcert=system").ssl.mode == "verify-full"


@pytest.mark.parametrize(("given", "seconds"), [("", 10.0), ("0", None), ("-1", None), ("0.5", 0.5), (" 3 ", 3.0)])
def test_connect_timeout(given: str, seconds: float | None) -> None:
    assert connect_config(connect_timeout=given).connect_timeout == seconds


def test_numbers_and_none_as_keywords() -> None:
    config = connect_config("host=a", port=None, connect_timeout=2, keepalives_idle=30, keepalives=True)
    assert config.connect_timeout == 2.0
    assert dict(config.network) == {"keepalives": "1", "keepalives_idle": "30"}


SECRETS = ["postgresql://u:s3c@ret@h/d", "postgresql://u:s3c/ret@h/d", "password=s3c ret", "password='s3c ret host=a"]


@pytest.mark.parametrize(
    "dsn", [*SECRETS, "postgresql://u:s3c%@h", "postgresql://u:s3c ret@h", "postgresql://u:s3c@[h"]
)
def test_refusals_show_no_part_of_a_password(dsn: str) -> None:
    error = refusal(dsn)
    shown = "".join([str(error), repr(error), repr(error.value), error.allowed])
    assert "s3c" not in shown
    assert "ret" not in shown.replace("secret", "")


def test_repr_and_str_show_no_password() -> None:
    config = connect_config("postgresql://u:s3cret@h/d?sslpassword=s3cret")
    assert config.hosts[0].password == config.ssl.password == "s3cret"
    assert "s3cret" not in f"{config} {config!r} {config.hosts} {config.ssl}"


def test_configs_are_equal_hashable_and_frozen() -> None:
    one, two = connect_config("host=a", server_settings={"a": 1}), connect_config("host=a", server_settings={"a": 1})
    assert one == two
    assert hash(one) == hash(two)
    assert one != connect_config("host=b", server_settings={"a": 1})
    with pytest.raises(AttributeError):
        one.user = "x"  # type: ignore[misc]


def test_password_callable_is_kept_aside() -> None:
    def provider() -> str:
        return "s3cret"

    config = connect_config("postgresql://u:other@h/d", password=provider)
    assert config.password_provider is provider
    assert config.hosts[0].password is None
    assert "provider" not in repr(config)


def test_options_are_complete() -> None:
    assert {"host", "database", "username", "ssl", "server_settings", "foreign_keys"} <= conninfo.OPTIONS
    assert "mode" not in conninfo.OPTIONS


@given(NASTY)
def test_any_text_is_a_config_or_an_error_of_ours(text: str) -> None:
    for dsn in (text, f"postgresql://{text}", f"host={text}", f"sqlite:///{text}", f"sqlite:{text}"):
        try:
            parse_dsn(dsn, environ={"HOME": "/nonexistent"})
        except Error as error:
            pickle.loads(pickle.dumps(error))


# ---- sqlite ---------------------------------------------------------------------------------------------------------


def sqlite_config(dsn: str, **options: Any) -> SqliteConfig:
    config = parse_dsn(dsn, **options)
    assert isinstance(config, SqliteConfig)
    return config


@pytest.mark.parametrize(
    ("dsn", "path"),
    [
        ("sqlite:///app.db", "app.db"),
        ("sqlite:////var/app.db", "/var/app.db"),
        ("sqlite:///a%3Fb%23c%25.db", "a?b#c%.db"),
        ("sqlite:///with blank.db", "with blank.db"),
        ("sqlite://", None),
        ("sqlite:///", None),
        ("sqlite:///:memory:", None),
    ],
)
def test_sqlite_paths(dsn: str, path: str | None) -> None:
    config = sqlite_config(dsn)
    assert (config.path, config.memory) == (path, path is None)


def test_sqlite_options() -> None:
    config = sqlite_config("sqlite:///a.db?mode=ro&busy_timeout=100&foreign_keys=off&synchronous=normal")
    assert config == SqliteConfig("a.db", False, "ro", 0.1, False, "normal")
    assert sqlite_config("sqlite:///a.db?foreign_keys=off", foreign_keys=True, busy_timeout=250).busy_timeout == 0.25
    assert sqlite_config("sqlite://", database="b.db") == SqliteConfig("b.db", False)


@pytest.mark.parametrize(
    ("dsn", "options", "key"),
    [
        ("sqlite:app.db", {}, "dsn"),
        ("sqlite://app.db", {}, "dsn"),
        ("sqlite:///a.db?nonsense", {}, "dsn"),
        ("sqlite:///a.db?mode=memory", {}, "mode"),
        ("sqlite://?mode=ro", {}, "mode"),
        ("sqlite:///a.db?busy_timeout=-1", {}, "busy_timeout"),
        ("sqlite:///a.db?busy_timeout=1.5", {}, "busy_timeout"),
        ("sqlite:///a.db?synchronous=off", {}, "synchronous"),
        ("sqlite:///a.db", {"foreign_keys": "perhaps"}, "foreign_keys"),
        ("sqlite:///a.db", {"host": "h"}, "host"),
        ("sqlite:///a.db", {"database": "a\0b"}, "database"),
        ("sqlite:///a.db", {"busy_timeout": True}, "busy_timeout"),
    ],
)
def test_sqlite_refusals(dsn: str, options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_dsn(dsn, **options)
    assert caught.value.key == key
