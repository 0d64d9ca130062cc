//! What changed in text files, in the form of `diff -u`.

use std::io::{self, Write};
use std::time::Duration;

use similar::TextDiff;

use super::{Diff, Side};
use crate::disk::{DiskError, Tree};
use crate::verify::VerifyError;
use crate::verify::look::write_error;

/// Longest file that is compared line by line.
const LONGEST: u64 = 4 << 20;
/// Time spent on finding the shortest way from one file to the other; after that, a longer one will do.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes a unified diff for every text file whose content differs or that is in one image only; a line that says so
/// for every other file. `patch -p1` takes it.
///
/// # Errors
/// [`VerifyError::Disk`], [`VerifyError::Write`].
pub fn patches(
    diff: &Diff,
    old: &mut Side<'_>,
    new: &mut Side<'_>,
    out: &mut dyn Write,
) -> Result<(), VerifyError> {
    for change in &diff.files.changes {
        let is_file =
            |state: &Option<super::FileState>| state.as_ref().is_some_and(|state| state.kind == "file");
        let (was, is) = (is_file(&change.old), is_file(&change.new));
        if !(was || is) || was && is && !change.has_other_content {
            continue;
        }
        let before = if was { text(old.tree, &change.bytes)? } else { Some(Vec::new()) };
        let after = if is { text(new.tree, &change.bytes)? } else { Some(Vec::new()) };
        write(&change.bytes, (was, before), (is, after), out).map_err(write_error("the differences"))?;
    }
    Ok(())
}

/// The content of a file that is text: short enough, and without NUL bytes.
fn text(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
    if tree.lstat(path)?.size > LONGEST {
        return Ok(None);
    }
    Ok(Some(tree.read(path, LONGEST)?).filter(|content| !content.contains(&0)))
}

type Version = (bool, Option<Vec<u8>>);

fn write(path: &[u8], old: Version, new: Version, out: &mut dyn Write) -> io::Result<()> {
    let name = |side: &str, (exists, _): &Version| match exists {
        true => format!("{side}{}", quoted(path)),
        false => "/dev/null".to_owned(),
    };
    let (from, to) = (name("a", &old), name("b", &new));
    let (Some(old), Some(new)) = (old.1, new.1) else {
        return writeln!(out, "Binary files {from} and {to} differ");
    };
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old.as_slice(), new.as_slice());
    let mut unified = diff.unified_diff();
    unified.header(&from, &to);
    unified.to_writer(out)
}

/// Names with control characters would break the lines of a header, and play tricks on a terminal.
fn quoted(path: &[u8]) -> String {
    crate::verify::look::show(path)
}
