//! Files that come over several connections.

use crate::control::Control;
use std::sync::Condvar;

use super::*;
use crate::fetch::FileCompression;
use crate::fetch::testing::compress;

const SIZE: usize = 2_000_000;

/// The parts that were asked for, whole files left out.
fn parts(server: &Server) -> usize {
    headers(server, "range").iter().flatten().count()
}

#[test]
fn a_large_file_comes_in_parts() {
    let content = noise(1, SIZE);
    let server = Server::http(site(&content).handler());
    let case = Case::new(&[&server], &content);
    let done = case.run_for(&content);
    assert_eq!(done.bytes, SIZE as u64);
    assert_eq!((server.requests(), parts(&server)), (20, 19));
    let validators = headers(&server, "if-range");
    assert!(validators[1..].iter().all(|validator| *validator == done.from.etag));
}

#[test]
fn a_small_file_a_single_connection_or_a_server_without_parts_means_one_request() {
    let content = noise(2, SIZE);
    let silent = |_, _: &Asked, reply: Reply| reply.without("Accept-Ranges");
    let cases = [(u64::MAX, 4), (1 << 20, 1), (1 << 20, 4)];
    for (parallel_from, connections) in cases {
        let server = match (parallel_from, connections) {
            (0x10_0000, 4) => bent(&site(&content), silent),
            _ => Server::http(site(&content).handler()),
        };
        let mut case = Case::new(&[&server], &content);
        (case.options.parallel_from, case.options.connections) = (parallel_from, connections);
        assert_eq!(case.run_for(&content).bytes, SIZE as u64);
        assert_eq!((server.requests(), parts(&server)), (1, 0));
    }
}

#[test]
fn a_part_that_fails_is_fetched_again_and_no_other() {
    let content = noise(3, SIZE);
    type Bend = fn(Reply) -> Reply;
    let cases: [Bend; 2] = [|reply| reply.cut_after(30_000), |_| Reply::status(500)];
    for bend in cases {
        let server =
            bent(&site(&content), move |number, _, reply| if number == 5 { bend(reply) } else { reply });
        let case = Case::new(&[&server], &content);
        let done = case.run_for(&content);
        assert_eq!(done.bytes, SIZE as u64, "no byte is written twice");
        assert_eq!(case.talk.count("starting over"), 0);
    }
}

/// One connection asks for everything that is missing, several ask for parts. This server refuses every part, and its
/// answers to the first connection stand still, so that nobody but the other connections asks for one.
#[test]
fn a_server_that_refuses_several_connections_gets_fewer() {
    let content = noise(4, SIZE);
    let files = site(&content);
    // The parts that were asked for, attempt by attempt.
    let attempts = Arc::new((Mutex::new(Vec::<usize>::new()), Condvar::new()));
    let seen = Arc::clone(&attempts);
    let server = Server::http(move |asked| {
        let (attempts, changed) = &*seen;
        let mut attempts = attempts.lock().unwrap();
        if asked.header("range").is_none_or(|range| range.ends_with('-')) {
            attempts.push(0);
            let reply = files.reply(asked);
            // Of the third attempt, one connection is all that is left.
            return if attempts.len() < 3 { reply.stall_after(1000) } else { reply };
        }
        let attempt = attempts.len() - 1;
        attempts[attempt] += 1;
        changed.notify_all();
        // The first refusal ends an attempt: it waits for the three others that there are in the beginning.
        let wanted = if attempt == 0 { 3 } else { 1 };
        let waited = changed
            .wait_timeout_while(attempts, Duration::from_secs(4), |attempts| attempts[attempt] < wanted);
        drop(waited.unwrap());
        Reply::status(503)
    });
    let mut case = Case::new(&[&server], &content);
    case.options.parallel_from = 1;
    case.run_for(&content);
    assert_eq!(*attempts.0.lock().unwrap(), [3, 1, 0], "four connections, two, one");
}

#[test]
fn a_server_that_sends_wrong_parts_is_asked_for_the_whole() {
    let content = noise(5, SIZE);
    type Bend = fn(&Asked, Reply) -> Reply;
    let cases: [(&str, Bend); 3] = [
        ("the whole", |asked, reply| {
            if asked.header("range").is_some() {
                Reply { headers: reply.headers, ..Reply::new(200, noise(5, SIZE)) }
            } else {
                reply
            }
        }),
        ("another part", |asked, reply| {
            if asked.header("range").is_some() {
                reply.with("Content-Range", "bytes 1-100000/2000000")
            } else {
                reply
            }
        }),
        ("no Content-Range", |_, reply| reply.without("Content-Range")),
    ];
    for (name, bend) in cases {
        let server = bent(&site(&content), move |number, asked, reply| {
            let reply = bend(asked, reply);
            // Otherwise a fast server may be done before anybody asks for parts.
            if number == 0 { reply.stall_after(SIZE as u64 / 4) } else { reply }
        });
        let case = Case::new(&[&server], &content);
        case.run_for(&content);
        assert_eq!(case.talk.count("starting over"), 1, "{name}");
        let whole = headers(&server, "range").iter().filter(|range| range.is_none()).count();
        assert_eq!(whole, 2, "{name}: at first, and when it became clear that parts are not to be had");
    }
}

#[test]
fn a_file_that_changes_between_parts_is_fetched_from_its_start() {
    let (old, new) = (noise(6, SIZE), noise(7, SIZE));
    for ignores_if_range in [false, true] {
        let (before, after) = (site(&old), site(&new));
        let server = bent(&before, move |number, asked, reply| {
            let mut asked = asked.clone();
            if ignores_if_range {
                asked.headers.remove("if-range");
            }
            if number < 7 { reply } else { after.reply(&asked) }
        });
        let case = Case::new(&[&server], &new);
        case.run_for(&new);
        assert!(case.talk.count("starting over: the file changed") >= 1, "{:?}", case.talk);
    }
}

#[test]
fn parts_are_asked_of_the_server_that_was_redirected_to() {
    let content = noise(8, SIZE);
    let mirror = Server::http(site(&content).handler());
    let target = mirror.url(PATH);
    let server = Server::http(move |_| Reply::redirect(302, &target));
    let case = Case::new(&[&server], &content);
    let done = case.run_for(&content);
    assert_eq!((server.requests(), mirror.requests()), (1, 20));
    assert_eq!(done.from.redirects, [mirror.url(PATH)]);
}

#[test]
fn parts_are_extracted_in_order() {
    let (disk, compression) = (noise(9, SIZE), FileCompression::Zstd);
    let archive = compress(compression, &disk);
    let server = Server::http(site(&archive).handler());
    let mut case = Case::new(&[&server], &archive);
    case.compression = Some(compression);
    let done = case.run_for(&disk);
    assert_eq!(done.transferred, Checksum::of(Algorithm::Sha256, &archive));
    assert!(parts(&server) > 10);
}

#[test]
fn several_threads_may_download_at_the_same_time() {
    let site = Site::new();
    for number in 0..6 {
        site.put(&format!("/{number}"), noise(number, SIZE));
    }
    let server = Server::http(site.handler());
    let fetcher = Fetcher::new(options(), &Control::none()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (fetcher, dir, url) = (&fetcher, dir.path(), server.url(&format!("/{number}")));
            scope.spawn(move || {
                let request = Request {
                    urls: &[url.parse().unwrap()],
                    what: "one of six",
                    expected: None,
                    size: None,
                    compression: None,
                    max_size: 1 << 30,
                    authorization: None,
                };
                let done = fetcher.download(&request, &dir.join(number.to_string())).unwrap();
                assert_eq!(done.sha256, crate::digest::Digest::of(&noise(number, SIZE)));
            });
        }
    });
}
