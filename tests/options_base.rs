//! Every option of `tib base` and `tib cache`, and every key of an entry of the catalogue, does what it says.
//! How images are fetched and verified is the business of `base_images.rs`.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::gpg::{Gpg, Key, digest};
use common::http::{Server, Site};
use common::{Outcome, outcome, run, tib};
use fs_err as fs;

/// A user's machine: a cache, and a directory for entries of the catalogue.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let directory = common::scratch();
        fs::create_dir(directory.path().join("catalogue")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// A qcow2 file that no other number gives.
    fn image(&self, number: usize) -> Vec<u8> {
        let path = self.path(&format!("image-{number}.qcow2"));
        run("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &path, &format!("{}M", number + 1)]);
        fs::read(path).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tib();
        command.args(arguments).env("TIB_CACHE_DIR", self.path("cache")).current_dir(self.directory.path());
        command.env("TIB_CATALOGUE_DIR", self.path("catalogue"));
        for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        if self.path("authority.pem").exists() {
            command.env("SSL_CERT_FILE", self.path("authority.pem"));
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        outcome(&mut self.command(arguments))
    }

    #[track_caller]
    fn tib(&self, arguments: &[&str]) -> String {
        self.run(arguments).expect(0)
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let found = self.run(arguments);
        serde_json::from_str(&found.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {found:?}"))
    }

    /// Names of what lies in a directory of the cache.
    fn cached(&self, what: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache/v1").join(what)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Takes an image into the cache, and returns its digest.
    #[track_caller]
    fn import(&self, number: usize, more: &[&str]) -> String {
        self.image(number);
        let file = format!("image-{number}.qcow2");
        let held = self.json(&[&["base", "import", &file, "--json"], more].concat());
        held["digest"].as_str().unwrap().to_owned()
    }

    /// Makes something in the cache look as if it was used last so many days ago.
    fn age(&self, path: &str, days: u32) {
        run("touch", &[&"-d", &format!("{days} days ago"), &self.path("cache/v1").join(path)]);
    }
}

/// Names in a JSON list of objects.
fn names(list: &serde_json::Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

/// An entry with every key, and a second one, for a file that a person brings.
fn entries(server: &Server, key: &Key, pinned: &[u8]) -> String {
    let Key { fingerprint } = key;
    format!(
        r#"
[[image]]
id = "house-9"
aliases = ["house"]
title = "Our own system"
user = "keeper"
end_of_life = "2020-01-31"
extended_end_of_life = "2999-02-28"
quirks = ["It has a quirk."]
unverified = ["Whether it boots."]
[image.os]
id = "debian"
release = "9"
codename = "stretch"
family = "debian"
packages = "apt"
init = "systemd"
mac = "apparmor"
python = "3.5"
root = "ext4"
[image.arch]
x86_64 = "amd64"
aarch64 = "arm64"
[image.newest]
directories = ["{gone}", "{site}{{codename}}/newest/"]
file = "house-{{release}}-{{arch}}.qcow2"
checksums = "NEWEST"
[image.pinned]
directories = ["{site}{{codename}}/{{version}}/"]
file = "house-{{version}}-{{arch}}.qcow2"
checksums = "{{file}}.sum"
[image.checksums]
file = "SUMS"
[image.signature]
kind = "detached"
file = "{{checksums}}.asc"
keys = ["{fingerprint}"]
[[image.pin]]
version = "20200101"
arch = "x86_64"
checksum = "sha256:{checksum}"
size = {size}
[[image.pin]]
version = "20200202"
arch = "aarch64"
checksum = "sha512:{other}"

[[image]]
id = "bought"
title = "A system that is sold"
user = "owner"
end_of_life = "2999-01-01"
os = {{ id = "rhel", release = "9", family = "rhel", packages = "dnf", init = "systemd", mac = "selinux" }}
arch = {{ x86_64 = "x86_64" }}
local = {{ reason = "it comes on a disc", url = "https://shop.example/" }}

[[key]]
fingerprint = "{fingerprint}"
name = "The keeper's key"
urls = ["{site}key.asc"]
source = "this test"
"#,
        gone = server.url("/gone/"),
        site = server.url("/"),
        checksum = digest("sha256", pinned),
        other = "0".repeat(128),
        size = pinned.len(),
    )
}

#[test]
fn every_key_of_an_entry_counts() {
    let (gpg, site, machine) = (Gpg::new(), Site::new(), Machine::new());
    let key = gpg.key("keeper", "", "0");
    let (newest, pinned) = (machine.image(1), machine.image(2));
    let signed = |directory: &str, name: &str, checksums: &str, bytes: &[u8]| {
        let sums = format!("{}  {name}\n", digest("sha256", bytes)).into_bytes();
        site.put(&format!("{directory}{checksums}.asc"), gpg.detached(&[&key], "", &sums));
        site.put(&format!("{directory}{checksums}"), sums);
        site.put(&format!("{directory}{name}"), bytes.to_vec());
    };
    // Each in the only place where the keys of the entry lead to.
    signed("/stretch/newest/", "house-9-amd64.qcow2", "NEWEST", &newest);
    signed("/stretch/20200101/", "house-20200101-amd64.qcow2", "house-20200101-amd64.qcow2.sum", &pinned);
    site.put("/key.asc", gpg.public(&key));
    let server = Server::https(site.handler());
    machine.write("authority.pem", server.authority());
    machine.write("catalogue/house.toml", entries(&server, &key, &pinned));

    let fetch = |arguments: &[&str]| {
        machine.run(&[&["base", "fetch", "--arch", "x86_64", "--json"], arguments].concat())
    };
    let fetched = |spec: &str| -> serde_json::Value {
        let found = fetch(&[spec]);
        assert!(
            found.stderr.contains("extended support, for those who have it, ends on 2999-02-28"),
            "{found:?}"
        );
        let json: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
        json["fetched"][0].clone()
    };
    let house = fetched("house");
    assert_eq!(house["digest"], digest("sha256", &newest).as_str());
    assert_eq!(house["origin"]["trust"]["signer"], key.fingerprint.as_str());
    let old = fetched("house-9@20200101");
    assert_eq!(
        (&old["digest"], &old["origin"]["trust"]["by"]),
        (&digest("sha256", &pinned).into(), &"pin".into())
    );
    let arm = machine.run(&["base", "fetch", "--arch", "aarch64", "house-9@20200202"]);
    assert!(arm.code == Some(4) && arm.stderr.contains("house-20200202-arm64.qcow2"), "{arm:?}");
    let bought = fetch(&["bought"]);
    assert!(bought.code == Some(2) && bought.stderr.contains("it comes on a disc"), "{bought:?}");
    assert!(bought.stderr.contains("https://shop.example/"), "{bought:?}");

    let shown = machine.tib(&["base", "show", "house"]);
    for said in [
        "house-9: Our own system",
        "also called    house",
        "ended on 2020-01-31",
        "debian 9, apt, systemd, apparmor, root on ext4, Python 3: 3.5",
        "user           keeper",
        "x86_64, aarch64",
        "signed by      ",
        "The keeper's key",
        "known build    20200202 for aarch64",
        "note           It has a quirk.",
        "not verified   Whether it boots.",
        "catalogue/house.toml",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let shown = machine.json(&["base", "show", "house", "--json"]);
    assert_eq!(names(&shown["in_cache"], "digest").len(), 2);
    assert_eq!(shown["keys"][0]["source"], "this test");

    // Its length is asked of the server, and the family is what recipes' conditions ask.
    machine.write("catalogue/house.toml", entries(&server, &key, &pinned).replace("size = ", "size = 1"));
    let online = machine.json(&["base", "check-catalogue", "house", "--online", "--json"]);
    let problems = names(&online["problems"], "message").join("\n");
    assert!(problems.contains(&format!("has {0} bytes instead of 1{0}", pinned.len())), "{problems}");
    // Of the other architecture there is nothing.
    assert_eq!((&online["entries"], &online["asked"]), (&1.into(), &4.into()), "{online}");
    assert!(problems.contains("answers 404"), "{problems}");
    machine.write(
        "catalogue/house.toml",
        entries(&server, &key, &pinned).replace("family = \"debian\"", "family = \"debain\""),
    );
    let wrong = machine.run(&["base", "list"]);
    assert!(wrong.code == Some(3) && wrong.stderr.contains("debain"), "{wrong:?}");
}

/// A clear-signed list that is a file of its own is read in place of the list.
#[test]
fn a_clear_signed_copy_is_read_in_place_of_the_list() {
    let (gpg, site, machine) = (Gpg::new(), Site::new(), Machine::new());
    let key = gpg.key("keeper", "", "0");
    let bytes = machine.image(1);
    let sums = |bytes: &[u8]| format!("{}  house-9-amd64.qcow2\n", digest("sha256", bytes)).into_bytes();
    site.put("/stretch/newest/house-9-amd64.qcow2", bytes.clone());
    site.put("/stretch/newest/NEWEST", sums(b"something else"));
    site.put("/stretch/newest/NEWEST.signed", gpg.clearsigned(&[&key], &sums(&bytes)));
    site.put("/key.asc", gpg.public(&key));
    let server = Server::https(site.handler());
    machine.write("authority.pem", server.authority());
    let entries = entries(&server, &key, b"");
    let entries = entries
        .replace("kind = \"detached\"", "kind = \"clearsigned\"")
        .replace("{checksums}.asc", "{checksums}.signed");
    machine.write("catalogue/house.toml", entries);
    let fetched = machine.json(&["base", "fetch", "house", "--arch", "x86_64", "--json"]);
    assert_eq!(fetched["fetched"][0]["digest"], digest("sha256", &bytes).as_str());
    assert_eq!(fetched["fetched"][0]["origin"]["trust"]["by"], "signature");
}

#[test]
fn lists_are_of_what_is_asked_for() {
    let machine = Machine::new();
    let digest = machine.import(1, &["--as", "rhel-9", "--arch", "aarch64"]);
    let current = machine.tib(&["base", "list"]);
    let all = machine.tib(&["base", "list", "--all"]);
    assert!(!current.contains("centos-7") && all.contains("centos-7"), "{all}");
    let told = machine.run(&["base", "list"]).stderr;
    assert!(told.contains(" more are past their end of life: `tib base list --all`\n"), "{told}");
    let json = machine.json(&["base", "list", "--json"]);
    for (id, family) in [("debian-12", "debian"), ("rhel-9", "rhel"), ("opensuse-leap-15.6", "suse")] {
        let entry = json.as_array().unwrap().iter().find(|entry| entry["id"] == id).unwrap();
        assert_eq!(entry["os"]["family"], family);
    }
    let entry = json.as_array().unwrap().iter().find(|entry| entry["id"] == "rhel-9").unwrap();
    assert_eq!(
        (&entry["in_cache"][0]["digest"], &entry["in_cache"][0]["arch"]),
        (&digest.as_str().into(), &"aarch64".into())
    );
    assert_eq!(machine.tib(&["base", "check-catalogue", "rhel-9"]), "1 entries, 0 problems\n");
    let schema = machine.json(&["base", "schema"]);
    assert!(schema["properties"]["image"].is_object());
}

#[test]
fn a_base_that_somebody_uses_is_not_removed() {
    let machine = Machine::new();
    let digest = machine.import(1, &["--as", "rhel-9"]);
    let lock = fs::File::open(machine.path(&format!("cache/v1/locks/base-{digest}"))).unwrap();
    // As a build holds it.
    lock.file().lock_shared().unwrap();
    let refused = machine.run(&["base", "remove", "rhel-9"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let stderr = &refused.stderr;
    assert!(
        stderr.contains("error: `rhel-9` is in use by a running tib\nhint: wait until it has ended"),
        "{stderr}"
    );
    assert_eq!(machine.cached("bases"), [digest.as_str()]);
    assert_eq!(names(&machine.json(&["base", "verify", "rhel-9", "--json"]), "name"), [digest.as_str()]);
    drop(lock);
    machine.tib(&["base", "remove", "rhel-9"]);
    assert_eq!(machine.cached("bases"), [""; 0]);
}

#[test]
fn bases_are_verified_and_removed_by_name_and_architecture() {
    let machine = Machine::new();
    let here = machine.import(1, &["--as", "rhel-9", "--arch", "x86_64"]);
    let there = machine.import(2, &["--as", "rhel-9", "--arch", "aarch64"]);
    let other = machine.import(3, &["--as", "rhel-10"]);
    let verified = |arguments: &[&str]| machine.json(&[&["base", "verify", "--json"], arguments].concat());
    assert_eq!(verified(&[]).as_array().unwrap().len(), 3);
    assert_eq!(names(&verified(&["rhel-10"]), "name"), [other.as_str()]);

    let removed = machine.json(&["base", "remove", "rhel-9", "--arch", "aarch64", "--json"]);
    assert_eq!(names(&removed, "digest"), [there.as_str()]);
    let left = machine.cached("bases");
    assert!(left.contains(&here) && left.contains(&other) && !left.contains(&there), "{left:?}");

    // What has changed since is found, and set aside.
    let mut bytes = fs::read(machine.path("cache/v1/bases").join(&here).join("disk.qcow2")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    machine.write(&format!("cache/v1/bases/{here}/disk.qcow2"), &bytes);
    let found = machine.run(&["cache", "verify", "--json"]);
    assert_eq!(found.code, Some(5));
    let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let damaged = found.as_array().unwrap().iter().filter(|item| item["damage"].is_string());
    assert_eq!(damaged.map(|item| item["name"].as_str().unwrap()).collect::<Vec<_>>(), [here.as_str()]);
    assert_eq!(machine.cached("bases"), [other]);
    assert_eq!(machine.cached("damaged").len(), 1);
    assert!(machine.tib(&["cache", "verify"]).ends_with(" 0 damaged\n"));
}

#[test]
fn the_cache_is_collected_by_age_and_size() {
    let machine = Machine::new();
    let place = machine.path("cache/v1");
    assert_eq!(Path::new(machine.tib(&["cache", "path"]).trim_end()), place);
    // Larger than anything else in the cache.
    let import = |number: u8, id: &str| {
        let mut bytes = vec![number; 8 << 20];
        // ext4's magic number: a file system without a partition table.
        bytes[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
        machine.write("disk.raw", bytes);
        let held = machine.json(&["base", "import", "disk.raw", "--as", id, "--json"]);
        held["digest"].as_str().unwrap().to_owned()
    };
    let [ancient, old, new] =
        [(1, "rhel-8"), (2, "rhel-9"), (3, "rhel-10")].map(|(number, id)| import(number, id));
    for (digest, days) in [(&ancient, 40), (&old, 10)] {
        machine.age(&format!("bases/{digest}/meta.json"), days);
    }
    let status = machine.json(&["cache", "status", "--json"]);
    let mut listed = names(&status["items"], "name");
    listed.retain(|name| name.len() == 64);
    assert_eq!(listed.len(), 3);
    assert!(
        status["bytes"].as_u64().unwrap() >= 24 << 20 && status["path"] == place.to_str().unwrap(),
        "{status}"
    );
    let short = machine.tib(&["cache", "status"]);
    assert!(short.contains("bases                  3") && !short.contains(&old[..12]), "{short}");
    let long = machine.tib(&["cache", "status", "--verbose"]);
    assert!(long.contains(&old[..12]) && long.contains("used 10 days ago"), "{long}");

    let removed = |arguments: &[&str]| {
        let collected = machine.json(&[&["cache", "gc", "--json"], arguments].concat());
        let mut removed = names(&collected["removed"], "name");
        removed.retain(|name| name.len() == 64);
        removed
    };
    let mut bases = machine.cached("bases");
    assert_eq!(removed(&["--dry-run"]), [ancient.as_str()]);
    assert_eq!(machine.cached("bases"), bases, "only said");
    assert_eq!(removed(&[]), [ancient.as_str()]);
    bases.retain(|digest| *digest != ancient);
    assert_eq!(machine.cached("bases"), bases);
    assert_eq!(removed(&["--keep-days", "20"]), [""; 0]);
    assert_eq!(removed(&["--max-size", "12M"]), [old.as_str()]);
    assert_eq!(machine.cached("bases"), [new.as_str()]);
    let told = machine.tib(&["cache", "gc", "--keep-days", "0"]);
    assert!(told.contains("freed ") && told.contains(&new[..12]), "{told}");
    assert_eq!(machine.cached("bases"), [""; 0]);
}
