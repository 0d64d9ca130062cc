//! How long a large file takes from a server on loopback to a verified file, beside `curl` and `sha256sum`.
//!
//! Alternating runs and their medians, in seconds: `cargo bench --bench download -- [MIB [ROUNDS [sha256|sha512]]]`. The files are
//! made in `TMPDIR`, so that its file system is measured too.

#![allow(missing_docs, clippy::print_stdout)]

#[path = "../tests/common/http.rs"]
mod http;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tib::cancel::Cancel;
use tib::event::Events;
use tib::source::checksum::{Algorithm, Checksum, Hasher};
use tib::source::fetch::{Fetcher, Options, Request};

/// Writes a file of noise and returns its digest.
fn make(path: &Path, mib: u64, algorithm: Algorithm) -> Checksum {
    let (mut hasher, mut buffer) = (Hasher::new(algorithm), vec![0; 1 << 20]);
    let mut file = std::fs::File::create(path).expect("a temporary file can be written");
    for number in 0..mib {
        http::pattern(1, number << 20, &mut buffer);
        hasher.update(&buffer);
        file.write_all(&buffer).expect("there is enough space");
    }
    file.sync_all().expect("it can be synced");
    hasher.finish()
}

/// Runs both sides in turn and returns the seconds each took.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number =
        |index: usize, default| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (mib, rounds) = (number(0, 512), number(1, 5));
    let algorithm = match arguments.get(2).map(String::as_str) {
        Some("sha512") => Algorithm::Sha512,
        _ => Algorithm::Sha256,
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let served = dir.path().join("served");
    let expected = make(&served, mib, algorithm);
    let site = http::Site::new();
    site.put_file("/file", &served).expect("it was made just now");
    let server = http::Server::http(site.handler());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(timed(dir.path(), |place| {
            let sum = format!("{}sum", algorithm.name());
            let script = format!("curl -s -o f '{}' && {sum} f", server.url("/file"));
            let output = Command::new("sh").args(["-c", &script]).current_dir(place).output();
            assert!(String::from_utf8_lossy(&output.expect("sh runs").stdout).starts_with(&expected.hex()));
        }));
        ours.push(timed(dir.path(), |place| {
            let options = Options { proxies: false, ..Options::default() };
            let fetcher = Fetcher::new(options, Events::none(), Cancel::new()).expect("a fetcher");
            let request = Request {
                urls: &[server.url("/file").parse().expect("a URL")],
                what: "file",
                expected: Some(&expected),
                size: None,
                compression: None,
                max_size: u64::MAX,
            };
            fetcher.download(&request, place).expect("the file arrives");
        }));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "{mib} MiB, {algorithm}: tib {ours:.3} s, curl and {algorithm}sum {theirs:.3} s: {:.3}",
        ours / theirs
    );
}

/// Runs `work` in a new directory, and returns how long it took in seconds.
fn timed(dir: &Path, work: impl FnOnce(&PathBuf)) -> f64 {
    let place = dir.join("place");
    std::fs::create_dir(&place).expect("it is not there");
    let started = Instant::now();
    work(&place);
    let took = started.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&place).expect("it is ours");
    // What one leaves to be written must not slow down the other.
    Command::new("sync").status().expect("sync runs");
    took
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
