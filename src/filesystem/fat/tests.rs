use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::disk::testing::{Lab, mixture};
use crate::disk::{Policy, open};

/// What mkfs.fat is asked for: the width, the size of the disk, sectors of a cluster.
const SHAPES: [(&str, u64, &str); 4] =
    [("12", 4 << 20, "4"), ("12", 1 << 20, "1"), ("16", 32 << 20, "4"), ("32", 64 << 20, "1")];

fn shared(lab: &Lab) -> (Shared, u64) {
    let disk = open(&lab.path("fat.img"), &Policy::default()).unwrap();
    let size = disk.size();
    (Arc::new(Mutex::new(disk)), size)
}

fn fat(lab: &Lab) -> Fat {
    let (disk, size) = shared(lab);
    Fat::open(&disk, 0, size, Access::default()).unwrap()
}

/// mtools put files into what mkfs.fat made.
fn image(lab: &Lab, bits: &str, size: u64, per_cluster: &str) {
    fs_err::File::create(lab.path("fat.img")).unwrap().set_len(size).unwrap();
    lab.run("mkfs.fat", &["-F", bits, "-s", per_cluster, "-n", "MYLABEL", "fat.img"]);
    fs_err::write(lab.path("small"), b"hello").unwrap();
    fs_err::write(lab.path("large"), mixture(300_000, 1)).unwrap();
    fs_err::write(lab.path("empty"), b"").unwrap();
    let put = |file: &str, path: &str| drop(lab.run("mcopy", &["-i", "fat.img", file, path]));
    lab.run("mmd", &["-i", "fat.img", "::/EFI", "::/EFI/almalinux-long-name", "::/EFI/BOOT"]);
    put("small", "::/EFI/BOOT/BOOTX64.EFI");
    // A hole in front, so that the large file is in two pieces.
    put("large", "::/gone");
    put("small", "::/between");
    lab.run("mdel", &["-i", "fat.img", "::/gone"]);
    put("small", "::/first");
    put("large", "::/EFI/almalinux-long-name/shimx64-with-a-long-name.efi");
    put("small", "::/EFI/almalinux-long-name/lower.efi");
    put("small", "::/EFI/almalinux-long-name/Übergröße – 文.txt");
    put("empty", "::/empty");
    put("small", "::/gone");
    lab.run("mdel", &["-i", "fat.img", "::/gone"]);
}

/// Path to length and content, of everything, as this reader finds it.
fn found(fat: &mut Fat) -> BTreeMap<String, (bool, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![(String::new(), fat.root())];
    while let Some((path, number)) = pending.pop() {
        let directory = fat.directory(number).unwrap();
        for name in directory.names() {
            let path = format!("{path}/{}", std::str::from_utf8(name).unwrap());
            let number = directory.get(name).unwrap();
            let stat = fat.stat(number).unwrap();
            let mut content = Vec::new();
            if stat.kind == FileKind::Directory {
                pending.push((path.clone(), number));
            } else {
                fat.read_to(number, 0, u64::MAX, &mut content).unwrap();
            }
            found.insert(path, (stat.kind == FileKind::Directory, content));
        }
    }
    found
}

/// The same by the `fatfs` library.
fn by_library(lab: &Lab) -> BTreeMap<String, (bool, Vec<u8>)> {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(lab.path("fat.img")).unwrap();
    let system = fatfs::FileSystem::new(file, fatfs::FsOptions::new()).unwrap();
    let mut found = BTreeMap::new();
    let mut pending = vec![(String::new(), system.root_dir())];
    while let Some((path, directory)) = pending.pop() {
        for entry in directory.iter().map(Result::unwrap) {
            let name = entry.file_name();
            if matches!(name.as_str(), "." | "..") {
                continue;
            }
            let path = format!("{path}/{name}");
            let mut content = Vec::new();
            if entry.is_dir() {
                pending.push((path.clone(), entry.to_dir()));
            } else {
                entry.to_file().read_to_end(&mut content).unwrap();
            }
            found.insert(path, (entry.is_dir(), content));
        }
    }
    found
}

#[test]
fn files_that_mtools_wrote() {
    for (bits, size, per_cluster) in SHAPES {
        let lab = Lab::new();
        image(&lab, bits, size, per_cluster);
        let mut fat = fat(&lab);
        let files = found(&mut fat);
        assert_eq!(files.len(), 10, "FAT{bits}: {:?}", files.keys());
        assert_eq!(files["/EFI/almalinux-long-name/Übergröße – 文.txt"].1, b"hello");
        assert_eq!(files, by_library(&lab), "FAT{bits}");
        assert_eq!(fat.label().unwrap().as_deref(), Some("MYLABEL"));
        let listing = lab.run("mdir", &["-i", "fat.img", "::/"]);
        let line = listing.lines().find(|line| line.ends_with("bytes free")).unwrap();
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(fat.space().unwrap().1, digits.parse::<u64>().unwrap(), "FAT{bits}");
    }
}

#[test]
fn content_is_what_mtype_says_from_any_place() {
    for (bits, size, per_cluster) in SHAPES {
        let lab = Lab::new();
        image(&lab, bits, size, per_cluster);
        let mut fat = fat(&lab);
        let large = fs_err::read(lab.path("large")).unwrap();
        let path = "/EFI/almalinux-long-name/shimx64-with-a-long-name.efi";
        lab.run("sh", &["-c", &format!("mtype -i fat.img ::{path} > typed")]);
        assert!(fs_err::read(lab.path("typed")).unwrap() == large);
        let files = fat.files().unwrap();
        let file = files.iter().find(|file| file.path == path).unwrap();
        assert!(fat.read(file, u64::MAX).unwrap() == large);
        assert_eq!(fat.read(file, 70_000).unwrap(), large[..70_000]);
        let number = number(&mut fat, path);
        for (offset, length) in
            [(0, 1), (511, 2), (4096, 4096), (299_999, 5), (300_000, 1), (1 << 40, 1), (5, u64::MAX)]
        {
            let mut piece = Vec::new();
            let count = fat.read_to(number, offset, length, &mut piece).unwrap();
            let start = offset.min(300_000) as usize;
            let end = offset.saturating_add(length).min(300_000) as usize;
            assert!(piece == large[start..end.max(start)], "FAT{bits} {offset} {length}");
            assert_eq!(count, piece.len() as u64);
        }
    }
}

/// The number of what a path leads to.
fn number(fat: &mut Fat, path: &str) -> u64 {
    path.split('/').filter(|part| !part.is_empty()).fold(fat.root(), |number, part| {
        fat.directory(number).unwrap().get(part.as_bytes()).unwrap_or_else(|| panic!("{path}"))
    })
}

#[test]
fn what_linux_says_of_files_and_directories() {
    let lab = Lab::new();
    image(&lab, "16", 32 << 20, "4");
    lab.run("mattrib", &["-i", "fat.img", "+r", "::/first"]);
    let (disk, size) = shared(&lab);
    let mut fat = Fat::open(&disk, 0, size, Access::new(["umask=0077", "uid=3"])).unwrap();
    let mut stat = |path: &str| {
        let number = number(&mut fat, path);
        let stat = fat.stat(number).unwrap();
        (stat.mode, stat.uid, stat.links, stat.size, stat.allocated)
    };
    assert_eq!(stat("/"), (0o700, 3, 3, 512 * 32, 512 * 32));
    assert_eq!(stat("/EFI"), (0o700, 3, 4, 2048, 2048));
    assert_eq!(stat("/EFI/BOOT"), (0o700, 3, 2, 2048, 2048));
    assert_eq!(stat("/first"), (0o500, 3, 1, 5, 2048));
    assert_eq!(stat("/empty"), (0o700, 3, 1, 0, 0));
    assert_eq!(
        stat("/EFI/almalinux-long-name/shimx64-with-a-long-name.efi"),
        (0o700, 3, 1, 300_000, 301_056)
    );
    let numbers: std::collections::HashSet<u64> =
        ["/", "/EFI", "/EFI/BOOT", "/first", "/empty"].map(|path| number(&mut fat, path)).into();
    assert_eq!(numbers.len(), 5);
    // mtools writes local time.
    let first = number(&mut fat, "/first");
    let modified = fat.stat(first).unwrap().modified.seconds;
    let written =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    assert!((modified - written).abs() < 15 * 3600, "{modified} {written}");
}

/// Fewer clusters than the specification wants, and what many make for boot partitions. mtools refuses it.
#[test]
fn fat32_may_be_small() {
    let lab = Lab::new();
    fs_err::File::create(lab.path("fat.img")).unwrap().set_len(33 << 20).unwrap();
    lab.run("mkfs.fat", &["-F", "32", "-s", "8", "-n", "SMALL", "fat.img"]);
    let mut fat = fat(&lab);
    assert_eq!(fat.geometry.kind, Kind::Fat32);
    assert_eq!(fat.label().unwrap().as_deref(), Some("SMALL"));
    let (size, free) = fat.space().unwrap();
    assert_eq!(free, size - 4096, "the root directory takes one cluster");
}

#[test]
fn names_are_found_whatever_their_case() {
    let lab = Lab::new();
    image(&lab, "12", 4 << 20, "4");
    let mut fat = fat(&lab);
    let long = number(&mut fat, "/EFI/almalinux-long-name");
    for path in ["/efi/ALMALINUX-long-name", "/Efi/almalinux-long-name.", "/EFI/ALMALI~1"] {
        assert_eq!(number(&mut fat, path), long, "{path}");
    }
    let root = fat.directory(fat.root()).unwrap();
    assert_eq!(root.get(b"nothing"), None);
    assert_eq!(root.get(b"."), None);
}

/// Changes a byte that `find` chooses by the content, and gives what is said of it.
fn broken(change: impl Fn(&mut [u8])) -> String {
    let lab = Lab::new();
    image(&lab, "12", 4 << 20, "4");
    let path = lab.path("fat.img");
    let mut bytes = fs_err::read(&path).unwrap();
    change(&mut bytes);
    fs_err::write(&path, &bytes).unwrap();
    let (disk, size) = shared(&lab);
    let error = Fat::open(&disk, 0, size, Access::default()).and_then(|mut fat| {
        for file in fat.files()? {
            fat.read(&file, u64::MAX)?;
        }
        Ok(())
    });
    let error = error.unwrap_err();
    assert!(matches!(error, DiskError::Damaged(_)), "{error:?}");
    error.to_string()
}

/// Where something lies, and the first time only.
fn place(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|window| window == text).unwrap()
}

#[test]
fn damage_is_told() {
    let table = |bytes: &[u8]| usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    // Cluster 2 is the directory EFI.
    let link = |bytes: &mut [u8], to: u8| {
        let at = table(bytes) + 3;
        bytes[at] = to;
        bytes[at + 1] &= 0xf0;
    };
    for (expected, change) in [
        ("runs in a circle", &(|bytes: &mut [u8]| link(bytes, 2)) as &dyn Fn(&mut [u8])),
        ("leads to a free one", &|bytes| link(bytes, 0)),
        ("leads out of it", &|bytes| link(bytes, 1)),
        ("entry leads nowhere", &|bytes| {
            let at = place(bytes, b"EFI        \x10");
            bytes[at + 26] = 0;
        }),
        ("leads out of it", &|bytes| {
            let at = place(bytes, b"FIRST      ");
            bytes[at + 27] = 0xff;
        }),
        ("shorter than its directory", &|bytes| {
            let at = place(bytes, b"FIRST      ");
            bytes[at + 30] = 1;
        }),
        ("larger than its file system", &|bytes| {
            let at = place(bytes, b"FIRST      ");
            bytes[at + 31] = 1;
        }),
        ("` twice", &|bytes| {
            let at = place(bytes, b"FIRST      ");
            bytes[at..at + 13].copy_from_slice(b"BETWEEN    \x20\x00");
        }),
        ("impossible name", &|bytes| {
            let at = place(bytes, b"FIRST      ");
            bytes[at] = b'/';
        }),
        ("larger than its partition", &|bytes| bytes[19..21].copy_from_slice(&[0xff, 0xff])),
        ("makes no sense", &|bytes| bytes[13] = 3),
    ] {
        let found = broken(change);
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn a_directory_that_leads_back_is_no_endless_tree() {
    let lab = Lab::new();
    image(&lab, "12", 4 << 20, "4");
    let path = lab.path("fat.img");
    let mut bytes = fs_err::read(&path).unwrap();
    // `/EFI/BOOT` has the clusters of `/EFI`.
    let (efi, boot) = (place(&bytes, b"EFI        \x10"), place(&bytes, b"BOOT       \x10"));
    bytes.copy_within(efi + 26..efi + 28, boot + 26);
    fs_err::write(&path, &bytes).unwrap();
    let mut fat = fat(&lab);
    let boot = number(&mut fat, "/EFI/BOOT");
    assert_eq!(number(&mut fat, "/EFI/BOOT/BOOT/BOOT"), boot, "one number, by which a walk knows it");
    assert!(fat.files().unwrap_err().to_string().contains("too deeply nested"));
}

#[test]
fn a_large_directory_is_read_whole() {
    let lab = Lab::new();
    image(&lab, "32", 64 << 20, "1");
    fs_err::create_dir(lab.path("many")).unwrap();
    for index in 0..700 {
        fs_err::write(lab.path(&format!("many/a rather long name of a file {index}")), index.to_string())
            .unwrap();
    }
    lab.run("mcopy", &["-s", "-i", "fat.img", "many", "::/"]);
    let mut fat = fat(&lab);
    let files = found(&mut fat);
    assert_eq!(files.keys().filter(|path| path.starts_with("/many/")).count(), 700);
    assert_eq!(files["/many/a rather long name of a file 699"].1, b"699");
    assert_eq!(files, by_library(&lab));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_change_is_survived(changes in proptest::collection::vec((0usize..200_000, any::<u8>()), 1..40)) {
        let mut bytes = template();
        for (at, byte) in changes {
            // Half of them in the boot sector and the start of the table.
            let at = if byte & 1 == 0 { at % 1024 } else { at };
            bytes[at] = byte;
        }
        crate::filesystem::any_fat(&bytes);
    }
}

/// A small file system, made once.
fn template() -> Vec<u8> {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let make = || {
        let lab = Lab::new();
        image(&lab, "12", 2 << 20, "4");
        fs_err::read(lab.path("fat.img")).unwrap()
    };
    BYTES.get_or_init(make).clone()
}
