"""The files of a package, as a tree."""

from __future__ import annotations

from pathlib import Path

from .model import Package


def lay_out(package: Package, tree: Path) -> None:
    """Puts directories, files and links below `tree`."""
    tree.chmod(0o755)
    for directory in package.directories:
        (tree / directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for file in package.files:
        write(tree / file.path.lstrip("/"), file.text, file.mode)
    for path, target in package.links.items():
        link = tree / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def write(path: Path, text: str, mode: int) -> None:
    """A file with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
