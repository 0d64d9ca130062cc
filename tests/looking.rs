//! The commands that look into an image, from outside: several paths, streams as targets, no cache.

mod common;

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::disks::debian_of_machine;
use common::{cache, outcome, run, run_tib, tib};
use fs_err as fs;

fn image() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let image = debian_of_machine(directory.path(), 62);
    (directory, image)
}

#[test]
fn a_path_that_is_not_there_does_not_hide_the_others() {
    let (_directory, image) = image();
    let image = image.to_str().unwrap();
    for (command, shown) in [("cat", "\nID=debian\n"), ("tail", "\nID=debian\n"), ("stat", "Path: ")] {
        let found = run_tib([command, image, "/etc/os-release", "/nothing", "/usr/lib/os-release"]);
        assert_eq!(found.code, Some(2), "{command}: {}", found.stderr);
        assert!(
            found.stderr.contains("no such file in the image: `/nothing`"),
            "{command}: {}",
            found.stderr
        );
        assert_eq!(found.stdout.matches(shown).count(), 2, "{command}: {}", found.stdout);
    }
}

/// A pipe that is read to its end in the background.
fn pipe(path: &Path) -> std::thread::JoinHandle<Vec<u8>> {
    run("mkfifo", &[&path]);
    let path = path.to_owned();
    std::thread::spawn(move || {
        let mut content = Vec::new();
        fs::File::open(path).unwrap().read_to_end(&mut content).unwrap();
        content
    })
}

#[test]
fn a_pipe_is_written_to_and_not_replaced() {
    let (directory, image) = image();
    let image = image.to_str().unwrap();
    for (name, arguments, expected) in [
        ("file", &["extract", "--force", image, "/etc/os-release", "-o"][..], &b"PRETTY_NAME="[..]),
        ("tar", &["extract", "--tar", image, "/etc", "-o"], b"etc/os-release\0"),
        ("html", &["verify", image, "--html"], b"<!doctype html>"),
        ("junit", &["verify", image, "--junit"], b"<?xml"),
    ] {
        let path = directory.path().join(name);
        let reader = pipe(&path);
        let found = run_tib(arguments.iter().map(OsStr::new).chain([path.as_os_str()]));
        assert!(path.symlink_metadata().unwrap().file_type().is_fifo(), "{name}: {}", found.stderr);
        let content = reader.join().unwrap();
        let found = content.windows(expected.len()).any(|window| window == expected);
        assert!(found, "{name}: {}", String::from_utf8_lossy(&content));
    }
}

#[test]
fn extracted_files_have_the_names_of_what_they_are() {
    let (directory, image) = image();
    let extract = |path: &str| {
        let place = tempfile::tempdir_in(directory.path()).unwrap();
        let found = outcome(tib().current_dir(place.path()).args(["extract", image.to_str().unwrap(), path]));
        assert_eq!(found.code, Some(0), "{path}: {}", found.stderr);
        let mut names = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.next().unwrap().into_string().unwrap()
    };
    for (path, name) in
        [("/etc", "etc"), ("etc/", "etc"), ("/etc/.", "etc"), ("/etc/..", "root"), ("/", "root")]
    {
        assert_eq!(extract(path), name, "{path}");
    }
}

#[test]
fn looking_needs_no_cache_and_makes_none() {
    let (directory, image) = image();
    let none = directory.path().join("none");
    // The small system lacks much that `verify` looks for.
    let commands = [(&["cat"][..], 0), (&["inspect", "--json"], 8), (&["ls"], 0), (&["verify"], 8)];
    for (command, code) in commands {
        let path = if command == ["cat"] { &["/etc/os-release"][..] } else { &[] };
        let mut with = tib();
        with.args(command).arg(&image).args(path).env("TIB_CACHE_DIR", &none);
        let with = outcome(&mut with);
        assert_eq!(with.code, Some(code), "{command:?}: {}", with.stderr);
        assert!(!none.exists(), "{command:?}");
        let mut without = tib();
        for name in ["TIB_CACHE_DIR", "XDG_CACHE_HOME", "HOME"] {
            without.env_remove(name);
        }
        let found = outcome(without.args(command).arg(&image).args(path));
        assert_eq!((found.code, found.stderr.as_str()), (Some(code), ""), "{command:?}");
        assert_eq!(found.stdout, with.stdout, "{command:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (_directory, image) = image();
    for (command, path, code) in [
        ("cat", Some("/etc/os-release"), 0),
        ("tail", Some("/etc/os-release"), 0),
        ("stat", Some("/etc"), 0),
        ("ls", None, 0),
        ("inspect", None, 8),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut tib = tib();
        tib.arg(command).arg(&image).args(path).stdout(writer).stderr(Stdio::piped());
        let output = tib.spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(code), ""), "{command}");
    }
}

/// Only the cache's own layers may have something behind them.
#[test]
fn an_image_from_elsewhere_does_not_reach_into_the_cache() {
    let (directory, image) = image();
    let within = tempfile::tempdir_in(cache().join("tib")).unwrap();
    let root = within.path().join("v1/layers");
    fs::create_dir_all(&root).unwrap();
    fs::copy(&image, root.join("base.raw")).unwrap();
    let base = root.join("base.raw");
    let make = |path: &Path| {
        run("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &"-F", &"raw", &"-b", &base, &path]);
    };
    let (own, foreign) = (root.join("own.qcow2"), directory.path().join("foreign.qcow2"));
    make(&own);
    make(&foreign);
    let cat = |path: &Path| {
        outcome(tib().arg("cat").arg(path).arg("/etc/os-release").env("TIB_CACHE_DIR", within.path()))
    };
    assert!(cat(&own).expect(0).contains("ID=debian"));
    let refused = cat(&foreign);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("it has a backing file"), "{}", refused.stderr);
}

/// What a listing takes must not depend on how much there is to list: images have hundreds of thousands of files.
#[test]
fn a_listing_of_130_000_entries_takes_less_than_100_megabytes() {
    /// Heap, stacks and whatever else a process may write to.
    const LIMIT: &str = "--data=100000000";
    let directory = tempfile::tempdir().unwrap();
    let script = "mkdir -p tree/etc tree/many
        printf 'ID=debian\\nVERSION_ID=12\\n' >tree/etc/os-release
        seq -f 'a-name-of-an-entry-%06g' 100000 | (cd tree/many && xargs touch)
        for number in $(seq 1000); do
            mkdir tree/directory-$number
            (cd tree/directory-$number && touch $(seq -f file-%g 29))
        done
        truncate -s 1G xfs btrfs
        mkfs.btrfs -q --rootdir tree btrfs
        { printf '/dev/null\\n0 0\\nd--755 0 0\\netc d--755 0 0\\nos-release ---644 0 0 tree/etc/os-release\\n$\\nmany d--755 0 0\\n'
          seq -f 'a-name-of-an-entry-%06g ---644 0 0 /dev/null' 100000
          echo '$'
          for number in $(seq 1000); do
              echo \"directory-$number d--755 0 0\"
              seq -f 'file-%g ---644 0 0 /dev/null' 29
              echo '$'
          done
          echo '$'; } >proto
        mkfs.xfs -q -p proto xfs";
    let mut make = std::process::Command::new("sh");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    make.args(["-euc", script]).current_dir(directory.path()).env("PATH", path);
    outcome(&mut make).expect(0);
    for name in ["xfs", "btrfs"] {
        for options in [&["-lR"][..], &["-R", "--json", "--xattrs"], &["-lR", "--csv", "--uids"]] {
            let mut tib = std::process::Command::new("prlimit");
            tib.arg(LIMIT).arg(common::tib_path()).arg("ls").args(options).arg(directory.path().join(name));
            let found = outcome(&mut tib);
            assert_eq!(found.code, Some(0), "{name} {options:?}: {}", found.stderr);
            let entries = found.stdout.lines().filter(|line| line.contains('/')).count();
            // Besides these: etc, os-release, many, and the root in a long listing.
            let expected = 100_000 + 1000 * 30 + 3 + usize::from(options[0] == "-lR");
            assert_eq!(entries, expected, "{name} {options:?}");
        }
    }
}
