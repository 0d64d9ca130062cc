"""The disk: partitions, file systems, boot loader."""

from __future__ import annotations

import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
SECTOR = 512

# As the installer of Rocky Linux 9's cloud images lays them out: number, MiB, type, name.
_PARTITIONS = (
    (99, "U", "EFI System Partition"),
    (1000, "L", "boot"),
    (1, "21686148-6449-6E6F-744E-656564454649", "biosboot"),
    (0, "L", "root"),
)
SIZE = 10 << 30


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


def partitioned(path: Path) -> dict[str, tuple[int, int]]:
    """Makes an empty disk with its table. Returns start and length of each partition in bytes, by name."""
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    lines = ["label: gpt"]
    for mib, kind, name in _PARTITIONS:
        size = f"size={mib}MiB, " if mib else ""
        lines.append(f'{size}type={kind}, name="{name}"')
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", path], input="\n".join(lines), text=True, check=True)
    dumped = subprocess.run(["/usr/sbin/sfdisk", "--dump", path], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in dumped.splitlines():
        if "start=" in line:
            fields = dict(part.strip().split("=", 1) for part in line.split(":", 1)[1].split(","))
            found[fields["name"].strip('"')] = (int(fields["start"]) * SECTOR, int(fields["size"]) * SECTOR)
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


def fill(disk: Path, archive: Path, ids: Ids, root: str) -> None:
    """Makes the file systems and unpacks the archive, in one session of libguestfs: only root gives labels."""
    options = {"xfs": "", "ext4": ""}[root]
    script = f"""
run
mkfs {root} /dev/sda4 label:root{options}
mkfs xfs /dev/sda2 label:boot
mkfs vfat /dev/sda1 label:ESP
set-uuid /dev/sda4 {ids.root}
set-uuid /dev/sda2 {ids.boot}
mount /dev/sda4 /
mkdir /boot
mount /dev/sda2 /boot
debug sh "cd /sysroot && tar -x -p -f /dev/sdb --xattrs --xattrs-include=* --numeric-owner --exclude=./boot/efi/*"
mount /dev/sda1 /boot/efi
debug sh "cd /sysroot && tar -x --no-same-owner -f /dev/sdb ./boot/efi/EFI"
umount-all
"""
    environment = {**os.environ, "LIBGUESTFS_BACKEND": "direct"}
    command = ["guestfish", "--rw", "--format=raw", "-a", str(disk), "-a", str(archive)]
    done = subprocess.run(command, input=script, text=True, env=environment, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"guestfish cannot fill {disk}:\n{done.stdout}{done.stderr}")
