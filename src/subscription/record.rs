//! Who is registered where, written down so that a tib that died can be cleaned up after.
//!
//! A record is written as soon as the server has named the consumer, and removed when the server says that it is gone. It is
//! locked while its process lives. It holds the consumer's certificate and key, without which the server would not believe
//! anybody; so only its owner may read it.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::{Bucket, Cache, FileLock, LockName};
use crate::cancel::Cancel;
use crate::control::Control;
use crate::fetch::{self, ClientIdentity, Url};

use super::SubscriptionError;
use super::candlepin::Candlepin;

/// A consumer that a server knows.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) server: String,
    pub(super) uuid: String,
    /// What it is called there.
    pub(super) name: String,
    /// In PEM.
    pub(super) certificate: String,
    /// In PEM.
    pub(super) key: String,
    /// Authorities that the server is trusted by, in PEM.
    pub(super) authorities: String,
}

/// A record on the disk, and the lock that says that somebody lives who minds it.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: FileLock,
}

// What it holds is nobody's business.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("server", &self.server)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How hard unregistering is tried.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effort {
    /// At the end of a build.
    Full,
    /// Somebody wants to go, and ends the process if this takes long.
    Hurried,
    /// For what an earlier run left: nobody waits for it.
    Aside,
}

impl Effort {
    fn options(self, authorities: &str) -> fetch::Options {
        let (connect, stall, retries, longest) = match self {
            Self::Full => (20, 60, 3, 30),
            Self::Hurried => (2, 2, 0, 0),
            Self::Aside => (5, 20, 1, 5),
        };
        let mut options = fetch::Options {
            connect_timeout: Duration::from_secs(connect),
            stall_timeout: Duration::from_secs(stall),
            retries,
            longest_wait: Duration::from_secs(longest),
            ..fetch::Options::default()
        };
        if !authorities.is_empty() {
            options.roots.push(authorities.as_bytes().to_vec());
        }
        options
    }
}

impl Record {
    /// Writes it down. From the return of this on, the consumer does not depend on this process any more.
    pub(super) fn keep(&self, cache: &Cache) -> Result<Kept, SubscriptionError> {
        let directory = cache.directory(Bucket::Consumers);
        fs_err::create_dir_all(&directory).map_err(SubscriptionError::io("create", &directory))?;
        let lock_path = cache.lock_path(&LockName::Consumer(self.uuid.clone()));
        let lock = FileLock::exclusive(&lock_path, "with this consumer", &Control::none())?;
        let path = directory.join(format!("{}.json", self.uuid));
        let staged = directory.join(format!("{}.new", self.uuid));
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&staged)?;
            file.write_all(&serde_json::to_vec(self).map_err(std::io::Error::other)?)?;
            file.sync_all()?;
            std::fs::rename(&staged, &path)?;
            std::fs::File::open(&directory)?.sync_all()
        };
        write().map_err(SubscriptionError::io("write", &path))?;
        Ok(Kept { path, lock_path, _lock: lock })
    }

    /// Tells the server that the consumer is not needed any more.
    pub(super) fn unregister(&self, effort: Effort, control: &Control) -> Result<(), SubscriptionError> {
        let server: Url = self.server.parse().map_err(|_| SubscriptionError::Setting {
            what: "the server",
            problem: "that was written down is no URL".to_owned(),
        })?;
        let identity = ClientIdentity::new(&self.certificate, &self.key);
        let options = effort.options(&self.authorities);
        // Whoever interrupts wants to be rid of everything, this too.
        let control = Control::new(control.events.clone(), Cancel::new());
        Candlepin::new(&server, options, Some(identity), &[], &control)?.unregister(&self.uuid)
    }
}

impl Kept {
    /// Forgets a consumer that the server does not know any more.
    pub(super) fn forget(self) {
        // If it cannot be removed, the next run asks the server again, which then says so.
        let _ = fs_err::remove_file(&self.path);
        let _ = fs_err::remove_file(&self.lock_path);
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Unregisters what tibs that died have left registered. What cannot be unregistered now stays for the next run, with a warning.
///
/// # Errors
/// When the cache cannot be read.
pub fn clean_up(cache: &Cache, control: &Control) -> Result<(), SubscriptionError> {
    let directory = cache.directory(Bucket::Consumers);
    let entries = match fs_err::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SubscriptionError::io("read", directory)(error)),
    };
    for entry in entries {
        let path = entry.map_err(SubscriptionError::io("read", &directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // What was being written when its process died may well be whole.
        let Some(uuid) = name.strip_suffix(".json").or_else(|| name.strip_suffix(".new")) else { continue };
        let lock_path = cache.lock_path(&LockName::Consumer(uuid.to_owned()));
        let Some(lock) = FileLock::try_exclusive(&lock_path)? else { continue };
        let text = match fs_err::read(&path) {
            Ok(text) => text,
            // Somebody else's, in a cache that is shared; or gone meanwhile.
            Err(_) => continue,
        };
        let kept = Kept { path, lock_path, _lock: lock };
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) if is_identifier(&record.uuid) => tidy(&record, kept, control),
            _ => control.events.warning(format!(
                "`{}` should say who is registered where, and makes no sense; remove it when you have looked",
                kept.path().display()
            )),
        }
    }
    Ok(())
}

fn tidy(record: &Record, kept: Kept, control: &Control) {
    match record.unregister(Effort::Aside, control) {
        Ok(()) => {
            kept.forget();
            control.events.note(format!(
                "`{}`, which an earlier run had left registered at `{}`, is unregistered",
                record.name, record.server
            ));
        }
        Err(error) => control.events.warning(format!(
            "`{}` is still registered at `{}` by an earlier run: {}; the next run tries again, by `{}`",
            record.name,
            record.server,
            crate::error::Failure::from(error),
            kept.path().display()
        )),
    }
}

/// Whether it is fit for a file's name and a URL.
pub(super) fn is_identifier(uuid: &str) -> bool {
    (1..=64).contains(&uuid.len()) && uuid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}
