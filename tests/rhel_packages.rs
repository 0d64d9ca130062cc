//! Packages of Red Hat's family, resolved and fetched on this host by the program as a whole. The appliance does not start here.
//!
//! * Behind a subscription, from a server that wants to see an entitlement. However a build ends, nobody stays registered, and no
//!   secret is left: not in the cache (layers, logs, work directories), not in temporary files, and not in what is told. What gets
//!   into images is looked at in `subscription.rs`.
//! * What is wrong with packages and repositories, each with its own message and exit code.
//! * What is said beforehand where the guest has to do it.

mod common;

#[path = "rhel_packages/bad_input.rs"]
mod bad_input;

use std::process::{Child, Stdio};

use common::candlepin::{KEY, PASSWORD, USER};
use common::http::Reply;
use common::outcome;
use common::registered::{CONTENT, Place, RHEL, wait_for};
use fs_err as fs;
use sha2::Digest;

/// Where the server has the repository, as its log writes it.
fn below(path: &str) -> String {
    format!("GET /cdn/content/dist/rhel9/9/{}/baseos/os/{path}", std::env::consts::ARCH)
}

/// Nobody is registered, and nothing secret is anywhere.
#[track_caller]
fn assert_clean(place: &Place, found: &common::Outcome) {
    assert!(place.server.registered().is_empty() && place.records().is_empty(), "{}", found.stderr);
    place.no_secrets(found);
}

#[test]
fn packages_are_fetched_with_the_entitlement_and_the_system_is_gone_before_they_are_installed() {
    let place = Place::with_packages();
    let found = outcome(&mut place.with_key(&["--verbose"]));
    assert_eq!(found.code, Some(7), "only the appliance is missing: {}", found.stderr);
    assert_clean(&place, &found);
    let requests = place.server.requests();
    assert_eq!(requests.last().map(String::as_str), Some("DELETE /consumers/ID 204"), "{requests:?}");
    assert!(requests.iter().all(|line| !line.ends_with(" 403")), "{requests:?}");
    for (name, version, _) in CONTENT {
        let package = below(&format!("Packages/{name}-{version}.noarch.rpm"));
        let times = requests.iter().filter(|line| **line == format!("{package} 200")).count();
        assert_eq!(times, 1, "{package}: {requests:?}");
        let file = place.path(&package.replacen("GET /cdn", "content", 1));
        let digest = sha2::Sha256::digest(fs::read(&file).unwrap());
        let digest = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let kept = place.path(&format!("cache/v1/dnf/packages/{digest}.rpm"));
        assert_eq!(fs::read(kept).unwrap(), fs::read(file).unwrap());
    }

    // Nothing is asked once more, and nobody registers.
    let found = outcome(&mut place.with_key(&["--offline"]));
    assert_eq!((found.code, place.server.requests().len()), (Some(7), requests.len()), "{}", found.stderr);
    place.no_secrets(&found);
    for arguments in [&["--dry-run", "--json"][..], &["--dry-run"]] {
        let found = outcome(&mut place.with_key(arguments));
        assert!(found.code == Some(0) && found.stdout.contains("bash"), "{found:?}");
        place.no_secrets(&found);
    }
    // The same with a user.
    let (server, content) = (place.server.url(), place.server.content());
    let user = [
        "--rhsm-server",
        &server,
        "--rhsm-baseurl",
        &content,
        "--rhsm-user",
        USER,
        "--rhsm-password-file",
        "password",
    ];
    let found = outcome(&mut place.build(&user));
    assert_eq!(found.code, Some(7), "{}", found.stderr);
    assert!(place.server.requests().iter().any(|line| line.starts_with("GET /users/")));
    assert_clean(&place, &found);
}

#[test]
fn what_the_server_of_packages_may_do_wrong() {
    let place = Place::with_packages();
    let metadata = below("repodata/");
    let package = below("Packages/bash");
    let metadata: &'static str = metadata.leak();
    let package: &'static str = package.leak();
    let whole = place.path(&below("Packages/bash-5.1-2.noarch.rpm").replacen("GET /cdn", "content", 1));
    let whole = fs::read(whole).unwrap();
    let garbage = || Reply::new(200, vec![b'x'; 5000]);
    for (case, at, reply, code, said) in [
        ("it refuses", metadata, Reply::status(403), 4, "Status code: 403"),
        ("it is out of order", metadata, Reply::status(503), 4, "Status code: 503"),
        ("it falls silent", metadata, garbage().stall_after(10), 4, "too slow"),
        ("it breaks off", metadata, garbage().cut_after(100), 4, ""),
        ("it has something else", metadata, garbage(), 5, ""),
        ("a package is missing", package, Reply::status(404), 4, "Status code: 404"),
        ("a package is refused", package, Reply::status(403), 4, "Status code: 403"),
        ("a package is another file", package, garbage(), 5, ""),
        ("a package falls silent", package, Reply::new(200, whole).stall_after(10), 4, "too slow"),
    ] {
        place.server.state().instead = vec![(at, u32::MAX, reply)];
        let found = outcome(&mut place.with_key(&["--verbose"]));
        assert_eq!(found.code, Some(code), "{case}: {}", found.stderr);
        assert!(found.stderr.contains(said), "{case}: {}", found.stderr);
        assert_clean(&place, &found);
        let left = fs::read_dir(place.path("cache/v1/work")).into_iter().flatten().count();
        assert_eq!(left, 0, "{case}");
    }
    place.server.state().instead.clear();
    let found = outcome(&mut place.with_key(&[]));
    assert_eq!(found.code, Some(7), "nothing of it lasts: {}", found.stderr);
}

/// A build that waits in the middle of a package.
fn fetching(place: &Place) -> Child {
    let stall = Reply::new(200, vec![b' '; 1000]).stall_after(100);
    let bash: &'static str = below("Packages/bash").leak();
    place.server.state().instead = vec![(bash, u32::MAX, stall)];
    let mut command = place.with_key(&["--verbose"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("a package", || place.server.state().instead[0].1 < u32::MAX);
    child
}

fn ended(child: Child) -> common::Outcome {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    common::Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Lets nothing stall, so that what a killed build left running ends.
fn fetch_on(place: &Place) {
    place.server.state().instead.clear();
}

#[test]
fn interrupted_while_a_package_comes() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let place = Place::with_packages();
        let child = fetching(&place);
        assert_eq!(place.server.registered().len(), 1);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let found = ended(child);
        assert_eq!(found.code, Some(130), "{}", found.stderr);
        assert_clean(&place, &found);
        assert_eq!(fs::read_dir(place.path("cache/v1/work")).unwrap().count(), 0);
    }
}

/// The keys lie in the work directory of the process that is killed; whatever runs next takes them and the registration away.
#[test]
fn killed_while_a_package_comes() {
    let place = Place::with_packages();
    for next in [&["cache", "gc"][..], &["cache", "verify"], &["build"]] {
        let mut child = fetching(&place);
        child.kill().unwrap();
        let killed = ended(child);
        assert_eq!((killed.code, place.server.registered().len()), (None, 1));
        assert!(!place.with_secrets().is_empty(), "there was something to clean up");
        for told in [KEY, PASSWORD] {
            assert!(!killed.stderr.contains(told) && !killed.stdout.contains(told));
        }
        fetch_on(&place);
        let found = match next {
            ["build"] => outcome(&mut place.build(&[])),
            arguments => outcome(&mut place.tib(arguments)),
        };
        assert!(found.stderr.contains("which an earlier run had left registered"), "{}", found.stderr);
        assert_clean(&place, &found);
    }
    assert_eq!(place.server.state().gone.len(), 3);
}

/// What the guest has to fetch by itself is said when it is planned, and is no plan without a network.
#[test]
fn a_plan_says_that_the_guest_installs_its_packages_itself() {
    const LEAP: &str =
        "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\nVERSION_ID=15.6\nPRETTY_NAME=\"openSUSE Leap 15.6\"\n";
    for (os_release, said) in [
        (LEAP, "installed from inside the guest, over the network: zypper resolves in the guest only"),
        (
            RHEL,
            "installed from inside the guest, over the network: cannot resolve packages on this host: `rpm` does not run",
        ),
    ] {
        let place = Place::new(os_release);
        let found = outcome(&mut place.build(&["--dry-run"]));
        assert!(found.code == Some(0) && found.stderr.contains(said), "{found:?}");
        let found = outcome(&mut place.build(&["--dry-run", "--offline"]));
        assert!(found.code == Some(7) && found.stderr.contains("and the build is offline"), "{found:?}");
        let text = "name = \"wants\"\nsummary = \"A test\"\nstage = \"site\"\n";
        place.write("wants.toml", text);
        let found = outcome(&mut place.build(&["--dry-run"]));
        assert!(found.code == Some(0) && !found.stderr.contains("from inside the guest"), "{found:?}");
    }
}
