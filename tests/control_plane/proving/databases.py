"""The databases: what their containers consist of, and how a client gets in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from proving.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Database:
    """A datastore that the agent runs as a container."""

    # The name of the datastore and of its manager in the agent.
    name: str
    # Version of the datastore for each release of Debian that the container is made from; the container's tag as well.
    versions: Mapping[str, str]
    packages: tuple[str, ...]
    port: int
    # Directory of the container whose programs come first.
    programs: str
    command: str
    # Paths in the packages that the container does without.
    unwanted: tuple[str, ...] = ()
    # Command lines that finish the tree; `$1` is its root.
    hooks: tuple[str, ...] = ()
    # The size of the data's volume, in GiB.
    volume: int = 1

    def version(self, suite: str) -> str:
        try:
            return self.versions[suite]
        except KeyError:
            known = ", ".join(self.versions)
            raise UsageError(f"{self.name} is known for {known}, not for {suite}") from None

    def all_packages(self, suite: str) -> list[str]:
        return [package.format(version=self.version(suite)) for package in self.packages]

    def search_path(self, suite: str) -> str:
        return f"{self.programs.format(version=self.version(suite))}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


MACHINES = ("x86_64", "aarch64")
# The entry points are scripts.
SHELL = ("bash", "dash", "coreutils", "sed", "grep", "gawk")

DATABASES = {
    database.name: database
    for database in (
        Database(
            name="mariadb",
            versions={"bookworm": "10.11", "trixie": "11.8"},
            packages=("mariadb-server-core", "mariadb-client-core", "hostname", *SHELL),
            port=3306,
            programs="/usr/local/sbin",
            command="mariadbd",
        ),
        Database(
            name="postgresql",
            versions={"bookworm": "15", "trixie": "17"},
            # Trove's template of the configuration names the time zone Etc/UTC and the locale en_US.utf8.
            packages=("postgresql-{version}", "tzdata", "locales", "libc-bin", "gzip", *SHELL),
            port=5432,
            # Before /usr/bin, where Debian has a wrapper for them in Perl.
            programs="/usr/lib/postgresql/{version}/bin",
            command="postgres",
            # The compiler of queries, which the server does without if it is not there.
            unwanted=(
                *(f"usr/lib/{machine}-linux-gnu/lib{library}" for machine in MACHINES for library in ("LLVM", "z3")),
                *(
                    f"usr/lib/postgresql/{version}/lib/{part}"
                    for version in (15, 17)
                    for part in ("llvmjit", "bitcode")
                ),
            ),
            hooks=('chroot "$1" localedef -i en_US -f UTF-8 en_US.UTF-8',),
        ),
    )
}

MISSING = {
    "mysql": "Debian, whose packages the database's container is made from, has MariaDB instead of MySQL",
}


def database(name: str) -> Database:
    """Fails for datastores that cannot be had, and says why."""
    if name in DATABASES:
        return DATABASES[name]
    known = ", ".join(DATABASES)
    reason = MISSING.get(name, "the agent of Trove has no manager for it, or nobody has described its container")
    raise UsageError(f"datastore {name} cannot be proved: {reason}", f"there are: {known}")
