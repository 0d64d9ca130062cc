"""What Debian's maintainer scripts have made in a configured system, as packages: files that belong to nobody else."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from testbed.naming import Naming, is_below
from testbed.spec import Entry, Rpm

# These come first, so that users have their numbers when other packages' files arrive.
ACCOUNTS = (
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/shells",
    "/etc/profile",
)

_INITRAMFS = re.compile(r"^/boot/initrd\.img-(?P<version>.*)$")


class State:
    """The archive `state.tar` of a configured system: all that none of its packages holds."""

    def __init__(self, naming: Naming, archive: Path) -> None:
        self.naming = naming
        self.archive = archive

    def unpack(self, root: Path, wanted: tuple[str, ...] | None, owned: frozenset[str], users: Users) -> list[Entry]:
        """Puts the files below `root`: those that are wanted by name, or all others. `owned` belongs to packages."""
        entries: list[Entry] = []
        with tarfile.open(self.archive) as archive:
            for member in archive:
                path = self._path("/" + member.name.removeprefix("./").strip("/"))
                if path is None or path in owned or (path in ACCOUNTS) != (wanted is not None):
                    continue
                place = root / path.lstrip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                if member.isdir():
                    place.mkdir(exist_ok=True)
                elif member.issym():
                    place.symlink_to(member.linkname)
                elif member.isreg() or member.islnk():
                    content = archive.extractfile(member)
                    assert content is not None
                    with place.open("wb") as stream:
                        shutil.copyfileobj(content, stream, 1 << 20)
                    os.utime(place, (member.mtime, member.mtime))
                else:
                    continue
                entries.append(users.entry(path, member))
        return entries

    def _path(self, original: str) -> str | None:
        path = self.naming.path(original)
        if path is None or path == "/" or is_below(path, self.naming.unwanted) or path.endswith(("-", ".dpkg-old")):
            return None
        initramfs = _INITRAMFS.match(path)
        return f"/boot/initramfs-{initramfs['version']}.img" if initramfs else path


class Users:
    """Names of users and groups, by the numbers that they have in the configured system."""

    def __init__(self, passwd: str, group: str) -> None:
        self.users = _names(passwd)
        self.groups = _names(group)

    @classmethod
    def read(cls, archive: Path) -> Users:
        with tarfile.open(archive) as stream:
            texts = []
            for name in ("./etc/passwd", "./etc/group"):
                content = stream.extractfile(name)
                assert content is not None
                texts.append(content.read().decode())
        return cls(*texts)

    def entry(self, path: str, member: tarfile.TarInfo) -> Entry:
        flags = ("dir",) if member.isdir() else ("config(noreplace)",) if path.startswith("/etc/") else ()
        owner, group = self.users.get(member.uid, "root"), self.groups.get(member.gid, "root")
        return Entry(path, member.mode & 0o7777, owner, group, flags, member.issym())


@dataclass(frozen=True)
class Attributes:
    """What a path of the configured system is."""

    mode: int
    owner: str
    group: str
    # Where a link points.
    target: str | None = None
    # As `setcap` writes them; empty for most.
    capabilities: str = ""


class Configured:
    """What maintainer scripts have made of the paths that packages hold: links of directories, owners, capabilities."""

    def __init__(self, paths: dict[str, Attributes]) -> None:
        self._paths = paths

    @classmethod
    def read(cls, directory: Path) -> Configured:
        """Reads the lists that archive.sh leaves in `directory`."""
        users = Users.read(directory / "state.tar")
        capabilities = {}
        for line in (directory / "capabilities").read_text().splitlines():
            path, _, text = line.rpartition(" ")
            capabilities[path.removeprefix(".")] = text
        fields = (directory / "attributes").read_bytes().decode("utf-8", "surrogateescape").split("\0")
        found = {}
        for path, kind, mode, user, group, target in zip(*(fields[start::6] for start in range(6)), strict=False):
            names = users.users.get(int(user), "root"), users.groups.get(int(group), "root")
            place = f"/{path}"
            found[place] = Attributes(
                int(mode, 8), *names, target if kind == "l" else None, capabilities.get(place, "")
            )
        return cls(found)

    def get(self, path: str) -> Attributes | None:
        """By Debian's path, in a merged /usr."""
        return self._paths.get(path)


def _names(text: str) -> dict[int, str]:
    fields = (line.split(":") for line in text.splitlines() if line)
    return {int(words[2]): words[0] for words in fields}


def setup(dist: str, entries: Iterable[Entry]) -> Rpm:
    """The package of accounts, which Red Hat's systems have by this name."""
    return Rpm(
        name="setup",
        version="2.13.7",
        release=f"10{dist}",
        summary="A set of system configuration and setup files",
        entries=list(entries),
    )


def configured(dist: str, entries: Iterable[Entry]) -> Rpm:
    """Everything else."""
    return Rpm(
        name="testbed-configured",
        version="1",
        release=f"1{dist}",
        arch="x86_64",
        summary="What the maintainer scripts of Debian's packages make",
        entries=list(entries),
    )
