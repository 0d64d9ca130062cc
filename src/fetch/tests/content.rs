//! What is done with the bytes that came.

use super::*;
use crate::control::Control;
use crate::error::{Diagnose, Exit};
use crate::fetch::FileCompression;
use crate::fetch::testing::compress;
use std::os::unix::fs::MetadataExt;

const ALL: [FileCompression; 3] = [FileCompression::Xz, FileCompression::Gzip, FileCompression::Zstd];

/// A case for an archive of `disk`.
fn archive(server: &Server, served: &[u8], compression: FileCompression) -> Case {
    let mut case = Case::new(&[server], served);
    case.compression = Some(compression);
    case
}

#[test]
fn both_digests_are_right_whatever_the_algorithm_and_the_compression() {
    let disk = noise(1, 300_000);
    for algorithm in Algorithm::ALL {
        for compression in ALL.map(Some).into_iter().chain([None]) {
            let served = compression.map_or_else(|| disk.clone(), |compression| compress(compression, &disk));
            let server = Server::http(site(&served).handler());
            let mut case = Case::new(&[&server], &served);
            (case.compression, case.expected) = (compression, Some(Checksum::of(algorithm, &served)));
            let done = case.run_for(&disk);
            assert_eq!(Some(done.transferred), case.expected);
            assert_eq!(done.bytes, served.len() as u64);
        }
    }
}

#[test]
fn without_an_expected_digest_the_one_that_was_found_is_told() {
    let server = Server::http(site(b"content").handler());
    let mut case = Case::new(&[&server], b"content");
    case.expected = None;
    assert_eq!(case.run_for(b"content").transferred, Checksum::of(Algorithm::Sha256, b"content"));
}

#[test]
fn a_wrong_digest_is_fatal_and_nothing_is_left() {
    let content = noise(2, 300_000);
    let served = compress(FileCompression::Gzip, &content);
    for compression in [None, Some(FileCompression::Gzip)] {
        let server = Server::http(site(&served).handler());
        let mut case = Case::new(&[&server, &server], b"what it should be");
        case.compression = compression;
        let error = case.run().unwrap_err();
        assert!(matches!(error, FetchError::WrongDigest { .. }), "{error}");
        assert_eq!((error.exit(), case.left(), server.requests()), (Exit::Integrity, vec![], 1));
        assert!(error.to_string().contains(&server.url(PATH)), "{error}");
    }
}

#[test]
fn a_damaged_archive_is_fatal_and_nothing_is_left() {
    for compression in ALL {
        let mut served = compress(compression, &noise(3, 300_000));
        served.truncate(served.len() - 20);
        let server = Server::http(site(&served).handler());
        let case = archive(&server, &served, compression);
        let error = case.run().unwrap_err();
        assert!(matches!(error, FetchError::Damaged { .. }), "{error}");
        assert_eq!((error.exit(), case.left()), (Exit::Integrity, vec![]));
    }
}

#[test]
fn a_bomb_is_stopped_and_nothing_is_left() {
    for compression in ALL {
        let served = compress(compression, &vec![0; 16 << 20]);
        let server = Server::http(site(&served).handler());
        let mut case = archive(&server, &served, compression);
        case.max_size = 8 << 20;
        let error = case.run().unwrap_err();
        assert_eq!(error.to_string(), "cannot extract disk.img: it holds more than 8388608 bytes");
        assert_eq!((error.exit(), case.left()), (Exit::Integrity, vec![]));
    }
}

#[test]
fn an_archive_that_fails_early_ends_the_transfer() {
    let server = Server::http(|_| Reply::new(200, vec![b'x'; 400_000]).stall_after(200_000));
    let mut case = archive(&server, b"", FileCompression::Xz);
    case.options.stall_timeout = Duration::from_secs(60);
    let error = case.run().unwrap_err();
    assert!(matches!(error, FetchError::Damaged { .. }), "{error}");
}

#[test]
fn zeros_take_no_space() {
    let mut content = noise(4, 200_000);
    content.resize(8 << 20, 0);
    content.extend(noise(5, 10));
    content.resize(16 << 20, 0);
    let server = Server::http(site(&content).handler());
    for parallel_from in [0, u64::MAX] {
        let mut case = Case::new(&[&server], &content);
        case.options.parallel_from = parallel_from;
        let done = case.run_for(&content);
        let blocks = fs_err::metadata(&done.path).unwrap().blocks();
        assert!(blocks * 512 < 6 << 20, "{} KiB", blocks / 2);
    }
}

#[test]
fn progress_ends_at_the_whole() {
    type Told = (String, u64, Option<u64>);
    #[derive(Clone, Default)]
    struct Last(Arc<Mutex<Option<Told>>>);
    impl EventSink for Last {
        fn emit(&self, event: Event) {
            if let Event::Progress { what, done, total } = event {
                *self.0.lock().unwrap() = Some((what, done, total));
            }
        }
    }
    let content = noise(6, 300_000);
    let server = Server::http(site(&content).handler());
    let (case, last) = (Case::new(&[&server], &content), Last::default());
    let fetcher = Fetcher::new(options(), &Control::new(Events::new(last.clone()), Cancel::new())).unwrap();
    fetcher.download(&case.request(), &case.place()).unwrap();
    assert_eq!(*last.0.lock().unwrap(), Some(("disk.img".to_owned(), 300_000, Some(300_000))));
}

#[test]
fn a_place_that_cannot_be_written_is_said() {
    let server = Server::http(site(b"content").handler());
    let case = Case::new(&[&server], b"content");
    fs_err::write(case.place(), "a file").unwrap();
    let error = case.run().unwrap_err();
    assert!(error.to_string().starts_with("cannot create `"), "{error}");
    assert_eq!((error.exit(), server.requests()), (Exit::Host, 0));
}
