#!/usr/bin/env bash
# Installs the mode full, building its Rust engine:  source scripts/setup_full.sh  (or run it)
# Needs Rust and a C compiler; scripts/check_rust_environment.sh says in detail what is there. The first build takes
# some minutes. Sourced, it also sets DB_POOL_MODE=full in your shell.

_db_pool_full() (
    set -euo pipefail
    . "$(dirname "${BASH_SOURCE[0]}")/_common.sh"
    missing=$(rust_problem)
    [ -z "$missing" ] || die "$missing"
    sync_mode full
    finish_mode full
)

_db_pool_full && export DB_POOL_MODE=full
