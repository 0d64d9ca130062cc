use std::fmt::Write;

use super::super::library;
use super::super::open::{open, open_own, tables_are_plain};
use super::super::testing::{Lab, mixture, read_all, read_extents, write};
use super::super::{BlockRead, create_overlay};
use super::*;
use crate::error::Diagnose;

fn told(lab: &Lab, path: &Path, policy: &Policy) -> String {
    let root = lab.root().display().to_string();
    let text = match gate(path, policy) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => format!("{error} -> {}", error.hint().unwrap_or_default()),
    };
    text.replace(&root, "DIR")
}

#[test]
fn what_is_refused_is_said() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("cache")).unwrap();
    lab.run("qemu-img", &["create", "-f", "qcow2", "outside.qcow2", "8M"]);
    lab.run("qemu-img", &["create", "-f", "qcow2", "cache/base.qcow2", "8M"]);
    let overlay = |name: &str, backing: &str, format: &str| {
        let path = format!("cache/{name}");
        lab.run("qemu-img", &["create", "-u", "-f", "qcow2", "-b", backing, "-F", format, &path, "8M"]);
    };
    overlay("good.qcow2", "base.qcow2", "qcow2");
    overlay("absolute.qcow2", "/etc/shadow", "raw");
    overlay("outside.qcow2", "../outside.qcow2", "qcow2");
    overlay("missing.qcow2", "nothing.qcow2", "qcow2");
    overlay("network.qcow2", "nbd://example.org/x", "raw");
    overlay("json.qcow2", "json:{\"driver\":\"file\"}", "raw");
    overlay("self.qcow2", "self.qcow2", "qcow2");
    overlay("a.qcow2", "b.qcow2", "qcow2");
    overlay("b.qcow2", "a.qcow2", "qcow2");
    overlay("other-format.qcow2", "base.qcow2", "vmdk");
    std::os::unix::fs::symlink("../outside.qcow2", lab.path("cache/link.qcow2")).unwrap();
    overlay("through-link.qcow2", "link.qcow2", "qcow2");
    overlay("not-qcow2.qcow2", "text", "qcow2");
    write(&lab.path("cache/text"), b"hello");
    for depth in 0..17 {
        let behind = if depth == 0 { "base.qcow2".to_owned() } else { format!("deep{}.qcow2", depth - 1) };
        overlay(&format!("deep{depth}.qcow2"), &behind, "qcow2");
    }
    lab.run("qemu-img", &["create", "-f", "vmdk", "cache/x.vmdk", "8M"]);
    lab.run("qemu-img", &["create", "-f", "vdi", "cache/x.vdi", "8M"]);
    lab.run("qemu-img", &["create", "-f", "vpc", "cache/x.vhd", "8M"]);
    lab.run("qemu-img", &["create", "-f", "vhdx", "cache/x.vhdx", "8M"]);
    lab.run("qemu-img", &["create", "-f", "qed", "cache/x.qed", "8M"]);
    let secret = ["--object", "secret,id=s,data=abc"];
    let aes = ["-o", "encrypt.format=aes,encrypt.key-secret=s"];
    let arguments = ["create", secret[0], secret[1], "-f", "qcow2", aes[0], aes[1], "cache/aes.qcow2", "8M"];
    lab.run("qemu-img", &arguments);
    // Making LUKS, qemu-img measures its key derivation, and gives up on a busy machine.
    let mut luks = std::fs::read(lab.path("cache/aes.qcow2")).unwrap();
    luks[32..36].copy_from_slice(&2u32.to_be_bytes());
    write(&lab.path("cache/luks.qcow2"), &luks);
    lab.run(
        "qemu-img",
        &["create", "-f", "qcow2", "-o", "data_file=data,data_file_raw=on", "cache/data.qcow2", "8M"],
    );
    lab.run("qemu-img", &["create", "-f", "qcow2", "-o", "extended_l2=on", "cache/ext.qcow2", "8M"]);
    lab.run("sh", &["-c", "gzip -c outside.qcow2 > cache/x.gz; head -c 2000000 /dev/zero > cache/zeros"]);
    let mut iso = vec![0; 2 << 20];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    write(&lab.path("cache/x.iso"), &iso);
    let mut short = std::fs::read(lab.path("cache/base.qcow2")).unwrap();
    short.truncate(0x1_0100);
    write(&lab.path("cache/short.qcow2"), &short);
    write(&lab.path("cache/empty"), b"");

    let inside = Policy::within(lab.path("cache"));
    let mut text = String::new();
    writeln!(
        text,
        "good, without permission: {}",
        told(&lab, &lab.path("cache/good.qcow2"), &Policy::default())
    )
    .unwrap();
    for name in [
        "good.qcow2",
        "absolute.qcow2",
        "outside.qcow2",
        "missing.qcow2",
        "network.qcow2",
        "json.qcow2",
        "self.qcow2",
        "a.qcow2",
        "other-format.qcow2",
        "through-link.qcow2",
        "not-qcow2.qcow2",
        "deep14.qcow2",
        "deep15.qcow2",
        "x.vmdk",
        "x.vdi",
        "x.vhd",
        "x.vhdx",
        "x.qed",
        "aes.qcow2",
        "luks.qcow2",
        "data.qcow2",
        "ext.qcow2",
        "x.gz",
        "x.iso",
        "short.qcow2",
        "empty",
        "text",
        "zeros",
        "nothing",
        ".",
    ] {
        writeln!(text, "{name}: {}", told(&lab, &lab.path("cache").join(name), &inside)).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_backing_file_must_state_its_format() {
    let lab = Lab::new();
    lab.run("qemu-img", &["create", "-f", "qcow2", "base.qcow2", "8M"]);
    create_overlay(&lab.path("top.qcow2"), "base.qcow2", Format::Qcow2, 8 << 20).unwrap();
    let mut bytes = std::fs::read(lab.path("top.qcow2")).unwrap();
    bytes[112..116].copy_from_slice(&0x1234_5678u32.to_be_bytes());
    write(&lab.path("top.qcow2"), &bytes);
    let error = gate(&lab.path("top.qcow2"), &Policy::within(lab.root())).unwrap_err().to_string();
    assert!(error.ends_with("it does not state the format of its backing file"), "{error}");
}

type Reader = fn(&Path, &Policy) -> Result<Box<dyn BlockRead>, DiskError>;

/// Both readers, where both apply, give what qemu gives.
fn assert_read(lab: &Lab, image: &str, format: &str, library: bool) {
    let policy = Policy::within(lab.root());
    let path = lab.path(image);
    let expected = lab.content(image, format);
    let layers = chain(&path, &policy).unwrap();
    assert_eq!(library::can_read(&layers) && tables_are_plain(&layers).unwrap(), library, "{image}");
    let readers: [Reader; 2] = [open, open_own];
    for reader in readers {
        let mut disk = reader(&path, &policy).unwrap();
        assert_eq!(disk.size(), expected.len() as u64);
        for step in [1 << 20, 77_777] {
            assert!(read_all(disk.as_mut(), step) == expected, "{image} in pieces of {step}");
        }
        assert!(read_extents(disk.as_mut()) == expected, "{image} by extents");
        assert!(disk.read_exact_at(&mut [0; 2], disk.size() - 1).is_err());
        assert!(disk.extent(disk.size()).is_err());
    }
}

#[test]
fn every_kind_of_qcow2_reads_as_qemu_reads_it() {
    let lab = Lab::new();
    let mut content = mixture(5_000_192, 11);
    content.extend(vec![0; 3 << 20]);
    write(&lab.path("disk.raw"), &content);
    let cases: &[(&str, &[&str], bool)] = &[
        ("compat=0.10", &[], false),
        ("compat=0.10", &["-c"], false),
        ("compat=1.1", &[], true),
        ("compat=1.1", &["-c"], false),
        ("compat=1.1,compression_type=zstd", &["-c"], false),
        ("compat=1.1,cluster_size=512", &[], false),
        ("compat=1.1,cluster_size=512", &["-c"], false),
        ("compat=1.1,cluster_size=4k", &["-c"], false),
        ("compat=1.1,cluster_size=4k", &[], true),
        ("compat=1.1,cluster_size=2M", &["-c"], false),
        ("compat=1.1,cluster_size=2M,compression_type=zstd", &["-c"], false),
        ("compat=1.1,refcount_bits=64", &[], true),
    ];
    for (options, flags, library) in cases {
        let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2", "-o", options];
        arguments.extend_from_slice(flags);
        arguments.extend(["disk.raw", "image.qcow2"]);
        lab.run("qemu-img", &arguments);
        assert_read(&lab, "image.qcow2", "qcow2", *library);
    }
}

#[test]
fn chains_read_as_qemu_reads_them() {
    let lab = Lab::new();
    write(&lab.path("base.raw"), &mixture(3_000_320, 9));
    lab.run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "base.raw", "base.qcow2"]);
    lab.run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "-c", "base.raw", "packed.qcow2"]);
    lab.run(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "base.raw", "small.qcow2"],
    );
    lab.run("sh", &["-c", "head -c 2949120 base.raw > round.raw"]);
    lab.run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "round.raw", "round.qcow2"]);
    let cases: &[(&str, Format, u64, bool)] = &[
        ("base.qcow2", Format::Qcow2, 3_000_320, true),
        ("base.qcow2", Format::Qcow2, 1_000_448, true),
        ("packed.qcow2", Format::Qcow2, 3_000_320, false),
        // A base that ends within a cluster of a larger disk is where qcow2-rs would read too much.
        ("base.qcow2", Format::Qcow2, 6_000_640, false),
        ("round.qcow2", Format::Qcow2, 6_000_640, true),
        ("small.qcow2", Format::Qcow2, 6_000_640, false),
        ("base.raw", Format::Raw, 6_000_640, false),
    ];
    for (base, format, size, library) in cases {
        for name in ["middle.qcow2", "top.qcow2"] {
            let _ = std::fs::remove_file(lab.path(name));
        }
        create_overlay(&lab.path("middle.qcow2"), base, *format, *size).unwrap();
        create_overlay(&lab.path("top.qcow2"), "middle.qcow2", Format::Qcow2, *size).unwrap();
        lab.run("qemu-img", &["check", "top.qcow2"]);
        for command in ["write -P 7 65536 100000", "write -z 300000 131072", "write -z -u 524288 65536"] {
            lab.run("qemu-io", &["-f", "qcow2", "-c", command, "middle.qcow2"]);
        }
        for command in ["write -P 9 100352 1024", "write -z 655360 65536", "write -P 1 900096 512"] {
            lab.run("qemu-io", &["-f", "qcow2", "-c", command, "top.qcow2"]);
        }
        assert_read(&lab, "top.qcow2", "qcow2", *library);
        let info = gate(&lab.path("top.qcow2"), &Policy::within(lab.root())).unwrap();
        assert_eq!((info.virtual_size, info.backing.len()), (*size, 2));
        assert_eq!(info.backing[1].format, *format);
    }
}

#[test]
fn sparse_raw_disks_say_where_they_are_empty() {
    let lab = Lab::new();
    lab.run("mke2fs", &["-q", "-t", "ext4", "disk.raw", "64M"]);
    let path = lab.path("disk.raw");
    let mut disk = open(&path, &Policy::default()).unwrap();
    let content = std::fs::read(&path).unwrap();
    assert!(read_extents(disk.as_mut()) == content);
    assert!(read_all(disk.as_mut(), 1 << 20) == content);
}

#[test]
fn overlays_are_not_written_over_or_with_foreign_names() {
    let lab = Lab::new();
    let path = lab.path("top.qcow2");
    for (backing, size) in
        [("", 512), ("nbd:x", 512), ("/abs", 512), ("base", 0), ("base", 513), ("base", 1 << 62)]
    {
        let result = create_overlay(&path, backing, Format::Raw, size);
        assert!(matches!(result, Err(DiskError::Refused { .. })), "{backing} {size}");
    }
    create_overlay(&path, "base", Format::Raw, 512).unwrap();
    assert!(matches!(create_overlay(&path, "base", Format::Raw, 512), Err(DiskError::Io { .. })));
}

#[test]
fn truncated_and_mutated_images_are_errors_or_content() {
    let lab = Lab::new();
    write(&lab.path("disk.raw"), &mixture(1_500_672, 4));
    let mut seed = 99u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    let mut failed = 0;
    for options in ["compat=1.1,cluster_size=4k", "compat=0.10", "compression_type=zstd"] {
        lab.run(
            "qemu-img",
            &["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", options, "disk.raw", "good.qcow2"],
        );
        let good = std::fs::read(lab.path("good.qcow2")).unwrap();
        for round in 0..120 {
            let mut bad = good.clone();
            if round % 2 == 0 {
                bad.truncate(next() % good.len());
            } else {
                for _ in 0..round {
                    // Tables lie within the first clusters.
                    let at = 104 + next() % (good.len() - 104).min(5 << 16);
                    bad[at] ^= 1 << (next() % 8);
                }
            }
            write(&lab.path("bad.qcow2"), &bad);
            for reader in [open, open_own] {
                let Ok(mut disk) = reader(&lab.path("bad.qcow2"), &Policy::default()) else {
                    failed += 1;
                    continue;
                };
                let mut buffer = vec![0; 65536];
                for at in (0..disk.size() - 65536).step_by(65536) {
                    failed += u32::from(disk.read_exact_at(&mut buffer, at).is_err());
                    let _ = disk.extent(at);
                }
            }
        }
    }
    assert!(failed > 100);
}
