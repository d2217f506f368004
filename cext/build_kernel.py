"""Declares the extension module `db_pool_rs_balanced._kernel` to cffi (API mode, out of line).

libpq is found with pg_config, else with pkg-config. What is missing is said in one line, with the Debian package that
has it. DB_POOL_KERNEL_SANITIZE=1 builds with the address and undefined-behaviour sanitizers. DB_POOL_STATIC_LIBPQ names
a folder with `include` and `lib/libpq.a` (scripts/wheels.py makes it): libpq is then part of the module.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

SOURCES = ["src/group.c", "src/decode.c", "src/copy.c"]
FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-fno-strict-aliasing"]
# Where it was built, a temporary folder, is not in the result: two builds are equal.
FLAGS.append(f"-ffile-prefix-map={Path(__file__).resolve().parent}=.")
# A module that calls nothing of the C library's names it all the same: by that auditwheel knows which one it is for.
LINK = ["-Wl,--push-state,--no-as-needed,-lc,--pop-state"] if sys.platform == "linux" else []
#: Where a libpq is that becomes part of the module.
STATIC = os.environ.get("DB_POOL_STATIC_LIBPQ")
if STATIC:
    FLAGS.append(f"-ffile-prefix-map={STATIC}=libpq")
SANITIZE = (
    ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined", "-g"]
    if os.environ.get("DB_POOL_KERNEL_SANITIZE")
    else []
)

#: libpq, as far as db_pool_rs uses it.
LIBPQ = """
typedef ... PGconn;
typedef ... PGresult;
typedef ... PGcancel;
typedef unsigned int Oid;
typedef struct {
    char *name; Oid tableid; int columnid; int format; Oid typid; int typlen; int atttypmod;
} PGresAttDesc;

int PQlibVersion(void);
PGconn *PQconnectStart(const char *conninfo);
int PQconnectPoll(PGconn *conn);
void PQfinish(PGconn *conn);
int PQstatus(const PGconn *conn);
int PQtransactionStatus(const PGconn *conn);
const char *PQparameterStatus(const PGconn *conn, const char *name);
char *PQerrorMessage(const PGconn *conn);
int PQsocket(const PGconn *conn);
int PQbackendPID(const PGconn *conn);
int PQconnectionNeedsPassword(const PGconn *conn);
int PQconnectionUsedPassword(const PGconn *conn);
int PQsslInUse(PGconn *conn);
int PQsetErrorVerbosity(PGconn *conn, int verbosity);
int PQsetnonblocking(PGconn *conn, int on);
int PQenterPipelineMode(PGconn *conn);
int PQpipelineSync(PGconn *conn);
int PQflush(PGconn *conn);
int PQconsumeInput(PGconn *conn);
int PQisBusy(PGconn *conn);
PGresult *PQgetResult(PGconn *conn);
int PQsendPrepare(PGconn *conn, const char *name, const char *query, int count, const Oid *types);
int PQsendDescribePrepared(PGconn *conn, const char *name);
int PQsendQueryParams(PGconn *conn, const char *command, int count, const Oid *types, const char *const *values,
                      const int *lengths, const int *formats, int result_format);
PGcancel *PQgetCancel(PGconn *conn);
void PQfreeCancel(PGcancel *cancel);
int PQcancel(PGcancel *cancel, char *message, int size);

int PQresultStatus(const PGresult *result);
char *PQresultErrorMessage(const PGresult *result);
char *PQresultErrorField(const PGresult *result, int field);
int PQntuples(const PGresult *result);
int PQnfields(const PGresult *result);
char *PQfname(const PGresult *result, int column);
Oid PQftype(const PGresult *result, int column);
int PQfmod(const PGresult *result, int column);
int PQfformat(const PGresult *result, int column);
int PQnparams(const PGresult *result);
Oid PQparamtype(const PGresult *result, int number);
char *PQcmdStatus(PGresult *result);
char *PQgetvalue(const PGresult *result, int row, int column);
int PQgetlength(const PGresult *result, int row, int column);
int PQgetisnull(const PGresult *result, int row, int column);
size_t PQresultMemorySize(const PGresult *result);
void PQclear(PGresult *result);

PGresult *PQmakeEmptyPGresult(PGconn *conn, int status);
int PQsetResultAttrs(PGresult *result, int count, PGresAttDesc *columns);
int PQsetvalue(PGresult *result, int row, int column, char *value, int length);

int PQexitPipelineMode(PGconn *conn);
int PQsendQuery(PGconn *conn, const char *sql);
int PQputCopyData(PGconn *conn, const char *data, int size);
int PQputCopyEnd(PGconn *conn, const char *error);

typedef struct pgNotify {
    char *relname;
    int be_pid;
    char *extra;
    ...;
} PGnotify;
PGnotify *PQnotifies(PGconn *conn);
void PQfreemem(void *pointer);

typedef void (*PQnoticeReceiver)(void *arg, const PGresult *result);
PQnoticeReceiver PQsetNoticeReceiver(PGconn *conn, PQnoticeReceiver receiver, void *arg);
extern "Python" void dbp_notice(void *arg, const PGresult *result);
"""


def _fail(what: str, package: str) -> None:
    sys.exit(f"error: db-pool-rs-balanced needs {what}. On Debian: apt-get install {package}")


def _compiler() -> str:
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    found = shutil.which(command) or shutil.which("cc")
    if found is None:
        _fail(f"a C compiler ({command} was not found)", "gcc libc6-dev")
    return str(found)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _libpq() -> tuple[str, str]:
    """The folders of libpq's headers and of its library."""
    if STATIC:
        return f"{STATIC}/include", f"{STATIC}/lib"
    for command in (("pg_config", "--includedir", "--libdir"), ("pkg-config", "--variable=includedir", "libpq")):
        if shutil.which(command[0]) is None:
            continue
        try:
            if command[0] == "pg_config":
                include, lib = _output(*command).splitlines()
            else:
                include, lib = _output(*command), _output("pkg-config", "--variable=libdir", "libpq")
        except (subprocess.CalledProcessError, ValueError):
            continue
        if (Path(include) / "libpq-fe.h").exists():
            return include, lib
    _fail("libpq's headers (libpq-fe.h was not found with pg_config or pkg-config)", "libpq-dev")
    raise AssertionError


def _has_python_headers() -> bool:
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").exists()


def _cdefs() -> str:
    """The kernel's own declarations, from its headers."""
    text = "".join((Path(__file__).parent / "src" / name).read_text() for name in ("block.h", "kernel.h"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _builder() -> FFI:
    _compiler()
    include, lib = _libpq()
    if not _has_python_headers():
        _fail("Python's headers (Python.h was not found)", "python3-dev")
    headers = Path(include, "pg_config.h")
    version = re.search(r"PG_MAJORVERSION_NUM (\d+)", headers.read_text()) if not STATIC else None
    if version is not None and int(version[1]) < 14:
        _fail(f"libpq 14 or later, for its pipeline mode (this is {version[1]})", "libpq-dev")
    builder = FFI()
    builder.cdef(LIBPQ + _cdefs())
    builder.set_source(
        "db_pool_rs_balanced._kernel",
        '#include <libpq-fe.h>\n#include "kernel.h"',
        sources=SOURCES,
        include_dirs=["src", include],
        library_dirs=[lib],
        libraries=["pq", "ssl", "crypto"] if STATIC else ["pq"],
        extra_compile_args=[*FLAGS, *SANITIZE],
        # What is in the archive stays the module's own: other libpqs in the process neither see it nor are seen.
        extra_link_args=[*LINK, *SANITIZE, *(["-Wl,--exclude-libs,ALL"] if STATIC else [])],
    )
    return builder


ffibuilder = _builder()
