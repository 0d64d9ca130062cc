//! Which systems can be bootstrapped, and what goes into them.

use crate::base::BaseError;
use std::fmt;

/// What every system gets beyond the essential packages and apt.
const COMMON: &[&str] = &[
    // Boot: the generic kernel, since the cloud kernel lacks drivers (AHCI) that config drives may need.
    "linux-image-amd64",
    "initramfs-tools",
    "zstd",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "grub2-common",
    "e2fsprogs",
    "dosfstools",
    "fdisk",
    // Init and sessions.
    "systemd-sysv",
    "systemd-timesyncd",
    "dbus",
    "libpam-systemd",
    "udev",
    "kmod",
    // Network. cloud-init takes the first renderer it finds of eni (ifupdown), netplan, networkd. netplan with
    // systemd-networkd and -resolved is what Debian's own cloud images use from 12 on; so ifupdown stays out.
    "netplan.io",
    "iproute2",
    "iputils-ping",
    "netbase",
    "libnss-myhostname",
    "ca-certificates",
    // What OpenStack and Trove expect.
    "cloud-init",
    "cloud-guest-utils",
    "openssh-server",
    "sudo",
    "python3",
    // What an administrator and common maintainer scripts expect.
    "apt-utils",
    "cron",
    "curl",
    "less",
    "logrotate",
    "lsb-release",
    "procps",
    "rsync",
    "vim-tiny",
    // Installed in an appliance it would have the initramfs made again, which takes minutes under emulation.
    "xfsprogs",
];

/// A system that can be bootstrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct System {
    number: u8,
    codename: &'static str,
}

const SYSTEMS: [System; 3] = [
    System { number: 11, codename: "bullseye" },
    System { number: 12, codename: "bookworm" },
    System { number: 13, codename: "trixie" },
];

impl System {
    /// All there are.
    pub(crate) const ALL: [Self; 3] = SYSTEMS;

    /// Reads `debian-12`.
    pub(crate) fn parse(text: &str) -> Result<Self, BaseError> {
        SYSTEMS.into_iter().find(|system| system.to_string() == text).ok_or_else(|| BaseError::BadBase {
            text: format!("bootstrap:{text}"),
            problem: "is no system that tib can bootstrap".to_owned(),
            hint: format!(
                "there are {}; for anything else give an image with `--base FILE`",
                SYSTEMS.map(|system| format!("bootstrap:{system}")).join(", ")
            ),
        })
    }

    /// The suite of its package sources.
    pub(crate) fn codename(self) -> &'static str {
        self.codename
    }

    /// The packages to install, beyond the essential ones and apt.
    pub(crate) fn packages(self) -> Vec<&'static str> {
        let mut packages = COMMON.to_vec();
        // Before 12 it is part of systemd itself.
        if self.number >= 12 {
            packages.push("systemd-resolved");
        }
        packages
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "debian-{}", self.number)
    }
}
