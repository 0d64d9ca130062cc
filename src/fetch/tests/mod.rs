//! Downloads from a real server that misbehaves.

mod answers;
mod broken;
mod content;
mod parallel;
mod resume;

use crate::control::Control;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::testing::http::{Reply, Request as Asked, Server, Site, pattern};
use super::{Downloaded, FetchError, Fetcher, Options, Request, Url};
use crate::cancel::Cancel;
use crate::event::{Event, EventSink, Events};
use crate::trust::checksum::{Algorithm, Checksum};

/// Where the file of most tests is.
const PATH: &str = "/images/disk.img";

/// No patience, and parts small enough for small files. Stalling is patient, since this machine may be busy.
fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(5),
        retries: 3,
        progress: 1,
        backoff: Duration::from_millis(1),
        longest_wait: Duration::from_millis(20),
        parallel_from: 1 << 20,
        part: 100_000,
        // Reading them takes longer than most of these downloads.
        system_roots: false,
        proxies: false,
        ..Options::default()
    }
}

/// Notes and warnings.
#[derive(Debug, Clone, Default)]
struct Talk(Arc<Mutex<Vec<String>>>);

impl EventSink for Talk {
    fn emit(&self, event: Event) {
        if let Event::Note { message } | Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

impl Talk {
    fn count(&self, text: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|message| message.contains(text)).count()
    }
}

/// A download to be made, once or again, always into the same place.
struct Case {
    urls: Vec<Url>,
    expected: Option<Checksum>,
    size: Option<u64>,
    compression: Option<super::FileCompression>,
    max_size: u64,
    options: Options,
    cancel: Cancel,
    talk: Talk,
    dir: tempfile::TempDir,
}

impl Case {
    fn new(servers: &[&Server], content: &[u8]) -> Self {
        Self {
            urls: servers.iter().map(|server| server.url(PATH).parse().unwrap()).collect(),
            expected: Some(Checksum::of(Algorithm::Sha256, content)),
            size: None,
            compression: None,
            max_size: 1 << 30,
            options: options(),
            cancel: Cancel::new(),
            talk: Talk::default(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn place(&self) -> PathBuf {
        self.dir.path().join("place")
    }

    fn request(&self) -> Request<'_> {
        Request {
            urls: &self.urls,
            what: "disk.img",
            expected: self.expected.as_ref(),
            size: self.size,
            compression: self.compression,
            max_size: self.max_size,
            authorization: None,
        }
    }

    /// Downloads with a new fetcher, as a new process would.
    fn run(&self) -> Result<Downloaded, FetchError> {
        let events = Events::new(self.talk.clone());
        let fetcher = Fetcher::new(self.options.clone(), &Control::new(events, self.cancel.clone()))?;
        fetcher.download(&self.request(), &self.place())
    }

    /// Downloads, and compares what came with `content`.
    #[track_caller]
    fn run_for(&self, content: &[u8]) -> Downloaded {
        let done = self.run().unwrap();
        assert!(fs_err::read(&done.path).unwrap() == content, "other bytes than the right ones");
        assert_eq!(done.path, self.place().join("disk"));
        assert_eq!(done.sha256, crate::digest::Digest::of(content));
        done
    }

    /// The names in the place.
    fn left(&self) -> Vec<String> {
        let names = fs_err::read_dir(self.place()).unwrap();
        let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Bytes that look like noise.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    pattern(seed, 0, &mut bytes);
    bytes
}

/// A site with `content` at [`PATH`].
fn site(content: &[u8]) -> Site {
    let site = Site::new();
    site.put(PATH, content);
    site
}

/// A server whose replies to the first requests are bent: `bend` gets the number of the request, from 0.
fn bent(site: &Site, bend: impl Fn(usize, &Asked, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let (site, count) = (site.clone(), AtomicUsize::new(0));
    Server::http(move |request| bend(count.fetch_add(1, Ordering::SeqCst), request, site.reply(request)))
}

/// The value of a header in each request that a server got.
fn headers(server: &Server, name: &str) -> Vec<Option<String>> {
    server.log().iter().map(|logged| logged.request.header(name).map(str::to_owned)).collect()
}
