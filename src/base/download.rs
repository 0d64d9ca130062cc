//! Bases that are downloaded: once, verified, and then found again by their digest.

use std::path::Path;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::BaseRequest;
use crate::base::BaseError;
use crate::cache::CacheError;
use crate::cache::bases::{BaseMeta, disk_name, find, store};
use crate::cache::lock::FileLock;
use crate::cache::{Base, Bucket, LockName, Origin, Provenance, Trust};
use crate::cache::{Cache, files};
use crate::clock;
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::{self, Policy};
use crate::error::Failure;
use crate::fetch::{self, Fetcher, FileCompression, Retrieved, redact};
use crate::trust::checksum::Checksum;

/// Largest image that is fetched when nobody says how large it is: 64 GiB.
const MAX_SIZE: u64 = 64 << 30;

/// An image on the network.
pub(crate) struct RemoteImage<'a> {
    /// What people call it.
    pub(crate) what: &'a str,
    /// Where it is, in the order in which to try.
    pub(crate) urls: Vec<Url>,
    /// The digest of what is served. Without it nothing is verified.
    pub(crate) expected: Option<Checksum>,
    /// Bytes of what is served.
    pub(crate) size: Option<u64>,
    /// How it is packed.
    pub(crate) compression: Option<FileCompression>,
}

/// An image that has arrived, or was there before.
pub(crate) struct FetchedImage {
    pub(crate) base: Base,
    /// Digest of what was served.
    pub(crate) checksum: Checksum,
    /// Where it came from; `None` if it was there before.
    pub(crate) from: Option<Retrieved>,
}

/// `index/ALGORITHM-HEX.json`: which base the bytes with a digest became.
#[derive(Debug, Serialize, Deserialize)]
struct BaseNote {
    digest: Digest,
}

/// Fetches an image unless it is in the cache. Several processes that want the same one fetch it once.
pub(crate) fn obtain(
    wanted: &RemoteImage<'_>,
    origin: impl Fn(&Checksum, &Retrieved) -> Origin,
    fetcher: &Fetcher,
    cache: &Cache,
    control: &Control,
) -> Result<FetchedImage, Failure> {
    let key = key(wanted);
    // Held for as long as the directory of the download is used; the collection takes it as well.
    let lock_path = cache.lock_path(&LockName::Download(key.clone()));
    let what = format!("downloading {}", wanted.what);
    let _lock = FileLock::exclusive(&lock_path, &what, control)?;
    if let Some(arrived) = known(wanted.expected.as_ref(), cache, control)? {
        return Ok(arrived);
    }
    let place = cache.directory(Bucket::Downloads).join(&key);
    fs_err::create_dir_all(&place).map_err(CacheError::io("create", &place))?;
    let request = fetch::Request {
        urls: &wanted.urls,
        what: wanted.what,
        expected: wanted.expected.as_ref(),
        size: wanted.size,
        compression: wanted.compression,
        max_size: MAX_SIZE,
        authorization: None,
    };
    let downloaded = fetcher.download(&request, &place)?;
    let kept = keep(&downloaded.path, downloaded.sha256, &downloaded.transferred, cache, || {
        origin(&downloaded.transferred, &downloaded.from)
    });
    // What is refused must not be waiting there for the next time.
    files::remove_tree(&place).map_err(CacheError::io("remove", &place))?;
    Ok(FetchedImage { base: kept?, checksum: downloaded.transferred, from: Some(downloaded.from) })
}

/// Takes a finished download into the cache, through the gate.
fn keep(
    path: &Path,
    digest: Digest,
    checksum: &Checksum,
    cache: &Cache,
    origin: impl FnOnce() -> Origin,
) -> Result<Base, Failure> {
    let disk::ImageInfo { format, virtual_size, .. } = disk::gate(path, &Policy::default())?;
    let work = cache.work()?;
    let staged = work.path().join("base");
    fs_err::create_dir(&staged).map_err(CacheError::io("create", &staged))?;
    let disk = staged.join(disk_name(format));
    fs_err::rename(path, &disk).map_err(CacheError::io("create", &disk))?;
    let base = store(cache, &work, &staged, digest, &BaseMeta { format, virtual_size, origin: origin() })?;
    cache.write_note(&work, Bucket::Index, &index_name(checksum), &BaseNote { digest })?;
    Ok(base)
}

/// What the cache has of the bytes with this digest.
pub(crate) fn known(
    expected: Option<&Checksum>,
    cache: &Cache,
    control: &Control,
) -> Result<Option<FetchedImage>, BaseError> {
    let Some(expected) = expected else { return Ok(None) };
    let noted = cache.read_note::<BaseNote>(Bucket::Index, &index_name(expected)).map(|became| became.digest);
    // An image that is not packed is named by its SHA-256, whoever brought it.
    let Some(digest) = noted.or_else(|| expected.sha256()) else { return Ok(None) };
    let base = find_or_set_aside(cache, digest, control)?;
    Ok(base.map(|base| FetchedImage { base, checksum: *expected, from: None }))
}

/// The base with this digest. One that is damaged is put out of the way, and that is said.
pub(crate) fn find_or_set_aside(
    cache: &Cache,
    digest: Digest,
    control: &Control,
) -> Result<Option<Base>, BaseError> {
    let found = find(cache, digest, None, control)?;
    let directory = cache.base(digest);
    if found.is_none() && directory.is_dir() {
        let lock = FileLock::try_exclusive(&cache.lock_path(&LockName::Base(digest)))?;
        if lock.is_some() && directory.is_dir() {
            let aside = crate::cache::audit::move_aside(cache, &directory)?;
            control.events.warning(format!(
                "the image {} in the cache is damaged: set aside in {}",
                digest.short(),
                aside.display()
            ));
        }
    }
    Ok(found)
}

/// An image whose URL was given.
pub(crate) fn by_url(
    url: &Url,
    request: &BaseRequest,
    cache: &Cache,
    control: &Control,
) -> Result<Base, Failure> {
    let expected = request.checksum.as_ref().filter(|_| !request.skip_verify);
    if expected.is_none() && !request.skip_verify {
        return Err(BaseError::UrlWithoutChecksum(redact(url)).into());
    }
    let file = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let what = if file.is_empty() { url.host_str().unwrap_or_default() } else { file };
    let wanted = RemoteImage {
        what,
        urls: vec![url.clone()],
        expected: expected.copied(),
        size: None,
        compression: FileCompression::of_name(file),
    };
    if let Some(arrived) = known(expected, cache, control)? {
        return Ok(arrived.base);
    }
    if request.offline {
        return Err(BaseError::NotHere { what: redact(url) }.into());
    }
    let fetcher = super::fetcher(control)?;
    let trust = if request.skip_verify { Trust::Nothing } else { Trust::Given };
    let origin = |checksum: &Checksum, from: &Retrieved| {
        Origin::Download(Box::new(Provenance {
            id: None,
            version: None,
            arch: None,
            url: from.url.clone(),
            redirects: from.redirects.clone(),
            checksum: Some(*checksum),
            checksum_file: None,
            trust: trust.clone(),
            time: clock::now(),
        }))
    };
    Ok(obtain(&wanted, origin, &fetcher, cache, control)?.base)
}

fn key(wanted: &RemoteImage<'_>) -> String {
    match &wanted.expected {
        Some(checksum) => checksum.to_string().replace(':', "-"),
        None => {
            let urls: Vec<_> = wanted.urls.iter().map(Url::as_str).collect();
            format!("unverified-{}", Digest::of(urls.join("\n").as_bytes()))
        }
    }
}

fn index_name(checksum: &Checksum) -> String {
    checksum.to_string().replace(':', "-")
}
