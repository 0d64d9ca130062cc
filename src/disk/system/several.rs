//! Which of several operating systems on a disk is meant: copies of a root, such as another logical volume made before an
//! upgrade, say themselves which volume is the root.

use super::roots::{boot_texts, text};
use super::{MAX_FSTAB, Search};
use crate::disk::DiskError;
use crate::disk::fstab::{self, FstabEntry};
use crate::disk::os_tree::OsTree;

impl Search {
    /// The one of several systems that all of them mount as the root. None if they do not agree, or one of them does not say.
    pub(super) fn meant(&self, found: &mut [(usize, OsTree)]) -> Result<Option<usize>, DiskError> {
        let mut meant = None;
        for (_, tree) in &mut *found {
            let said = self.root_of(tree)?;
            if said.is_none() || (meant.is_some() && meant != said) {
                return Ok(None);
            }
            meant = said;
        }
        Ok(found.iter().position(|(index, _)| Some(*index) == meant))
    }

    /// The volume that a system mounts as its root, by the kernel's command line or else by its fstab, which is read when
    /// the root is mounted already. None if that may be more than one.
    fn root_of(&self, tree: &mut OsTree) -> Result<Option<usize>, DiskError> {
        // Copies of a file system have its `UUID` and `LABEL`, too.
        let named = |entry: &FstabEntry| {
            let volumes = self.volumes.iter().enumerate();
            volumes.filter(|(_, volume)| volume.is(&entry.spec)).map(|(index, _)| index).collect::<Vec<_>>()
        };
        let texts = boot_texts(tree)?;
        let roots = texts.iter().flat_map(|text| roots_in(text)).flat_map(|name| {
            // A kernel calls volumes as fstab does.
            fstab::parse(&format!("{name} / auto defaults 0 0\n")).first().map(named).unwrap_or_default()
        });
        let mut roots: Vec<usize> = roots.collect();
        roots.sort_unstable();
        roots.dedup();
        if roots.len() != 1 {
            let entries = fstab::parse(&text(tree, b"/etc/fstab", MAX_FSTAB)?);
            let by_fstab = entries.iter().find(|entry| entry.point.is_empty()).map(named);
            let by_fstab = by_fstab.unwrap_or_default();
            // Among what several command lines name, it chooses.
            if roots.is_empty() || by_fstab.iter().all(|root| roots.contains(root)) {
                roots = by_fstab;
            }
        }
        Ok(if let [root] = roots[..] { Some(root) } else { None })
    }
}

/// What kernel command lines in a text call the root: `root=` for the kernel, and `rd.lvm.lv=` of dracut where that is missing.
fn roots_in(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    let (mut roots, mut volumes) = (Vec::new(), Vec::new());
    for word in words {
        if let Some(name) = word.strip_prefix("root=") {
            roots.push(name.to_owned());
        } else if let Some(name) = word.strip_prefix("rd.lvm.lv=") {
            volumes.push(format!("/dev/{name}"));
        }
    }
    if roots.is_empty() { volumes } else { roots }
}

#[cfg(test)]
mod tests {
    use super::super::tests::partitioned;
    use super::*;
    use crate::disk::testing::Lab;
    use crate::disk::{Policy, open, open_tree};

    #[test]
    fn command_lines_name_roots() {
        for (text, roots) in [
            (
                "options root=/dev/mapper/cs-root ro rd.lvm.lv=cs/root rd.lvm.lv=cs/swap\n",
                &["/dev/mapper/cs-root"][..],
            ),
            ("GRUB_CMDLINE_LINUX=\"crashkernel=auto rd.lvm.lv=cs/root\"\n", &["/dev/cs/root"]),
            ("linux /vmlinuz root=UUID=12-34\nlinux /vmlinuz root=LABEL=b", &["UUID=12-34", "LABEL=b"]),
            ("nfsroot=/dev/sda1 rootflags=subvol=x", &[]),
        ] {
            assert_eq!(roots_in(text), roots, "{text}");
        }
    }

    const UUID: &str = "7e57ab1e-0000-4000-8000-00000000000a";
    const SAME: &str = "UUID=7e57ab1e-0000-4000-8000-00000000000a / ext4";

    /// Two file systems, the second a copy of the first.
    #[test]
    fn of_a_system_and_its_copy_that_counts_which_both_mount() {
        for (fstabs, command_lines, meant) in [
            (["LABEL=one / ext4", "LABEL=one / ext4"], ["", ""], Some("first")),
            (["LABEL=two / ext4", "LABEL=two / ext4"], ["", ""], Some("second")),
            (["LABEL=one / ext4", "LABEL=two / ext4"], ["", ""], None),
            (["LABEL=one / ext4", ""], ["", ""], None),
            (["LABEL=other / ext4", "LABEL=other / ext4"], ["", ""], None),
            (["", ""], ["root=LABEL=two ro", "ro root=LABEL=two"], Some("second")),
            (["", ""], ["root=LABEL=two ro", "root=LABEL=one"], None),
            (["LABEL=one / ext4", ""], ["", "root=LABEL=one"], Some("first")),
            // The kernel mounts the root, and fstab comes later.
            (["LABEL=one / ext4", "LABEL=one / ext4"], ["root=LABEL=two", "root=LABEL=two"], Some("second")),
            (["LABEL=one / ext4", "LABEL=two / ext4"], ["root=LABEL=one", "root=LABEL=one"], Some("first")),
            (["LABEL=one / ext4", "LABEL=one / ext4"], ["root=LABEL=two", "root=LABEL=one"], None),
            // Both have the same UUID.
            ([SAME, SAME], ["", ""], None),
            ([SAME, SAME], ["root=UUID=7e57ab1e-0000-4000-8000-00000000000a ro", "ro"], None),
            ([SAME, SAME], ["root=PARTLABEL=two", "root=PARTLABEL=two"], None),
            ([SAME, SAME], ["root=/dev/vda2", "root=/dev/vda2"], Some("second")),
            ([SAME, SAME], ["root=LABEL=one ro", "root=LABEL=one ro"], Some("first")),
        ] {
            let lab = Lab::new();
            for (name, label, fstab, command_line) in [
                ("first", "one", fstabs[0], command_lines[0]),
                ("second", "two", fstabs[1], command_lines[1]),
            ] {
                let root = lab.path(name);
                std::fs::create_dir_all(root.join("etc/kernel")).unwrap();
                std::fs::write(root.join("etc/os-release"), format!("ID={name}\n")).unwrap();
                std::fs::write(root.join("etc/fstab"), fstab).unwrap();
                std::fs::write(root.join("etc/kernel/cmdline"), command_line).unwrap();
                lab.run(
                    "mke2fs",
                    &[
                        "-q",
                        "-F",
                        "-t",
                        "ext4",
                        "-U",
                        UUID,
                        "-L",
                        label,
                        "-d",
                        name,
                        &format!("{name}.img"),
                        "4M",
                    ],
                );
            }
            let disk = partitioned(&lab, &["first.img", "second.img"]);
            let tree = open_tree(open(&disk, &Policy::default()).unwrap());
            let found = match tree {
                Ok(mut tree) => Some(String::from_utf8(tree.read(b"/etc/os-release", 100).unwrap()).unwrap()),
                Err(DiskError::SeveralSystems(_)) => None,
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found, meant.map(|name| format!("ID={name}\n")), "{fstabs:?} {command_lines:?}");
        }
    }
}
