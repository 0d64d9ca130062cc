//! What a unit file says, with its drop-ins.

use super::{Entry, LINK_LIMIT, SEARCH_PATH, find, instance};
use crate::disk::{DiskError, Tree};
use crate::verify::look::{join, names, read_optional, show};

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
        for line in text.lines() {
            let line = line.trim();
            if line.starts_with(['#', ';']) {
                continue; // Even between continued lines.
            }
            if let Some(begun) = line.strip_suffix('\\') {
                pending.push_str(begun);
                pending.push(' ');
                continue;
            }
            let whole = std::mem::take(&mut pending) + line;
            self.line(&mut section, whole.trim());
        }
        self.line(&mut section, pending.trim());
    }

    fn line(&mut self, section: &mut String, line: &str) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(section);
        } else if let Some((key, value)) = line.split_once('=') {
            self.assignments.push(Assignment {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
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

    /// The value that counts of a setting that can have one only.
    pub fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.all(section, key).pop()
    }

    /// All values of a setting that is a list of words.
    pub fn words(&self, section: &str, key: &str) -> Vec<&str> {
        self.all(section, key).into_iter().flat_map(str::split_whitespace).collect()
    }
}

/// Reads a unit by name: aliases followed, an instance's template taken, drop-ins added. `None` when there is
/// no such unit, or it is masked.
pub(in crate::verify) fn load(tree: &mut dyn Tree, name: &str) -> Result<Option<UnitFile>, DiskError> {
    let mut name = name.to_owned();
    for _ in 0..LINK_LIMIT {
        let template = instance(&name).map(|(template, _)| template);
        let mut found = find(tree, &name)?;
        if let (None, Some(template)) = (&found, &template) {
            found = find(tree, template)?;
        }
        match found {
            None => return Ok(None),
            Some(found) => match found.entry {
                Entry::Masked => return Ok(None),
                Entry::Alias(target) => name = target,
                Entry::Regular => return read(tree, &found.path, &name, template.as_deref()).map(Some),
            },
        }
    }
    Err(DiskError::WrongKind { path: name, problem: "is a loop of aliases".to_owned() })
}

/// Reads a unit file and the drop-ins for its names, sorted by file name; a drop-in in a directory that comes
/// first hides one of the same name.
pub(super) fn read(
    tree: &mut dyn Tree,
    path: &[u8],
    name: &str,
    template: Option<&str>,
) -> Result<UnitFile, DiskError> {
    let mut unit = UnitFile { path: show(path), ..UnitFile::default() };
    unit.append(&read_optional(tree, path)?.unwrap_or_default());
    let mut drop_ins = std::collections::BTreeMap::new();
    for unit_name in std::iter::once(name).chain(template) {
        for directory in SEARCH_PATH {
            let directory = format!("{directory}/{unit_name}.d");
            for file in names(tree, directory.as_bytes())? {
                if file.ends_with(b".conf") {
                    let path = join(directory.as_bytes(), &file);
                    drop_ins.entry(file).or_insert(path);
                }
            }
        }
    }
    for path in drop_ins.values() {
        // A drop-in masked with a link to /dev/null reads as nothing: the link leads nowhere at rest.
        if let Some(text) = read_drop_in(tree, path)? {
            unit.append(&text);
        }
    }
    Ok(unit)
}

fn read_drop_in(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
    use crate::disk::FileKind;
    use crate::verify::look::optional;
    match optional(tree.stat(path))? {
        Some(stat) if stat.kind == FileKind::File => read_optional(tree, path),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verify::testing::MemTree;

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
            .link("/etc/systemd/system/b.service", "a@x.service");
        let unit = load(&mut tree, "b.service").unwrap().unwrap();
        assert_eq!((unit.last("Service", "User"), unit.last("Service", "Group")), (Some("two"), Some("g")));
        assert_eq!(load(&mut tree, "c.service").unwrap(), None);
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
