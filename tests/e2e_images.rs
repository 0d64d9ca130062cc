//! Builds every recipe with real packages, and lets other people's tools judge the result.

mod common;

use std::path::{Path, PathBuf};

use common::catalogue::toy;
use common::gpg::Gpg;
use common::http::{Server, Site};
use common::look::Look;
use common::oracle::{packages, qemu_img_info, tamper};
use common::{BASE, built_image, outcome, run, run_tib, scratch, tib};
use fs_err as fs;

/// What an image must hold, written down here and not taken from its recipe.
struct Expected {
    recipe: &'static str,
    packages: &'static [&'static str],
    /// Units that start at boot, as links below `/etc/systemd/system/*.wants`.
    enabled: &'static [&'static str],
}

#[test]
fn appliance_image_trove_guest() {
    let image = check(&Expected {
        recipe: "trove-guest",
        packages: &["docker.io", "cloud-init", "sudo", "openssh-server"],
        enabled: &["guest-agent.service", "docker.service"],
    });
    assert_eq!(
        (image.mode("/etc/sudoers.d/60_trove_guest"), image.uid("/etc/sudoers.d/60_trove_guest")),
        (0o440, 0)
    );
    let agent = image.mode("/opt/guest-agent-venv/bin/trove-guestagent");
    assert_eq!(agent & 0o111, 0o111, "the agent can be executed");
    let (passwd, group) = (image.read("/etc/passwd"), image.read("/etc/group"));
    let owner = account(&passwd, "ubuntu").expect("the user that owns injected files");
    for directory in ["/etc/trove/conf.d", "/var/log/trove"] {
        assert_eq!(image.uid(directory), owner, "{directory}");
    }
    assert!(!passwd.lines().any(|line| line.split(':').nth(2) == Some("1001")), "UID 1001 is the database's");
    let docker = group.lines().find(|line| line.starts_with("docker:")).expect("docker's group");
    assert!(
        docker.ends_with(":ubuntu") || docker.contains("ubuntu,") || docker.contains(",ubuntu"),
        "{docker}"
    );
    assert!(!image.glob("/etc/cloud/cloud.cfg.d/*tib*").is_empty(), "cloud-init is told where to look");
}

#[test]
fn appliance_image_mariadb() {
    let image = check(&Expected {
        recipe: "mariadb",
        packages: &["mariadb-server", "cloud-init"],
        enabled: &["mariadb.service"],
    });
    assert!(image.is("directory", "/etc/mysql/conf.d") && image.is("directory", "/var/lib/mysql"));
}

#[test]
fn appliance_image_postgresql() {
    let image = check(&Expected {
        recipe: "postgresql",
        packages: &["postgresql-15", "cloud-init"],
        enabled: &["postgresql.service"],
    });
    // It is built with these options.
    assert_eq!(qemu_img_info(&built_image("postgresql"))["virtual-size"], 6u64 << 30);
    assert!(account(&image.read("/etc/passwd"), "trove").is_some());
    // Agents find the cluster by this file, so it must have been made when the image was.
    assert!(!image.glob("/var/lib/postgresql/*/main/PG_VERSION").is_empty());
}

#[test]
fn appliance_image_redis() {
    let image = check(&Expected {
        recipe: "redis",
        packages: &["redis-server", "cloud-init"],
        enabled: &["redis-server.service"],
    });
    assert!(image.is("file", "/etc/redis/redis.conf"));
}

/// From Debian's backports, which the recipe adds with their key. It takes minutes, so only `make test-all` does it.
#[test]
fn appliance_image_valkey() {
    if !common::all_combinations() {
        return;
    }
    let image = check(&Expected {
        recipe: "valkey",
        packages: &["valkey-server", "valkey-tools"],
        enabled: &["valkey-server.service", "tib-huge-pages.service"],
    });
    assert!(image.is("file", "/etc/valkey/valkey.conf"));
    let sources = image.read("/etc/apt/sources.list.d/bookworm-backports.sources");
    assert!(sources.contains("Suites: bookworm-backports"), "{sources}");
}

/// A seal that is broken after the build is found, and only then.
#[test]
fn appliance_tampering_is_found() {
    let directory = scratch();
    let copy = directory.path().join("tampered.qcow2");
    fs::copy(built_image("redis"), &copy).unwrap();
    let verify = || run_tib(["verify", copy.to_str().unwrap(), "--recipe", "redis"]);
    verify().expect(0);
    tamper(&copy, &["write /etc/machine-id \"0123456789abcdef0123456789abcdef\\n\""]);
    let report = verify().expect(8);
    assert!(report.contains("/etc/machine-id"), "{report}");
    // Partition 1 holds the part of GRUB that a BIOS needs.
    let no_loader = ["zero /dev/sda1", "rm-rf /boot/efi/EFI"];
    let broken = ["truncate /etc/machine-id", "rm-rf /etc/redis/redis.conf", "rm-rf /usr/bin/redis-server"];
    tamper(&copy, &[&no_loader[..], &broken].concat());
    let report = verify().expect(8);
    assert!(report.contains("FAILED       firmware finds a boot loader"), "{report}");
    assert!(
        report.contains("nothing where it looks for its core") && report.contains("redis-server"),
        "{report}"
    );
}

/// `--compat` is for readers without zstd; every layer comes from the cache, so this costs an export.
#[test]
fn appliance_compat_image_is_zlib_and_equal() {
    let directory = scratch();
    let plain = built_image("redis");
    let compat = directory.path().join("compat.qcow2");
    run_tib(["build", "redis", "--base", BASE, "--compat", "--offline", "-o", compat.to_str().unwrap()])
        .expect(0);
    assert_eq!(qemu_img_info(&compat)["format-specific"]["data"]["compression-type"], "zlib");
    run("qemu-img", &[&"compare", &"-f", &"qcow2", &"-F", &"qcow2", &compat, &plain]);
}

/// An image that a maker signs: the cache has its bytes already, so nothing is transferred, and the layers fit as well.
#[test]
fn appliance_image_on_a_signed_base() {
    let plain = built_image("redis");
    let digest = manifest(&plain)["base"]["digest"].as_str().unwrap().to_owned();
    let (gpg, site) = (Gpg::new(), Site::new());
    let maker = gpg.key("maker", "", "0");
    let sums = format!("{digest}  toy.qcow2\n");
    site.put("/toy/SUMS", sums.clone().into_bytes());
    site.put("/toy/SUMS.asc", gpg.detached(&[&maker], "", sums.as_bytes()));
    site.put(&format!("/toy/{}", maker.fingerprint), gpg.public(&maker));
    let server = Server::https(site.handler());
    let directory = scratch();
    fs::write(directory.path().join("toy.toml"), toy(&server, "detached", &[&maker])).unwrap();
    fs::write(directory.path().join("authority.pem"), server.authority()).unwrap();

    let image = directory.path().join("image.qcow2");
    let mut build = tib();
    build
        .args(["build", "redis", "--base", "toy", "-o"])
        .arg(&image)
        .arg("--catalogue-dir")
        .arg(directory.path());
    build.env("SSL_CERT_FILE", directory.path().join("authority.pem"));
    outcome(&mut build).expect(0);
    let written = manifest(&image);
    assert_eq!(written["base"]["digest"], digest.as_str());
    let origin = &written["recorded"]["origin"];
    assert_eq!((origin["kind"].as_str(), origin["id"].as_str()), (Some("download"), Some("toy")));
    assert_eq!(
        (origin["trust"]["by"].as_str(), origin["trust"]["signer"].as_str()),
        (Some("signature"), Some(maker.fingerprint.as_str()))
    );
    assert_eq!(origin["checksum_file"], server.url("/toy/SUMS"));
    let before = manifest(&plain);
    assert_eq!(before["recorded"]["origin"]["kind"], "bootstrap");
    assert_eq!(without_recorded(&written), without_recorded(&before), "an equal build, an equal manifest");
    assert!(fs::read(&image).unwrap() == fs::read(&plain).unwrap(), "and of equal layers an equal file");
    assert!(server.log().iter().all(|logged| logged.sent < 10_000), "the image itself was not transferred");

    // The name goes; the bytes are those of the bootstrapped base as well.
    run_tib(["base", "remove", "toy", "--catalogue-dir", directory.path().to_str().unwrap()]).expect(0);
    let bases = common::cache().join("tib/v1/bases");
    assert!(bases.join(&digest).join("disk.qcow2").is_file());
}

fn manifest(image: &Path) -> serde_json::Value {
    let text = fs::read(format!("{}.manifest.json", image.display())).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The manifest's text without what only one build can say.
fn without_recorded(manifest: &serde_json::Value) -> String {
    let mut manifest = manifest.clone();
    assert!(manifest.as_object_mut().unwrap().remove("recorded").is_some());
    serde_json::to_string_pretty(&manifest).unwrap()
}

fn check(expected: &Expected) -> Look {
    let image = built_image(expected.recipe);
    check_container(&image);
    check_neighbours(&image);
    let look = Look::into(&image);
    check_guest(&look, expected);
    let options = common::asked(expected.recipe).iter().skip_while(|option| **option != "--set");
    run_tib(["verify", image.to_str().unwrap(), "--recipe", expected.recipe].iter().chain(options)).expect(0);
    look
}

fn check_container(image: &Path) {
    let info = qemu_img_info(image);
    assert_eq!(info.get("backing-filename"), None);
    let data = &info["format-specific"]["data"];
    assert_eq!(data["compat"], "1.1");
    assert_eq!(data["compression-type"], "zstd");
    assert_eq!(data["extended-l2"], false);
    assert_eq!(data.get("data-file"), None);
    assert_eq!(data["corrupt"], false);
}

fn check_neighbours(image: &Path) {
    let beside = |suffix: &str| {
        let mut name = image.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let manifest = manifest(image);
    assert_eq!(manifest["recorded"]["image"]["sha256"], common::gpg::sha256sum(image).as_str());
    assert_eq!(manifest["recorded"]["image"]["size"], image.metadata().unwrap().len());
    assert_eq!(manifest["image"]["virtual_size"], qemu_img_info(image)["virtual-size"]);
    let mut check = std::process::Command::new("sha256sum");
    check.args(["--check", "--strict"]).arg(beside(".sha256")).current_dir(image.parent().unwrap());
    common::outcome(&mut check).expect(0);
}

fn check_guest(image: &Look, expected: &Expected) {
    let installed = packages(&image.read("/var/lib/dpkg/status"));
    for package in expected.packages {
        assert!(installed.contains_key(*package), "{package} is not installed");
    }
    let wanted = image.glob("/etc/systemd/system/*.wants/*");
    for unit in expected.enabled {
        assert!(wanted.iter().any(|link| link.ends_with(&format!("/{unit}"))), "{unit} not in {wanted:?}");
    }
    let machine_id = image.read("/etc/machine-id");
    assert!(matches!(machine_id.trim(), "" | "uninitialized"), "{machine_id}");
    for pattern in FORBIDDEN {
        assert_eq!(image.glob(pattern), Vec::<&str>::new(), "left in the image");
    }
}

/// What would make instances alike, or was only there for the build.
const FORBIDDEN: [&str; 10] = [
    "/etc/ssh/ssh_host_*",
    "/var/lib/apt/lists/*_Packages",
    "/var/cache/apt/archives/*.deb",
    "/var/lib/systemd/random-seed",
    "/var/lib/cloud/instance",
    "/root/.bash_history",
    "/usr/sbin/policy-rc.d",
    "/var/lib/dhcp/*.leases",
    "/var/log/apt/history.log",
    "/.autorelabel",
];

fn account(passwd: &str, name: &str) -> Option<u64> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}
