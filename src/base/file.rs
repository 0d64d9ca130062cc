//! Bases that are files of this host.

use std::path::Path;

use crate::base::BaseError;
use crate::cache::CacheError;
use crate::cache::bases::{BaseMeta, disk_name, find, store};
use crate::cache::{Base, Bucket, Origin};
use crate::cache::{Cache, files};
use crate::cancel::Cancel;
use crate::clock;
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::{self, Policy};
use crate::error::Failure;
use crate::trust::checksum::{Algorithm, Checksum};

/// Copies a file of the user into the cache; the file itself is only read. With a `checksum`, the file must have it.
pub(crate) fn import(
    path: &Path,
    checksum: Option<&Checksum>,
    cache: &Cache,
    control: &Control,
) -> Result<Base, Failure> {
    if matches!(path.try_exists(), Ok(false)) {
        let problem = "does not exist".to_owned();
        let hint = "give a qcow2 or raw file; `tib base list` names images that can be fetched".to_owned();
        return Err(BaseError::BadBase { text: path.display().to_string(), problem, hint }.into());
    }
    let header = disk::gate(path, &Policy::default())?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let known = index_name(path)?;
    if let Some(digest) = cache.read_note::<Digest>(Bucket::Index, &known) {
        let origin = Origin::File { name: name.clone(), sha256: digest };
        if let Some(base) = find(cache, digest, Some(origin), control)? {
            check(&base.path, digest, checksum, path, &control.cancel)?;
            return Ok(base);
        }
    }
    let work = cache.work()?;
    let staged = work.path().join("base");
    fs_err::create_dir(&staged).map_err(CacheError::io("create", &staged))?;
    let copy = staged.join(disk_name(header.format));
    let total = fs_err::metadata(path).map_err(CacheError::io("read", path))?.len();
    let what = format!("copying {name}");
    let digest = files::copy_hashed(path, &copy, &control.cancel, &mut |done| {
        control.events.progress(&what, done, Some(total));
    })?;
    // The file may have changed since it was looked at; what counts is what qemu is going to see.
    let disk::ImageInfo { format, virtual_size, .. } = disk::gate(&copy, &Policy::default())?;
    if format != header.format {
        let problem = "changed while it was read".to_owned();
        let hint = "wait until whatever writes it is done".to_owned();
        return Err(BaseError::BadBase { text: path.display().to_string(), problem, hint }.into());
    }
    check(&copy, digest, checksum, path, &control.cancel)?;
    let origin = Origin::File { name, sha256: digest };
    let base = store(cache, &work, &staged, digest, &BaseMeta { format, virtual_size, origin })?;
    // Only after the copy is safe, and only if the file is still the one that was copied.
    if index_name(path)? == known {
        cache.write_note(&work, Bucket::Index, &known, &digest)?;
    }
    Ok(base)
}

/// Where the digest of a file is remembered. Any change to the file changes the name.
fn index_name(path: &Path) -> Result<String, BaseError> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs_err::metadata(path).map_err(CacheError::io("read", path))?;
    let nanoseconds = meta.modified().map(clock::since_1970).unwrap_or_default().as_nanos();
    // The time of the last change of anything, which nobody can set back.
    let changed = format!("{}.{}", meta.ctime(), meta.ctime_nsec());
    Ok(format!("{}-{}-{}-{nanoseconds}-{changed}", meta.dev(), meta.ino(), meta.len()))
}

/// Compares the file with the checksum that is wanted. `digest` is the SHA-256 of `copy`, which is what `path` held.
fn check(
    copy: &Path,
    digest: Digest,
    wanted: Option<&Checksum>,
    path: &Path,
    cancel: &Cancel,
) -> Result<(), BaseError> {
    let Some(wanted) = wanted else { return Ok(()) };
    let found = match wanted.algorithm() {
        Algorithm::Sha256 => Checksum::from(digest),
        algorithm => files::checksum(copy, algorithm, cancel)?,
    };
    if found == *wanted {
        return Ok(());
    }
    let (file, wanted) = (path.display().to_string(), Box::new(*wanted));
    Err(BaseError::WrongChecksum { file, wanted, found: Box::new(found) })
}
