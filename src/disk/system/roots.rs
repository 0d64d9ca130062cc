//! Which part of a file system is the root of the operating system, where it has parts: subvolumes of Btrfs.

use super::{MAX_FSTAB, RootLikeness, root_kind};
use crate::disk::fstab;
use crate::disk::os_tree::OsTree;
use crate::disk::{DiskError, FileKind, Tree};

/// Subvolumes looked at. Snapshots and containers are subvolumes too.
const MAX_ROOTS: usize = 1000;
/// Largest file read in which a boot loader may name the root.
const MAX_CONFIGURATION: u64 = 1 << 20;
/// Where kernel command lines stand.
const COMMAND_LINES: [&[u8]; 3] = [b"/etc/kernel/cmdline", b"/boot/grub2/grub.cfg", b"/boot/grub/grub.cfg"];
/// What the next command lines are made of.
const FUTURE_COMMAND_LINES: &[u8] = b"/etc/default/grub";
/// Parameters that say what the root is.
const ROOT_PARAMETERS: [&str; 3] = ["root=", "rootflags=", "rd.lvm.lv="];
const LOADER_ENTRIES: &[u8] = b"/boot/loader/entries";
/// Entries of a boot loader read.
const MAX_LOADER_ENTRIES: usize = 50;

/// Shows the part of the only file system of a tree that looks like a root, and says how much it does. The part that is
/// shown by default comes first, unless it says itself that another system is mounted instead; of others, one that is a
/// system and says that it is mounted as the root.
///
/// # Errors
/// [`DiskError::Unsupported`] when it cannot be told which is meant.
pub(super) fn choose_root(tree: &mut OsTree) -> Result<RootLikeness, DiskError> {
    let roots = tree.roots();
    if let Some(default) = roots.first() {
        tree.show(*default)?;
    }
    let default = root_kind(tree)?;
    if roots.len() == 1 {
        return Ok(default);
    }
    if default == RootLikeness::Yes {
        if let Some(other) = instead_of_default(tree, roots[0])? {
            tree.show(other)?;
        }
        return Ok(default);
    }
    if roots.len() > MAX_ROOTS {
        return Err(DiskError::Unsupported("has more subvolumes than tib looks through".to_owned()));
    }
    let mut found = Vec::new();
    for root in &roots {
        tree.show(*root)?;
        let kind = root_kind(tree)?;
        if kind != RootLikeness::No {
            found.push((kind, *root));
        }
    }
    if found.iter().any(|(kind, _)| *kind == RootLikeness::Yes) {
        found.retain(|(kind, _)| *kind == RootLikeness::Yes);
    }
    if found.len() > 1 {
        found = those_that_name_themselves(tree, &found)?;
    }
    let (kind, root) = found.pop().unwrap_or((RootLikeness::No, roots[0]));
    tree.show(root)?;
    Ok(kind)
}

/// The system that is mounted in place of the one that is shown, which is the default, by the default's own account: the
/// kernel's command line decides; where none is to be seen, both their tables of file systems must agree. Leaves the
/// default shown if it is meant.
fn instead_of_default(tree: &mut OsTree, default: u64) -> Result<Option<u64>, DiskError> {
    let texts = boot_texts(tree)?;
    let by_kernel = named_by(tree, &texts)?;
    if by_kernel.contains(&default) {
        return Ok(None);
    }
    let mut others = Vec::new();
    for root in by_kernel {
        tree.show(root)?;
        if root_kind(tree)? == RootLikeness::Yes {
            others.push(root);
        }
    }
    if others.len() > 1 {
        return undecided(tree, &others);
    }
    if let Some(other) = others.pop() {
        return Ok(Some(other));
    }
    tree.show(default)?;
    // A command line without `subvol=` mounts the default.
    if texts.iter().any(|text| text.contains("root=")) {
        return Ok(None);
    }
    let Some(other) = named_in_fstab(tree)?.filter(|other| *other != default) else { return Ok(None) };
    tree.show(other)?;
    if root_kind(tree)? == RootLikeness::Yes {
        if named_in_fstab(tree)? == Some(other) {
            return Ok(Some(other));
        }
        return undecided(tree, &[default, other]);
    }
    tree.show(default)?;
    Ok(None)
}

/// Of several systems that which is mounted as the root by its own account. Snapshots of it name it as well.
fn those_that_name_themselves(
    tree: &mut OsTree,
    found: &[(RootLikeness, u64)],
) -> Result<Vec<(RootLikeness, u64)>, DiskError> {
    let mut named = Vec::new();
    for (kind, root) in found {
        tree.show(*root)?;
        if names_itself(tree, *root)? {
            named.push((*kind, *root));
        }
    }
    if named.len() == 1 {
        return Ok(named);
    }
    undecided(tree, &found.iter().map(|(_, root)| *root).collect::<Vec<_>>())
}

fn undecided<T>(tree: &mut OsTree, roots: &[u64]) -> Result<T, DiskError> {
    let mut names = Vec::new();
    for root in roots.iter().take(5) {
        names.push(tree.part(*root)?.unwrap_or_else(|| "/".to_owned()));
    }
    let what =
        "has an operating system in more than one subvolume, and none of them alone says that it is the root";
    Err(DiskError::Unsupported(format!("{what}: {}", names.join(", "))))
}

/// Whether the part that is shown, whose root is `root`, says that it is mounted as the root. The kernel's command line
/// counts before the table of file systems, which is read when the root is mounted already.
fn names_itself(tree: &mut OsTree, root: u64) -> Result<bool, DiskError> {
    let texts = boot_texts(tree)?;
    let by_kernel = named_by(tree, &texts)?;
    if let [only] = by_kernel[..] {
        return Ok(only == root);
    }
    Ok(match named_in_fstab(tree)? {
        Some(named) => named == root,
        None => by_kernel.contains(&root),
    })
}

/// The part that the fstab of the one that is shown names as the root.
fn named_in_fstab(tree: &mut OsTree) -> Result<Option<u64>, DiskError> {
    let entries = fstab::parse(&text(tree, b"/etc/fstab", MAX_FSTAB)?);
    for entry in entries.iter().filter(|entry| entry.point.is_empty()) {
        if entry.options_named(&["subvol", "subvolid"]).next().is_some() {
            return tree.mounted(&entry.options);
        }
    }
    Ok(None)
}

/// The parts that kernel command lines name as the root, each once.
fn named_by(tree: &mut OsTree, texts: &[String]) -> Result<Vec<u64>, DiskError> {
    let mut named = Vec::new();
    for options in texts.iter().flat_map(|text| root_flags(text)) {
        named.extend(tree.mounted(&options)?);
    }
    named.sort_unstable();
    named.dedup();
    Ok(named)
}

/// What says with which command lines the kernel of a system starts.
pub(super) fn boot_texts(tree: &mut OsTree) -> Result<Vec<String>, DiskError> {
    let mut files: Vec<Vec<u8>> = COMMAND_LINES.iter().map(|path| path.to_vec()).collect();
    if kind(tree, LOADER_ENTRIES)? == Some(FileKind::Directory) {
        let names = tree.read_dir(LOADER_ENTRIES)?;
        let names = names.iter().take(MAX_LOADER_ENTRIES);
        files.extend(names.map(|name| [LOADER_ENTRIES, b"/", name].concat()));
    }
    let mut texts = Vec::new();
    for file in files {
        texts.push(text(tree, &file, MAX_CONFIGURATION)?);
    }
    if !texts.iter().any(|text| ROOT_PARAMETERS.iter().any(|parameter| text.contains(parameter))) {
        texts.push(text(tree, FUTURE_COMMAND_LINES, MAX_CONFIGURATION)?);
    }
    Ok(texts)
}

/// With which options kernel command lines in a text mount a subvolume as the root.
fn root_flags(text: &str) -> Vec<Vec<String>> {
    let flags = text.split("rootflags=").skip(1);
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let options = flags.map(|flags| {
        let flags = flags.split(ends).next().unwrap_or_default();
        flags.split(',').map(str::to_owned).collect::<Vec<_>>()
    });
    options.filter(|options| options.iter().any(|option| option.starts_with("subvol"))).collect()
}

fn kind(tree: &mut OsTree, path: &[u8]) -> Result<Option<FileKind>, DiskError> {
    match tree.stat(path) {
        Ok(stat) => Ok(Some(stat.kind)),
        Err(DiskError::NotFound(_) | DiskError::NotDirectory(_) | DiskError::WrongKind { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a file says; nothing if it is no file, or too large.
pub(super) fn text(tree: &mut OsTree, path: &[u8], limit: u64) -> Result<String, DiskError> {
    if kind(tree, path)? != Some(FileKind::File) {
        return Ok(String::new());
    }
    match tree.read(path, limit) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(DiskError::WrongKind { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_name_subvolumes() {
        let text = "linux /vmlinuz root=UUID=1 ro rootflags=subvol=root,compress=zstd:1 quiet\n\
                    GRUB_CMDLINE_LINUX=\"rootflags=subvolid=256\"\nrootflags=data=journal rootflags=";
        assert_eq!(
            root_flags(text),
            [vec!["subvol=root".to_owned(), "compress=zstd:1".to_owned()], vec!["subvolid=256".to_owned()]]
        );
    }
}
