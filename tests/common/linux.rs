//! What Linux says about a file system that an appliance has mounted, and whether tib reads the same: every path, attribute, size,
//! number of blocks, time and digest.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use serde_json::Value;

use super::run_tib;

/// Writes what Linux says about the file system in the working directory to `out`, where another one is mounted.
pub const TELL: &str = r#"
set -eu
find . -path ./out -prune -o -printf '%y %m %U %G %s %b %n %i %T@ %A@ %C@|%P|%l\n' >out/list
find . -path ./out -prune -o -type f -print0 | xargs -0 sha256sum >out/sums
getfattr -R -P -h -d -m - -e hex . >out/attributes
"#;

/// Commands of guestfish that have Linux tell of what this command mounts at `/`. The directory `out` is there, `tell` holds
/// [`TELL`] on the host, and `scrap` is a disk with an ext4 of nothing. The answers are for [`is_what_linux_said`].
pub fn tell(mount: &str, scrap: &str, name: &str) -> String {
    let answers: String =
        ANSWERS.iter().map(|answer| format!("download /out/{answer} {answer}-{name}\n")).collect();
    format!(
        "{mount} /\nmount {scrap} /out\nupload tell /out/tell\n\
         debug sh \"cd /sysroot && bash out/tell\"\n{answers}umount /out\numount /\n"
    )
}

const ANSWERS: [&str; 3] = ["list", "sums", "attributes"];

/// Everything in an image as tib has it, by path. `why` is what it says about how it came to it.
#[track_caller]
pub fn listed_by_tib(image: &Path, why: &str) -> BTreeMap<String, Value> {
    let command = ["--explain", "ls", "-R", "--json", "--checksum", "--xattrs", image.to_str().unwrap(), "/"];
    let found = run_tib(command);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert!(found.stderr.contains(why), "{}", found.stderr);
    let entries: Vec<Value> = serde_json::from_str(&found.stdout).unwrap();
    entries.into_iter().map(|entry| (entry["path"].as_str().unwrap().to_owned(), entry)).collect()
}

/// Compares an image with the answers in a directory, and returns what tib found.
#[track_caller]
pub fn is_what_linux_said(image: &Path, why: &str, directory: &Path, name: &str) -> BTreeMap<String, Value> {
    let mut found = listed_by_tib(image, why);
    let told = |what: &str| fs::read_to_string(directory.join(format!("{what}-{name}"))).unwrap();
    // Where the other disk was.
    found.remove("/out");
    let list = told("list");
    let mut count = 0;
    for line in list.lines() {
        let path = format!("/{}", line.split('|').nth(1).unwrap());
        // The root itself is not listed.
        if path != "/" {
            let ours = found.get(&path).unwrap_or_else(|| panic!("{name}: no {path}"));
            assert_eq!(self::line(ours), line, "{name}");
            count += 1;
        }
    }
    assert_eq!(count, found.len(), "{name}");

    let mut digests = 0;
    for line in told("sums").lines() {
        let (digest, path) = line.split_once("  .").unwrap();
        // A backslash in front says that those in the name are doubled.
        let (digest, path) = match digest.strip_prefix('\\') {
            Some(digest) => (digest, path.replace("\\\\", "\\")),
            None => (digest, path.to_owned()),
        };
        assert_eq!(found[&path]["sha256"], digest, "{name} {path}");
        digests += 1;
    }
    let files = found.values().filter(|entry| entry["kind"] == "file");
    assert_eq!(files.count(), digests, "{name}");

    let expected = attributes(&told("attributes"));
    for (path, entry) in &found {
        let named = entry["xattrs"].as_array().unwrap().iter().map(|attribute| {
            let text = |key: &str| attribute[key].as_str().unwrap().to_owned();
            (text("name"), text("value-hex"))
        });
        let named: BTreeMap<_, _> = named.collect();
        let theirs = expected.get(path).cloned().unwrap_or_default();
        assert!(named == theirs, "{name} {path}: {:?} {:?}", named.keys(), theirs.keys());
    }
    found
}

fn time(entry: &Value, which: &str) -> String {
    let nanoseconds = entry[format!("{which}-nanoseconds")].as_u64().unwrap();
    format!("{}.{nanoseconds:09}0", entry[which].as_i64().unwrap())
}

/// The line that find writes about an entry.
fn line(entry: &Value) -> String {
    let kind = match entry["kind"].as_str().unwrap() {
        "file" => "f",
        "directory" => "d",
        "symlink" => "l",
        "block" => "b",
        "character" => "c",
        "fifo" => "p",
        other => panic!("{other}"),
    };
    let number = |key: &str| entry[key].as_u64().unwrap();
    let mode = entry["mode"].as_str().unwrap().trim_start_matches('0');
    format!(
        "{kind} {} {} {} {} {} {} {} {} {} {}|{}|{}",
        if mode.is_empty() { "0" } else { mode },
        number("uid"),
        number("gid"),
        number("size"),
        number("allocated") / 512,
        number("links"),
        number("inode"),
        time(entry, "mtime"),
        time(entry, "atime"),
        time(entry, "ctime"),
        &entry["path"].as_str().unwrap()[1..],
        entry["target"].as_str().unwrap_or_default()
    )
}

/// Attributes by path as getfattr writes them: name and value in hexadecimal.
pub fn attributes(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let sections = text.split("# file: ").skip(1);
    sections
        .map(|section| {
            let (path, rest) = section.split_once('\n').unwrap();
            let lines = rest.lines().filter(|line| !line.is_empty());
            let named = lines.map(|line| line.split_once("=0x").unwrap_or((line, "")));
            let named = named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            (format!("/{}", unescaped(path)), named)
        })
        .collect()
}

/// A path as getfattr writes it: three octal digits behind a backslash are a byte.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let byte = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match byte.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &more[3..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
