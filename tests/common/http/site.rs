//! A well-behaved site.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{Body, Reply, Request};

/// Fills `buffer` with the bytes at `offset` of an endless file that depends on `seed` alone.
pub fn pattern(seed: u64, offset: u64, buffer: &mut [u8]) {
    let mut at = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        // SplitMix64.
        let mut word = (seed ^ (at / 8)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bytes = (word ^ (word >> 31)).to_le_bytes();
        let from = (at % 8) as usize;
        let length = rest.len().min(8 - from);
        rest[..length].copy_from_slice(&bytes[from..from + length]);
        rest = &mut rest[length..];
        at += length as u64;
    }
}

/// A file of a [`Site`].
#[derive(Debug, Clone)]
pub struct Content {
    pub body: Body,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

impl Content {
    fn length(&self) -> u64 {
        match &self.body {
            Body::Bytes(_, part) | Body::Pattern(_, part) | Body::File(_, part) => part.end,
            Body::Endless => u64::MAX,
        }
    }

    fn part(&self, wanted: Range<u64>) -> Body {
        match &self.body {
            Body::Bytes(bytes, _) => Body::Bytes(Arc::clone(bytes), wanted),
            Body::Pattern(seed, _) => Body::Pattern(*seed, wanted),
            Body::File(path, _) => Body::File(path.clone(), wanted),
            Body::Endless => Body::Endless,
        }
    }
}

/// A well-behaved site: files with tags, ranges, `HEAD` and 404. Clones share the files.
#[derive(Debug, Clone, Default)]
pub struct Site(Arc<Mutex<BTreeMap<String, Content>>>);

impl Site {
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `bytes` at `path`, instead of what was there. The tag depends on the bytes.
    pub fn put(&self, path: &str, bytes: impl Into<Arc<[u8]>>) {
        let bytes = bytes.into();
        let tag = bytes.iter().fold(bytes.len() as u64, |tag, byte| tag.wrapping_mul(31) ^ u64::from(*byte));
        let whole = 0..bytes.len() as u64;
        self.put_content(path, Body::Bytes(bytes, whole), Some(format!("\"{tag:x}\"")));
    }

    /// Serves the first `length` bytes of a [`pattern`] at `path`.
    pub fn put_pattern(&self, path: &str, seed: u64, length: u64) {
        self.put_content(path, Body::Pattern(seed, 0..length), Some(format!("\"{seed:x}-{length:x}\"")));
    }

    /// Serves a file of this machine at `path`, as fast as that is possible.
    pub fn put_file(&self, path: &str, file: impl Into<PathBuf>) -> io::Result<()> {
        let file = file.into();
        let length = file.metadata()?.len();
        self.put_content(path, Body::File(file, 0..length), Some(format!("\"{length:x}\"")));
        Ok(())
    }

    pub fn put_content(&self, path: &str, body: Body, etag: Option<String>) {
        let last_modified = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
        let content = Content { body, etag, last_modified };
        self.0.lock().expect("no thread panics with the files").insert(path.to_owned(), content);
    }

    /// The answer to a request.
    pub fn reply(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap_or_default();
        let content = self.0.lock().expect("no thread panics with the files").get(path).cloned();
        let Some(content) = content else { return Reply::new(404, *b"no such file") };
        let length = content.length();
        let mut reply = match wanted(request, &content) {
            Some(part) if part.start >= length || part.is_empty() => {
                Reply::status(416).with("Content-Range", &format!("bytes */{length}"))
            }
            Some(part) => Reply::of(206, content.part(part.clone()))
                .with("Content-Range", &format!("bytes {}-{}/{length}", part.start, part.end - 1)),
            None => Reply::of(200, content.part(0..length)),
        };
        reply = reply.with("Accept-Ranges", "bytes");
        if let Some(etag) = &content.etag {
            reply = reply.with("ETag", etag);
        }
        if let Some(last_modified) = &content.last_modified {
            reply = reply.with("Last-Modified", last_modified);
        }
        reply
    }

    /// A handler that serves the files.
    pub fn handler(&self) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
        let site = self.clone();
        move |request| site.reply(request)
    }
}

/// The part a request asks for, unless the file has changed since.
fn wanted(request: &Request, content: &Content) -> Option<Range<u64>> {
    if let Some(validator) = request.header("if-range") {
        let known = [&content.etag, &content.last_modified];
        if !known.into_iter().flatten().any(|known| known == validator) {
            return None;
        }
    }
    let (first, last) = request.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    let end = if last.is_empty() { content.length() } else { last.parse::<u64>().ok()?.checked_add(1)? };
    Some(first..end.min(content.length()))
}
