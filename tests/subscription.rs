//! RHEL as a base: a build registers with a server of subscriptions, and is gone from there however it ends.

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::candlepin::{KEY, ORG, USER};
use common::http::Reply;
use common::registered::{Place, RHEL, wait_for};
use common::{outcome, tib};
use fs_err as fs;

/// The appliance cannot start, and the consumer is gone all the same; nothing secret is left or told.
#[test]
fn a_build_that_fails_unregisters() {
    let place = Place::rhel();
    let found = outcome(&mut place.with_key(&["--verbose"]));
    assert_eq!(found.code, Some(7), "{}", found.stderr);
    assert!(found.stderr.contains("rhel-9-baseos-rpms"), "{}", found.stderr);
    assert!(place.server.registered().is_empty() && place.records().is_empty());
    assert_eq!(place.server.state().gone.len(), 1);
    place.no_secrets(&found);
}

#[test]
fn nothing_is_registered_that_has_no_use() {
    let debian = Place::new("ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
    let found = outcome(&mut debian.with_key(&[]));
    assert!(
        found.stderr.contains("Debian GNU/Linux 12 (bookworm) needs no subscription"),
        "{}",
        found.stderr
    );
    assert!(debian.server.requests().is_empty());

    let place = Place::rhel();
    let found = outcome(&mut place.build(&[]));
    assert!(found.stderr.contains("open to registered systems only"), "{}", found.stderr);
    for arguments in [&["--dry-run"][..], &["--offline"]] {
        outcome(&mut place.with_key(arguments));
    }
    place.write("wants.toml", "name = \"wants\"\nsummary = \"A test\"\nstage = \"site\"\n");
    outcome(&mut place.with_key(&[]));
    assert!(place.server.requests().is_empty(), "{:?}", place.server.requests());
}

/// The server gets what each option and variable says.
#[test]
fn options_and_variables_reach_the_server() {
    let place = Place::rhel();
    let url = place.server.url();
    let registered = |command: &mut Command| {
        let before = place.server.requests().len();
        let found = outcome(command);
        assert_eq!(found.code, Some(7), "{}", found.stderr);
        assert!(place.server.registered().is_empty());
        (place.server.requests()[before..].join("\n"), found.stderr)
    };
    let of_user = format!("GET /users/{USER}/owners 200");
    let baseurl = "https://cdn.example.org/content";
    let options = ["--rhsm-server", &url, "--rhsm-user", USER, "--rhsm-password-file", "password"];
    let more = ["--rhsm-release", "9.2", "--rhsm-repo", "rhel-9-crb-rpms", "--rhsm-baseurl", baseurl];
    let (requests, told) = registered(&mut place.build(&[&options[..], &more].concat()));
    assert!(requests.contains(&of_user) && requests.contains("PUT /consumers/ID 204"), "{requests}");
    assert!(told.contains("rhel-9-baseos-rpms, rhel-9-crb-rpms"), "{told}");

    let mut by_variables = place.tib(&["build", "wants.toml", "--base", "base.raw"]);
    by_variables
        .env("TIB_RHSM_SERVER", &url)
        .env("TIB_RHSM_ORG", ORG)
        .env("TIB_RHSM_ACTIVATION_KEY_FILE", "key")
        .env("TIB_RHSM_CA", "ca.pem")
        .env("TIB_RHSM_BASEURL", baseurl)
        .env("TIB_RHSM_RELEASE", "9.2")
        .env("TIB_RHSM_REPO", "rhel-9-crb-rpms");
    let (requests, told) = registered(&mut by_variables);
    assert!(
        requests.contains("PUT /consumers/ID 204") && requests.contains("owner=canary-org"),
        "{requests}"
    );
    assert!(told.contains("rhel-9-crb-rpms"), "{told}");

    let mut by_user = place.tib(&["build", "wants.toml", "--base", "base.raw", "--rhsm-ca", "ca.pem"]);
    by_user.env("TIB_RHSM_SERVER", &url).env("TIB_RHSM_USER", USER).env("TIB_RHSM_PASSWORD_FILE", "password");
    let (requests, _) = registered(&mut by_user);
    assert!(requests.contains(&of_user), "{requests}");

    let mut like_dib = place.tib(&["build", "wants.toml", "--base", "base.raw", "--rhsm-ca", "ca.pem"]);
    like_dib
        .env("REG_METHOD", "portal")
        .env("REG_SERVER_URL", &url)
        .env("REG_ORG", ORG)
        .env("REG_ACTIVATION_KEY", KEY)
        .env("REG_REPOS", "rhel-9-crb-rpms")
        .env("REG_AUTO_ATTACH", "true");
    let (requests, told) = registered(&mut like_dib);
    assert!(requests.contains("POST /consumers?owner=canary-org"), "{requests}");
    assert!(told.contains("REG_AUTO_ATTACH has no effect") && told.contains("rhel-9-crb-rpms"), "{told}");
}

/// What a user gets to see when it is their key, their server or their file that is wrong.
#[test]
fn what_is_wrong_is_said_without_secrets() {
    let place = Place::rhel();
    place.write("wrong", "canary-wrong-key");
    let url = place.server.url();
    let with = |key: &str, more: &[&str]| {
        let all = ["--rhsm-server", &url, "--rhsm-org", ORG, "--rhsm-activation-key-file", key];
        outcome(&mut place.build(&[&all, more].concat()))
    };
    let found = with("wrong", &["--verbose"]);
    assert!(
        found.code == Some(2) && found.stderr.contains("None of the activation keys"),
        "{}",
        found.stderr
    );
    assert!(!found.stderr.contains("canary-wrong-key"), "{}", found.stderr);
    let found = with("nosuch", &[]);
    assert!(found.code == Some(2) && found.stderr.contains("cannot read `nosuch`"), "{}", found.stderr);
    let found = with("key", &["--rhsm-repo", "rhel-9-crb"]);
    assert!(
        found.code == Some(2) && found.stderr.contains("did you mean `rhel-9-crb-rpms`?"),
        "{}",
        found.stderr
    );
    place.server.state().instead = vec![("POST /consumers", 1, Reply::status(500))];
    let found = with("key", &[]);
    assert!(found.code == Some(4) && found.stderr.contains("it is not known whether"), "{}", found.stderr);
    assert!(place.server.registered().is_empty() && place.records().is_empty());
}

/// A build that waits for its certificates, registered.
fn waiting(place: &Place) -> std::process::Child {
    let stall = Reply::new(200, vec![b' '; 100]).stall_after(10);
    place.server.state().instead = vec![("GET /consumers", 1, stall)];
    let mut command = place.with_key(&[]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("registration", || !place.server.registered().is_empty() && !place.records().is_empty());
    child
}

/// Nobody can tell the server when the process is killed; the next one does, by the record that only its owner can read.
#[test]
fn killed_builds_are_unregistered_by_the_next_run() {
    let place = Place::rhel();
    for next in [&["cache", "gc"][..], &["cache", "verify"], &["build"]] {
        let mut child = waiting(&place);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(place.server.registered().len(), 1);
        for record in place.records() {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o600);
        }
        // Those who only look change nothing.
        outcome(&mut place.tib(&["cache", "status"])).expect(0);
        assert_eq!(place.server.registered().len(), 1);
        let found = match next {
            ["build"] => outcome(&mut place.build(&[])),
            arguments => outcome(&mut place.tib(arguments)),
        };
        assert!(found.stderr.contains("which an earlier run had left registered"), "{}", found.stderr);
        assert!(place.server.registered().is_empty() && place.records().is_empty(), "{next:?}");
        place.no_secrets(&found);
    }
    assert_eq!(place.server.state().gone.len(), 3);
}

#[test]
fn interrupted_builds_unregister_themselves() {
    let place = Place::rhel();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut child = waiting(&place);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(place.server.registered().is_empty() && place.records().is_empty());
    }
}

/// Stands in for dnf in a guest that has none: wants to see a repository, and the files that it names, as dnf would.
const DNF: &str = r#"#!/bin/sh
set -eu
repository=/etc/yum.repos.d/tib-subscription.repo
value() { sed -n "s/^$1=//p" $repository; }
for file in $(value sslclientcert) $(value sslclientkey) $(value sslcacert); do
    grep -q -e '-----BEGIN' "$file"
    ! touch "$file" 2>/dev/null
done
grep -q 'PRIVATE KEY' "$(value sslclientkey)"
echo "$(value baseurl) $(value gpgcheck) $(value sslverify) $*" >/etc/pebble/dnf
"#;

/// The small system, as RHEL with a stand-in for dnf.
fn small_rhel(place: &Place) -> PathBuf {
    let disk = place.path("small.raw");
    let base = common::small::base(&common::small::Shape::default());
    common::run("qemu-img", &[&"convert", &"-O", &"raw", &base, &disk]);
    place.write("dnf", DNF);
    place.write("os-release", RHEL);
    place.write(
        "commands",
        "rm /usr/lib/os-release\nwrite os-release /usr/lib/os-release\nwrite dnf /usr/bin/dnf\n\
         sif /usr/bin/dnf mode 0100755\nsif /usr/lib/os-release mode 0100644\nmkdir /etc/yum.repos.d\n\
         mkdir /etc/pki\nmkdir /etc/pki/consumer\nwrite dnf /etc/pki/consumer/key.pem\n",
    );
    // Behind the EFI system partition.
    let root = format!("{}?offset={}", disk.display(), 33 << 20);
    let mut debugfs = Command::new("/usr/sbin/debugfs");
    let found = outcome(debugfs.args(["-w", "-f", "commands", &root]).current_dir(place.directory.path()));
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    disk
}

/// A guest that fetches packages by itself sees the repositories and their keys while it does, and not a byte of a secret
/// is in any layer, log, manifest or image. What the base was registered with is gone, too.
#[test]
fn appliance_keys_reach_the_guest_and_no_layer() {
    let place = Place::rhel();
    let base = small_rhel(&place);
    place.write(
        "guest.toml",
        "name = \"guest\"\nsummary = \"A test\"\nextends = [\"small-system\"]\nstage = \"site\"\n\
         [[packages]]\ninstall = [\"bash\"]\n",
    );
    fs::copy("tests/recipes/small-system.toml", place.path("small-system.toml")).unwrap();
    let server = place.server.url();
    let mut build = tib();
    build
        .args(["build", "guest.toml", "--recipe-dir", ".", "-o", "image.qcow2", "--verbose", "--base"])
        .arg(&base);
    build.args(["--rhsm-server", &server, "--rhsm-ca", "ca.pem", "--rhsm-org", ORG]);
    build.args(["--rhsm-activation-key-file", "key"]).current_dir(place.directory.path());
    let found = outcome(build.env("TIB_CACHE_DIR", place.path("cache")).env("PATH", place.without_rpm()));
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert!(place.server.registered().is_empty() && place.records().is_empty());

    let image = place.path("image.qcow2");
    let read = |path: &str| outcome(place.tib(&["cat"]).arg(&image).arg(path));
    assert_eq!(
        read("/etc/pebble/dnf").expect(0).trim_end(),
        "https://cdn.redhat.com/content/dist/rhel9/9/x86_64/baseos/os 1 1 install -y \
         --setopt=install_weak_deps=False --setopt=tsflags=nodocs bash"
    );
    for gone in ["/etc/yum.repos.d/tib-subscription.repo", "/etc/pki/consumer/key.pem"] {
        assert_eq!(read(gone).code, Some(2), "{gone}");
    }
    // Layers are not compressed: what was written into them can be searched for, and is found.
    let cache = place.path("cache");
    let control =
        outcome(Command::new("grep").args(["-rlaF", "written by stage system"]).arg(cache.join("v1/layers")));
    assert!(control.stdout.lines().count() > 0, "{control:?}");
    common::run("qemu-img", &[&"convert", &"-O", &"raw", &image, &cache.join("image.raw")]);
    fs::copy(place.path("image.qcow2.manifest.json"), cache.join("manifest.json")).unwrap();
    place.no_secrets(&found);
}
