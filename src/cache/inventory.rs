//! What the cache holds: how large it is, when it was last used, and what needs what.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::bases;
use super::mirrors;
use super::record::State;
use super::root::META;
use super::{Bucket, Cache, CacheError, LockName};
use crate::clock;
use crate::digest::Digest;

/// What kind of thing lies in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A base image.
    Base,
    /// What a stage of a build made.
    Layer,
    /// A download that was interrupted.
    Download,
    /// Package indexes and packages of one package manager, all together.
    Packages,
    /// Wheels and virtual environments of agents, all together.
    Agents,
    /// Files that a person has brought from servers, all together.
    Artifacts,
    /// Parts of container images, all together.
    Containers,
    /// A mirror of a git repository.
    Mirror,
    /// pip's own cache.
    Pip,
    /// Logs of builds, all together.
    Logs,
    /// Something that turned out to be damaged, set aside.
    Damaged,
}

/// One thing in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheItem {
    /// What it is.
    pub kind: Kind,
    /// Its name in the cache: a digest, mostly.
    pub name: String,
    /// What a person knows it as.
    pub about: String,
    /// Bytes of disk it takes.
    pub bytes: u64,
    /// When it was last used; in JSON, seconds since 1970.
    #[serde(serialize_with = "as_seconds")]
    pub used: SystemTime,
    /// Whether nobody can use it: cut, or what it is made upon is gone.
    pub unusable: bool,
    /// Names of what it is made upon.
    pub needs: Vec<String>,
    /// Where it is.
    pub path: PathBuf,
}

impl CacheItem {
    /// Whether it has been used since this was written down.
    pub(crate) fn used_since(&self) -> bool {
        let time = match self.kind {
            Kind::Base | Kind::Layer | Kind::Mirror => used(&self.path.join(META)),
            _ => used(&self.path),
        };
        time > self.used
    }

    /// The name of the lock that its users share; `None` if it has no users.
    pub(crate) fn lock(&self) -> Option<LockName> {
        match self.kind {
            Kind::Base => Digest::parse(&self.name).map(LockName::Base),
            Kind::Layer => Digest::parse(&self.name).map(LockName::Layer),
            Kind::Mirror => Digest::parse(&self.name).map(LockName::Mirror),
            Kind::Download => Some(LockName::Download(self.name.clone())),
            Kind::Packages => {
                let shelf = [Bucket::Apt, Bucket::Dnf].into_iter().find(|bucket| bucket.name() == self.name);
                shelf.map(LockName::Shelf)
            }
            Kind::Agents => Some(LockName::Shelf(Bucket::Agents)),
            Kind::Artifacts => Some(LockName::Shelf(Bucket::Artifacts)),
            Kind::Containers => Some(LockName::Shelf(Bucket::Containers)),
            Kind::Pip => Some(LockName::Shelf(Bucket::Pip)),
            Kind::Logs | Kind::Damaged => None,
        }
    }
}

/// Looks through the whole cache.
///
/// # Errors
/// When the cache cannot be read. What cannot be made sense of is listed as unusable.
pub fn inventory(cache: &Cache) -> Result<Vec<CacheItem>, CacheError> {
    let mut items = Vec::new();
    for path in entries(&cache.directory(Bucket::Bases))? {
        items.push(base(&path, cache)?);
    }
    for path in entries(&cache.directory(Bucket::Layers))? {
        items.push(layer(&path, cache)?);
    }
    for path in entries(&cache.directory(Bucket::Git))? {
        items.push(mirror(&path)?);
    }
    for path in entries(&cache.directory(Bucket::Downloads))? {
        items.push(item(Kind::Download, &path, "an interrupted download".to_owned())?);
    }
    for path in entries(&cache.directory(Bucket::Damaged))? {
        items.push(CacheItem { unusable: true, ..item(Kind::Damaged, &path, "set aside".to_owned())? });
    }
    for (bucket, kind, about) in [
        (Bucket::Agents, Kind::Agents, "wheels and virtual environments"),
        (Bucket::Apt, Kind::Packages, "package indexes and packages"),
        (Bucket::Artifacts, Kind::Artifacts, "files that recipes leave to a person to bring"),
        (Bucket::Containers, Kind::Containers, "parts of container images"),
        (Bucket::Dnf, Kind::Packages, "metadata of repositories and packages"),
        (Bucket::Pip, Kind::Pip, "pip's own cache"),
        (Bucket::Logs, Kind::Logs, "logs of the last builds"),
    ] {
        let path = cache.directory(bucket);
        if path.is_dir() && !entries(&path)?.is_empty() {
            items.push(item(kind, &path, about.to_owned())?);
        }
    }
    Ok(items)
}

fn base(path: &Path, cache: &Cache) -> Result<CacheItem, CacheError> {
    let item = item(Kind::Base, path, "damaged".to_owned())?;
    let record = Digest::parse(&item.name).map(|digest| bases::record(cache, digest)).transpose()?.flatten();
    // Whether one that was touched still holds what it should is found out when it is used.
    let whole = record.filter(|(record, disk)| record.state(disk) != State::Damaged);
    let about = whole.as_ref().map_or(item.about, |(record, _)| record.meta.origin.to_string());
    Ok(CacheItem { about, used: used(&path.join(META)), unusable: whole.is_none(), ..item })
}

fn layer(path: &Path, cache: &Cache) -> Result<CacheItem, CacheError> {
    let item = item(Kind::Layer, path, "damaged".to_owned())?;
    let used = used(&path.join(META));
    let Some(digest) = Digest::parse(&item.name) else {
        return Ok(CacheItem { used, unusable: true, ..item });
    };
    let standing = cache.standing(digest)?;
    let about =
        standing.meta.as_ref().map_or(item.about, |meta| format!("{} of {}", meta.stage, meta.recipe));
    Ok(CacheItem { about, used, unusable: standing.problem.is_some(), needs: standing.needs(), ..item })
}

fn mirror(path: &Path) -> Result<CacheItem, CacheError> {
    let item = item(Kind::Mirror, path, "damaged".to_owned())?;
    let meta = mirrors::meta(path).filter(|_| Digest::parse(&item.name).is_some());
    let about = meta.as_ref().map_or_else(|| item.about.clone(), |meta| meta.url.clone());
    Ok(CacheItem { about, used: used(&path.join(META)), unusable: meta.is_none(), ..item })
}

fn item(kind: Kind, path: &Path, about: String) -> Result<CacheItem, CacheError> {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let bytes = allocated(path).map_err(CacheError::io("measure", path))?;
    Ok(CacheItem {
        kind,
        name,
        about,
        bytes,
        used: used(path),
        unusable: false,
        needs: Vec::new(),
        path: path.to_owned(),
    })
}

/// Paths in a directory, sorted; none if there is no directory.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let read = match fs_err::read_dir(directory) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CacheError::io("read", directory)(error)),
    };
    let mut paths = read
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(CacheError::io("read", directory))?;
    paths.sort();
    Ok(paths)
}

/// Bytes of disk that a file or a tree takes. What vanishes meanwhile takes none.
fn allocated(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let absent = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(0) } else { Err(error) };
    let meta = match fs_err::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) => return absent(error),
    };
    let mut sum = meta.blocks() * 512;
    if meta.is_dir() {
        match fs_err::read_dir(path) {
            Ok(entries) => {
                for entry in entries {
                    sum += allocated(&entry?.path())?;
                }
            }
            Err(error) => return absent(error),
        }
    }
    Ok(sum)
}

fn used(path: &Path) -> SystemTime {
    fs_err::metadata(path).and_then(|meta| meta.modified()).unwrap_or(UNIX_EPOCH)
}

fn as_seconds<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(clock::seconds(*time))
}

/// Number and bytes of each kind that there is.
pub fn totals(items: &[CacheItem]) -> BTreeMap<Kind, (usize, u64)> {
    let mut totals = BTreeMap::new();
    for item in items {
        let (count, bytes) = totals.entry(item.kind).or_insert((0, 0));
        *count += 1;
        *bytes += item.bytes;
    }
    totals
}
