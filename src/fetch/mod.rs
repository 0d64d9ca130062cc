//! Downloads: large files that survive bad networks and interruptions, and small ones in memory.
//!
//! [`Fetcher`] is all that others see. Inside, from the network to the disk:
//!
//! | module | what it does |
//! |---|---|
//! | `client` | one request, with its redirects; time-outs, TLS, proxies |
//! | `problem` | why an attempt failed, and whether another may succeed |
//! | `mirrors` | attempt after attempt, URL after URL |
//! | `transfer` | the bytes of one file: resumed, in parallel parts, written in any order |
//! | `spans`, `store` | which bytes are there, and writing them |
//! | `redact` | URLs without what may be secret |
//! | `place` | the directory of a download, and what survives in it |
//! | `tail`, `follow`, `extract` | hashing and extracting behind the transfer, in threads of their own |
//! | `call` | services: any method, JSON, a client's certificate |
//! | `resource`, `authorization` | what a service gives to whom it knows: types and challenges |
//! | `download` | the whole, from the request to a verified file |
//!
//! Transport is asynchronous, since one thread must mind several connections, time-outs and the user's Ctrl-C at once;
//! everything else is plain blocking code.

mod authorization;
mod call;
mod client;
mod download;
mod error;
mod extract;
mod follow;
mod mirrors;
mod place;
mod problem;
mod redact;
mod resource;
mod small;
mod spans;
mod store;
mod tail;
mod transfer;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use authorization::Authorization;
pub use call::{Call, ClientIdentity, Reply, Verb};
pub use error::{FetchError, Tried};
pub use extract::FileCompression;
pub(crate) use extract::decoder;
pub use problem::Problem;
pub(crate) use redact::{redact, redact_text};
pub use reqwest::Url;
pub use resource::{Answered, Resource};

use crate::control::Control;
use crate::digest::Digest;
use crate::trust::checksum::Checksum;
use client::Client;

/// How patient and how eager downloads are. The default is for people; tests want less patience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a connection may bring nothing. There is no limit for a whole transfer.
    pub stall_timeout: Duration,
    /// How often a URL is asked again without progress before the next one is tried.
    pub retries: usize,
    /// Bytes that count as progress: they make the failures before them forgotten.
    pub progress: u64,
    /// The wait before the first retry. It doubles each time, and is lengthened at random by up to as much again.
    pub backoff: Duration,
    /// The longest wait, also where a server asks for more with `Retry-After`.
    pub longest_wait: Duration,
    /// Connections for one file. What fails is tried again with fewer.
    pub connections: usize,
    /// The size in bytes from which on a file is fetched over several connections.
    pub parallel_from: u64,
    /// Bytes that one of several connections asks for at a time.
    pub part: u64,
    /// Whether the system's certificates are trusted: those of `SSL_CERT_FILE` or `SSL_CERT_DIR`, if these are set.
    pub system_roots: bool,
    /// Other certificates to trust, one or more in PEM each.
    pub roots: Vec<Vec<u8>>,
    /// Whether `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` are heeded.
    pub proxies: bool,
    /// What the client shows to servers that ask who it is.
    pub identity: Option<ClientIdentity>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(30),
            retries: 5,
            progress: 1 << 20,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(120),
            connections: 4,
            parallel_from: 64 << 20,
            part: 16 << 20,
            system_roots: true,
            roots: Vec::new(),
            proxies: true,
            identity: None,
        }
    }
}

/// A file to download.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Where it is to be had, best first. All are to have the same bytes.
    pub urls: &'a [Url],
    /// What it is, for bars and messages.
    pub what: &'a str,
    /// The digest of the bytes as served. Without one, nothing is resumed that an earlier run has left.
    pub expected: Option<&'a Checksum>,
    /// The number of bytes as served, if known beforehand.
    pub size: Option<u64>,
    /// How the bytes are compressed, if they are to be extracted.
    pub compression: Option<FileCompression>,
    /// The largest number of bytes to take, as served and extracted.
    pub max_size: u64,
    /// Who asks. It is told to the servers of `urls` alone, not to those that they redirect to.
    pub authorization: Option<&'a Authorization>,
}

/// A file that was downloaded. It is complete and synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// The file, extracted if it was compressed.
    pub path: PathBuf,
    /// SHA-256 of its content.
    pub sha256: Digest,
    /// The digest of the bytes as served, in the expected algorithm, else SHA-256.
    pub transferred: Checksum,
    /// Bytes that came over the network for this call.
    pub bytes: u64,
    /// Where they came from.
    pub from: Retrieved,
}

/// A small file, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Small {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Where it came from.
    pub from: Retrieved,
}

/// What a server says of a file without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status: 200 if the file is there.
    pub status: u16,
    /// The length in bytes, if the server tells.
    pub length: Option<u64>,
    /// Where the answer came from.
    pub from: Retrieved,
}

/// Where something was got from. URLs are without user names, passwords and queries, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrieved {
    /// Where it is from. A mirror may have delivered it.
    pub url: String,
    /// What was asked in place of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// The URLs it was redirected to, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<String>,
    /// The `ETag` of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The `Last-Modified` of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Retrieved {
    /// The URL that was asked.
    pub(crate) fn asked(&self) -> &str {
        self.mirror.as_deref().unwrap_or(&self.url)
    }
}

/// Fetches files, from mirrors where the person has some. One is enough for a process; several threads may use it at the same time.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
}

impl Fetcher {
    /// Prepares for downloads. No file is read and no socket opened before something is fetched.
    ///
    /// # Errors
    /// [`FetchError::Host`] when the host gives no runtime.
    pub fn new(options: Options, control: &Control) -> Result<Self, FetchError> {
        Ok(Self { client: Client::new(options, control.clone())? })
    }

    /// Fetches a small file into memory from the first of `urls` that delivers. More than `limit` bytes are an error.
    ///
    /// # Errors
    /// [`FetchError::Failed`] or [`FetchError::Cancelled`].
    pub fn small(&self, urls: &[Url], limit: u64) -> Result<Small, FetchError> {
        self.client.run(small::get(&self.client, urls, limit))
    }

    /// Asks what a server has at `url`. Every status that is not about the moment is an answer, not an error.
    ///
    /// # Errors
    /// [`FetchError::Failed`] or [`FetchError::Cancelled`].
    pub fn head(&self, url: &Url) -> Result<Head, FetchError> {
        self.client.run(small::head(&self.client, url))
    }

    /// The URL that is asked for `url`: its mirror's, if it has one. Without what may be secret.
    pub fn asked(&self, url: &Url) -> String {
        self.client.server_of(url)
    }

    /// Calls a service. Every status that is not about the moment is an answer; redirects are not followed. What cannot be said
    /// twice ([`Verb::Post`]) is not said again after an attempt that may have had its effect.
    ///
    /// # Errors
    /// [`FetchError::Failed`] or [`FetchError::Cancelled`].
    pub fn call(&self, call: &Call<'_>) -> Result<Reply, FetchError> {
        self.client.run(call::call(&self.client, call))
    }

    /// Asks a service for something small, in one of several forms. Every status that is not about the moment is an answer.
    ///
    /// # Errors
    /// [`FetchError::Failed`] or [`FetchError::Cancelled`].
    pub fn resource(&self, wanted: &Resource<'_>) -> Result<Answered, FetchError> {
        self.client.run(resource::get(&self.client, wanted))
    }

    /// Downloads a file into `place`, a directory for this file and this process alone, and verifies it. What an earlier run that was
    /// interrupted has left there is used. If this run is interrupted or the network fails, `place` stays for the
    /// next one. After success the caller takes the file and removes `place`.
    ///
    /// # Errors
    /// [`FetchError`]. After a wrong digest or a damaged archive nothing is left in `place`.
    pub fn download(&self, request: &Request<'_>, place: &Path) -> Result<Downloaded, FetchError> {
        download::download(&self.client, request, place)
    }
}
