//! What servers answer before they send anything, and what becomes of it.

use super::*;
use crate::control::Control;
use crate::error::{Diagnose, Exit};
use crate::fetch::Problem;
use std::io::Write;
use std::net::TcpListener;
use std::time::{Instant, SystemTime};

fn fetcher(options: Options) -> Fetcher {
    Fetcher::new(options, &Control::none()).unwrap()
}

fn url(server: &Server, path: &str) -> Url {
    server.url(path).parse().unwrap()
}

/// The only problem of a failed request for a small file, and how often it was tried.
fn problem(options: Options, url: Url) -> (Problem, u32) {
    match fetcher(options).small(&[url], 1000).unwrap_err() {
        FetchError::Failed { mut tried, .. } => {
            let tried = tried.remove(0);
            (tried.problem, tried.attempts)
        }
        error => panic!("{error}"),
    }
}

#[test]
fn a_small_file_comes_with_where_it_came_from() {
    let site = site(b"sums");
    let server = Server::http(site.handler());
    let mut with_secrets = url(&server, "/images/disk.img?token=x");
    with_secrets.set_username("user").unwrap();
    let small = fetcher(options()).small(&[with_secrets], 4).unwrap();
    assert_eq!(small.bytes, b"sums");
    assert_eq!(small.from.url, server.url(PATH));
    assert!(
        small.from.etag.is_some() && small.from.last_modified.is_some() && small.from.redirects.is_empty()
    );
    assert_eq!(
        problem(options(), url(&server, "/images/other")).0.to_string(),
        "the server answered 404 (Not Found)"
    );
    let error = fetcher(options()).small(&[url(&server, PATH)], 3).unwrap_err();
    assert_eq!(error.exit(), Exit::Integrity, "{error}");
    assert_eq!(headers(&server, "user-agent")[0], Some(format!("tib/{}", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_head_brings_status_and_length() {
    let server = bent(&site(b"0123456789"), |number, _, reply| match number {
        0 => Reply::status(503),
        _ => reply,
    });
    let fetcher = fetcher(options());
    let head = fetcher.head(&url(&server, PATH)).unwrap();
    assert_eq!((head.status, head.length), (200, Some(10)));
    assert_eq!(fetcher.head(&url(&server, "/none")).unwrap().status, 404);
    let methods: Vec<_> = server.log().into_iter().map(|logged| logged.request.method).collect();
    assert_eq!(methods, ["HEAD"; 3]);
}

#[test]
fn redirects_are_followed_and_recorded() {
    let server = Server::http({
        let site = site(b"here");
        move |request| match request.path.as_str() {
            "/a" => Reply::redirect(301, "/b?secret"),
            "/b?secret" => Reply::redirect(302, "c"),
            "/c" => Reply::redirect(307, PATH),
            _ => site.reply(request),
        }
    });
    let small = fetcher(options()).small(&[url(&server, "/a")], 9).unwrap();
    assert_eq!(small.bytes, b"here");
    assert_eq!(small.from.redirects, ["/b", "/c", PATH].map(|path| server.url(path)));
}

#[test]
fn redirects_that_lead_nowhere_are_final() {
    let server = Server::http(|request| match request.path.as_str() {
        "/circle" => Reply::redirect(302, "/circle2"),
        "/circle2" => Reply::redirect(302, "/circle"),
        "/nowhere" => Reply::status(302),
        "/file" => Reply::redirect(302, "file:///etc/passwd"),
        path => Reply::redirect(302, &format!("{path}x")),
    });
    let cases = [
        ("/circle", "in a circle"),
        ("/nowhere", "to nowhere"),
        ("/file", "no URL of http"),
        ("/more", "more than 10 times"),
    ];
    for (path, expected) in cases {
        let (problem, attempts) = problem(options(), url(&server, path));
        assert!(matches!(&problem, Problem::Redirect(text) if text.contains(expected)), "{path}: {problem}");
        assert_eq!(attempts, 1);
    }
    let (refused, _) = problem(options(), "ftp://127.0.0.1/x".parse().unwrap());
    assert_eq!(refused, Problem::BadUrl);
}

#[test]
fn ten_redirects_are_not_too_many() {
    let server = Server::http(|request| match request.path.len() {
        11 => Reply::new(200, *b"end"),
        _ => Reply::redirect(302, &format!("{}x", request.path)),
    });
    let small = fetcher(options()).small(&[url(&server, "/")], 9).unwrap();
    assert_eq!((small.from.redirects.len(), small.bytes), (10, b"end".to_vec()));
}

#[test]
fn only_a_trusted_certificate_is_good_enough() {
    let server = Server::https(site(b"safe").handler());
    let (untrusted, attempts) = problem(Options { system_roots: true, ..options() }, url(&server, PATH));
    assert!(matches!(&untrusted, Problem::Tls(text) if text.contains("UnknownIssuer")), "{untrusted}");
    assert_eq!((attempts, server.requests()), (1, 0));

    let mut trusting = options();
    trusting.roots = vec![server.authority().as_bytes().to_vec()];
    let small = fetcher(trusting.clone()).small(&[url(&server, PATH)], 9).unwrap();
    assert_eq!(small.bytes, b"safe");
    // A name that is not in the certificate.
    let mut other = url(&server, PATH);
    other.set_host(Some("127.0.0.2")).unwrap();
    let (other, _) = problem(trusting.clone(), other);
    assert!(matches!(other, Problem::Tls(_) | Problem::Connect(_)), "{other}");
    // A server that speaks no TLS.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let answer = std::thread::spawn(move || plain.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad\r\n\r\n"));
    let (plain, attempts) = problem(trusting, format!("https://{address}/x").parse().unwrap());
    answer.join().unwrap().unwrap();
    assert!(matches!(plain, Problem::Tls(_)), "{plain}");
    assert_eq!(attempts, 1);
}

#[test]
fn a_redirect_never_leaves_https_but_may_enter_it() {
    let plain = Server::http(site(b"plain").handler());
    let target = plain.url(PATH);
    let files = site(b"safe");
    let safe = Server::https(move |request| match request.path.as_str() {
        "/down" => Reply::redirect(302, &target),
        _ => files.reply(request),
    });
    let mut trusting = options();
    trusting.roots = vec![safe.authority().as_bytes().to_vec()];
    let (down, attempts) = problem(trusting.clone(), url(&safe, "/down"));
    assert!(matches!(&down, Problem::Redirect(text) if text.starts_with("from https to")), "{down}");
    assert_eq!((attempts, plain.requests()), (1, 0));
    let target = safe.url(PATH);
    let up = Server::http(move |_| Reply::redirect(302, &target));
    assert_eq!(fetcher(trusting).small(&[url(&up, "/up")], 9).unwrap().bytes, b"safe");
}

#[test]
fn a_certificate_that_is_none_is_said() {
    let mut options = options();
    options.roots = vec![b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()];
    let (setup, attempts) = problem(options, "https://127.0.0.1:9/x".parse().unwrap());
    assert!(matches!(setup, Problem::Setup(_)), "{setup}");
    assert_eq!(attempts, 1);
}

#[test]
fn every_request_says_which_program_asks() {
    let content = noise(2, 2_000_000);
    let server = Server::http(site(&content).handler());
    Case::new(&[&server], &content).run_for(&content);
    fetcher(options()).small(&[url(&server, PATH)], 1 << 30).unwrap();
    let names = headers(&server, "user-agent");
    assert!(names.len() > 2, "a file in parts, and one in a piece");
    let name = Some(concat!("tib/", env!("CARGO_PKG_VERSION")).to_owned());
    assert!(names.iter().all(|sent| *sent == name), "{names:?}");
}

#[test]
fn what_is_about_the_moment_is_tried_again_and_the_rest_is_not() {
    let content = noise(1, 1000);
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let server = bent(&site(&content), move |number, _, reply| match number {
            0 | 1 => Reply::status(status),
            _ => reply,
        });
        Case::new(&[&server], &content).run_for(&content);
        assert_eq!(server.requests(), 3, "{status}");
    }
    for status in [400, 401, 403, 404, 410, 416, 451, 501, 505, 204, 206, 300, 304] {
        let server = Server::http(move |_| Reply::status(status));
        let error = Case::new(&[&server], &content).run().unwrap_err();
        assert!(error.to_string().contains(&format!("answered {status}")), "{error}");
        assert_eq!((server.requests(), error.exit()), (1, Exit::Network), "{status}");
        assert_eq!(error.is_missing(), matches!(status, 404 | 410));
    }
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_asks() {
    let date = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    type Wait = Box<dyn Fn() -> String + Send + Sync>;
    let cases: [(u16, Wait, u64, f32); 3] = [
        (429, Box::new(|| "1".to_owned()), 2, 1.0),
        // A date has whole seconds, so it may be up to one nearer.
        (503, Box::new(date), 9, 1.0),
        (429, Box::new(|| "3600".to_owned()), 1, 1.0),
    ];
    for (status, wait, longest, least) in cases {
        let server = bent(&site(b"content"), move |number, _, reply| match number {
            0 => Reply::status(status).with("Retry-After", &wait()),
            _ => reply,
        });
        let mut case = Case::new(&[&server], b"content");
        case.options.longest_wait = Duration::from_secs(longest);
        let started = Instant::now();
        case.run_for(b"content");
        let took = started.elapsed().as_secs_f32();
        assert!((least..least + 3.0).contains(&took), "{status}: {took}");
        assert_eq!(case.talk.count("next attempt in"), 1);
    }
}

#[test]
fn the_next_mirror_is_asked_when_one_fails() {
    let content = noise(2, 1000);
    let gone = Server::http(|_| Reply::status(404));
    let broken = Server::http(|_| Reply::status(500));
    let good = Server::http(site(&content).handler());
    let mut case = Case::new(&[&gone, &broken, &good], &content);
    let done = case.run_for(&content);
    assert_eq!(done.from.url, good.url(PATH));
    assert_eq!((gone.requests(), broken.requests(), good.requests()), (1, 4, 1));
    assert_eq!(case.talk.count("going on with"), 2);

    case.urls.truncate(2);
    case.expected = Some(Checksum::of(Algorithm::Sha256, b"another"));
    let (error, gone, broken) = (case.run().unwrap_err(), gone.url(PATH), broken.url(PATH));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot fetch disk.img: `{gone}`: the server answered 404 (Not Found); \
             `{broken}`: the server answered 500 (Internal Server Error) (tried 4 times)"
        )
    );
}

#[test]
fn nobody_at_the_other_end_is_said() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (refused, attempts) = problem(options(), format!("http://127.0.0.1:{port}/x").parse().unwrap());
    assert!(refused.to_string().starts_with("cannot connect: Connection refused"), "{refused}");
    assert_eq!(attempts, 4);
}
