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
class Datastore:
    """The packages of a vendor's repository that a recipe installs."""

    packages: tuple[Package, ...]

    @staticmethod
    def read(path: Path) -> Datastore:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        packages = tuple(Package.of(table) for table in data.pop("package", []))
        if data or not packages:
            raise DataError(f"{path.name} has no packages, or more than these")
        return Datastore(packages)
