//! Whether files have the SELinux labels that the image's own policy wants for them.

use super::part::{Found, ReportPart};
use crate::check::SelinuxMode;
use crate::disk::Tree;
use crate::inspect::selinux::selinux;
use crate::os::ReadError;
use crate::os::files::{escape, show};
use crate::os::selinux::{Difference, Labelling, differences};
use crate::report;

/// Files that are named; the rest is counted.
const SHOWN: usize = 5;

/// Where labels do not matter at rest: what is in these directories is made anew, or something is mounted over it. Everything
/// else does: what a service may not read it cannot do without, and nobody can say of a file that no service reads it.
const AT_RUN_TIME: [&str; 8] = ["/dev", "/mnt", "/proc", "/run", "/sys", "/tmp", "/var/cache", "/var/tmp"];

const TITLE: &str = "files have the SELinux labels of the image's policy";
const WHY: &str = "SELinux lets no service use a file whose label is not the one that its policy counts on";
const FIX: &str = "let tib build the image, which labels everything last; or run `restorecon -R /` in a running instance of it";

pub(super) fn labels(tree: &mut dyn Tree) -> ReportPart {
    let mut part = ReportPart::default();
    match Labelling::read(tree) {
        Ok(Labelling::Off(_)) => {}
        Ok(Labelling::NoContexts(path)) => {
            part.facts.push(("SELinux labels", format!("not compared: there is no {path}")));
        }
        Err(error) => part.check(TITLE, Err(error), WHY, FIX),
        Ok(Labelling::By(policy)) => {
            let mode = selinux(tree).map(|found| found.and_then(|found| found.mode));
            let relabels = tree.exists(b"/.autorelabel");
            let found = wrong(tree, &policy);
            match (mode, relabels) {
                (Err(error), _) => part.check(TITLE, Err(error), WHY, FIX),
                (_, Err(error)) => part.check(TITLE, Err(error.into()), WHY, FIX),
                // The first boot sets them, which is told by itself.
                (_, Ok(true)) => {}
                (Ok(Some(SelinuxMode::Enforcing)), _) => part.check(TITLE, found, WHY, FIX),
                // It only logs today what it will forbid one day.
                _ => part.warn(TITLE, found, WHY, FIX),
            }
        }
    }
    part
}

fn wrong(tree: &mut dyn Tree, policy: &crate::os::selinux::Policy) -> Found {
    let (mut named, mut count, mut unknown) = (Vec::new(), 0_usize, None);
    differences(tree, policy, &mut |path, _, difference| {
        if !matters(path) {
            return Ok(());
        }
        match difference {
            Difference::Wrong { now, wanted } => {
                count += 1;
                if named.len() < SHOWN {
                    named.push(format!("{} {}", show(path), differs(now.as_deref(), &wanted)));
                }
            }
            Difference::Unknown { reason, .. } => {
                unknown.get_or_insert_with(|| format!("{}: {reason}", show(path)));
            }
        }
        Ok(())
    })?;
    match (count, unknown) {
        (0, Some(reason)) => Err(ReadError::Unsupported { what: "the SELinux labels", reason }),
        _ => {
            // Only the number of the others counts.
            named.resize(count, String::new());
            Ok(report::listed(&named, SHOWN, "; ", "; "))
        }
    }
}

/// What is wrong with a label, in a few words.
pub(super) fn differs(now: Option<&[u8]>, wanted: &[u8]) -> String {
    let text = |label: &[u8]| escape(&String::from_utf8_lossy(label));
    match now {
        Some(now) => format!("has {}, not {}", text(now), text(wanted)),
        None => format!("has none, not {}", text(wanted)),
    }
}

fn matters(path: &[u8]) -> bool {
    let below =
        |directory: &&str| path.strip_prefix(directory.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    !AT_RUN_TIME.iter().any(below) && !path.ends_with(b"/lost+found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::selinux::LABEL;
    use crate::os::testing::MemTree;
    use crate::report::Outcome;

    const LIST: &str = "/etc/selinux/targeted/contexts/files/file_contexts";

    fn tree(mode: &str, contexts: &str) -> MemTree {
        MemTree::new()
            .file("/etc/selinux/config", format!("SELINUX={mode}\n"))
            .file(LIST, contexts)
            .file("/srv/data", "")
            .file("/tmp/x", "")
            .file("/srv/lost+found", "")
    }

    fn outcome(mut tree: MemTree) -> String {
        let part = labels(&mut tree);
        let results = part.results.into_iter().map(|result| match result.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed { found } => format!("failed: {found}"),
            Outcome::NotChecked { reason } => format!("not checked: {reason}"),
        });
        let warnings = part.warnings.into_iter().map(|text| format!("warning: {text}"));
        let facts = part.facts.into_iter().map(|(_, text)| format!("fact: {text}"));
        results.chain(warnings).chain(facts).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_matters_is_named() {
        let srv = "/srv/.* u:r:srv_t:s0\n/tmp/.* u:r:tmp_t:s0\n";
        assert_eq!(outcome(tree("enforcing", srv)), "failed: /srv/data has none, not u:r:srv_t:s0");
        let wrong = tree("enforcing", srv).xattr("/srv/data", LABEL, "u:r:x_t:s0\0");
        assert_eq!(outcome(wrong), "failed: /srv/data has u:r:x_t:s0, not u:r:srv_t:s0");
        let right = tree("enforcing", srv).xattr("/srv/data", LABEL, "v:r:srv_t:s0:c1\0");
        assert_eq!(outcome(right), "passed");
        assert!(outcome(tree("permissive", srv)).starts_with("warning: files have the SELinux labels"));
        assert_eq!(outcome(tree("disabled", srv)), "");
        assert_eq!(outcome(tree("enforcing", srv).file("/.autorelabel", "")), "");
        let many = outcome(tree("enforcing", "/.* u:r:any_t:s0\n"));
        assert!(many.ends_with("; and 6 more"), "{many}");
    }

    #[test]
    fn what_cannot_be_told_is_a_failure_and_no_policy_is_said() {
        let odd = outcome(tree("enforcing", "/srv/d(?i).* u:r:srv_t:s0\n"));
        assert!(
            odd.starts_with("not checked: cannot read the SELinux labels: /srv/data: the pattern"),
            "{odd}"
        );
        let broken = outcome(tree("enforcing", "/srv\n"));
        assert!(broken.contains("file_contexts` in the image: line 1"), "{broken}");
        let none = outcome(tree("enforcing", "").without(LIST));
        assert_eq!(none, format!("fact: not compared: there is no {LIST}"));
    }
}
