"""The reference of options, from the code.

docs/configuration.md has every option of a pool, every key of config.yaml and every connect option, docs/modes.md the
table of `pool.features`. The words are those of the options themselves (`db_pool_rs.config`,
`db_pool_rs.conninfo.params`), so they are changed there. Classes and functions are in docs/api.md, for which
mkdocstrings reads the docstrings.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import config
from ...conninfo import params as _params
from ...conninfo import sqlite as _sqlitedsn
from ...features import FEATURES, features_of
from ...modes import MODES
from .target import BY, ROOT, read, with_region

DOCS = ROOT / "docs"
HIDDEN = {"target"}
COUNTLESS = 2**63 - 1

HEAD = f"""\
<!-- {BY}: change the options in the code, then run it. -->
# Configuration

Options are arguments of `create_pool` (and of `DatabasePool.create_pool`), or keys of a pool in `config.yaml`. What is
not known, and a value that an option does not accept, is a `ConfigError`, which names the option, the value (secrets
hidden) and what is allowed. An option that exists has been checked: nothing is found out later.
"""

TYPES = """
Type checkers know the options as well: mypy, pyright and editors refuse a name or a value that does not exist, as in
`create_pool(dsn, pipelining="writes")`. Options that are gathered first are a `PoolOptions`:

```python
from db_pool_rs import PoolOptions, create_pool

options: PoolOptions = {"max_size": 20, "command_timeout": 5}
async with create_pool("sqlite://", **options) as small:
    assert small.config.max_size == 20
```
"""

POOL = """
## Options of a pool

Times are seconds unless a name ends in `_ms`; sizes are bytes. Also understood: `min_connections` (for `min_size`) and
`max_connections` (for `max_size`).
"""

WHERE = """
## Where a pool connects

The first of these that says something decides:

1. a connection string, or options that say where (`db_type`, `host`, `hostaddr`, `port`, `database`, `dbname`,
   `service`);
2. the pool of that name in `config.yaml` (`default`, where no other is named);
3. `DATABASE_URL`;
4. a SQLite database in memory.

| form | database |
|---|---|
| `postgresql://user@host:5432/database?sslmode=verify-full` | PostgreSQL |
| `postgresql://user@one:5432,two:5432/database?target_session_attrs=read-write` | PostgreSQL, each host in turn |
| `postgresql://user@/database?host=/run/postgresql` | PostgreSQL over a unix socket |
| `host=... dbname=... user=...` | PostgreSQL, libpq's key=value form |
| `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` | SQLite, a file or in memory |

Keyword arguments win over the string, and the string wins over a service, the `PG*` environment variables and the
password file, in this order. A password belongs into `PGPASSWORD`, `~/.pgpass` or `password=` (which may be a callable,
also an async one, that is asked for each connection), rather than into a string that ends up in a log. No message, repr
or log of this package shows one.

### Options of a PostgreSQL connection

Names, variables and meaning are libpq's.
"""

OWN = """
Beside these there are, for callers in Python:

| option | meaning |
|---|---|
| `database`, `username` | other names of `dbname`, `user` |
| `ssl` | a bool (require, disable) or an sslmode |
| `server_settings` | a mapping of session settings, `{"statement_timeout": "5s"}` |
| `allow_cleartext_password` | let a distant server have the password in clear over an unencrypted link |

The encoding of the connection is always UTF8.
"""

FILE = """
## config.yaml

Read from `config=` (a path, or the content as a mapping), else from the file that `DB_POOL_CONFIG` names, else from
`./config.yaml`. It is limited to {limit} KiB and read with the safe loader; aliases, duplicate keys and unknown keys
are errors. `config.example.yaml` has all of it with comments.
"""

POOLS = """
### pools

`pools.NAME` takes `dsn` and every option above, those of the connection included. `${VARIABLE}` in a text is replaced
by that environment variable when the pool is opened (`$${` stands for `${`), so that no secret has to be in the file.

```yaml
pools:
  default:
    dsn: sqlite:///app.db
  reports:
    dsn: postgresql://reports@db.example/shop
    password: ${REPORTS_PASSWORD}
    max_size: 10
    command_timeout: 5
```

## Environment

| variable | meaning |
|---|---|
| `DATABASE_URL` | where the pool `default` connects if nothing else says so |
| `DB_POOL_CONFIG` | the configuration file |
| `DB_POOL_MODE` | the mode, before `deployment.mode` of the file; an argument `mode=` other than auto comes first |
| `DB_POOL_TOP` | 1: `python -m db_pool_rs top` of the same user may look at each pool |
| `DB_POOL_FIGURES` | the file with the figures that mode `auto` compares |
| `PGHOST`, `PGUSER`, `PGPASSWORD`, ... | libpq's, in the table of connection options |
"""


def render() -> str:
    """The whole page."""
    parts = [HEAD, TYPES, POOL, *_options(config.PoolConfig, ""), WHERE, *_parameters(), OWN, *_sqlite(), *_file()]
    return "\n".join(part.strip("\n") if part.startswith("|") else part.rstrip("\n") for part in parts) + "\n"


def _options(kind: Any, prefix: str) -> Iterator[str]:
    yield "\n| option | default | accepts | meaning |\n|---|---|---|---|"
    for field in dataclasses.fields(kind):
        if "rule" in field.metadata and field.name not in HIDDEN:
            rule, doc = field.metadata["rule"], field.metadata["doc"]
            yield f"| `{prefix}{field.name}` | {_default(field.default)} | {_cell(rule.allowed)} | {_cell(doc)} |"


def _parameters() -> Iterator[str]:
    yield "\n| option | variable | default | accepts |\n|---|---|---|---|"
    for parameter in _params.PARAMETERS.values():
        variable = f"`{parameter.env}`" if parameter.env else ""
        default = f"`{parameter.default}`" if parameter.default else ""
        since = f" (libpq {parameter.since // 10_000} and later)" if parameter.since else ""
        yield f"| `{parameter.name}` | {variable} | {default} | {_cell(parameter.allowed)}{since} |"


def _sqlite() -> Iterator[str]:
    yield "\n### Options of a SQLite database\n\nIn the query of the string, or (except `mode`) as arguments.\n"
    doc = _sqlitedsn.__doc__ or ""
    yield "\n".join(line for line in doc.splitlines() if line.startswith("|"))


def _file() -> Iterator[str]:
    from ...config.yaml_file import SIZE_LIMIT

    yield FILE.format(limit=SIZE_LIMIT // 1024)
    sections = {"deployment": config.DeploymentConfig, "deployment.auto_selection": config.AutoSelection}
    sections |= {"simple": config.SimpleOptions, "balanced": config.BalancedOptions, "full": config.FullOptions}
    for path, kind in sections.items():
        yield f"\n### {path}\n\n{(kind.__doc__ or '').splitlines()[0]}"
        yield from _options(kind, "")
    yield POOLS


def _default(value: Any) -> str:
    if value is None or value in (math.inf, COUNTLESS):
        return "`None`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, (frozenset, tuple)):
        return "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value:_}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def features_table() -> str:
    """A line for each feature; a column for each mode, with the databases that have it there."""
    databases = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
    lines = [f"| `features` | what | {' | '.join(f'`{mode}`' for mode in MODES)} |", "|---|---|" + "---|" * len(MODES)]
    for name, feature in FEATURES.items():
        having = [[shown for one, shown in databases.items() if name in features_of(mode, one)] for mode in MODES]
        lines.append(f"| `{name}` | {feature.what} | {' | '.join(', '.join(names) or 'no' for names in having)} |")
    return "\n".join(lines)


def outputs() -> dict[Path, str]:
    """The wanted text of the pages."""
    modes = with_region(read(DOCS / "modes.md"), "features", features_table())
    return {DOCS / "configuration.md": render(), DOCS / "modes.md": modes}
