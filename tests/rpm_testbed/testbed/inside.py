"""What runs in a user namespace whose root owns the guest: packages are installed, and all is packed into an archive.

usage: inside.py ORDER, a JSON file. It uses nothing but the standard library and programs.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

# As matchpathcon calls them, by the first letter alone.
_KINDS = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
}
# What no label is given.
_NONE = "<<none>>"
# Arguments of one program, in bytes.
_ARGUMENTS = 1 << 20


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text())
    root = Path(order["root"])
    if root.exists():
        shutil.rmtree(root)
    root.mkdir(mode=0o755)
    try:
        install(root, order)
        finish(root, order)
        pack(root, order)
    finally:
        # Outside nobody may remove it.
        for name in ("proc", "dev"):
            subprocess.run(["umount", "-R", root / name], check=False, capture_output=True)
        shutil.rmtree(root)


def install(root: Path, order: dict[str, Any]) -> None:
    """Installs packages, the accounts first."""
    rpm = ["rpm", "--root", str(root), "--dbpath", order["dbpath"]]
    run(*rpm, "--import", order["key"])
    rpm += ["--define", "_pkgverify_level all"]
    # Scripts are for whoever installs into a running system: the accounts are there, and presets are for all units.
    run(*rpm, "-i", "--nodeps", "--noscripts", *order["first"])
    run(*rpm, "-i", "--noscripts", *order["packages"])
    # When the first came there were no names of users yet.
    run(*rpm, "--restore", "setup", "base-files")
    run("mount", "--make-rslave", "/")
    for name in ("dev", "proc"):
        (root / name).mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root / "dev"))
    for device in ("null", "zero", "urandom", "random"):
        (root / "dev" / device).touch()
        run("mount", "--bind", f"/dev/{device}", str(root / "dev" / device))
    run("mount", "-t", "proc", "proc", str(root / "proc"))
    run("chroot", str(root), "ldconfig")
    run("chroot", str(root), "systemctl", "--quiet", "preset-all")
    if order["database"] == "bdb":
        # The guest's own rpm makes of SQLite's database the one that it knows.
        run("chroot", str(root), "rpmdb", "--rebuilddb")
        directory = root / order["dbpath"].lstrip("/")
        for left in [*directory.glob("rpmdb.sqlite*"), *directory.glob("__db.*")]:
            left.unlink()


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def finish(root: Path, order: dict[str, Any]) -> None:
    """Writes what an installer writes, which belongs to no package in real systems either."""
    for path, text in order["written"].items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o644)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    for platform, modules, target in order["grub"]:
        grub = root / "usr/lib/grub" / platform
        place = root / "boot/grub2" / platform
        place.mkdir(parents=True, exist_ok=True)
        for file in [*grub.glob("*.mod"), *grub.glob("*.lst")]:
            shutil.copy(file, place)
        (root / "tmp/load.cfg").write_text(order["load"])
        out = root / target.lstrip("/")
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                "chroot",
                root,
                "grub-mkimage",
                "-O",
                platform,
                "-o",
                target,
                "-c",
                "/tmp/load.cfg",
                "-p",
                "/grub2",
                *modules,
            ],
            check=True,
        )
        if platform == "i386-pc":
            shutil.copy(grub / "boot.img", place)
        (root / "tmp/load.cfg").unlink()
    for name in ("proc", "dev"):
        run("umount", "-R", str(root / name))
    for left in (root / "dev").iterdir():
        left.unlink()


def labels(root: Path, contexts: Path) -> dict[str, str]:
    """The SELinux label of each path, by libselinux."""
    by_kind: dict[str, list[str]] = {}
    for path, status in walk(root):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is not None:
            by_kind.setdefault(kind, []).append(path)
    found: dict[str, str] = {}
    for kind, paths in by_kind.items():
        for some in parts(paths):
            command = ["matchpathcon", "-n", "-m", kind, "-f", str(contexts), *some]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            if len(said) != len(some):
                raise RuntimeError(f"matchpathcon told {len(said)} labels of {len(some)} paths")
            found.update(zip(some, said, strict=True))
    return {path: label for path, label in found.items() if label != _NONE}


def parts(paths: list[str]) -> list[list[str]]:
    """Paths in portions that one command line can hold."""
    all_parts: list[list[str]] = [[]]
    size = 0
    for path in paths:
        length = len(os.fsencode(path)) + 9
        if size + length > _ARGUMENTS:
            all_parts.append([])
            size = 0
        all_parts[-1].append(path)
        size += length
    return [part for part in all_parts if part]


def walk(root: Path) -> list[tuple[str, os.stat_result]]:
    """Every path below the root as the guest has it, itself first."""
    found = [("/", root.lstat())]
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted([*names, *files]):
            place = os.path.join(directory, name)
            found.append((place.removeprefix(str(root)), os.lstat(place)))
    return found


def pack(root: Path, order: dict[str, Any]) -> None:
    """Writes the tree into an archive with labels and capabilities, which an unprivileged user cannot give to files."""
    label = labels(root, root / "etc/selinux/targeted/contexts/files/file_contexts")
    with tarfile.open(order["archive"], "w", format=tarfile.PAX_FORMAT) as archive:
        for path, _ in walk(root):
            member = archive.gettarinfo(f"{root}{path}", arcname=f".{path}")
            if member is None:
                continue
            member.uname = member.gname = ""
            headers = {}
            if path in label:
                # The kernel has a zero byte at the end of it.
                headers["SCHILY.xattr.security.selinux"] = label[path] + "\0"
            if member.isreg():
                capability = attribute(f"{root}{path}", "security.capability")
                if capability is not None:
                    headers["SCHILY.xattr.security.capability"] = capability.decode("utf-8", "surrogateescape")
            member.pax_headers = headers
            if member.isreg():
                with open(f"{root}{path}", "rb") as stream:
                    archive.addfile(member, stream)
            else:
                archive.addfile(member)


def attribute(path: str, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


if __name__ == "__main__":
    main()
