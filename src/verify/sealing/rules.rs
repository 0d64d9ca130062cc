//! What must not be left, why, and what to do about it.

use super::Search::{Any, Content, Homes, Inside};
use super::{Rule, find};
use crate::distro::Family::{Debian, Rhel, Suse};

const SEAL_AGAIN: &str = "remove it in the base image or the recipe; `tib build` removes it when it seals";

pub(super) const RULES: &[Rule] = &[
    Rule {
        title: "no machine id",
        families: &[],
        search: Inside(find::machine_id),
        why: "instances with the same machine id get the same DHCP lease and mix up their journals",
        fix: "empty /etc/machine-id, and make /var/lib/dbus/machine-id a link to it",
    },
    Rule {
        title: "no SSH host keys",
        families: &[],
        search: Any(&["/etc/ssh/ssh_host_*key*", "/etc/dropbear/dropbear_*_host_key"]),
        why: "whoever has the image could pose as any of its instances",
        fix: "remove them; cloud-init or sshd makes new ones at first boot",
    },
    Rule {
        title: "no identity of one machine",
        families: &[],
        search: Inside(find::identities),
        why: "services would take all instances for one machine, or whoever has the image could pose as any of them",
        fix: "remove it; what needs it makes its own",
    },
    Rule {
        title: "no random seed",
        families: &[],
        search: Any(&[
            "/var/lib/systemd/random-seed",
            "/var/lib/urandom/random-seed",
            "/var/lib/random-seed",
            "/boot/loader/random-seed",
            "/boot/efi/loader/random-seed",
            "/efi/loader/random-seed",
        ]),
        why: "instances would start with the same entropy",
        fix: "remove it; it is made anew at shutdown",
    },
    Rule {
        title: "no apt caches",
        families: &[Debian],
        search: Content(&["/var/cache/apt/archives/**", "/var/cache/apt/*.bin", "/var/lib/apt/lists/**"]),
        why: "stale indexes make the first installation in an instance fail, and they take space",
        fix: "run `apt-get clean` and remove the files below /var/lib/apt/lists",
    },
    Rule {
        title: "no dnf caches",
        families: &[Rhel],
        search: Content(&["/var/cache/dnf/**", "/var/cache/yum/**", "/var/cache/libdnf5/**"]),
        why: "stale metadata takes space and misleads the first transaction",
        fix: "run `dnf clean all` and remove what is left below /var/cache",
    },
    Rule {
        title: "no zypper caches",
        families: &[Suse],
        search: Content(&["/var/cache/zypp/**"]),
        why: "stale metadata takes space and misleads the first transaction",
        fix: "run `zypper clean --all`",
    },
    Rule {
        title: "no AppArmor caches",
        families: &[],
        search: Content(&[
            "/var/cache/apparmor/**",
            "/etc/apparmor.d/cache/**",
            "/etc/apparmor.d/cache.d/**",
        ]),
        why: "profiles were compiled for the kernel of the build, and take space",
        fix: "remove the files below /var/cache/apparmor",
    },
    Rule {
        title: "no logs",
        families: &[],
        // No exception: a log of the build says nothing about an instance, and may hold secrets.
        search: Content(&["/var/log/**"]),
        why: "logs of the build may hold secrets, and are taken for the instance's own",
        fix: "empty or remove them",
    },
    Rule {
        title: "no shell histories",
        families: &[],
        search: Homes(&[".*_history", ".*hist", ".lesshst", ".viminfo", ".wget-hsts"]),
        why: "typed commands may hold passwords",
        fix: SEAL_AGAIN,
    },
    Rule {
        title: "no cloud-init state",
        families: &[],
        search: Any(&[
            "/var/lib/cloud/instance",
            "/var/lib/cloud/instances/*",
            "/var/lib/cloud/data/*",
            "/var/lib/cloud/sem/*",
            // Sources of data are looked for here before any drive.
            "/var/lib/cloud/seed/*",
        ]),
        why: "cloud-init would take the instance for one it has already configured, and write no agent configuration",
        fix: "run `cloud-init clean --logs`",
    },
    Rule {
        title: "no network state",
        families: &[],
        search: Any(&[
            "/etc/netplan/50-cloud-init.yaml",
            "/etc/network/interfaces.d/50-cloud-init*",
            "/etc/NetworkManager/conf.d/99-cloud-init.conf",
            "/etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
            "/etc/systemd/network/10-cloud-init-*.network",
            "/etc/udev/rules.d/70-persistent-net.rules",
            "/etc/udev/rules.d/75-persistent-net-generator.rules",
            "/etc/sysconfig/network-scripts/ifcfg-eth*.bak",
        ]),
        why: "the network of the machine it was made on would be set up in every instance",
        fix: SEAL_AGAIN,
    },
    Rule {
        title: "no DHCP leases",
        families: &[],
        search: Content(&[
            "/var/lib/dhcp/**",
            "/var/lib/dhclient/**",
            "/var/lib/dhcpcd/**",
            "/var/lib/NetworkManager/*.lease",
            "/var/lib/systemd/network/**",
        ]),
        why: "instances would ask for an address that belongs to another machine",
        fix: SEAL_AGAIN,
    },
    Rule {
        title: "no name server of the build",
        families: &[],
        search: Inside(find::resolver),
        why: "instances cannot reach the appliance's name server, so nothing resolves",
        fix: "put the distribution's /etc/resolv.conf back and remove the copy",
    },
    Rule {
        title: "no policy-rc.d",
        families: &[Debian],
        search: Any(&["/usr/sbin/policy-rc.d"]),
        why: "it keeps packages from starting their services in every instance",
        fix: "remove /usr/sbin/policy-rc.d",
    },
    Rule {
        title: "no proxy or repository setting of the build",
        families: &[],
        search: Inside(find::proxies),
        why: "instances would ask a proxy that does not exist",
        fix: "remove the setting; tib leaves its own before every checkpoint",
    },
    Rule {
        title: "no build helper",
        families: &[],
        search: Any(&["/var/lib/tib*", "/run/tib*", "/tmp/*", "/var/tmp/*"]),
        why: "files of the build are no part of the image, and may hold secrets",
        fix: SEAL_AGAIN,
    },
    Rule {
        title: "no known SSH hosts",
        families: &[],
        search: Homes(&[".ssh/known_hosts*"]),
        why: "it names the machines the builder talked to",
        fix: SEAL_AGAIN,
    },
    Rule {
        title: "no private keys",
        families: &[],
        search: Inside(find::private_keys),
        why: "whoever has the image has the key",
        fix: "remove it, and revoke it where it was accepted; bring keys to instances at boot",
    },
    Rule {
        title: "no credentials of subscriptions",
        families: &[Rhel],
        search: Inside(find::subscription_credentials),
        why: "whoever has the image could use them, as the organisation that they belong to",
        fix: "set them to nothing in /etc/rhsm/rhsm.conf of the base",
    },
    Rule {
        title: "no core dumps",
        families: &[],
        search: Content(&["/var/lib/systemd/coredump/**", "/var/crash/**", "/var/spool/abrt/**"]),
        why: "a program of the build crashed, and its memory may hold secrets",
        fix: "find out what crashed in the build log",
    },
    Rule {
        title: "no pip caches",
        families: &[],
        search: Homes(&[".cache/pip/**"]),
        why: "they take space and are never used",
        fix: SEAL_AGAIN,
    },
];
