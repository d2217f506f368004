"""Both modes side by side on one database: every check asked of each, and what came of it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .answers import Answer, answer, first_difference, replaced
from .checks import Check, Site, checks
from .userdata import first_rows, one_snapshot, table_names
from .writing import writing_checks

if TYPE_CHECKING:
    from ...abc import Pool

SCRATCH = "db_pool_rs_verify"


@dataclass(frozen=True, slots=True)
class Difference:
    """A check that the modes answer differently: where in the answer, and what each has there."""

    area: str
    name: str
    place: str
    before: str
    after: str


@dataclass(slots=True)
class Outcome:
    """What the battery found: equal checks by area, differences, and checks that say nothing here, with the reason."""

    equal: dict[str, int] = field(default_factory=dict)
    different: list[Difference] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many checks were asked."""
        return sum(self.equal.values()) + len(self.different) + len(self.left_out)

    def add(self, area: str, name: str, before: Answer, after: Answer, fails: bool = False) -> None:
        """Judge one check. `fails`: an error was its point; any other error, alike in both, says nothing."""
        if before.seen != after.seen:
            self.different.append(Difference(area, name, *first_difference(before.seen, after.seen)))
        elif before.error is not None and not fails:
            self.left_out.append((area, name, before.error))
        else:
            self.equal[area] = self.equal.get(area, 0) + 1


Progress = Callable[[str], None]


async def compare(before: Pool, after: Pool, *, write: bool = False, progress: Progress = lambda name: None) -> Outcome:
    """Ask both pools, which are open and of one database. Nothing is written unless `write`; that is removed again."""
    outcome = Outcome()
    database = before.config.target.database_system
    for check in checks(database):
        progress(f"{check.area}: {check.name}")
        await _ask(outcome, check, (before, Site(database, "")), (after, Site(database, "")))
    progress("your tables")
    await _compare_tables(outcome, before, after, database)
    if write:
        async with _scratch(before, database) as sites:
            for check in writing_checks(database):
                progress(f"{check.area}: {check.name}")
                await _ask(outcome, check, (before, sites[0]), (after, sites[1]))
    return outcome


async def _ask(outcome: Outcome, check: Check, before: tuple[Pool, Site], after: tuple[Pool, Site]) -> None:
    one, other = [_without_names(await answer(check.ask(pool, site)), site) for pool, site in (before, after)]
    outcome.add(check.area, check.name, one, other, check.fails)


def _without_names(found: Answer, site: Site) -> Answer:
    # Each mode has a place of its own, whose name is no difference.
    name = site.prefix.rstrip("._")
    return Answer(replaced(found.seen, name, "scratch"), found.error) if name else found


async def _compare_tables(outcome: Outcome, before: Pool, after: Pool, database: str) -> None:
    for table in await table_names(before, database):
        # A snapshot for each: an error in a block would end it for the tables that follow.
        async with one_snapshot((before, after), database) as (one, other):
            statement = first_rows(table)
            outcome.add("your tables", table, await answer(one.fetch(statement)), await answer(other.fetch(statement)))


@contextlib.asynccontextmanager
async def _scratch(pool: Pool, database: str) -> AsyncIterator[tuple[Site, Site]]:
    """A place for tables of each mode; removed at the end with all that is in it.

    On SQLite it is a prefix of names: there the database is a copy, or in memory, and goes away itself.
    """
    name = f"{SCRATCH}_{secrets.token_hex(4)}"
    sites = tuple(Site(database, f"{name}{letter}{'.' if database == 'postgresql' else '_'}") for letter in "ab")
    schemas = [site.prefix[:-1] for site in sites if database == "postgresql"]
    try:
        for schema in schemas:
            await pool.execute(f"CREATE SCHEMA {schema}")
        yield sites[0], sites[1]
    finally:
        for schema in schemas:
            await pool.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
