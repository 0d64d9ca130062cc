"""What a vendor's packages are, as data/NAME.toml says it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Maintainer scripts, and what debconf asks.
SCRIPTS = ("preinst", "postinst", "config", "templates")
RELATIONS = ("depends", "pre-depends", "conflicts", "breaks", "replaces", "provides", "recommends")


class DataError(Exception):
    """The data is not what it must be."""


@dataclass(frozen=True)
class File:
    """A file of a package."""

    path: str
    text: str
    mode: int


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
    relations: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    # A recipe's artifact that it stands in for; such a package is in no repository.
    artifact: str = ""

    @staticmethod
    def of(table: dict[str, Any]) -> Package:
        rest = dict(table)
        try:
            package = Package(
                name=rest.pop("name"),
                version=rest.pop("version"),
                architecture=rest.pop("architecture", "amd64"),
                source=rest.pop("source"),
                files=tuple(
                    File(path, entry["text"], int(entry.get("mode", "0644"), 8))
                    for path, entry in rest.pop("file", {}).items()
                ),
                directories=tuple(rest.pop("directories", ())),
                conffiles=tuple(rest.pop("conffiles", ())),
                links=rest.pop("links", {}),
                relations={key: rest.pop(key) for key in RELATIONS if key in rest},
                scripts={key: rest.pop(key) for key in SCRIPTS if key in rest},
                artifact=rest.pop("artifact", ""),
            )
        except KeyError as missing:
            raise DataError(f"package {table.get('name', '?')} has no {missing}") from missing
        if rest:
            raise DataError(f"package {package.name}: unknown key {sorted(rest)[0]}")
        paths = [*(file.path for file in package.files), *package.directories, *package.links]
        for path in (*paths, *package.conffiles):
            if not path.startswith("/") or ".." in path.split("/"):
                raise DataError(f"package {package.name}: {path} is no absolute path")
        if strays := set(package.conffiles) - {file.path for file in package.files}:
            raise DataError(f"package {package.name}: {min(strays)} is a conffile and no file")
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
    def read(path: Path) -> Datastore:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        packages = tuple(Package.of(table) for table in data.pop("package", []))
        archives = tuple(Archive.of(table) for table in data.pop("archive", []))
        if data or not (packages or archives):
            raise DataError(f"{path.name} has no packages and no archives, or more than these")
        return Datastore(packages, archives)
