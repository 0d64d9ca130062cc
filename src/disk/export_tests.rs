use proptest::prelude::*;

use super::super::testing::{Lab, mixture, read_all, write};
use super::super::{Policy, create_overlay, gate, open, open_own};
use super::*;
use crate::disk::Format;

fn export_file(lab: &Lab, from: &str, to: &str, options: &ExportOptions) -> ExportStats {
    let policy = Policy::within(lab.root());
    let path = lab.path(from);
    let out = File::options().read(true).write(true).create(true).truncate(false).open(lab.path(to)).unwrap();
    let mut last = (0, 0);
    let stats = export(
        &|| open(&path, &policy),
        &out,
        options,
        &mut |done, total| last = (done, total),
        &Cancel::new(),
    )
    .unwrap();
    assert_eq!(last, (stats.virtual_size, stats.virtual_size));
    assert_eq!(out.metadata().unwrap().len(), stats.file_size);
    stats
}

const KINDS: [Compression; 2] = [Compression::Zlib, Compression::Zstd];

/// A raw disk that passes the gate: a partition table at its start.
fn raw_disk(lab: &Lab, bytes: &mut [u8]) {
    bytes[..512].fill(0);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[446 + 4] = 0x83;
    bytes[446 + 8] = 1;
    bytes[446 + 12] = 1;
    write(&lab.path("disk.raw"), bytes);
}

#[test]
fn exports_are_what_qemu_says_whatever_the_threads() {
    let lab = Lab::new();
    raw_disk(&lab, &mut mixture(9_000_000 / 512 * 512, 7));
    for compression in KINDS {
        let one = ExportOptions { compression, level: 1, threads: 1 };
        let stats = export_file(&lab, "disk.raw", "one.qcow2", &one);
        lab.assert_same("one.qcow2", "disk.raw", "raw");
        assert!(stats.plain_clusters > 0 && stats.plain_clusters < stats.data_clusters);
        let four = export_file(&lab, "disk.raw", "four.qcow2", &ExportOptions { threads: 4, ..one });
        assert_eq!(stats, four, "the file does not depend on the number of threads");
        let bytes = std::fs::read(lab.path("one.qcow2")).unwrap();
        assert_eq!(stats.sha256, Digest::of(&bytes));
        let info = gate(&lab.path("one.qcow2"), &Policy::default()).unwrap();
        assert_eq!((info.compression, info.version), (Some(compression), Some(3)));
        let raw = std::fs::read(lab.path("disk.raw")).unwrap();
        for reader in [open, open_own] {
            let mut disk = reader(&lab.path("one.qcow2"), &Policy::default()).unwrap();
            assert!(read_all(disk.as_mut(), 1 << 20) == raw);
        }
    }
}

#[test]
fn an_empty_disk_larger_than_its_tables_is_tiny() {
    let lab = Lab::new();
    lab.run("qemu-img", &["create", "-f", "qcow2", "empty.qcow2", "1T"]);
    let stats = export_file(&lab, "empty.qcow2", "out.qcow2", &ExportOptions::default());
    assert_eq!((stats.data_clusters, stats.virtual_size), (0, 1 << 40));
    assert!(stats.file_size < 1 << 20);
    lab.run("qemu-img", &["check", "out.qcow2"]);
}

#[test]
fn a_raised_flag_ends_the_export_and_leaves_no_header() {
    let lab = Lab::new();
    raw_disk(&lab, &mut mixture(64 << 20, 3));
    let cancel = Cancel::new();
    let out = File::options().read(true).write(true).create_new(true).open(lab.path("out.qcow2")).unwrap();
    let path = lab.path("disk.raw");
    let result = export(
        &|| open(&path, &Policy::default()),
        &out,
        &ExportOptions { threads: 2, ..ExportOptions::default() },
        &mut |_, _| cancel.raise(),
        &cancel,
    );
    assert!(matches!(result, Err(DiskError::Cancelled(_))));
    assert!(std::fs::read(lab.path("out.qcow2")).unwrap().iter().take(512).all(|byte| *byte == 0));
}

#[test]
fn an_unreadable_source_fails_the_export() {
    struct Bad(u64);
    impl BlockRead for Bad {
        fn size(&self) -> u64 {
            64 << 20
        }
        fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
            buffer.fill(1);
            if offset >= self.0 { Err(DiskError::Damaged("a test".to_owned())) } else { Ok(()) }
        }
        fn extent(&mut self, offset: u64) -> Result<crate::disk::Extent, DiskError> {
            Ok(crate::disk::Extent { length: self.size() - offset, zero: false })
        }
    }
    let lab = Lab::new();
    let out = File::options().read(true).write(true).create_new(true).open(lab.path("out.qcow2")).unwrap();
    for at in [0, 30 << 20] {
        let options = ExportOptions { threads: 3, ..ExportOptions::default() };
        let result = export(&|| Ok(Box::new(Bad(at))), &out, &options, &mut |_, _| {}, &Cancel::new());
        assert_eq!(result.unwrap_err().to_string(), "damaged image: a test");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Random writes by qemu on top of a chain, exported by us, compared by qemu.
    #[test]
    fn exports_of_random_writes_are_identical(
        size in (1u64..40).prop_map(|half| half * 524_288 + 512 * half),
        base_size in (1u64..30).prop_map(|half| half * 524_288),
        writes in prop::collection::vec((any::<bool>(), 0u64..40_000, 1u64..400, any::<u8>(), 0..4u8), 1..12),
        zstd: bool,
    ) {
        let lab = Lab::new();
        lab.run("qemu-img", &["create", "-f", "qcow2", "base.qcow2", &base_size.to_string()]);
        create_overlay(&lab.path("top.qcow2"), "base.qcow2", Format::Qcow2, size).unwrap();
        for (top, start, length, pattern, kind) in writes {
            let (image, limit) = if top { ("top.qcow2", size) } else { ("base.qcow2", base_size) };
            let start = start * 512 % limit;
            let length = (length * 512).min(limit - start);
            let command = match kind {
                0 => format!("write -z {start} {length}"),
                1 => format!("write -z -u {start} {length}"),
                2 => format!("discard {start} {length}"),
                _ => format!("write -P {pattern} {start} {length}"),
            };
            lab.run("qemu-io", &["-f", "qcow2", "-c", &command, image]);
        }
        lab.run("qemu-img", &["check", "top.qcow2"]);
        let compression = if zstd { Compression::Zstd } else { Compression::Zlib };
        export_file(&lab, "top.qcow2", "out.qcow2", &ExportOptions { compression, level: 1, threads: 2 });
        lab.assert_same("out.qcow2", "top.qcow2", "qcow2");
    }
}
