//! Going on where an earlier transfer ended.

use super::*;
use crate::cancel::Cancelled;
use crate::fetch::testing::compress;
use crate::fetch::testing::http::{Body, Framing};
use crate::fetch::{FileCompression, Problem};
use std::time::Instant;

const HALF: u64 = 100_000;

/// A run that ends after half of 200 000 bytes, since the server cuts once and is asked once.
fn half(case: &mut Case) {
    case.options.retries = 0;
    let error = case.run().unwrap_err();
    assert!(matches!(error, FetchError::Failed { .. }), "{error}");
    case.options.retries = 3;
}

#[test]
fn the_next_run_asks_for_the_rest_alone() {
    let content = noise(1, 200_000);
    let server =
        bent(&site(&content), |number, _, reply| if number == 0 { reply.cut_after(HALF) } else { reply });
    let mut case = Case::new(&[&server], &content);
    half(&mut case);
    assert_eq!(case.left(), ["data", "state.json"]);
    let done = case.run_for(&content);
    assert_eq!(done.bytes, HALF);
    assert_eq!(headers(&server, "range"), [None, Some("bytes=100000-".to_owned())]);
    let validators = headers(&server, "if-range");
    assert!(validators[0].is_none() && validators[1] == done.from.etag, "{validators:?}");
}

#[test]
fn every_wrong_answer_to_a_resume_ends_in_the_right_bytes() {
    type Bend = fn(&Asked, Reply) -> Reply;
    let content = noise(2, 200_000);
    let whole = Reply::new(200, content.clone());
    let cases: [(&str, Bend); 7] = [
        ("200 instead of 206", |_, reply| reply),
        ("another part", |_, _| {
            Reply::new(206, noise(3, 50_000)).with("Content-Range", "bytes 150000-199999/200000")
        }),
        ("no Content-Range", |_, reply| reply.without("Content-Range")),
        ("senseless Content-Range", |_, reply| reply.with("Content-Range", "bytes 9-1/3")),
        ("another length", |_, reply| reply.with("Content-Range", "bytes 100000-199999/200001")),
        ("416", |_, _| Reply::status(416).with("Content-Range", "bytes */200000")),
        ("another tag", |_, reply| reply.with("ETag", "\"other\"")),
    ];
    for (name, bend) in cases {
        let whole = whole.clone();
        let server = bent(&site(&content), move |number, asked, reply| match (number, name) {
            (0, _) => reply.cut_after(HALF),
            (1, "200 instead of 206") => whole.clone(),
            (1, _) => bend(asked, reply),
            _ => reply,
        });
        let mut case = Case::new(&[&server], &content);
        half(&mut case);
        case.run_for(&content);
        assert_eq!(case.talk.count("starting over"), 1, "{name}");
        let last = headers(&server, "range").pop().unwrap();
        assert!(last.is_none() || name == "200 instead of 206", "{name}: {last:?}");
    }
}

#[test]
fn a_server_that_always_sends_wrong_parts_is_not_asked_for_parts_again() {
    let content = noise(3, 200_000);
    let server = bent(&site(&content), |number, asked, reply| match asked.header("range") {
        Some(_) => reply.with("Content-Range", "bytes 0-99999/200000"),
        None if number == 0 => reply.cut_after(HALF),
        None => reply,
    });
    Case::new(&[&server], &content).run_for(&content);
    assert_eq!(headers(&server, "range").len(), 3);
}

#[test]
fn a_file_that_changed_is_fetched_from_its_start() {
    let (old, new) = (noise(4, 200_000), noise(5, 180_000));
    for ignores_if_range in [false, true] {
        let site = site(&old);
        let files = site.clone();
        let server = Server::http(move |asked| {
            let mut asked = asked.clone();
            if ignores_if_range {
                asked.headers.remove("if-range");
            }
            files.reply(&asked).cut_after(HALF)
        });
        let mut case = Case::new(&[&server], &new);
        half(&mut case);
        site.put(PATH, new.clone());
        let done = case.run_for(&new);
        assert_eq!(case.talk.count("starting over"), 1);
        assert!(done.bytes >= new.len() as u64);
    }
}

#[test]
fn parts_of_two_files_under_one_tag_are_noticed_by_the_digest_and_fetched_once_more() {
    let (old, new) = (noise(6, 200_000), noise(7, 200_000));
    let put = |site: &Site, bytes: &[u8]| {
        site.put_content(PATH, Body::Bytes(bytes.into(), 0..200_000), Some("\"same\"".to_owned()));
    };
    let site = Site::new();
    put(&site, &old);
    let server = bent(&site, |number, _, reply| if number == 0 { reply.cut_after(HALF) } else { reply });
    let mut case = Case::new(&[&server], &new);
    half(&mut case);
    put(&site, &new);
    let done = case.run_for(&new);
    assert_eq!((done.bytes, server.requests()), (HALF + 200_000, 3));
    assert_eq!(case.talk.count("starting over"), 1);

    // If the whole file is wrong too, that is the end of it.
    let server = bent(&site, |number, _, reply| if number == 0 { reply.cut_after(HALF) } else { reply });
    let mut case = Case::new(&[&server], &old);
    half(&mut case);
    let error = case.run().unwrap_err();
    assert!(matches!(error, FetchError::WrongDigest { .. }), "{error}");
    assert_eq!((server.requests(), case.left()), (3, vec![]));
}

#[test]
fn a_prefix_torn_by_a_power_failure_is_fetched_again() {
    let content = noise(8, 200_000);
    type Damage = fn(&std::path::Path);
    let damages: [Damage; 5] = [
        |place| fs_err::write(place.join("data"), vec![0; 200_000]).unwrap(),
        |place| fs_err::write(place.join("data"), "short").unwrap(),
        |place| fs_err::remove_file(place.join("data")).unwrap(),
        |place| fs_err::write(place.join("state.json"), "{\"have\":").unwrap(),
        |place| fs_err::write(place.join("state.json.new"), "junk").unwrap(),
    ];
    for damage in damages {
        let server =
            bent(&site(&content), |number, _, reply| if number == 0 { reply.cut_after(HALF) } else { reply });
        let mut case = Case::new(&[&server], &content);
        half(&mut case);
        damage(&case.place());
        case.run_for(&content);
    }
}

#[test]
fn without_a_digest_only_a_strong_tag_lets_a_transfer_go_on() {
    let content = noise(9, 200_000);
    let cases = [(Some("\"strong\""), 1, 200_000), (Some("W/\"weak\""), 2, 300_000), (None, 2, 300_000)];
    for (etag, whole, bytes) in cases {
        let site = Site::new();
        let body = Body::Bytes(content.clone().into(), 0..200_000);
        site.put_content(PATH, body, etag.map(str::to_owned));
        let server = bent(&site, |number, _, reply| if number == 0 { reply.cut_after(HALF) } else { reply });
        let mut case = Case::new(&[&server], &content);
        case.expected = None;
        let done = case.run_for(&content);
        assert_eq!(done.bytes, bytes, "{etag:?}");
        let ranges = headers(&server, "range");
        assert_eq!(ranges.iter().filter(|range| range.is_none()).count(), whole, "{etag:?}");
    }
}

#[test]
fn without_a_digest_nothing_of_an_earlier_run_is_used() {
    let content = noise(10, 200_000);
    let server =
        bent(&site(&content), |number, _, reply| if number == 0 { reply.cut_after(HALF) } else { reply });
    let mut case = Case::new(&[&server], &content);
    case.expected = None;
    half(&mut case);
    assert_eq!(case.run_for(&content).bytes, 200_000);
}

#[test]
fn the_rest_may_come_from_another_mirror() {
    let content = noise(11, 200_000);
    let first = bent(&site(&content), |number, _, reply| match number {
        0 => reply.cut_after(HALF),
        _ => Reply::status(404),
    });
    let second = bent(&site(&content), |_, _, reply| reply.with("ETag", "\"of another server\""));
    let case = Case::new(&[&first, &second], &content);
    let done = case.run_for(&content);
    assert_eq!(done.bytes, 200_000);
    assert_eq!(headers(&second, "range"), [Some("bytes=100000-".to_owned())]);
    assert_eq!(headers(&second, "if-range"), [None]);
    assert_eq!(case.talk.count("404 (Not Found) (tried 2 times); going on with"), 1, "{:?}", case.talk);
}

#[test]
fn a_complete_file_needs_no_network() {
    let (disk, compression) = (noise(12, 200_000), FileCompression::Zstd);
    for (served, compression) in [(disk.clone(), None), (compress(compression, &disk), Some(compression))] {
        let server = Server::http(site(&served).handler());
        let mut case = Case::new(&[&server], &served);
        case.compression = compression;
        let first = case.run_for(&disk);
        // As if the caller had been killed before it took the file.
        drop(server);
        let second = case.run_for(&disk);
        assert_eq!((first.bytes, second.bytes), (served.len() as u64, 0));
        assert_eq!(first.from, second.from);
    }
}

#[test]
fn what_belongs_to_another_digest_is_not_used() {
    let (one, two) = (noise(13, 200_000), noise(14, 200_000));
    let site = site(&one);
    let server = Server::http(site.handler());
    let mut case = Case::new(&[&server], &one);
    case.run_for(&one);
    site.put(PATH, two.clone());
    case.expected = Some(Checksum::of(Algorithm::Sha256, &two));
    assert_eq!(case.run_for(&two).bytes, 200_000);
}

#[test]
fn a_body_of_unknown_length_may_turn_out_to_be_complete() {
    let content = noise(15, 200_000);
    let server = bent(&site(&content), |number, _, reply| match number {
        // All bytes, but not the end.
        0 => {
            let body = Body::Bytes(noise(15, 200_000).into_iter().chain([0]).collect(), 0..200_001);
            Reply { body, ..reply }.framed(Framing::Chunked).cut_after(200_000)
        }
        _ => reply,
    });
    let case = Case::new(&[&server], &content);
    assert_eq!(case.run_for(&content).bytes, 200_000);
    assert_eq!(server.log()[1].status, 416);
}

#[test]
fn an_interruption_is_immediate_and_the_next_run_goes_on() {
    let content = noise(16, 200_000);
    let server = bent(&site(&content), |number, _, reply| match number {
        0 => reply.stall_after(HALF),
        _ => reply,
    });
    let mut case = Case::new(&[&server], &content);
    case.options.stall_timeout = Duration::from_secs(60);
    let cancel = case.cancel.clone();
    let place = case.place();
    let (mut raised, watcher) = (
        Instant::now(),
        std::thread::spawn(move || {
            // Until half of it is there.
            while fs_err::metadata(place.join("data")).map_or(0, |meta| meta.len()) == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(100));
            cancel.raise();
            Instant::now()
        }),
    );
    let error = case.run().unwrap_err();
    raised = raised.max(watcher.join().unwrap());
    assert!(matches!(error, FetchError::Cancelled(Cancelled)), "{error}");
    assert!(raised.elapsed() < Duration::from_secs(1));
    case.cancel = Cancel::new();
    let done = case.run_for(&content);
    assert!(done.bytes < 200_000, "{} bytes came again", done.bytes);

    case.cancel.raise();
    assert!(matches!(case.run(), Err(FetchError::Cancelled(_))));
}

#[test]
fn a_mirror_with_a_file_of_another_size_is_left_out() {
    let content = noise(17, 200_000);
    let first = Server::http(site(&noise(18, 150_000)).handler());
    let second = Server::http(site(&content).handler());
    let mut case = Case::new(&[&first, &second], &content);
    case.size = Some(200_000);
    case.run_for(&content);
    assert_eq!(first.requests(), 1);
    case.urls.truncate(1);
    case.expected = Some(Checksum::of(Algorithm::Sha256, b"another"));
    let error = case.run().unwrap_err();
    let FetchError::Failed { tried, .. } = &error else { panic!("{error}") };
    assert_eq!(tried[0].problem, Problem::WrongSize { expected: 200_000, found: 150_000 });
}
