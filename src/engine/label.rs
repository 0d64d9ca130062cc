//! SELinux labels of a finished guest. The appliance's kernel has no SELinux, so files that are made in it have none. They are
//! computed on the host, which reads the disk while nothing is mounted, and set all at once.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use fs_err::File;

use super::EngineError;
use crate::disk::{DiskError, Tree};
use crate::event::Events;
use crate::guest::Guest;
use crate::os::ReadError;
use crate::os::files::show;
use crate::os::selinux::{Difference, LABEL, Labelling, differences};

/// The rules by which labels are chosen, for the digest of the sealed layer: raised when the same files would get others.
pub(super) const RULES: &str = "labels 1: as restorecon without -F; the first name of a file decides";

/// Bytes of a list of labels: it is kept in the appliance's memory while it is worked off.
const LIST_LIMIT: u64 = 16 << 20;

/// Labels that have to be set, in files of the host.
#[derive(Debug, Default)]
pub struct Labels {
    lists: Vec<PathBuf>,
    /// Files whose label changes.
    count: u64,
    /// Files that were looked at.
    seen: u64,
}

impl Labels {
    /// Compares the labels of all files with those that the policy in the image wants, and writes what differs to files in
    /// `directory`. Whatever has no policy of SELinux, or has it turned off, needs none.
    ///
    /// # Errors
    /// [`EngineError::Labels`] when the image or its policy cannot be read, [`EngineError::Io`].
    pub fn compute(tree: &mut dyn Tree, directory: &Path, events: &Events) -> Result<Self, EngineError> {
        let policy = match Labelling::read(tree).map_err(EngineError::Labels)? {
            Labelling::By(policy) => policy,
            Labelling::Off(_) => return Ok(Self::default()),
            Labelling::NoContexts(path) => {
                events.note(format!("no file gets an SELinux label: the image has no {path}"));
                return Ok(Self::default());
            }
        };
        let mut lists = Lists { directory, done: Vec::new(), open: None };
        let (mut count, mut unknown, mut reason) = (0_u64, 0_u64, None);
        let seen = differences(tree, &policy, &mut |path, _, difference| match difference {
            Difference::Wrong { wanted, .. } => {
                count += 1;
                lists.add(path, &wanted)
            }
            Difference::Unknown { reason: why, .. } => {
                unknown += 1;
                reason.get_or_insert_with(|| format!("{}: {why}", show(path)));
                Ok(())
            }
        });
        let seen = seen.map_err(|error| EngineError::Labels(ReadError::Disk(error)))?;
        if let Some(reason) = reason {
            events.warning(format!(
                "the SELinux labels of {unknown} files stay as they are, because tib cannot tell which are right; the first is {reason}"
            ));
        }
        Ok(Self { lists: lists.finish()?, count, seen: seen.files })
    }

    /// Sets them. Nothing may be changed in the guest afterwards.
    ///
    /// # Errors
    /// See [`EngineError::Guest`]: a label that cannot be set is one.
    pub fn set(&self, guest: &mut dyn Guest, events: &Events) -> Result<(), EngineError> {
        if self.seen > 0 {
            events.note(format!("SELinux: {} of {} files get another label", self.count, self.seen));
        }
        self.lists.iter().try_for_each(|list| Ok(guest.restore_xattrs(list)?))
    }
}

/// Files that hold what is to be set, in the form of `getfattr --dump`.
struct Lists<'a> {
    directory: &'a Path,
    done: Vec<PathBuf>,
    /// The one that is written, and how long it is.
    open: Option<(BufWriter<File>, u64)>,
}

impl Lists<'_> {
    fn add(&mut self, path: &[u8], label: &[u8]) -> Result<(), DiskError> {
        // Relative to where the root is mounted; the root itself has no other name there.
        let relative = match path.strip_prefix(b"/").unwrap_or(path) {
            b"" => b".",
            relative => relative,
        };
        let entry = format!("# file: {}\n{LABEL}=\"{}\\000\"\n\n", quoted(relative), quoted(label));
        let full = self.open.as_ref().is_some_and(|(_, length)| length + entry.len() as u64 > LIST_LIMIT);
        let place = self.directory.join(format!("labels-{}", self.done.len()));
        let failed = |source| DiskError::Io { action: "write", path: place.clone(), source };
        if full && let Some((mut list, _)) = self.open.take() {
            list.flush().map_err(failed)?;
        }
        let (list, length) = match &mut self.open {
            Some(open) => open,
            None => {
                let file = File::create(&place).map_err(failed)?;
                self.done.push(place.clone());
                self.open.insert((BufWriter::new(file), 0))
            }
        };
        *length += entry.len() as u64;
        list.write_all(entry.as_bytes()).map_err(failed)
    }

    fn finish(mut self) -> Result<Vec<PathBuf>, EngineError> {
        if let Some((list, _)) = &mut self.open {
            let path = self.directory.display().to_string();
            list.flush().map_err(|source| EngineError::Io { path, source })?;
        }
        Ok(self.done)
    }
}

/// As `setfattr --restore` reads it: everything that is not plainly a character in octal digits.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.push_str(&format!("\\{byte:03o}")),
            byte if byte.is_ascii_graphic() => text.push(char::from(*byte)),
            byte => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::FakeGuest;
    use crate::os::testing::MemTree;

    fn tree(contexts: &str) -> MemTree {
        MemTree::new()
            .file("/etc/selinux/config", "SELINUX=enforcing\n")
            .file("/etc/selinux/targeted/contexts/files/file_contexts", contexts)
    }

    #[test]
    fn what_differs_is_written_for_setfattr_and_set() {
        let mut tree = tree("/ -d u:r:root:s0\n/srv(/.*)? u:r:srv:s0\n/x(?i) u:r:x:s0\n")
            .file("/srv/a b\\134\"\nc", "")
            .file("/srv/right", "")
            .xattr("/srv/right", LABEL, "u:r:srv:s0")
            .file("/x", "");
        let directory = tempfile::tempdir().unwrap();
        let labels = Labels::compute(&mut tree, directory.path(), &Events::none()).unwrap();
        assert_eq!((labels.count, labels.seen, labels.lists.len()), (3, 12, 1));
        let text = fs_err::read_to_string(&labels.lists[0]).unwrap();
        let entry = |path: &str, label: &str| format!("# file: {path}\n{LABEL}=\"u:r:{label}:s0\\000\"\n\n");
        let expected =
            [entry(".", "root"), entry("srv", "srv"), entry("srv/a\\040b\\134134\\042\\012c", "srv")];
        assert_eq!(text, expected.concat());
        let mut guest = FakeGuest::new();
        labels.set(&mut guest, &Events::none()).unwrap();
        assert_eq!(guest.story, format!("== xattrs\n{text}"));
    }

    #[test]
    fn long_lists_are_cut() {
        let directory = tempfile::tempdir().unwrap();
        let mut lists = Lists { directory: directory.path(), done: Vec::new(), open: None };
        let path = vec![b'/'; 4096];
        for _ in 0..9000 {
            lists.add(&path, b"u:r:t").unwrap();
        }
        let lists = lists.finish().unwrap();
        let sizes: Vec<_> = lists.iter().map(|list| fs_err::metadata(list).unwrap().len()).collect();
        assert!(sizes.len() == 3 && sizes.iter().all(|size| *size <= LIST_LIMIT), "{sizes:?}");
        let whole: Vec<_> = lists.iter().map(|list| fs_err::read_to_string(list).unwrap()).collect();
        assert_eq!(whole.concat().matches("# file: ").count(), 9000);
        assert!(whole.iter().all(|list| list.starts_with("# file: ") && list.ends_with("\n\n")));
    }

    #[test]
    fn without_a_policy_nothing_is_labelled() {
        let directory = tempfile::tempdir().unwrap();
        let bare = MemTree::new().file("/etc/passwd", "");
        let off = tree("/.* u:r:t:s0\n").file("/etc/selinux/config", "SELINUX=disabled\n");
        let no_policy = MemTree::new().file("/etc/selinux/config", "SELINUX=enforcing\n");
        for mut tree in [bare, off, no_policy] {
            let labels = Labels::compute(&mut tree, directory.path(), &Events::none()).unwrap();
            assert!(labels.lists.is_empty() && labels.count == 0);
        }
        let mut broken = tree("/a\n");
        let error = Labels::compute(&mut broken, directory.path(), &Events::none()).unwrap_err();
        assert!(matches!(error, EngineError::Labels(_)), "{error:?}");
    }
}
