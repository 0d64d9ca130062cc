"""Debian's packages: control fields, versions, relations, files."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# What is a directory of its own in Debian's archive and a link in every system since the merge of /usr.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

_RELATION = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9.+\-]+)(?::[a-z0-9\-]+)?\s*"
    r"(?:\(\s*(?P<operator><<|<=|=|>=|>>)\s*(?P<version>[^)\s]+)\s*\))?\s*(?:\[[^]]*\])?\s*$"
)


@dataclass(frozen=True)
class Version:
    """A version in the three parts that both worlds have."""

    epoch: str
    upstream: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> Version:
        """Reads `[EPOCH:]UPSTREAM[-REVISION]`."""
        epoch, colon, rest = text.partition(":")
        if not colon:
            epoch, rest = "", text
        upstream, dash, revision = rest.rpartition("-")
        if not dash:
            upstream, revision = rest, ""
        # RPM has no dash in a version. Nothing else that Debian allows is forbidden.
        return cls(epoch, upstream.replace("-", "_"), revision)

    def rpm(self, dist: str) -> str:
        """As RPM's relations write it. `dist` is the distribution's tag, which every release ends with."""
        epoch = f"{self.epoch}:" if self.epoch else ""
        return f"{epoch}{self.upstream}-{self.revision or '0'}{dist}"


@dataclass(frozen=True)
class Relation:
    """One alternative of a relation: a name, perhaps with an operator and a version."""

    name: str
    operator: str = ""
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> Relation:
        match = _RELATION.match(text)
        if match is None:
            raise ValueError(f"not a relation between packages: {text!r}")
        return cls(match["name"], match["operator"] or "", match["version"] or "")


def relations(field: str) -> list[list[Relation]]:
    """Reads a field such as `a (>= 1), b | c`: all of the outer list, one of each inner."""
    groups = (group for group in field.split(",") if group.strip())
    return [[Relation.parse(one) for one in group.split("|")] for group in groups]


def paragraph(text: str) -> dict[str, str]:
    """Reads a control file. Continued lines keep their newline."""
    fields: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t"):
            fields[key] += "\n" + line[1:]
        elif ":" in line:
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    return fields


def merged(path: str) -> str | None:
    """Where a file of a package lies in a system with a merged /usr; None for what is a link there."""
    first, _, rest = path.lstrip("/").partition("/")
    if first not in MERGED:
        return path
    return f"/usr/{first}/{rest}" if rest else None


@dataclass(frozen=True)
class Deb:
    """A package's file."""

    path: Path
    fields: dict[str, str]
    conffiles: frozenset[str]

    @classmethod
    def open(cls, path: Path) -> Deb:
        control = _control(path)
        listed = control.get("conffiles", "").splitlines()
        # `remove-on-upgrade /path` names what is not in the package.
        conffiles = frozenset(line.strip() for line in listed if line.startswith("/"))
        return cls(path, paragraph(control["control"]), conffiles)

    @property
    def name(self) -> str:
        return self.fields["Package"]

    @property
    def version(self) -> Version:
        return Version.parse(self.fields["Version"])

    def relations(self, field: str) -> list[list[Relation]]:
        return relations(self.fields.get(field, ""))

    @contextmanager
    def files(self) -> Iterator[tarfile.TarFile]:
        """The files, as a stream: each must be read before the next."""
        program = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", self.path], stdout=subprocess.PIPE)
        assert program.stdout is not None
        with program.stdout as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            yield archive
            # The end of the archive comes before the end of what tar pads it with.
            while stream.read(1 << 16):
                pass
        if program.wait() != 0:
            raise RuntimeError(f"{self.path} cannot be unpacked")


def _control(path: Path) -> dict[str, str]:
    """The text files of the control archive, by name."""
    packed = subprocess.run(["dpkg-deb", "--ctrl-tarfile", path], check=True, capture_output=True).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                found[member.name.removeprefix("./")] = content.read().decode("utf-8", "replace")
    return found
