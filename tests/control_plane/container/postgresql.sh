#!/bin/bash
# Starts PostgreSQL as Trove's agent expects it of the official image, and no more: makes the cluster on the first start,
# with a password for its superuser.
set -euo pipefail

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "entry point: making $PGDATA" >&2
    mkdir -p "$PGDATA"
    # The agent's own rules for access are in /etc/postgresql; these hold for whoever starts the server without them.
    initdb --pgdata="$PGDATA" --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --encoding=UTF8 --locale=en_US.utf8 --auth-local=trust --auth-host=scram-sha-256 >&2
fi
echo "entry point: starting ${1:-nothing}" >&2
exec "$@"
