//! What sudo reads: `/etc/sudoers`, what it includes, and who may do what by it.

mod defaults;
mod list;
mod parse;
mod rule;
mod shown;
mod verdict;
mod who;

pub(crate) use parse::{Statement, statements};
pub use rule::Grant;
pub(crate) use shown::{Shown, shown};
pub(crate) use verdict::{Verdict, needs_terminal, verdict};
pub(crate) use who::Person;

use super::ReadError;
use super::files::{is_directory, join, names, read_optional, show};
use crate::disk::{FileKind, Tree};

/// The file sudo begins with.
pub(crate) const MAIN: &[u8] = b"/etc/sudoers";

/// How deeply files may include one another, as in sudo.
const DEPTH_LIMIT: usize = 128;

/// The most files, and bytes of all together, that are read; more is no configuration.
const FILE_LIMIT: usize = 10_000;
const TEXT_LIMIT: usize = 1 << 20;

/// A statement, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Located {
    pub(crate) file: Vec<u8>,
    pub(crate) line: usize,
    pub(crate) statement: Statement,
}

/// The files and directories whose rules sudo refuses, with the reason. A refused one says nothing to anybody.
pub(crate) fn refused(tree: &mut dyn Tree) -> Result<Vec<String>, ReadError> {
    let mut reader = Reader::default();
    reader.read(tree, MAIN, 0)?;
    Ok(reader.refused)
}

/// All statements in the order in which they count; the last that fits wins.
pub(crate) fn read(tree: &mut dyn Tree) -> Result<Vec<Located>, ReadError> {
    let mut reader = Reader::default();
    reader.read(tree, MAIN, 0)?;
    Ok(reader.found)
}

#[derive(Default)]
struct Reader {
    files: usize,
    bytes: usize,
    found: Vec<Located>,
    refused: Vec<String>,
}

impl Reader {
    fn read(&mut self, tree: &mut dyn Tree, path: &[u8], depth: usize) -> Result<(), ReadError> {
        let Some(text) = read_optional(tree, path)? else { return Ok(()) };
        self.files += 1;
        self.bytes += text.len();
        if depth > DEPTH_LIMIT || self.files > FILE_LIMIT || self.bytes > TEXT_LIMIT {
            return Err(ReadError::malformed(path, "it holds or includes too much"));
        }
        if self.refuses(tree, path)? {
            return Ok(());
        }
        for (line, statement) in statements(&text) {
            let statement =
                statement.map_err(|reason| ReadError::malformed(path, format!("line {line}: {reason}")))?;
            match statement {
                Statement::Include(file) => self.read(tree, &absolute(&file, path), depth + 1)?,
                Statement::IncludeDirectory(directory) => {
                    let directory = absolute(&directory, path);
                    if !is_directory(tree, &directory)? || self.refuses(tree, &directory)? {
                        continue;
                    }
                    // Editors' and package managers' leftovers have a dot or end in a tilde.
                    let names = names(tree, &directory)?;
                    for name in names.iter().filter(|name| !name.contains(&b'.') && !name.ends_with(b"~")) {
                        let path = join(&directory, name);
                        if tree.stat(&path).is_ok_and(|stat| stat.kind == FileKind::Directory) {
                            continue;
                        }
                        self.read(tree, &path, depth + 1)?;
                    }
                }
                statement => self.found.push(Located { file: path.to_vec(), line, statement }),
            }
        }
        Ok(())
    }

    /// Whether sudo takes no rules from a file or directory, because somebody but root could have written it (`sudo_check_secure`):
    /// which group it belongs to is no matter as long as that may not write it.
    fn refuses(&mut self, tree: &mut dyn Tree, path: &[u8]) -> Result<bool, ReadError> {
        let stat = tree.stat(path)?;
        let by_group = stat.gid != 0 && stat.mode & 0o020 != 0;
        let is_safe = stat.uid == 0 && !by_group && stat.mode & 0o002 == 0;
        if !is_safe {
            let shown = show(path);
            self.refused.push(format!("{shown} has mode {:04o}, owner {}:{}", stat.mode, stat.uid, stat.gid));
        }
        Ok(!is_safe)
    }
}

/// A relative name is looked for beside the file that includes it.
fn absolute(name: &str, file: &[u8]) -> Vec<u8> {
    if name.starts_with('/') {
        return name.as_bytes().to_vec();
    }
    let end = file.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    join(&file[..end], name.as_bytes())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
