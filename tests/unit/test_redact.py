"""No secret in any message: `redact` knows every notation of a password, and the errors use it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from db_pool_rs.errors import (
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    Error,
    InterfaceError,
    ModeUnavailableError,
    PoolTimeout,
    redact,
)

passwords = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
words = st.text("abcxyz0123456789_.", min_size=1)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


def unquoted(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\'" or char.isspace() else char for char in text)


@given(words, passwords, words)
@example("u", "p@ss:w/o?r#d", "h")
def test_redact_userinfo(user: str, password: str, host: str) -> None:
    dsn = f"postgresql://{user}:{quote(password, safe='')}@{host}:5432/db?sslmode=require"
    assert redact(dsn) == f"postgresql://{user}:***@{host}:5432/db?sslmode=require"


@given(st.text("ab@:/?#&=%' ", min_size=1).filter(lambda password: "://" not in password))
def test_redact_userinfo_that_should_have_been_escaped(password: str) -> None:
    shown = redact(f"postgresql://user:{password}SECRET{password}@host/db")
    assert "SECRET" not in shown
    assert shown.endswith("@host/db")


@pytest.mark.parametrize("name", ["password", "sslpassword", "PASSWORD", "pass%77ord", "oauth_client_secret"])
@given(password=passwords)
def test_redact_url_parameter(name: str, password: str) -> None:
    dsn = f"postgresql://host/db?a=1&{name}={quote(password)}&sslmode=require"
    assert redact(dsn) == f"postgresql://host/db?a=1&{name}=***&sslmode=require"


@pytest.mark.parametrize("name", ["password", "sslpassword", "Password"])
@given(password=passwords, equals=st.sampled_from(["=", " = ", "= ", " ="]), bare=st.booleans())
def test_redact_key_and_value(name: str, password: str, equals: str, bare: bool) -> None:
    assume(not (bare and password.startswith('"')))  # taken for a quote, as it would be in other notations
    value = unquoted(password) if bare else quoted(password)
    assert redact(f"host=h {name}{equals}{value} user=u") == f"host=h {name}{equals}*** user=u"


def test_redact_a_quote_that_never_ends() -> None:
    assert redact("host=h password='a b c") == "host=h password=***"
    assert redact(r"host=h password='a b c\'") == "host=h password=***"
    assert redact("password='abc\\") == "password=***"


@given(passwords)
def test_redact_a_dict_of_options(password: str) -> None:
    options = {"host": "h", "password": password, "port": 5432}
    assert redact(repr(options)) == "{'host': 'h', 'password': ***, 'port': 5432}"
    assert redact(json.dumps(options)) == '{"host": "h", "password": ***, "port": 5432}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host=h user=u dbname=d",
        "postgresql://user@host:5432/db?application_name=a",
        "sqlite:///path/to/file.db",
        'password authentication failed for user "u"',
        "passfile=/home/u/.pgpass",
        "cannot reach postgresql://host:5432/db: ask admin@example.com",
    ],
)
def test_redact_leaves_what_is_no_secret(text: str) -> None:
    assert redact(text) == text


@given(st.text())
def test_redact_is_idempotent(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("dsn", "postgresql://u:hunter2@h/db", "a URL"),
        ConfigError("main.password", "hunter2", "a text"),
        ConfigError("password", b"hunter2", "a text"),
        ConfigError("pools", {"dsn": "password='hunter2'"}, "a name"),
        ConnectFailed("cannot connect with password=hunter2", ["postgresql://u:hunter2@h/db: refused"]),
        ConnectionLost("lost postgresql://u:hunter2@h/db", sent=True),
        PoolTimeout("m", ["task-1 connecting to postgresql://u:hunter2@h/db"]),
        InterfaceError("bad: password=hunter2"),
        ModeUnavailableError("full", "postgresql://u:hunter2@h", "x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_message_carries_a_password(error: Error) -> None:
    assert "hunter2" not in f"{error} {error!r} {error.args}"
    if not isinstance(error, ModeUnavailableError) and error.__dict__.get("key") != "pools":
        assert "hunter2" not in repr(vars(error))


def test_redact_a_password_that_is_a_long_token() -> None:
    assert redact(f"postgresql://u:{'%2B' * 5000}@h/db") == "postgresql://u:***@h/db"
    assert redact(f"host=h password={'x' * 5000} user=u") == "host=h password=*** user=u"


def test_redact_more_than_one() -> None:
    assert (
        redact("postgresql://u:a@h1/db, postgresql://u:b@h2/db") == "postgresql://u:***@h1/db, postgresql://u:***@h2/db"
    )
    assert redact("password=a sslpassword=b c=d") == "password=*** sslpassword=*** c=d"


def test_an_example_of_what_is_allowed_is_shown() -> None:
    error = ConfigError("dsn", "http://host:80/db", "postgresql://user:password@host/db")
    assert str(error) == "dsn: 'http://host:80/db' is not allowed; allowed: postgresql://user:password@host/db"
