//! Reads the database of RPM, whichever of its three forms it has.
//!
//! Each form is a container of numbered headers, one for each package; only the headers are looked at, never the
//! indexes. A database in which anything contradicts itself is refused as a whole: half a list of packages would be
//! taken for all of it.

mod bdb;
mod file;
mod header;
mod ndb;
mod sqlite;
mod wal;

pub(crate) use file::{HEADER_MAGIC, PackageFile};

use super::files::optional;
use super::{Package, ReadError};
use crate::disk::Tree;

/// The largest database that is read. That of an image with all of Fedora's packages would be smaller.
const DATABASE_LIMIT: u64 = 512 << 20;

/// Where the database lies, newest way first, and in which form it is there.
const DATABASES: [(&str, Form); 6] = [
    ("/usr/lib/sysimage/rpm/rpmdb.sqlite", Form::Sqlite),
    ("/usr/lib/sysimage/rpm/Packages.db", Form::Ndb),
    ("/usr/lib/sysimage/rpm/Packages", Form::Bdb),
    ("/var/lib/rpm/rpmdb.sqlite", Form::Sqlite),
    ("/var/lib/rpm/Packages.db", Form::Ndb),
    ("/var/lib/rpm/Packages", Form::Bdb),
];

/// The form of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// SQLite, of Fedora since 33 and Enterprise Linux since 9.
    Sqlite,
    /// RPM's own, of openSUSE.
    Ndb,
    /// A hash of Berkeley DB, of everything older.
    Bdb,
}

/// The packages of an RPM database, in its order; `None` if the image has no such database.
pub(crate) fn packages(tree: &mut dyn Tree) -> Result<Option<Vec<Package>>, ReadError> {
    let Some(database) = Database::open(tree)? else { return Ok(None) };
    read(database.form, &database.bytes)
        .map(Some)
        .map_err(|reason| ReadError::malformed(database.path, reason))
}

/// Hands the headers of all packages to `take`, signing keys included, and says how many packages there are without these;
/// `None` if the image has no such database.
pub(crate) fn headers(
    tree: &mut dyn Tree,
    take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<Option<usize>, ReadError> {
    let Some(database) = Database::open(tree)? else { return Ok(None) };
    let mut count = 0;
    let each = &mut |blob: &[u8]| {
        count += usize::from(header::package(blob)?.is_some());
        take(blob).map_err(|error| error.to_string())
    };
    blobs(database.form, &database.bytes, each)
        .map_err(|reason| ReadError::malformed(database.path, reason))?;
    Ok(Some(count))
}

/// A database as it lies in the image, with its log.
struct Database {
    path: &'static str,
    form: Form,
    bytes: Vec<u8>,
}

impl Database {
    fn open(tree: &mut dyn Tree) -> Result<Option<Self>, ReadError> {
        for (path, form) in DATABASES {
            let Some(stat) = optional(tree.stat(path.as_bytes()))? else { continue };
            if stat.size == 0 {
                return Err(ReadError::malformed(path, "this RPM database is empty"));
            }
            let mut bytes = tree.read(path.as_bytes(), DATABASE_LIMIT)?;
            if form == Form::Sqlite {
                refuse_unfinished(tree, path)?;
                let log = optional(tree.read(format!("{path}-wal").as_bytes(), DATABASE_LIMIT))?;
                bytes = wal::merge(bytes, &log.unwrap_or_default())
                    .map_err(|reason| ReadError::malformed(path, reason))?;
            }
            return Ok(Some(Self { path, form, bytes }));
        }
        Ok(None)
    }
}

/// A journal is left when a change ended halfway, and holds what was there before it. RPM does not use one.
fn refuse_unfinished(tree: &mut dyn Tree, path: &str) -> Result<(), ReadError> {
    let beside = format!("{path}-journal");
    if optional(tree.stat(beside.as_bytes()))?.is_some_and(|stat| stat.size > 0) {
        let reason = format!("`{beside}` says that a change of the database ended halfway");
        return Err(ReadError::Unsupported { what: "the installed packages", reason });
    }
    Ok(())
}

/// The packages in the bytes of a database, in its order. Signing keys, which RPM keeps as packages, are left out.
///
/// # Errors
/// What is wrong with the bytes, for a person.
#[doc(hidden)]
pub fn read(form: Form, bytes: &[u8]) -> Result<Vec<Package>, String> {
    let mut packages = Vec::new();
    blobs(form, bytes, &mut |blob| {
        packages.extend(header::package(blob)?);
        Ok(())
    })?;
    Ok(packages)
}

/// What is done with each header.
type Take<'a> = dyn FnMut(&[u8]) -> Result<(), String> + 'a;

fn blobs(form: Form, bytes: &[u8], take: &mut Take<'_>) -> Result<(), String> {
    match form {
        Form::Sqlite => sqlite::blobs(bytes, take),
        Form::Ndb => ndb::blobs(bytes, take),
        Form::Bdb => bdb::blobs(bytes, take),
    }
}

/// How many bytes may still be copied out of a database: as many as it has. Only in a damaged one do two headers
/// share bytes, and then they could share them a million times.
struct Budget(usize);

impl Budget {
    fn take(&mut self, length: usize) -> Result<(), String> {
        match self.0.checked_sub(length) {
            Some(rest) => {
                self.0 = rest;
                Ok(())
            }
            None => Err("its packages together are larger than the file".to_owned()),
        }
    }
}

/// `length` bytes at `at`.
fn slice(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

#[cfg(test)]
mod tests;
