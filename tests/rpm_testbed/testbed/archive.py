"""A configured system of Debian's, its packages and those of the repositories, with mmdebstrap."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from testbed.debian import paragraph

# What the guest consists of.
GUEST = [
    "acl",
    "attr",
    "auditd",
    "btrfs-progs",
    "ca-certificates",
    "chrony",
    "cloud-guest-utils",
    "cloud-init",
    "curl",
    "dbus",
    "dnf",
    "dracut",
    "e2fsprogs",
    "fdisk",
    "gnupg",
    "grub-common",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "grub2-common",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libpam-systemd",
    "linux-image-amd64",
    "network-manager",
    "openssh-client",
    "openssh-server",
    "policycoreutils",
    "procps",
    "python3",
    "python3-semanage",
    "rpm",
    "selinux-policy-default",
    "selinux-utils",
    "semodule-utils",
    "sudo",
    "systemd-sysv",
    "udev",
    "util-linux-extra",
    "xfsprogs",
    "zstd",
]
# What only the repositories have.
OFFERED = [
    "bash-completion",
    "iptables",
    "logrotate",
    "mariadb-backup",
    "mariadb-client",
    "mariadb-server",
    "netavark",
    "podman",
    "postgresql-15",
    "postgresql-client-15",
    "redis-server",
    "redis-tools",
    "rsync",
    "socat",
]
HOOK = Path(__file__).with_name("archive.sh")


@dataclass(frozen=True)
class Archive:
    """What was fetched and configured."""

    directory: Path

    @property
    def debs(self) -> list[Path]:
        return sorted((self.directory / "debs").glob("*.deb"))

    @property
    def state(self) -> Path:
        """What the maintainer scripts have made, as a tar archive."""
        return self.directory / "state.tar"

    @property
    def inputs(self) -> list[bytes]:
        """What the archive is made of: another program or list makes another archive."""
        return [HOOK.read_bytes(), Path(__file__).read_bytes()]

    def installed(self) -> frozenset[str]:
        """Debian's names of the packages in the guest."""
        paragraphs = (self.directory / "status").read_text().split("\n\n")
        fields = (paragraph(text) for text in paragraphs if text.strip())
        return frozenset(one["Package"] for one in fields if one["Status"].endswith(" installed"))


def fetch(directory: Path) -> Archive:
    """Makes the system in a user namespace and keeps of it what packages do not hold."""
    directory.mkdir(parents=True, exist_ok=True)
    # The namespace's root is somebody else out here.
    directory.chmod(0o777)
    command = ["mmdebstrap", "--mode=unshare", "--variant=important", "--format=null"]
    command += ["--skip=download/empty,essential/unlink,cleanup/apt", '--aptopt=Acquire::Languages "none"']
    command += ["--dpkgopt=force-unsafe-io", f"--include={','.join(GUEST)}"]
    # The kernel's package and dracut's own each make an initramfs, which takes a minute. The hook below makes one.
    divert = "dpkg-divert --quiet --local --add --no-rename --divert /usr/bin/dracut.real /usr/bin/dracut"
    command.append(f'--essential-hook=chroot "$1" {divert} && ln -s /bin/true "$1/usr/bin/dracut"')
    command += [f'--customize-hook=sh "{HOOK}" "$1" "{directory}" {" ".join(OFFERED)}', "bookworm"]
    environment = {**os.environ, "TMPDIR": str(directory)}
    subprocess.run(command, check=True, env=environment, cwd="/", stdin=subprocess.DEVNULL)
    return Archive(directory)
