//! Removing what the cache no longer needs.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::inventory::{CacheItem, Kind, entries, inventory};
use super::lock::FileLock;
use super::{Bucket, Cache, CacheError, LockName, files};
use crate::control::Control;
use crate::digest::Digest;

/// What may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What was used within this time stays.
    pub unused_for: Duration,
    /// Of the rest, what was not used for longest goes until all takes no more bytes than this.
    pub max_size: Option<u64>,
}

/// What a collection did, or would do.
#[derive(Debug, Serialize)]
pub struct Collected {
    /// What is gone, in the order in which it went.
    pub removed: Vec<CacheItem>,
    /// What should have gone and is in use.
    pub in_use: Vec<CacheItem>,
    /// Bytes of disk that are free now.
    pub freed: u64,
    /// Bytes of disk that the cache takes now.
    pub left: u64,
}

/// Removes what the limits do not let stay. What a running tib uses stays in any case, with all it is made upon.
/// `rehearse` only says what would go.
///
/// # Errors
/// When the cache cannot be read, or something cannot be removed; what has been removed until then is gone whole.
pub fn collect(
    cache: &Cache,
    limits: &Limits,
    rehearse: bool,
    control: &Control,
) -> Result<Collected, CacheError> {
    let path = cache.lock_path(&LockName::Collection);
    let _alone = FileLock::exclusive(&path, "its collection", control)?;
    let items = inventory(cache)?;
    let total: u64 = items.iter().map(|item| item.bytes).sum();
    let (mut removed, mut in_use) = (Vec::new(), Vec::new());
    // What something that stays is made upon stays too.
    let mut needed: Vec<&str> = Vec::new();
    for index in victims(&items, limits, SystemTime::now()) {
        control.cancel.check()?;
        let item = &items[index];
        if !needed.contains(&item.name.as_str()) && remove(cache, item, rehearse)? {
            removed.push(item.clone());
        } else {
            needed.extend(item.needs.iter().map(String::as_str));
            in_use.push(item.clone());
        }
    }
    let freed = removed.iter().map(|item| item.bytes).sum();
    if !rehearse {
        forget(cache)?;
    }
    Ok(Collected { removed, in_use, freed, left: total - freed })
}

/// Removes one thing unless somebody uses it. It is gone from its place at once and in one piece.
fn remove(cache: &Cache, item: &CacheItem, rehearse: bool) -> Result<bool, CacheError> {
    let _lock = match item.lock() {
        None => None,
        Some(name) => match FileLock::try_exclusive(&cache.lock_path(&name))? {
            None => return Ok(false),
            lock => lock,
        },
    };
    // A build may have come and gone since the cache was looked through, and made something upon it.
    if item.used_since() {
        return Ok(false);
    }
    if !rehearse {
        discard(cache, item)?;
    }
    Ok(true)
}

/// Takes something that is locked by us out of the cache.
fn discard(cache: &Cache, item: &CacheItem) -> Result<(), CacheError> {
    let work = cache.work()?;
    let aside = work.path().join("gone");
    match fs_err::rename(&item.path, &aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(CacheError::io("remove", &item.path)(error));
        }
        _ => {}
    }
    // Everyone expects to find the directory itself.
    if matches!(
        item.kind,
        Kind::Packages | Kind::Agents | Kind::Artifacts | Kind::Containers | Kind::Pip | Kind::Logs
    ) {
        fs_err::create_dir_all(&item.path).map_err(CacheError::io("create", &item.path))?;
    }
    files::remove_tree(&aside).map_err(CacheError::io("remove", &aside))
}

/// Indices of what has to go, each before what it is made upon.
fn victims(items: &[CacheItem], limits: &Limits, now: SystemTime) -> Vec<usize> {
    let index: HashMap<&str, usize> =
        items.iter().enumerate().map(|(i, item)| (item.name.as_str(), i)).collect();
    // Using a layer is using all that is below it.
    let mut used: Vec<SystemTime> = items.iter().map(|item| item.used).collect();
    for item in items.iter().filter(|item| !item.unusable) {
        for below in item.needs.iter().filter_map(|name| index.get(name.as_str())) {
            used[*below] = used[*below].max(item.used);
        }
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    // Whoever stands on more goes first: of two layers on one base, in a chain of equal age, and so on.
    order.sort_by_key(|&i| (!items[i].unusable, used[i], std::cmp::Reverse(items[i].needs.len())));
    let oldest = now.checked_sub(limits.unused_for).unwrap_or(UNIX_EPOCH);
    let mut left: u64 = items.iter().map(|item| item.bytes).sum();
    let mut victims = Vec::new();
    for i in order {
        let too_large = limits.max_size.is_some_and(|max| left > max);
        if items[i].unusable || used[i] < oldest || too_large {
            left -= items[i].bytes;
            victims.push(i);
        }
    }
    victims
}

/// Removes notes that lead to bases which are no longer there.
fn forget(cache: &Cache) -> Result<(), CacheError> {
    for bucket in Bucket::NOTES {
        for path in entries(&cache.directory(bucket))? {
            let note = fs_err::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            let leads_somewhere =
                note.as_ref().and_then(digest_in).is_some_and(|digest| cache.base(digest).is_dir());
            if !leads_somewhere {
                fs_err::remove_file(&path).map_err(CacheError::io("remove", &path))?;
            }
        }
    }
    Ok(())
}

/// Notes are a digest, or an object with one.
fn digest_in(note: &serde_json::Value) -> Option<Digest> {
    note.as_str().or_else(|| note.get("digest")?.as_str()).and_then(Digest::parse)
}

#[cfg(test)]
mod tests {
    use super::super::bases;
    use super::*;
    use crate::cache::bases::BaseMeta;
    use crate::cache::{LayerMeta, Origin};
    use crate::cancel::Cancel;
    use crate::clock::DAY;
    use crate::disk::{self, Format};

    /// `age` in days.
    fn item(name: &str, age: u64, bytes: u64, needs: &[&str]) -> CacheItem {
        CacheItem {
            kind: if needs.is_empty() { Kind::Base } else { Kind::Layer },
            name: name.to_owned(),
            about: String::new(),
            bytes,
            used: UNIX_EPOCH + Duration::from_secs((1000 - age) * DAY),
            unusable: false,
            needs: needs.iter().map(|name| (*name).to_owned()).collect(),
            path: name.into(),
        }
    }

    #[test]
    fn what_goes_and_in_which_order() {
        let chain = || {
            vec![
                item("base", 90, 10, &[]),
                item("low", 90, 10, &["base"]),
                item("top", 5, 10, &["low", "base"]),
                item("old-top", 90, 10, &["low", "base"]),
                item("other", 50, 10, &[]),
            ]
        };
        let mut broken = chain();
        broken[2].unusable = true;
        type Case = (&'static str, Vec<CacheItem>, u64, Option<u64>, &'static [&'static str]);
        let cases: [Case; 6] = [
            ("a used layer keeps what is below it", chain(), 30, None, &["old-top", "other"]),
            ("nothing is too old", chain(), 100, None, &[]),
            (
                "all is too old, from the top down",
                chain(),
                1,
                None,
                &["old-top", "other", "top", "low", "base"],
            ),
            ("the oldest goes until the rest fits", chain(), 100, Some(40), &["old-top"]),
            ("and all of it if need be", chain(), 100, Some(0), &["old-top", "other", "top", "low", "base"]),
            (
                "what nobody can use keeps nothing",
                broken,
                30,
                None,
                &["top", "old-top", "low", "base", "other"],
            ),
        ];
        for (name, items, days, max_size, expected) in cases {
            let limits = Limits { unused_for: Duration::from_secs(days * DAY), max_size };
            let now = UNIX_EPOCH + Duration::from_secs(1000 * DAY);
            let victims: Vec<_> =
                victims(&items, &limits, now).into_iter().map(|i| items[i].name.as_str()).collect();
            assert_eq!(victims, expected, "{name}");
        }
    }

    /// A cache with a base and two layers, one upon the other, which are real images.
    struct Filled {
        _dir: tempfile::TempDir,
        cache: Cache,
        base: Digest,
        low: Digest,
        top: Digest,
    }

    fn fill() -> Filled {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
        let work = cache.work().unwrap();
        let staged = work.path().join("base");
        fs_err::create_dir(&staged).unwrap();
        fs_err::write(staged.join("disk.raw"), vec![1; 1 << 20]).unwrap();
        let origin = Origin::File { name: "x".into(), sha256: Digest::of(b"x") };
        let meta = BaseMeta { format: Format::Raw, virtual_size: 1 << 20, origin };
        let base = bases::store(&cache, &work, &staged, Digest::of(b"base"), &meta).unwrap();
        let layer = |name: &str, below: &str, format, parent| {
            let work = cache.work().unwrap();
            let overlay = work.path().join("disk.qcow2");
            disk::create_overlay(&overlay, below, format, 1 << 20).unwrap();
            let meta = LayerMeta {
                stage: name.into(),
                recipe: "r".into(),
                before: base.digest,
                base: base.digest,
                parent,
                tib: "0".into(),
                created: 0,
            };
            let stored = cache.store_layer(Digest::of(name.as_bytes()), &overlay, &meta, &Cancel::new());
            stored.unwrap().unwrap().sha256
        };
        let parent = layer("low", &format!("../../bases/{}/disk.raw", base.digest), Format::Raw, base.digest);
        layer("top", &format!("../../layers/{}/disk.qcow2", Digest::of(b"low")), Format::Qcow2, parent);
        let (base, low, top) = (base.digest, Digest::of(b"low"), Digest::of(b"top"));
        Filled { _dir: dir, cache, base, low, top }
    }

    fn layer(cache: &Cache, digest: Digest) -> Option<crate::cache::Layer> {
        cache.layer(digest, &Control::none()).unwrap()
    }

    const ALL: Limits = Limits { unused_for: Duration::ZERO, max_size: None };

    fn run(cache: &Cache, rehearse: bool) -> (Vec<String>, Vec<String>) {
        let collected = collect(cache, &ALL, rehearse, &Control::none()).unwrap();
        let names = |items: &[CacheItem]| items.iter().map(|item| item.about.clone()).collect::<Vec<_>>();
        (names(&collected.removed), names(&collected.in_use))
    }

    #[test]
    fn all_goes_from_the_top_down_and_a_rehearsal_removes_nothing() {
        let filled = fill();
        let expected = ["top of r", "low of r", "file x"];
        assert_eq!(run(&filled.cache, true).0, expected);
        assert_eq!(run(&filled.cache, false).0, expected);
        assert_eq!(inventory(&filled.cache).unwrap(), []);
        assert!(layer(&filled.cache, filled.top).is_none());
    }

    #[test]
    fn what_is_in_use_stays_with_all_below_it() {
        let filled = fill();
        let low = layer(&filled.cache, filled.low).unwrap();
        let (removed, in_use) = run(&filled.cache, false);
        assert_eq!(
            (removed, in_use),
            (vec!["top of r".into()], vec!["low of r".to_owned(), "file x".into()])
        );
        assert!(low.path.exists() && filled.cache.base(filled.base).is_dir());
    }

    /// Stages of one build are all made upon the base, so the newest needs none of the others.
    #[test]
    fn what_a_build_skips_is_in_use_as_well() {
        let filled = fill();
        let meta = filled.cache.entry(Bucket::Layers, filled.low).join("meta.json");
        let long_ago = SystemTime::now() - Duration::from_secs(100 * DAY);
        let age = || fs_err::metadata(&meta).unwrap().modified().unwrap().elapsed().unwrap();
        std::fs::File::options().write(true).open(&meta).unwrap().set_modified(long_ago).unwrap();
        assert!(filled.cache.touch_layer(filled.low));
        assert!(age() < Duration::from_secs(DAY));
        assert!(!filled.cache.touch_layer(Digest::of(b"never made")));
    }

    #[test]
    fn a_layer_whose_base_is_gone_goes_whatever_its_age() {
        let filled = fill();
        fs_err::remove_dir_all(filled.cache.base(filled.base)).unwrap();
        let keep = Limits { unused_for: Duration::from_secs(DAY), max_size: None };
        let collected = collect(&filled.cache, &keep, false, &Control::none()).unwrap();
        assert_eq!(collected.removed.len(), 2);
        assert_eq!(collected.left, 0);
    }

    #[test]
    fn shelves_and_notes() {
        let filled = fill();
        let cache = &filled.cache;
        fs_err::write(cache.directory(Bucket::Apt).join("x.deb"), "x").unwrap();
        fs_err::write(cache.directory(Bucket::Logs).join("x.log"), "x").unwrap_err();
        let work = cache.work().unwrap();
        cache.write_note(&work, Bucket::Catalogue, "known", &filled.base).unwrap();
        cache.write_note(&work, Bucket::Catalogue, "gone", &Digest::of(b"gone")).unwrap();
        drop(work);
        let used = cache.use_shelves(&Control::none()).unwrap();
        let base = bases::find(cache, filled.base, None, &Control::none()).unwrap().unwrap();
        let (_, in_use) = run(cache, false);
        assert!(in_use.contains(&"package indexes and packages".to_owned()), "{in_use:?}");
        assert!(cache.directory(Bucket::Apt).join("x.deb").exists());
        let notes = entries(&cache.directory(Bucket::Catalogue)).unwrap();
        assert!(notes.len() == 1 && notes[0].ends_with("known.json"), "{notes:?}");
        drop((used, base));
        run(cache, false);
        assert!(
            cache.directory(Bucket::Apt).is_dir()
                && entries(&cache.directory(Bucket::Apt)).unwrap().is_empty()
        );
        assert_eq!(entries(&cache.directory(Bucket::Catalogue)).unwrap().len(), 0);
    }
}
