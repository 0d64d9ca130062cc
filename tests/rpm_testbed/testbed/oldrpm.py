"""An rpm that writes Berkeley DB, as releases up to 8 have it: 4.16, of the release of Debian before this one."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from testbed.debian import paragraph

RELEASE = "bullseye"
# Today's have the same names of libraries, which dnf is linked with.
_LIBRARIES = ("librpm", "librpmio", "librpmbuild", "librpmsign")
PACKAGES = ("rpm", "rpm-common", "rpm2cpio", "liblua5.2-0", *(f"{name}9" for name in _LIBRARIES))


def fetch(directory: Path) -> list[Path]:
    """Downloads the packages as Debian has them."""
    directory.mkdir(parents=True, exist_ok=True)
    # The namespace's root is somebody else out here.
    directory.chmod(0o777)
    hook = f'cd "{directory}" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq download {" ".join(PACKAGES)}'
    command = ["mmdebstrap", "--quiet", "--mode=unshare", "--variant=custom", "--format=null"]
    command += [f"--customize-hook={hook}", RELEASE]
    environment = {**os.environ, "TMPDIR": str(directory)}
    subprocess.run(command, check=True, env=environment, cwd="/", stdin=subprocess.DEVNULL)
    return sorted(directory.glob("*.deb"))


def versions(status: Path) -> dict[str, str]:
    """The versions of a configured system's packages that have a name of rpm's, by Debian's names."""
    fields = (paragraph(text) for text in status.read_text().split("\n\n") if text.strip())
    return {one["Package"]: one["Version"] for one in fields if one["Package"] in PACKAGES}


def renamed(deb: Path, work: Path, versions: dict[str, str]) -> Path:
    """The same package with its libraries' names of the release before: `librpm.so.8`, in `librpm8`.

    It stands for today's package of its name, too, of which `versions` has the version.
    """
    tree = work / deb.stem
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    text = re.sub(rf"\b({'|'.join(_LIBRARIES)})9\b", r"\g<1>8", control.read_text())
    text = re.sub(r"debugedit \([^)]*\)", "debugedit", text)
    name = re.search(r"^Package: (.*)$", text, re.M)
    if name is not None and name[1] in versions:
        text += f"Provides: {name[1]} (= {versions[name[1]]})\n"
    control.write_text(text)
    subprocess.run(["rm", "-rf", tree / "usr/share/doc", tree / "usr/share/lintian"], check=True)
    for path in sorted(tree.rglob("*")):
        place = path.with_name(re.sub(r"\.so\.9\b", ".so.8", path.name)) if path.name.startswith("librpm") else path
        if path.is_symlink():
            target = re.sub(r"\.so\.9\b", ".so.8", os.readlink(path)) if place != path else os.readlink(path)
            path.unlink()
            place.symlink_to(target)
        elif path.is_file():
            content = path.read_bytes()
            if content.startswith(b"\x7fELF"):
                path.write_bytes(soname(content))
            path.rename(place)
    made = work / f"{tree.name}.renamed.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, made], check=True, capture_output=True)
    return made


def soname(content: bytes) -> bytes:
    """A program or library that calls rpm's libraries by their names of the release before, which are as long."""
    for name in _LIBRARIES:
        content = content.replace(f"{name}.so.9\0".encode(), f"{name}.so.8\0".encode())
    return content
