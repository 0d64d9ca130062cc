//! What an image's logs say: systemd's journal, and the files in `/var/log`.

mod classic;
mod filter;
mod list;
mod merge;
mod render;

pub use classic::{find, print};
pub use filter::{Filter, Priority, Text, parse_time, unit_name};
pub use list::{LogFile, LogKind, list};
pub use render::Form;

use std::io::Write;

use merge::{Merge, Moment};

use crate::disk::{FileKind, Tree};
use crate::look::LookError;
use crate::os::ReadError;
use crate::os::files::{join, names, show};
use crate::os::journal::{FILE_LIMIT, Field, Reader};

/// Where they lie.
const ROOT: &[u8] = b"/var/log";

/// Where journals lie, below a directory with the machine's identifier.
const JOURNALS: [&[u8]; 2] = [b"/var/log/journal", b"/run/log/journal"];

/// The most files of the journal that are read. journald keeps 100 unless told otherwise.
const FILES_LIMIT: usize = 10_000;

/// The value of a field; the first, if it is there more than once.
fn field<'a>(fields: &'a [Field<'_>], name: &[u8]) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.name() == name).map(Field::value)
}

/// What to print of the journal.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Which entries.
    pub filter: Filter,
    /// How many of them at the most, the newest; all if `None`.
    pub lines: Option<usize>,
    /// How.
    pub form: Form,
}

/// The files of the journal; those of remote machines are left out, as journalctl does.
///
/// # Errors
/// [`LookError::Read`].
pub fn journal_files(tree: &mut dyn Tree) -> Result<Vec<Vec<u8>>, LookError> {
    let mut files = Vec::new();
    for root in JOURNALS {
        for machine in names(tree, root)? {
            // `<machine-id>` or `<machine-id>.<namespace>`.
            let id = machine.split(|&byte| byte == b'.').next().unwrap_or_default();
            if id.len() != 32 || !id.iter().all(u8::is_ascii_hexdigit) {
                continue;
            }
            let directory = join(root, &machine);
            for name in names(tree, &directory)? {
                let path = join(&directory, &name);
                let is_journal = name.ends_with(b".journal") || name.ends_with(b".journal~");
                if is_journal && tree.lstat(&path)?.kind == FileKind::File {
                    files.push(path);
                }
            }
        }
    }
    if files.len() > FILES_LIMIT {
        let reason = format!("there are {} files of it", files.len());
        return Err(ReadError::Unsupported { what: "the journal", reason }.into());
    }
    Ok(files)
}

/// Prints entries of the journal files, oldest first. Returns what could not be read, for people.
///
/// # Errors
/// [`ReadError::Malformed`] if not one of the files is a journal, [`ReadError::Unsupported`] if so much is
/// selected that it cannot be sorted, [`LookError::Read`], [`LookError::Write`].
pub fn print_journal(
    tree: &mut dyn Tree,
    files: &[Vec<u8>],
    selection: &Selection,
    out: &mut dyn Write,
) -> Result<Vec<String>, LookError> {
    let filter = &selection.filter;
    let boot = if filter.last_boot { last_boot(tree, files)? } else { None };
    let mut merge = Merge::new(selection.lines);
    let mut warnings = Vec::new();
    let mut failed = None;
    let mut readable = 0;
    for path in files {
        let bytes;
        let mut reader = match load(tree, path) {
            Ok(content) => {
                bytes = content;
                Reader::new(&bytes).map_err(|error| ReadError::malformed(path, error.to_string()))
            }
            Err(error) => Err(error.into()),
        };
        let reader = match &mut reader {
            Ok(reader) => reader,
            Err(error) => {
                warnings.push(format!("{error}: left out"));
                failed = reader.err();
                continue;
            }
        };
        readable += 1;
        let header = *reader.header();
        while let Some(entry) = reader.next() {
            if boot.is_some_and(|boot| boot != entry.boot_id) || !filter.wants_time(&entry) {
                continue;
            }
            let fields = reader.fields(&entry);
            if !filter.wants(&fields) {
                continue;
            }
            let Some(line) = render::line(selection.form, &header, &entry, &fields) else { continue };
            let moment = Moment {
                seqnum: entry.seqnum,
                realtime: entry.realtime,
                boot_id: entry.boot_id,
                monotonic: entry.monotonic,
            };
            if !merge.add(header.seqnum_id, moment, line) {
                let reason = "more is selected than can be sorted; select less, such as the newest with -n";
                return Err(ReadError::Unsupported { what: "the journal", reason: reason.to_owned() }.into());
            }
        }
        warnings.extend(complaint(path, reader));
    }
    match failed {
        Some(error) if readable == 0 => return Err(error.into()),
        _ => {}
    }
    for line in merge.finish() {
        out.write_all(&line).map_err(LookError::write("the log"))?;
    }
    Ok(warnings)
}

/// What there is to say of a file that was read.
fn complaint(path: &[u8], reader: &Reader<'_>) -> Option<String> {
    let path = show(path);
    let problems = reader.problems();
    match (problems.is_empty(), reader.header().online) {
        (true, false) => None,
        (true, true) => Some(format!("`{path}` was not closed: its last entries may be missing")),
        (false, _) => Some(format!("not all of `{path}` could be read: {problems}")),
    }
}

/// The boot that the newest entry is of.
fn last_boot(tree: &mut dyn Tree, files: &[Vec<u8>]) -> Result<Option<[u8; 16]>, LookError> {
    let mut newest = None;
    for path in files {
        // What cannot be read is told when its entries are wanted.
        let Ok(bytes) = load(tree, path) else { continue };
        let Ok(reader) = Reader::new(&bytes) else { continue };
        let last = reader.last().map(|entry| (entry.realtime, entry.boot_id));
        newest = newest.max(last);
    }
    Ok(newest.map(|(_, boot)| boot))
}

fn load(tree: &mut dyn Tree, path: &[u8]) -> Result<Vec<u8>, crate::disk::DiskError> {
    tree.read(path, FILE_LIMIT)
}

#[cfg(test)]
mod tests;
