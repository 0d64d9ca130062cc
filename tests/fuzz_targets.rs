//! The fuzz targets, compiled and started. Fuzzing needs another compiler and hours; this finds a target that no longer
//! fits the program, and one that ends at the first input.

// The library has what only fuzzers need where debug assertions are on: in tests and in what cargo-fuzz makes, and in no
// release.
#![cfg(debug_assertions)]

// What the targets take from libFuzzer's crate comes from this file.
extern crate self as libfuzzer_sys;

/// Makes a function of a target: it takes any bytes, and does nothing with those that are not text where it wants text.
#[macro_export]
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $body:expr) => {
        pub(crate) fn target(input: &[u8]) {
            let run = |$bytes: &[u8]| $body;
            run(input);
        }
    };
    (|$text:ident: &str| $body:expr) => {
        pub(crate) fn target(input: &[u8]) {
            let run = |$text: &str| $body;
            if let Ok(text) = std::str::from_utf8(input) {
                run(text);
            }
        }
    };
}

/// Declares the targets, and all of them as a table.
macro_rules! targets {
    ($($name:ident = $path:literal;)*) => {
        $(
            #[allow(unused_attributes, unused_imports, reason = "they are for the program that the fuzzer makes of it")]
            #[path = $path]
            mod $name;
        )*
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name::target)),*];
    };
}

targets! {
    amqp_message = "../fuzz/fuzz_targets/amqp_message.rs";
    btrfs = "../fuzz/fuzz_targets/btrfs.rs";
    catalogue = "../fuzz/fuzz_targets/catalogue.rs";
    checks = "../fuzz/fuzz_targets/checks.rs";
    checksums = "../fuzz/fuzz_targets/checksums.rs";
    clearsign = "../fuzz/fuzz_targets/clearsign.rs";
    dpkg = "../fuzz/fuzz_targets/dpkg.rs";
    entitlement = "../fuzz/fuzz_targets/entitlement.rs";
    ext4 = "../fuzz/fuzz_targets/ext4.rs";
    fat = "../fuzz/fuzz_targets/fat.rs";
    guest_console = "../fuzz/fuzz_targets/guest_console.rs";
    guest_frames = "../fuzz/fuzz_targets/guest_frames.rs";
    guest_probe = "../fuzz/fuzz_targets/guest_probe.rs";
    inspect = "../fuzz/fuzz_targets/inspect.rs";
    journal = "../fuzz/fuzz_targets/journal.rs";
    layout = "../fuzz/fuzz_targets/layout.rs";
    lvm = "../fuzz/fuzz_targets/lvm.rs";
    oslo = "../fuzz/fuzz_targets/oslo.rs";
    partition = "../fuzz/fuzz_targets/partition.rs";
    qcow2 = "../fuzz/fuzz_targets/qcow2.rs";
    recipe = "../fuzz/fuzz_targets/recipe.rs";
    repositories = "../fuzz/fuzz_targets/repositories.rs";
    rpmdb = "../fuzz/fuzz_targets/rpmdb.rs";
    selinux = "../fuzz/fuzz_targets/selinux.rs";
    xfs = "../fuzz/fuzz_targets/xfs.rs";
}

/// Files of all kinds that are at hand: some are what one of the targets reads.
fn inputs() -> Vec<Vec<u8>> {
    let mut inputs =
        vec![Vec::new(), vec![0; 1 << 16], (0..1 << 16).map(|at: u32| ((at * at) >> 7) as u8).collect()];
    for directory in ["recipes", "base-images", "src/trust/openpgp/tests", "tests/snapshots"] {
        let entries = fs_err::read_dir(directory).unwrap();
        let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        inputs.extend(files.take(20).map(|path| fs_err::read(path).unwrap()));
    }
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    for arguments in [&["-f", "qcow2"][..], &["-f", "qcow2", "-o", "compat=0.10"]] {
        let mut create = std::process::Command::new("qemu-img");
        let status = create.args(["create", "-q"]).args(arguments).arg(&image).arg("1M").status().unwrap();
        assert!(status.success());
        inputs.push(fs_err::read(&image).unwrap());
    }
    for fixture in ["lvm-physical-volume", "lvm-group", "lvm-kinds"] {
        let packed = format!("tests/fixtures/{fixture}.xz");
        let unpacked = std::process::Command::new("xz").args(["-dc", &packed]).output().unwrap();
        assert!(unpacked.status.success());
        // The label, and the front of the metadata area.
        inputs.push(unpacked.stdout[..32 << 10].to_vec());
    }
    inputs
}

#[test]
fn every_target_survives_what_is_at_hand() {
    let inputs = inputs();
    for (_, target) in TARGETS {
        inputs.iter().for_each(|input| target(input));
    }
}

#[test]
fn every_target_is_here_and_in_the_fuzzers_manifest() {
    let entries = fs_err::read_dir("fuzz/fuzz_targets").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.map(|name| name.strip_suffix(".rs").unwrap().to_owned()).collect();
    names.sort();
    assert!(TARGETS.iter().map(|(name, _)| *name).eq(names.iter().map(String::as_str)), "{names:?}");
    let manifest: toml::Table = fs_err::read_to_string("fuzz/Cargo.toml").unwrap().parse().unwrap();
    let programs =
        manifest["bin"].as_array().unwrap().iter().map(|program| program["name"].as_str().unwrap());
    assert!(programs.eq(names.iter().map(String::as_str)));
}
