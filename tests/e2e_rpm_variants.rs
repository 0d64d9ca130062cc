//! Other systems of Red Hat's family than the one of `e2e_rpm.rs`: Fedora with its Btrfs, the shape of CentOS 7, and releases that
//! differ in their names, databases and file systems. `make test-all` alone runs this.

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::oracle::guestfish;
use common::rpm_image::{CHANGED, dnf, labelled, listed};
use common::testbed::{Testbed, running};
use common::{all_combinations, built_once, outcome, run, run_tib, scratch, tib};
use common::{candlepin, registered};
use fs_err as fs;

/// A system, as it is written down here and not taken from the testbed's tables.
struct Shape {
    variant: &'static str,
    dbpath: &'static str,
    /// Files of the database of packages.
    database: &'static [&'static str],
    /// What guestfish calls what is mounted, and where.
    mounted: &'static str,
    /// A command of guestfish that tells of the root file system, and what it says.
    root: (&'static str, &'static [&'static str]),
    /// What the running system says of its root: file system and options.
    running: &'static str,
    /// Whether the guest has a dnf, which knows what was asked for.
    has_dnf: bool,
}

const FEDORA: Shape = Shape {
    variant: "fedora",
    dbpath: "/usr/lib/sysimage/rpm",
    database: &["rpmdb.sqlite"],
    mounted: "/dev/sda4: /\n/dev/sda4: /home\n/dev/sda4: /var\n/dev/sda2: /boot\n",
    root: ("btrfs-subvolume-list /", &["root", "home", "var"]),
    running: "btrfs",
    has_dnf: true,
};

/// As rpm 4.11 has it: Berkeley DB. The file system is one that Linux before 3.16 made: without checksums and types of names.
const CENTOS_7: Shape = Shape {
    variant: "centos-7",
    dbpath: "/var/lib/rpm",
    database: &["Basenames", "Name", "Packages", "Providename"],
    mounted: "/dev/sda1: /\n",
    root: ("debug sh \"xfs_info /sysroot\"", &["crc=0", "ftype=0"]),
    running: "xfs",
    has_dnf: false,
};

#[test]
fn appliance_shape_fedora() {
    mariadb_on(&FEDORA);
}

#[test]
fn appliance_shape_centos_7() {
    mariadb_on(&CENTOS_7);
}

/// Builds MariaDB, has the image judged by its own rpm, by the host's and by libselinux, and boots it to a running database.
fn mariadb_on(shape: &Shape) {
    if !all_combinations() {
        return;
    }
    let image = built_without_network(shape.variant, "mariadb");
    let place = scratch();
    let root = place.path().join("root");
    let packages = root.join(shape.dbpath.trim_start_matches('/'));
    fs::create_dir_all(root.join("var/lib")).unwrap();
    fs::create_dir_all(packages.parent().unwrap()).unwrap();
    let copy = |from: &str, to: &Path| format!("copy-out {from} {}", to.display());
    let mut state = "echo".to_owned();
    if shape.has_dnf {
        state = copy("/var/lib/dnf", &root.join("var/lib"));
    }
    let [mounted, told, changed, installed, units, ..] = guestfish(
        &image,
        [
            "mountpoints",
            shape.root.0,
            "sh \"rpm -Va; true\"",
            "sh \"rpm -qa --qf '%{NAME}\\n'\"",
            "sh \"cd /etc/systemd/system; echo *.wants/*\"",
            &copy("/etc/selinux/targeted/contexts/files", place.path()),
            &copy(shape.dbpath, packages.parent().unwrap()),
            &state,
        ],
    );
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let mounted: BTreeSet<_> =
        sorted(&mounted).into_iter().filter(|line| !line.ends_with(": /boot/efi")).collect();
    assert_eq!(mounted, sorted(shape.mounted));
    for word in shape.root.1 {
        assert!(told.contains(word), "{word}: {told}");
    }
    let changed: BTreeSet<_> = changed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(changed.iter().all(|path| CHANGED.contains(path)), "{changed:?}");
    assert!(changed.contains("/etc/passwd"), "rpm has looked: {changed:?}");
    assert!(units.contains(".wants/mariadb.service"), "{units}");

    let installed: BTreeSet<_> =
        installed.lines().filter(|name| !["gpg-pubkey", ""].contains(name)).map(str::to_owned).collect();
    assert!(installed.contains("mariadb-server"), "{installed:?}");
    listed(&image, &installed);
    let files: BTreeSet<_> = fs::read_dir(&packages)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    for file in shape.database {
        assert!(files.contains(*file), "{files:?}");
    }
    // rpm lets SQLite keep its journal; there is nothing in it.
    let is_left = |file: &&String| match file.as_str() {
        "rpmdb.sqlite-wal" => fs::metadata(packages.join(file)).unwrap().len() > 0,
        _ => file.starts_with("__db."),
    };
    assert_eq!(files.iter().find(is_left), None, "nothing of an open database is left");
    // The host's rpm reads it, too.
    let mut query = std::process::Command::new("rpm");
    query.args(["-qa", "--qf", "%{NAME}\\n", "--dbpath"]).arg(&packages);
    let told: BTreeSet<_> = outcome(&mut query)
        .expect(0)
        .lines()
        .filter(|name| *name != "gpg-pubkey")
        .map(str::to_owned)
        .collect();
    assert_eq!(told, installed);
    if shape.has_dnf {
        let asked = dnf(place.path(), &["repoquery", "--userinstalled", "--qf", "%{name}"]);
        assert!(asked.contains("mariadb-backup") && !asked.contains("mariadb-server-core"), "{asked:?}");
        let orphans = dnf(place.path(), &["repoquery", "--unneeded", "--qf", "%{name}"]);
        assert_eq!(orphans, BTreeSet::new(), "a later autoremove takes nothing");
    }
    labelled(&image, &place.path().join("files/file_contexts"));

    let [mode, answer, root] =
        running(&image, ["getenforce", "mariadb -Ne 'SELECT 6 * 7'", "findmnt -no FSTYPE,OPTIONS /"]);
    assert_eq!(mode, ["Permissive"]);
    assert_eq!(answer, ["42"]);
    assert!(root[0].starts_with(shape.running), "{root:?}");
    assert_eq!(shape.variant == "fedora", root[0].contains("subvol=/root"), "{root:?}");
}

/// The image of a recipe on a variant, built once per run, in one appliance, which has no network.
fn built_without_network(variant: &str, recipe: &str) -> PathBuf {
    built_once(&format!("{variant}-{recipe}"), |image| {
        let testbed = Testbed::open(variant);
        let place = scratch();
        // What libguestfs starts for QEMU; it also asks QEMU what it can do.
        let (qemu, started) = (place.path().join("qemu"), place.path().join("started"));
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *-append*) echo \"$*\" >>{};; esac\nexec qemu-system-x86_64 \"$@\"\n",
            started.display()
        );
        fs::write(&qemu, script).unwrap();
        fs::set_permissions(&qemu, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut build = tib();
        // With layers of an earlier run there would be no appliance to count.
        build.args(["build", recipe, "--no-cache", "--force", "--base"]);
        build.arg(testbed.image()).arg("-o").arg(image);
        outcome(build.env("LIBGUESTFS_HV", &qemu)).expect(0);
        let started = fs::read_to_string(started).unwrap();
        assert_eq!(started.lines().count(), 1, "{started}");
        assert!(!started.contains("-netdev"), "{started}");
    })
}

/// What a release says of itself.
struct Release {
    variant: &'static str,
    pretty: &'static str,
    /// What is built on it, if anything. Redis has its settings elsewhere on 8, where Debian's package does not put them.
    recipe: Option<&'static str>,
}

const RELEASES: [Release; 5] = [
    Release { variant: "rocky-8", pretty: "Rocky Linux 8.10 (Green Obsidian)", recipe: Some("mariadb") },
    Release { variant: "rocky-10", pretty: "Rocky Linux 10.0 (Red Quartz)", recipe: Some("valkey") },
    Release { variant: "almalinux-9", pretty: "AlmaLinux 9.6 (Sage Margay)", recipe: None },
    Release { variant: "centos-stream-9", pretty: "CentOS Stream 9", recipe: None },
    Release { variant: "rhel-9", pretty: "Red Hat Enterprise Linux 9.6 (Plow)", recipe: None },
];

/// Each is known for what it is; and recipes are built where the database or its place is another one.
#[test]
fn appliance_shapes_of_releases() {
    if !all_combinations() {
        return;
    }
    for release in RELEASES {
        let base = match release.recipe {
            Some(recipe) => built_without_network(release.variant, recipe),
            None => Testbed::open(release.variant).image(),
        };
        let told = run_tib(["inspect", "--json", base.to_str().unwrap()]).expect(0);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["system"]["pretty-name"], release.pretty, "{}", release.variant);
        let (id, _) = release.variant.split_once('-').unwrap();
        assert_eq!(told["system"]["id"], id, "{}", release.variant);
        let Some(recipe) = release.recipe else { continue };
        let [changed, installed, units] = guestfish(
            &base,
            [
                "sh \"rpm -Va; true\"",
                "sh \"rpm -qa --qf '%{NAME}\\n'\"",
                "sh \"cd /etc/systemd/system; echo *.wants/*\"",
            ],
        );
        let changed: BTreeSet<_> =
            changed.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert!(changed.iter().all(|path| CHANGED.contains(path)), "{changed:?}");
        let installed: BTreeSet<_> =
            installed.lines().filter(|name| !["gpg-pubkey", ""].contains(name)).map(str::to_owned).collect();
        assert!(installed.contains(recipe), "{installed:?}");
        listed(&base, &installed);
        assert!(units.contains(&format!(".wants/{recipe}.service")), "{units}");
    }
}

/// Redis for RHEL out of repositories that only an entitled system can read. Nothing secret is in any layer, log or image.
#[test]
fn appliance_shape_rhel_entitled() {
    if !all_combinations() {
        return;
    }
    let testbed = Testbed::open("rhel-9");
    let place = registered::Place::rhel();
    let sets = ["baseos", "appstream"].map(|name| {
        let path = format!("content/dist/rhel9/9/x86_64/{name}/os");
        let link = place.path("content").join(&path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(testbed.repositories().join(name), link).unwrap();
        let general = path.replace("/9/x86_64/", "/$releasever/$basearch/");
        candlepin::content(&format!("rhel-9-{name}-rpms"), &format!("/{general}"))
    });
    place.server.state().content = Some(place.path("content"));
    place.server.state().entitlements = vec![("OrgLevel", sets.to_vec())];
    let image = place.path("image.qcow2");
    let build = |more: &[&str]| {
        let mut build = tib();
        build
            .args(["build", "redis", "--verbose", "-o"])
            .arg(&image)
            .arg("--base")
            .arg(testbed.image())
            .args(more);
        build.current_dir(place.directory.path()).env("TIB_CACHE_DIR", place.path("cache"));
        build.env("TMPDIR", place.path("tmp")).env("HOME", place.path("home"));
        outcome(&mut build)
    };
    let refused = build(&[]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("open to registered systems only"), "{}", refused.stderr);

    let (server, content) = (place.server.url(), place.server.content());
    let key = ["--rhsm-org", candlepin::ORG, "--rhsm-activation-key-file", "key", "--rhsm-ca", "ca.pem"];
    let found = build(&[&key[..], &["--rhsm-server", &server, "--rhsm-baseurl", &content]].concat());
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert!(place.server.registered().is_empty() && place.records().is_empty());
    assert_eq!(place.server.state().gone.len(), 1, "it was registered once");
    let requests = place.server.requests().join("\n");
    assert!(requests.contains("appstream/os/Packages/redis-"), "{requests}");
    assert_eq!(testbed.requests(), 0, "nothing came from where it is open");

    let [changed, installed, repositories, identity] = guestfish(
        &image,
        [
            "sh \"rpm -Va; true\"",
            "sh \"rpm -qa --qf '%{NAME}\\n'\"",
            "sh \"ls -A /etc/yum.repos.d 2>/dev/null; true\"",
            "sh \"ls -Ad /etc/pki/consumer/* /etc/pki/entitlement/* /etc/rhsm/* /var/lib/rhsm/* 2>/dev/null; true\"",
        ],
    );
    let changed: BTreeSet<_> = changed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(changed.iter().all(|path| CHANGED.contains(path)), "{changed:?}");
    assert!(installed.lines().any(|name| name == "redis"), "{installed}");
    assert_eq!((repositories.trim(), identity.trim()), ("", ""));

    // Layers are not compressed: what was written into them can be searched for, and is found.
    let cache = place.path("cache");
    let mut control = std::process::Command::new("grep");
    let control =
        outcome(control.args(["-rlaF", "Redis configuration file example"]).arg(cache.join("v1/layers")));
    assert_ne!(control.stdout, "");
    run("qemu-img", &[&"convert", &"-O", &"raw", &image, &cache.join("image.raw")]);
    fs::copy(place.path("image.qcow2.manifest.json"), cache.join("manifest.json")).unwrap();
    place.no_secrets(&found);
}
