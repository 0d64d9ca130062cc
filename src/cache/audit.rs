//! Whether what lies in the cache is still what it was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::bases;
use super::inventory::{CacheItem, Kind, entries, inventory};
use super::lock::FileLock;
use super::mirrors;
use super::record::State;
use super::{Bucket, Cache, CacheError, files, layers};
use crate::control::Control;
use crate::digest::Digest;

/// What was found of one thing in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// What it is.
    pub kind: Kind,
    /// Its name in the cache.
    pub name: String,
    /// What a person knows it as.
    pub about: String,
    /// What is wrong with it; `None` if it is good.
    pub damage: Option<String>,
    /// Where it has been put, if it is damaged; `None` if somebody uses it, and it stays.
    pub set_aside: Option<PathBuf>,
}

/// Reads and hashes everything that has a digest: bases, layers, wheels, constraints, parts of container images and mirrors.
/// What is damaged is set aside, and so are
/// layers that lie on other bytes than they were made on.
///
/// # Errors
/// When the cache cannot be read.
pub fn audit(cache: &Cache, control: &Control) -> Result<Vec<Audited>, CacheError> {
    let mut found = audit_bases(cache, None, control)?;
    // Also what somebody uses, and what therefore stays.
    let mut bad: BTreeSet<String> =
        found.iter().filter(|base| base.damage.is_some()).map(|base| base.name.clone()).collect();
    let mut items = inventory(cache)?;
    // What others are made upon first: they are no good without it.
    items.sort_by_key(|item| item.needs.len());
    for item in items {
        match item.kind {
            Kind::Layer => {
                let look = || match item.needs.iter().any(|below| bad.contains(below)) {
                    true => Ok(Some("what it is made upon is damaged".to_owned())),
                    false => layer_damage(&item, cache, control),
                };
                let Some(damage) = held(cache, &item, look)? else { continue };
                if damage.is_some() {
                    bad.insert(item.name.clone());
                }
                found.push(judge(cache, item, damage)?);
            }
            Kind::Agents => {
                let look = || {
                    let mut all = files_by_digest(cache, &item, "wheels", "wheel", control)?;
                    all.extend(files_by_digest(cache, &item, "constraints", "constraints", control)?);
                    Ok(all)
                };
                found.extend(held(cache, &item, look)?.unwrap_or_default());
            }
            Kind::Containers => {
                let look = || files_by_digest(cache, &item, "blobs", "part of a container image", control);
                found.extend(held(cache, &item, look)?.unwrap_or_default());
            }
            Kind::Artifacts => {
                let look = || files_by_digest(cache, &item, "files", "artifact", control);
                found.extend(held(cache, &item, look)?.unwrap_or_default());
            }
            Kind::Mirror => {
                let look = || match item.unusable {
                    true => Ok(Some("its record is missing".to_owned())),
                    false => mirrors::damage(&item.path, control),
                };
                if let Some(damage) = held(cache, &item, look)? {
                    found.push(judge(cache, item, damage)?);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Reads and hashes bases: those with the digests in `only`, or all of them. What is damaged is set aside.
///
/// # Errors
/// When the cache cannot be read.
pub fn audit_bases(
    cache: &Cache,
    only: Option<&[Digest]>,
    control: &Control,
) -> Result<Vec<Audited>, CacheError> {
    let wanted = |item: &CacheItem| {
        let listed = |only: &[Digest]| Digest::parse(&item.name).is_some_and(|digest| only.contains(&digest));
        item.kind == Kind::Base && only.is_none_or(listed)
    };
    let mut found = Vec::new();
    for item in inventory(cache)?.into_iter().filter(wanted) {
        if let Some(damage) = held(cache, &item, || base_damage(&item, cache, control))? {
            found.push(judge(cache, item, damage)?);
        }
    }
    Ok(found)
}

/// Looks at something while nobody may remove it; `None` if somebody has, or is about to.
fn held<T>(
    cache: &Cache,
    item: &CacheItem,
    look: impl FnOnce() -> Result<T, CacheError>,
) -> Result<Option<T>, CacheError> {
    let Some(name) = item.lock() else { return look().map(Some) };
    let Some(_lock) = FileLock::try_shared(&cache.lock_path(&name))? else { return Ok(None) };
    if item.path.exists() { look().map(Some) } else { Ok(None) }
}

fn judge(cache: &Cache, item: CacheItem, damage: Option<String>) -> Result<Audited, CacheError> {
    let set_aside = if damage.is_some() { set_aside(cache, &item)? } else { None };
    Ok(Audited { kind: item.kind, name: item.name, about: item.about, damage, set_aside })
}

fn base_damage(item: &CacheItem, cache: &Cache, control: &Control) -> Result<Option<String>, CacheError> {
    let digest = Digest::parse(&item.name);
    match digest.map(|digest| bases::record(cache, digest)).transpose()?.flatten() {
        Some((record, disk)) if record.state(&disk) != State::Damaged => {
            hash_damage(&disk, &item.name, &item.about, control)
        }
        _ => Ok(Some("its length is wrong, or its record is missing".to_owned())),
    }
}

fn hash_damage(
    path: &Path,
    name: &str,
    about: &str,
    control: &Control,
) -> Result<Option<String>, CacheError> {
    let total = fs_err::metadata(path).map_err(CacheError::io("read", path))?.len();
    let what = format!("hashing {about}");
    let digest =
        files::hash(path, &control.cancel, &mut |done| control.events.progress(&what, done, Some(total)))?;
    Ok((digest.to_string() != name).then(|| format!("its SHA-256 is {digest}")))
}

/// A layer is as good as what it lies on: that it was made upon other bytes is damage as well.
fn layer_damage(item: &CacheItem, cache: &Cache, control: &Control) -> Result<Option<String>, CacheError> {
    let Some(digest) = Digest::parse(&item.name) else {
        return Ok(Some("its name is no digest".to_owned()));
    };
    let standing = cache.standing(digest)?;
    if standing.problem.is_some() {
        return Ok(standing.problem);
    }
    let sha256 = standing.sha256.map(|sha256| sha256.to_string()).unwrap_or_default();
    hash_damage(&item.path.join(layers::DISK), &sha256, &item.about, control)
}

/// Files that are named by their digests, in a directory of something.
fn files_by_digest(
    cache: &Cache,
    item: &CacheItem,
    directory: &str,
    what: &str,
    control: &Control,
) -> Result<Vec<Audited>, CacheError> {
    let mut found = Vec::new();
    for path in entries(&item.path.join(directory))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let about = format!("{what} {}", name.get(..12).unwrap_or(&name));
        let damage = hash_damage(&path, &name, &about, control)?;
        // Nobody holds one for long: what is missing is fetched again.
        let set_aside = if damage.is_some() { Some(move_aside(cache, &path)?) } else { None };
        found.push(Audited { kind: item.kind, name, about, damage, set_aside });
    }
    Ok(found)
}

/// Takes something damaged out of the way, so that it is made or fetched again; `None` if somebody uses it.
pub(crate) fn set_aside(cache: &Cache, item: &CacheItem) -> Result<Option<PathBuf>, CacheError> {
    let Some(name) = item.lock() else { return Ok(None) };
    let Some(_lock) = FileLock::try_exclusive(&cache.lock_path(&name))? else { return Ok(None) };
    move_aside(cache, &item.path).map(Some)
}

/// Moves a file or directory to `damaged/`, under a name that is free there.
pub(crate) fn move_aside(cache: &Cache, path: &Path) -> Result<PathBuf, CacheError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let directory = cache.directory(Bucket::Damaged);
    let mut number = 0;
    let target = loop {
        let target = directory.join(format!("{name}-{}-{number}", std::process::id()));
        if !target.exists() {
            break target;
        }
        number += 1;
    };
    files::publish(path, &target)?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::LockName;
    use crate::cache::Origin;
    use crate::cache::bases::BaseMeta;
    use crate::cancel::Cancel;
    use crate::disk::Format;

    fn cache_with_base(content: &[u8]) -> (tempfile::TempDir, Cache, Digest) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
        let work = cache.work().unwrap();
        let staged = work.path().join("base");
        fs_err::create_dir(&staged).unwrap();
        fs_err::write(staged.join("disk.raw"), content).unwrap();
        let digest = Digest::of(content);
        let origin = Origin::File { name: "x.raw".into(), sha256: digest };
        bases::store(
            &cache,
            &work,
            &staged,
            digest,
            &BaseMeta { format: Format::Raw, virtual_size: 512, origin },
        )
        .unwrap();
        drop(work);
        (dir, cache, digest)
    }

    fn find(cache: &Cache, digest: Digest) -> Option<bases::Base> {
        bases::find(cache, digest, None, &Control::none()).unwrap()
    }

    fn run(cache: &Cache) -> Vec<Audited> {
        audit(cache, &Control::none()).unwrap()
    }

    fn run_bases(cache: &Cache, only: &[Digest]) -> Vec<Audited> {
        audit_bases(cache, Some(only), &Control::none()).unwrap()
    }

    #[test]
    fn good_ones_stay_and_damaged_ones_are_set_aside() {
        let (_dir, cache, digest) = cache_with_base(b"content");
        let wheel = |content: &[u8]| {
            let wheels = cache.directory(Bucket::Agents).join("wheels");
            fs_err::create_dir_all(&wheels).unwrap();
            fs_err::write(wheels.join(format!("{}.whl", Digest::of(b"wheel"))), content).unwrap();
        };
        let part = |content: &[u8]| {
            let parts = cache.directory(Bucket::Containers).join("blobs");
            fs_err::create_dir_all(&parts).unwrap();
            fs_err::write(parts.join(Digest::of(b"part").to_string()), content).unwrap();
        };
        wheel(b"wheel");
        part(b"part");
        let good = run(&cache);
        let kinds: Vec<_> = good.iter().map(|found| found.kind).collect();
        assert_eq!(kinds, [Kind::Base, Kind::Agents, Kind::Containers]);
        assert!(good.iter().all(|found| found.damage.is_none() && found.set_aside.is_none()), "{good:?}");

        // As long as before: only the digest tells.
        fs_err::write(cache.base(digest).join("disk.raw"), b"contenT").unwrap();
        wheel(b"wheeL");
        part(b"parT");
        let bad = run(&cache);
        let aside: Vec<_> = bad.iter().map(|found| found.set_aside.clone().unwrap()).collect();
        assert!(aside.iter().all(|path| path.exists() && path.starts_with(cache.directory(Bucket::Damaged))));
        assert!(find(&cache, digest).is_none());
        assert_eq!(run(&cache), [], "and it is no longer there");
    }

    #[test]
    fn what_is_being_removed_is_left_alone() {
        let (_dir, cache, digest) = cache_with_base(b"content");
        let name = cache.lock_path(&LockName::Base(digest));
        let removing = FileLock::try_exclusive(&name).unwrap().unwrap();
        assert_eq!(run(&cache), []);
        drop(removing);
        assert_eq!(run(&cache).len(), 1);
    }

    /// It cannot be set aside while somebody uses it; what is made upon it is no better for that.
    #[test]
    fn layers_on_a_damaged_base_are_damaged_even_where_the_base_stays() {
        let (_dir, cache, digest) = cache_with_base(&[7; 512]);
        let work = cache.work().unwrap();
        let overlay = work.path().join("disk.qcow2");
        let below = format!("../../bases/{digest}/disk.raw");
        crate::disk::create_overlay(&overlay, &below, Format::Raw, 512).unwrap();
        let meta = crate::cache::LayerMeta {
            stage: "system".into(),
            recipe: "r".into(),
            before: digest,
            base: digest,
            parent: digest,
            tib: "0".into(),
            created: 0,
        };
        cache.store_layer(Digest::of(b"layer"), &overlay, &meta, &Cancel::new()).unwrap().unwrap();
        assert!(run(&cache).iter().all(|found| found.damage.is_none()));
        let _used = find(&cache, digest).unwrap();
        let disk = cache.base(digest).join("disk.raw");
        let time = fs_err::metadata(&disk).unwrap().modified().unwrap();
        fs_err::write(&disk, [8; 512]).unwrap();
        std::fs::File::options().write(true).open(&disk).unwrap().set_modified(time).unwrap();
        let damaged: Vec<_> =
            run(&cache).into_iter().map(|found| (found.kind, found.damage.is_some())).collect();
        assert_eq!(damaged, [(Kind::Base, true), (Kind::Layer, true)]);
    }

    #[test]
    fn one_in_use_stays_and_is_told_of() {
        let (_dir, cache, digest) = cache_with_base(b"content");
        let used = find(&cache, digest).unwrap();
        fs_err::write(cache.base(digest).join("disk.raw"), b"contenT").unwrap();
        let found = run_bases(&cache, &[digest]);
        assert!(found[0].damage.is_some() && found[0].set_aside.is_none(), "{found:?}");
        assert!(used.path.exists());
        assert_eq!(run_bases(&cache, &[Digest::of(b"other")]), []);
    }
}
