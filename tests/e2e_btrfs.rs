//! Everything that Btrfs can hold, made by Linux in an appliance, is to tib what it is to Linux.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::oracle::guestfish_in;
use common::{run_tib, scratch};
use fs_err as fs;

/// Writes the files that the disks are made of: text, zeros, and noise, which nothing compresses.
fn data(directory: &Path) {
    let mut seed = 3u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut large = Vec::new();
    while large.len() < 1_000_003 {
        let run = (next() % 50_000) as usize + 1;
        match next() % 8 {
            0..2 => large.resize(large.len() + run, 0),
            2 => large.extend((0..run / 4).map(|_| next() as u8)),
            3..5 => large.extend((0..run).map(|_| b"abcdefgh"[next() as usize % 8])),
            _ => {
                let word = format!("{} ", next());
                large.extend(word.bytes().cycle().take(run));
            }
        }
    }
    large.truncate(1_000_003);
    let noise: Vec<u8> = (0..30_000).map(|_| next() as u8).collect();
    let text = b"all the same words over and over ".repeat(20);
    fs::create_dir_all(directory).unwrap();
    for (name, content) in
        [("large", &large[..]), ("noise", &noise), ("text", &text), ("zeros", &[0; 300_000])]
    {
        fs::write(directory.join(name), content).unwrap();
    }
}

/// Runs a program of those that are for administrators.
#[track_caller]
fn by_admin(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let mut command = std::process::Command::new(program);
    command.args(arguments.iter().map(|argument| (*argument).as_ref())).env("PATH", path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

type Fields = BTreeMap<String, String>;

/// What tib tells of every path, by the path's bytes as text (each a character).
fn ours(image: &Path) -> (BTreeMap<String, Fields>, String) {
    let command = ["--explain", "ls", "-R", "--json", "--checksum", "--xattrs", image.to_str().unwrap(), "/"];
    let found = run_tib(command);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&found.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let hex = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let listed = entries.iter().map(|entry| {
        let path = match entry["path-hex"].as_str() {
            Some(digits) => latin(&hex(digits)),
            None => latin(entry["path"].as_str().unwrap().as_bytes()),
        };
        let mut fields = Fields::new();
        for name in ["kind", "uid", "gid", "size", "links", "inode", "allocated"] {
            fields.insert(name.to_owned(), text(&entry[name]));
        }
        fields.insert("mode".to_owned(), entry["mode"].as_str().unwrap().trim_start_matches('0').to_owned());
        for name in ["mtime", "atime", "ctime"] {
            let part = &entry[format!("{name}-nanoseconds")];
            fields.insert(name.to_owned(), format!("{}.{:09}", entry[name], part.as_u64().unwrap_or(0)));
        }
        for name in ["target", "sha256", "device"] {
            if let Some(value) = entry[name].as_str() {
                fields.insert(name.to_owned(), value.to_owned());
            }
        }
        for attribute in entry["xattrs"].as_array().unwrap() {
            let name = format!("xattr {}", attribute["name"].as_str().unwrap());
            fields.insert(name, attribute["value-hex"].as_str().unwrap_or_default().to_owned());
        }
        (path, fields)
    });
    (listed.collect(), found.stderr)
}

/// Bytes as characters of the same numbers.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What Linux told of every path.
fn theirs(directory: &Path, name: &str, mounted: &str) -> BTreeMap<String, Fields> {
    let read = |kind: &str| latin(&fs::read(directory.join(format!("{name}.{kind}"))).unwrap());
    let path = |path: &str| match format!("{mounted}/{path}") {
        path if path.len() > 1 => path.trim_end_matches('/').to_owned(),
        path => path,
    };
    let mut all = BTreeMap::new();
    let listed = read("find");
    let fields: Vec<&str> = listed.strip_suffix('\0').unwrap().split('\0').collect();
    for entry in fields.chunks(13) {
        let kind = match entry[1] {
            "f" => "file",
            "d" => "directory",
            "l" => "symlink",
            "b" => "block",
            "c" => "character",
            "p" => "fifo",
            other => panic!("{other}"),
        };
        let blocks: u64 = entry[6].parse().unwrap();
        let mut fields = Fields::new();
        let mut put = |name: &str, value: &str| fields.insert(name.to_owned(), value.to_owned());
        put("kind", kind);
        put("allocated", &(blocks * 512).to_string());
        for (name, index) in [("mode", 2), ("uid", 3), ("gid", 4), ("size", 5), ("links", 7), ("inode", 8)] {
            put(name, entry[index]);
        }
        for (name, index) in [("mtime", 9), ("atime", 10), ("ctime", 11)] {
            // Ten digits, the last of which is always zero.
            put(name, entry[index].strip_suffix('0').unwrap());
        }
        match kind {
            "symlink" => put("target", entry[12]),
            "block" => put("device", "8:300"),
            "character" => put("device", "4095:64"),
            _ => None,
        };
        all.insert(path(entry[0]), fields);
    }
    for line in read("sums").split_terminator('\0') {
        let (sum, name) = line.split_once("  ./").unwrap();
        all.get_mut(&path(name)).unwrap().insert("sha256".to_owned(), sum.to_owned());
    }
    for section in read("xattrs").split("\n\n").filter(|section| !section.trim().is_empty()) {
        let mut lines = section.lines();
        let name = lines.next().unwrap().strip_prefix("# file: ").unwrap();
        let path = path(if name == "." { "" } else { name });
        for line in lines {
            let (attribute, value) = line.split_once('=').unwrap_or((line, ""));
            let value = value.strip_prefix("0x").unwrap_or(value);
            let fields = all.get_mut(&path).unwrap();
            fields.insert(format!("xattr {attribute}"), value.to_owned());
        }
    }
    all
}

#[test]
fn appliance_all_that_btrfs_holds_is_what_linux_says() {
    let scratch = scratch();
    let directory = scratch.path();
    data(&directory.join("tree/data"));
    for script in ["make", "tell"] {
        let from = format!("tests/fixtures/btrfs/{script}.sh");
        fs::copy(from, directory.join(format!("tree/{script}.sh"))).unwrap();
    }
    for (disk, size) in [("fedora.raw", 160 << 20), ("suse.raw", 128 << 20), ("files.raw", 48 << 20)] {
        fs::File::create(directory.join(disk)).unwrap().set_len(size).unwrap();
    }
    let (tree, files) = (directory.join("tree"), directory.join("files.raw"));
    by_admin("mke2fs", &[&"-q", &"-F", &"-d", &tree, &files]);
    // The scripts know the first two by their sizes.
    let mut script = "run\nmount /dev/sdc /\n".to_owned();
    script.push_str("debug sh \"sh /sysroot/make.sh /sysroot/data 2>&1\"\n");
    script.push_str("debug sh \"sh /sysroot/tell.sh /sysroot 2>&1\"\n");
    let told: Vec<String> = ["fedora", "top", "suse", "snapshots"]
        .iter()
        .flat_map(|disk| ["find", "sums", "xattrs"].map(|kind| format!("{disk}.{kind}")))
        .collect();
    for name in &told {
        script.push_str(&format!("download /{name} {name}\n"));
    }
    guestfish_in(directory, &["fedora.raw", "suse.raw", "files.raw"], &script);

    for (name, within, mounted, least) in
        [("fedora", "top", "/hidden", 1000), ("suse", "snapshots", "/.snapshots", 20)]
    {
        let image = directory.join(format!("{name}.raw"));
        by_admin("btrfs", &[&"check", &"--readonly", &"--check-data-csum", &image]);
        let (mut ours, why) = self::ours(&image);
        assert!(why.contains("read by tib itself: / is Btrfs"), "{why}");
        let mut theirs = self::theirs(directory, name, "");
        theirs.extend(self::theirs(directory, within, mounted));
        // A listing does not list itself.
        theirs.remove("/");
        assert!(theirs.len() > least, "{}", theirs.len());
        for (path, theirs) in &mut theirs {
            let ours = ours.get_mut(path).unwrap_or_else(|| panic!("{name}: no {path}"));
            // In its place was a subvolume when a snapshot was taken. Its times are nowhere on the disk.
            if theirs["inode"] == "2" {
                for fields in [&mut *theirs, &mut *ours] {
                    fields.retain(|name, _| !name.ends_with("time"));
                }
            }
            assert_eq!(ours, theirs, "{name}: {path}");
        }
        assert_eq!(ours.len(), theirs.len());
    }
    let (ours, why) = ours(&directory.join("fedora.raw"));
    assert!(why.contains("(subvolume `root`), /home is Btrfs"), "{why}");
    let attributes = ours["/odd/plain"].keys().filter(|name| name.starts_with("xattr"));
    assert_eq!(attributes.count(), 5);
}
