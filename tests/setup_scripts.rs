//! The decisions that the set-up scripts make, fed with what package managers say on various machines.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs a function of `scripts/lib/`, from the package's root like every test, and returns its exit code and output.
fn shell(script: &str, arguments: &[&str], stdin: &str) -> (Option<i32>, String) {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c"])
        .arg(format!("for file in scripts/lib/*.sh; do . \"$file\"; done; {script}"))
        .arg("bash")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = bash.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// `apt-cache madison` for packages in the given versions.
fn madison(offers: &[(&str, &str)]) -> String {
    offers
        .iter()
        .map(|(package, version)| {
            format!("{package:>12} | {version} | http://deb.example/debian any/main amd64 Packages\n")
        })
        .collect()
}

const BOOKWORM: &str = "1:7.2+dfsg-7+deb12u18+b3";
const BOOKWORM_DATA: &str = "1:7.2+dfsg-7+deb12u18";
const BACKPORT: &str = "1:10.0.2+ds-2~bpo12+1";

#[test]
fn qemu_versions_are_aligned() {
    let archive = [
        ("qemu-utils", BOOKWORM),
        ("qemu-utils", "1:7.2+dfsg-7+deb12u15"),
        ("qemu-system-x86", BOOKWORM),
        ("qemu-system-x86", "1:7.2+dfsg-7+deb12u15"),
        ("qemu-system-common", BOOKWORM),
        ("qemu-system-data", BOOKWORM_DATA),
    ];
    let with_backports = [
        &archive[..],
        &[
            ("qemu-utils", BACKPORT),
            ("qemu-system-x86", BACKPORT),
            ("qemu-system-common", BACKPORT),
            ("qemu-system-data", BACKPORT),
        ],
    ]
    .concat();
    // A backport of the tools alone, as some container images carry it.
    let tools_only = [&archive[..], &[("qemu-utils", BACKPORT)]].concat();
    let downgrade = format!(
        "qemu-utils={BOOKWORM}\nqemu-system-x86={BOOKWORM}\nqemu-system-common={BOOKWORM}\nqemu-system-data={BOOKWORM_DATA}\n"
    );
    let keep = format!(
        "qemu-utils={BACKPORT}\nqemu-system-x86={BACKPORT}\nqemu-system-common={BACKPORT}\nqemu-system-data={BACKPORT}\n"
    );
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
    let cases: [Case; 6] = [
        ("archive offers neither newer", BACKPORT, &archive, Some(&downgrade)),
        ("backports are configured", BACKPORT, &with_backports, Some(&keep)),
        ("only the tools are backported", BACKPORT, &tools_only, Some(&downgrade)),
        ("already aligned", BOOKWORM, &archive, Some(&downgrade)),
        ("the emulator is not on offer", BACKPORT, &[("qemu-utils", BOOKWORM)], None),
        ("nothing is on offer", BACKPORT, &[], None),
    ];
    for (case, installed, offers, wanted) in cases {
        let (code, output) = shell("choose_qemu_versions \"$1\"", &[installed], &madison(offers));
        match wanted {
            Some(wanted) => assert_eq!((code, output.as_str()), (Some(0), wanted), "{case}"),
            None => assert_eq!((code, output.as_str()), (Some(1), ""), "{case}"),
        }
    }
}

#[test]
fn subordinate_ids_never_overlap() {
    for (file, wanted) in [
        ("", "100000\n"),
        ("a:100000:65536\n", "165536\n"),
        ("b:231072:65536\na:100000:65536\n", "296608\n"),
        // Not a range; and one below where ranges start.
        ("# comment\n\nc:1000:10\n", "100000\n"),
        ("d:4294901760:1000\n", "4294902760\n"),
    ] {
        assert_eq!(shell("next_subid /dev/stdin", &[], file), (Some(0), wanted.to_owned()), "{file:?}");
    }
}

#[test]
fn every_group_of_packages_says_what_it_is_for() {
    for manager in ["apt", "dnf"] {
        let stubs = "os_id() { printf debian; }; el_major() { printf 9; }; apt_installed() { false; }; \
                     apt_offers() { true; }; rpm() { false; }; dnf() { printf x; }; have_kernel() { false; }; dpkg() { printf amd64; }; ";
        let (code, output) = shell(&format!("{stubs} package_groups \"$1\""), &[manager], "");
        assert_eq!(code, Some(0));
        for line in output.lines() {
            let (why, packages) = line.split_once('|').unwrap_or_else(|| panic!("{manager}: {line}"));
            assert!(!why.is_empty() && !packages.trim().is_empty(), "{manager}: {line}");
        }
        let needed = "libguestfs qemu mmdebstrap kernel pip gcc libguestfs-xfs xfsprogs btrfs-progs lvm2";
        for needed in needed.split(' ') {
            assert!(output.contains(needed), "{manager}: no {needed} in\n{output}");
        }
    }
}

/// What a package started or enabled is switched off; what was on before is its host's.
#[test]
fn services_that_come_with_packages_are_switched_off() {
    for (before, after, wanted) in [
        ("", "ssh.service\n", ""),
        (
            "",
            "epmd.service\nepmd.socket\nrabbitmq-server.service\n",
            "epmd.socket\nrabbitmq-server.service\nepmd.service\n",
        ),
        ("rabbitmq-server.service\n", "rabbitmq-server.service\nepmd.socket\n", "epmd.socket\n"),
        ("epmd.socket\n", "epmd.socket\n", ""),
    ] {
        let (code, output) = shell("unwanted_services \"$1\" \"$2\"", &[before, after], "");
        assert_eq!((code, output.as_str()), (Some(0), wanted), "{before:?} {after:?}");
    }
}

/// While packages are installed, Debian's scripts ask whether a service may be started.
#[test]
fn services_that_come_with_packages_are_not_started() {
    for (service, wanted) in [
        ("rabbitmq-server", 101),
        ("rabbitmq-server.service", 101),
        ("epmd.socket", 101),
        ("ssh", 0),
        ("ssh.service", 0),
    ] {
        let (code, output) = shell("sh -c \"$(policy)\" policy-rc.d \"$1\" start", &[service], "");
        assert_eq!((code, output.as_str()), (Some(wanted), ""), "{service}");
    }
}

/// Whatever ends an installation, the host keeps nothing that forbids its services; and what it forbade before stays.
#[test]
fn the_policy_lasts_as_long_as_the_installation() {
    let scratch = tempfile::tempdir().unwrap();
    let policy = scratch.path().join("policy-rc.d");
    let name = policy.to_str().unwrap();
    let stubs =
        "as_root() { \"$@\"; }; have() { [ \"$1\" = apt-get ]; }; enabled_services() { :; }; POLICY=$1; ";
    for (install, wanted) in [("test -x \"$1\"", 0), ("die no", 1), ("false", 1)] {
        let (code, _) = shell(
            &format!("{stubs} install() {{ {install}; }}; without_new_services install \"$1\""),
            &[name],
            "",
        );
        assert_eq!(code, Some(wanted), "{install}");
        assert!(!policy.exists(), "{install}");
    }
    fs_err::write(&policy, "theirs").unwrap();
    let (code, _) = shell(&format!("{stubs} without_new_services true"), &[name], "");
    assert_eq!((code, fs_err::read_to_string(&policy).unwrap().as_str()), (Some(0), "theirs"));
}

/// Whoever has neither apt nor dnf goes by the page.
#[test]
fn the_page_names_every_package() {
    let page = fs_err::read_to_string("docs/host.md").unwrap();
    let stubs = "os_id() { printf debian; }; apt_installed() { false; }; apt_offers() { true; }; \
                 have_kernel() { false; }; dpkg() { printf amd64; }; ";
    let (code, output) = shell(&format!("{stubs} package_groups apt"), &[], "");
    assert_eq!(code, Some(0));
    let packages = output.lines().flat_map(|line| line.split_once('|').unwrap().1.split_whitespace());
    let missing: Vec<_> = packages.filter(|package| !page.contains(package)).collect();
    assert_eq!(missing, [""; 0], "not in docs/host.md");
}

#[test]
fn the_pages_name_the_rust_that_is_needed() {
    let manifest = fs_err::read_to_string("Cargo.toml").unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    for page in ["README.md", "docs/host.md"] {
        let wanted = format!("Rust {}", version.trim_matches('"'));
        assert!(fs_err::read_to_string(page).unwrap().contains(&wanted), "{page}: {wanted}");
    }
}
