//! All that is known of single paths.

use super::render::{hex, human, letter, permissions};
use super::{FileEntry, ListOptions, entry};
use crate::clock::utc;
use crate::disk::{FileKind, Timestamp, Tree};
use crate::look::LookError;
use crate::os::accounts;
use crate::os::files::{base_name, show};
use crate::shown::Text;

/// Looks at one path, attributes and checksum included. A link in its last part is not followed unless `follow` is
/// set.
///
/// # Errors
/// [`LookError::Read`].
pub fn look_at(tree: &mut dyn Tree, path: &[u8], follow: bool) -> Result<FileEntry, LookError> {
    let path = if follow { tree.canonicalize(path)? } else { path.to_vec() };
    let stat = tree.lstat(&path)?;
    let options = ListOptions { checksums: true, xattrs: true, ..ListOptions::default() };
    let relative = base_name(&path).to_vec();
    Ok(entry(tree, path, relative, stat, &options)?)
}

/// A paragraph about an entry, in the manner of `stat`.
pub fn describe(tree: &mut dyn Tree, entry: &FileEntry) -> Text {
    let stat = &entry.stat;
    let kind = match stat.kind {
        FileKind::File if stat.size == 0 => "empty file",
        FileKind::File => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "link",
        FileKind::Block => "block device",
        FileKind::Character => "character device",
        FileKind::Fifo => "named pipe",
        FileKind::Socket => "socket",
    };
    let kind_letter = if stat.kind == FileKind::File { '-' } else { letter(stat.kind) };
    // Names are a courtesy: an image without users still has files.
    let user = accounts::users(tree).unwrap_or_default();
    let user = user.iter().find(|user| user.uid == stat.uid).map_or("?", |user| &user.name);
    let group = accounts::groups(tree).unwrap_or_default();
    let group = group.iter().find(|group| group.gid == stat.gid).map_or("?", |group| &group.name);
    let mut lines = vec![("Path", show(&entry.path))];
    if let Some(target) = &entry.target {
        lines.push(("Target", show(target)));
    }
    let numbers = match stat.kind {
        FileKind::Block | FileKind::Character => format!(" {}:{}", stat.special.0, stat.special.1),
        _ => String::new(),
    };
    lines.push(("Kind", format!("{kind}{numbers}")));
    lines.push(("Size", format!("{} ({}), {} on disk", stat.size, human(stat.size), human(stat.allocated))));
    lines.push(("Mode", format!("{:04o} ({kind_letter}{})", stat.mode, permissions(stat.mode))));
    lines.push(("Owner", format!("{} ({user}), group {} ({group})", stat.uid, stat.gid)));
    lines.push((
        "Inode",
        format!("{}, {} link{}", stat.inode, stat.links, if stat.links == 1 { "" } else { "s" }),
    ));
    for (name, moment) in
        [("Accessed", stat.accessed), ("Modified", stat.modified), ("Changed", stat.changed)]
    {
        lines.push((name, precise(moment)));
    }
    if let Some(sha256) = &entry.sha256 {
        lines.push(("SHA-256", sha256.clone()));
    }
    for xattr in entry.xattrs.iter().flatten() {
        let value = super::attributes::meaning(xattr).unwrap_or_else(|| format!("0x{}", hex(&xattr.value)));
        lines.push(("Attribute", format!("{} = {value}", show(&xattr.name))));
    }
    lines.iter().map(|(name, value)| format!("{name:>10}: {value}")).collect()
}

fn precise(moment: Timestamp) -> String {
    format!("{}.{:09} UTC", utc(moment.seconds), moment.nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn a_paragraph_about_a_file_and_a_link() {
        let mut tree = MemTree::new()
            .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
            .file("/etc/group", "root:x:0:\nshadow:x:42:\n")
            .file("/etc/shadow", "secret")
            .access("/etc/shadow", 0o640, 0, 42)
            .xattr("/etc/shadow", "security.selinux", "system_u:object_r:shadow_t:s0\0")
            .xattr("/etc/shadow", "user.odd", [0xff, 0])
            .link("/etc/alias", "shadow");
        let mut text = String::new();
        for (path, follow) in [("/etc/shadow", false), ("/etc/alias", false), ("/etc/alias", true)] {
            let entry = look_at(&mut tree, path.as_bytes(), follow).unwrap();
            text += &describe(&mut tree, &entry);
            text.push('\n');
        }
        insta::assert_snapshot!(text);
    }
}
