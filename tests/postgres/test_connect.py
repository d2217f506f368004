"""Opening sessions on a real server: logins, hosts, failures and their causes."""

from __future__ import annotations

import _thread
import asyncio
import socket
import threading
from collections.abc import Callable
from random import SystemRandom
from typing import Any

import pytest
from psycopg import pq

from db_pool_rs.conninfo import parse_dsn
from db_pool_rs.drivers.postgres import intake
from db_pool_rs.drivers.postgres.connect import connect
from db_pool_rs.errors import ConfigError
from tests.plugins.server import PostgresServer, free_port
from tests.postgres.sessions import Config, ask, failure, session

# ---- success --------------------------------------------------------------------------------------------------------


async def test_a_session_as_callers_expect_it(config: Config) -> None:
    settings = {"work_mem": "3MB", "my.text": "it's \\ a\ttext"}
    async with session(
        config(application_name="me & you", options="-c jit=off", server_settings=settings)
    ) as connection:
        assert connection.nonblocking == 1
        assert connection.status == pq.ConnStatus.OK
        assert connection.notice_handler is None
        assert connection.parameter_status(b"client_encoding") == b"UTF8"
        assert ask(connection, "SELECT current_setting('application_name')") == "me & you"
        assert ask(connection, "SELECT current_setting('jit') || current_setting('work_mem')") == "off3MB"
        assert ask(connection, "SELECT current_setting('my.text')") == settings["my.text"]
        # Errors have their usual form again.
        assert "42P01" not in connection.exec_(b"TABLE nowhere").get_error_message()


async def test_unix_socket(config: Config, login_server: PostgresServer) -> None:
    async with session(config(host=str(login_server.folder), password="s3cret")) as connection:
        assert connection.host == str(login_server.folder).encode()


@pytest.mark.parametrize("user", ["scram_user", "md5_user", "clear_user", "plain_user", "postgres"])
@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer"])
async def test_every_login_with_a_password(config: Config, user: str, sslmode: str) -> None:
    async with session(config(user=user, password="s3cret", sslmode=sslmode)) as connection:
        assert ask(connection, "SELECT current_user") == user


async def test_password_callables(config: Config) -> None:
    async def slowly() -> str:
        await asyncio.sleep(0)
        return "s3cret"

    for provider in (slowly, lambda: "s3cret"):
        async with session(config(user="scram_user", password=provider)):
            pass


async def test_password_callables_that_fail(config: Config) -> None:
    def raising() -> str:
        raise ValueError("s3cret")

    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    assert "ValueError" in str(await failure(config(user="scram_user", password=raising)))
    assert "in time" in str(await failure(config(user="scram_user", password=never), timeout=0.05))
    assert "in time" in str(await failure(config(user="scram_user", password=never, connect_timeout=0.05)))
    with pytest.raises(ConfigError):
        await connect(config(user="scram_user", password=lambda: b"s3cret"))


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sqlstate", "permanent"),
    [
        ({"user": "scram_user", "password": "wrong"}, "28P01", True),
        ({"user": "scram_user"}, None, True),
        ({"user": "nobody"}, "28000", True),
        ({"dbname": "nowhere"}, "3D000", True),
        ({"server_settings": {"nonsense": "1"}}, "42704", True),
        ({"server_settings": {"work_mem": "lots"}}, "22023", True),
        ({"user": "limited", "password": "s3cret"}, "53300", False),
        ({"target_session_attrs": "standby"}, None, False),
        ({"user": "read_only", "target_session_attrs": "read-write"}, None, False),
        ({"host": "127.0.0.1,localhost", "hostaddr": "127.0.0.1,127.0.0.1", "dbname": "nowhere"}, "3D000", True),
    ],
)
async def test_failures_tell_their_cause(
    config: Config, options: dict[str, Any], sqlstate: str | None, permanent: bool
) -> None:
    error = await failure(config(**options))
    assert (error.sqlstate, error.permanent) == (sqlstate, permanent)
    assert error.safe_to_retry is not permanent
    assert len(error.attempts) == len(config(**options).hosts)
    assert all("\n" not in attempt and "LOCATION" not in attempt for attempt in error.attempts)
    assert (sqlstate or "") in error.attempts[0]


@pytest.mark.parametrize("sslmode", ["disable", "prefer", "require"])
async def test_a_wrong_password_is_tried_once(config: Config, login_server: PostgresServer, sslmode: str) -> None:
    """libpq by itself would try again without TLS; a server may lock the account for it."""
    before = login_server.log.read_text().count("password authentication failed")
    error = await failure(config(user="scram_user", password="wrong", sslmode=sslmode))
    assert error.sqlstate == "28P01"
    assert login_server.log.read_text().count("password authentication failed") == before + 1


async def test_no_server_listens(config: Config) -> None:
    error = await failure(config(port=free_port()))
    assert (error.sqlstate, error.permanent) == (None, False)
    assert "refused" in str(error)
    error = await failure(config(host="/nonexistent"))
    assert "No such file" in str(error)


async def test_every_host_is_tried_and_told(config: Config, login_server: PostgresServer) -> None:
    closed = free_port()
    hosts = {"host": "127.0.0.1,/nonexistent,localhost", "port": f"{closed},5432,{login_server.port}"}
    async with session(config(**hosts)) as connection:
        assert connection.port == str(login_server.port).encode()
    error = await failure(config(**hosts, dbname="nowhere"))
    assert len(error.attempts) >= 3
    assert error.attempts[0].startswith(f"127.0.0.1:{closed}: ")
    assert error.attempts[1].startswith("/nonexistent:5432: ")
    assert error.attempts[-1].startswith(f"localhost:{login_server.port} (127.0.0.1): ")
    assert (error.sqlstate, error.permanent) == ("3D000", False)  # the first host may come back


class Names:
    """What the name service says."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]


async def test_every_address_of_a_name_is_tried(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names("127.0.0.2", "127.0.0.1", "127.0.0.1"))
    async with session(config(host="db.test")) as connection:
        assert (connection.host, connection.hostaddr) == (b"db.test", b"127.0.0.1")
    error = await failure(config(host="db.test", dbname="nowhere"))
    assert [attempt.split(": ")[0].split()[-1] for attempt in error.attempts] == ["(127.0.0.2)", "(127.0.0.1)"]


async def test_a_refused_login_is_not_repeated_at_other_addresses(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names("127.0.0.1", "127.0.0.2"))
    error = await failure(config(host="db.test", user="scram_user", password="wrong"))
    assert len(error.attempts) == 1


async def test_load_balancing_shuffles_hosts_and_addresses(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names("127.0.0.2", "127.0.0.3"))
    monkeypatch.setattr(SystemRandom, "sample", lambda self, items, _: list(items)[::-1])
    error = await failure(config(host="one.test,two.test", load_balance_hosts="random"))
    where = [attempt.split(":")[0] + attempt.split(": ")[0].split()[-1] for attempt in error.attempts]
    assert where == ["two.test(127.0.0.3)", "two.test(127.0.0.2)", "one.test(127.0.0.3)", "one.test(127.0.0.2)"]


async def test_a_silent_name_service_holds_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(10) and [])
    try:
        error = await failure(config(host="db.test", connect_timeout=0.05))
        assert (error.permanent, "not resolved in time" in str(error)) == (False, True)
    finally:
        answer.set()


async def test_no_thread_to_be_had(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", exhausted)
    for host in ("db.test", "127.0.0.1"):
        error = await failure(config(host=host))
        assert (error.permanent, "no thread can be started" in str(error)) == (False, True)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".test"])
async def test_names_that_do_not_exist_may_come(config: Config, host: str) -> None:
    error = await failure(config(host=host))
    assert (error.permanent, "cannot be resolved" in str(error)) == (False, True)


@pytest.mark.parametrize(
    ("user", "attrs"),
    [("read_only", "read-only"), ("postgres", "read-write"), ("read_only", "primary"), ("postgres", "prefer-standby")],
)
async def test_target_session_attrs(config: Config, user: str, attrs: str) -> None:
    async with session(config(user=user, target_session_attrs=attrs)) as connection:
        assert ask(connection, "SELECT current_user") == user


async def test_the_second_host_has_the_session_asked_for(
    config: Config, login_server: PostgresServer, pg_dsn: str
) -> None:
    ports = f"{login_server.port},{parse_dsn(pg_dsn).hosts[0].port}"  # type: ignore[union-attr]
    login_server.sql("CREATE DATABASE reports")
    login_server.sql("ALTER DATABASE reports SET default_transaction_read_only = on")
    wanted = config(host="127.0.0.1,127.0.0.1", port=ports, dbname="reports", target_session_attrs="read-write")
    error = await failure(wanted)
    assert len(error.attempts) == 2
    assert error.sqlstate == "3D000"  # of the second; the first is there, but only to be read


@pytest.mark.parametrize("count", [intake._waiting, intake._peeked])
def test_what_has_arrived_is_counted_and_left_there(count: Callable[[socket.socket], int]) -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        assert count(here) == 0
        there.send(b"hello")
        assert count(here) == 5
        assert here.recv(10) == b"hello"
        there.close()
        assert count(here) == 0
