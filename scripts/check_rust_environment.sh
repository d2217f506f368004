#!/usr/bin/env bash
# Checks what is needed to build the Rust engine (rust/), and says how to install what is missing. Changes nothing.
# Exit status: 0 if all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/_rust.sh

problems=0

ok() { printf 'ok       %s\n' "$*"; }

missing() {
    printf 'missing  %s\n' "$*"
    problems=$((problems + 1))
}

problem=$(toolchain_problem)
if [ -n "$problem" ]; then
    missing "$problem"
else
    ok "rustc $(rust_found) (at least $(rust_wanted))"
    for component in clippy fmt; do
        if cargo "$component" --version >/dev/null 2>&1; then
            ok "cargo $component"
        else
            missing "cargo $component, for development. With rustup: rustup component add clippy rustfmt"
        fi
    done
fi

problem=$(compiler_problem)
if [ -n "$problem" ]; then
    missing "$problem"
else
    ok "C compiler: $(command -v "${CC:-cc}")"
fi

# The tests of rust/engine start a server of their own, with certificates of their own.
if [ -x "${PG_BIN:-/nonexistent}/initdb" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
    command -v initdb >/dev/null; then
    ok "a PostgreSQL server, for the tests"
else
    missing "a PostgreSQL server, for the tests. On Debian: apt-get install postgresql; elsewhere set PG_BIN to its bin folder"
fi
if command -v openssl >/dev/null; then
    ok "openssl, for the tests"
else
    missing "openssl, for the tests. On Debian: apt-get install openssl"
fi

if [ "$problems" -gt 0 ]; then
    exit 1
fi
printf 'all is there: cd rust && cargo test\n'
