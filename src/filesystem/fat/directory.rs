//! What is in a directory.

use std::sync::Arc;

use super::boot_sector::ENTRY;
use super::entry::Entry;
use super::names::{self, Long};
use super::{Window, damaged};
use crate::block::DiskError;
use crate::filesystem::inodes::Directory;
use crate::shown::show;

/// A directory, and what is known of it besides.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) directory: Arc<Directory>,
    /// Bytes of disk it takes.
    pub(super) length: u64,
    /// Directories in it. Its own entry and that of its parent count, as they do in Linux.
    pub(super) directories: u32,
    /// The label of the file system, which is an entry of the root directory.
    pub(super) label: Option<String>,
}

/// A file's names.
struct Found {
    number: u64,
    name: String,
    /// The short name, where `name` is a long one.
    alias: Option<String>,
}

/// Reads the directory that lies in these stretches, each with its start and length.
///
/// An entry that is free does not end it: Linux looks at what comes behind.
pub(super) fn read(window: &mut Window, stretches: &[(u64, u64)]) -> Result<Listing, DiskError> {
    let mut listing = Listing::default();
    let mut found = Vec::new();
    let mut long = Long::default();
    for (start, length) in stretches {
        let mut bytes = vec![0; usize::try_from(*length).unwrap_or_default()];
        window.read_exact(*start, &mut bytes)?;
        listing.length += length;
        for (number, bytes) in (start / ENTRY..).zip(bytes.as_chunks().0) {
            found.extend(look(&mut listing, &mut long, number, Entry(*bytes))?);
        }
    }
    listing.directory = Arc::new(directory(found)?);
    Ok(listing)
}

fn look(
    listing: &mut Listing,
    long: &mut Long,
    number: u64,
    entry: Entry,
) -> Result<Option<Found>, DiskError> {
    if entry.is_long_name() {
        long.add(&entry.0);
        return Ok(None);
    }
    if entry.is_no_file() {
        long.clear();
        if entry.is_label() && listing.label.is_none() {
            listing.label = Some(names::label(&entry.0)).filter(|label| !label.is_empty());
        }
        return Ok(None);
    }
    listing.directories += u32::from(entry.is_directory());
    let (long, short) = (long.take(&entry.0), names::short(&entry.0));
    if entry.is_own() {
        return Ok(None);
    }
    let (name, alias) = match long {
        Some(name) => (name, Some(short)),
        // Linux does not show an entry without a name either.
        None if short.is_empty() => return Ok(None),
        None => (short, None),
    };
    if matches!(name.as_str(), "." | "..") || name.contains(['/', '\0']) {
        return damaged("a directory has an impossible name in it");
    }
    Ok(Some(Found { number, name, alias }))
}

fn directory(found: Vec<Found>) -> Result<Directory, DiskError> {
    let aliases =
        found.iter().filter_map(|found| Some((found.alias.clone()?.into_bytes().into(), found.number)));
    let aliases = aliases.collect();
    let names = found.into_iter().map(|found| (found.name.into_bytes().into(), found.number)).collect();
    Directory::folded(names, aliases, names::folded).or_else(|name| {
        let name = show(&name);
        damaged(format!("a directory has `{name}` twice"))
    })
}
