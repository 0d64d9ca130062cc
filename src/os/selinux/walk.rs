//! All files of an image whose labels are not those that its policy wants.

use std::collections::{HashMap, HashSet};

use super::contexts::Wanted;
use super::label::label_of;
use super::policy::Policy;
use crate::disk::{DiskError, FileKind, Stat, Tree};
use crate::os::files::walk_with;

/// What is wrong with the label of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Difference {
    /// It has this label, or none at all, and should have the other.
    Wrong { now: Option<Vec<u8>>, wanted: Vec<u8> },
    /// It cannot be told whether this label, if it has one, is right, for this reason.
    Unknown { now: Option<Vec<u8>>, reason: String },
}

/// What was looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Files, of all kinds.
    pub(crate) files: u64,
    /// Those of them on file systems that keep no labels, such as FAT.
    pub(crate) unlabelled: u64,
}

/// Takes a file whose label is not what the policy wants: its path, and how the two differ.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &Stat, Difference) -> Result<(), DiskError> + 'a;

/// Goes through everything in the image, parents before children, and hands each file to `visit` whose label is not what its
/// policy wants. Of several names of one file the first that the policy has a label for decides, in byte order: `setfiles`
/// takes the first that it meets, too.
///
/// # Errors
/// What is wrong with the image, or what `visit` says.
pub(crate) fn differences(
    tree: &mut dyn Tree,
    policy: &Policy,
    visit: &mut Visit<'_>,
) -> Result<Seen, DiskError> {
    let mut seen = Seen::default();
    let mut places = HashMap::new();
    let mut decided = HashSet::new();
    let mut look = |tree: &mut dyn Tree, path: &[u8], stat: &Stat| {
        seen.files += 1;
        let keeps = match places.get(&stat.device) {
            Some(keeps) => *keeps,
            None => *places.entry(stat.device).or_insert(tree.keeps_xattrs(path)?),
        };
        if !keeps {
            seen.unlabelled += 1;
            return Ok(());
        }
        let has_names = stat.kind != FileKind::Directory && stat.links > 1;
        if has_names && decided.contains(&(stat.device, stat.inode)) {
            return Ok(());
        }
        let wanted = policy.wanted(path, stat.kind);
        if has_names && wanted != Wanted::Nothing {
            decided.insert((stat.device, stat.inode));
        }
        if wanted == Wanted::Nothing {
            return Ok(());
        }
        let xattrs = tree.xattrs(path)?;
        let now = label_of(&xattrs);
        let own = || now.map(<[u8]>::to_vec);
        match wanted {
            Wanted::Label(label) => match policy.correction(now, label.as_bytes()) {
                Some(wanted) => visit(path, stat, Difference::Wrong { now: own(), wanted }),
                None => Ok(()),
            },
            Wanted::Unknown(reason) => visit(path, stat, Difference::Unknown { now: own(), reason }),
            Wanted::Nothing => Ok(()),
        }
    };
    let root = tree.lstat(b"/")?;
    look(tree, b"/", &root)?;
    walk_with(tree, b"/", &mut look)?;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::super::{CONFIG, LABEL, Labelling};
    use super::*;
    use crate::os::files::show;
    use crate::os::testing::MemTree;

    fn found(tree: &mut MemTree) -> (Vec<String>, Seen) {
        let Labelling::By(policy) = Labelling::read(tree).unwrap() else { panic!() };
        let mut all = Vec::new();
        let seen = differences(tree, &policy, &mut |path, _, difference| {
            let text = |label: &[u8]| String::from_utf8_lossy(label).into_owned();
            all.push(match difference {
                Difference::Wrong { now, wanted } => {
                    format!(
                        "{} {} {}",
                        show(path),
                        now.map_or("-".to_owned(), |now| text(&now)),
                        text(&wanted)
                    )
                }
                Difference::Unknown { .. } => format!("{} ?", show(path)),
            });
            Ok(())
        });
        (all, seen.unwrap())
    }

    fn tree(contexts: &str) -> MemTree {
        MemTree::new()
            .file(CONFIG, "SELINUX=enforcing\n")
            .file("/etc/selinux/targeted/contexts/files/file_contexts", contexts)
    }

    #[test]
    fn only_what_differs_is_told() {
        let right = "u:r:any:s0\0";
        let mut tree = tree("/ -d u:r:root:s0\n/srv(/.*)? u:r:any:s0\n/srv/x(?i) u:r:odd:s0\n")
            .file("/srv/a", "")
            .file("/srv/b\n", "")
            .file("/srv/c", "")
            .file("/srv/x", "")
            .xattr("/srv", LABEL, right)
            .xattr("/srv/a", LABEL, right)
            .xattr("/srv/c", LABEL, "v:r:other:s0\0");
        let (all, seen) = found(&mut tree);
        assert_eq!(
            all,
            ["/ - u:r:root:s0", "/srv/b\\n - u:r:any:s0", "/srv/c v:r:other:s0 v:r:any:s0", "/srv/x ?"]
        );
        assert_eq!(seen, Seen { files: 13, unlabelled: 0 });
    }

    #[test]
    fn the_first_name_of_a_file_decides() {
        let contexts = "/a/.* <<none>>\n/b/.* u:r:b:s0\n/c/.* u:r:c:s0\n";
        let linked =
            |tree: MemTree| tree.dir("/b").dir("/c").hard_link("/a/x", "/b/x").hard_link("/b/x", "/c/x");
        let mut bare = linked(tree(contexts).file("/a/x", ""));
        assert_eq!(found(&mut bare).0, ["/b/x - u:r:b:s0"]);
        let mut right = linked(tree(contexts).file("/a/x", "").xattr("/a/x", LABEL, "u:r:b:s0\0"));
        assert_eq!(found(&mut right).0, [""; 0]);
        let mut wrong = linked(tree(contexts).file("/a/x", "").xattr("/a/x", LABEL, "u:r:c:s0\0"));
        assert_eq!(found(&mut wrong).0, ["/b/x u:r:c:s0 u:r:b:s0"]);
    }

    #[test]
    fn a_file_system_without_labels_is_left_out() {
        let tree = tree("/.* u:r:any:s0\n").file("/boot/efi/a", "");
        let mut tree = tree.mounted_without_xattrs("/boot/efi", 7);
        let (all, seen) = found(&mut tree);
        assert!(all.iter().all(|line| !line.starts_with("/boot/efi")), "{all:?}");
        assert!(all.contains(&"/boot - u:r:any:s0".to_owned()));
        assert_eq!(seen.unlabelled, 2);
    }
}
