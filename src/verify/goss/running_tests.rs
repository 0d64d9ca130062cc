use std::process::Command;

use super::super::Goss;
use super::*;

fn tests(text: &str) -> Vec<RunningTest> {
    Goss::parse(text.as_bytes()).unwrap().running
}

/// Runs a test's command here, as the guest would, and judges it.
fn judged(test: &RunningTest) -> Option<String> {
    let output = Command::new("sh").args(["-c", &test.command]).output().unwrap();
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let (stdout, stderr) = (lines(&output.stdout), lines(&output.stderr));
    test.wrong(Printed { code: output.status.code().unwrap_or(-1), stdout: &stdout, stderr: &stderr })
}

#[test]
fn commands_ask_what_the_tests_say() {
    let text = "command:\n  'echo one; echo two >&2; exit 3':\n    exit-status: 3\n    stdout: [one, '!two', '/^o.e$/', '!/three/']\n\
                \x20   stderr: [two]\n    timeout: 1500\nport:\n  tcp:22: {listening: true, ip: [0.0.0.0]}\n  udp6:53: {listening: false}\n\
                process:\n  a-very-long-name-of-a-process: {running: true}\nmount:\n  /: {exists: true, filesystem: ext4, opts: [rw]}\n\
                interface:\n  lo: {exists: true, addrs: [127.0.0.1/8], mtu: 65536}\naddr:\n  tcp://controller:5672: {reachable: true}\n\
                dns:\n  localhost: {resolvable: true, addrs: ['127.0.0.1']}\nhttp:\n  http://localhost:80/x: {status: 200, body: [welcome]}\n\
                service:\n  docker: {running: true}\nkernel-param:\n  kernel.ostype: {value: Linux}\n";
    let tests = tests(text);
    let shown: Vec<_> = tests
        .iter()
        .map(|test| format!("{} [{} s]\n    {}", test.title, test.seconds, test.command))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn true_ones_hold_and_false_ones_do_not() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    for (text, expected) in [
        (
            "command:\n  'echo one; exit 3': {exit-status: 3, stdout: [one, '!two', '/^o.e$/']}".to_owned(),
            None,
        ),
        ("command:\n  'exit 3': {exit-status: 0}".to_owned(), Some("exit code 3 instead of 0")),
        ("command:\n  'echo no >&2; exit 3': {}".to_owned(), Some("exit code 3 instead of 0 (no)")),
        ("command:\n  show: {exec: 'echo a', stdout: [b]}".to_owned(), Some("`b` is not printed (a)")),
        ("command:\n  show: {exec: 'echo a', stdout: ['!a']}".to_owned(), Some("`a` is printed")),
        (
            "command:\n  show: {exec: 'echo a', stderr: ['a']}".to_owned(),
            Some("`a` is not printed on standard error"),
        ),
        (format!("process: {{'{}': {{running: true}}}}", comm.trim()), None),
        ("process: {no-such-thing: {running: true}}".to_owned(), Some("exit code 1 instead of 0")),
        ("process: {no-such-thing: {running: false}}".to_owned(), None),
        (format!("addr: {{'tcp://127.0.0.1:{port}': {{reachable: true}}}}"), None),
        ("addr: {'tcp://127.0.0.1:1': {reachable: false}}".to_owned(), None),
        ("addr: {'tcp://127.0.0.1:1': {reachable: true}}".to_owned(), Some("exit code 1 instead of 0")),
        ("interface: {lo: {exists: true, mtu: 65536}}".to_owned(), None),
        ("interface: {lo: {mtu: 1}}".to_owned(), Some("`1` is not printed (65536)")),
        ("dns: {localhost: {resolvable: true}}".to_owned(), None),
        ("dns: {nothing.invalid: {resolvable: false}}".to_owned(), None),
        ("kernel-param: {kernel.ostype: {value: Linux}}".to_owned(), None),
        ("kernel-param: {kernel.ostype: {value: Hurd}}".to_owned(), Some("`Hurd` is not printed (Linux)")),
    ] {
        let found: Vec<_> = tests(&text).iter().filter_map(judged).collect();
        match expected {
            None => assert_eq!(found, Vec::<String>::new(), "{text}"),
            Some(expected) => assert!(found.concat().contains(expected), "{text}: {found:?}"),
        }
    }
}

#[test]
fn an_answer_of_a_server_is_read() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/there", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(b"HTTP/1.0 404 No\r\nContent-Length: 7\r\n\r\nwelcome").unwrap();
        }
    });
    let good = &tests(&format!("http: {{'{url}': {{status: 404, body: [welcome]}}}}"))[0];
    assert_eq!(judged(good), None);
    let bad = &tests(&format!("http: {{'{url}': {{status: 200}}}}"))[0];
    assert_eq!(judged(bad).unwrap(), "`HTTP 200` is not printed (welcome)");
    server.join().unwrap();
}

#[test]
fn what_has_no_end_fails() {
    let test = &tests("command: {sleep: {timeout: 2500}}")[0];
    let wrong = test.wrong(Printed { code: -1, stdout: &[], stderr: &[] });
    assert_eq!(wrong.unwrap(), "it did not end within 3 s");
}

#[test]
fn mistakes() {
    for (text, expected) in [
        ("port: {22/tcp: {listening: true}}", "is no port"),
        ("port: {sctp:22: {listening: true}}", "is no port"),
        ("command: {a: {exit-status: many}}", "is no exit code"),
        ("command: {a: {stdout: ['/(/']}}", "not a regular expression"),
        ("command: {a: {timeout: soon}}", "no milliseconds"),
        ("addr: {'udp://a:1': {reachable: true}}", "like tcp://controller:5672"),
        ("process: {a: {running: perhaps}}", "neither true nor false"),
    ] {
        let fault = Goss::parse(text.as_bytes()).unwrap_err();
        assert!(fault.contains(expected), "{text}: {fault}");
    }
}

#[test]
fn matchers_are_not_judged() {
    let goss = Goss::parse(
        b"command: {a: {stdout: {have-len: 3}, exit-status: {gt: 1}}}\nmatching: {a: {content: 1}}",
    )
    .unwrap();
    let titles: Vec<_> = goss.not_judged().into_iter().map(|result| result.title).collect();
    assert_eq!(titles, ["command a: stdout", "command a: exit-status", "matching a"]);
    assert_eq!(goss.running.len(), 1);
}
