#!/bin/bash
# What the agent runs every ten seconds: healthcheck.sh --defaults-file FILE --connect --innodb_initialized
set -euo pipefail

defaults=() query='SELECT 1'
while [ $# -gt 0 ]; do
    case $1 in
    --defaults-file)
        defaults=("--defaults-file=$2")
        shift
        ;;
    --defaults-file=*) defaults=("$1") ;;
    --connect) ;;
    --innodb_initialized)
        query="SELECT 1 FROM information_schema.ENGINES WHERE engine = 'innodb' AND support IN ('YES', 'DEFAULT')"
        ;;
    *)
        echo "unknown check: $1" >&2
        exit 1
        ;;
    esac
    shift
done
[ "$(mariadb "${defaults[@]}" --skip-ssl --host=127.0.0.1 --batch --skip-column-names --execute "$query")" = 1 ]
