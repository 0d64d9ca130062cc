"""The disk: partitions, file systems, boot loader."""

from __future__ import annotations

import os
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
SUBVOLUMES = {"/": "root", "/home": "home"}
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


@dataclass(frozen=True)
class Layout:
    """File systems of the root and of `/boot`, which is empty where that is a directory of the root."""

    root: str
    boot: str
    ids: Ids

    def fstab(self) -> str:
        """What is mounted where."""
        root, boot = f"UUID={self.ids.root}", f"UUID={self.ids.boot}"
        if self.root == "btrfs":
            lines = [f"{root} {place} btrfs subvol={name},compress=zstd:1 0 0" for place, name in SUBVOLUMES.items()]
        else:
            lines = [f"{root} / {self.root} defaults 0 0"]
        lines += [f"{boot} /boot {self.boot} defaults 0 0"] if self.boot else []
        lines.append("LABEL=ESP /boot/efi vfat defaults,uid=0,gid=0,umask=077,shortname=winnt 0 2")
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
        return [one for one in _PARTITIONS if self.boot or one[2] != "boot"]

    def device(self, name: str) -> str:
        """How the appliance calls a partition."""
        return f"/dev/sda{[one[2] for one in self._partitions()].index(name) + 1}"

    def table(self) -> str:
        """The partitions, for sfdisk."""
        lines = ["label: gpt"]
        for mib, kind, name in self._partitions():
            size = f"size={mib}MiB, " if mib else ""
            lines.append(f'{size}type={kind}, name="{name}"')
        return "\n".join(lines)

    def made(self) -> str:
        """Commands of guestfish that make the file systems and mount them, but for the ESP."""
        root, boot = self.device("root"), self.device("boot") if self.boot else ""
        lines = [f"mkfs {self.root} {root} label:root", f"mkfs vfat {self.device('EFI System Partition')} label:ESP"]
        lines.append(f"set-uuid {root} {self.ids.root}")
        if self.root == "btrfs":
            lines.append(f"mount {root} /")
            lines += [f"btrfs-subvolume-create /{name}" for name in SUBVOLUMES.values()]
            lines.append("umount-all")
            for place, name in SUBVOLUMES.items():
                lines += [] if place == "/" else [f"mkdir {place}"]
                lines.append(f"mount-options subvol={name} {root} {place}")
        else:
            lines.append(f"mount {root} /")
        if boot:
            lines += [f"mkfs {self.boot} {boot} label:boot", f"set-uuid {boot} {self.ids.boot}"]
            lines += ["mkdir /boot", f"mount {boot} /boot"]
        return "\n".join(lines)


def partitioned(path: Path, layout: Layout) -> dict[str, tuple[int, int]]:
    """Makes an empty disk with its table. Returns start and length of each partition in bytes, by name."""
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", path], input=layout.table(), text=True, check=True)
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


def fill(disk: Path, archive: Path, layout: Layout) -> None:
    """Makes the file systems and unpacks the archive, in one session of libguestfs: only root gives labels."""
    script = f"""
run
{layout.made()}
debug sh "cd /sysroot && tar -x -p -f /dev/sdb --xattrs --xattrs-include=* --numeric-owner --exclude=./boot/efi/*"
mount {layout.device("EFI System Partition")} /boot/efi
debug sh "cd /sysroot && tar -x --no-same-owner -f /dev/sdb ./boot/efi/EFI"
umount-all
"""
    environment = {**os.environ, "LIBGUESTFS_BACKEND": "direct"}
    command = ["guestfish", "--rw", "--format=raw", "-a", str(disk), "-a", str(archive)]

    def filled() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, input=script, text=True, env=environment, capture_output=True, check=False)

    done = filled()
    # There are machines whose /dev/kvm can be opened, and aborts QEMU.
    if done.returncode != 0 and "guestfs_launch failed" in done.stderr:
        environment["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
        done = filled()
    if done.returncode != 0:
        raise RuntimeError(f"guestfish cannot fill {disk}:\n{done.stdout}{done.stderr}")
