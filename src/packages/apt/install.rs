//! Packages that the host has chosen and fetched: unpacking and configuring them in the guest.

use crate::shell::quote;
use std::fmt::Write as _;

use super::{DpkgAction, PackageSet, Transaction, archive};

/// The script that installs a set in the guest, with its files in `directory` of the guest. `debconf` holds
/// answers as `debconf-set-selections` reads them.
///
/// Order and choice come from the host's apt, so the guest runs dpkg alone: apt would read every file again,
/// hash it, and solve what is solved, which is slow under emulation. Triggers run once, at the end. apt is
/// only told which packages came as dependencies, so that a later `autoremove` knows.
pub(super) fn install_script(set: &PackageSet, directory: &str, debconf: &[String]) -> String {
    let mut text = String::from(PREAMBLE);
    let Transaction::Apt(order) = &set.transaction else { return text };
    if !debconf.is_empty() {
        // Line by line, so that no answer can end a here-document.
        let lines: Vec<_> = debconf.iter().map(|line| quote(line)).collect();
        let _ = writeln!(text, "printf '%s\\n' {} | debconf-set-selections", lines.join(" "));
    }
    if !set.files.is_empty() || !order.is_empty() {
        let _ = writeln!(text, "cd {}", quote(directory));
        text.push_str(HOLD_MANUALS);
        for (verb, names) in batches(set, order) {
            let _ = writeln!(text, "run {verb} {}", names.join(" "));
        }
        text.push_str("run --configure --pending\n");
        text.push_str(RELEASE_MANUALS);
    }
    let automatic = set.files.iter().filter(|file| file.new && !file.requested);
    mark(&mut text, "auto", automatic.map(|file| file.name.as_str()));
    mark(&mut text, "manual", set.present.iter().map(String::as_str));
    text
}

/// The script that installs one file.
pub(super) fn file_script(file: &str) -> String {
    format!("{PREAMBLE}run -i {file}\n")
}

/// The script that removes what a set removes, with its configuration, from the guest.
///
/// dpkg is given all names at once and finds its own order.
pub(super) fn removal_script(set: &PackageSet) -> String {
    let names: Vec<_> = set.removed.iter().map(|name| quote(name)).collect();
    format!("{PREAMBLE}run --purge {}\n", names.join(" "))
}

const PREAMBLE: &str = "\
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
export NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none UCF_FORCE_CONFFOLD=1
export HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
run() { dpkg --force-confdef --force-confold --force-unsafe-io \"$@\"; }
";

/// man-db rebuilds its index from a trigger while this file exists; its timer does it on the running machine.
const HOLD_MANUALS: &str = "\
manuals=/var/lib/man-db/auto-update
if [ -e $manuals ]; then mv $manuals $manuals.held; fi
";
const RELEASE_MANUALS: &str = "\
if [ -e $manuals.held ]; then mv $manuals.held $manuals; fi
cd /
";

/// Adjacent actions of one kind share a call of dpkg, as they do in apt.
fn batches(set: &PackageSet, order: &[DpkgAction]) -> Vec<(&'static str, Vec<String>)> {
    let mut batches: Vec<(&'static str, Vec<String>)> = Vec::new();
    for action in order {
        let (verb, name) = match action {
            DpkgAction::Unpack(index) => match set.files.get(*index) {
                Some(file) => ("--no-triggers --unpack --auto-deconfigure", quote(&archive::file_name(file))),
                None => continue,
            },
            DpkgAction::Configure(name) => ("--no-triggers --configure", name.clone()),
            DpkgAction::Remove(name) => ("--force-depends --no-triggers --remove", name.clone()),
        };
        match batches.last_mut() {
            Some((last, names)) if *last == verb => names.push(name),
            _ => batches.push((verb, vec![name])),
        }
    }
    // The last call of the script configures whatever is left, in dpkg's own order.
    if batches.last().is_some_and(|(verb, _)| verb.ends_with("--configure")) {
        batches.pop();
    }
    batches
}

fn mark<'a>(text: &mut String, how: &str, names: impl Iterator<Item = &'a str>) {
    let names: Vec<_> = names.collect();
    if !names.is_empty() {
        // Without sources there are no lists to read and no cache worth writing.
        let _ = writeln!(
            text,
            "apt-mark -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/dev/null \\\n  \
             -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= {how} {} >/dev/null",
            names.join(" ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::packages::Resolved;
    use crate::packages::apt::solve::nothing;

    fn file(name: &str, requested: bool, new: bool) -> Resolved {
        Resolved {
            name: name.to_owned(),
            version: "1:2.0".to_owned(),
            arch: "all".to_owned(),
            digest: Digest::of(name.as_bytes()),
            size: 1,
            source: format!("http://deb.example.org/{name}.deb"),
            repository: None,
            installed_size: 1024,
            requested,
            new,
        }
    }

    #[test]
    fn one_call_per_kind_and_the_rest_at_the_end() {
        let set = PackageSet {
            files: vec![file("pre", false, true), file("db", true, true), file("libc6", false, false)],
            present: vec!["curl".to_owned()],
            removed: vec!["tool".to_owned(), "g++".to_owned()],
            transaction: Transaction::Apt(vec![
                DpkgAction::Remove("old".to_owned()),
                DpkgAction::Unpack(0),
                DpkgAction::Configure("pre".to_owned()),
                DpkgAction::Unpack(1),
                DpkgAction::Unpack(2),
                DpkgAction::Configure("libc6".to_owned()),
                DpkgAction::Configure("db".to_owned()),
            ]),
        };
        let script = install_script(&set, "/mnt/it's here", &["db db/pw password it's".to_owned()]);
        insta::assert_snapshot!(script.strip_prefix(PREAMBLE).unwrap(), @r"
        printf '%s\n' 'db db/pw password it'\''s' | debconf-set-selections
        cd '/mnt/it'\''s here'
        manuals=/var/lib/man-db/auto-update
        if [ -e $manuals ]; then mv $manuals $manuals.held; fi
        run --force-depends --no-triggers --remove old
        run --no-triggers --unpack --auto-deconfigure pre_1%3a2.0_all.deb
        run --no-triggers --configure pre
        run --no-triggers --unpack --auto-deconfigure db_1%3a2.0_all.deb libc6_1%3a2.0_all.deb
        run --configure --pending
        if [ -e $manuals.held ]; then mv $manuals.held $manuals; fi
        cd /
        apt-mark -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/dev/null \
          -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= auto pre >/dev/null
        apt-mark -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/dev/null \
          -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= manual curl >/dev/null
        ");
        assert_eq!(removal_script(&set).strip_prefix(PREAMBLE), Some("run --purge tool g++\n"));
        let empty = install_script(&nothing(), "/mnt", &[]);
        assert_eq!(empty, PREAMBLE, "nothing to do, nothing is run");
    }
}
