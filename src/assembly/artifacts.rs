//! What a person brings, found when the plan is made: it tells the digests.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BuildError, BuildRequest};
use crate::cache::{Bucket, Cache, CacheError, FileLock, LockName, files};
use crate::control::Control;
use crate::digest::Digest;
use crate::distro::Family;
use crate::error::Result;
use crate::fetch::{self, Fetcher, Options, Url};
use crate::recipe::{ArtifactPlace, ArtifactSource, ArtifactStep, FoundArtifact, Plan, Recipe};
use crate::trust::checksum::{Algorithm, Checksum};

/// Bytes of the largest file that is fetched.
const LARGEST: u64 = 64 << 30;

/// Refuses what cannot be built with what is given, as far as that is known without an operating system, and looks for the files.
pub(crate) fn check(request: &BuildRequest, recipe: &Recipe) -> Result<()> {
    let Some(given) = &request.artifacts else { return Ok(()) };
    recipe.check_artifacts(given, &request.settings)?;
    for given in given {
        if let ArtifactSource::File(path) = &given.place.source {
            open(&given.name, path)?;
        }
    }
    Ok(())
}

/// Puts what is given into the plan: where it is, and its digest. A file of a server is fetched.
pub(crate) fn find(
    plan: &mut Plan,
    request: &BuildRequest,
    recipe: &Recipe,
    cache: &Cache,
    control: &Control,
) -> Result<()> {
    let Some(given) = &request.artifacts else { return Ok(()) };
    let family = plan.os.family;
    let place = |step: &ArtifactStep| {
        given
            .iter()
            .find(|given| given.name == step.name)
            .map(|given| &given.place)
            .or(step.default.as_ref())
            .cloned()
    };
    // All is known to be there before the first is read or fetched.
    for step in plan.artifacts() {
        recipe.demand(step, given.iter().any(|given| given.name == step.name))?;
    }
    let mut brought = 0_u64;
    for step in plan.artifacts_mut() {
        let Some(place) = place(step) else { continue };
        let found = match &place.source {
            ArtifactSource::File(path) => of_host(&step.name, path, &place, control)?,
            ArtifactSource::Url(url) => of_server(&step.name, url, &place, request.offline, cache, control)?,
        };
        look(step, &found, family)?;
        if step.path.is_some() && !step.unpack {
            brought = brought.saturating_add(found.size);
        }
        step.found = Some(found);
    }
    plan.needs = plan.needs.saturating_add(brought);
    plan.derive_artifact_checks();
    Ok(())
}

/// Copies a file of the host to where it can be taken from, and sees that it is what it was when the plan was made.
pub(crate) fn stage(
    step: &ArtifactStep,
    directory: &Path,
    cache: &Cache,
    control: &Control,
) -> Result<PathBuf> {
    let Some(found) = &step.found else {
        return Err(
            BuildError::Artifact { name: step.name.clone(), problem: "it was not found".to_owned() }.into()
        );
    };
    if found.path.starts_with(cache.root()) {
        return Ok(found.path.clone());
    }
    let to = directory.join(&step.name);
    let sha256 = files::copy_hashed(&found.path, &to, &control.cancel, &mut |_| ())?;
    if sha256 == found.sha256 {
        return Ok(to);
    }
    Err(BuildError::ArtifactDigest { name: step.name.clone(), expected: found.sha256, found: sha256 }.into())
}

fn open(name: &str, path: &Path) -> Result<File> {
    let io = |source| BuildError::ArtifactFile { name: name.to_owned(), path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(io(std::io::Error::other("it is not a regular file")).into());
    }
    Ok(File::open(path).map_err(io)?)
}

fn of_host(name: &str, path: &Path, place: &ArtifactPlace, control: &Control) -> Result<FoundArtifact> {
    let size = open(name, path)?.metadata().map_err(CacheError::io("read", path))?.len();
    let path = std::path::absolute(path).map_err(CacheError::io("find", path))?;
    let sha256 = control.events.stage("artifact", format!("reading {}", path.display()), || {
        files::hash(&path, &control.cancel, &mut |_| ())
    })?;
    if let Some(expected) = place.sha256.filter(|expected| *expected != sha256) {
        return Err(BuildError::ArtifactDigest { name: name.to_owned(), expected, found: sha256 }.into());
    }
    Ok(FoundArtifact { source: place.source.clone(), sha256, size, path })
}

/// What a URL had when it was last fetched.
#[derive(Serialize, Deserialize)]
struct Note {
    sha256: Digest,
}

fn of_server(
    name: &str,
    url: &str,
    place: &ArtifactPlace,
    offline: bool,
    cache: &Cache,
    control: &Control,
) -> Result<FoundArtifact> {
    let shelf = cache.directory(Bucket::Artifacts);
    let (kept, notes) = (shelf.join("files"), shelf.join("urls"));
    for directory in [&kept, &notes] {
        fs_err::create_dir_all(directory).map_err(CacheError::io("create", directory))?;
    }
    let found = |sha256: Digest, size| {
        let path = kept.join(sha256.to_string());
        FoundArtifact { source: place.source.clone(), sha256, size, path }
    };
    let note = notes.join(format!("{}.json", Digest::of(url.as_bytes())));
    let known = place.sha256.or_else(|| {
        let note: Note = serde_json::from_slice(&fs_err::read(&note).ok()?).ok()?;
        Some(note.sha256).filter(|_| offline)
    });
    let key = known.map_or_else(
        || format!("unverified-{}", Digest::of(url.as_bytes())),
        |sha256| format!("sha256-{sha256}"),
    );
    let lock = cache.lock_path(&LockName::Download(key.clone()));
    let _lock = FileLock::exclusive(&lock, &format!("downloading the artifact {name}"), control)?;
    if let Some(sha256) = known
        && let Ok(status) = fs_err::metadata(kept.join(sha256.to_string()))
    {
        let path = kept.join(sha256.to_string());
        // It may have lain there for a year.
        if files::hash(&path, &control.cancel, &mut |_| ())? == sha256 {
            return Ok(found(sha256, status.len()));
        }
        fs_err::remove_file(&path).map_err(CacheError::io("remove", &path))?;
    }
    if offline {
        return Err(BuildError::OfflineArtifact { name: name.to_owned() }.into());
    }
    let parsed: Url = url.parse().map_err(|_| BuildError::Artifact {
        name: name.to_owned(),
        problem: format!("`{}` is no URL", place.source),
    })?;
    let directory = cache.directory(Bucket::Downloads).join(&key);
    fs_err::create_dir_all(&directory).map_err(CacheError::io("create", &directory))?;
    let expected = place.sha256.and_then(|sha256| Checksum::from_hex(&sha256.to_string()));
    debug_assert!(expected.is_none_or(|expected| expected.algorithm() == Algorithm::Sha256));
    let downloaded = control.events.stage("artifact", format!("{name} from {}", place.source), || {
        let fetcher = Fetcher::new(Options::default(), control)?;
        let request = fetch::Request {
            urls: &[parsed],
            what: name,
            expected: expected.as_ref(),
            size: None,
            compression: None,
            max_size: LARGEST,
            authorization: None,
        };
        fetcher.download(&request, &directory)
    })?;
    let size = fs_err::metadata(&downloaded.path).map_err(CacheError::io("read", &downloaded.path))?.len();
    files::publish(&downloaded.path, &kept.join(downloaded.sha256.to_string()))?;
    let text = serde_json::to_vec(&Note { sha256: downloaded.sha256 }).expect("plain data always serialises");
    let work = cache.work()?;
    let staged = work.path().join("note");
    fs_err::write(&staged, text).map_err(CacheError::io("write", &staged))?;
    files::publish(&staged, &note)?;
    files::remove_tree(&directory).map_err(CacheError::io("remove", &directory))?;
    Ok(found(downloaded.sha256, size))
}

/// Refuses what cannot be what the recipe needs, by its first bytes: the guest would only find out after minutes.
fn look(step: &ArtifactStep, found: &FoundArtifact, family: Family) -> Result<()> {
    let mut start = Vec::new();
    let file = File::open(&found.path).map_err(CacheError::io("open", &found.path))?;
    file.take(512).read_to_end(&mut start).map_err(CacheError::io("read", &found.path))?;
    let wanted = match (step.install, step.unpack, family) {
        (true, _, Family::Debian) if !start.starts_with(b"!<arch>\n") => {
            "a package of Debian's family (.deb)"
        }
        (true, _, Family::Rhel | Family::Suse) if !start.starts_with(&[0xed, 0xab, 0xee, 0xdb]) => "an RPM",
        (_, true, _) if !is_tar(&start) => "a tar, packed or not",
        _ => return Ok(()),
    };
    let problem = format!("`{}` is not {wanted}", found.source);
    Err(BuildError::Artifact { name: step.name.clone(), problem }.into())
}

/// Whether a file begins like a tar, plain or packed with gzip, bzip2, xz or zstd.
fn is_tar(start: &[u8]) -> bool {
    let packed: [&[u8]; 4] =
        [&[0x1f, 0x8b], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z'], &[0x28, 0xb5, 0x2f, 0xfd]];
    packed.iter().any(|magic| start.starts_with(magic)) || start.get(257..262) == Some(b"ustar".as_slice())
}
