//! What has arrived of a file: written in any order, followed from the start, remembered for the next run.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::error::Stop;
use super::follow::{Digests, Followers, Task};
use super::place::{Place, State};
use super::spans::Spans;
use super::{FetchError, Problem, Request, Retrieved};
use crate::control::Control;
use crate::sparse;
use crate::trust::checksum::Algorithm;

/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);
/// How often the state is written: a process that is killed loses what came since.
const SAVE: Duration = Duration::from_secs(1);

/// Zeros in aligned blocks of this size are left out. Small, since the network brings pieces of any length.
const HOLE: usize = 4 << 10;

/// The bytes of one download.
#[derive(Debug)]
pub(crate) struct Store<'a> {
    /// Bytes that came over the network.
    pub(crate) received: u64,
    /// Whether bytes of several transfers were put together.
    pub(crate) resumed: bool,
    /// Where the bytes come from.
    pub(crate) from: Option<Retrieved>,
    /// How many there are in all, once known.
    pub(crate) total: Option<u64>,
    /// Told when a follower fails.
    pub(crate) trouble: Arc<Notify>,
    pub(crate) spans: Spans,
    request: &'a Request<'a>,
    place: &'a Place,
    control: &'a Control,
    data: File,
    /// The length of `data`, holes included.
    length: u64,
    followers: Followers,
    told: Instant,
    saved: Instant,
}

impl<'a> Store<'a> {
    /// Opens what an earlier run has left in `place`, or an empty file.
    pub(crate) fn open(
        request: &'a Request<'a>,
        place: &'a Place,
        control: &'a Control,
    ) -> Result<Self, FetchError> {
        let (data, state) = place.resume(request)?;
        let trouble = Arc::new(Notify::new());
        let followers = Followers::start(&task(request), place, &control.cancel, &trouble)?;
        let (have, total, from) = match state {
            Some(state) => (state.have, state.total, Some(state.from)),
            None => (0, None, None),
        };
        followers.advance(have);
        let now = Instant::now();
        Ok(Self {
            received: 0,
            resumed: have > 0,
            from,
            total,
            trouble,
            spans: Spans::prefix_of(have),
            request,
            place,
            control,
            data,
            length: have,
            followers,
            told: now,
            saved: now,
        })
    }

    /// Whether all bytes are there.
    pub(crate) fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.spans.gap(total).is_none())
    }

    /// Whether what is there may be completed with bytes of `answer`, which is of a file of `total` bytes.
    pub(crate) fn fits(&self, answer: &Retrieved, total: Option<u64>) -> bool {
        let Some(from) = self.from.as_ref().filter(|_| !self.spans.is_empty()) else { return true };
        if differ(self.total.as_ref(), total.as_ref()) {
            return false;
        }
        if origin(from) != origin(answer) {
            // Another mirror: only the digest can tell whether the parts belong together.
            return self.request.expected.is_some();
        }
        match (&from.etag, &answer.etag) {
            (Some(before), Some(now)) => before == now,
            _ => !differ(from.last_modified.as_ref(), answer.last_modified.as_ref()),
        }
    }

    /// Whether it makes sense to ask `url`, as it is shown, for the rest. Without a digest to compare with in the end,
    /// only a strong `ETag` vouches for the parts belonging together.
    pub(crate) fn may_resume(&self, url: &str) -> bool {
        let same = self.from.as_ref().filter(|from| from.asked() == url);
        self.request.expected.is_some() || same.is_some_and(|from| strong_etag(from).is_some())
    }

    /// What to send as `If-Range` when asking `url` for the rest. Where redirects may lead to another mirror with
    /// other tags, the answer is looked at instead.
    pub(crate) fn validator(&self, url: &str) -> Option<&str> {
        let from = self.from.as_ref().filter(|from| from.asked() == url)?;
        if !from.redirects.is_empty() && self.request.expected.is_some() {
            return None;
        }
        strong_etag(from).or(from.last_modified.as_deref())
    }

    /// Takes note of what a server said about the whole file.
    pub(crate) fn expect(&mut self, from: Retrieved, told: Option<u64>) -> Result<(), Stop> {
        if let (Some(expected), Some(found)) = (self.request.size, told)
            && expected != found
        {
            return Err(Problem::WrongSize { expected, found }.into());
        }
        let total = told.or(self.request.size);
        if total.is_some_and(|total| total > self.request.max_size) {
            return Err(Problem::TooLarge { limit: self.request.max_size }.into());
        }
        self.total = total;
        self.from = Some(from);
        self.lengthen(total.unwrap_or(0))?;
        Ok(())
    }

    /// A body of unknown length is over.
    pub(crate) fn end_at(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Writes bytes where none have been written.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Stop> {
        let part = at..at + bytes.len() as u64;
        if self.total.is_none() && part.end > self.request.max_size {
            return Err(Problem::TooLarge { limit: self.request.max_size }.into());
        }
        let path = self.place.data();
        sparse::write_at(&self.data, at, bytes, HOLE).map_err(FetchError::io("write", path))?;
        self.lengthen(part.end)?;
        self.add(part)?;
        Ok(())
    }

    fn add(&mut self, part: Range<u64>) -> Result<(), FetchError> {
        self.received += part.end - part.start;
        self.spans.add(part);
        self.followers.advance(self.spans.prefix());
        if self.told.elapsed() >= TELL {
            self.tell();
        }
        if self.saved.elapsed() >= SAVE {
            self.save()?;
        }
        Ok(())
    }

    fn tell(&mut self) {
        self.control.events.progress(self.request.what, self.spans.covered(), self.total);
        self.told = Instant::now();
    }

    /// Makes the file at least this long. What is new reads as zeros.
    fn lengthen(&mut self, length: u64) -> Result<(), FetchError> {
        if length > self.length {
            self.data.set_len(length).map_err(FetchError::io("write", self.place.data()))?;
            self.length = length;
        }
        Ok(())
    }

    /// Remembers for the next run how far this one is.
    pub(crate) fn save(&mut self) -> Result<(), FetchError> {
        self.saved = Instant::now();
        let (Some(expected), Some(from)) = (self.request.expected, &self.from) else { return Ok(()) };
        let have = self.spans.prefix();
        self.place.save(&State { expected: *expected, from: from.clone(), total: self.total, have })
    }

    /// Throws away what is there; `why` is told if that is anything.
    pub(crate) fn start_over(&mut self, why: &str) -> Result<(), FetchError> {
        if !self.spans.is_empty() {
            self.control.events.warning(format!("{}: starting over: {why}", self.request.what));
        }
        // Before the bytes it tells of are gone.
        self.place.forget()?;
        // The followers of the old bytes end before the new ones can appear.
        self.followers.stop();
        self.data.set_len(0).map_err(FetchError::io("empty", self.place.data()))?;
        self.followers =
            Followers::start(&task(self.request), self.place, &self.control.cancel, &self.trouble)?;
        self.spans = Spans::default();
        (self.total, self.from, self.length, self.resumed) = (None, None, 0, false);
        Ok(())
    }

    /// Waits for the digests of the complete file, and makes it durable.
    pub(crate) fn finish(mut self) -> Result<Digests, FetchError> {
        self.tell();
        let path = self.place.data();
        // The disk writes while the followers still calculate. What was extracted is synced by its follower.
        if self.is_complete() && self.request.compression.is_none() {
            self.data.sync_all().map_err(FetchError::io("sync", path))?;
        }
        self.followers.finish()
    }
}

fn task(request: &Request<'_>) -> Task {
    Task {
        what: request.what.to_owned(),
        algorithm: request.expected.map_or(Algorithm::Sha256, |expected| expected.algorithm()),
        compression: request.compression,
        max_size: request.max_size,
    }
}

fn differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

/// The URL that really answered.
fn origin(from: &Retrieved) -> &str {
    from.redirects.last().map_or(from.asked(), String::as_str)
}

/// A tag that stands for the exact bytes; weak ones stand for what they mean.
fn strong_etag(from: &Retrieved) -> Option<&str> {
    from.etag.as_deref().filter(|tag| !tag.starts_with("W/"))
}
