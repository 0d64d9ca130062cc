//! Packages that the host has chosen and fetched: installing and removing them in the guest.

use std::fmt::Write as _;

use super::{PackageSet, Resolved, RpmTransaction, Transaction};
use crate::shell::{quote, quote_all};

/// The name of a package's file on the payload disk.
pub(super) fn file_name(file: &Resolved) -> String {
    // Without the epoch, as everybody calls it.
    let version = file.version.rsplit(':').next().unwrap_or(&file.version);
    let name = file.name.strip_suffix(&format!(".{}", file.arch)).unwrap_or(&file.name);
    format!("{name}-{version}.{}.rpm", file.arch)
}

/// The name of a key's file there.
pub(super) fn key_name(digest: crate::digest::Digest) -> String {
    format!("key-{}.asc", digest.short())
}

/// The script that installs a set in the guest, with its files in `directory` of the guest.
///
/// The guest runs rpm alone: dnf would read every file several times, which is slow under emulation. dnf is only told what
/// came as a dependency, so that a later `autoremove` knows.
pub(super) fn install_script(set: &PackageSet, directory: &str) -> String {
    let mut text = String::from(PREAMBLE);
    let Transaction::Rpm(transaction) = &set.transaction else { return text };
    if !set.files.is_empty() {
        let _ = writeln!(text, "cd {}", quote(directory));
        // Where they are there already, nothing changes.
        let keys: Vec<_> = transaction.keys.iter().map(|&digest| key_name(digest)).collect();
        if !keys.is_empty() {
            let _ = writeln!(text, "rpm --import {}", keys.join(" "));
        }
        // One that is kept beside an older one would take its place with `-U`.
        for (verb, beside) in [("-U --oldpackage", false), ("-i", true)] {
            let files =
                set.files.iter().enumerate().filter(|(index, _)| is_beside(transaction, *index) == beside);
            let names: Vec<_> = files.map(|(_, file)| file_name(file)).collect();
            if !names.is_empty() {
                let _ = writeln!(
                    text,
                    "run {verb} --excludedocs --define '_pkgverify_level all' {}",
                    quote_all(&names)
                );
            }
        }
        text.push_str("cd /\n");
    }
    let dependencies: Vec<_> =
        set.files.iter().filter(|file| file.new && !file.requested).map(|file| file.name.clone()).collect();
    if !dependencies.is_empty() || !set.present.is_empty() {
        text.push_str(MARK);
    }
    for (verb, names) in [("remove", &dependencies), ("install", &set.present)] {
        if !names.is_empty() {
            let _ = writeln!(text, "mark {verb} {}", quote_all(names));
        }
    }
    text + CLEAN
}

/// The script that installs one file. Who has signed it is not asked: its digest says what it is.
pub(super) fn file_script(file: &str) -> String {
    format!("{PREAMBLE}run -U --replacepkgs --excludedocs --nosignature {file}\n{CLEAN}")
}

fn is_beside(transaction: &RpmTransaction, index: usize) -> bool {
    transaction.beside.contains(&index)
}

/// The script that removes what a set removes. rpm finds its own order.
pub(super) fn removal_script(set: &PackageSet) -> String {
    format!("{PREAMBLE}run -e {}\n{CLEAN}", quote_all(&set.removed))
}

/// rpm itself goes on, and ends well, after most scripts of packages that fail.
const PREAMBLE: &str = "\
export HOME=/root LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
run() {
    log=$(mktemp)
    { rpm \"$@\" 2>&1 || echo \"rpm ended with code $?\"; } | tee \"$log\"
    if grep -Eq 'scriptlet failed|^rpm ended with code ' \"$log\"; then exit 1; fi
    rm -f \"$log\"
}
";

/// dnf 4 takes what it did not install itself for asked for. So do dnf 5 and yum, and there that stays so.
const MARK: &str = "\
mark() {
    dnf=$(command -v dnf-3 || command -v dnf || :)
    case $(readlink -f \"$dnf\") in
    '' | */dnf5) ;;
    *) \"$dnf\" -q -y --noplugins --disablerepo='*' mark \"$@\" ;;
    esac
}
";

/// The environment of Berkeley DB fits the machine that made it.
const CLEAN: &str = "rm -f /var/lib/rpm/__db.* /usr/lib/sysimage/rpm/__db.*\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::packages::dnf::nothing;

    fn file(name: &str, requested: bool, new: bool) -> Resolved {
        Resolved {
            name: name.to_owned(),
            version: "1:2.0-3.el9".to_owned(),
            arch: "x86_64".to_owned(),
            digest: Digest::of(name.as_bytes()),
            size: 1,
            source: format!("http://rpm.example.org/{name}.rpm"),
            repository: Some("vendor".to_owned()),
            installed_size: 1024,
            requested,
            new,
        }
    }

    #[test]
    fn one_call_and_what_stands_beside_in_another() {
        let set = PackageSet {
            files: vec![file("dep", false, true), file("kernel-core", false, false), file("db", true, true)],
            present: vec!["curl".to_owned()],
            removed: vec!["nano-5.6-1.x86_64".to_owned()],
            transaction: Transaction::Rpm(RpmTransaction {
                beside: vec![1],
                keys: vec![Digest::of(b"key")],
                replaced: Vec::new(),
            }),
        };
        let script = install_script(&set, "/mnt/it's here");
        insta::assert_snapshot!(script.strip_prefix(PREAMBLE).unwrap().replace(MARK, ""), @r"
        cd '/mnt/it'\''s here'
        rpm --import key-2c70e12b7a06.asc
        run -U --oldpackage --excludedocs --define '_pkgverify_level all' dep-2.0-3.el9.x86_64.rpm db-2.0-3.el9.x86_64.rpm
        run -i --excludedocs --define '_pkgverify_level all' kernel-core-2.0-3.el9.x86_64.rpm
        cd /
        mark remove dep
        mark install curl
        rm -f /var/lib/rpm/__db.* /usr/lib/sysimage/rpm/__db.*
        ");
        assert_eq!(removal_script(&set), format!("{PREAMBLE}run -e nano-5.6-1.x86_64\n{CLEAN}"));
        assert_eq!(install_script(&nothing(), "/mnt"), format!("{PREAMBLE}{CLEAN}"), "nothing is run");
    }
}
