"""A guest's image: packages installed into an empty tree, packed with labels, on a disk that boots."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed import disk, inside
from testbed.variant import Variant

# Debian's kernel takes AppArmor unless told. Its policy denies cloud-init what Red Hat's allows, so it is not enforced.
_CMDLINE = "console=tty0 console=ttyS0,115200n8 no_timestamp_check net.ifnames=0 security=selinux enforcing=0"


@dataclass(frozen=True)
class Parts:
    """The packages of an image."""

    # Those that all others stand on: accounts, links of the merged /usr.
    first: list[Path]
    packages: list[Path]
    kernel: str
    key: Path


def make(variant: Variant, parts: Parts, work: Path, output: Path, say: Callable[[str], None]) -> None:
    """Makes the qcow2 image `output`, and says how far it is."""
    layout = disk.Layout(variant.root, variant.boot, disk.Ids.of(variant.key), variant.xfs, variant.mbr)
    raw, archive = work / "disk.raw", work / "root.tar"
    order = work / "order.json"
    grub_fs, boot_path = layout.grub
    # A menu that `configfile` reads from within the core image waits for a key for ever.
    load = "normal $prefix/grub.cfg" if layout.mbr else "configfile $prefix/testbed.cfg"
    written = {
        "/etc/fstab": layout.fstab(),
        "/etc/machine-id": "",
        "/etc/hostname": "localhost.localdomain\n",
        "/etc/hosts": "127.0.0.1 localhost localhost.localdomain\n::1 localhost localhost.localdomain\n",
        **(_menu(variant, parts, layout) if layout.mbr else _entries(variant, parts, layout)),
    }
    table = "part_msdos" if layout.mbr else "part_gpt"
    modules = [table, "xfs", "ext2", "search_fs_uuid", "configfile", "linux", "normal", "gzio"]
    platforms = [["i386-pc", ["biosdisk", *modules], "/boot/grub2/i386-pc/core.img"]]
    if not layout.mbr:
        platforms.append(["x86_64-efi", modules, "/boot/efi/EFI/BOOT/BOOTX64.EFI"])
    order.write_text(
        json.dumps(
            {
                "root": str(work / "root"),
                "dbpath": variant.dbpath,
                "database": variant.database,
                "key": str(parts.key),
                "first": [str(path) for path in parts.first],
                "packages": [str(path) for path in parts.packages],
                "written": written,
                "load": f"search.fs_uuid {grub_fs} root\nset prefix=($root){boot_path}/grub2\n{load}\n",
                "grub": platforms,
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
    say("packages are installed")
    places = disk.partitioned(raw, layout)
    boot, core = _grub(archive)
    disk.bios_boot(raw, places["biosboot"], boot, core)
    disk.fill(raw, archive, layout, work)
    say("the disk is filled")
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


def _entries(variant: Variant, parts: Parts, layout: disk.Layout) -> dict[str, str]:
    """What the boot loader reads: entries, as releases from 8 on have them."""
    grub_fs, boot_path = layout.grub
    root = f"{layout.options} {_CMDLINE}"
    machine_id = "ffffffffffffffffffffffffffffffff"
    return {
        "/etc/default/grub": f'GRUB_TIMEOUT=1\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX="{_CMDLINE}"\n'
        "GRUB_ENABLE_BLSCFG=true\n",
        f"/boot/loader/entries/{machine_id}-{parts.kernel}.conf": f"title {variant.pretty} ({parts.kernel})\n"
        f"version {parts.kernel}\nlinux {boot_path}/vmlinuz-{parts.kernel}\n"
        f"initrd {boot_path}/initramfs-{parts.kernel}.img\noptions {root}\n"
        f"grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class {variant.id}\n",
        "/boot/grub2/grub.cfg": f"set default=0\nset timeout=1\nsearch --no-floppy --fs-uuid --set=root {grub_fs}\n"
        "insmod blscfg\nblscfg\n",
        # Debian's GRUB has no blscfg: what the entry says, for the core image, which reads this in place of grub.cfg.
        "/boot/grub2/testbed.cfg": f"linux ($root){boot_path}/vmlinuz-{parts.kernel} {root}\n"
        f"initrd ($root){boot_path}/initramfs-{parts.kernel}.img\nboot\n",
    }


def _menu(variant: Variant, parts: Parts, layout: disk.Layout) -> dict[str, str]:
    """A menu as releases before 8 have it."""
    grub_fs, boot_path = layout.grub
    return {
        "/etc/default/grub": f'GRUB_TIMEOUT=1\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX="{_CMDLINE}"\n'
        'GRUB_DISABLE_RECOVERY="true"\n',
        "/boot/grub2/grub.cfg": f"""set default=0
set timeout=1
menuentry '{variant.name} ({parts.kernel}) {variant.version}' --class {variant.id} --class gnu-linux --unrestricted {{
    insmod part_msdos
    insmod {layout.root}
    search --no-floppy --fs-uuid --set=root {grub_fs}
    linux16 {boot_path}/vmlinuz-{parts.kernel} {layout.options} {_CMDLINE}
    initrd16 {boot_path}/initramfs-{parts.kernel}.img
}}
""",
    }


def _grub(archive: Path) -> tuple[bytes, bytes]:
    def read(name: str) -> bytes:
        command = ["tar", "-x", "-O", "-f", str(archive), f"./boot/grub2/i386-pc/{name}"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    return read("boot.img"), read("core.img")
