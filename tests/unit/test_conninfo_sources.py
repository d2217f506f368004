"""Environment, service and password files, their order; and the way back to a connection string for libpq."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import pq

from db_pool_rs.conninfo import ConnectConfig, HostSpec, SslConfig, parse_dsn
from db_pool_rs.conninfo.files import find_password, read_passfile
from db_pool_rs.conninfo.params import PARAMETERS
from db_pool_rs.errors import ConfigError


class Machine:
    """A home folder and an environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {"HOME": str(home), "PGSYSCONFDIR": str(home / "etc")}

    def write(self, name: str, text: str, mode: int = 0o600) -> str:
        path = self.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def parse(self, dsn: str | None = None, **options: Any) -> ConnectConfig:
        config = parse_dsn(dsn, environ=self.environ, **options)
        assert isinstance(config, ConnectConfig)
        return config


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# ---- order ----------------------------------------------------------------------------------------------------------


def test_order_of_the_sources(machine: Machine) -> None:
    machine.write(".pg_service.conf", "[s]\ndbname=service\nuser=service\napplication_name=service\n")
    machine.environ.update(PGDATABASE="env", PGUSER="env", PGAPPNAME="env", PGHOST="env", PGSERVICE="s")
    config = machine.parse("user=dsn dbname=dsn", dbname="keyword")
    assert (config.dbname, config.user, config.application_name, config.hosts[0].host) == (
        "keyword",
        "dsn",
        "service",
        "env",
    )


@pytest.mark.parametrize("name", sorted(name for name, p in PARAMETERS.items() if p.env and name != "service"))
def test_every_variable_counts(machine: Machine, name: str) -> None:
    parameter = PARAMETERS[name]
    assert parameter.env is not None
    machine.environ[parameter.env] = "\0"
    with pytest.raises(ConfigError) as caught:
        machine.parse()
    assert caught.value.key == parameter.env


def test_settings_by_variables(machine: Machine) -> None:
    machine.environ.update(PGTZ="Asia/Tokyo", PGDATESTYLE="default", PGOPTIONS="-c geqo=off")
    config = machine.parse(server_settings={"work_mem": "4MB", "jit": False})
    assert dict(config.server_settings) == {"work_mem": "4MB", "jit": "off", "TimeZone": "Asia/Tokyo"}
    assert config.options == "-c geqo=off"


def test_a_setting_that_libpq_would_overrule_is_refused(machine: Machine) -> None:
    machine.environ["PGTZ"] = "Asia/Tokyo"
    assert dict(machine.parse(server_settings={"timezone": "Asia/Tokyo"}).server_settings) == {"timezone": "Asia/Tokyo"}
    with pytest.raises(ConfigError, match="PGTZ"):
        machine.parse(server_settings={"timezone": "UTC"})


def test_requiressl(machine: Machine) -> None:
    machine.environ["PGREQUIRESSL"] = "1"
    assert machine.parse().ssl.mode == "require"
    assert machine.parse("requiressl=0").ssl.mode == "prefer"
    machine.environ["PGSSLMODE"] = "disable"
    assert machine.parse().ssl.mode == "disable"


def test_empty_hides_what_comes_after(machine: Machine) -> None:
    machine.environ.update(PGHOST="env", PGAPPNAME="env")
    assert machine.parse("host='' application_name=''").hosts[-1].host == "localhost"
    assert machine.parse("application_name='' fallback_application_name=f").application_name == "f"


def test_default_certificates_are_those_that_exist(machine: Machine) -> None:
    assert machine.parse().ssl == SslConfig()
    for name in ("postgresql.crt", "postgresql.key", "root.crt", "root.crl"):
        machine.write(f".postgresql/{name}", "")
    folder = machine.home / ".postgresql"
    ssl = machine.parse("sslmode=verify-full").ssl
    assert (ssl.cert, ssl.key) == (f"{folder}/postgresql.crt", f"{folder}/postgresql.key")
    assert (ssl.rootcert, ssl.crl) == (f"{folder}/root.crt", f"{folder}/root.crl")
    assert machine.parse("sslmode=disable").ssl.rootcert is None


# ---- service --------------------------------------------------------------------------------------------------------

SERVICE = """
# comment
  [other]
host=wrong
[mine]
 host=h
# user=commented
user=u v
user=second
dbname= d
port=1

[mine]
application_name=late
"""


def test_a_service_file_may_say_database_and_username(machine: Machine) -> None:
    machine.write(".pg_service.conf", "[s]\ndatabase=d\nusername=u\n")
    config = machine.parse("service=s")
    assert (config.dbname, config.user) == ("d", "u")
    machine.write(".pg_service.conf", "[s]\ndatabase=d\ndbname=e\n")
    with pytest.raises(ConfigError, match="only one of"):
        machine.parse("service=s")


def test_service_file_as_libpq_reads_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    path = machine.write("services", SERVICE)
    monkeypatch.setenv("PGSERVICEFILE", path)
    connection = pq.PGconn.connect_start(b"service=mine hostaddr=127.0.0.1")
    expected = {option.keyword: (option.val or b"").decode() for option in connection.info}
    connection.finish()
    machine.environ["PGSERVICEFILE"] = path
    config = machine.parse("service=mine")
    assert config.user == expected[b"user"] == "u v"
    assert config.dbname == expected[b"dbname"] == " d"
    assert config.hosts[0] == HostSpec(expected[b"host"], 1)
    assert config.application_name == expected[b"application_name"] == ""


def test_system_service_file_is_the_second(machine: Machine) -> None:
    machine.write(".pg_service.conf", "[one]\nhost=own\n")
    machine.write("etc/pg_service.conf", "[one]\nhost=system\n[two]\nhost=system\n")
    assert machine.parse("service=one").hosts[0].host == "own"
    assert machine.parse("service=two").hosts[0].host == "system"


@pytest.mark.parametrize("line", ["no equals s3cret", "service=x", "ldap://s3cret", "nonsense=s3cret", "port=s3cret"])
def test_wrong_service_lines(machine: Machine, line: str) -> None:
    machine.write(".pg_service.conf", f"[s]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        machine.parse("service=s")
    assert "s3cret" not in str(caught.value)


# ---- password file --------------------------------------------------------------------------------------------------

FIELD = st.text(st.sampled_from("ab*:\\# "), max_size=4)
LINES = st.lists(st.lists(FIELD, max_size=6).map(":".join), max_size=4)


@given(lines=LINES, host=st.text("ab*:# \\", min_size=1, max_size=3), user=st.text("ab*:\\", min_size=1, max_size=2))
@example(lines=["#a:*:*:*:no", "a\\:b:*:*:a:p\\:q\\\\r:rest"], host="a:b", user="a")
@example(lines=["\\*:*:*:*:no", "*:*:*:*:yes"], host="a", user="a")
@example(lines=["a:5432:d:a", "a:5432:d:a:", "a:5432:d:a:x"], host="a", user="a")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_password_file_as_libpq_reads_it(tmp_path: Path, lines: list[str], host: str, user: str) -> None:
    path = tmp_path / "pgpass"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    escaped = host.replace("\\", "\\\\"), user.replace("\\", "\\\\")
    info = f"host='{escaped[0]}' user='{escaped[1]}' dbname=d port=5432 passfile='{path}' hostaddr=127.0.0.1"
    connection = pq.PGconn.connect_start(info.encode())
    expected = connection.password.decode() or None
    connection.finish()
    assert find_password(read_passfile(str(path)), host, 5432, "d", user) == expected


def test_passwords_are_found_host_by_host(machine: Machine) -> None:
    machine.write(".pgpass", "a:1:*:*:one\nlocalhost:*:*:*:local\n10.0.0.1:*:*:*:address\n")
    config = machine.parse("host=a,b,/run/postgresql,/else, hostaddr=,,,,10.0.0.1 port=1")
    assert [h.password for h in config.hosts] == ["one", None, "local", None, "address"]
    assert {h.password for h in machine.parse("host=a,b port=1 password=given").hosts} == {"given"}


def test_passfile_parameter_and_variable(machine: Machine) -> None:
    machine.environ["PGPASSFILE"] = machine.write("one", "*:*:*:*:one\n")
    assert machine.parse("host=h").hosts[0].password == "one"
    assert machine.parse("host=h", passfile=machine.write("two", "*:*:*:*:two\n")).hosts[0].password == "two"


def test_password_files_that_others_can_read_are_not_used(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.write(".pgpass", "*:*:*:*:s3cret\n", mode=0o640)
    assert machine.parse("host=h").hosts[0].password is None
    assert "0600" in caplog.text
    assert "s3cret" not in caplog.text
    assert machine.parse("host=h", passfile=str(machine.home)).hosts[0].password is None
    assert "plain file" in caplog.text


# ---- for libpq ------------------------------------------------------------------------------------------------------


def read(conninfo: str) -> dict[str, str]:
    return {o.keyword.decode(): o.val.decode() for o in pq.Conninfo.parse(conninfo.encode()) if o.val is not None}


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(user=TEXT, dbname=TEXT, password=TEXT, name=TEXT, setting=TEXT)
def test_libpq_reads_what_was_meant(user: str, dbname: str, password: str, name: str, setting: str) -> None:
    config = parse_dsn(
        "host=h",
        environ={},
        user=user,
        dbname=dbname,
        password=password,
        application_name=name,
        server_settings={"my.setting": setting},
    )
    assert isinstance(config, ConnectConfig)
    values = read(config.to_libpq(config.hosts[0], "10.1.2.3", libpq_version=pq.version()))
    assert (values["user"], values["dbname"], values["password"]) == (user, dbname, password)
    assert (values["application_name"], values["host"], values["hostaddr"]) == (name, "h", "10.1.2.3")
    assert split_options(values["options"]) == ["-c", f"my.setting={setting}"]


def split_options(text: str) -> list[str]:
    """pg_split_opts() of the server."""
    words: list[str] = [""]
    escaped = False
    for character in text:
        if escaped or character not in " \t\n\v\f\r\\":
            words[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        elif words[-1]:
            words.append("")
    return words


def test_libpq_takes_nothing_from_the_environment(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for parameter in PARAMETERS.values():
        if parameter.env and parameter.name != "service":
            monkeypatch.setenv(parameter.env, "from-environment")
    machine.environ["HOME"] = "/nonexistent"
    config = machine.parse("host=h user=u dbname=d")
    connection = pq.PGconn.connect_start(
        config.to_libpq(config.hosts[0], "127.0.0.1", libpq_version=pq.version()).encode()
    )
    try:
        values = {option.keyword.decode(): (option.val or b"").decode() for option in connection.info}
        assert "from-environment" not in values.values()
        assert connection.status != pq.ConnStatus.BAD, connection.get_error_message()
    finally:
        connection.finish()


def test_old_libpq_is_not_told_what_it_does_not_know() -> None:
    config = parse_dsn("host=h", environ={})
    assert isinstance(config, ConnectConfig)
    assert "require_auth" not in config.to_libpq(config.hosts[0], libpq_version=150000)
    config = parse_dsn("host=h require_auth=scram-sha-256", environ={})
    assert isinstance(config, ConnectConfig)
    with pytest.raises(ConfigError, match="libpq before 16"):
        config.to_libpq(config.hosts[0], libpq_version=150000)


@pytest.mark.parametrize(
    ("dsn", "address", "password", "rule"),
    [
        ("host=h", "10.0.0.1", False, "!password"),
        ("host=h", "10.0.0.1", True, "!none,!password"),
        ("host=h", "127.0.0.1", True, "!none"),
        ("host=localhost", None, False, ""),
        ("host=::1", None, False, ""),
        ("host=/tmp", None, True, ""),
        ("host=h sslmode=require", "10.0.0.1", False, ""),
        ("host=h sslmode=disable", "10.0.0.1", False, "!password"),
        ("host=h allow_cleartext_password=true", "10.0.0.1", False, ""),
        ("host=127.0.0.1.example.com", None, False, "!password"),
    ],
)
def test_default_rules_for_authentication(dsn: str, address: str | None, password: bool, rule: str) -> None:
    config = parse_dsn(dsn, environ={})
    assert isinstance(config, ConnectConfig)
    assert config.default_require_auth(config.hosts[0], address, password) == rule


def test_sources_are_read_from_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "from-environment")
    config = parse_dsn()
    assert isinstance(config, ConnectConfig)
    assert config.hosts[0].host == "from-environment"
    assert os.environ["PGHOST"] == "from-environment"
