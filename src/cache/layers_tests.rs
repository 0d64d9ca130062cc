use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::cache::Origin;
use crate::cache::{Bucket, Limits, LockName, audit, collect};
use crate::disk::{Format, create_overlay};
use crate::event::testing::Notes;

const SIZE: u64 = 1 << 20;
const BASE: &[u8] = &[7; SIZE as usize];

/// A cache, and a builder that fills it as a build does, without a guest: stages write random bytes. It remembers which
/// bytes were made upon which.
struct World {
    _dir: tempfile::TempDir,
    cache: Cache,
    events: Events,
    notes: Notes,
    made: u64,
    upon: HashMap<Digest, Digest>,
    kept: HashMap<usize, PathBuf>,
}

/// Stages of two recipes; the first is the same for both. Numbers are indices of [`digest`].
const RECIPES: [[usize; 4]; 2] = [[0, 1, 2, 3], [0, 4, 5, 6]];
const LAYERS: usize = 7;

fn digest(layer: usize) -> Digest {
    Digest::of(&[u8::try_from(layer).unwrap()])
}

fn sha256(path: &Path) -> Digest {
    Digest::of(&fs_err::read(path).unwrap())
}

impl World {
    fn new() -> Self {
        // In memory where that is possible: everything is synced all the time.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(parent).unwrap();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        let notes = Notes::default();
        let events = Events::new(notes.clone());
        Self { _dir: dir, cache, events, notes, made: 0, upon: HashMap::new(), kept: HashMap::new() }
    }

    fn layer(&self, layer: usize) -> Option<Layer> {
        self.cache.layer(digest(layer), &Control::new(self.events.clone(), Cancel::new())).unwrap()
    }

    fn dir(&self, layer: usize) -> PathBuf {
        self.cache.entry(Bucket::Layers, digest(layer))
    }

    fn disk(&self, layer: usize) -> PathBuf {
        self.dir(layer).join(DISK)
    }

    /// The base, made anew if it is no good.
    fn base(&self) -> bases::Base {
        let digest = Digest::of(BASE);
        if let Some(base) =
            bases::find(&self.cache, digest, None, &Control::new(self.events.clone(), Cancel::new())).unwrap()
        {
            return base;
        }
        let work = self.cache.work().unwrap();
        let staged = work.path().join("base");
        fs_err::create_dir(&staged).unwrap();
        fs_err::write(staged.join("disk.raw"), BASE).unwrap();
        let origin = Origin::File { name: "x".into(), sha256: digest };
        let meta = bases::BaseMeta { format: Format::Raw, virtual_size: SIZE, origin };
        bases::store(&self.cache, &work, &staged, digest, &meta).unwrap()
    }

    /// What a build does: takes the newest layer there is, and makes those after it in one session.
    fn build(&mut self, stages: &[usize]) -> Layer {
        let base = self.base();
        let found = stages.iter().enumerate().rev().find_map(|(at, layer)| Some((at, self.layer(*layer)?)));
        let (first, below, format, parent) = match &found {
            Some((at, layer)) => (at + 1, layer.path.clone(), Format::Qcow2, layer.sha256),
            None => (0, base.path.clone(), Format::Raw, base.digest),
        };
        if first == stages.len() {
            return found.unwrap().1;
        }
        let work = self.cache.work().unwrap();
        let overlay = work.path().join(DISK);
        let backing = format!("../../{}", below.strip_prefix(self.cache.root()).unwrap().display());
        create_overlay(&overlay, &backing, format, SIZE).unwrap();
        let mut last = None;
        for layer in &stages[first..] {
            self.made += 1;
            let mut file = fs_err::OpenOptions::new().append(true).open(&overlay).unwrap();
            file.write_all(&self.made.to_be_bytes().repeat(8192)).unwrap();
            let meta = LayerMeta {
                stage: format!("stage {layer}"),
                recipe: "r".into(),
                before: base.digest,
                base: base.digest,
                parent,
                tib: "0".into(),
                created: 0,
            };
            self.upon.insert(sha256(&overlay), parent);
            last = self.cache.store_layer(digest(*layer), &overlay, &meta, &Cancel::new()).unwrap();
        }
        last.expect("nobody else uses it")
    }

    /// Fails unless each file of a layer's chain lies upon the very bytes that it was made upon.
    fn assert_sound(&self, layer: &Layer) {
        let mut path = layer.path.clone();
        loop {
            let found = sha256(&path);
            let Some(parent) = self.upon.get(&found) else {
                assert_eq!(found, Digest::of(BASE), "{} holds what nobody made", path.display());
                return;
            };
            let chain = disk::gate(&path, &Policy::within(self.cache.root())).unwrap();
            path.clone_from(&chain.backing[0].path);
            assert_eq!(sha256(&path), *parent, "{} is not what was made upon it", path.display());
        }
    }

    fn do_to(&mut self, action: &Action) {
        match action {
            Action::Build(recipe) => {
                let top = self.build(&RECIPES[*recipe]);
                self.assert_sound(&top);
            }
            Action::Damage(layer, damage) => damage.apply(&self.disk(*layer)),
            Action::DamageBase(damage) => {
                damage.apply(&self.cache.base(Digest::of(BASE)).join("disk.raw"));
            }
            Action::Remove(layer) => {
                let _ = fs_err::remove_dir_all(self.dir(*layer));
            }
            Action::Keep(layer) => {
                let copy = self._dir.path().join(format!("kept-{layer}"));
                let _ = fs_err::remove_dir_all(&copy);
                self.kept.remove(layer);
                if self.disk(*layer).exists() && self.dir(*layer).join(META).exists() {
                    fs_err::create_dir(&copy).unwrap();
                    for file in [DISK, META] {
                        fs_err::copy(self.dir(*layer).join(file), copy.join(file)).unwrap();
                    }
                    self.kept.insert(*layer, copy);
                }
            }
            Action::PutBack(layer) => {
                if let Some(kept) = self.kept.remove(layer) {
                    let _ = fs_err::remove_dir_all(self.dir(*layer));
                    fs_err::rename(kept, self.dir(*layer)).unwrap();
                }
            }
            Action::Collect => {
                let limits = Limits { unused_for: Duration::from_secs(86400), max_size: None };
                collect(&self.cache, &limits, false, &Control::new(self.events.clone(), Cancel::new()))
                    .unwrap();
            }
            Action::CollectTo(bytes) => {
                let limits = Limits {
                    unused_for: Duration::from_secs(86400),
                    max_size: Some(u64::from(*bytes) << 18),
                };
                collect(&self.cache, &limits, false, &Control::new(self.events.clone(), Cancel::new()))
                    .unwrap();
            }
            Action::Verify => {
                audit(&self.cache, &Control::new(self.events.clone(), Cancel::new())).unwrap();
                let again = audit(&self.cache, &Control::new(self.events.clone(), Cancel::new())).unwrap();
                assert!(again.iter().all(|found| found.damage.is_none()), "{again:?}");
            }
        }
        for layer in 0..LAYERS {
            if let Some(layer) = self.layer(layer) {
                self.assert_sound(&layer);
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Cut,
    Flip(u16),
    RemoveDisk,
    RemoveRecord,
    GarbleRecord,
}

impl Damage {
    fn apply(self, disk: &Path) {
        let record = disk.with_file_name(META);
        let Ok(mut content) = fs_err::read(disk) else { return };
        match self {
            Self::Cut => fs_err::write(disk, &content[..content.len() / 2]).unwrap(),
            Self::Flip(place) => {
                let at = usize::from(place) % content.len();
                content[at] ^= 0x55;
                fs_err::write(disk, content).unwrap();
                later(disk);
            }
            Self::RemoveDisk => fs_err::remove_file(disk).unwrap(),
            Self::RemoveRecord => drop(fs_err::remove_file(record)),
            Self::GarbleRecord => fs_err::write(record, "{").unwrap(),
        }
    }
}

/// The clock of a file system ticks a few times in a hundredth of a second, and a test does more in that time.
fn later(path: &Path) {
    let file = fs_err::OpenOptions::new().append(true).open(path).unwrap();
    file.file().set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
}

#[derive(Debug, Clone)]
enum Action {
    Build(usize),
    Damage(usize, Damage),
    DamageBase(Damage),
    Remove(usize),
    /// Copies a layer's directory to somewhere else, as `cache verify` does with a damaged one.
    Keep(usize),
    /// Puts the copy in the place of whatever is there.
    PutBack(usize),
    Collect,
    CollectTo(u8),
    Verify,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Cut),
        any::<u16>().prop_map(Damage::Flip),
        Just(Damage::RemoveDisk),
        Just(Damage::RemoveRecord),
        Just(Damage::GarbleRecord),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => (0..2usize).prop_map(Action::Build),
        3 => (0..LAYERS, damage()).prop_map(|(layer, damage)| Action::Damage(layer, damage)),
        1 => damage().prop_map(Action::DamageBase),
        2 => (0..LAYERS).prop_map(Action::Remove),
        1 => (0..LAYERS).prop_map(Action::Keep),
        1 => (0..LAYERS).prop_map(Action::PutBack),
        1 => Just(Action::Collect),
        1 => any::<u8>().prop_map(Action::CollectTo),
        1 => Just(Action::Verify),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever happens to a cache, a layer that is handed out lies upon what it was made upon.
    #[test]
    fn no_layer_lies_on_other_bytes_than_it_was_made_on(actions in proptest::collection::vec(action(), 1..16)) {
        let mut world = World::new();
        world.build(&RECIPES[0]);
        for action in actions {
            world.do_to(&action);
        }
        world.do_to(&Action::Build(0));
        world.do_to(&Action::Build(1));
    }
}

/// The order in which it was first seen: damage below, another recipe that mends it, and the first one again.
#[test]
fn what_another_recipe_made_again_is_not_below_what_was_made_before() {
    let mut world = World::new();
    let top = world.build(&RECIPES[0][..1]);
    drop(top);
    let top = world.build(&RECIPES[0]);
    assert_ne!(top.meta.parent, top.meta.base, "it lies on a layer");
    drop(top);
    Damage::Cut.apply(&world.disk(0));
    assert!(world.layer(3).is_none());
    drop(world.build(&RECIPES[1]));
    assert!(world.layer(0).is_some() && world.layer(3).is_none());
    let told = world.notes.take();
    let expected = format!("layer {} is made again: {OTHER_BYTES}", digest(3).short());
    assert!(told.contains(&expected), "{told:?}");
    let items = crate::cache::inventory(&world.cache).unwrap();
    let unusable: Vec<_> = items.iter().filter(|item| item.unusable).map(|item| &*item.about).collect();
    assert_eq!(unusable.len(), 3, "{unusable:?}");
    let found = audit(&world.cache, &Control::new(world.events.clone(), Cancel::new())).unwrap();
    let damaged = found.iter().filter(|found| found.damage.as_deref() == Some(OTHER_BYTES));
    assert_eq!(damaged.count(), 3, "{found:?}");
    let top = world.build(&RECIPES[0]);
    world.assert_sound(&top);
}

#[test]
fn one_that_was_only_touched_is_read_once_and_used() {
    let mut world = World::new();
    drop(world.build(&RECIPES[0]));
    later(&world.disk(3));
    let record = || Record::<LayerMeta>::read(&world.dir(3)).unwrap().unwrap();
    assert_eq!(record().state(&world.disk(3)), State::Touched);
    assert!(world.layer(3).is_some());
    assert_eq!(record().state(&world.disk(3)), State::Untouched);
    later(&world.cache.base(Digest::of(BASE)).join("disk.raw"));
    assert!(world.layer(3).is_some(), "{:?}", world.notes.take());
}

#[test]
fn records_of_an_older_tib_are_not_trusted_for_layers_and_are_completed_for_bases() {
    let mut world = World::new();
    drop(world.build(&RECIPES[0]));
    let edit = |path: &Path, gone: &[&str]| {
        let text = fs_err::read(path.join(META)).unwrap();
        let mut record: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&text).unwrap();
        record.retain(|key, _| !gone.contains(&key.as_str()));
        fs_err::write(path.join(META), serde_json::to_vec(&record).unwrap()).unwrap();
    };
    let base = world.cache.base(Digest::of(BASE));
    edit(&base, &["sha256", "modified"]);
    assert!(world.layer(3).is_some(), "its name says what it holds");
    let (record, disk) = bases::record(&world.cache, Digest::of(BASE)).unwrap().unwrap();
    assert_eq!((record.sha256, record.state(&disk)), (Some(Digest::of(BASE)), State::Untouched));
    for gone in ["sha256", "parent"] {
        edit(&world.dir(3), &[gone]);
        assert!(world.layer(3).is_none(), "{gone}");
        drop(world.build(&RECIPES[0]));
        assert!(world.layer(3).is_some(), "{gone}");
    }
}

#[test]
fn one_in_use_is_neither_removed_nor_replaced_nor_is_what_is_below_it() {
    let mut world = World::new();
    drop(world.build(&RECIPES[0][..2]));
    let top = world.build(&RECIPES[0]);
    for layer in [1, 3] {
        let lock = world.cache.lock_path(&LockName::Layer(digest(layer)));
        assert!(FileLock::try_exclusive(&lock).unwrap().is_none(), "{layer}");
    }
    let base = world.cache.lock_path(&LockName::Base(Digest::of(BASE)));
    assert!(FileLock::try_exclusive(&base).unwrap().is_none());
    // It turns out to be no good while it is read, and somebody makes it again.
    Damage::GarbleRecord.apply(&top.path);
    let from = world._dir.path().join("overlay");
    fs_err::copy(&top.path, &from).unwrap();
    let store = |world: &World| world.cache.store_layer(digest(3), &from, &top.meta, &Cancel::new()).unwrap();
    assert!(store(&world).is_none());
    drop(top.clone());
    assert!(store(&world).is_none(), "a clone uses it as well");
    let meta = top.meta.clone();
    drop(top);
    let stored = world.cache.store_layer(digest(3), &from, &meta, &Cancel::new()).unwrap();
    assert!(stored.is_some());
    drop(stored);
    let _removing =
        FileLock::try_exclusive(&world.cache.lock_path(&LockName::Layer(digest(3)))).unwrap().unwrap();
    assert!(world.layer(3).is_none(), "one that is being removed is not handed out");
}

#[test]
fn the_first_one_stays() {
    let mut world = World::new();
    let first = world.build(&RECIPES[0]);
    let (bytes, from) = (sha256(&first.path), world._dir.path().join("other"));
    fs_err::write(&from, "other").unwrap();
    let again = world.cache.store_layer(digest(3), &from, &first.meta, &Cancel::new()).unwrap().unwrap();
    assert_eq!((again.sha256, sha256(&again.path)), (bytes, bytes));
    assert_eq!(first.path.strip_prefix(world.cache.root()).unwrap().components().count(), 3);
}
