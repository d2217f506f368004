#!/usr/bin/env bash
# Checks what is needed to build the Rust engine (rust/), and says how to install what is missing. Changes nothing.
# Exit status: 0 if all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

problems=0

ok() { printf 'ok       %s\n' "$*"; }

missing() {
    printf 'missing  %s\n' "$*"
    problems=$((problems + 1))
}

# Whether version $1 is at least $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' rust/Cargo.toml)
if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    missing "Rust $wanted or later. Install it from https://rustup.rs, then open a new shell"
else
    found=$(rustc --version | cut -d ' ' -f 2)
    if at_least "$found" "$wanted"; then
        ok "rustc $found (at least $wanted)"
    else
        missing "Rust $wanted or later, found $found. With rustup: rustup update stable"
    fi
    for component in clippy fmt; do
        if cargo "$component" --version >/dev/null 2>&1; then
            ok "cargo $component"
        else
            missing "cargo $component, for development. With rustup: rustup component add clippy rustfmt"
        fi
    done
fi

# ring, which does the cryptography for TLS, contains C and assembly.
if command -v "${CC:-cc}" >/dev/null; then
    ok "C compiler: $(command -v "${CC:-cc}")"
else
    missing "a C compiler. On Debian: apt-get install gcc libc6-dev"
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
