#!/usr/bin/env bash
# Installs the mode simple, pure Python:  source scripts/setup_simple.sh  (or run it)
# Needs Python 3.10 or later and nothing else. Sourced, it also sets DB_POOL_MODE=simple in your shell.

_db_pool_simple() (
    set -euo pipefail
    . "$(dirname "${BASH_SOURCE[0]}")/_common.sh"
    sync_mode simple
    finish_mode simple
)

_db_pool_simple && export DB_POOL_MODE=simple
