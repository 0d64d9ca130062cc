use proptest::prelude::*;

use super::super::testing::MemTree;
use super::*;

/// A machine that stopped during an upgrade: dpkg reads what it noted since, and so do we. dpkg itself is the judge.
#[test]
fn what_dpkg_noted_since_counts() {
    let stanza = |name: &str, status: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: {status}\nMaintainer: a <a@b.c>\nArchitecture: amd64\nVersion: {version}\nDescription: x\n"
        )
    };
    let status = [
        stanza("kept", "install ok installed", "1"),
        stanza("newer", "install ok installed", "1"),
        stanza("removed", "install ok installed", "1"),
    ]
    .join("\n");
    let updates = [
        ("0000", stanza("newer", "install ok unpacked", "2")),
        ("0001", stanza("removed", "deinstall ok config-files", "1")),
        ("0002", stanza("added", "install ok installed", "3")),
        ("0003", stanza("newer", "install ok installed", "2")),
    ];
    let directory = tempfile::tempdir().unwrap();
    let admin = directory.path();
    for name in ["updates", "info"] {
        std::fs::create_dir(admin.join(name)).unwrap();
    }
    std::fs::write(admin.join("status"), &status).unwrap();
    std::fs::write(admin.join("available"), "").unwrap();
    let mut tree =
        MemTree::new().file("/var/lib/dpkg/status", &status).file("/var/lib/dpkg/updates/tmp.i", "");
    for (name, text) in &updates {
        std::fs::write(admin.join("updates").join(name), text).unwrap();
        tree = tree.file(&format!("/var/lib/dpkg/updates/{name}"), text);
    }
    let output = std::process::Command::new("dpkg-query")
        .arg(format!("--admindir={}", admin.display()))
        .args(["-W", "-f=${db:Status-Status} ${Package} ${Version}\n"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut expected: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    expected.sort_unstable();
    let found = packages(&mut tree).unwrap();
    let found: Vec<_> = found.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
    assert_eq!(found, expected);
    assert_eq!(found, ["added 3", "kept 1", "newer 2"]);
}

const STATUS: &str = "\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.2.13.dfsg-1
Description: compression library
 Package: not-a-package
 .
 more

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: bash
Status: install ok installed
Priority: required
Architecture: amd64
Version: 5.2.15-2+b7

Package: half
Status: install ok half-configured
Architecture: all
Version: 2

Package: man-db
Status: install ok triggers-pending
Architecture: amd64
Version: 2.11.2-2
Triggers-Pending: /usr/share/man

Package: waits
Status: install ok triggers-awaited
Architecture: all
Version: 3
Triggers-Awaited: man-db

Package: opened
Status: install ok unpacked
Architecture: all
Version: 4

Package: broken
Status: install reinstreq half-installed
Architecture: all
Version: 5

Package: never
Status: unknown ok not-installed
Architecture: all
";

fn lines(packages: &[Package]) -> Vec<String> {
    packages.iter().map(|p| format!("{} {} {}", p.name, p.version, p.arch)).collect()
}

#[test]
fn only_what_works_counts_as_installed() {
    let mut tree = MemTree::new().file("/var/lib/dpkg/status", STATUS);
    let found = database(&mut tree).unwrap();
    assert_eq!(
        lines(&found.installed),
        ["bash 5.2.15-2+b7 amd64", "man-db 2.11.2-2 amd64", "waits 3 all", "zlib1g 1:1.2.13.dfsg-1 amd64"]
    );
    let unfinished: Vec<_> = found.unfinished.iter().map(|p| format!("{} {}", p.name, p.state)).collect();
    assert_eq!(unfinished, ["half half-configured", "opened unpacked", "broken half-installed"]);
}

#[test]
fn the_distribution_has_one_database() {
    let file = zstd::decode_all(&include_bytes!("rpm/testdata/Packages.db.zst")[..]).unwrap();
    let rpm = MemTree::new().file("/var/lib/rpm/Packages.db", file);
    let dpkg = MemTree::new().file("/var/lib/dpkg/status", STATUS);
    let both = rpm.clone().file("/var/lib/dpkg/status", STATUS);
    let os = |tree: &MemTree, text: &str| tree.clone().file("/etc/os-release", text);
    for (tree, manager) in [
        (dpkg.clone(), Manager::Dpkg),
        (rpm.clone(), Manager::Rpm),
        (rpm.clone().file("/var/lib/dpkg/status", ""), Manager::Rpm),
        (rpm.clone().file("/var/lib/dpkg/status", "\n\n").dir("/var/lib/dpkg/status.d"), Manager::Rpm),
        (MemTree::new().file("/var/lib/dpkg/status", ""), Manager::Dpkg),
        (os(&both, "ID=ubuntu\n"), Manager::Dpkg),
        (os(&both, "ID=\"ol\"\nID_LIKE=\"fedora\"\n"), Manager::Rpm),
        (os(&both, "ID=opensuse-leap\n"), Manager::Rpm),
        (os(&dpkg, "ID=fedora\n"), Manager::Dpkg),
        (both, Manager::Dpkg),
    ] {
        let found = database(&mut tree.clone()).unwrap();
        assert_eq!(found.manager, manager);
    }
}

#[test]
fn one_stanza_a_file() {
    let mut tree = MemTree::new()
        .file("/var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a\nArchitecture: all\n")
        .file("/var/lib/dpkg/status.d/tzdata.md5sums", "abc  usr/share/zoneinfo/UTC\n");
    assert_eq!(lines(&packages(&mut tree).unwrap()), ["tzdata 2024a all"]);
}

#[test]
fn what_cannot_be_read_is_said() {
    for (tree, expected) in [
        (MemTree::new(), "neither a dpkg nor an RPM database"),
        (MemTree::new().file("/var/lib/rpm/rpmdb.sqlite", ""), "this RPM database is empty"),
        (MemTree::new().file("/var/lib/dpkg/status", "garbage"), "line 1 is not a field"),
        (MemTree::new().file("/var/lib/dpkg/status", "Version: 1\n"), "names no package"),
        (MemTree::new().file("/var/lib/dpkg/status", "Package: a\n"), "has no version"),
        (MemTree::new().file("/var/lib/dpkg/status", STATUS).broken("/var/lib/dpkg"), "bad block"),
        (MemTree::new().link("/var/lib/dpkg/status", "status"), "loop"),
    ] {
        let error = packages(&mut tree.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn dpkg_query_says_the_same() {
    let Ok(host) = fs_err::read("/var/lib/dpkg/status") else {
        return; // Not a Debian host: there is nothing to compare with.
    };
    for status in [STATUS.as_bytes().to_vec(), host] {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("status"), &status).unwrap();
        let output = std::process::Command::new("dpkg-query")
            .arg(format!("--admindir={}", directory.path().display()))
            .args([
                "-W",
                "-f",
                "${db:Status-Status} ${Package} ${Version} ${Architecture} ${Installed-Size}\n",
            ])
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let of_installed = |line: &'_ str| {
            let (state, rest) = line.split_once(' ')?;
            matches!(state, "installed" | "triggers-pending" | "triggers-awaited").then(|| rest.to_owned())
        };
        let mut expected: Vec<_> = output.lines().filter_map(of_installed).collect();
        expected.sort_unstable();
        let packages = parse_dpkg(&status).unwrap();
        let sizes =
            packages.iter().map(|p| p.installed_size.map_or(String::new(), |size| (size / 1024).to_string()));
        let mut found: Vec<_> =
            lines(&packages).into_iter().zip(sizes).map(|(line, size)| format!("{line} {size}")).collect();
        found.sort_unstable();
        assert!(!expected.is_empty());
        assert_eq!(found, expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = parse_dpkg(&bytes);
    }

    #[test]
    fn any_stanza_like_text_is_survived(text in "((Package|Version|Status|X)?:? ?[a-z:\\n ]{0,8}\\n){0,20}") {
        if let Ok(packages) = parse_dpkg(text.as_bytes()) {
            prop_assert!(packages.len() <= text.matches("Package").count());
        }
    }
}
