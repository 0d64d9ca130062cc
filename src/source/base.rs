//! Base images: what `--base` names, brought into the cache.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::lock::FileLock;
use super::{Cache, SourceError, bootstrap, cache, files};
use crate::cancel::Cancel;
use crate::disk::{self, Format, Policy};
use crate::error::Failure;
use crate::event::Events;
use crate::recipe::Digest;

/// What `--base` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseSpec {
    /// An image file of the host.
    File(PathBuf),
    /// A system bootstrapped from packages: `debian-12`.
    Bootstrap(String),
    /// An image of the catalogue.
    Catalogue(String),
}

/// A base image in the cache. It is not removed while this value lives.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its disk, never to be written to.
    pub path: PathBuf,
    /// The format of the disk.
    pub format: Format,
    /// SHA-256 of the disk's file.
    pub digest: Digest,
    /// Size of the virtual disk in bytes.
    pub virtual_size: u64,
    /// Where it comes from.
    pub origin: Origin,
    _lock: Arc<FileLock>,
}

/// Where a base comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// A file of the host.
    File {
        /// Its name, without its directory.
        name: String,
        /// SHA-256 of its content.
        sha256: Digest,
    },
    /// Bootstrapped from packages.
    Bootstrap {
        /// `debian-12`.
        system: String,
        /// The package sources it was made from and that it goes on using, as apt reads them.
        sources: String,
        /// What `mmdebstrap --version` says.
        mmdebstrap: String,
        /// When, in seconds since 1970.
        created: u64,
    },
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { name, .. } => write!(f, "file {name}"),
            Self::Bootstrap { system, .. } => write!(f, "{system}, bootstrapped"),
        }
    }
}

/// `meta.json` of a base.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BaseMeta {
    pub(super) format: Format,
    pub(super) virtual_size: u64,
    pub(super) origin: Origin,
}

impl FromStr for BaseSpec {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(system) = text.strip_prefix("bootstrap:") {
            bootstrap::System::parse(system)?;
            return Ok(Self::Bootstrap(system.to_owned()));
        }
        if text.is_empty() {
            return Err(SourceError::BadBase {
                text: String::new(),
                problem: "is empty".to_owned(),
                hint: "give an image file or `bootstrap:debian-12`".to_owned(),
            });
        }
        let is_file = text.contains('/')
            || [".qcow2", ".img", ".raw"].iter().any(|suffix| text.ends_with(suffix))
            || Path::new(text).is_file();
        Ok(if is_file { Self::File(text.into()) } else { Self::Catalogue(text.to_owned()) })
    }
}

impl std::fmt::Display for BaseSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Bootstrap(system) => write!(f, "bootstrap:{system}"),
            Self::Catalogue(id) => f.write_str(id),
        }
    }
}

/// Brings a base into the cache, or finds it there.
///
/// # Errors
/// [`SourceError`], or [`DiskError`](crate::disk::DiskError) for a file that is no image or must not be used.
pub fn resolve(
    spec: &BaseSpec,
    cache: &Cache,
    offline: bool,
    events: &Events,
    cancel: &Cancel,
) -> Result<Base, Failure> {
    match spec {
        BaseSpec::File(path) => import(path, cache, events, cancel),
        BaseSpec::Bootstrap(system) => {
            let system = bootstrap::System::parse(system)?;
            Ok(bootstrap::resolve(system, cache, offline, events, cancel)?)
        }
        BaseSpec::Catalogue(id) => Err(SourceError::NoCatalogueImage(id.clone()).into()),
    }
}

/// Copies a file of the user into the cache; the file itself is only read.
fn import(path: &Path, cache: &Cache, events: &Events, cancel: &Cancel) -> Result<Base, Failure> {
    let header = disk::gate(path, &Policy::default())?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let known = index_name(path)?;
    if let Some(digest) = cache.read_note::<Digest>(&known) {
        let origin = Origin::File { name: name.clone(), sha256: digest };
        if let Some(base) = find(cache, digest, Some(origin))? {
            return Ok(base);
        }
    }
    let work = cache.work()?;
    let staged = work.path().join("base");
    fs_err::create_dir(&staged).map_err(SourceError::io("create", &staged))?;
    let copy = staged.join(disk_name(header.format));
    let total = fs_err::metadata(path).map_err(SourceError::io("read", path))?.len();
    let what = format!("copying {name}");
    let digest =
        files::copy_hashed(path, &copy, cancel, &mut |done| events.progress(&what, done, Some(total)))?;
    // The file may have changed since it was looked at; what counts is what qemu is going to see.
    let disk::ImageInfo { format, virtual_size, .. } = disk::gate(&copy, &Policy::default())?;
    if format != header.format {
        let problem = "changed while it was read".to_owned();
        let hint = "wait until whatever writes it is done".to_owned();
        return Err(SourceError::BadBase { text: path.display().to_string(), problem, hint }.into());
    }
    let origin = Origin::File { name, sha256: digest };
    let base = store(cache, &work, &staged, digest, BaseMeta { format, virtual_size, origin })?;
    // Only after the copy is safe, and only if the file is still the one that was copied.
    if index_name(path)? == known {
        cache.write_note(&work, &known, &digest)?;
    }
    Ok(base)
}

/// Puts the directory `staged` with a disk of this digest into the cache.
pub(super) fn store(
    cache: &Cache,
    work: &super::WorkDir,
    staged: &Path,
    digest: Digest,
    meta: BaseMeta,
) -> Result<Base, SourceError> {
    let target = cache.base(digest);
    cache.publish_sealed(work, staged, disk_name(meta.format), &meta, &target)?;
    find(cache, digest, Some(meta.origin))?.ok_or_else(|| cache::vanished(&target))
}

/// The base with this digest, if the cache has it; with `origin` if one is given, else the recorded one.
pub(super) fn find(
    cache: &Cache,
    digest: Digest,
    origin: Option<Origin>,
) -> Result<Option<Base>, SourceError> {
    let Some(lock) = cache.in_use("base", digest)? else { return Ok(None) };
    let dir = cache.base(digest);
    for format in [Format::Raw, Format::Qcow2] {
        let Some(meta) = cache::read_sealed::<BaseMeta>(&dir, disk_name(format))? else { continue };
        cache::touch(&dir.join(cache::META));
        return Ok(Some(Base {
            path: dir.join(disk_name(format)),
            format,
            digest,
            virtual_size: meta.virtual_size,
            origin: origin.unwrap_or(meta.origin),
            _lock: lock,
        }));
    }
    Ok(None)
}

fn disk_name(format: Format) -> &'static str {
    match format {
        Format::Raw => "disk.raw",
        Format::Qcow2 => "disk.qcow2",
    }
}

/// Where the digest of a file is remembered. Any change to the file changes the name.
fn index_name(path: &Path) -> Result<String, SourceError> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs_err::metadata(path).map_err(SourceError::io("read", path))?;
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let nanoseconds = modified.unwrap_or_default().as_nanos();
    // The time of the last change of anything, which nobody can set back.
    let changed = format!("{}.{}", meta.ctime(), meta.ctime_nsec());
    Ok(format!("index/{}-{}-{}-{nanoseconds}-{changed}.json", meta.dev(), meta.ino(), meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn specifications() {
        let dir = tempfile::tempdir().unwrap();
        let existing = dir.path().join("image");
        fs_err::write(&existing, "").unwrap();
        let existing = existing.to_str().unwrap();
        let cases = [
            ("bootstrap:debian-12", BaseSpec::Bootstrap("debian-12".into())),
            ("a.qcow2", BaseSpec::File("a.qcow2".into())),
            ("a.img", BaseSpec::File("a.img".into())),
            ("a.raw", BaseSpec::File("a.raw".into())),
            ("./a", BaseSpec::File("./a".into())),
            (existing, BaseSpec::File(existing.into())),
            ("debian-12", BaseSpec::Catalogue("debian-12".into())),
        ];
        for (text, expected) in cases {
            let spec: BaseSpec = text.parse().unwrap();
            assert_eq!(spec, expected, "{text}");
            assert_eq!(spec.to_string(), text);
        }
        for bad in ["", "bootstrap:", "bootstrap:ubuntu-24.04", "bootstrap:debian-9"] {
            let error = bad.parse::<BaseSpec>().unwrap_err();
            assert!(matches!(error, SourceError::BadBase { .. }), "{bad}");
        }
    }

    #[test]
    fn the_catalogue_is_not_there_yet_and_says_what_is() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
        let spec = BaseSpec::Catalogue("ubuntu-24.04".into());
        let error = resolve(&spec, &cache, false, &Events::none(), &Cancel::new()).unwrap_err();
        assert_eq!(
            (error.exit(), error.to_string()),
            (Exit::Usage, "no catalogue image `ubuntu-24.04`".into())
        );
        let hint = error.hint().unwrap();
        assert!(hint.contains("--base FILE") && hint.contains("bootstrap:debian-12"), "{hint}");
    }

    fn raw(path: &Path, mark: u8) {
        let mut content = vec![0; 1 << 20];
        content[700_000] = mark;
        // ext4's magic number: a file system without a partition table.
        content[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
        fs_err::write(path, content).unwrap();
    }

    #[test]
    fn a_file_is_copied_once_and_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        let path = dir.path().join("base.raw");
        raw(&path, 1);
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        let before = fs_err::metadata(&path).unwrap().modified().unwrap();
        let get = || {
            let spec = BaseSpec::File(path.clone());
            resolve(&spec, &cache, true, &Events::none(), &Cancel::new()).unwrap()
        };
        let base = get();
        assert_eq!(base.digest, Digest::of(&fs_err::read(&path).unwrap()));
        assert_eq!((base.format, base.virtual_size), (Format::Raw, 1 << 20));
        assert_eq!(base.path, cache.root().join(format!("bases/{}/disk.raw", base.digest)));
        assert_eq!(base.origin, Origin::File { name: "base.raw".into(), sha256: base.digest });
        assert_eq!(fs_err::metadata(&path).unwrap().modified().unwrap(), before);
        let stored = || fs_err::metadata(&base.path).unwrap().modified().unwrap();
        let first = stored();
        assert_eq!(get().digest, base.digest);
        assert_eq!(stored(), first, "neither copied nor hashed again");

        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        raw(&path, 2);
        assert_ne!(get().digest, base.digest, "a changed file is another base");
        assert!(base.path.is_file());
    }

    #[test]
    fn a_removed_base_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        let path = dir.path().join("base.raw");
        raw(&path, 1);
        let spec = BaseSpec::File(path);
        for _ in 0..2 {
            let base = resolve(&spec, &cache, true, &Events::none(), &Cancel::new()).unwrap();
            assert!(base.path.is_file());
            fs_err::remove_dir_all(base.path.parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn what_is_no_image_or_backed_by_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        raw(&dir.path().join("below.raw"), 1);
        // qemu-img as an independent maker of the image.
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "below.raw", "backed.qcow2"])
            .current_dir(dir.path())
            .status();
        assert!(made.unwrap().success());
        fs_err::write(dir.path().join("text.img"), "hello").unwrap();
        for (name, exit) in [("backed.qcow2", Exit::Integrity), ("text.img", Exit::Integrity)] {
            let spec = BaseSpec::File(dir.path().join(name));
            let error = resolve(&spec, &cache, true, &Events::none(), &Cancel::new()).unwrap_err();
            assert_eq!(error.exit(), exit, "{name}: {error}");
        }
        assert_eq!(fs_err::read_dir(cache.root().join("bases")).unwrap().count(), 0);
    }
}
