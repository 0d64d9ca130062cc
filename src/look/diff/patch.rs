//! What changed in text files, in the form of `diff -u`.

use std::io::Write;

use super::unified::{SIZE_LIMIT, TextDiff, unified};
use super::{Diff, Side};
use crate::disk::{DiskError, Tree};
use crate::look::LookError;

/// Equal lines around what is different.
const CONTEXT: usize = 3;

/// Writes a unified diff for every text file whose content differs or that is in one image only; a line that says so
/// for every other file. `patch -p1` takes it.
///
/// # Errors
/// [`LookError::Read`], [`LookError::Write`].
pub fn patches(
    diff: &Diff,
    old: &mut Side<'_>,
    new: &mut Side<'_>,
    out: &mut dyn Write,
) -> Result<(), LookError> {
    for change in &diff.files.changes {
        let is_file =
            |state: &Option<super::FileState>| state.as_ref().is_some_and(|state| state.kind == "file");
        let (was, is) = (is_file(&change.old), is_file(&change.new));
        if !(was || is) || was && is && !change.has_other_content {
            continue;
        }
        let before = if was { content(old.tree, &change.bytes)? } else { Some(Vec::new()) };
        let after = if is { content(new.tree, &change.bytes)? } else { Some(Vec::new()) };
        let name = |side: &[u8], exists: bool| match exists {
            true => [side, &change.bytes].concat(),
            false => b"/dev/null".to_vec(),
        };
        let (from, to) = (name(b"a", was), name(b"b", is));
        let text = match (before, after) {
            (Some(before), Some(after)) => unified(&before, &after, &from, &to, CONTEXT),
            _ => TextDiff::TooLarge,
        };
        let text = match text {
            // An empty file that came or went has no lines to show.
            TextDiff::Same => continue,
            TextDiff::Unified(text) => text,
            TextDiff::Binary | TextDiff::TooLarge => {
                let name = |side: &str, exists: bool| match exists {
                    true => format!("{side}{}", change.path),
                    false => "/dev/null".to_owned(),
                };
                format!("Binary files {} and {} differ\n", name("a", was), name("b", is)).into_bytes()
            }
        };
        out.write_all(&text).map_err(LookError::write("the differences"))?;
    }
    Ok(())
}

/// The content of a file, unless it is too long to be compared line by line.
fn content(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
    let limit = SIZE_LIMIT as u64;
    if tree.lstat(path)?.size > limit { Ok(None) } else { tree.read(path, limit).map(Some) }
}
