"""Repositories as dnf reads them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from testbed.signing import Key


def make(directory: Path, packages: Iterable[Path], key: Key, modules: str | None = None, sqlite: bool = False) -> None:
    """Makes a repository with signed metadata of packages, by hard links. `modules` describes streams, as YAML.

    `sqlite` adds the databases that yum reads.
    """
    places = directory / "Packages"
    places.mkdir(parents=True, exist_ok=True)
    for package in packages:
        place = places / package.name
        place.unlink(missing_ok=True)
        os.link(package, place)
    databases = "--database" if sqlite else "--no-database"
    _run("createrepo_c", "--quiet", "--workers", "2", databases, str(directory))
    if modules is not None:
        text = directory / "modules.yaml"
        text.write_text(modules)
        _run("modifyrepo_c", "--mdtype=modules", str(text), str(directory / "repodata"))
        text.unlink()
    key.sign_file(directory / "repodata/repomd.xml")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
