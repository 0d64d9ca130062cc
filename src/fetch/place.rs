//! The directory of one download, which outlives the process if it is interrupted.
//!
//! `data` holds the bytes as served, `disk` the result, and `state.json` says how much of `data` may be relied on.
//! The order of writing is what makes this safe: the state is removed before `data` is emptied, and it is written after
//! the bytes it tells of. A process that is killed at any moment leaves a state that promises too little, never too
//! much. After a power failure it may promise too much; so nothing is resumed without a digest to compare with.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FetchError, Request, Retrieved};
use crate::trust::checksum::Checksum;

/// A directory that belongs to one download alone.
#[derive(Debug, Clone)]
pub(crate) struct Place(PathBuf);

/// What is remembered of an unfinished download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The digest that was expected.
    pub(crate) expected: Checksum,
    /// Where the bytes come from.
    pub(crate) from: Retrieved,
    /// How many there are in all, if known.
    pub(crate) total: Option<u64>,
    /// How many from the start have been written.
    pub(crate) have: u64,
}

impl Place {
    /// Opens the directory, making it if there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, FetchError> {
        fs_err::create_dir_all(path).map_err(FetchError::io("create", path))?;
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.0.join("disk")
    }

    fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// Opens `data` for `request`, together with what an earlier run has left in it. What cannot be used is removed.
    pub(crate) fn resume(&self, request: &Request<'_>) -> Result<(File, Option<State>), FetchError> {
        let (data, disk) = (self.data(), self.disk());
        // Finished and renamed, but nobody took it.
        if request.compression.is_none() && disk.exists() && !data.exists() {
            fs_err::rename(&disk, &data).map_err(FetchError::io("rename", &disk))?;
        }
        let state = self.load().filter(|state| Some(&state.expected) == request.expected);
        if state.is_none() {
            self.clear()?;
        }
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&data);
        let file = file.map_err(FetchError::io("open", &data))?;
        let Some(mut state) = state else { return Ok((file, None)) };
        let length = file.metadata().map_err(FetchError::io("read", &data))?.len();
        state.have = state.have.min(length);
        // What lies beyond was written out of order; holes are left only where nothing has been.
        file.set_len(state.have).map_err(FetchError::io("cut", &data))?;
        Ok((file, (state.have > 0).then_some(state)))
    }

    /// Remembers how far the download is.
    pub(crate) fn save(&self, state: &State) -> Result<(), FetchError> {
        let path = self.state();
        let staged = path.with_extension("new");
        let write = || {
            fs_err::write(&staged, serde_json::to_vec(state).map_err(io::Error::other)?)?;
            fs_err::rename(&staged, &path)
        };
        write().map_err(FetchError::io("write", &path))
    }

    /// What is remembered, if it makes sense.
    fn load(&self) -> Option<State> {
        serde_json::from_slice(&fs_err::read(self.state()).ok()?).ok()
    }

    /// Forgets how far the download is, before its data are emptied.
    pub(crate) fn forget(&self) -> Result<(), FetchError> {
        remove(&self.state())
    }

    /// Removes all that was downloaded.
    pub(crate) fn clear(&self) -> Result<(), FetchError> {
        self.forget()?;
        remove(&self.data())?;
        remove(&self.disk())
    }

    /// Makes the names in the directory survive a crash.
    pub(crate) fn sync(&self) -> Result<(), FetchError> {
        File::open(&self.0).and_then(|dir| dir.sync_all()).map_err(FetchError::io("sync", &self.0))
    }
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(FetchError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
