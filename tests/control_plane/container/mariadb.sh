#!/bin/bash
# Starts MariaDB as Trove's agent expects it of the official image, and no more: makes the data directory on the first
# start, with a password for root and an account for the health check.
set -euo pipefail

data=/var/lib/mysql defaults=()
for argument; do
    case $argument in
    --datadir=*) data=${argument#*=} ;;
    --defaults-file=*) defaults=("$argument") ;;
    esac
done
# The agent gives options only.
case ${1:-} in
'' | -*) set -- mariadbd "$@" ;;
esac

# As a string of SQL.
quoted() { printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g"; }

if [ ! -d "$data/mysql" ]; then
    echo "entry point: making $data" >&2
    mariadb-install-db "${defaults[@]}" --datadir="$data" --auth-root-authentication-method=normal \
        --skip-test-db --skip-name-resolve --force >&2
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    (
        umask 077
        printf '[mariadb-client]\nuser=healthcheck\npassword=%s\nprotocol=tcp\n' "$password" >"$data/.my-healthcheck.cnf"
        cat >"$data/.first-start.sql" <<SQL
CREATE USER IF NOT EXISTS root@localhost;
ALTER USER root@localhost IDENTIFIED BY '$(quoted "$MYSQL_ROOT_PASSWORD")';
CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$(quoted "$MYSQL_ROOT_PASSWORD")';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS healthcheck@localhost IDENTIFIED BY '$password';
CREATE USER IF NOT EXISTS healthcheck@'127.0.0.1' IDENTIFIED BY '$password';
SQL
    )
    set -- "$@" "--init-file=$data/.first-start.sql"
fi
echo "entry point: starting ${1##*/}" >&2
exec "$@"
