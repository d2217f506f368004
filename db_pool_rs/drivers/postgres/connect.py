"""Opening a session: every host and address in turn, off the event loop, every failure told.

Order and limits are libpq's: hosts as written (or shuffled, `load_balance_hosts`), of each host every address that its
name has, each with `connect_timeout`. Unlike libpq, a failure of any kind moves on to the next host, but a server that
has turned the login down is not asked again at the host's other addresses.

Two rules for authentication are libpq's own, set by `ConnectConfig.default_require_auth` and relaxed here where they go
too far. A server that asks for no password though there is one is accepted in a second attempt (trust, peer, client
certificates), and so is one that wants it in clear if the link turned out to be encrypted; that attempt insists on TLS.
A server that has begun SCRAM and does not prove that it knows the password is never accepted.

What a cancelled or expired call leaves behind is a thread that runs at most until its step of the connection phase (or
the look-up of a name) is done, and then closes the connection. Their number is limited: see
:data:`MOST_GIVEN_UP`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
import socket
from collections.abc import Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, TypeVar

from ... import forks
from ...aio import Expired, offload, until, was_abandoned
from ...conninfo import REQUIRE_AUTH, ConnectConfig, HostSpec
from ...errors import ConnectFailed
from ...errors.conditions import LOGIN_REFUSED, NO_HBA_ENTRY, PERMANENT, TELLING
from .intake import MOST, Intake
from .libpq import (
    CONNECTION_AWAITING_RESPONSE,
    CONNECTION_BAD,
    CONNECTION_OK,
    POLLING_FAILED,
    POLLING_OK,
    POLLING_WRITING,
    Libpq,
    psycopg_libpq,
)
from .watch import wait_ready

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

T = TypeVar("T")

_CLEARTEXT_HINT = "the password would be sent in clear: use sslmode=require, or allow_cleartext_password=true"


async def connect(config: ConnectConfig, *, timeout: float | None = None, libpq: Libpq | None = None) -> PGconn:
    """Open a session; non-blocking, with UTF8 as its encoding, and no notice handler.

    `timeout` limits the whole, in seconds; `config.connect_timeout` each address. ConnectFailed lists one line for each
    address tried; its `sqlstate` is that of the most telling one, and it is `permanent` if every one of them is: a
    login refused (class 28), an unknown database (3D000) or setting (22, 42), a certificate that does not fit, no
    password where one is wanted. A name that does not resolve is not: names come and go with the containers behind.

    Where :data:`.offload.RELEASES_GIL` is false, the errors have no SQLSTATE, and a server can hold the event loop.
    """
    return await _Connector(config, libpq or psycopg_libpq(), timeout).run()


class _Connector:
    """One call of `connect`."""

    def __init__(self, config: ConnectConfig, libpq: Libpq, timeout: float | None) -> None:
        self._config = config
        self._libpq = libpq
        self._clock = asyncio.get_running_loop().time
        self._end = math.inf if timeout is None else self._clock() + timeout
        self._password: str | None = None
        self._failures: list[tuple[str, ConnectAttemptError]] = []
        #: Where there is a server, whatever it said: without SQLSTATE, it was not the kind of session asked for.
        self._reached: list[tuple[HostSpec, str | None]] = []

    async def run(self) -> PGconn:
        """Try everything."""
        if self._config.password_provider is not None:
            from ...conninfo.password import ask_password

            deadline = self._deadline()
            limit = None if deadline is None else deadline - self._clock()
            self._password = await ask_password(self._config.password_provider, limit)
        attrs = self._config.target_session_attrs
        found = await self._try_hosts("standby" if attrs == "prefer-standby" else attrs)
        if found is None and attrs == "prefer-standby":
            found = await self._try_reached("any")
        if found is None:
            raise self._failed()
        return found

    async def _try_hosts(self, attrs: str) -> PGconn | None:
        for host in self._shuffled(self._config.hosts):
            found = await self._try_host(host, attrs)
            if found is not None:
                return found
        return None

    async def _try_reached(self, attrs: str) -> PGconn | None:
        for host, address in self._reached.copy():
            found = await self._try_address(host, address, attrs)
            if found is not None:
                return found
        return None

    async def _try_host(self, host: HostSpec, attrs: str) -> PGconn | None:
        if self._is_over():
            return None
        try:
            addresses = await self._addresses(host)
        except Expired:
            self._failures.append((str(host), ConnectAttemptError("the name was not resolved in time")))
            return None
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a host name"
            self._failures.append((str(host), ConnectAttemptError(f"the name cannot be resolved: {reason}")))
            return None
        for address in self._shuffled(addresses):
            found = await self._try_address(host, address, attrs)
            if found is not None:
                return found
            # The same login would be turned down at the host's other addresses.
            if self._failures[-1][1].is_login_refused:
                break
        return None

    async def _try_address(self, host: HostSpec, address: str | None, attrs: str) -> PGconn | None:
        if self._is_over():
            return None
        started = self._clock()
        deadline = self._deadline()
        try:
            return await self._open(host, address, attrs, deadline)
        except Expired:
            failure = ConnectAttemptError(f"no answer within {round(max(0.0, (deadline or started) - started), 2):g} s")
        except (OSError, self._libpq.error) as error:  # no thread or descriptor to be had
            failure = ConnectAttemptError(str(error))
        except ConnectAttemptError as refusal:
            failure = refusal
            if failure.reached and failure.sqlstate is None:
                self._reached.append((host, address))
        where = str(host) if address in (None, host.host or host.hostaddr) else f"{host} ({address})"
        self._failures.append((where, failure))
        return None

    async def _open(self, host: HostSpec, address: str | None, attrs: str, deadline: float | None) -> PGconn:
        """Open a session; as often as the rules for authentication can be relaxed."""
        config, version = self._config, self._libpq.version()
        rule = ""
        if config.require_auth is None and version >= REQUIRE_AUTH:
            rule = config.default_require_auth(host, address, bool(self._password or host.password))
        replaced = {"target_session_attrs": attrs}
        while True:
            if config.require_auth is None:
                replaced["require_auth"] = rule
            conninfo = config.to_libpq(host, address, password=self._password, libpq_version=version, **replaced)
            try:
                return await open_session(self._libpq, conninfo, deadline)
            except ConnectAttemptError as failure:
                # libpq quotes the rule that was broken, in every language.
                if not rule or f'"{rule}"' not in failure.message or failure.asked:
                    raise
                if "!none" in rule:
                    rule = rule.replace("!none", "").strip(",")
                elif failure.encrypted:
                    rule, replaced["sslmode"] = "", "require"
                else:
                    failure.message += f"; {_CLEARTEXT_HINT}"
                    raise

    async def _addresses(self, host: HostSpec) -> Sequence[str | None]:
        """The addresses to try; None where there is none to give (a unix socket)."""
        if host.is_unix or host.hostaddr is not None:
            return [host.hostaddr]
        try:
            return [str(ipaddress.ip_address(host.host))]
        except ValueError:
            pass
        # Not the loop's own look-up: that uses its executor, whose end would wait for a name server that is silent.
        look_up = offload(lambda: socket.getaddrinfo(host.host, host.port, type=socket.SOCK_STREAM), most=MOST_GIVEN_UP)
        found = await until(look_up, self._deadline())
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def _deadline(self) -> float | None:
        """When to stop with what begins now; None for never."""
        limit = self._config.connect_timeout
        end = min(self._end, math.inf if limit is None else self._clock() + limit)
        return None if end == math.inf else end

    def _is_over(self) -> bool:
        """Whether the time for the whole has passed; not before something was tried."""
        return bool(self._failures) and self._clock() >= self._end

    def _shuffled(self, items: Sequence[T]) -> Sequence[T]:
        return SystemRandom().sample(items, len(items)) if self._config.load_balance_hosts else items

    def _failed(self) -> ConnectFailed:
        failures = [failure for _, failure in self._failures]
        codes = [failure.sqlstate for failure in failures if failure.sqlstate is not None]
        codes.sort(key=lambda code: TELLING.index(code[:2]) if code[:2] in TELLING else len(TELLING))
        return ConnectFailed(
            "could not connect to PostgreSQL",
            [f"{where}: {failure.message}" for where, failure in self._failures],
            sqlstate=codes[0] if codes else None,
            permanent=all(failure.permanent for failure in failures),
        )


# -- one attempt -------------------------------------------------------------------------------------------------------

#: Threads of attempts that were given up but are not over, such as those that compute a hostile server's SCRAM: while
#: so many run, no other attempt begins.
MOST_GIVEN_UP = 16

#: `FATAL:  28P01: ...`: the severity may be translated, the code is not.
_SQLSTATE = re.compile(r"[^:\n]{1,40}:  ([0-9A-Z]{5}): ")
_LOCATION = re.compile(r"\n[^:\n]+:  \w+, \S+\.c:\d+(?=\n|\Z)")
_WHERE = re.compile(r"connection to server [^\n]{0,400}? failed: ")
#: What libpq says where there is no SQLSTATE.
_PERMANENT_TEXTS = (
    "certificate verify failed",
    "does not match host name",
    "root certificate file",
    "server does not support SSL",
    "could not load private key file",
    "could not read certificate file",
    "could not read root certificate file",
    "channel binding required",
    "authentication method requirement",
)

_NOT_CONFORMING = (
    "standard_conforming_strings is off, under which a backslash in a literal means something else: "
    "set it on for the role, or in server_settings"
)


class ConnectAttemptError(Exception):
    """Why an attempt failed.

    `asked`: the server asked for a secret; `encrypted`: over TLS; `reached`: it got as far as the startup message.
    """

    def __init__(
        self, message: str, pgconn: PGconn | None = None, *, reached: bool = False, permanent: bool = False
    ) -> None:
        codes = _SQLSTATE.findall(message)
        self.sqlstate: str | None = codes[-1] if codes else None
        self.asked = pgconn is not None and pgconn.used_password
        self.encrypted = pgconn is not None and pgconn.ssl_in_use
        self.reached = reached
        text = _WHERE.sub("", _LOCATION.sub("", message))
        told = "; ".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
        self.message = told or "the server refused, in a form that libpq does not read"
        self.permanent = permanent or self._is_permanent(pgconn is not None and pgconn.needs_password)
        super().__init__(self.message)

    @property
    def is_login_refused(self) -> bool:
        """Whether the server knows who we are and does not let us in."""
        return self.sqlstate is not None and self.sqlstate.startswith(LOGIN_REFUSED)

    def _is_permanent(self, lacks_password: bool) -> bool:
        if self.sqlstate is not None:
            return self.sqlstate.startswith(PERMANENT)
        return lacks_password or any(text in self.message for text in _PERMANENT_TEXTS)


async def open_session(libpq: Libpq, conninfo: str, deadline: float | None) -> PGconn:
    """A connected, non-blocking PGconn; ConnectAttemptError says why not, Expired that the deadline came first.

    An attempt that is given up, by deadline or cancellation, leaves nothing behind: the connection is closed, at the
    latest when the step that runs on a thread is done.
    """
    pgconn: PGconn = libpq.connect_start(conninfo.encode("utf-8", "surrogateescape"))
    attempt = _Attempt(libpq, pgconn, deadline)
    try:
        await attempt.run()
        _configure(libpq, pgconn)
    except BaseException:
        attempt.close()
        raise
    return pgconn


class _Attempt:
    """A PGconn during its connection phase."""

    def __init__(self, libpq: Libpq, pgconn: PGconn, deadline: float | None) -> None:
        self._libpq = libpq
        self._pgconn = pgconn
        self._deadline = deadline
        self._step: asyncio.Future[int] | None = None
        self._reached = False
        self._intake = Intake()
        forks.hold(self)

    async def run(self) -> None:
        """Drive it to its end."""
        libpq, pgconn = self._libpq, self._pgconn
        if pgconn.status == CONNECTION_BAD:
            raise self._failure()
        libpq.set_verbose(pgconn, True)
        clock = asyncio.get_running_loop().time
        status = POLLING_WRITING
        while status != POLLING_OK:
            # The descriptor may be another one after each step.
            await wait_ready(pgconn.socket, status == POLLING_WRITING, self._deadline)
            with self._intake.counting(pgconn.socket):
                self._step = offload(lambda: libpq.poll(pgconn), pgconn.finish, most=MOST_GIVEN_UP)
                status = await until(self._step, self._deadline)
            if self._intake.is_too_much():
                raise ConnectAttemptError(f"the server sent more than {MOST:,} bytes before the session began")
            if status == POLLING_FAILED or self._is_refused():
                raise self._failure()
            self._reached = self._reached or pgconn.status == CONNECTION_AWAITING_RESPONSE
            # A server that keeps sending keeps the descriptor ready, and timers from ever being first.
            if self._deadline is not None and clock() >= self._deadline:
                raise Expired

    def _is_refused(self) -> bool:
        """Whether libpq goes on without TLS (sslmode prefer) where that would only be a second wrong password."""
        codes = _SQLSTATE.findall(_text(self._pgconn))
        return bool(codes) and codes[-1] != NO_HBA_ENTRY

    def _failure(self) -> ConnectAttemptError:
        return ConnectAttemptError(_text(self._pgconn) or "connection failed", self._pgconn, reached=self._reached)

    def held(self) -> int:
        """The socket, which a child process must not use."""
        try:
            return self._pgconn.socket
        except self._libpq.error:
            return -1

    def leave(self) -> None:
        """A thread may have it in hand that does not exist in the child process: it is left as it is."""

    def close(self) -> None:
        """Close the connection, unless a thread has it in hand and will."""
        if self._step is None or not was_abandoned(self._step):
            self._pgconn.finish()


def _configure(libpq: Libpq, pgconn: PGconn) -> None:
    """From the connection phase to the state that callers expect."""
    if pgconn.status != CONNECTION_OK:
        raise ConnectAttemptError(_text(pgconn) or "connection failed", pgconn)
    encoding = pgconn.parameter_status(b"client_encoding")
    if encoding not in (b"UTF8", b"UNICODE", None):
        raise ConnectAttemptError(
            f"the server insists on client_encoding {encoding.decode(errors='replace')}, UTF8 was asked for"
        )
    if pgconn.parameter_status(b"standard_conforming_strings") == b"off":
        raise ConnectAttemptError(_NOT_CONFORMING, permanent=True)
    libpq.set_verbose(pgconn, False)
    try:
        pgconn.nonblocking = 1
    except libpq.error as error:
        raise ConnectAttemptError(str(error)) from None


def _text(pgconn: PGconn) -> str:
    return pgconn.error_message.decode("utf-8", "replace")
