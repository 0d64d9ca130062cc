"""A login to the database from this host, with a driver that the virtual environment has: login.py < REQUEST

The request is JSON: `datastore`, `port`, `user`, `password`, `database`, `value`, and `write`, whether the value is to
be written or must be there. The answer is JSON: the server's `version` and when it `started`."""

from __future__ import annotations

import json
import sys
from typing import Any

SERVER = {
    "mariadb": "SELECT VERSION(), UNIX_TIMESTAMP() - VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME = 'UPTIME'",
    "postgresql": "SELECT current_setting('server_version'), extract(epoch FROM pg_postmaster_start_time())",
}


def connect(request: dict[str, Any]) -> Any:
    about = {"host": "127.0.0.1", "user": request["user"], "password": request["password"], "port": request["port"]}
    if request["datastore"] == "mariadb":
        import pymysql

        return pymysql.connect(**about, database=request["database"], connect_timeout=30)
    import psycopg2

    return psycopg2.connect(**about, dbname=request["database"], connect_timeout=30)


def main() -> None:
    request = json.load(sys.stdin)
    connection = connect(request)
    cursor = connection.cursor()
    if request["write"]:
        cursor.execute("CREATE TABLE proof (value VARCHAR(64))")
        cursor.execute("INSERT INTO proof VALUES (%s)", (request["value"],))
        connection.commit()
    cursor.execute("SELECT value FROM proof")
    found = [row[0] for row in cursor.fetchall()]
    if found != [request["value"]]:
        raise SystemExit(f"the table holds {found}, not what was written")
    cursor.execute(SERVER[request["datastore"]])
    version, started = cursor.fetchone()
    print(json.dumps({"version": version, "started": round(float(started))}))


if __name__ == "__main__":
    main()
