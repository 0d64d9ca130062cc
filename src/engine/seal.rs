//! Sealing: takes out of a finished guest what must differ between instances or tells about the build.
//!
//! [`verify`](crate::verify) looks for the same things afterwards, on the finished image; it shares no code with this on
//! purpose, but the list of identities ([`os`](crate::os)), which is data.

use crate::check::SelinuxMode;
use crate::disk::FileKind;
use crate::distro::OsRelease;
use crate::guest::{Access, Guest, GuestError, Script};
use crate::os::identity::IDENTITIES;
use crate::os::selinux::{CONFIG, Config};
use crate::recipe::IdentityRule;
use crate::shell::quote;

/// Most of what is to be removed is not there, and to start a program takes far longer than to look.
const REMOVE: &str = r#"
remove() {
    for path; do
        shift
        if [ -e "$path" ] || [ -L "$path" ]; then set -- "$@" "$path"; fi
    done
    [ $# = 0 ] || rm -rf "$@"
}
"#;

/// Removed wherever they are. `/run` and the temporary directories are tmpfs or empty in a running system.
const SCRIPT: &str = r#"
remove /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
# Made by Debian's ssl-cert when it was installed; the recipe `common` has a unit that makes one per instance.
remove /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
remove /var/lib/systemd/random-seed /var/lib/urandom/random-seed /loader/random-seed
# systemd-boot's, wherever the EFI system partition is mounted.
remove /boot/loader/random-seed /boot/efi/loader/random-seed /efi/loader/random-seed
remove /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/* /var/cache/apt/*.bin
remove /var/cache/dnf/* /var/cache/yum/* /var/cache/libdnf5/* /var/cache/zypp/*
# Compiled for the kernel that compiled them.
remove /var/cache/apparmor/* /etc/apparmor.d/cache/* /etc/apparmor.d/cache.d/*
remove /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache
remove /var/lib/cloud/* /var/lib/dhcp/*.leases /var/lib/dhclient/* /var/lib/NetworkManager/*.lease
# What `cloud-init clean` knows, and udev's names.
remove /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init* /etc/udev/rules.d/70-persistent-net.rules
remove /etc/NetworkManager/conf.d/99-cloud-init.conf /etc/NetworkManager/system-connections/cloud-init-*.nmconnection
remove /etc/systemd/network/10-cloud-init-*.network
remove /var/crash/* /var/lib/systemd/coredump/*
# Not /var/log/*/ themselves: daemons expect their directories, with the owners their packages gave them.
remove /var/log/journal/*
find /var/log -xdev -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.[0-9]' -o -name '*.old' \) -delete
find /var/log -xdev -type f -size +0 -exec sh -c 'for f; do : >"$f"; done' sh {} +
# Homes of services, too, wherever they are.
{ printf '%s\n' /root /home/*; cut -d: -f6 /etc/passwd; } | while IFS= read -r home; do
    case $home in /*) ;; *) continue;; esac
    [ -d "$home" ] || continue
    remove "$home"/.*_history "$home"/.*hist "$home"/.lesshst "$home"/.wget-hsts "$home"/.viminfo \
        "$home"/.cache "$home"/.ssh/known_hosts* "$home"/.gnupg
done
find /tmp /var/tmp /run -xdev -mindepth 1 -delete
"#;

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
            None => format!("remove {paths}\n"),
        });
    }
    script
}

/// Takes out what a recipe says is one instance's. `rm` follows no link, but the shell does on the way to a pattern: what lies
/// somewhere else than the recipe says is not removed, and fails the build.
fn identity_script(rule: &IdentityRule) -> String {
    let patterns = shell_patterns(&rule.path).join(" ");
    format!(
        "for file in {patterns}; do\n    \
         case $file in */.|*/..|*/./*|*/../*) continue;; esac\n    \
         [ -e \"$file\" ] || [ -L \"$file\" ] || continue\n    \
         directory=$(cd -P \"${{file%/*}}/\" && pwd -P)\n    \
         if [ \"$directory\" != \"${{file%/*}}\" ]; then\n        \
         echo \"tib: not removed, since a link leads to it: $file is in $directory\" >&2\n        \
         exit 1\n    \
         fi\n    \
         rm -rf \"$file\"\n\
         done\n"
    )
}

/// A pattern for the shell, quoted but for `*` and `?`. The shell's do not match a dot at the beginning of a name, and ours do,
/// so that nothing is hidden from sealing: each name that begins with one counts with a dot in front, too.
fn shell_patterns(path: &str) -> Vec<String> {
    path.split('/').skip(1).fold(vec![String::new()], |patterns, part| {
        let mut quoted = String::new();
        for stretch in part.split_inclusive(['*', '?']) {
            let (text, sign) = match stretch.char_indices().next_back() {
                Some((at, sign @ ('*' | '?'))) => (&stretch[..at], Some(sign)),
                _ => (stretch, None),
            };
            if !text.is_empty() {
                quoted.push_str(&quote(text));
            }
            quoted.extend(sign);
        }
        let dotted = part.starts_with(['*', '?']);
        let both = |before: String| {
            let hidden = dotted.then(|| format!("{before}/.{}", quoted.strip_prefix('?').unwrap_or(&quoted)));
            [Some(format!("{before}/{quoted}")), hidden].into_iter().flatten().collect::<Vec<_>>()
        };
        patterns.into_iter().flat_map(both).collect()
    })
}

/// Everything that decides what sealing does to a guest, for the digest of the sealed layer.
pub fn seal_text(os: &OsRelease, rules: &[IdentityRule]) -> String {
    format!("{} {:?} {}{}", super::SEMANTICS, os.family, super::label::RULES, script(rules))
}

fn script(rules: &[IdentityRule]) -> String {
    let rules: String = rules.iter().map(identity_script).collect();
    format!("{REMOVE}{SCRIPT}{}{rules}", identities())
}

/// Takes out what instances must not share, and what `rules` of the recipe add to that. Nothing may be changed in the guest afterwards, but for its [`Labels`], which
/// come last.
///
/// [`Labels`]: super::Labels
///
/// # Errors
/// See [`GuestError`].
pub fn seal(guest: &mut dyn Guest, rules: &[IdentityRule]) -> Result<(), GuestError> {
    guest.run(&Script::new("sealing the image", script(rules)))?;
    // Empty, not absent: systemd then makes a new one at first boot without taking it for a factory reset.
    if guest.lstat("/etc/machine-id")?.is_some() {
        guest.write("/etc/machine-id", b"", Access::root(0o444))?;
    }
    if guest.lstat("/var/lib/dbus/machine-id")?.is_some_and(|stat| stat.kind == FileKind::File) {
        guest.remove("/var/lib/dbus/machine-id")?;
    }
    if is_labelled(guest)? {
        // The base asks for labels at the first boot, which would then end in a reboot; they are right by then.
        guest.remove("/.autorelabel")?;
    }
    Ok(())
}

/// Whether the files of the guest are to have labels: it has SELinux, not turned off, and a policy.
///
/// # Errors
/// See [`GuestError`].
pub fn is_labelled(guest: &mut dyn Guest) -> Result<bool, GuestError> {
    if guest.lstat(CONFIG)?.is_none() {
        return Ok(false);
    }
    let config = Config::parse(&guest.read(CONFIG)?);
    let contexts = format!("/etc/selinux/{}/contexts/files/file_contexts", config.policy_name());
    Ok(config.mode != Some(SelinuxMode::Disabled) && guest.lstat(&contexts)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let script =
                format!("{REMOVE}{}", identities()).replace(" /", &format!(" {}/", root.path().display()));
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

    fn rule(path: &str) -> IdentityRule {
        IdentityRule {
            path: path.to_owned(),
            what: "the node's id".to_owned(),
            renewed: "at start".to_owned(),
        }
    }

    /// Runs what sealing does for a rule, in a directory that stands for the guest's root.
    fn run(root: &std::path::Path, path: &str) -> std::process::Output {
        let script = identity_script(&rule(&format!("{}{path}", root.display())));
        std::process::Command::new("sh").args(["-euc", &script]).output().unwrap()
    }

    #[test]
    fn what_a_recipe_names_is_taken_out_and_nothing_beside_it() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        let files = [
            "d/auto.cnf",
            "d/a.pem",
            "d/.b.pem",
            "d/it's $HOME.pem",
            "d/c.pem2",
            "d/sub/x",
            "d/sub/.y",
            "e/k",
        ];
        for file in files {
            fs_err::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs_err::write(root.join(file), "an identity").unwrap();
        }
        std::os::unix::fs::symlink(root.join("e"), root.join("d/link.pem")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("d/dangling.pem")).unwrap();
        let left = || -> Vec<_> { files.into_iter().filter(|file| root.join(file).exists()).collect() };
        for (path, gone) in [
            ("/d/none", &[][..]),
            ("/d/auto.cnf", &["d/auto.cnf"]),
            ("/d/it's $HOME.pem", &["d/it's $HOME.pem"]),
            ("/d/*.pem", &["d/a.pem", "d/.b.pem"]),
            ("/d/*/?y", &["d/sub/.y"]),
            ("/?/sub", &["d/sub/x"]),
        ] {
            let before = left();
            let done = run(&root, path);
            assert!(done.status.success(), "{path}: {done:?}");
            let wanted: Vec<_> = before.into_iter().filter(|file| !gone.contains(file)).collect();
            assert_eq!(left(), wanted, "{path}");
        }
        assert!(!root.join("d/link.pem").is_symlink() && !root.join("d/dangling.pem").is_symlink());
        assert_eq!(left(), ["d/c.pem2", "e/k"], "the link was removed, and not what it leads to");
    }

    #[test]
    fn links_lead_out_of_no_rule() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        fs_err::create_dir_all(root.join("etc")).unwrap();
        fs_err::write(root.join("etc/passwd"), "root").unwrap();
        fs_err::create_dir_all(root.join("data")).unwrap();
        std::os::unix::fs::symlink("../etc", root.join("data/db")).unwrap();
        for path in ["/data/db/*", "/data/db/passwd", "/data/*/passwd"] {
            let done = run(&root, path);
            assert!(!done.status.success(), "{path}");
            let told = String::from_utf8(done.stderr).unwrap();
            assert!(told.contains("a link leads to it") && told.contains("/etc"), "{path}: {told}");
            assert!(root.join("etc/passwd").exists(), "{path}");
        }
    }

    #[test]
    fn what_a_recipe_names_is_run_and_counts_for_the_digest() {
        let os = crate::distro::well_known("debian-12").unwrap();
        let rules = [rule("/var/lib/x/*.id")];
        assert_ne!(seal_text(&os, &[]), seal_text(&os, &rules));
        let mut guest = FakeGuest::new();
        seal(&mut guest, &rules).unwrap();
        assert!(guest.scripts.iter().all(|script| seal_text(&os, &rules).contains(script)));
        assert!(guest.scripts.iter().any(|script| script.contains("/var/lib/x/*.id")));
    }

    #[test]
    fn machine_ids() {
        let mut guest = FakeGuest::new();
        guest.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o644);
        guest.put("/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n", 0o644);
        seal(&mut guest, &[]).unwrap();
        assert_eq!(guest.text("/etc/machine-id").as_deref(), Some(""));
        assert_eq!(guest.text("/var/lib/dbus/machine-id"), None);
    }

    #[test]
    fn labels_are_asked_for_at_the_first_boot_only_where_tib_sets_none() {
        const CONTEXTS: &str = "/etc/selinux/targeted/contexts/files/file_contexts";
        for (config, contexts, labelled) in [
            (Some("SELINUX=enforcing\nSELINUXTYPE=targeted\n"), true, true),
            (Some("SELINUX=permissive\n"), true, true),
            (Some("SELINUX=enforcing\n"), false, false),
            (Some("SELINUX=disabled\nSELINUXTYPE=targeted\n"), true, false),
            (None, true, false),
        ] {
            let mut guest = FakeGuest::new();
            guest.put("/.autorelabel", "", 0o644);
            if let Some(config) = config {
                guest.put(CONFIG, config, 0o644);
            }
            if contexts {
                guest.put(CONTEXTS, "", 0o644);
            }
            seal(&mut guest, &[]).unwrap();
            assert_eq!(is_labelled(&mut guest).unwrap(), labelled, "{config:?}");
            assert_eq!(guest.text("/.autorelabel").is_none(), labelled, "{config:?}");
        }
    }
}
