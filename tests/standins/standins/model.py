"""What a vendor's packages are, as data/NAME.toml says it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# By the kind of package: scripts (and what debconf asks), and relations to others.
SCRIPTS = {
    "deb": ("preinst", "postinst", "config", "templates"),
    "rpm": ("pre", "post", "preun", "postun", "posttrans"),
}
RELATIONS = {
    "deb": ("depends", "pre-depends", "conflicts", "breaks", "replaces", "provides", "recommends"),
    "rpm": ("requires", "provides", "conflicts", "obsoletes", "recommends"),
}


class DataError(Exception):
    """The data is not what it must be."""


def kind(system: str) -> str:
    """Of the packages of a system such as `debian-12`: `deb` or `rpm`."""
    return "deb" if system.startswith(("debian-", "ubuntu-")) else "rpm"


@dataclass(frozen=True)
class File:
    """A file of a package."""

    path: str
    text: str
    mode: int


@dataclass(frozen=True)
class Attributes:
    """Whose a path of an RPM is; Debian's maintainer scripts say so."""

    mode: int
    owner: str
    group: str

    @staticmethod
    def of(text: str) -> Attributes:
        """Reads `0750 OWNER` or `0750 OWNER:GROUP`; a group that is not said has the owner's name."""
        mode, owner = text.split(" ")
        owner, _, group = owner.partition(":")
        return Attributes(int(mode, 8), owner, group or owner)


@dataclass(frozen=True)
class Package:
    """A package. Every one says where it is known from."""

    name: str
    version: str
    architecture: str
    source: str
    files: tuple[File, ...] = ()
    directories: tuple[str, ...] = ()
    conffiles: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    # Paths below which the content of a directory lies that whoever makes the package gives by a name.
    trees: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Attributes] = field(default_factory=dict)
    relations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    # A recipe's artifact that it stands in for; such a package is in no repository.
    artifact: str = ""

    @staticmethod
    def of(table: dict[str, Any], kind: str = "deb") -> Package:
        rest = dict(table)
        try:
            package = Package(
                name=rest.pop("name"),
                version=rest.pop("version"),
                architecture=rest.pop("architecture", "amd64" if kind == "deb" else "x86_64"),
                source=rest.pop("source"),
                files=tuple(
                    File(path, entry["text"], int(entry.get("mode", "0644"), 8))
                    for path, entry in rest.pop("file", {}).items()
                ),
                directories=tuple(rest.pop("directories", ())),
                conffiles=tuple(rest.pop("conffiles", ())),
                links=rest.pop("links", {}),
                trees=rest.pop("trees", {}),
                attributes={path: Attributes.of(text) for path, text in rest.pop("attributes", {}).items()},
                relations={key: tuple(rest.pop(key).split(", ")) for key in RELATIONS[kind] if key in rest},
                scripts={key: rest.pop(key) for key in SCRIPTS[kind] if key in rest},
                artifact=rest.pop("artifact", ""),
            )
        except KeyError as missing:
            raise DataError(f"package {table.get('name', '?')} has no {missing}") from missing
        if rest:
            raise DataError(f"package {package.name}: unknown key {sorted(rest)[0]}")
        paths = [*(file.path for file in package.files), *package.directories, *package.links]
        for path in (*paths, *package.conffiles, *package.trees):
            if not path.startswith("/") or ".." in path.split("/"):
                raise DataError(f"package {package.name}: {path} is no absolute path")
        if strays := set(package.conffiles) - {file.path for file in package.files}:
            raise DataError(f"package {package.name}: {min(strays)} is a conffile and no file")
        if strays := set(package.attributes) - set(paths):
            raise DataError(f"package {package.name}: {min(strays)} has attributes and is not there")
        if kind == "deb" and package.attributes:
            raise DataError(f"package {package.name}: maintainer scripts give files their owners")
        return package


@dataclass(frozen=True)
class Archive:
    """A tar that a person brings."""

    name: str
    artifact: str
    source: str
    files: tuple[File, ...]

    @staticmethod
    def of(table: dict[str, Any]) -> Archive:
        rest = dict(table)
        try:
            files = tuple(
                File(path, entry["text"], int(entry.get("mode", "0644"), 8)) for path, entry in rest.pop("file").items()
            )
            archive = Archive(rest.pop("name"), rest.pop("artifact"), rest.pop("source"), files)
        except KeyError as missing:
            raise DataError(f"archive {table.get('name', '?')} has no {missing}") from missing
        if rest:
            raise DataError(f"archive {archive.name}: unknown key {sorted(rest)[0]}")
        return archive


@dataclass(frozen=True)
class Datastore:
    """The packages of a vendor's repository that a recipe installs, and what a person brings."""

    packages: tuple[Package, ...]
    archives: tuple[Archive, ...] = ()

    @staticmethod
    def read(path: Path, system: str) -> Datastore:
        """What the vendor has for a system."""
        text = path.read_text(encoding="utf-8")
        # What the versions for one system have where those for another have something else.
        replaced: dict[str, str] = tomllib.loads(text).get("replaced", {}).get(system, {})
        for old, new in replaced.items():
            text = text.replace(old, new)
        data = tomllib.loads(text)
        data.pop("replaced", None)
        tables = {"deb": data.pop("package", []), "rpm": data.pop("rpm", [])}
        every = {key: tuple(Package.of(table, key) for table in found) for key, found in tables.items()}
        archives = tuple(Archive.of(table) for table in data.pop("archive", []))
        packages = every[kind(system)]
        if data or not (packages or archives):
            raise DataError(f"{path.name} has nothing for {system}, or more than packages and archives")
        return Datastore(packages, archives)
