//! `bootstrap:debian-12`: a base image made from distribution packages, without root and without an appliance.
//!
//! `mmdebstrap` unpacks and configures the packages in a user namespace; in the same kind of namespace `mke2fs`
//! turns the tree into a file system and the packages' own `grub-mkimage` makes the boot loader's images. The
//! partition table, the EFI system partition and the boot sectors are then written natively.

mod disk;
mod packages;
mod rootfs;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

pub(crate) use packages::System;

use crate::base::BaseError;
use crate::cache::CacheError;
use crate::cache::bases;
use crate::cache::bases::BaseMeta;
use crate::cache::inventory::entries;
use crate::cache::lock::FileLock;
use crate::cache::{Base, Bucket, LockName, Origin};
use crate::cache::{Cache, WorkDir, files};
use crate::clock;
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::Format;
use crate::event::{Event, Events};
use crate::host::process;

/// Changes whenever the same packages would give another image.
const VERSION: u32 = 2;

/// How bases are kept: as qcow2 without compression, so that chains upon them are qcow2 to the bottom, which is what
/// `qcow2-rs` reads.
const FORMAT: Format = Format::Qcow2;

/// Which base was made for a key. Bases are named by their content, since layers on top of a base that is made
/// again (with newer packages) would be torn from what they were made on.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    digest: Digest,
}

/// Finds the base of `system` in the cache or makes it; one tib at a time does.
pub(crate) fn resolve(
    system: System,
    cache: &Cache,
    offline: bool,
    control: &Control,
) -> Result<Base, BaseError> {
    let sources = sources::of_host(system, &control.events);
    let key = key(system, &sources);
    let note = key.to_string();
    if let Some(base) = made(cache, &note, control)? {
        found(&control.events, system);
        return Ok(base);
    }
    if offline {
        return Err(BaseError::Offline(format!("bootstrap:{system}")));
    }
    let lock = cache.lock_path(&LockName::Bootstrap(key));
    let _lock = FileLock::exclusive(&lock, &format!("bootstrapping {system}"), control)?;
    // Another tib may have made it while we waited.
    if let Some(base) = made(cache, &note, control)? {
        found(&control.events, system);
        return Ok(base);
    }
    let work = cache.work()?;
    let base = make(system, &sources, key, &work, cache, control)?;
    cache.write_note(&work, Bucket::Bootstrap, &note, &Made { digest: base.digest })?;
    Ok(base)
}

fn made(cache: &Cache, note: &str, control: &Control) -> Result<Option<Base>, BaseError> {
    let Some(made) = cache.read_note::<Made>(Bucket::Bootstrap, note) else { return Ok(None) };
    Ok(bases::find(cache, made.digest, None, control)?)
}

/// The bases in the cache that a bootstrap made.
pub(crate) fn made_here(cache: &Cache) -> Result<Vec<Digest>, BaseError> {
    let notes = entries(&cache.directory(Bucket::Bootstrap))?;
    let digest = |path: &PathBuf| serde_json::from_slice::<Made>(&fs_err::read(path).ok()?).ok();
    Ok(notes.iter().filter_map(digest).map(|made| made.digest).collect())
}

/// What `--base` can have bootstrapped here, and whether the cache holds it already.
///
/// # Errors
/// When the cache cannot be read.
pub fn systems(cache: &Cache) -> Result<Vec<(String, bool)>, BaseError> {
    let mut held = Vec::new();
    for digest in made_here(cache)? {
        if let Some((record, _)) = bases::record(cache, digest)?
            && let Origin::Bootstrap { system, .. } = record.meta.origin
        {
            held.push(system);
        }
    }
    Ok(System::ALL
        .iter()
        .map(System::to_string)
        .map(|system| {
            let is_held = held.contains(&system);
            (system, is_held)
        })
        .collect())
}

fn found(events: &Events, system: System) {
    let stage = "bootstrap".to_owned();
    events.emit(Event::StageStarted { stage: stage.clone(), detail: format!("{system}, from the cache") });
    events.emit(Event::StageFinished { stage, elapsed: std::time::Duration::ZERO, cached: true });
}

/// Everything that decides what the image holds, but the versions the package sources have today.
fn key(system: System, sources: &str) -> Digest {
    let packages = system.packages().join(" ");
    let recipe = rootfs::RECIPE.join("\n");
    Digest::of(format!("{system}\n{VERSION}\n{packages}\n{sources}\n{recipe}").as_bytes())
}

fn make(
    system: System,
    sources: &str,
    key: Digest,
    work: &WorkDir,
    cache: &Cache,
    control: &Control,
) -> Result<Base, BaseError> {
    let version = rootfs::check_host(control)?;
    let identity = disk::Identity::from_key(key);
    // The namespace's root is another user: the tree may have to be outside the cache.
    let place = work.reachable()?;
    let tree = rootfs::Tree { path: place.join("root"), system, sources, identity: &identity };
    control.events.stage("bootstrap", format!("{system} with mmdebstrap"), || tree.bootstrap(control))?;
    control.events.stage(
        "base image",
        format!("partitions, file systems and boot loader of {system}"),
        || {
            let file_system = tree.file_system(control)?;
            let staged = work.path().join("base");
            fs_err::create_dir(&staged).map_err(CacheError::io("create", &staged))?;
            let raw = work.path().join("disk.raw");
            disk::assemble(&raw, &file_system, &tree.boot_files()?, &identity, &control.cancel)?;
            let path = staged.join(bases::disk_name(FORMAT));
            convert(&raw, &path, control)?;
            let origin = Origin::Bootstrap {
                system: system.to_string(),
                sources: sources.to_owned(),
                mmdebstrap: version,
                created: clock::now(),
            };
            let meta = BaseMeta { format: FORMAT, virtual_size: disk::SIZE, origin };
            let digest = hash(&path, control)?;
            Ok(bases::store(cache, work, &staged, digest, &meta)?)
        },
    )
}

/// Writes a raw disk as qcow2, uncompressed. The raw one is removed.
fn convert(raw: &Path, qcow2: &Path, control: &Control) -> Result<(), BaseError> {
    let mut command = Command::new("qemu-img");
    command.args([
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "-o",
        "compat=1.1,cluster_size=65536,lazy_refcounts=off",
    ]);
    process::run(command.arg(raw).arg(qcow2), control)
        .map_err(BaseError::program("writing the disk as qcow2", qcow2))?;
    Ok(fs_err::remove_file(raw).map_err(CacheError::io("remove", raw))?)
}

fn hash(path: &Path, control: &Control) -> Result<Digest, BaseError> {
    let mut progress = |done| control.events.progress("hashing the image", done, None);
    Ok(files::hash(path, &control.cancel, &mut progress)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_all_that_decides() {
        let debian = |name| System::parse(name).unwrap();
        let key_of_12 = key(debian("debian-12"), "a");
        assert_eq!(key_of_12, key(debian("debian-12"), "a"));
        assert_ne!(key_of_12, key(debian("debian-13"), "a"));
        assert_ne!(key_of_12, key(debian("debian-12"), "b"));
    }

    #[test]
    fn offline_says_so_without_trying() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
        let system = System::parse("debian-12").unwrap();
        let error = resolve(system, &cache, true, &Control::none()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "base `bootstrap:debian-12` is not in the cache and cannot be made offline"
        );
    }
}
