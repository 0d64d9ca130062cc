//! What sudo lets the agent do.

use super::agent::Agent;
use super::{CheckResult, Found, joined, result};
use crate::disk::{FileKind, Tree};
use crate::verify::look::{join, names, read_optional, show};
use crate::verify::{VerifyError, groups, groups_of, users};

const MAIN: &[u8] = b"/etc/sudoers";
const DIRECTORY: &[u8] = b"/etc/sudoers.d";

/// Checks sudo when the agent is not root: it calls sudo for nearly everything.
pub(super) fn check(tree: &mut dyn Tree, agent: &Agent) -> Vec<CheckResult> {
    let user = agent.user();
    if user == "root" {
        return Vec::new();
    }
    vec![
        result("sudoers files belong to root and have mode 0440", modes(tree))
            .why("sudo refuses files that others could write, and then refuses everybody")
            .fix("set owner root:root and mode 0440"),
        result(format!("{user} may use sudo without password and terminal"), may(tree, user))
            .why("the agent runs without a terminal and cannot type a password")
            .fix("add `USER ALL=(ALL) NOPASSWD:ALL` below /etc/sudoers.d and remove requiretty"),
    ]
}

/// The files sudo reads: the main one, and in the directory those without a dot or a tilde at the end.
fn files(tree: &mut dyn Tree) -> Result<Vec<Vec<u8>>, VerifyError> {
    let mut files = vec![MAIN.to_vec()];
    let names = names(tree, DIRECTORY)?;
    let read = names.iter().filter(|name| !name.contains(&b'.') && !name.ends_with(b"~"));
    files.extend(read.map(|name| join(DIRECTORY, name)));
    Ok(files)
}

fn modes(tree: &mut dyn Tree) -> Found {
    let mut wrong = Vec::new();
    if !tree.exists(MAIN)? {
        return Ok(Some("sudo is not installed".to_owned()));
    }
    for path in files(tree)? {
        let stat = tree.stat(&path)?;
        if stat.kind != FileKind::File {
            continue;
        }
        if stat.uid != 0 || stat.gid != 0 || !matches!(stat.mode, 0o440 | 0o400) {
            let shown = show(&path);
            wrong.push(format!("{shown} has mode {:04o}, owner {}:{}", stat.mode, stat.uid, stat.gid));
        }
    }
    Ok(joined(&wrong))
}

fn may(tree: &mut dyn Tree, name: &str) -> Found {
    let Some(user) = users(tree)?.into_iter().find(|user| user.name == name) else {
        return Ok(Some(format!("no user {name}")));
    };
    let groups = groups(tree)?;
    let mut subjects = vec![name.to_owned(), "ALL".to_owned()];
    subjects.extend(groups_of(&user, &groups).iter().map(|group| format!("%{group}")));
    let mut wrong = Vec::new();
    let mut allowed = false;
    for path in files(tree)? {
        let Some(text) = read_optional(tree, &path)? else { continue };
        let text = String::from_utf8_lossy(&text).replace("\\\n", " ");
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else { continue };
            if first.starts_with("Defaults") {
                let options = words.flat_map(|word| word.split(','));
                wrong.extend(
                    options.filter(|&o| o == "requiretty").map(|_| format!("requiretty in {}", show(&path))),
                );
            } else if subjects.iter().any(|subject| subject == first) {
                // The last line that matches counts.
                allowed = line.contains("NOPASSWD:");
            }
        }
    }
    if !allowed {
        wrong.insert(0, format!("nothing lets {name} use sudo without password"));
    }
    Ok(joined(&wrong))
}
