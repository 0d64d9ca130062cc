//! Entries by the Boot Loader Specification: `/boot/loader/entries/*.conf`, as Fedora and Red Hat have them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{join, names, optional, show, too_much};

pub(crate) const DIRECTORY: &str = "/boot/loader/entries";

/// The most entries and the largest of them; real menus have a dozen of a few hundred bytes.
const ENTRY_LIMIT: usize = 1000;
const FILE_LIMIT: u64 = 64 << 10;

/// An entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LoaderEntry {
    /// Name of its file without `.conf`.
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) title: Option<String>,
    pub(crate) kernel: Option<String>,
    pub(crate) initrd: Vec<String>,
    pub(crate) command_line: String,
}

/// The entries in the order of the menu: newest first.
pub(crate) fn read(
    tree: &mut dyn Tree,
    variables: &BTreeMap<String, String>,
) -> Result<Vec<LoaderEntry>, ReadError> {
    let mut entries = Vec::new();
    let names = names(tree, DIRECTORY.as_bytes())?;
    if names.len() > ENTRY_LIMIT {
        return Err(too_much(DIRECTORY.as_bytes()).into());
    }
    for name in names {
        let path = join(DIRECTORY.as_bytes(), &name);
        let Some(id) = name.strip_suffix(b".conf") else { continue };
        if let Some(text) = optional(tree.read(&path, FILE_LIMIT))? {
            entries.push(parse(&String::from_utf8_lossy(&text), show(id), show(&path), variables));
        }
    }
    entries.sort_by(|a, b| compare(b.id.as_bytes(), a.id.as_bytes()));
    Ok(entries)
}

pub(crate) fn parse(
    text: &str,
    id: String,
    path: String,
    variables: &BTreeMap<String, String>,
) -> LoaderEntry {
    let mut entry = LoaderEntry { id, path, ..LoaderEntry::default() };
    let mut options = Vec::new();
    for line in text.lines().map(str::trim) {
        let Some((key, value)) = line.split_once(char::is_whitespace) else { continue };
        let value = value.trim();
        match key {
            "title" => entry.title = Some(value.to_owned()),
            "linux" => entry.kernel = Some(value.to_owned()),
            // Names of variables that nothing sets stand for nothing.
            "initrd" => entry.initrd.extend(expand(value, variables)),
            "options" => options.extend(expand(value, variables)),
            _ => {}
        }
    }
    entry.command_line = options.join(" ");
    entry
}

/// The words of a value, GRUB's variables replaced.
fn expand(value: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let words = value.split_whitespace().map(|word| match word.strip_prefix('$') {
        Some(name) => variables.get(name.trim_matches(['{', '}'])).map_or("", String::as_str).trim(),
        None => word,
    });
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Compares versions as RPM does: runs of digits by value, runs of letters by code, the rest as separators.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        a = &a[a.iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count()..];
        b = &b[b.iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count()..];
        let (Some(first), Some(second)) = (a.first(), b.first()) else { return a.len().cmp(&b.len()) };
        let digits = first.is_ascii_digit();
        if digits != second.is_ascii_digit() {
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let run = |bytes: &[u8]| {
            let same = |byte: &&u8| byte.is_ascii_alphanumeric() && byte.is_ascii_digit() == digits;
            bytes.iter().take_while(same).count()
        };
        let (left, right) = (run(a), run(b));
        let order = if digits {
            let value = |run: &[u8]| {
                let zeros = run.iter().take_while(|byte| **byte == b'0').count();
                (run.len() - zeros, run[zeros..].to_vec())
            };
            value(&a[..left]).cmp(&value(&b[..right]))
        } else {
            a[..left].cmp(&b[..right])
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (&a[left..], &b[right..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn newest_first_with_variables() {
        let entry = |version: &str| {
            format!(
                "title Rocky Linux ({version})\nversion {version}\nlinux /vmlinuz-{version}\n\
                 initrd /initramfs-{version}.img $tuned_initrd\noptions root=UUID=1 ro $kernelopts\noptions ${{more}}\n"
            )
        };
        let mut tree = MemTree::new()
            .file("/boot/loader/entries/id-5.14.0-9.el9.conf", entry("5.14.0-9.el9"))
            .file("/boot/loader/entries/id-5.14.0-427.el9.conf", entry("5.14.0-427.el9"))
            .file("/boot/loader/entries/id-0-rescue.conf", entry("0-rescue"))
            .file("/boot/loader/entries/README", "");
        let variables = BTreeMap::from([
            ("kernelopts".to_owned(), "quiet".to_owned()),
            ("more".to_owned(), "x=1".to_owned()),
        ]);
        let entries = read(&mut tree, &variables).unwrap();
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["id-5.14.0-427.el9", "id-5.14.0-9.el9", "id-0-rescue"]);
        assert_eq!(entries[0].title.as_deref(), Some("Rocky Linux (5.14.0-427.el9)"));
        assert_eq!(entries[0].command_line, "root=UUID=1 ro quiet x=1");
        assert_eq!(entries[0].initrd, ["/initramfs-5.14.0-427.el9.img"]);
    }

    #[test]
    fn versions_in_order() {
        let sorted = ["", "a", "a1", "0", "1", "1.a", "1.1", "1.1.0", "1.2", "1.10", "01.11", "2"];
        for (at, low) in sorted.iter().enumerate() {
            for high in &sorted[at + 1..] {
                assert_eq!(compare(low.as_bytes(), high.as_bytes()), Ordering::Less, "{low} {high}");
                assert_eq!(compare(high.as_bytes(), low.as_bytes()), Ordering::Greater, "{high} {low}");
            }
        }
        assert_eq!(compare(b"1.02", b"1-2"), Ordering::Equal);
    }

    proptest::proptest! {
        #[test]
        fn comparing_is_an_order(a in "[a1.~0]{0,6}", b in "[a1.~0]{0,6}") {
            proptest::prop_assert_eq!(compare(a.as_bytes(), b.as_bytes()), compare(b.as_bytes(), a.as_bytes()).reverse());
        }
    }
}
