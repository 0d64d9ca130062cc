"""The systems of the family, and the package of each that says which one it is."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from testbed.spec import Entry, Rpm

# What Red Hat's family starts by itself, in its own words; everything else is off.
_PRESETS = [
    "NetworkManager.service",
    "NetworkManager-dispatcher.service",
    "NetworkManager-wait-online.service",
    "auditd.service",
    "chronyd.service",
    "cloud-config.service",
    "cloud-final.service",
    "cloud-init.service",
    "cloud-init-local.service",
    "cloud-init-hotplugd.socket",
    "dbus.socket",
    "getty@.service",
    "podman.socket",
    "remote-fs.target",
    "sshd.service",
    "systemd-pstore.service",
    "fstrim.timer",
    "logrotate.timer",
    "dnf-makecache.timer",
]


@dataclass(frozen=True)
class Variant:
    """A system, as variants.toml has it."""

    key: str
    id: str
    name: str
    version: str
    version_id: str
    id_like: str
    platform: str
    cpe: str
    home: str
    release_package: str
    repositories: list[str]
    user: str
    # File systems of the root, and of `/boot`; the latter is empty where that is a directory of the root.
    root: str
    boot: str
    # Whether a repository has streams.
    modular: bool
    # Where the database of packages lies, and of which kind it is.
    dbpath: str
    database: str
    # What mkfs.xfs is told for the root.
    xfs: str = ""
    # Whether there is an MBR with nothing but a root, no EFI, and a menu of GRUB in place of entries.
    mbr: bool = False
    # Packages of the guest that this one does not have.
    without: tuple[str, ...] = ()
    # Where yum's repositories lie since the release is over. dnf's systems have none.
    vault: str = ""

    @classmethod
    def read(cls, path: Path, key: str) -> Variant:
        with path.open("rb") as stream:
            table = tomllib.load(stream)
        if key not in table:
            raise ValueError(f"there is no variant {key}; there are {', '.join(table)}")
        values = table[key]
        return cls(key=key, **{**values, "without": tuple(values.get("without", ()))})

    @property
    def major(self) -> str:
        return self.version_id.partition(".")[0]

    @property
    def tag(self) -> str:
        """What releases of packages end with."""
        return f"fc{self.major}" if self.id == "fedora" else f"el{self.major}"

    @property
    def macro(self) -> str:
        return "fedora" if self.id == "fedora" else "rhel"

    @property
    def pretty(self) -> str:
        return f"{self.name} {self.version}"

    def os_release(self) -> str:
        fields = {
            "NAME": self.name,
            "VERSION": self.version,
            "ID": self.id,
            "ID_LIKE": self.id_like,
            "VERSION_ID": self.version_id,
            "PLATFORM_ID": self.platform,
            "PRETTY_NAME": self.pretty,
            "ANSI_COLOR": "0;32",
            "CPE_NAME": self.cpe,
            "HOME_URL": self.home,
        }
        return "".join(f'{key}="{value}"\n' for key, value in fields.items() if value)

    def files(self, url: str, key: str) -> dict[str, str]:
        """The release's files. `url` is where its repositories are, `key` the armoured key they go by."""
        name = "redhat-release" if self.id == "rhel" else f"{self.id}-{self.major}"
        key_path = f"/etc/pki/rpm-gpg/RPM-GPG-KEY-{name}"
        if self.id == "rhel":
            # Who is registered is told where they are.
            repositories = {}
        elif self.vault:
            repositories = self._yum(url, key_path)
        else:
            sections = [
                f"[{name}]\nname={self.name} $releasever - {name}\nbaseurl={url}/{name}\ngpgcheck=1\nrepo_gpgcheck=1\n"
                f"enabled=1\ncountme=1\nmetadata_expire=6h\ngpgkey=file://{key_path}\n"
                for name in self.repositories
            ]
            repositories = {f"/etc/yum.repos.d/{self.id}.repo": "\n".join(sections)}
        return {
            **repositories,
            "/usr/lib/os-release": self.os_release(),
            "/etc/redhat-release": f"{self.name} release {self.vault or self.version}\n",
            "/etc/system-release-cpe": f"{self.cpe}\n",
            "/etc/issue": "\\S\nKernel \\r on an \\m\n\n",
            key_path: key,
            "/usr/lib/rpm/macros.d/macros.dist": (
                f"%dist .{self.tag}\n%{self.macro} {self.major}\n%_dbpath {self.dbpath}\n%_db_backend {self.database}\n"
            ),
            "/usr/lib/systemd/system-preset/90-default.preset": "".join(f"enable {unit}\n" for unit in _PRESETS),
            "/usr/lib/systemd/system-preset/99-default-disable.preset": "disable *\n",
            "/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
            "/etc/cloud/cloud.cfg.d/05_distribution.cfg": (
                f"system_info:\n  distro: {self.id}\n  default_user:\n    name: {self.user}\n    lock_passwd: true\n"
                '    groups: [adm, systemd-journal]\n    sudo: ["ALL=(ALL) NOPASSWD:ALL"]\n    shell: /bin/bash\n'
                "disable_root: true\nssh_pwauth: false\n"
            ),
        }

    def path(self, repository: str) -> str:
        """Where a repository lies on its server."""
        return f"{self.vault}/{repository}/x86_64" if self.vault else repository

    def _yum(self, url: str, key_path: str) -> dict[str, str]:
        """What yum reads: the vault's repositories, and one that is off, whose list of mirrors is gone."""
        sections = [
            f"[{name}]\nname=CentOS-$releasever - {name}\nbaseurl={url}/{self.vault}/{name}/$basearch/\ngpgcheck=1\n"
            f"gpgkey=file://{key_path}\n"
            for name in self.repositories
        ]
        return {
            "/etc/yum.conf": "[main]\ncachedir=/var/cache/yum/$basearch/$releasever\nkeepcache=0\ndebuglevel=2\n"
            "logfile=/var/log/yum.log\nexactarch=1\nobsoletes=1\ngpgcheck=1\nplugins=1\ninstallonly_limit=5\n"
            f"distroverpkg={self.release_package}\n",
            "/etc/yum/vars/contentdir": "centos\n",
            "/etc/yum/vars/infra": "genclo\n",
            "/etc/yum.repos.d/CentOS-Base.repo": "\n".join(sections),
            "/etc/yum.repos.d/CentOS-fasttrack.repo": "[fasttrack]\nname=CentOS-$releasever - fasttrack\nmirrorlist="
            "http://127.0.0.1:9/?release=$releasever&arch=$basearch&repo=fasttrack&infra=$infra\ngpgcheck=1\nenabled=0\n"
            f"gpgkey=file://{key_path}\n",
        }

    def release(self, url: str, key: str, root: Path) -> Rpm:
        """The release's package, whose files are put below `root`."""
        entries = []
        for path, text in self.files(url, key).items():
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            flags = ("config(noreplace)",) if path.startswith("/etc/") else ()
            entries.append(Entry(path, 0o644, flags=flags))
        links = {"/etc/os-release": "../usr/lib/os-release", "/etc/system-release": "redhat-release"}
        if self.id != "rhel":
            links[f"/etc/{self.id}-release"] = "redhat-release"
        for path, target in links.items():
            (root / path.lstrip("/")).symlink_to(target)
            entries.append(Entry(path, 0o777, link=True))
        return Rpm(
            name=self.release_package,
            version=self.version_id,
            release=f"1.{self.tag}",
            summary=f"{self.name} release files",
            provides=[
                f"system-release = {self.version_id}",
                f"system-release({self.major})",
                f"system-release(releasever) = {self.major}",
                "redhat-release",
            ],
            entries=entries,
        )
