#!/usr/bin/env bash
# Installs what is needed, then checks everything: lint, types, generated files, and the tests on both event loops.
# With arguments it only runs pytest with them:  scripts/run_tests.sh tests/unit -k proxy
set -euo pipefail
. "$(dirname "$0")/_common.sh"

# Every engine that can be built here is, and is then required: one that does not work fails the run.
engines=simple
extras=()
for engine in balanced full; do
    missing=$([ "$engine" = full ] && rust_problem || kernel_problem)
    if [ -z "$missing" ]; then
        engines+=",$engine"
        extras+=(--extra "$engine")
    else
        say "$missing; its tests are left out"
    fi
done
export DB_POOL_REQUIRE_ENGINES=$engines
say "engines: $engines"
sync_mode simple ${extras[@]+"${extras[@]}"}
report_postgres

if [ $# -gt 0 ]; then
    uv run --no-sync pytest "$@"
    exit
fi

# Every check runs, so that one run shows all that is wrong; the script fails once, at the end.
failed=()
check() {
    local name=$1
    shift
    say "== $name"
    "$@" || failed+=("$name")
}

check "ruff" uv run --no-sync ruff check .
check "mypy" uv run --no-sync mypy
check "pyright" uv run --no-sync basedpyright
check "generated files" uv run --no-sync python -m db_pool_rs.tools.generate_interfaces --check
if [[ $engines == *full* ]]; then
    check "rustfmt" cargo fmt --manifest-path rust/Cargo.toml --all --check
    check "clippy" cargo clippy --quiet --manifest-path rust/Cargo.toml --all-targets -- -D warnings
    check "cargo test" cargo test --quiet --manifest-path rust/Cargo.toml -p db-pool-engine
fi
# One worker more than processors: many tests wait for a server or a deadline.
workers=$(($(nproc 2>/dev/null || echo 2) + 1))
# What hangs on the event loop most a second time on uvloop; `nox -s tests` runs everything there, and `nox -s chaos` what
# is left out here for its length. It comes first: the run that covers everything has the last word.
on_loops=(tests/faults/test_restart.py tests/faults/test_hostile_servers.py tests/faults/test_login_floods.py)
for name in block_programs connect_errors copy loops_and_processes timeouts top; do
    on_loops+=("tests/contract/test_$name.py")
done
check "tests on uvloop" uv run --no-sync pytest -q -n "$workers" --dist worksteal --loop uvloop "${on_loops[@]}"
check "tests" uv run --no-sync pytest -n "$workers" --dist worksteal --durations=10 --ignore=tests/faults/test_soak.py

if [ ${#failed[@]} -gt 0 ]; then
    say "failed: ${failed[*]}"
    exit 1
fi
