//! What a unit file says, with its drop-ins.

use super::index::{Entry, UnitIndex};
use super::instance;
use crate::disk::{DiskError, FileKind, Tree};
use crate::os::files::{optional, show};

/// The largest unit file or drop-in; real ones are a few hundred bytes.
const FILE_LIMIT: u64 = 256 << 10;

/// What systemd takes for space: not all that Unicode does.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The lines of a text, cut where systemd's `read_line` does: at NUL too, and the bytes that end lines end one
/// together if they are different ones.
struct Lines<'a>(&'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        const ENDS: [char; 3] = ['\n', '\r', '\0'];
        if self.0.is_empty() {
            return None;
        }
        let (line, mut rest) = self.0.split_at(self.0.find(ENDS).unwrap_or(self.0.len()));
        let mut met = String::new();
        while let Some(end) =
            rest.chars().next().filter(|end| ENDS.contains(end) && !met.contains(['\0', *end]))
        {
            met.push(end);
            rest = &rest[end.len_utf8()..];
        }
        self.0 = rest;
        Some(line)
    }
}

/// The assignments of a unit and its drop-ins, in the order in which systemd reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile {
    /// The file it was read from, for messages.
    pub path: String,
    assignments: Vec<Assignment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Assignment {
    section: String,
    key: String,
    value: String,
}

impl UnitFile {
    /// Reads the text of one file. Lines that are no assignments are skipped, as systemd does with a warning.
    pub fn parse(text: &[u8]) -> Self {
        let mut unit = Self::default();
        unit.append(text);
        unit
    }

    fn append(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let mut section = String::new();
        let mut pending = String::new();
        let mut marked = false;
        for mut line in Lines(&text) {
            if line.trim_start_matches(SPACE).starts_with(['#', ';']) {
                continue; // Even between continued lines.
            }
            if let (false, Some(rest)) = (marked, line.strip_prefix(BYTE_ORDER_MARK)) {
                (marked, line) = (true, rest);
            }
            pending.push_str(line);
            // Of two backslashes the first takes the second's meaning away; a space behind does so too.
            let backslashes = line.len() - line.trim_end_matches('\\').len();
            if backslashes % 2 == 1 {
                pending.pop();
                pending.push(' ');
                continue;
            }
            self.line(&mut section, std::mem::take(&mut pending).trim_matches(SPACE));
        }
        self.line(&mut section, pending.trim_matches(SPACE));
    }

    fn line(&mut self, section: &mut String, line: &str) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(section);
        } else if let Some((key, value)) = line.split_once('=') {
            self.assignments.push(Assignment {
                section: section.clone(),
                key: key.trim_matches(SPACE).to_owned(),
                value: value.trim_matches(SPACE).to_owned(),
            });
        }
    }

    /// All values of a setting, in order; an empty assignment forgets those before it.
    pub fn all(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for assignment in self.assignments.iter().filter(|a| a.section == section && a.key == key) {
            if assignment.value.is_empty() {
                values.clear();
            } else {
                values.push(assignment.value.as_str());
            }
        }
        values
    }

    /// All values of a setting as they are written, for one whose empty assignments mean something.
    pub(crate) fn written(&self, section: &str, key: &str) -> Vec<&str> {
        let own = self.assignments.iter().filter(|a| a.section == section && a.key == key);
        own.map(|assignment| assignment.value.as_str()).collect()
    }

    /// The value that counts of a setting that can have one only.
    pub fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.all(section, key).pop()
    }

    /// All values of a setting that is a list of words.
    pub fn words(&self, section: &str, key: &str) -> Vec<&str> {
        self.all(section, key).into_iter().flat_map(str::split_whitespace).collect()
    }
}

impl UnitIndex {
    /// Reads a unit by name: aliases followed, an instance's template taken, drop-ins added. `None` when there is
    /// no such unit, or it is masked.
    pub(crate) fn load(&self, tree: &mut dyn Tree, name: &str) -> Result<Option<UnitFile>, DiskError> {
        match self.follow(tree, name)? {
            Some((resolved, found)) if found.entry != Entry::Masked => {
                let names = drop_in_names(&resolved);
                read(tree, &found.path, &self.drop_ins(names.iter().map(String::as_str))).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The names whose `.d` directories count for a unit, the most specific first: its own, those it begins with up
/// to a dash (`a-.service` for `a-b.service`), the same of its template, its type.
pub(crate) fn drop_in_names(name: &str) -> Vec<String> {
    let mut names = Vec::new();
    for name in std::iter::once(name.to_owned()).chain(instance(name).map(|(template, _)| template)) {
        let Some((stem, suffix)) = name.rsplit_once('.') else { continue };
        let prefix = stem.split_once('@').map_or(stem, |(prefix, _)| prefix);
        let dashes = prefix.match_indices('-').map(|(at, _)| at).rev();
        let shorter: Vec<String> = dashes
            .filter(|&at| at > 0 && at + 1 < prefix.len())
            .map(|at| format!("{}{}.{suffix}", &prefix[..=at], &stem[prefix.len()..]))
            .collect();
        names.push(name.clone());
        names.extend(shorter);
    }
    names.extend(name.rsplit_once('.').map(|(_, suffix)| suffix.to_owned()));
    names.dedup();
    names
}

/// Reads a unit file and drop-ins.
pub(crate) fn read(tree: &mut dyn Tree, path: &[u8], drop_ins: &[Vec<u8>]) -> Result<UnitFile, DiskError> {
    let mut unit = UnitFile { path: show(path), ..UnitFile::default() };
    unit.append(&optional(tree.read(path, FILE_LIMIT))?.unwrap_or_default());
    for path in drop_ins {
        // A drop-in masked with a link to /dev/null reads as nothing: the link leads nowhere at rest.
        if let Some(stat) = optional(tree.stat(path))?
            && stat.kind == FileKind::File
        {
            unit.append(&optional(tree.read(path, FILE_LIMIT))?.unwrap_or_default());
        }
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn comments_continuations_and_resets() {
        let unit = UnitFile::parse(
            b"# c\nstray\n[Unit]\nAfter = a.service  b.service\n; c\nAfter=c.service\n[Service]\nExecStart=/bin/a \\\n# inside\n  --x\nExecStart=\nExecStart=/bin/b\nUser=x\n[Service\nEnd=1 \\",
        );
        assert_eq!(unit.words("Unit", "After"), ["a.service", "b.service", "c.service"]);
        assert_eq!(unit.all("Service", "ExecStart"), ["/bin/b"]);
        assert_eq!(unit.last("Service", "User"), Some("x"));
        assert_eq!(unit.last("Service", "End"), Some("1"));
        assert_eq!(unit.last("Unit", "User"), None);
    }

    #[test]
    fn drop_ins_are_read_in_order_and_hide_each_other() {
        let mut tree = MemTree::new()
            .file("/usr/lib/systemd/system/a@.service", "[Service]\nUser=one\n")
            .file("/usr/lib/systemd/system/a@.service.d/20.conf", "[Service]\nUser=hidden\n")
            .file("/etc/systemd/system/a@x.service.d/20.conf", "[Service]\nUser=two\n")
            .file("/etc/systemd/system/a@.service.d/10.conf", "[Service]\nUser=early\nGroup=g\n")
            .link("/etc/systemd/system/a@.service.d/30.conf", "/dev/null")
            .link("/etc/systemd/system/b@x.service", "a@x.service");
        let index = UnitIndex::read(&mut tree).unwrap();
        let unit = index.load(&mut tree, "b@x.service").unwrap().unwrap();
        assert_eq!((unit.last("Service", "User"), unit.last("Service", "Group")), (Some("two"), Some("g")));
        assert_eq!(index.load(&mut tree, "c.service").unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            UnitFile::parse(&bytes);
        }

        #[test]
        fn every_value_read_stands_in_the_text(text in "(\\[?[A-Za-z]{0,3}\\]?=?[a-z\\\\ ]{0,5}\\n){0,12}") {
            let unit = UnitFile::parse(text.as_bytes());
            prop_assert!(unit.assignments.len() <= text.matches('=').count());
        }
    }
}
