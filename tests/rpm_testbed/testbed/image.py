"""A guest's image: packages installed into an empty tree, packed with labels, on a disk that boots."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from testbed import disk, inside
from testbed.variant import Variant

_CMDLINE = "console=tty0 console=ttyS0,115200n8 no_timestamp_check net.ifnames=0"


@dataclass(frozen=True)
class Parts:
    """The packages of an image."""

    # Those that all others stand on: accounts, links of the merged /usr.
    first: list[Path]
    packages: list[Path]
    kernel: str
    key: Path


def make(variant: Variant, parts: Parts, work: Path, output: Path) -> None:
    """Makes the qcow2 image `output`."""
    ids = disk.Ids.of(variant.key)
    raw, archive = work / "disk.raw", work / "root.tar"
    order = work / "order.json"
    root = f"root=UUID={ids.root} ro {_CMDLINE}"
    machine_id = "ffffffffffffffffffffffffffffffff"
    written = {
        "/etc/fstab": f"UUID={ids.root} / {variant.root} defaults 0 0\nUUID={ids.boot} /boot xfs defaults 0 0\n"
        "LABEL=ESP /boot/efi vfat defaults,uid=0,gid=0,umask=077,shortname=winnt 0 2\n",
        "/etc/machine-id": "",
        "/etc/hostname": "localhost.localdomain\n",
        "/etc/hosts": "127.0.0.1 localhost localhost.localdomain\n::1 localhost localhost.localdomain\n",
        "/etc/default/grub": f'GRUB_TIMEOUT=1\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX="{_CMDLINE}"\n'
        "GRUB_ENABLE_BLSCFG=true\n",
        f"/boot/loader/entries/{machine_id}-{parts.kernel}.conf": f"title {variant.pretty} ({parts.kernel})\n"
        f"version {parts.kernel}\nlinux /vmlinuz-{parts.kernel}\ninitrd /initramfs-{parts.kernel}.img\noptions {root}\n"
        f"grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class {variant.id}\n",
        "/boot/grub2/grub.cfg": f"set default=0\nset timeout=1\nsearch --no-floppy --fs-uuid --set=root {ids.boot}\n"
        "insmod blscfg\nblscfg\n",
        # Debian's GRUB has no blscfg: what the entry says, for the core image, which reads this in place of grub.cfg.
        "/boot/grub2/testbed.cfg": f"linux ($root)/vmlinuz-{parts.kernel} {root}\n"
        f"initrd ($root)/initramfs-{parts.kernel}.img\nboot\n",
    }
    modules = ["part_gpt", "xfs", "search_fs_uuid", "configfile", "linux", "normal", "gzio"]
    order.write_text(
        json.dumps(
            {
                "root": str(work / "root"),
                "dbpath": variant.dbpath,
                "key": str(parts.key),
                "first": [str(path) for path in parts.first],
                "packages": [str(path) for path in parts.packages],
                "written": written,
                "load": f"search.fs_uuid {ids.boot} root\nset prefix=($root)/grub2\nconfigfile $prefix/testbed.cfg\n",
                "grub": [
                    ["i386-pc", ["biosdisk", *modules], "/boot/grub2/i386-pc/core.img"],
                    ["x86_64-efi", modules, "/boot/efi/EFI/BOOT/BOOTX64.EFI"],
                ],
                "archive": str(archive),
            }
        )
    )
    for shared in (work, order):
        shared.chmod(0o777 if shared is work else 0o644)
    archive.touch()
    archive.chmod(0o666)
    helper = ["mmdebstrap", "--unshare-helper", sys.executable, "-B", inside.__file__, str(order)]
    subprocess.run(helper, check=True, cwd="/")
    places = disk.partitioned(raw)
    boot, core = _grub(archive)
    disk.bios_boot(raw, places["biosboot"], boot, core)
    disk.fill(raw, archive, ids, variant.root)
    command = [
        "qemu-img",
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "-c",
        "-o",
        "compression_type=zstd",
        str(raw),
        str(output),
    ]
    subprocess.run(command, check=True)


def _grub(archive: Path) -> tuple[bytes, bytes]:
    def read(name: str) -> bytes:
        command = ["tar", "-x", "-O", "-f", str(archive), f"./boot/grub2/i386-pc/{name}"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    return read("boot.img"), read("core.img")
