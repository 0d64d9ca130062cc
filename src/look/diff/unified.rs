//! What is different between two texts, in the unified format of `diff -u`, which `patch` applies.

use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline, group_diff_ops};

/// The longest file that is compared line by line.
pub(crate) const SIZE_LIMIT: usize = 4 << 20;

/// How long the shortest difference is looked for; after that any is good.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// A zero byte among the first ones makes a file binary, as it does for diff and git.
const BINARY_PREFIX: usize = 8000;

/// What is different between two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextDiff {
    /// Nothing.
    Same,
    /// Something, and it is not for people to read.
    Binary,
    /// Something, and one of them is longer than [`SIZE_LIMIT`].
    TooLarge,
    /// These lines, in the unified format. They are the files' own bytes: a terminal must not get them unescaped.
    Unified(Vec<u8>),
}

/// Compares two files. `old_name` and `new_name` are for the first two lines, `context` is the number of equal
/// lines around what is different (3 for `diff -u`).
pub(crate) fn unified(old: &[u8], new: &[u8], old_name: &[u8], new_name: &[u8], context: usize) -> TextDiff {
    if old == new {
        return TextDiff::Same;
    }
    if old.len() > SIZE_LIMIT || new.len() > SIZE_LIMIT {
        return TextDiff::TooLarge;
    }
    if is_binary(old) || is_binary(new) {
        return TextDiff::Binary;
    }
    let (old, new) = (lines(old), lines(new));
    let deadline = Instant::now() + TIME_LIMIT;
    let changes = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(deadline));
    let mut out = Vec::new();
    for (sign, name) in [(b"---", old_name), (b"+++", new_name)] {
        out.extend_from_slice(sign);
        out.push(b' ');
        out.extend(quoted(name));
        out.push(b'\n');
    }
    for hunk in group_diff_ops(renumbered(&changes), context) {
        write_hunk(&mut out, &hunk, &old, &new);
    }
    TextDiff::Unified(out)
}

/// The same changes with indexes that follow from the lengths of those before. The library shifts changes to nicer
/// places and forgets to shift the index of the side that has nothing; hunks would begin at the wrong line.
fn renumbered(changes: &[DiffOp]) -> Vec<DiffOp> {
    let (mut old_index, mut new_index) = (0, 0);
    let mut found = Vec::with_capacity(changes.len());
    for change in changes {
        let (old_len, new_len) = (change.old_range().len(), change.new_range().len());
        found.push(match change {
            DiffOp::Equal { len, .. } => DiffOp::Equal { old_index, new_index, len: *len },
            DiffOp::Delete { .. } => DiffOp::Delete { old_index, old_len, new_index },
            DiffOp::Insert { .. } => DiffOp::Insert { old_index, new_index, new_len },
            DiffOp::Replace { .. } => DiffOp::Replace { old_index, old_len, new_index, new_len },
        });
        old_index += old_len;
        new_index += new_len;
    }
    found
}

fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(BINARY_PREFIX)].contains(&0)
}

/// The lines, each with the newline that ends it.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

/// A name as GNU diff writes it: in quotes, as in C, when it would be misread.
fn quoted(name: &[u8]) -> Vec<u8> {
    if name.iter().all(|&byte| byte > b' ' && byte != 0x7f && byte != b'"' && byte != b'\\') {
        return name.to_vec();
    }
    let mut out = vec![b'"'];
    for &byte in name {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\t' => out.extend(b"\\t"),
            byte if byte < b' ' || byte == 0x7f => out.extend(format!("\\{byte:03o}").bytes()),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
    out
}

fn write_hunk(out: &mut Vec<u8>, hunk: &[DiffOp], old: &[&[u8]], new: &[&[u8]]) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    let old_range = first.old_range().start..last.old_range().end;
    let new_range = first.new_range().start..last.new_range().end;
    out.extend(format!("@@ -{} +{} @@\n", position(&old_range), position(&new_range)).bytes());
    for change in hunk {
        if let DiffOp::Equal { old_index, len, .. } = change {
            write_lines(out, b' ', &old[*old_index..old_index + len]);
        } else {
            write_lines(out, b'-', &old[change.old_range()]);
            write_lines(out, b'+', &new[change.new_range()]);
        }
    }
}

/// `START,LENGTH`; a length of one is left out, and nothing begins after the line before it.
fn position(range: &Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        length => format!("{},{length}", range.start + 1),
    }
}

fn write_lines(out: &mut Vec<u8>, sign: u8, lines: &[&[u8]]) {
    for line in lines {
        out.push(sign);
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn text(old: &[u8], new: &[u8]) -> Vec<u8> {
        match unified(old, new, b"a", b"b", 3) {
            TextDiff::Unified(text) => text,
            other => panic!("{other:?}"),
        }
    }

    /// What `patch` makes of the old text.
    fn patched(old: &[u8], diff: &[u8]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs_err::write(path("old"), old).unwrap();
        fs_err::write(path("diff"), diff).unwrap();
        let output = Command::new("patch")
            .args(["--binary", "--fuzz=0", "--quiet", "-o"])
            .args([path("new"), path("old"), path("diff")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        fs_err::read(path("new")).unwrap()
    }

    /// Without the two lines of names, which hold times in diff's own.
    fn hunks(diff: &[u8]) -> Vec<u8> {
        diff.split_inclusive(|&byte| byte == b'\n').skip(2).flatten().copied().collect()
    }

    #[test]
    fn diff_says_the_same() {
        let numbered: String = (0..60).map(|number| format!("line {number}\n")).collect();
        let directory = tempfile::tempdir().unwrap();
        for (old, new) in [
            ("a\nb\nc\n".to_owned(), "a\nx\nc\n".to_owned()),
            ("a\n".to_owned(), "a".to_owned()),
            ("a".to_owned(), "a\nb".to_owned()),
            (String::new(), "a\nb\n".to_owned()),
            ("a\n".to_owned(), String::new()),
            (numbered.clone(), numbered.replace("line 5\n", "").replace("line 30\n", "changed\nand more\n")),
            (numbered.clone(), numbered.replace("line 10\n", "x\n").replace("line 16\n", "y\n")),
            (numbered.clone(), numbered.replace("line 10\n", "x\n").replace("line 18\n", "y\n")),
            (numbered.clone(), format!("first\n{numbered}last\n")),
        ] {
            let [old_path, new_path] = ["old", "new"].map(|name| directory.path().join(name));
            fs_err::write(&old_path, &old).unwrap();
            fs_err::write(&new_path, &new).unwrap();
            let output = Command::new("diff").arg("-u").args([&old_path, &new_path]).output().unwrap();
            let found = hunks(&text(old.as_bytes(), new.as_bytes()));
            assert_eq!(String::from_utf8(found).unwrap(), String::from_utf8(hunks(&output.stdout)).unwrap());
        }
    }

    #[test]
    fn hunks_begin_where_they_say() {
        let (old, new) = ("é\n\n\n\n ", "\n\n\na\n\n \n\n\n\n\na");
        let TextDiff::Unified(diff) = unified(old.as_bytes(), new.as_bytes(), b"a", b"b", 1) else {
            panic!("no difference");
        };
        assert!(hunks(&diff).starts_with(b"@@ -1,2 +1 @@\n"), "{}", String::from_utf8_lossy(&diff));
        assert_eq!(patched(old.as_bytes(), &diff), new.as_bytes());
    }

    #[test]
    fn what_is_not_shown() {
        assert_eq!(unified(b"a\0", b"a\0", b"a", b"b", 3), TextDiff::Same);
        assert_eq!(unified(b"a\0", b"b", b"a", b"b", 3), TextDiff::Binary);
        assert_eq!(unified(b"a", b"b\0", b"a", b"b", 3), TextDiff::Binary);
        let large = vec![b'\n'; SIZE_LIMIT + 1];
        assert_eq!(unified(b"a", &large, b"a", b"b", 3), TextDiff::TooLarge);
    }

    #[test]
    fn names_are_quoted_when_they_must_be() {
        let diff = unified(b"1\n", b"2\n", b"/etc/a b\n\"\\\x1b", "/etc/é".as_bytes(), 0);
        let expected = "--- \"/etc/a b\\n\\\"\\\\\\033\"\n+++ /etc/é\n@@ -1 +1 @@\n-1\n+2\n";
        assert_eq!(diff, TextDiff::Unified(expected.as_bytes().to_vec()));
    }

    #[test]
    fn the_worst_case_ends() {
        // Nothing in common, and as many lines as there may be: the shortest difference is not worth the time.
        let many = |digits: [char; 2]| -> Vec<u8> {
            let lines =
                (0..SIZE_LIMIT / 20).map(|n| format!("{n:018b}\n").replace('0', &digits[0].to_string()));
            lines.map(|line| line.replace('1', &digits[1].to_string())).collect::<String>().into_bytes()
        };
        let (old, new) = (many(['a', 'b']), many(['b', 'c']));
        let start = Instant::now();
        assert!(matches!(unified(&old, &new, b"a", b"b", 3), TextDiff::Unified(_)));
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn patch_applies_it(old in "[abc\n\\r é]{0,60}", new in "[abc\n\\r é]{0,60}", context in 0..4_usize) {
            prop_assume!(old != new);
            let TextDiff::Unified(diff) = unified(old.as_bytes(), new.as_bytes(), b"a", b"b", context) else {
                panic!("no difference");
            };
            prop_assert_eq!(patched(old.as_bytes(), &diff), new.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(old: Vec<u8>, new: Vec<u8>) {
            prop_assert_eq!(unified(&old, &new, &old, &new, 3) == TextDiff::Same, old == new);
        }
    }
}
