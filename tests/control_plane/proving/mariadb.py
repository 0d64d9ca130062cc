"""The database server of the services, as an ordinary user: clouds have MariaDB or MySQL there, and sqlite does not
bear several writers that read first."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
from pathlib import Path

from proving.errors import HostError, ProveError
from proving.processes import Processes, answers, free_port, run_recorded
from proving.settings import clean_environment

SERVICES = ("keystone", "glance", "trove")
# Where distributions have the server, which is seldom in an ordinary user's path.
DIRECTORIES = os.pathsep.join(("/usr/sbin", "/usr/libexec", "/usr/local/sbin"))


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=DIRECTORIES)
    if found is None:
        raise HostError(f"no {name} here", "`make setup` installs MariaDB, and starts no service")
    return found


class MariaDb:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.password = secrets.token_hex(12)

    def url(self, service: str) -> str:
        return f"mysql+pymysql://{service}:{self.password}@127.0.0.1:{self.port}/{service}?charset=utf8"

    def first_statements(self) -> str:
        """One a line: accounts of the services, and none that others on this host could use."""
        lines = [
            "DROP USER IF EXISTS root@'127.0.0.1', root@'::1', ''@localhost;",
            f"ALTER USER root@localhost IDENTIFIED BY '{self.password}';",
        ]
        for service in SERVICES:
            lines.append(f"CREATE DATABASE {service} CHARACTER SET utf8mb3;")
            lines.append(f"CREATE USER {service}@'127.0.0.1' IDENTIFIED BY '{self.password}';")
            lines.append(f"GRANT ALL ON {service}.* TO {service}@'127.0.0.1';")
        return "\n".join(lines) + "\n"

    def command(self) -> list[str]:
        """Small, and without care for a loss of power: it lives as long as the run."""
        return [
            program("mariadbd"),
            "--no-defaults",
            f"--user={getpass.getuser()}",
            f"--datadir={self.directory / 'data'}",
            f"--tmpdir={self.directory / 'tmp'}",
            # Relative to the data: the address of a socket has little room.
            "--socket=socket",
            "--pid-file=pid",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            f"--init-file={self.directory / 'first.sql'}",
        ]

    def start(self, processes: Processes) -> None:
        for name in ("data", "tmp"):
            (self.directory / name).mkdir(parents=True)
        first = self.directory / "first.sql"
        first.touch(mode=0o600)
        first.write_text(self.first_statements())
        log = processes.logs / "mariadb-install.out"
        install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={self.directory / 'data'}"]
        install += [f"--user={getpass.getuser()}", "--auth-root-authentication-method=normal"]
        install += ["--skip-test-db", "--skip-name-resolve", "--force"]
        if run_recorded("mariadb-install", install, clean_environment(), processes.pids, log, self.directory) != 0:
            raise ProveError("mariadb-install-db failed", f"its output is in {log.name}")
        processes.start("mariadb", self.command(), clean_environment(), self.directory)
        processes.wait_until("MariaDB", lambda: answers(self.port), 120)
