//! Requests and replies, as plain data.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// The certificate that the client showed, in DER.
    pub peer: Option<Vec<u8>>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What a body consists of.
#[derive(Debug, Clone)]
pub enum Body {
    Bytes(Arc<[u8]>, Range<u64>),
    /// See [`pattern`](super::pattern): its seed, and the part of it.
    Pattern(u64, Range<u64>),
    File(PathBuf, Range<u64>),
    /// Zeros without end.
    Endless,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy)]
pub enum Framing {
    /// By a true `Content-Length`.
    Length,
    /// By a `Content-Length` that need not be true.
    Claimed(u64),
    /// In chunks.
    Chunked,
    /// By closing the connection.
    Close,
}

/// What the server sends.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// What stands behind the status.
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    pub framing: Framing,
    /// Close the connection after so many bytes of the body.
    pub cut: Option<u64>,
    /// Send nothing more after so many bytes of the body, but keep the connection.
    pub stall: Option<u64>,
    /// Wait before anything is sent.
    pub delay: Duration,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Arc<[u8]>>) -> Self {
        let body = body.into();
        let whole = 0..body.len() as u64;
        Self::of(status, Body::Bytes(body, whole))
    }

    pub fn of(status: u16, body: Body) -> Self {
        Self {
            status,
            reason: "Whatever".to_owned(),
            headers: Vec::new(),
            body,
            framing: Framing::Length,
            cut: None,
            stall: None,
            delay: Duration::ZERO,
        }
    }

    pub fn status(status: u16) -> Self {
        Self::new(status, *b"")
    }

    pub fn redirect(status: u16, to: &str) -> Self {
        Self::status(status).with("Location", to)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub fn cut_after(mut self, bytes: u64) -> Self {
        self.cut = Some(bytes);
        self
    }

    pub fn stall_after(mut self, bytes: u64) -> Self {
        self.stall = Some(bytes);
        self
    }

    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}
