"""Two modes compared on real databases: equal is equal, a difference is found, nothing is left behind."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.config import DeploymentConfig, load_config
from db_pool_rs.errors import ConfigError
from db_pool_rs.modes import MODES, unavailable
from db_pool_rs.tools import verify_migration
from db_pool_rs.tools.migration.answers import first_difference, seen
from db_pool_rs.tools.migration.battery import compare
from db_pool_rs.tools.migration.settings import COUNTERPARTS, apply_changes, changes, migrated, undo
from db_pool_rs.tools.migration.sqlitecopy import without_side_files
from tests.plugins.server import PostgresServer

OTHERS = [mode for mode in MODES if mode != "simple"]
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'db_pool%'"


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest) -> str:
    """Each mode that one can move to."""
    if reason := unavailable(request.param, "postgresql"):
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture(params=[("simple", "balanced"), ("balanced", "full"), ("simple", "full")], ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each step up, and both at once."""
    before, after = request.param
    for mode in (before, after):
        if reason := unavailable(mode, "postgresql"):
            pytest.skip(reason)
    return before, after


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder without settings from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "DB_POOL_CONFIG", "DB_POOL_MODE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


Verify = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verify(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """The tool: exit code, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = verify_migration.main([*arguments, "--no-progress"])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def shop(pg_database: str, pg_server: PostgresServer) -> str:
    """A database with tables of a user's own types, one that cannot be read into Python, and a sequence."""
    for text in (
        "CREATE TYPE mood AS ENUM ('sad', 'glad')",
        'CREATE SCHEMA "a b"',
        'CREATE TABLE "a b"."People" (id serial PRIMARY KEY, m mood, at timestamptz, tags text[])',
        "INSERT INTO \"a b\".\"People\" (m, at, tags) SELECT 'glad', now(), '{a}' FROM generate_series(1, 300)",
        "CREATE TABLE distant (at date)",
        "INSERT INTO distant VALUES ('4000-01-01 BC')",
        'CREATE VIEW harmful AS SELECT nextval(\'"a b"."People_id_seq"\')',
    ):
        pg_server.sql(text, pg_database.rpartition("/")[2])
    return pg_database


def test_modes_agree_and_nothing_is_written(verify: Verify, other: str, shop: str, pg_server: PostgresServer) -> None:
    name = shop.rpartition("/")[2]
    state = "SELECT (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables)::text, last_value::text "
    before = pg_server.sql(f'{state} FROM "a b"."People_id_seq"', name)
    code, out, err = verify("--to", other, "--dsn", shop)
    assert (code, err) == (0, "")
    assert "read-only" in out
    assert "nothing differs" in out
    assert "writing" not in out.replace("read-only", "")
    assert "left out: your tables: public.distant: " in out
    assert "  your tables      1 equal" in out
    assert f"deployment.mode: auto -> {other}" in out
    assert pg_server.sql(f'{state} FROM "a b"."People_id_seq"', name) == before
    assert pg_server.sql(SCHEMAS, name) == []


def test_with_write_scratch_schemas_come_and_go(
    verify: Verify, way: tuple[str, str], pg_database: str, pg_server: PostgresServer
) -> None:
    code, out, _ = verify("--from", way[0], "--to", way[1], "--dsn", pg_database, "--write")
    assert code == 0, out
    assert "  writing          8 equal" in out
    assert pg_server.sql(SCHEMAS, pg_database.rpartition("/")[2]) == []


def test_a_user_who_may_not_write_is_told_so(verify: Verify, other: str, pg_database: str) -> None:
    read_only = f"{pg_database}{'&' if '?' in pg_database else '?'}options=-c%20default_transaction_read_only%3Don"
    code, _, err = verify("--to", other, "--dsn", read_only, "--write")
    assert code == 1
    assert "25006" in err


def test_sqlite_files(verify: Verify, other: str, elsewhere: Path) -> None:
    file = elsewhere / "app.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute('CREATE TABLE "my ""table" (id integer PRIMARY KEY, v)')
        connection.execute('INSERT INTO "my ""table" VALUES (1, x\'00\')')
        connection.commit()
    held = file.read_bytes()
    code, out, err = verify("--to", other, "--dsn", f"sqlite:///{file}")
    assert (code, err) == (0, ""), out
    assert file.read_bytes() == held
    code, out, err = verify("--to", other, "--dsn", f"sqlite:///{file}", "--write")
    assert (code, err) == (0, ""), out
    assert f"on a copy of sqlite:///{file}, reading and writing" in out
    assert file.read_bytes() == held


def test_a_sqlite_file_that_cannot_be_read(
    verify: Verify, other: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = elsewhere / "app.db"
    code, _, err = verify("--to", other, "--dsn", f"sqlite:///{file}", "--write")
    assert (code, "app.db: it does not exist" in err) == (1, True), err
    assert list(elsewhere.iterdir()) == []
    file.write_bytes(b"no database " * 100)
    code, _, err = verify("--to", other, "--dsn", f"sqlite:///{file}")
    assert (code, "app.db: file is not a database" in err) == (1, True), err
    file.unlink()
    monkeypatch.setattr("db_pool_rs.tools.migration.sqlitecopy.PATIENCE", 0.0)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (v)")
        connection.execute("BEGIN EXCLUSIVE")
        code, _, err = verify("--to", other, "--dsn", f"sqlite:///{file}")
    assert (code, "app.db: database is locked" in err) == (1, True), err


@pytest.fixture
def wal(elsewhere: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to a database in WAL mode, elsewhere/app.db."""
    with closing(sqlite3.connect(elsewhere / "app.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (v)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        yield connection


def test_a_database_in_wal_mode_is_left_as_it_was(
    verify: Verify, other: str, elsewhere: Path, wal: sqlite3.Connection
) -> None:
    wal.close()
    file = elsewhere / "app.db"
    held, changed = file.read_bytes(), file.stat().st_mtime_ns
    code, out, err = verify("--to", other, "--dsn", f"sqlite:///{file}")
    assert (code, err) == (0, ""), out
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (held, changed)
    assert [path.name for path in elsewhere.iterdir()] == ["app.db"]


def test_a_wal_that_is_there_stays(verify: Verify, other: str, elsewhere: Path, wal: sqlite3.Connection) -> None:
    """It may hold what a program that crashed has committed: that belongs to its next start, not to us."""
    for path in list(elsewhere.iterdir()):
        shutil.copy(path, elsewhere / path.name.replace("app", "crashed"))
    file, frames = elsewhere / "crashed.db", elsewhere / "crashed.db-wal"
    held = file.read_bytes(), frames.read_bytes()
    code, out, err = verify("--to", other, "--dsn", f"sqlite:///{file}")
    assert (code, err) == (0, ""), out
    assert held[1]
    assert (file.read_bytes(), frames.read_bytes()) == held


def test_a_program_that_came_meanwhile_keeps_its_wal(elsewhere: Path, wal: sqlite3.Connection) -> None:
    wal.close()
    file = elsewhere / "app.db"
    with closing(sqlite3.connect(file)) as writer:
        with without_side_files(file):
            writer.execute("INSERT INTO t VALUES (2)")
            writer.commit()
        assert (elsewhere / "app.db-wal").stat().st_size > 0
        writer.execute("INSERT INTO t VALUES (3)")
        writer.commit()
    with closing(sqlite3.connect(file)) as reader:
        assert reader.execute("SELECT v FROM t").fetchall() == [(1,), (2,), (3,)]


def test_every_pool_of_the_file_is_asked(verify: Verify, other: str, elsewhere: Path) -> None:
    (elsewhere / "config.yaml").write_text("pools:\n  one: {dsn: 'sqlite:///1.db'}\n  two: {dsn: 'sqlite:///2.db'}\n")
    for name in ("1.db", "2.db"):
        sqlite3.connect(elsewhere / name).close()
        (elsewhere / name).touch()
    code, out, _ = verify("--to", other)
    assert code == 0
    assert [word in out for word in ("the pool one", "the pool two")] == [True, True]
    code, out, _ = verify("--to", other, "--pool", "two")
    assert [word in out for word in ("the pool one", "the pool two")] == [False, True]
    assert "there is no pool three; known: one, two" in verify("--to", other, "--pool", "three")[2]


class Falsifying:
    """A pool that sends another text in place of one, and otherwise is the pool that it wraps."""

    def __init__(self, pool: Any, instead: dict[str, str]) -> None:
        self._pool = pool
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def fetch(self, sql: str, *args: Any, timeout: float | None = None) -> Any:
        return await self._pool.fetch(self._instead.get(sql, sql), *args, timeout=timeout)


LIES = {
    "a value": ("SELECT $1::int8 AS value", "SELECT $1::int8 + 1 AS value", "parameters", "int 7", "int 8"),
    "a type": ("SELECT $1::numeric AS value", "SELECT $1::numeric::text AS value", "parameters", "Decimal", "str '"),
    "a name": ("SELECT $1::uuid AS value", 'SELECT $1::uuid AS "Value"', "parameters", "value", "Value"),
    "a position": ("SELECT no_such_column", "SELECT  no_such_column", "errors", "8", "9"),
    "a code": ("SELECT 'x'::int", "SELECT 1 / 0", "errors", "22P02", "22012"),
    "no error": ("SELECT 1; SELECT 2", "SELECT 1", "errors", "InterfaceError", "?column?"),
    "an error": ("SELECT $1::bytea AS value", "SELECT $1::bytea / 2", "parameters", "bytes", "42883"),
}


async def test_differences_are_found_and_nothing_else(pg_database: str) -> None:
    async with create_pool(pg_database, mode="simple", max_size=3) as pool:
        outcome = await compare(pool, Falsifying(pool, {sql: instead for sql, instead, *_ in LIES.values()}))
    for sql, _, area, honest, false in LIES.values():
        found = [item for item in outcome.different if item.name.startswith(sql) and item.area == area]
        assert any(honest in item.before and false in item.after for item in found), (sql, found)
    assert all(item.name.startswith(tuple(sql for sql, *_ in LIES.values())) for item in outcome.different)


def test_a_difference_fails_the_command(
    verify: Verify, other: str, pg_database: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = elsewhere / "config.yaml"
    file.write_text("deployment: {mode: simple}\n")

    async def lying(before: Any, after: Any, **options: Any) -> Any:
        return await compare(before, Falsifying(after, {LIES["a value"][0]: LIES["a value"][1]}), **options)

    monkeypatch.setattr(verify_migration, "compare", lying)
    code, out, _ = verify("--to", other, "--dsn", pg_database, "--apply")
    assert code == 1
    assert "parameters      52 equal   2 different" in out
    assert "different: parameters: SELECT $1::int8 AS value <- 7 (item 1, item 1, value)" in out
    assert "int 8" in out
    assert "2 of " in out
    assert file.read_text() == "deployment: {mode: simple}\n"
    assert [path.name for path in elsewhere.iterdir()] == ["config.yaml"]


CONFIGURED = """\
# ours
deployment:
  mode: {before}  # for now
{key[0]}:
  {key[1]}: 16
pools:
  a:
    dsn: sqlite:///a.db
"""


def test_apply_and_undo(verify: Verify, way: tuple[str, str], elsewhere: Path) -> None:
    before, after = way
    (elsewhere / "a.db").touch()
    file = elsewhere / "ours.yaml"
    text = CONFIGURED.format(before=before, key=COUNTERPARTS[0][before].split("."))
    file.write_text(text)
    file.chmod(0o640)
    code, out, _ = verify("--to", after, "--apply", "--config", str(file))
    assert code == 0
    assert f"{before} and {after} on the pool a, " in out, "what comes before is what the file says"
    assert f"{COUNTERPARTS[0][before]}: 16 -> {COUNTERPARTS[0][after]}: 16" in out
    assert "ours.yaml is changed, ours.yaml.bak is what it was" in out
    config = load_config(file)
    section, key = COUNTERPARTS[0][after].split(".")
    assert (config.mode, getattr(getattr(config, section), key)) == (after, 16)
    assert f"# ours\ndeployment:\n  mode: {after}  # for now\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o640
    assert (elsewhere / "ours.yaml.bak").read_text() == text
    code, _, err = verify("--undo", "--config", str(file))
    assert (code, file.read_text()) == (0, text)
    assert "ours.yaml.bak is used up" in err
    assert verify("--undo", "--config", str(file))[0] == 1


def test_backups_are_a_stack(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("deployment: {mode: simple}\n")
    for before, after in (("simple", "balanced"), ("balanced", "full")):
        apply_changes(file, changes(load_config(file), before, after))
    assert load_config(file).mode == "full"
    assert undo(file).name == "config.yaml.bak.2"
    assert load_config(file).mode == "balanced"
    assert undo(file).name == "config.yaml.bak"
    assert load_config(file).mode == "simple"
    with pytest.raises(ConfigError, match=r"config\.yaml\.bak"):
        undo(file)


def test_a_file_that_cannot_be_changed_stays(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("deployment: null\n")
    with pytest.raises(ConfigError):
        apply_changes(file, changes(load_config(file), "simple", "balanced"))
    assert file.read_text() == "deployment: null\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def config(**sections: Any) -> DeploymentConfig:
    return load_config({"deployment": {"mode": "simple"}, **sections})


@pytest.mark.parametrize(
    ("deployment", "way", "wanted"),
    [
        (config(), ("simple", "balanced"), []),
        (config(simple={"thread_pool_size": 9}), ("simple", "balanced"), [("balanced.python_workers", 9)]),
        (config(simple={"thread_pool_size": 9}), ("simple", "full"), [("full.max_blocking_threads", 9)]),
        (config(balanced={"native_workers": 3}), ("balanced", "full"), [("full.tokio_threads", 3)]),
        (config(full={"max_blocking_threads": 7}), ("full", "simple"), [("simple.thread_pool_size", 7)]),
        (
            config(simple={"thread_pool_size": 9}, balanced={"python_workers": 2}),
            ("simple", "balanced"),
            [("balanced.python_workers", 2)],
        ),
    ],
)
def test_what_the_keys_become(deployment: DeploymentConfig, way: tuple[str, str], wanted: list[Any]) -> None:
    made = changes(deployment, *way)
    assert [(change.new_key, change.new) for change in made if change.new_key != "deployment.mode"] == wanted
    assert migrated(deployment, made).mode == way[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "simple"), "are both simple"),
        (("--to", "balanced", "--undo"), "there is no config.yaml here"),
        (("--to", "balanced", "--apply"), "there is no config.yaml here"),
        (("--to", "balanced", "--dsn", "postgresql://u:hidden-word@127.0.0.1:1/x"), "127.0.0.1"),
    ],
)
def test_what_cannot_be_is_said(verify: Verify, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = verify(*arguments)
    assert code == 1
    assert said in err
    assert "hidden-word" not in out + err


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ([1, 2], [1, 3], ("item 2", "int 2", "int 3")),
        ([1], [True], ("item 1", "int 1", "bool True")),
        ([1], [1, 2], ("", "('int 1',)", "('int 1', 'int 2')")),
    ],
)
def test_where_answers_part(one: Any, other: Any, found: tuple[str, str, str]) -> None:
    assert first_difference(seen(one), seen(other)) == found
