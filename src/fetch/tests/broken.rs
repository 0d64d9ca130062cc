//! Transfers that end before their time.

use super::*;
use crate::fetch::testing::compress;
use crate::fetch::testing::http::Framing;
use crate::fetch::{FileCompression, Problem};
use std::time::Instant;

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// Downloads until `cuts` replies have been cut at random places, by runs that give up after a few cuts each, so that
/// most of them resume what an earlier one has left. `content` is what is served, `disk` what is to come of it.
fn survive(cuts: usize, content: &[u8], disk: &[u8], prepare: impl Fn(&mut Case)) {
    let (site, numbers, made) = (site(content), Mutex::new(Numbers(7)), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&made);
    let server = bent(&site, move |_, _, reply| {
        let mut numbers = numbers.lock().unwrap();
        if numbers.below(32) == 0 {
            return reply;
        }
        counter.fetch_add(1, Ordering::SeqCst);
        let cut = numbers.below(60_000);
        reply.cut_after(cut)
    });
    let (mut finished, mut failed) = (0, 0);
    while made.load(Ordering::SeqCst) < cuts {
        let mut case = Case::new(&[&server], content);
        (case.options.progress, case.options.retries) = (u64::MAX, 1);
        prepare(&mut case);
        let done = loop {
            match case.run() {
                Ok(done) => break done,
                Err(FetchError::Failed { .. }) => failed += 1,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(Some(done.transferred), case.expected);
        assert!(fs_err::read(&done.path).unwrap() == disk);
        assert_eq!(done.sha256, crate::digest::Digest::of(disk));
        assert_eq!(case.talk.count("starting over"), 0);
        finished += 1;
    }
    assert!(finished > 0 && failed > finished, "{finished} finished, {failed} given up");
}

#[test]
fn a_hundred_cuts_at_random_places_do_no_harm() {
    let content = noise(1, 300_000);
    survive(100, &content, &content, |_| {});
}

#[test]
fn cuts_do_no_harm_to_a_file_that_comes_in_parts_either() {
    let content = noise(2, 1_500_000);
    survive(60, &content, &content, |case| {
        case.expected = Some(Checksum::of(Algorithm::Sha512, &content));
    });
}

#[test]
fn cuts_do_no_harm_to_an_archive_that_is_extracted_meanwhile() {
    let (disk, compression) = (noise(3, 400_000), FileCompression::Xz);
    survive(40, &compress(compression, &disk), &disk, |case| case.compression = Some(compression));
}

#[test]
fn a_run_that_makes_progress_does_not_give_up() {
    let content = noise(4, 200_000);
    let server = bent(&site(&content), |_, _, reply| reply.cut_after(10_000));
    let case = Case::new(&[&server], &content);
    let done = case.run_for(&content);
    assert_eq!(server.requests(), 20);
    assert_eq!(done.bytes, 200_000, "nothing comes twice");
}

#[test]
fn without_progress_a_run_ends_and_says_how_often_it_tried() {
    let content = noise(4, 200_000);
    let server = bent(&site(&content), |_, _, reply| reply.cut_after(0));
    let case = Case::new(&[&server], &content);
    let error = case.run().unwrap_err();
    let FetchError::Failed { tried, .. } = &error else { panic!("{error}") };
    assert_eq!((tried.len(), tried[0].attempts, server.requests()), (1, 4, 4));
    assert!(matches!(tried[0].problem, Problem::Broken(_)), "{error}");
}

#[test]
fn a_connection_that_stalls_is_given_up_and_the_rest_fetched() {
    let content = noise(5, 200_000);
    let server = bent(&site(&content), |number, _, reply| match number {
        0 => reply.stall_after(0),
        1 => reply.stall_after(50_000),
        _ => reply,
    });
    let mut case = Case::new(&[&server], &content);
    case.options.stall_timeout = Duration::from_millis(300);
    let started = Instant::now();
    let done = case.run_for(&content);
    assert!(started.elapsed() >= Duration::from_millis(600));
    assert_eq!((done.bytes, server.requests()), (200_000, 3));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::http(|_| Reply::status(200).delayed(Duration::from_secs(3)));
    let mut case = Case::new(&[&server], b"");
    case.options.stall_timeout = Duration::from_millis(100);
    case.options.connect_timeout = Duration::from_millis(100);
    case.options.retries = 1;
    let error = case.run().unwrap_err().to_string();
    assert!(error.ends_with("nothing came for 0.2 s (tried 2 times)"), "{error}");
}

#[test]
fn a_body_without_end_is_stopped_and_nothing_kept() {
    let endless = || Reply::of(200, crate::fetch::testing::http::Body::Endless);
    let chunked = move |_: &Asked| endless().framed(Framing::Chunked);
    let closing = move |_: &Asked| endless().framed(Framing::Close);
    let claimed = move |_: &Asked| endless().framed(Framing::Claimed(u64::MAX >> 1));
    for server in [Server::http(chunked), Server::http(closing), Server::http(claimed)] {
        let mut case = Case::new(&[&server], b"");
        case.max_size = 300_000;
        let error = case.run().unwrap_err();
        assert!(error.to_string().ends_with("the server sends more than 300000 bytes"), "{error}");
        assert_eq!(crate::error::Diagnose::exit(&error), crate::error::Exit::Integrity);
        assert_eq!(server.requests(), 1, "asking again makes it no shorter");
        assert_eq!(fs_err::metadata(case.place().join("data")).unwrap().len(), 0);
    }
}

#[test]
fn a_body_of_unknown_length_is_taken_to_its_end() {
    let content = noise(6, 150_000);
    for framing in [Framing::Chunked, Framing::Close] {
        let server = bent(&site(&content), move |_, _, reply| reply.framed(framing));
        Case::new(&[&server], &content).run_for(&content);
    }
}

#[test]
fn a_content_length_that_promises_too_much_means_that_something_is_missing() {
    let content = noise(7, 150_000);
    let server = bent(&site(&content), |number, _, reply| match number {
        0 => reply.framed(Framing::Claimed(160_000)),
        _ => reply,
    });
    let case = Case::new(&[&server], &content);
    case.run_for(&content);
    assert_eq!(case.talk.count("starting over"), 1, "the file has another length than before");
}

#[test]
fn a_content_length_that_promises_too_little_is_a_wrong_size_or_digest() {
    let content = noise(8, 150_000);
    let server = bent(&site(&content), |_, _, reply| reply.framed(Framing::Claimed(140_000)));
    let mut case = Case::new(&[&server], &content);
    assert!(matches!(case.run(), Err(FetchError::WrongDigest { .. })));
    assert_eq!(case.left(), Vec::<String>::new());
    case.size = Some(150_000);
    let error = case.run().unwrap_err();
    assert!(error.to_string().ends_with("the server's file has 140000 bytes instead of 150000"), "{error}");
}

#[test]
fn an_empty_file_is_a_file() {
    for framing in [Framing::Length, Framing::Chunked] {
        let server = bent(&site(b""), move |_, _, reply| reply.framed(framing));
        let done = Case::new(&[&server], b"").run_for(b"");
        assert_eq!(done.bytes, 0);
    }
}
