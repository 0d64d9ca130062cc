"""Archives that a person brings, made from the data."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from .model import Archive


def build(archive: Archive, out: Path) -> Path:
    """Writes the archive into `out`, under the name of the recipe's artifact."""
    target = out / archive.artifact
    with tarfile.open(target, "w:gz") as tar:
        for file in archive.files:
            content = file.text.encode()
            entry = tarfile.TarInfo(file.path)
            entry.size, entry.mode = len(content), file.mode
            tar.addfile(entry, io.BytesIO(content))
    return target
