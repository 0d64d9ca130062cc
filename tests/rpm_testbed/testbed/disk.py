"""The disk: partitions, file systems, boot loader."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
SECTOR = 512

# As Rocky Linux 9's cloud images are laid out: MiB, type, name. The last takes what is left.
_PARTITIONS = (
    (99, "U", "EFI System Partition"),
    (1000, "L", "boot"),
    (1, "21686148-6449-6E6F-744E-656564454649", "biosboot"),
    (0, "L", "root"),
)
# Fedora's subvolumes, by where they are mounted.
SUBVOLUMES = {"/": "root", "/home": "home", "/var": "var"}
SIZE = 10 << 30
# User-mode Linux, as Debian calls it.
_LINUX = "linux.uml"


@dataclass(frozen=True)
class Ids:
    """UUIDs of the file systems."""

    root: str
    boot: str
    esp: str

    @classmethod
    def of(cls, seed: str) -> Ids:
        one = [str(uuid.uuid5(uuid.NAMESPACE_URL, f"{seed} {name}")) for name in ("root", "boot", "esp")]
        return cls(one[0], one[1], f"{one[2][:4]}-{one[2][4:8]}".upper())


@dataclass(frozen=True)
class Layout:
    """File systems of the root and of `/boot`, which is empty where that is a directory of the root."""

    root: str
    boot: str
    ids: Ids
    # What mkfs.xfs is told for the root.
    xfs: str = ""
    # Whether there is nothing but a root, in a table of the old kind.
    mbr: bool = False

    def fstab(self) -> str:
        """What is mounted where."""
        root, boot = f"UUID={self.ids.root}", f"UUID={self.ids.boot}"
        if self.root == "btrfs":
            lines = [f"{root} {place} btrfs subvol={name},compress=zstd:1 0 0" for place, name in SUBVOLUMES.items()]
        else:
            lines = [f"{root} / {self.root} defaults 0 0"]
        lines += [f"{boot} /boot {self.boot} defaults 0 0"] if self.boot else []
        lines += [] if self.mbr else ["LABEL=ESP /boot/efi vfat defaults,uid=0,gid=0,umask=077,shortname=winnt 0 2"]
        return "".join(f"{line}\n" for line in lines)

    @property
    def options(self) -> str:
        """What the kernel is told of its root."""
        return f"root=UUID={self.ids.root} ro" + (" rootflags=subvol=root" if self.root == "btrfs" else "")

    @property
    def grub(self) -> tuple[str, str]:
        """The file system that GRUB reads, by UUID, and where `/boot` lies in it."""
        return (self.ids.boot, "") if self.boot else (self.ids.root, "/boot")

    def _partitions(self) -> list[tuple[int, str, str]]:
        if self.mbr:
            return [one for one in _PARTITIONS if one[2] == "root"]
        return [one for one in _PARTITIONS if self.boot or one[2] != "boot"]

    def table(self) -> str:
        """The partitions, for sfdisk."""
        if self.mbr:
            return "label: dos\nstart=2048, type=83, bootable"
        lines = ["label: gpt"]
        for mib, kind, name in self._partitions():
            size = f"size={mib}MiB, " if mib else ""
            lines.append(f'{size}type={kind}, name="{name}"')
        return "\n".join(lines)

    def script(self, disk: str, archive: str, place: str) -> str:
        """A shell script that makes the file systems and fills them. `disk` is what partitions' names begin with."""

        def device(name: str) -> str:
            return f"{disk}{[one[2] for one in self._partitions()].index(name) + 1}"

        root, ids = device("root"), self.ids
        lines = ["set -eux"]
        if self.root == "btrfs":
            lines += [f"mkfs.btrfs -q -f -L root -U {ids.root} {root}", f"mount {root} {place}"]
            lines += [f"btrfs -q subvolume create {place}/{name}" for name in SUBVOLUMES.values()]
            lines.append(f"umount {place}")
            for point, name in SUBVOLUMES.items():
                lines += [] if point == "/" else [f"mkdir {place}{point}"]
                lines.append(f"mount -o subvol={name} {root} {place}{point}")
        else:
            lines += [f"mkfs.xfs -q -f -L root -m uuid={ids.root} {self.xfs} {root}", f"mount {root} {place}"]
        if self.boot:
            force, uuid = ("-f", f"-m uuid={ids.boot}") if self.boot == "xfs" else ("-F", f"-U {ids.boot}")
            lines.append(f"mkfs.{self.boot} -q {force} -L boot {uuid} {device('boot')}")
            lines += [f"mkdir {place}/boot", f"mount {device('boot')} {place}/boot"]
        tar = f"tar -x -f {archive} -C {place}"
        lines.append(f"{tar} -p --xattrs '--xattrs-include=*' --numeric-owner '--exclude=./boot/efi/*'")
        if not self.mbr:
            esp = device("EFI System Partition")
            lines += [f"mkfs.vfat -n ESP -i {ids.esp.replace('-', '')} {esp}", f"mount {esp} {place}/boot/efi"]
            lines += [f"{tar} --no-same-owner ./boot/efi/EFI"]
        return "\n".join([*lines, f"umount -R {place}", ""])


def partitioned(path: Path, layout: Layout) -> dict[str, tuple[int, int]]:
    """Makes an empty disk with its table. Returns start and length of each partition in bytes, by name."""
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", path], input=layout.table(), text=True, check=True)
    dumped = subprocess.run(["/usr/sbin/sfdisk", "--dump", path], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in dumped.splitlines():
        if "start=" in line:
            fields = dict(part.strip().split("=", 1) for part in line.split(":", 1)[1].split(",") if "=" in part)
            found[fields.get("name", "root").strip('"')] = (int(fields["start"]) * SECTOR, int(fields["size"]) * SECTOR)
    if layout.mbr:
        # GRUB lies between the table and the first partition.
        found["biosboot"] = (SECTOR, found["root"][0] - SECTOR)
    return found


def bios_boot(disk: Path, place: tuple[int, int], boot: bytes, core: bytes) -> None:
    """Writes GRUB's first sector and what it loads, as grub-bios-setup does."""
    start, room = place
    first = bytearray(boot)
    first[0x03:0x5A] = bytes(0x5A - 0x03)
    first[0x5C:0x64] = (start // SECTOR).to_bytes(8, "little")
    # Two instructions that do nothing: a hard disk is never taken for a floppy.
    first[0x66:0x68] = b"\x90\x90"
    sectors = -(-len(core) // SECTOR)
    if sectors * SECTOR > room:
        raise ValueError(f"GRUB's core image of {len(core)} bytes does not fit into {room}")
    loaded = bytearray(core.ljust(sectors * SECTOR, b"\0"))
    # The first sector ends in a list of runs, read backwards: where, how many, to which segment. Nothing ends it.
    loaded[488:512] = (
        bytes(12) + (start // SECTOR + 1).to_bytes(8, "little") + (sectors - 1).to_bytes(2, "little") + b"\x20\x08"
    )
    with disk.open("r+b") as stream:
        stream.write(first[:440])
        stream.seek(start)
        stream.write(loaded)


def fill(disk: Path, archive: Path, layout: Layout, work: Path) -> None:
    """Makes the file systems and unpacks the archive, where this user is root and gives labels.

    That is Linux as a program of the user, which takes seconds, or where there is none, libguestfs' appliance.
    """
    if shutil.which(_LINUX):
        _by_linux(disk, archive, layout, work)
    else:
        _by_appliance(disk, archive, layout)


def _by_linux(disk: Path, archive: Path, layout: Layout, work: Path) -> None:
    init, log, done = work / "init", work / "linux.log", work / "filled"
    init.write_text(f"""#!/bin/sh
exec </dev/null >{log} 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /mnt
mkdir /mnt/dev /mnt/place
mount -t devtmpfs devtmpfs /dev
modules=/usr/lib/uml/modules/$(uname -r)/kernel/fs
for module in nls/nls_cp437 nls/nls_ascii nls/nls_iso8859-1 nls/nls_utf8 fat/fat fat/vfat; do
    insmod $modules/$module.ko || :
done
(
{layout.script("/dev/ubda", "/dev/ubdb", "/mnt/place")}
) && touch {done}
sync
echo o >/proc/sysrq-trigger
sleep 60
""")
    init.chmod(0o755)
    command = [
        _LINUX,
        "mem=1G",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "rw",
        "quiet",
        "selinux=0",
        "con=null",
        "con0=null,fd:1",
    ]
    command += [f"ubd0={disk}", f"ubd1r={archive}", f"init={init}"]
    # Its memory is a file of what it finds by itself, in memory.
    environment = {"PATH": os.environ["PATH"], "HOME": str(work)}
    said = subprocess.run(
        command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if not done.exists():
        told = log.read_text(errors="replace") if log.exists() else ""
        raise RuntimeError(f"{_LINUX} cannot fill {disk}:\n{said.stdout[-2000:]}{said.stderr[-2000:]}{told[-2000:]}")


def _by_appliance(disk: Path, archive: Path, layout: Layout) -> None:
    script = base64.b64encode(layout.script("/dev/sda", "/dev/sdb", "/sysroot").encode()).decode()
    commands = f'run\ndebug sh "echo {script} | base64 -d | sh"\n'
    environment = {**os.environ, "LIBGUESTFS_BACKEND": "direct"}
    command = ["guestfish", "--rw", "--format=raw", "-a", str(disk), "-a", str(archive)]

    def filled() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, input=commands, text=True, env=environment, capture_output=True, check=False)

    done = filled()
    # There are machines whose /dev/kvm can be opened, and aborts QEMU.
    if done.returncode != 0 and "guestfs_launch failed" in done.stderr:
        environment["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
        done = filled()
    if done.returncode != 0:
        raise RuntimeError(f"guestfish cannot fill {disk}:\n{done.stdout}{done.stderr}")
