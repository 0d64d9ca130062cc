"""Debian's packages, made by dpkg-deb from a tree."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from .model import Package
from .tree import Trees, lay_out, write

MAINTAINER = "tib's tests <tib@example.org>"


def build(package: Package, out: Path, trees: Trees) -> Path:
    """Writes the package file into `out`."""
    with tempfile.TemporaryDirectory(prefix="standin-") as temporary:
        tree = Path(temporary)
        lay_out(package, tree, trees)
        describe(package, tree)
        target = out / f"{package.name}_{package.version.split(':')[-1]}_{package.architecture}.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target


def describe(package: Package, tree: Path) -> None:
    """What dpkg is told of the package."""
    write(tree / "DEBIAN/control", control(package), 0o644)
    if package.conffiles:
        write(tree / "DEBIAN/conffiles", "".join(f"{path}\n" for path in package.conffiles), 0o644)
    for name, text in package.scripts.items():
        write(tree / "DEBIAN" / name, text, 0o644 if name == "templates" else 0o755)


def control(package: Package) -> str:
    """The control file."""
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": package.architecture,
        "Maintainer": MAINTAINER,
        **{relation.title(): ", ".join(value) for relation, value in package.relations.items()},
        "Description": f"stands in for the vendor's {package.name}",
    }
    return "".join(f"{key}: {value}\n" for key, value in fields.items())


def index(out: Path) -> None:
    """The index of all packages in `out`."""
    listed = subprocess.run(["apt-ftparchive", "packages", "."], cwd=out, check=True, capture_output=True, text=True)
    (out / "Packages").write_text(listed.stdout, encoding="utf-8")
