//! Which logs there are.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{JOURNALS, journal_files};
use crate::disk::{FileKind, Tree};
use crate::look::LookError;
use crate::os::files::{base_name, show, walk};

/// What writes a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// systemd's journal.
    Journal,
    /// A text file, which may be compressed.
    File,
}

/// A log in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogFile {
    /// What writes it.
    pub kind: LogKind,
    /// Where it lies; control characters are escaped.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, UTC; absent if that is not a time.
    pub modified: Option<String>,
}

/// Records of logins in `/var/log`, which are no text.
const RECORDS: [&[u8]; 6] = [b"wtmp", b"btmp", b"lastlog", b"faillog", b"tallylog", b"utmp"];

/// The journal's files, and then all files in `/var/log` and below, sorted by name.
///
/// # Errors
/// [`LookError::Read`].
pub fn list(tree: &mut dyn Tree) -> Result<Vec<LogFile>, LookError> {
    let mut logs = Vec::new();
    for path in journal_files(tree)? {
        let stat = tree.lstat(&path)?;
        logs.push(log(LogKind::Journal, &path, stat.size, stat.modified.seconds));
    }
    let journal = super::join(JOURNALS[0], b"");
    walk(tree, super::ROOT, &mut |path, stat| {
        let is_record = RECORDS.iter().any(|record| base_name(path).starts_with(record));
        if stat.kind == FileKind::File && !path.starts_with(&journal) && !is_record {
            logs.push(log(LogKind::File, path, stat.size, stat.modified.seconds));
        }
    })?;
    Ok(logs)
}

fn log(kind: LogKind, path: &[u8], size: u64, mtime: i64) -> LogFile {
    let modified = Timestamp::from_second(mtime).ok();
    LogFile { kind, path: show(path), size, modified: modified.map(|time| time.to_string()) }
}
