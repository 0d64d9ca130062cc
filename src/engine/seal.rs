//! Sealing: takes out of a finished guest what must differ between instances or tells about the build.
//!
//! [`verify`](crate::verify) looks for the same things afterwards, on the finished image; it shares no code with this on
//! purpose, but the list of identities ([`os`](crate::os)), which is data.

use crate::disk::FileKind;
use crate::distro::{Family, OsRelease};
use crate::guest::{Access, Guest, GuestError, Script};
use crate::os::identity::IDENTITIES;

/// Removed wherever they are. `/run` and the temporary directories are tmpfs or empty in a running system.
const SCRIPT: &str = r#"
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
# Made by Debian's ssl-cert when it was installed; the recipe `common` has a unit that makes one per instance.
rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
rm -f /var/lib/systemd/random-seed /var/lib/urandom/random-seed /loader/random-seed
# systemd-boot's, wherever the EFI system partition is mounted.
rm -f /boot/loader/random-seed /boot/efi/loader/random-seed /efi/loader/random-seed
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/* /var/cache/apt/*.bin
rm -rf /var/cache/dnf/* /var/cache/yum/* /var/cache/libdnf5/* /var/cache/zypp/*
# Compiled for the kernel that compiled them.
rm -rf /var/cache/apparmor/* /etc/apparmor.d/cache/* /etc/apparmor.d/cache.d/*
rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache
rm -rf /var/lib/cloud/* /var/lib/dhcp/*.leases /var/lib/dhclient/* /var/lib/NetworkManager/*.lease
rm -f /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init /etc/udev/rules.d/70-persistent-net.rules
rm -rf /var/crash/* /var/lib/systemd/coredump/*
# Not /var/log/*/ themselves: daemons expect their directories, with the owners their packages gave them.
rm -rf /var/log/journal/*
find /var/log -xdev -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.[0-9]' -o -name '*.old' \) -delete
find /var/log -xdev -type f -size +0 -exec sh -c 'for f; do : >"$f"; done' sh {} +
for home in /root /home/*; do
    [ -d "$home" ] || continue
    rm -rf "$home"/.bash_history "$home"/.python_history "$home"/.mysql_history "$home"/.psql_history \
        "$home"/.lesshst "$home"/.wget-hsts "$home"/.viminfo "$home"/.cache "$home"/.ssh/known_hosts "$home"/.gnupg
done
find /tmp /var/tmp /run -xdev -mindepth 1 -delete
"#;

/// Labels every file after a policy's own list of contexts. Where that fails, the image does it at its first boot, which
/// then takes a second one; the report tells of it. `POLICY` stands for the name of the policy.
const RELABEL: &str = "\
setfiles -F -m /etc/selinux/POLICY/contexts/files/file_contexts / || {
    echo 'setfiles failed: the image labels its files at its first boot, and reboots' >&2
    touch /.autorelabel
}
";

/// Takes out what identifies one machine.
fn identities() -> String {
    let mut script = String::new();
    for identity in IDENTITIES {
        let paths = identity.paths.join(" ");
        script.push_str(&format!("# {}\n", identity.of));
        script.push_str(&match identity.instead {
            Some(instead) => format!(
                "for file in {paths}; do\n    [ -e \"$file\" ] || continue\n    \
                 if [ -e {} ]; then printf '%s' '{}' >\"$file\"; else rm -f \"$file\"; fi\ndone\n",
                instead.with, instead.text
            ),
            None => format!("rm -rf {paths}\n"),
        });
    }
    script
}

/// Everything that decides what sealing does to a guest, for the digest of the sealed layer.
pub fn seal_text(os: &OsRelease) -> String {
    let relabel = if os.family == Family::Rhel { RELABEL } else { "" };
    format!("{} {:?} {SCRIPT}{}{relabel}", super::SEMANTICS, os.family, identities())
}

/// Seals the guest. Nothing may be changed in it afterwards.
///
/// # Errors
/// See [`GuestError`].
pub fn seal(guest: &mut dyn Guest, os: &OsRelease) -> Result<(), GuestError> {
    guest.run(&Script::new("sealing the image", format!("{SCRIPT}{}", identities())))?;
    // Empty, not absent: systemd then makes a new one at first boot without taking it for a factory reset.
    if guest.lstat("/etc/machine-id")?.is_some() {
        guest.write("/etc/machine-id", b"", Access::root(0o444))?;
    }
    if guest.lstat("/var/lib/dbus/machine-id")?.is_some_and(|stat| stat.kind == FileKind::File) {
        guest.remove("/var/lib/dbus/machine-id")?;
    }
    if os.family == Family::Rhel {
        relabel(guest)?;
    }
    Ok(())
}

/// Gives every file the label of the guest's own policy; the appliance's kernel enforces none, so files made
/// in it have none.
fn relabel(guest: &mut dyn Guest) -> Result<(), GuestError> {
    let config = match guest.lstat("/etc/selinux/config")? {
        Some(_) => guest.read("/etc/selinux/config")?,
        None => return Ok(()),
    };
    let config = String::from_utf8_lossy(&config);
    let value = |key: &str| config.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    if value("SELINUX=") == Some("disabled") {
        return Ok(());
    }
    let policy = value("SELINUXTYPE=").unwrap_or("targeted");
    guest.run(&Script::new("labelling files for SELinux", RELABEL.replace("POLICY", policy)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::well_known;
    use crate::engine::testing::FakeGuest;

    /// The script is run for real, in a directory.
    #[test]
    fn identities_are_taken_out() {
        for debian in [true, false] {
            let root = tempfile::tempdir().unwrap();
            let path = |path: &str| root.path().join(&path[1..]);
            let write = |name: &str| {
                std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
                std::fs::write(path(name), "an identity").unwrap();
            };
            let all =
                || IDENTITIES.iter().flat_map(|identity| identity.paths).map(|path| path.replace('*', "x"));
            all().for_each(|name| write(&name));
            write("/etc/iscsi/iscsid.conf");
            if debian {
                write("/usr/lib/open-iscsi/startup-checks.sh");
            }
            let script = identities().replace(" /", &format!(" {}/", root.path().display()));
            assert!(std::process::Command::new("sh").args(["-euc", &script]).status().unwrap().success());
            let iscsi = "/etc/iscsi/initiatorname.iscsi";
            let left: Vec<_> = all().filter(|name| path(name).exists()).collect();
            assert_eq!(left, if debian { vec![iscsi.to_owned()] } else { Vec::new() });
            assert_eq!(
                std::fs::read_to_string(path(iscsi)).ok(),
                debian.then(|| "GenerateName=yes\n".to_owned())
            );
            assert!(path("/etc/iscsi/iscsid.conf").exists());
        }
    }

    #[test]
    fn machine_ids() {
        let os = well_known("debian-12").unwrap();
        let mut guest = FakeGuest::new();
        guest.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o644);
        guest.put("/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n", 0o644);
        seal(&mut guest, &os).unwrap();
        assert_eq!(guest.text("/etc/machine-id").as_deref(), Some(""));
        assert_eq!(guest.text("/var/lib/dbus/machine-id"), None);
        assert_eq!(guest.scripts.len(), 1, "no relabelling on Debian");
    }

    #[test]
    fn selinux_is_relabelled_by_the_guests_own_policy() {
        let os = well_known("rocky-9").unwrap();
        for (config, relabelled) in [
            ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", true),
            ("SELINUX=disabled\nSELINUXTYPE=targeted\n", false),
        ] {
            let mut guest = FakeGuest::new();
            guest.put("/etc/selinux/config", config, 0o644);
            seal(&mut guest, &os).unwrap();
            let ran =
                guest.scripts.iter().any(|script| script.contains("/targeted/contexts/files/file_contexts"));
            assert_eq!(ran, relabelled, "{config}");
        }
    }
}
