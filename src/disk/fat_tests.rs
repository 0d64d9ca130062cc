use proptest::prelude::*;

use super::*;
use crate::disk::raw::Raw;
use crate::disk::testing::Lab;
use crate::disk::{Policy, open};

/// mtools put files into what mkfs.vfat made.
fn image(lab: &Lab, bits: &str, size: u64) {
    fs_err::File::create(lab.path("fat.img")).unwrap().set_len(size).unwrap();
    lab.run("mkfs.vfat", &["-F", bits, "-n", "MYLABEL", "fat.img"]);
    fs_err::write(lab.path("small"), b"hello").unwrap();
    fs_err::write(lab.path("large"), crate::disk::testing::mixture(300_000, 1)).unwrap();
    fs_err::write(lab.path("empty"), b"").unwrap();
    lab.run("mmd", &["-i", "fat.img", "::/EFI", "::/EFI/almalinux-long-name", "::/EFI/BOOT"]);
    lab.run("mcopy", &["-i", "fat.img", "small", "::/EFI/BOOT/BOOTX64.EFI"]);
    lab.run("mcopy", &["-i", "fat.img", "large", "::/EFI/almalinux-long-name/shimx64-with-a-long-name.efi"]);
    lab.run("mcopy", &["-i", "fat.img", "small", "::/EFI/almalinux-long-name/lower.efi"]);
    lab.run("mcopy", &["-i", "fat.img", "empty", "::/empty"]);
    lab.run("mcopy", &["-i", "fat.img", "small", "::/gone"]);
    lab.run("mdel", &["-i", "fat.img", "::/gone"]);
}

#[test]
fn files_that_mtools_wrote() {
    for (bits, size) in [("12", 4 << 20), ("16", 32 << 20), ("32", 64 << 20)] {
        let lab = Lab::new();
        image(&lab, bits, size);
        let mut disk = open(&lab.path("fat.img"), &Policy::default()).unwrap();
        let mut fat = Fat::open(&mut *disk, 0, size).unwrap();
        let (files, label) = fat.files().unwrap();
        let names: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.size)).collect();
        assert_eq!(
            names,
            [
                ("/EFI/BOOT/BOOTX64.EFI", 5),
                ("/EFI/almalinux-long-name/lower.efi", 5),
                ("/EFI/almalinux-long-name/shimx64-with-a-long-name.efi", 300_000),
                ("/empty", 0),
            ],
            "FAT{bits}"
        );
        assert_eq!(label.as_deref(), Some("MYLABEL"));
        assert_eq!(fat.read(&files[2], 1 << 20).unwrap(), fs_err::read(lab.path("large")).unwrap());
        assert_eq!(fat.read(&files[2], 70_000).unwrap().len(), 70_000);
        assert_eq!(fat.read(&files[3], 10).unwrap(), b"");
        let (_, free) = fat.space();
        let listing = lab.run("mdir", &["-i", "fat.img", "::/"]);
        let line = listing.lines().find(|line| line.ends_with("bytes free")).unwrap();
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(free, digits.parse::<u64>().unwrap(), "FAT{bits}");
    }
}

#[test]
fn circles_end() {
    let lab = Lab::new();
    image(&lab, "12", 4 << 20);
    let path = lab.path("fat.img");
    let mut bytes = fs_err::read(&path).unwrap();
    let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    // Cluster 2, the directory EFI, leads to itself.
    bytes[table + 3] = 2;
    bytes[table + 4] &= 0xf0;
    fs_err::write(&path, &bytes).unwrap();
    let mut disk = open(&path, &Policy::default()).unwrap();
    let error = Fat::open(&mut *disk, 0, 4 << 20).unwrap().files().unwrap_err().to_string();
    assert!(error.contains("circle"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_change_is_survived(changes in proptest::collection::vec((0usize..200_000, any::<u8>()), 1..40)) {
        let lab = Lab::new();
        let path = lab.path("any.img");
        let mut bytes = template();
        for (at, byte) in changes {
            // Half of them in the boot sector and the start of the table.
            let at = if byte & 1 == 0 { at % 1024 } else { at };
            bytes[at] = byte;
        }
        fs_err::write(&path, &bytes).unwrap();
        let mut disk = Raw::new(fs_err::File::open(&path).unwrap(), &path, bytes.len() as u64);
        if let Ok(mut fat) = Fat::open(&mut disk, 0, bytes.len() as u64)
            && let Ok((files, _)) = fat.files()
        {
            for file in files {
                let _ = fat.read(&file, 1 << 20);
            }
        }
    }
}

/// A small file system, made once.
fn template() -> Vec<u8> {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let make = || {
        let lab = Lab::new();
        image(&lab, "12", 2 << 20);
        fs_err::read(lab.path("fat.img")).unwrap()
    };
    BYTES.get_or_init(make).clone()
}
