"""The files of a package, as a tree."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from .model import DataError, Package

# By their names.
Trees = Mapping[str, Path]


def lay_out(package: Package, tree: Path, trees: Trees) -> None:
    """Puts directories, files and links below `tree`, and the content of what the package takes of `trees`."""
    tree.chmod(0o755)
    for path, name in package.trees.items():
        if name not in trees:
            raise DataError(f"package {package.name} takes the tree {name}, which is not given")
        # With the times of the files: compiled modules are good for those.
        shutil.copytree(trees[name], tree / path.lstrip("/"), symlinks=True)
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
