"""What Red Hat's family calls Debian's packages, units and paths (names.toml)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.debian import merged

UNITS = "/usr/lib/systemd/system"


@dataclass(frozen=True)
class Extra:
    """What a package has that Debian's has not."""

    # Paths that are left out, with everything below them.
    without: tuple[str, ...] = ()
    # Where links point, by their paths.
    links: dict[str, str] = field(default_factory=dict)
    # Text of files that are added, or put in place of Debian's.
    text: dict[str, str] = field(default_factory=dict)
    # What is replaced in a file, and by what.
    replace: dict[str, list[list[str]]] = field(default_factory=dict)
    directories: tuple[dict[str, Any], ...] = ()
    owners: dict[str, list[str]] = field(default_factory=dict)
    users: tuple[dict[str, str], ...] = ()
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    not_requires: tuple[str, ...] = ()
    obsoletes: tuple[str, ...] = ()
    scriptlets: dict[str, str] = field(default_factory=dict)
    # Patterns of paths that are packages of their own, by these packages' names.
    split: dict[str, list[str]] = field(default_factory=dict)


class Naming:
    """The table of names."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.dropped = frozenset(table["drop"])
        self.unwanted: tuple[str, ...] = tuple(table["unwanted"])
        self._rename: dict[str, str] = table["rename"]
        self._patterns = [(re.compile(one["pattern"]), one["name"]) for one in table["rename_pattern"]]
        self._units: dict[str, str] = table["units"]
        self._paths: dict[str, str] = table["paths"]
        self._extras = {name: _extra(name, values) for name, values in table["package"].items()}

    @classmethod
    def read(cls, path: Path) -> Naming:
        with path.open("rb") as stream:
            return cls(tomllib.load(stream))

    def package(self, debian: str) -> str:
        """The name of the RPM that is made of a package."""
        for pattern, name in self._patterns:
            if pattern.fullmatch(debian):
                return str(name)
        return self._rename.get(debian, debian)

    def extra(self, debian: str) -> Extra:
        return self._extras.get(debian, Extra())

    def path(self, path: str) -> str | None:
        """Where a file of Debian's lies here; None for a link that the merge of /usr made."""
        place = merged(path)
        if place is None:
            return None
        fits = [prefix for prefix in self._paths if place == prefix or place.startswith(prefix + "/")]
        if fits:
            prefix = max(fits, key=len)
            place = self._paths[prefix] + place.removeprefix(prefix)
        directory, _, name = place.rpartition("/")
        if directory.startswith(UNITS):
            place = f"{directory}/{self._units.get(name, name)}"
        return place


def is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a path is one of these, or lies below one."""
    return any(path == prefix or path.startswith(prefix + "/") for prefix in prefixes)


def _extra(name: str, values: dict[str, Any]) -> Extra:
    if unknown := values.keys() - Extra.__dataclass_fields__.keys():
        raise ValueError(f"package.{name} has unknown keys: {', '.join(sorted(unknown))}")
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Extra(**given)
