//! Files, directories and links.

use super::{Found, Image, sentence, show, unusable};
use crate::check::{PathCheck, PathKind, pattern};
use crate::disk::{FileKind, Stat, Tree};
use crate::os::files::{digest, optional};
use crate::os::{ReadError, gid_of, uid_of};

/// The longest file that is searched for text.
const SEARCH_LIMIT: u64 = 16 << 20;

impl Image<'_> {
    pub(super) fn path(&mut self, check: &PathCheck) -> Found {
        let at = check.path.as_bytes();
        if !check.exists {
            // A link that leads nowhere is something too.
            let there = optional(self.tree.lstat(at))?;
            return Ok(there.map(|stat| format!("{} is there", kind_name(stat.kind))));
        }
        let stat = if is_about_link(check) { self.tree.lstat(at) } else { self.tree.stat(at) };
        let Some(stat) = optional(stat)? else { return Ok(Some(self.why_missing(at)?)) };
        let mut wrong = Vec::new();
        if check.kind.is_some_and(|kind| file_kind(kind) != stat.kind) {
            wrong.push(format!("it is {}", kind_name(stat.kind)));
        }
        if let Some(mode) = &check.mode {
            let wanted = u32::from_str_radix(mode.trim_start_matches("0o"), 8)
                .map_err(|_| unusable(format!("`{mode}` is no octal mode")))?;
            if wanted != stat.mode {
                wrong.push(format!("mode {:04o}", stat.mode));
            }
        }
        self.ownership(&stat, check.owner.as_deref(), check.group.as_deref(), &mut wrong)?;
        if let Some(wanted) = &check.target {
            let itself = self.tree.lstat(at)?;
            if itself.kind == FileKind::Symlink {
                let link = self.tree.read_link(at)?;
                if link != wanted.as_bytes() {
                    wrong.push(format!("it points to {}", show(&link)));
                }
            } else {
                wrong.push(format!("it is {}, not a link", kind_name(itself.kind)));
            }
        }
        if let Some(wanted) = &check.sha256 {
            let found = digest(self.tree, at)?.to_string();
            if !wanted.eq_ignore_ascii_case(&found) {
                wrong.push(format!("its SHA-256 is {found}"));
            }
        }
        content(self.tree, check, &mut wrong)?;
        Ok(sentence(&wrong))
    }

    fn why_missing(&mut self, path: &[u8]) -> Result<String, ReadError> {
        Ok(match optional(self.tree.lstat(path))? {
            Some(stat) if stat.kind == FileKind::Symlink => {
                format!("a link to {}, which does not exist", show(&self.tree.read_link(path)?))
            }
            _ => "nothing is there".to_owned(),
        })
    }

    fn ownership(
        &mut self,
        stat: &Stat,
        owner: Option<&str>,
        group: Option<&str>,
        wrong: &mut Vec<String>,
    ) -> Result<(), ReadError> {
        if let Some(owner) = owner {
            let users = self.users()?;
            if uid_of(users, owner) != Some(stat.uid) {
                let name = users.iter().find(|user| user.uid == stat.uid).map(|user| user.name.as_str());
                wrong.push(format!("it belongs to {} (uid {})", name.unwrap_or("nobody known"), stat.uid));
            }
        }
        if let Some(group) = group {
            let groups = self.groups()?;
            if gid_of(groups, group) != Some(stat.gid) {
                let name = groups.iter().find(|group| group.gid == stat.gid).map(|group| group.name.as_str());
                wrong.push(format!("its group is {} (gid {})", name.unwrap_or("none known"), stat.gid));
            }
        }
        Ok(())
    }
}

/// Whether mode, owner and group are those of a link, not of what it leads to.
fn is_about_link(check: &PathCheck) -> bool {
    match check.kind {
        Some(kind) => kind == PathKind::Symlink,
        None => check.target.is_some(),
    }
}

/// What a file must hold, and must not.
fn content(tree: &mut dyn Tree, check: &PathCheck, wrong: &mut Vec<String>) -> Result<(), ReadError> {
    if check.contains.is_none() && check.lacks.is_none() && check.matches.is_none() {
        return Ok(());
    }
    let content = tree.read(check.path.as_bytes(), SEARCH_LIMIT)?;
    let holds =
        |text: &str| text.is_empty() || content.windows(text.len()).any(|window| window == text.as_bytes());
    if check.contains.as_deref().is_some_and(|text| !holds(text)) {
        wrong.push("the text is not in it".to_owned());
    }
    if check.lacks.as_deref().is_some_and(holds) {
        wrong.push("the text is in it".to_owned());
    }
    if let Some(text) = &check.matches
        && !pattern(text).map_err(unusable)?.is_match(&content)
    {
        wrong.push("nothing in it matches".to_owned());
    }
    Ok(())
}

fn file_kind(kind: PathKind) -> FileKind {
    match kind {
        PathKind::File => FileKind::File,
        PathKind::Directory => FileKind::Directory,
        PathKind::Symlink => FileKind::Symlink,
    }
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "a file",
        FileKind::Directory => "a directory",
        FileKind::Symlink => "a link",
        FileKind::Block => "a block device",
        FileKind::Character => "a character device",
        FileKind::Fifo => "a named pipe",
        FileKind::Socket => "a socket",
    }
}
