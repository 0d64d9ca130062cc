//! What SELinux and AppArmor would keep the agent and its database from.

use super::part::{Found, ReportPart, joined};
use super::unit::Agent;
use crate::check::{ProfileMode, SelinuxMode, rules};
use crate::disk::Tree;
use crate::inspect::apparmor::apparmor;
use crate::inspect::selinux::selinux;
use crate::os::files::{optional, read_optional, show};

/// Directories of the agent, which recipes make and move.
const DIRECTORIES: [&str; 4] = ["/etc/trove", "/var/lib/trove", "/var/log/trove", "/opt/trove-guestagent"];

const LABEL: &[u8] = b"security.selinux";

pub(crate) fn check(tree: &mut dyn Tree, agent: &Agent, container: bool) -> ReportPart {
    let mut part = ReportPart::default();
    part.check(
        "what the agent uses has SELinux labels",
        labels(tree, agent),
        "SELinux enforces its policy, and lets no service use files without a label, the agent's among them",
        "let tib build the image on a base that has its policy, or create /.autorelabel",
    );
    if !container {
        part.warn(
            "AppArmor keeps the database out of /tmp",
            temporary(tree),
            "agents that drive packages restore backups by way of /tmp, and the database may not read them there",
            "write `/tmp/ rw,` and `/tmp/** rwk,` into the file of /etc/apparmor.d/local that the profile includes",
        );
    }
    part
}

fn labels(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let Some(found) = selinux(tree)? else { return Ok(None) };
    if found.mode != Some(SelinuxMode::Enforcing) || found.autorelabel {
        return Ok(None);
    }
    let mut paths: Vec<Vec<u8>> = DIRECTORIES.iter().map(|path| path.as_bytes().to_vec()).collect();
    if let Some(program) = agent.program(tree)? {
        paths.extend(optional(tree.canonicalize(&program))?);
    }
    let mut wrong = Vec::new();
    for path in paths {
        if optional(tree.lstat(&path))?.is_none() {
            continue;
        }
        let label =
            tree.xattrs(&path)?.into_iter().find(|xattr| xattr.name == LABEL).map(|xattr| xattr.value);
        if label.is_none_or(|label| label.windows(11).any(|part| part == b"unlabeled_t")) {
            wrong.push(show(&path));
        }
    }
    Ok(joined(&wrong))
}

fn temporary(tree: &mut dyn Tree) -> Found {
    let Some(found) = apparmor(tree)? else { return Ok(None) };
    let is_databases = |text: &str| text.ends_with("/mysqld") || text.ends_with("/mariadbd");
    let profile = found.profiles.iter().find(|profile| {
        profile.mode == ProfileMode::Enforce
            && (is_databases(&profile.name) || profile.attachment.as_deref().is_some_and(is_databases))
    });
    let Some(profile) = profile else { return Ok(None) };
    let text = read_optional(tree, profile.file.as_bytes())?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = rules(&text).chain(profile.local.iter().cloned());
    let allowed = lines.any(|line| line.starts_with("/tmp/** ") || line.starts_with("/tmp/ r"));
    Ok((!allowed).then(|| format!("{} has no rule for /tmp/", profile.file)))
}
