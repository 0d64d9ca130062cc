//! What the cache keeps of agents: wheels by their hash, resolutions, finished trees.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::AgentFile;
use super::error::AgentError;
use super::metadata;
use super::pip::HostEnv;
use super::spec::hash_file;
use super::wheel::Wheel;
use crate::cache::Bucket;
use crate::cache::Cache;
use crate::clock::now;
use crate::digest::Digest;

/// The format of [`Lock`]; another one is as good as none.
const FORMAT: u32 = 1;
/// How long a resolution is used without asking the index again.
const FRESH: Duration = Duration::from_secs(600);
/// Variables that decide what the index answers.
const INDEX: [&str; 7] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_PRE",
    "PIP_CONSTRAINT",
    "PIP_CONFIG_FILE",
];

/// What a request was resolved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lock {
    format: u32,
    /// Seconds since 1970.
    resolved: u64,
    /// Digest of the index' address, which may contain a password.
    index: Digest,
    pub(crate) name: String,
    pub(crate) version: String,
    /// By name.
    pub(crate) files: Vec<AgentFile>,
}

impl Lock {
    pub(crate) fn new(name: String, version: String, files: Vec<AgentFile>, env: &HostEnv) -> Self {
        Self { format: FORMAT, resolved: now(), index: index(env), name, version, files }
    }

    /// Young enough, and from the index that would be asked now.
    pub(crate) fn is_fresh(&self, env: &HostEnv) -> bool {
        let age = now().checked_sub(self.resolved);
        self.index == index(env) && age.is_some_and(|age| age < FRESH.as_secs())
    }

    /// One line per wheel.
    pub(crate) fn digest_text(&self) -> String {
        self.files
            .iter()
            .map(|file| format!("{} {} {}\n", file.sha256, u8::from(file.requested), file.file))
            .collect()
    }
}

fn index(env: &HostEnv) -> Digest {
    let text: Vec<_> = INDEX.iter().map(|key| format!("{key}={:?}", env.get(key))).collect();
    Digest::of(text.join("\n").as_bytes())
}

/// The directories below `<cache>/agents`.
#[derive(Debug)]
pub(crate) struct Store {
    wheels: PathBuf,
    locks: PathBuf,
    constraints: PathBuf,
    pub(crate) trees: PathBuf,
}

impl Store {
    pub(crate) fn open(cache: &Cache) -> Result<Self, AgentError> {
        let root = cache.directory(Bucket::Agents);
        let of = |name: &str| root.join(name);
        let store = Self {
            wheels: of("wheels"),
            locks: of("locks"),
            constraints: of("constraints"),
            trees: of("trees"),
        };
        for directory in [&store.wheels, &store.locks, &store.constraints, &store.trees] {
            fs::create_dir_all(directory).map_err(AgentError::io("create", directory))?;
        }
        Ok(store)
    }

    /// Where the wheel with this hash is, or would be.
    pub(crate) fn wheel(&self, sha256: Digest) -> PathBuf {
        self.wheels.join(format!("{sha256}.whl"))
    }

    /// Where fetched constraints with this hash are, or would be.
    pub(crate) fn constraints(&self, sha256: Digest) -> PathBuf {
        self.constraints.join(format!("{sha256}.txt"))
    }

    /// Where it stands which constraints a URL had last.
    pub(crate) fn constraints_note(&self, url: &str) -> PathBuf {
        self.locks.join(format!("constraints-{}.json", Digest::of(url.as_bytes())))
    }

    /// Writes a file under a temporary name, and renames.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), AgentError> {
        write(path, |file| std::io::Write::write_all(file, bytes))
    }

    fn lock_path(&self, key: Digest) -> PathBuf {
        self.locks.join(format!("{key}.json"))
    }

    /// An earlier resolution. A damaged or older one counts as none.
    pub(crate) fn lock(&self, key: Digest) -> Option<Lock> {
        let lock: Lock = serde_json::from_slice(&fs::read(self.lock_path(key)).ok()?).ok()?;
        (lock.format == FORMAT).then_some(lock)
    }

    pub(crate) fn save_lock(&self, key: Digest, lock: &Lock) -> Result<(), AgentError> {
        write_json(&self.lock_path(key), lock)
    }

    /// File names of the wheels of `lock` that the cache does not hold.
    pub(crate) fn missing(&self, lock: &Lock) -> Vec<String> {
        let lacks = |file: &&super::store::AgentFile| {
            !fs::metadata(self.wheel(file.sha256)).is_ok_and(|status| status.len() == file.size)
        };
        lock.files.iter().filter(lacks).map(|file| file.file.clone()).collect()
    }

    /// Takes the wheels in `directory` into the store, each checked. Returns them by name, with what each requires.
    pub(crate) fn take(&self, directory: &Path) -> Result<Vec<(AgentFile, Vec<String>)>, AgentError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(AgentError::io("read", directory))? {
            let entry = entry.map_err(AgentError::io("read", directory))?;
            let (path, file) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let metadata = Wheel::open(&path, &file)?.metadata;
            let (sha256, size) = hash_file(&path)?;
            let (name, version) = (metadata.name, metadata.version);
            files
                .push((AgentFile { file, name, version, sha256, size, requested: false }, metadata.requires));
            let target = self.wheel(sha256);
            fs::File::open(&path).and_then(|file| file.sync_all()).map_err(AgentError::io("write", &path))?;
            fs::rename(&path, &target).map_err(AgentError::io("rename", &path))?;
        }
        files.sort_by_key(|(file, _)| metadata::canonical(&file.name));
        Ok(files)
    }
}

/// Writes JSON under a temporary name, and renames.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), AgentError> {
    write(path, |file| serde_json::to_writer_pretty(file, value).map_err(Into::into))
}

fn write(
    path: &Path,
    fill: impl FnOnce(&mut tempfile::NamedTempFile) -> std::io::Result<()>,
) -> Result<(), AgentError> {
    let error = |source: std::io::Error| AgentError::Io { action: "write", path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(error)?;
    fill(&mut file).map_err(error)?;
    file.as_file().sync_all().map_err(error)?;
    file.persist(path).map_err(|persist| error(persist.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(index: &str) -> HostEnv {
        let mut env: Vec<_> = INDEX.iter().map(|key| ((*key).to_owned(), None)).collect();
        env[0].1 = Some(index.to_owned());
        HostEnv(env)
    }

    #[test]
    fn a_resolution_is_fresh_for_its_index_and_a_while() {
        let mut lock = Lock::new("a".to_owned(), "1".to_owned(), Vec::new(), &env("one"));
        assert!(lock.is_fresh(&env("one")));
        assert!(!lock.is_fresh(&env("two")));
        lock.resolved -= FRESH.as_secs();
        assert!(!lock.is_fresh(&env("one")));
        lock.resolved = now() + 60;
        assert!(!lock.is_fresh(&env("one")), "a clock that went back proves nothing");
    }

    #[test]
    fn locks_are_found_again_and_damaged_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path().to_owned())).unwrap();
        let store = Store::open(&cache).unwrap();
        let key = Digest::of(b"key");
        let lock = Lock::new("a".to_owned(), "1".to_owned(), Vec::new(), &HostEnv::default());
        assert_eq!(store.lock(key), None);
        store.save_lock(key, &lock).unwrap();
        assert_eq!(store.lock(key), Some(lock));
        fs::write(store.lock_path(key), "{").unwrap();
        assert_eq!(store.lock(key), None);
    }
}
