//! Base images as a user fetches them: from servers laid out like the real sites, and from servers that misbehave.

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::catalogue::toy;
use common::gpg::{Key, digest, sha256sum};
use common::http::{Reply, Request, Server, Site};
use common::makers::{Published, catalogue_for, image, lay_out, maker, publish_all};
use common::{Outcome, outcome, tib};
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use tib::distro::Arch;

/// A raw disk of some size that is not all zeros.
fn large_image(mebibytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; mebibytes << 20];
    common::http::pattern(7, 0, &mut bytes[4096..]);
    // ext4's magic number: a file system without a partition table.
    bytes[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    bytes
}

/// A user's machine: a cache, and a catalogue of its own.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn new(catalogue: &str, authority: Option<&str>) -> Self {
        let directory = common::scratch();
        fs::create_dir(directory.path().join("catalogue")).unwrap();
        fs::write(directory.path().join("catalogue/test.toml"), catalogue).unwrap();
        if let Some(authority) = authority {
            fs::write(directory.path().join("authority.pem"), authority).unwrap();
        }
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tib();
        command
            .args(arguments)
            .env("TIB_CACHE_DIR", self.path("cache"))
            .env("TIB_CATALOGUE_DIR", self.path("catalogue"));
        for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        if self.path("authority.pem").exists() {
            command.env("SSL_CERT_FILE", self.path("authority.pem"));
        }
        command.current_dir(self.directory.path());
        command
    }

    fn tib(&self, arguments: &[&str]) -> Outcome {
        outcome(&mut self.command(arguments))
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let outcome = self.tib(arguments);
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {outcome:?}"))
    }

    /// Disks of all bases in the cache, each checked to be what its name says.
    #[track_caller]
    fn bases(&self) -> Vec<PathBuf> {
        let mut disks = Vec::new();
        for entry in fs::read_dir(self.path("cache/v1/bases")).into_iter().flatten() {
            let directory = entry.unwrap().path();
            let disk =
                ["disk.raw", "disk.qcow2"].map(|name| directory.join(name)).into_iter().find(|p| p.exists());
            let disk = disk.unwrap_or_else(|| panic!("{} is empty", directory.display()));
            assert_eq!(sha256sum(&disk), directory.file_name().unwrap().to_str().unwrap(), "a wrong base");
            disks.push(disk);
        }
        disks
    }
}

#[test]
fn every_image_of_the_catalogue_is_fetched_as_its_entry_says() {
    let scratch = common::scratch();
    let all = publish_all(scratch.path());
    let site = Site::new();
    let maker = maker();
    lay_out(&site, &all, &maker);
    // CentOS' server refuses clients that do not say who they are.
    let files = site.clone();
    let server = Server::https(move |request: &Request| match request.header("user-agent") {
        Some(agent) if agent.starts_with("tib/") => files.reply(request),
        _ => Reply::status(403),
    });
    let machine = Machine::new(&catalogue_for(&server, &all, &maker.1), Some(server.authority()));
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let here: Vec<_> = all.iter().filter(|published| published.arch == arch).collect();
        let mut arguments = vec!["--progress", "json", "base", "fetch", "--json", "--arch", arch.name()];
        arguments.extend(here.iter().map(|published| published.spec.as_str()));
        let said = machine.tib(&arguments);
        // Several at the same time: events say which image they are of.
        let events = said.stderr.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let of_images: Vec<_> = events.filter(|event| event["event"] == "progress").collect();
        assert!(of_images.len() >= here.len() / 2, "{}", of_images.len());
        for event in of_images {
            assert!(here.iter().any(|published| event["job"] == published.spec.as_str()), "{event}");
        }
        let outcome: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(outcome["failed"], serde_json::json!([]));
        for (published, fetched) in here.iter().zip(outcome["fetched"].as_array().unwrap()) {
            let Published { spec, bytes, .. } = published;
            assert_eq!(fetched["what"], spec.as_str());
            assert_eq!(fetched["digest"], digest("sha256", bytes), "{spec}");
            let origin = &fetched["origin"];
            assert_eq!(
                (origin["kind"].as_str(), origin["trust"]["by"].as_str()),
                (Some("download"), Some(published.trust)),
                "{spec}"
            );
            if published.trust == "signature" {
                assert_eq!(origin["trust"]["signer"], maker.1.fingerprint, "{spec}");
                assert!(origin["checksum_file"].as_str().unwrap().starts_with(&server.url("/")), "{spec}");
            }
        }
    }
    machine.bases();

    // All of that was fetched once; from now on nobody is asked.
    let requests = server.requests();
    let specs: Vec<_> = all.iter().filter(|p| p.arch == Arch::X86_64).map(|p| p.spec.as_str()).collect();
    let mut arguments = vec!["base", "fetch", "--offline", "--arch", "x86_64"];
    arguments.extend(&specs);
    machine.tib(&arguments).expect(0);
    assert_eq!(server.requests(), requests);

    // All that is looked after, and nothing else.
    let listed = machine.json(&["base", "list", "--json"]);
    let current = listed.as_array().unwrap().iter().filter(|entry| {
        entry["past_end_of_life"] == false && entry["local"].is_null() && entry["arch"]["x86_64"].is_string()
    });
    let current: Vec<_> = current.map(|entry| entry["id"].as_str().unwrap()).collect();
    let fetched = machine.json(&["base", "fetch", "--all-current", "--json", "--arch", "x86_64"]);
    let here: Vec<_> =
        fetched["fetched"].as_array().unwrap().iter().map(|f| f["what"].as_str().unwrap()).collect();
    assert_eq!((here, &fetched["failed"]), (current, &serde_json::json!([])));

    // The plain name of an unsigned image is its pin, of a signed one the newest build.
    let plain = machine.json(&["base", "fetch", "--json", "--arch", "x86_64", "debian-12", "rocky-9"]);
    let trusts: Vec<_> =
        plain["fetched"].as_array().unwrap().iter().map(|f| f["origin"]["trust"]["by"].as_str()).collect();
    assert_eq!(trusts, [Some("pin"), Some("signature")]);
}

#[test]
fn only_what_the_maker_signed_is_believed() {
    let scratch = common::scratch();
    let (gpg, maker) = &maker();
    let stranger = gpg.key("stranger", "", "0");
    let expired = gpg.key("expired", "20200101T000000", "1y");
    let good = image(scratch.path(), 1);
    let evil = image(scratch.path(), 2);
    let line = |name: &str, bytes: &[u8]| format!("{}  {name}\n", digest("sha256", bytes));
    let sums = line("toy.qcow2", &good);
    let sums = sums.as_bytes();
    let signed = gpg.clearsigned(&[maker], sums);
    let outside =
        [line("toy.qcow2", &evil).as_bytes(), &signed, line("toy.qcow2", &evil).as_bytes()].concat();
    let twice = [sums, line("toy.qcow2", &evil).as_bytes()].concat();
    let elsewhere = line("elsewhere/toy.qcow2", &good).into_bytes();
    let detached = |data: &[u8]| gpg.detached(&[maker], "", data);
    let broken = String::from_utf8(detached(sums)).unwrap().replace('=', "");
    let late = gpg.detached(&[&expired], "20200601T000000", sums);

    struct Case<'a> {
        name: &'a str,
        kind: &'a str,
        keys: Vec<&'a Key>,
        sums: Vec<u8>,
        signature: Option<Vec<u8>>,
        exit: i32,
        said: &'a str,
    }
    let case = |name, kind, sums: &[u8], signature, exit, said| Case {
        name,
        kind,
        keys: vec![maker],
        sums: sums.to_vec(),
        signature,
        exit,
        said,
    };
    let cases = [
        case("signed", "detached", sums, Some(detached(sums)), 0, "signed by"),
        case("clear-signed", "clearsigned", &signed, None, 0, "signed by"),
        case("nothing but TLS", "none", sums, None, 0, "protected by HTTPS alone"),
        case("no signature", "detached", sums, None, 4, "404"),
        case("an unknown key", "detached", sums, Some(gpg.detached(&[&stranger], "", sums)), 5, "error:"),
        case(
            "two keys, one of them known",
            "detached",
            sums,
            Some(gpg.detached(&[&stranger, maker], "", sums)),
            0,
            "signed by",
        ),
        case("text outside", "clearsigned", &outside, None, 0, "signed by"),
        case("not clear-signed at all", "clearsigned", sums, None, 5, "error:"),
        case("bad armour", "detached", sums, Some(broken.into_bytes()), 5, "error:"),
        case("other data", "detached", &[sums, b"\n"].concat(), Some(detached(sums)), 5, "error:"),
        case("an empty list", "detached", b"", Some(detached(b"")), 5, "the checksum file is empty"),
        case("two digests", "detached", &twice, Some(detached(&twice)), 5, "two different sha256 digests"),
        case("a name with path parts", "detached", &elsewhere, Some(detached(&elsewhere)), 5, "error:"),
        case("a huge list", "detached", &vec![b'#'; (1 << 20) + 1], Some(detached(sums)), 5, "error:"),
        case("another image", "none", line("toy.qcow2", &evil).as_bytes(), None, 5, "error:"),
        Case {
            keys: vec![&expired],
            ..case("a key that has expired since", "detached", sums, Some(late), 0, "has expired since")
        },
    ];
    for case in cases {
        let site = Site::new();
        let server = Server::https(site.handler());
        site.put("/toy/toy.qcow2", good.clone());
        site.put("/toy/SUMS", case.sums);
        if let Some(signature) = case.signature {
            site.put("/toy/SUMS.asc", signature);
        }
        for key in &case.keys {
            site.put(&format!("/toy/{}", key.fingerprint), gpg.public(key));
        }
        let machine = Machine::new(&toy(&server, case.kind, &case.keys), Some(server.authority()));
        let outcome = machine.tib(&["base", "fetch", "toy"]);
        assert_eq!(outcome.code, Some(case.exit), "{}: {outcome:?}", case.name);
        let all = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(all.contains(case.said), "{}: {outcome:?}", case.name);
        assert!(case.exit == 0 || outcome.stderr.contains("hint: "), "{}: {outcome:?}", case.name);
        let bases = machine.bases();
        assert_eq!(bases.len(), usize::from(case.exit == 0), "{}: {bases:?}", case.name);
        if case.exit == 0 {
            assert_eq!(sha256sum(&bases[0]), digest("sha256", &good), "{}", case.name);
        }
    }
}

#[test]
fn a_key_may_be_brought_along_and_is_compared_all_the_same() {
    let scratch = common::scratch();
    let (gpg, maker) = &maker();
    let stranger = gpg.key("stranger", "", "0");
    let good = image(scratch.path(), 1);
    let sums = format!("{}  toy.qcow2\n", digest("sha256", &good)).into_bytes();
    let site = Site::new();
    site.put("/toy/toy.qcow2", good);
    site.put("/toy/SUMS.asc", gpg.detached(&[maker], "", &sums));
    site.put("/toy/SUMS", sums);
    let server = Server::https(site.handler());
    let machine = Machine::new(&toy(&server, "detached", &[maker]), Some(server.authority()));
    fs::write(machine.path("maker.asc"), gpg.public(maker)).unwrap();
    fs::write(machine.path("stranger.asc"), gpg.public(&stranger)).unwrap();
    let fetch = |more: &[&str]| machine.tib(&[&["base", "fetch", "toy"], more].concat());
    assert_eq!(fetch(&[]).code, Some(4), "nobody serves the key");
    assert_eq!(fetch(&["--key", "stranger.asc"]).code, Some(5));
    let trusted = fetch(&["--key", "maker.asc"]).expect(0);
    assert!(trusted.contains(&format!("signed by {}", maker.fingerprint)), "{trusted}");
}

#[test]
fn without_tls_nobody_is_believed_who_does_not_sign() {
    let scratch = common::scratch();
    let good = image(scratch.path(), 1);
    let site = Site::new();
    site.put("/toy/toy.qcow2", good.clone());
    site.put("/toy/SUMS", format!("{}  toy.qcow2\n", digest("sha256", &good)).into_bytes());
    let server = Server::http(site.handler());
    let machine = Machine::new(&toy(&server, "none", &[]), None);
    let outcome = machine.tib(&["base", "fetch", "toy"]);
    assert!(
        outcome.code == Some(5) && outcome.stderr.contains("neither signed nor fetched over HTTPS"),
        "{outcome:?}"
    );
    assert_eq!(machine.bases().len(), 0);
    // Nor is a mirror without TLS, whatever the maker's own server has.
    let own = Server::https(site.handler());
    let mirrored = Machine::new(&toy(&own, "none", &[]), Some(own.authority()));
    let pair = format!("[[mirror]]\nurl = '{}'\nmirror = '{}'\n", own.url(""), server.url(""));
    fs::write(mirrored.path("config.toml"), pair).unwrap();
    let config = mirrored.path("config.toml");
    let refused = mirrored.tib(&["base", "fetch", "toy", "--config", config.to_str().unwrap()]);
    let expected = format!("`{}` is neither signed nor fetched over HTTPS", server.url("/toy/SUMS"));
    assert!(refused.code == Some(5) && refused.stderr.contains(&expected), "{refused:?}");
    assert_eq!(mirrored.tib(&["base", "fetch", "toy"]).code, Some(0));

    // Only whoever insists gets it, and it is recorded.
    let forced = machine.json(&["base", "fetch", "--json", "--insecure-skip-verify", "toy"]);
    assert_eq!(forced["fetched"][0]["origin"]["trust"]["by"], "nothing");
    let shown = machine.tib(&["base", "show", "toy"]).expect(0);
    assert!(shown.contains("NOT VERIFIED"), "{shown}");
    assert_eq!(machine.tib(&["base", "fetch", "toy"]).code, Some(5), "and not for ever");
    let offline = machine.tib(&["base", "fetch", "toy", "--offline"]);
    assert_eq!(offline.code, Some(4), "{offline:?}");
    machine.tib(&["base", "fetch", "toy", "--offline", "--insecure-skip-verify"]).expect(0);
}

#[test]
fn an_image_replaced_between_its_list_and_itself_is_fetched_anew() {
    let scratch = common::scratch();
    let (old, new) = (image(scratch.path(), 1), image(scratch.path(), 2));
    let site = Site::new();
    let sums = |bytes: &[u8]| format!("{}  toy.qcow2\n", digest("sha256", bytes)).into_bytes();
    site.put("/toy/SUMS", sums(&old));
    site.put("/toy/toy.qcow2", new.clone());
    let files = site.clone();
    let new_sums = sums(&new);
    let server = Server::https(move |request: &Request| {
        let reply = files.reply(request);
        // Whoever has read the old list finds the new one from then on.
        if request.path == "/toy/SUMS" {
            files.put("/toy/SUMS", new_sums.clone());
        }
        reply
    });
    let machine = Machine::new(&toy(&server, "none", &[]), Some(server.authority()));
    let outcome = machine.tib(&["base", "fetch", "toy"]);
    assert!(outcome.code == Some(0) && outcome.stderr.contains("was replaced by its maker"), "{outcome:?}");
    assert_eq!(sha256sum(&machine.bases()[0]), digest("sha256", &new));
}

#[test]
fn a_newer_build_is_asked_for_only_on_request() {
    let scratch = common::scratch();
    let site = Site::new();
    let publish = |number: usize| {
        let bytes = image(scratch.path(), number);
        site.put("/toy/SUMS", format!("{}  toy.qcow2\n", digest("sha256", &bytes)).into_bytes());
        site.put("/toy/toy.qcow2", bytes.clone());
        digest("sha256", &bytes)
    };
    let server = Server::https(site.handler());
    let machine = Machine::new(&toy(&server, "none", &[]), Some(server.authority()));
    let fetch = |more: &[&str]| {
        let outcome = machine.json(&[&["base", "fetch", "--json", "toy"], more].concat());
        outcome["fetched"][0]["digest"].as_str().unwrap().to_owned()
    };
    let first = publish(1);
    assert_eq!(fetch(&[]), first);
    let second = publish(2);
    assert_eq!(fetch(&[]), first);
    assert_eq!(fetch(&["--refresh"]), second);
    let before = server.log().iter().map(|logged| logged.sent).sum::<u64>();
    assert_eq!(fetch(&["--refresh"]), second);
    let after = server.log().iter().map(|logged| logged.sent).sum::<u64>();
    assert!(after - before < 200, "the list alone is read again: {}", after - before);
}

#[test]
fn a_dangerous_image_does_not_come_in() {
    let scratch = common::scratch();
    let behind = scratch.path().join("behind.qcow2");
    common::run("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &behind, &"1M"]);
    let path = scratch.path().join("backed.qcow2");
    common::run("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &"-F", &"qcow2", &"-b", &behind, &path]);
    let bytes = fs::read(path).unwrap();
    let site = Site::new();
    site.put("/toy/SUMS", format!("{}  toy.qcow2\n", digest("sha256", &bytes)).into_bytes());
    site.put("/toy/toy.qcow2", bytes);
    let server = Server::https(site.handler());
    let machine = Machine::new(&toy(&server, "none", &[]), Some(server.authority()));
    let outcome = machine.tib(&["base", "fetch", "toy"]);
    assert!(outcome.code == Some(5) && outcome.stderr.contains("backing file"), "{outcome:?}");
    assert_eq!(machine.bases().len(), 0);
    assert_eq!(fs::read_dir(machine.path("cache/v1/downloads")).unwrap().count(), 0);
}

#[test]
fn urls_need_a_digest_and_may_be_packed() {
    let bytes = large_image(4);
    let scratch = common::scratch();
    let path = scratch.path().join("disk.raw");
    fs::write(&path, &bytes).unwrap();
    common::run("xz", &[&"-k", &"-1", &path]);
    let packed = fs::read(scratch.path().join("disk.raw.xz")).unwrap();
    let site = Site::new();
    site.put("/disk.raw.xz", packed.clone());
    let server = Server::http(site.handler());
    let url = server.url("/disk.raw.xz");
    let machine = Machine::new("", None);
    let bare = machine.tib(&["base", "fetch", &url]);
    assert!(bare.code == Some(2) && bare.stderr.contains("--checksum sha256:"), "{bare:?}");
    assert_eq!(server.requests(), 0);
    let checksum = format!("sha512:{}", digest("sha512", &packed));
    let fetched = machine.json(&["base", "fetch", "--json", &url, "--checksum", &checksum]);
    let fetched = &fetched["fetched"][0];
    assert_eq!(fetched["digest"], digest("sha256", &bytes), "of the disk, not of what was served");
    assert_eq!(
        (fetched["origin"]["checksum"].as_str(), fetched["origin"]["trust"]["by"].as_str()),
        (Some(checksum.as_str()), Some("given"))
    );
    let requests = server.requests();
    machine.tib(&["base", "fetch", "--offline", &url, "--checksum", &checksum]).expect(0);
    assert_eq!(server.requests(), requests, "known by its digest");
    machine.bases();
}

#[test]
fn the_environments_proxy_is_used() {
    let bytes = large_image(1);
    let image = bytes.clone();
    // A proxy is asked for whole URLs.
    let proxy = Server::http(move |request: &Request| match request.path.as_str() {
        "http://images.invalid/disk.raw" => Reply::new(200, image.clone()),
        _ => Reply::status(502),
    });
    let machine = Machine::new("", None);
    let checksum = format!("sha256:{}", digest("sha256", &bytes));
    let mut command =
        machine.command(&["base", "fetch", "http://images.invalid/disk.raw", "--checksum", &checksum]);
    command.env("http_proxy", proxy.url(""));
    outcome(&mut command).expect(0);
    assert_eq!(machine.bases().len(), 1);
}

#[test]
fn offline_opens_no_socket_and_says_what_is_missing() {
    let scratch = common::scratch();
    let good = image(scratch.path(), 1);
    let site = Site::new();
    site.put("/toy/SUMS", format!("{}  toy.qcow2\n", digest("sha256", &good)).into_bytes());
    site.put("/toy/toy.qcow2", good);
    let server = Server::https(site.handler());
    let machine = Machine::new(&toy(&server, "none", &[]), Some(server.authority()));
    let missing = machine.tib(&["base", "fetch", "--offline", "toy"]);
    assert_eq!(missing.code, Some(4));
    assert!(
        missing.stderr.contains("`toy` is not in the cache") && missing.stderr.contains("tib base fetch toy"),
        "{missing:?}"
    );
    assert_eq!(server.requests(), 0);
    machine.tib(&["base", "fetch", "toy"]).expect(0);
    // In a network namespace of its own there is nobody to talk to.
    let inside = machine.command(&["base", "fetch", "--offline", "toy"]);
    let mut alone = Command::new("unshare");
    alone
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(inside.get_program())
        .args(inside.get_args());
    alone.envs(inside.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outcome(&mut alone).expect(0);
}

#[test]
fn what_is_damaged_is_set_aside_and_fetched_again() {
    let scratch = common::scratch();
    let good = image(scratch.path(), 1);
    let site = Site::new();
    site.put("/toy/SUMS", format!("{}  toy.qcow2\n", digest("sha256", &good)).into_bytes());
    site.put("/toy/toy.qcow2", good.clone());
    let server = Server::https(site.handler());
    let machine = Machine::new(&toy(&server, "none", &[]), Some(server.authority()));
    machine.tib(&["base", "fetch", "toy"]).expect(0);
    let disk = machine.bases().remove(0);

    // Cut: every use sees that.
    fs::OpenOptions::new().write(true).open(&disk).unwrap().set_len(1000).unwrap();
    let again = machine.tib(&["base", "fetch", "toy"]);
    assert!(again.code == Some(0) && again.stderr.contains("damaged: set aside in"), "{again:?}");
    machine.bases();

    // Changed in place: `verify` sees that.
    let mut bytes = good;
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&disk, &bytes).unwrap();
    let verified = machine.tib(&["base", "verify", "toy"]);
    assert!(verified.code == Some(5) && verified.stdout.contains("damaged: base"), "{verified:?}");
    assert!(!disk.exists());
    let offline = machine.tib(&["base", "fetch", "--offline", "toy"]);
    assert_eq!(offline.code, Some(4), "{offline:?}");
    machine.tib(&["base", "fetch", "toy"]).expect(0);
    assert!(machine.tib(&["base", "verify", "toy"]).expect(0).contains("good: "));
    machine.tib(&["cache", "verify"]).expect(0);

    let gone = machine.tib(&["base", "remove", "toy"]).expect(0);
    assert!(gone.starts_with("removed toy"), "{gone}");
    assert_eq!(machine.bases().len(), 0);
    assert_eq!(machine.tib(&["base", "remove", "toy"]).code, Some(2));
}

#[test]
fn files_are_imported_under_a_name() {
    let machine = Machine::new("", None);
    let bytes = image(machine.directory.path(), 3);
    let file = machine.path("image-3.qcow2");
    let file = file.to_str().unwrap();
    let fetched = machine.tib(&["base", "fetch", "rhel-9"]);
    assert!(
        fetched.code == Some(2) && fetched.stderr.contains("tib base import FILE --as rhel-9"),
        "{fetched:?}"
    );
    let wrong = format!("sha256:{}", "0".repeat(64));
    let refused = machine.tib(&["base", "import", file, "--as", "rhel-9", "--checksum", &wrong]);
    assert!(refused.code == Some(5) && machine.bases().is_empty(), "{refused:?}");
    let unknown = machine.tib(&["base", "import", file, "--as", "rhel-9"]);
    assert!(
        unknown.code == Some(0) && unknown.stderr.contains("nothing says whether this is rhel-9"),
        "{unknown:?}"
    );
    let right = format!("sha512:{}", digest("sha512", &bytes));
    let held = machine.json(&["base", "import", file, "--as", "rhel-9", "--checksum", &right, "--json"]);
    assert_eq!(
        (held["origin"]["trust"]["by"].as_str(), held["digest"].as_str()),
        (Some("given"), Some(digest("sha256", &bytes).as_str()))
    );
    machine.tib(&["base", "fetch", "rhel-9", "--offline"]).expect(0);
    let listed = machine.tib(&["base", "list"]).expect(0);
    assert!(listed.lines().any(|line| line.starts_with("rhel-9") && line.contains("here")), "{listed}");
}

/// A server with one large image, and the machine that knows it.
fn large(mebibytes: usize) -> (Server, Machine, String) {
    let bytes = large_image(mebibytes);
    let site = Site::new();
    site.put("/toy/SUMS", format!("{}  toy.qcow2\n", digest("sha256", &bytes)).into_bytes());
    let sha256 = digest("sha256", &bytes);
    site.put("/toy/toy.qcow2", bytes);
    let server = Server::https(site.handler());
    let machine = Machine::new(&toy(&server, "none", &[]), Some(server.authority()));
    (server, machine, sha256)
}

#[test]
fn eight_processes_fetch_an_image_once() {
    let (server, machine, sha256) = large(24);
    let children: Vec<_> = (0..8)
        .map(|_| {
            machine
                .command(&["base", "fetch", "toy"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let sent: u64 = server.log().iter().filter(|l| l.request.path.ends_with(".qcow2")).map(|l| l.sent).sum();
    assert_eq!(sent, 24 << 20, "the image was transferred once");
    assert_eq!(sha256sum(&machine.bases()[0]), sha256);
}

#[test]
fn an_interrupted_fetch_ends_at_once_and_goes_on_later() {
    let bytes = large_image(24);
    let site = Site::new();
    site.put("/toy/SUMS", format!("{}  toy.qcow2\n", digest("sha256", &bytes)).into_bytes());
    site.put("/toy/toy.qcow2", bytes.clone());
    let files = site.clone();
    let stalls = Arc::new(AtomicBool::new(true));
    let stalling = Arc::clone(&stalls);
    let server = Server::https(move |request: &Request| {
        let reply = files.reply(request);
        let image = request.path.ends_with(".qcow2");
        if image && stalling.load(Ordering::SeqCst) { reply.stall_after(20 << 20) } else { reply }
    });
    let machine = Machine::new(&toy(&server, "none", &[]), Some(server.authority()));
    let mut child = machine
        .command(&["base", "fetch", "toy"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let arrived = || {
        let place = fs::read_dir(machine.path("cache/v1/downloads")).ok()?.next()?.ok()?.path();
        // Its length says nothing: the file is as long as it is going to be from the start.
        Some(fs::metadata(place.join("data")).ok()?.blocks() * 512)
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while arrived().is_none_or(|bytes| bytes < 20 << 20) {
        assert!(Instant::now() < deadline, "the download did not get far: {:?}", arrived());
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let sent = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(sent.elapsed() < Duration::from_secs(5), "took {:?}", sent.elapsed());
    assert_eq!(machine.bases().len(), 0);

    stalls.store(false, Ordering::SeqCst);
    let before = server.requests();
    machine.tib(&["base", "fetch", "toy"]).expect(0);
    let again: u64 = server.log()[before..].iter().map(|logged| logged.sent).sum();
    assert!(again < 8 << 20, "what was there was not fetched again: {again} bytes");
    assert_eq!(sha256sum(&machine.bases()[0]), digest("sha256", &bytes));
}

/// Kills a command at moments spread over the time it takes, and looks at the cache each time.
fn kill_at_random(machine: &Machine, arguments: &[&str], times: u32, before: impl Fn()) {
    let started = Instant::now();
    machine.tib(arguments).expect(0);
    let mut whole = started.elapsed();
    let mut random = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut killed = 0;
    for slice in 0..times {
        before();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let within = whole / times;
        let moment = within * slice + Duration::from_nanos(random % (within.as_nanos().max(1) as u64));
        let mut child =
            machine.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        match child.try_wait().unwrap() {
            None => killed += 1,
            // It is faster than the first time, on a machine that others use as well.
            Some(_) => whole = whole * 9 / 10,
        }
        child.kill().unwrap();
        child.wait().unwrap();
        machine.bases();
    }
    assert!(killed > times / 4, "only {killed} of {times} were killed in time");
    before();
    machine.tib(arguments).expect(0);
    machine.tib(&["cache", "verify"]).expect(0);
}

#[test]
fn a_fetch_that_is_killed_leaves_nothing_wrong() {
    let (_server, machine, sha256) = large(24);
    // Sometimes with what the last one left, sometimes with nothing at all.
    kill_at_random(&machine, &["base", "fetch", "toy"], 50, || {
        let _ = fs::remove_dir_all(machine.path("cache/v1/bases"));
    });
    assert_eq!(sha256sum(&machine.bases()[0]), sha256);
}

#[test]
fn an_import_that_is_killed_leaves_nothing_wrong() {
    let machine = Machine::new("", None);
    let bytes = large_image(64);
    let file = machine.path("disk.raw");
    fs::write(&file, &bytes).unwrap();
    let checksum = format!("sha512:{}", digest("sha512", &bytes));
    let arguments = ["base", "import", file.to_str().unwrap(), "--as", "rhel-9", "--checksum", &checksum];
    kill_at_random(&machine, &arguments, 50, || {
        let _ = fs::remove_dir_all(machine.path("cache/v1/bases"));
    });
    assert_eq!(sha256sum(&machine.bases()[0]), digest("sha256", &bytes));
}

#[test]
fn the_catalogue_is_checked_also_against_the_servers() {
    let (server, machine, _) = large(1);
    machine.tib(&["base", "check-catalogue"]).expect(0);
    machine.tib(&["base", "check-catalogue", "toy", "--online"]).expect(0);
    assert_eq!(server.log().iter().map(|l| l.request.method.as_str()).collect::<Vec<_>>(), ["HEAD", "HEAD"]);
    let broken = toy(&server, "none", &[]).replace("file = \"toy.qcow2\"", "file = \"gone.qcow2\"");
    fs::write(machine.path("catalogue/test.toml"), broken.replace("no_pin = \"a test\"\n", "")).unwrap();
    let outcome = machine.tib(&["base", "check-catalogue", "--online", "toy"]);
    let said = ["toy: it has neither", "gone.qcow2` answers 404"];
    assert!(outcome.code == Some(3) && said.iter().all(|said| outcome.stdout.contains(said)), "{outcome:?}");
}
