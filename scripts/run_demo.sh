#!/usr/bin/env bash
# Installs what is needed and shows the pool at work:  scripts/run_demo.sh [simple|balanced|full] [options of the demo]
# Without options it uses the embedded database; --postgres starts a real PostgreSQL server, --dsn URL uses yours.
set -euo pipefail
. "$(dirname "$0")/_common.sh"

mode=simple
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    mode=$1
    shift
fi
# The group `test` brings the PostgreSQL server for --postgres.
sync_mode "$mode" --no-default-groups --group test
export DB_POOL_MODE="$mode"
uv run --no-sync python -m db_pool_rs demo "$@"
