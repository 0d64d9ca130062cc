"""Red Hat's packages, made of a tree by the testbed's writer of spec files (../rpm_testbed)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from testbed.spec import Entry, Rpm

from .model import Package
from .tree import Trees, lay_out

# rpm of every release reads it.
PAYLOAD = "w1.gzdio"


def build(package: Package, out: Path, trees: Trees) -> Path:
    """Writes the package file into `out`."""
    with tempfile.TemporaryDirectory(prefix="standin-") as temporary:
        work = Path(temporary)
        root = work / "root"
        root.mkdir()
        lay_out(package, root, trees)
        return describe(package, root).build(root, out, work, PAYLOAD)


def describe(package: Package, root: Path) -> Rpm:
    """What rpmbuild is told of the package that is laid out in `root`."""
    epoch, _, rest = package.version.rpartition(":")
    version, _, release = rest.partition("-")
    rpm = Rpm(
        name=package.name,
        version=version,
        release=release,
        epoch=epoch,
        arch=package.architecture,
        summary=f"stands in for the vendor's {package.name}",
        scriptlets=package.scripts,
        entries=entries(package) + grown(package, root),
    )
    for name, values in package.relations.items():
        setattr(rpm, name, list(values))
    return rpm


def entries(package: Package) -> list[Entry]:
    """The package's paths: no more than the data says, so that directories of the system stay the system's."""

    def entry(path: str, mode: int, *flags: str) -> Entry:
        if given := package.attributes.get(path):
            return Entry(path, given.mode, given.owner, given.group, flags)
        return Entry(path, mode, flags=flags)

    found = [entry(path, 0o755, "dir") for path in package.directories]
    for file in package.files:
        flags = ("config(noreplace)",) if file.path in package.conffiles else ()
        found.append(entry(file.path, file.mode, *flags))
    return found + [Entry(path, 0o777, link=True) for path in package.links]


def grown(package: Package, root: Path) -> list[Entry]:
    """What lies below the places of the package's trees, all of it root's and for everybody to read."""
    found = []
    for place in package.trees:
        for directory, below, files in os.walk(root / place.lstrip("/")):
            here = f"/{Path(directory).relative_to(root)}"
            found += [Entry(f"{here}/{name}", 0o755, flags=("dir",)) for name in below]
            found += [Entry(f"{here}/{name}", 0o644) for name in files]
    return found
