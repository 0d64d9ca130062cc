//! Bases that the catalogue knows by name.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bootstrap;
use super::bootstrap::System;
use super::catalogue::{Catalogue, CatalogueEntry, ImageSource, Selection};
use super::download::{self, RemoteImage, find_or_set_aside};
use super::published::{Published, Question};
use super::{BaseRequest, file};
use crate::base::BaseError;
use crate::cache::CacheError;
use crate::cache::inventory::entries;
use crate::cache::lock::FileLock;
use crate::cache::{Base, Bucket, LockName, Origin, Provenance, Trust};
use crate::cache::{Cache, files};
use crate::cancel::Cancel;
use crate::clock;
use crate::control::Control;
use crate::digest::Digest;
use crate::distro::Arch;
use crate::error::{Exit, Failure};
use crate::fetch::{FileCompression, Retrieved, redact};
use crate::trust::checksum::{Algorithm, Checksum};

/// `catalogue/NAME.json`: which base a name of the catalogue led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The catalogue's name.
    pub id: String,
    /// Architecture.
    pub arch: Arch,
    /// The build that was asked for: `newest`, a version, or `None` for what the name alone means.
    pub build: Option<String>,
    /// Which base it is.
    pub digest: Digest,
    /// How it came here.
    pub origin: Origin,
}

impl Held {
    fn name(id: &str, arch: Arch, build: Option<&str>) -> String {
        let build = build.map_or_else(String::new, |build| format!("@{build}"));
        format!("{id}-{arch}{build}")
    }
}

/// Which build a selection names in the cache.
fn build_of(selection: &Selection) -> Option<&str> {
    match selection {
        Selection::Default => None,
        Selection::Newest => Some("newest"),
        Selection::Pinned(version) => Some(version),
    }
}

/// Everything that the cache holds of the catalogue, by name.
///
/// # Errors
/// When the cache cannot be read.
pub fn held(cache: &Cache) -> Result<Vec<Held>, BaseError> {
    let mut found = Vec::new();
    for path in entries(&cache.directory(Bucket::Catalogue))? {
        let note: Option<Held> = fs_err::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        found.extend(note.filter(|held| cache.base(held.digest).is_dir()));
    }
    Ok(found)
}

/// Finds an image of the catalogue in the cache, or fetches it.
pub(crate) fn resolve(
    id: &str,
    selection: &Selection,
    request: &BaseRequest,
    cache: &Cache,
    control: &Control,
) -> Result<Base, Failure> {
    let catalogue = Catalogue::load(&request.catalogue_dirs)?;
    let entry = catalogue.find(id)?;
    if let Some(note) = entry.end_of_life_note(clock::today()) {
        control.events.warning(note);
    }
    let here = || in_cache(entry, selection, request, cache, control);
    if !request.refresh
        && let Some(base) = here()?
    {
        return Ok(base);
    }
    let shown =
        format!("{}{}", entry.id(), build_of(selection).map_or(String::new(), |build| format!("@{build}")));
    // What can only be imported says how, offline as well.
    let image = entry.image(request.arch, selection)?;
    if request.offline {
        let instead = instead(entry, request.arch, |system| is_made(system, cache));
        return Err(Failure::from(BaseError::NotHere { what: shown }).or(instead));
    }
    let lock = cache.lock_path(&LockName::CatalogueImage(format!("{}-{}", entry.id(), request.arch)));
    let _lock = FileLock::exclusive(&lock, &format!("fetching {shown}"), control)?;
    if !request.refresh
        && let Some(base) = here()?
    {
        return Ok(base);
    }
    let fetcher = super::fetcher(control)?;
    let question = Question {
        entry,
        image: &image,
        keys: &catalogue.keys(entry),
        key_files: &request.key_files,
        fetcher: &fetcher,
        cache,
        control,
    };
    let base = fetch(&question, request, &shown).map_err(|failure| match failure.exit() {
        Exit::Network => failure.or(instead(entry, request.arch, |_| true)),
        _ => failure,
    })?;
    // It is what was asked for, and also the build whose version it bears.
    let asked = build_of(selection).map(str::to_owned);
    let version = image.version.clone().filter(|version| asked.as_ref() != Some(version));
    let work = cache.work()?;
    for build in std::iter::once(asked).chain(version.map(Some)) {
        let held = Held {
            id: entry.id().to_owned(),
            arch: request.arch,
            digest: base.digest,
            origin: base.origin.clone(),
            build,
        };
        let name = Held::name(&held.id, held.arch, held.build.as_deref());
        cache.write_note(&work, Bucket::Catalogue, &name, &held)?;
    }
    Ok(base)
}

/// What can be built on if an image cannot be fetched. The same system made of packages serves, where tib can make it and
/// `would_do` says that this is a way out.
fn instead(entry: &CatalogueEntry, arch: Arch, would_do: impl Fn(System) -> bool) -> String {
    let system = System::parse(&entry.id).ok().filter(|_| arch == Arch::X86_64 && Arch::host() == Some(arch));
    match system.filter(|system| would_do(*system)) {
        Some(system) => format!(
            "or build on the same system made of packages, `--base bootstrap:{system}`, or on a file that you have, \
             `--base FILE`"
        ),
        None => "or build on a file that you have, `--base FILE`".to_owned(),
    }
}

/// Whether the cache holds a base that was made of packages.
fn is_made(system: System, cache: &Cache) -> bool {
    let systems = bootstrap::systems(cache).unwrap_or_default();
    systems.into_iter().any(|(name, is_held)| is_held && name == system.to_string())
}

/// Fetches what the question is about.
fn fetch(question: &Question<'_>, request: &BaseRequest, shown: &str) -> Result<Base, Failure> {
    let Question { image, cache, control, .. } = *question;
    if request.skip_verify {
        let nothing = Published { checksum: None, size: None, trust: Trust::Nothing, checksum_file: None };
        control.events.warning(format!("{shown} is not verified, as you wish; its manifest will say so"));
        return obtain(question, request, shown, &nothing);
    }
    let published = question.ask()?;
    if let Some(arrived) = download::known(published.checksum.as_ref(), cache, control)? {
        let origin = provenance(image, request, question, &published, None);
        return Ok(arrived.base.with_origin(origin));
    }
    match obtain(question, request, shown, &published) {
        Err(wrong) if wrong.exit() == Exit::Integrity && image.pin.is_none() => {
            control.cancel.check()?;
            // Makers replace the newest build between the list and the image; then the list says so now.
            let again = question.ask()?;
            if again.checksum == published.checksum {
                return Err(wrong);
            }
            control
                .events
                .note(format!("{shown} was replaced by its maker in this moment: fetching the new one"));
            obtain(question, request, shown, &again)
        }
        other => other,
    }
}

fn obtain(
    question: &Question<'_>,
    request: &BaseRequest,
    shown: &str,
    published: &Published,
) -> Result<Base, Failure> {
    let Question { image, fetcher, cache, control, .. } = *question;
    let wanted = RemoteImage {
        what: shown,
        urls: image.urls(&image.file),
        expected: published.checksum,
        size: published.size,
        compression: FileCompression::of_name(&image.file),
    };
    let origin = |checksum: &Checksum, from: &Retrieved| {
        provenance(image, request, question, published, Some((checksum, from)))
    };
    let arrived = download::obtain(&wanted, origin, fetcher, cache, control)?;
    // Somebody else may have brought the same bytes in another way.
    let from = arrived.from.as_ref().map(|from| (&arrived.checksum, from));
    let origin = provenance(image, request, question, published, from);
    Ok(arrived.base.with_origin(origin))
}

/// How an image came here; `from` is where it was fetched, unless it was here already.
fn provenance(
    image: &ImageSource,
    request: &BaseRequest,
    question: &Question<'_>,
    published: &Published,
    from: Option<(&Checksum, &Retrieved)>,
) -> Origin {
    let url = image.urls(&image.file).first().map(redact).unwrap_or_default();
    Origin::Download(Box::new(Provenance {
        id: Some(question.entry.id.clone()),
        version: image.version.clone(),
        arch: Some(request.arch),
        url: from.map_or(url, |(_, from)| from.url.clone()),
        redirects: from.map_or_else(Vec::new, |(_, from)| from.redirects.clone()),
        checksum: from.map(|(checksum, _)| *checksum).or(published.checksum),
        checksum_file: published.checksum_file.clone(),
        trust: published.trust.clone(),
        time: clock::now(),
    }))
}

fn in_cache(
    entry: &CatalogueEntry,
    selection: &Selection,
    request: &BaseRequest,
    cache: &Cache,
    control: &Control,
) -> Result<Option<Base>, BaseError> {
    let note = cache
        .read_note::<Held>(Bucket::Catalogue, &Held::name(entry.id(), request.arch, build_of(selection)));
    let Some(held) = note else { return Ok(None) };
    if held.origin.trust() == Some(&Trust::Nothing) {
        match &held.origin {
            // Whoever wanted it unverified once has not said so for ever, nor for others.
            Origin::Download(_) if !request.skip_verify => return Ok(None),
            _ => control.events.warning(format!("{} in the cache has never been verified", entry.id())),
        }
    }
    let base = find_or_set_aside(cache, held.digest, control)?;
    Ok(base.map(|base| base.with_origin(held.origin)))
}

/// Takes a file into the cache as an image of the catalogue. It is believed if its digest is given, or if the
/// catalogue knows it.
///
/// # Errors
/// [`BaseError::WrongChecksum`], or why the file is no image or cannot be kept.
pub fn import_as(
    path: &Path,
    entry: &CatalogueEntry,
    arch: Arch,
    checksum: Option<&Checksum>,
    cache: &Cache,
    control: &Control,
) -> Result<Held, Failure> {
    let base = file::import(path, checksum, cache, control)?;
    let (known, version) = match checksum {
        Some(checksum) => (Some((*checksum, Trust::Given)), None),
        None => match pinned(entry, arch, &base, &control.cancel)? {
            Some((checksum, version)) => (Some((checksum, Trust::Pin)), Some(version)),
            None => (None, None),
        },
    };
    let (checksum, trust) = known.unwrap_or_else(|| (Checksum::from(base.digest), Trust::Nothing));
    if trust == Trust::Nothing {
        control.events.warning(format!(
            "nothing says whether this is {}: the catalogue does not know its digest, and none was given with `--checksum`",
            entry.id()
        ));
    }
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let origin =
        Origin::Import { id: entry.id().to_owned(), arch, name, checksum, trust, time: clock::now() };
    let work = cache.work()?;
    let mut held = Held { id: entry.id().to_owned(), arch, build: None, digest: base.digest, origin };
    cache.write_note(&work, Bucket::Catalogue, &Held::name(&held.id, arch, None), &held)?;
    if version.is_some() {
        held.build = version;
        cache.write_note(
            &work,
            Bucket::Catalogue,
            &Held::name(&held.id, arch, held.build.as_deref()),
            &held,
        )?;
    }
    Ok(held)
}

/// The digest and version of the catalogue's pin that this base has, if there is one.
fn pinned(
    entry: &CatalogueEntry,
    arch: Arch,
    base: &Base,
    cancel: &Cancel,
) -> Result<Option<(Checksum, String)>, BaseError> {
    let pins = entry.pins(arch);
    let mut digests = vec![Checksum::from(base.digest)];
    if pins.iter().any(|pin| pin.checksum.algorithm() == Algorithm::Sha512) {
        digests.push(files::checksum(&base.path, Algorithm::Sha512, cancel)?);
    }
    let pin = pins.into_iter().find(|pin| digests.contains(&pin.checksum));
    Ok(pin.map(|pin| (pin.checksum, pin.version.clone())))
}

/// Removes everything that a name of the catalogue led to. An image that other names or a bootstrap lead to as well stays.
///
/// # Errors
/// [`BaseError::NotHeld`], [`BaseError::InUse`], or why it cannot be removed.
pub fn remove(id: &str, arch: Option<Arch>, cache: &Cache) -> Result<Vec<Held>, BaseError> {
    let (going, staying): (Vec<Held>, Vec<Held>) =
        held(cache)?.into_iter().partition(|held| held.id == id && arch.is_none_or(|arch| held.arch == arch));
    if going.is_empty() {
        return Err(BaseError::NotHeld(id.to_owned()));
    }
    let bootstrapped = bootstrap::made_here(cache)?;
    for held in &going {
        let directory = cache.base(held.digest);
        let wanted =
            staying.iter().any(|other| other.digest == held.digest) || bootstrapped.contains(&held.digest);
        if !wanted && directory.is_dir() {
            let lock = cache.lock_path(&LockName::Base(held.digest));
            let Some(_lock) = FileLock::try_exclusive(&lock)? else {
                return Err(BaseError::InUse(id.to_owned()));
            };
            let work = cache.work()?;
            let aside = work.path().join("gone");
            fs_err::rename(&directory, &aside).map_err(CacheError::io("remove", &directory))?;
            files::remove_tree(&aside).map_err(CacheError::io("remove", &aside))?;
        }
        let note = cache.note(Bucket::Catalogue, &Held::name(&held.id, held.arch, held.build.as_deref()));
        match fs_err::remove_file(&note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(CacheError::io("remove", note)(error).into());
            }
            _ => {}
        }
    }
    Ok(going)
}
