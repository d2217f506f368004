#!/usr/bin/env bash
# Installs the mode balanced, building its C kernel:  source scripts/setup_balanced.sh  (or run it)
# Needs a C compiler and libpq's headers; what is missing is said in one line, with the Debian package that has it.
# Sourced, it also sets DB_POOL_MODE=balanced in your shell.

_db_pool_balanced() (
    set -euo pipefail
    . "$(dirname "${BASH_SOURCE[0]}")/_common.sh"
    missing=$(kernel_problem)
    [ -z "$missing" ] || die "$missing"
    sync_mode balanced
    finish_mode balanced
)

_db_pool_balanced && export DB_POOL_MODE=balanced
