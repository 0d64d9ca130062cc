//! Physical volumes that LVM itself wrote (2.03.16), with what `lvs` and `pvs` said of them.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::super::testing::{Lab, mixture, tree_of, write};
use super::super::{FileKind, Policy, RootPlace, VirtualDisk};
use super::label::sum;
use super::*;

pub(super) const MIB: u64 = 1 << 20;
/// Extents have 4 MiB, the first one begins at 1 MiB.
const EXTENT: u64 = 4 * MIB;
/// Two partitions of 64 MiB.
pub(super) const PARTITIONS: [u64; 2] = [MIB, 65 * MIB];

/// `my-vg`, once called `old`: `root` was enlarged twice, behind `data-x` and onto the second physical volume. Volume,
/// partition, first extent, number of extents.
const SEGMENTS: [(&str, usize, u64, u64); 4] =
    [("root", 0, 0, 6), ("root", 0, 9, 6), ("root", 1, 0, 5), ("data-x", 0, 6, 3)];

/// A disk with that group, and these in its volumes.
pub(super) fn group(lab: &Lab, root: &[u8], data: &[u8]) -> PathBuf {
    let path = lab.path("disk.raw");
    let _ = std::fs::remove_file(&path);
    std::fs::File::create(&path).unwrap().set_len(130 * MIB).unwrap();
    lab.run("sh", &["-c", "printf 'label: gpt\\nstart=2048, size=64M\\nsize=64M\\n' | sfdisk -q disk.raw"]);
    // The first MiB of each, and the last of the second one, which has another metadata area there.
    let parts = unpacked(lab, include_bytes!("../../../tests/fixtures/lvm-group.xz"));
    let disk = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for (part, at) in parts.chunks(MIB as usize).zip([PARTITIONS[0], PARTITIONS[1], 128 * MIB]) {
        disk.write_all_at(part, at).unwrap();
    }
    let mut left = [("root", root), ("data-x", data)];
    for (name, partition, first, extents) in SEGMENTS {
        let (_, content) = left.iter_mut().find(|(other, _)| *other == name).unwrap();
        let (piece, rest) = content.split_at(content.len().min((extents * EXTENT) as usize));
        *content = rest;
        disk.write_all_at(piece, PARTITIONS[partition] + MIB + first * EXTENT).unwrap();
    }
    path
}

fn unpacked(lab: &Lab, packed: &[u8]) -> Vec<u8> {
    write(&lab.path("packed.xz"), packed);
    lab.run("sh", &["-c", "xz -dc packed.xz >unpacked"]);
    std::fs::read(lab.path("unpacked")).unwrap()
}

/// The same with a system on `root` and a file system on `data-x`.
pub(super) fn system(lab: &Lab, fstab: &str) -> PathBuf {
    std::fs::create_dir_all(lab.path("root/etc")).unwrap();
    std::fs::create_dir_all(lab.path("root/srv")).unwrap();
    std::fs::create_dir_all(lab.path("data")).unwrap();
    write(&lab.path("root/etc/os-release"), b"ID=debian\n");
    write(&lab.path("root/etc/fstab"), fstab.as_bytes());
    write(&lab.path("data/state"), b"on the other");
    let uuid = "7b1d6a9e-3c52-4f0e-9a54-0c6f2d8e1b37";
    lab.run("mke2fs", &["-q", "-t", "ext4", "-U", uuid, "-d", "root", "root.img", "68M"]);
    lab.run("mke2fs", &["-q", "-t", "ext4", "-L", "data", "-d", "data", "data.img", "12M"]);
    let image = |name: &str| std::fs::read(lab.path(name)).unwrap();
    let path = group(lab, &image("root.img"), &image("data.img"));
    std::fs::remove_file(lab.path("root.img")).unwrap();
    std::fs::remove_file(lab.path("data.img")).unwrap();
    path
}

#[test]
fn a_system_on_logical_volumes_is_read() {
    let lab = Lab::new();
    // Longer than any of the segments.
    let large = mixture(26 << 20, 4);
    std::fs::create_dir(lab.path("root")).unwrap();
    write(&lab.path("root/large"), &large);
    for (root, data) in [
        ("/dev/mapper/my--vg-root", "/dev/mapper/my--vg-data--x"),
        ("/dev/my-vg/root", "/dev/my-vg/data-x"),
        ("UUID=7B1D6A9E-3c52-4f0e-9a54-0c6f2d8e1b37", "LABEL=data"),
        (
            "/dev/disk/by-id/dm-name-my--vg-root",
            "/dev/disk/by-id/dm-uuid-LVM-FovCJ7ysbm7tpm4B8ikPtPshvo2TNz9Ydk5ZahKkBIXJFBknzUim6OVM03yW4E2L",
        ),
    ] {
        let path = system(&lab, &format!("{root} / ext4 defaults 0 1\n{data} /srv ext4 defaults 0 2\n"));
        let mut tree = tree_of(&path).unwrap();
        let explained = tree.explain();
        assert_eq!(
            explained,
            "read by tib itself: / is ext4 in the logical volume my-vg/root, /srv is ext4 in the logical volume \
             my-vg/data-x",
            "{data}"
        );
        assert_eq!(tree.read(b"/srv/state", 100).unwrap(), b"on the other", "{data}");
        let root = tree.root().unwrap();
        assert_eq!(root.place, RootPlace::LogicalVolume);
        let room = root.room.unwrap();
        assert!(room.size == 68 * MIB && room.free < 42 * MIB, "{room:?}");
        let mut fork = tree.fork().unwrap();
        assert_eq!(fork.lstat(b"/large").unwrap().kind, FileKind::File);
        assert_eq!(fork.read(b"/srv/state", 100).unwrap(), b"on the other");
        drop(fork);
        assert!(tree.read(b"/large", 1 << 30).unwrap() == large);
    }
    std::fs::remove_file(lab.path("root/large")).unwrap();
    // The group is there, and has no volume of that name.
    for name in ["/dev/mapper/my-vg-root", "/dev/old/root", "/dev/mapper/my--vg-gone"] {
        let path = system(&lab, &format!("{name} /srv ext4 defaults 0 1\n"));
        let mut tree = tree_of(&path).unwrap();
        assert!(!tree.exists(b"/srv/state").unwrap(), "{name}");
        assert_eq!(tree.missed().len(), 1, "{name}");
    }
}

#[test]
fn logical_volumes_are_laid_out() {
    let lab = Lab::new();
    let path = system(&lab, "");
    let layout = VirtualDisk::open(&path, &Policy::default()).unwrap().layout().unwrap();
    let kinds: Vec<_> =
        layout.partitions.iter().map(|part| part.content.as_ref().unwrap().kind.as_str()).collect();
    assert_eq!(kinds, ["lvm", "lvm"]);
    let [data, root] = layout.logical_volumes.as_slice() else { panic!("{:?}", layout.logical_volumes) };
    let about = |volume: &super::super::LogicalVolumeLayout| {
        let content = volume.content.as_ref().unwrap();
        format!(
            "{}/{} {} {} {} {:?} {} {}",
            volume.group,
            volume.name,
            volume.id,
            volume.length >> 20,
            volume.kind,
            volume.partitions,
            content.kind,
            content.size.unwrap() >> 20
        )
    };
    assert_eq!(about(data), "my-vg/data-x dk5Zah-KkBI-XJFB-knzU-im6O-VM03-yW4E2L 12 linear [1] ext4 12");
    assert_eq!(about(root), "my-vg/root 15tUPU-XTUH-jj3a-9VR9-REew-z1oV-nC4s5c 68 linear [1, 2] ext4 68");
}

/// The logical volumes on a raw disk.
pub(super) fn volumes(path: &std::path::Path) -> Result<Vec<LogicalVolume>, DiskError> {
    let disk = super::super::cached::share(super::super::open(path, &Policy::default()).unwrap());
    let partitions = partition::list(&mut **lock(&disk)).unwrap();
    find(&disk, &partitions.iter().collect::<Vec<_>>())
}

/// Names, kinds and what is said of what is not read.
fn described(path: &std::path::Path) -> Vec<String> {
    let tell = |volume: LogicalVolume| {
        let read = volume.map.as_ref().map_or_else(Clone::clone, |_| " is read".to_owned());
        format!("{}/{} ({}){read}", volume.group, volume.name, volume.kind)
    };
    volumes(path).unwrap().into_iter().map(tell).collect()
}

/// A group with volumes of every kind that LVM 2.03.16 made in an appliance, and another group beside it.
#[test]
fn what_is_not_linear_is_said_to_be_what_it_is() {
    let lab = Lab::new();
    let heads = unpacked(&lab, include_bytes!("../../../tests/fixtures/lvm-kinds.xz"));
    let path = lab.path("disk.raw");
    let disk = std::fs::File::create(&path).unwrap();
    disk.set_len(1 << 30).unwrap();
    let script = "label: gpt\\nsize=200M\\nsize=200M\\nsize=200M\\nsize=200M\\n";
    lab.run("sh", &["-c", &format!("printf '{script}' | sfdisk -q disk.raw")]);
    for (head, number) in heads.chunks(MIB as usize).zip(0..) {
        disk.write_all_at(head, MIB + number * 200 * MIB).unwrap();
    }
    assert_eq!(
        described(&path),
        [
            "kinds/mirrored (mirror) is a mirror",
            "kinds/origin (cache) is cached",
            "kinds/plain (linear) is read",
            "kinds/pool (thin-pool) is a pool for thin volumes",
            "kinds/raid (raid1) is a RAID (raid1)",
            "kinds/snap (snapshot) is a snapshot of kinds/plain",
            "kinds/striped (striped) is striped over several physical volumes",
            "kinds/tagged (linear) is read",
            "kinds/thin (thin) is thin",
            "kinds/written (writecache) is cached for writing",
        ]
    );
    // What is mounted is said to be what it is, and goes to an appliance.
    std::fs::create_dir_all(lab.path("root/etc")).unwrap();
    write(&lab.path("root/etc/os-release"), b"ID=debian\n");
    for (fstab, expected) in [
        (
            "/dev/kinds/thin /var ext4",
            Err("/var is on the logical volume kinds/thin, which is thin: that is not"),
        ),
        (
            "/dev/mapper/kinds-snap /var ext4 nofail",
            Err("/var is on the logical volume kinds/snap, which is a snap"),
        ),
        // It may be in what is thin.
        ("LABEL=x /var ext4", Err("which may be in what tib does not read natively")),
        ("/dev/vdb /var ext4\n/dev/kinds/thin /x ext4 noauto", Ok(())),
    ] {
        write(&lab.path("root/etc/fstab"), fstab.as_bytes());
        lab.run("mke2fs", &["-q", "-t", "ext2", "-d", "root", "root.img", "7M"]);
        let volume = volumes(&path).unwrap().into_iter().find(|volume| volume.name == "plain").unwrap();
        let at = volume.map.unwrap().stretches()[0].on_disk;
        disk.write_all_at(&std::fs::read(lab.path("root.img")).unwrap(), at).unwrap();
        match (tree_of(&path), expected) {
            (Ok(_), Ok(())) => {}
            (Err(DiskError::Unsupported(why)), Err(expected)) => {
                assert!(why.contains(expected), "{fstab}: {why}");
            }
            (found, _) => panic!("{fstab}: {:?}", found.map(|tree| tree.explain())),
        }
    }
}

#[test]
fn a_physical_volume_that_is_elsewhere_is_named() {
    let lab = Lab::new();
    let path = group(&lab, b"", b"");
    lab.run("sfdisk", &["-q", "--delete", "disk.raw", "2"]);
    let missing =
        "lies on the physical volume Qe3ehW-bWea-dxT5-quRC-UdnR-zwJP-ddeLSY, which this disk does not have";
    assert_eq!(
        described(&path),
        ["my-vg/data-x (linear) is read".to_owned(), format!("my-vg/root (linear) {missing}")]
    );
}

/// Writes a metadata area anew: the header, and a text from `at` on that goes on at the front where the area ends.
pub(super) fn put_text(path: &std::path::Path, area: u64, at: u64, text: &[u8]) {
    let disk = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut header = [0; 512];
    disk.read_exact_at(&mut header, area).unwrap();
    let size = u64::from_le_bytes(header[32..40].try_into().unwrap());
    let first = text.len().min((size - at) as usize);
    disk.write_all_at(&text[..first], area + at).unwrap();
    disk.write_all_at(&text[first..], area + 512).unwrap();
    header[40..48].copy_from_slice(&at.to_le_bytes());
    header[48..56].copy_from_slice(&(text.len() as u64).to_le_bytes());
    header[56..60].copy_from_slice(&sum(text).to_le_bytes());
    header[60..64].fill(0);
    let sum = sum(&header[4..]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    disk.write_all_at(&header, area).unwrap();
}

/// The text of the group as it is on the disk.
pub(super) fn metadata(path: &std::path::Path) -> String {
    let disk = std::fs::File::open(path).unwrap();
    let mut header = [0; 512];
    disk.read_exact_at(&mut header, AREAS[0]).unwrap();
    let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    let mut text = vec![0; word(48) as usize];
    disk.read_exact_at(&mut text, AREAS[0] + word(40)).unwrap();
    String::from_utf8(text).unwrap()
}

/// Metadata areas of both physical volumes: in front, and one at the end of the second.
pub(super) const AREAS: [u64; 3] = [PARTITIONS[0] + 4096, PARTITIONS[1] + 4096, 128 * MIB];
const BOTH: [&str; 2] = ["my-vg/data-x (linear) is read", "my-vg/root (linear) is read"];

#[test]
fn the_newest_whole_metadata_counts() {
    let lab = Lab::new();
    let path = group(&lab, b"", b"");
    assert_eq!(described(&path), BOTH);
    let text = metadata(&path);
    assert!(text.contains("seqno = 6\n"), "{text}");
    // The text goes round the end of its area.
    let newer = text.replace("seqno = 6\n", "seqno = 7\n").replace("data-x {", "newer {");
    let newest = ["my-vg/newer (linear) is read", "my-vg/root (linear) is read"];
    put_text(&path, AREAS[1], (MIB - 4096) - 100, newer.as_bytes());
    assert_eq!(described(&path), newest);
    // Whatever has the higher number counts, wherever it is.
    put_text(&path, AREAS[1], 512, text.as_bytes());
    assert_eq!(described(&path), BOTH);
    put_text(&path, AREAS[0], 512, newer.as_bytes());
    assert_eq!(described(&path), newest);
    // Without one or two of the areas, another tells. Without all, nobody does.
    let disk = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    disk.write_all_at(b"x", AREAS[0] + 700).unwrap();
    assert_eq!(described(&path), BOTH);
    disk.write_all_at(b"x", AREAS[1] + 700).unwrap();
    assert!(matches!(described(&path).as_slice(), [data, _] if data.starts_with("my-vg/data-x")));
    let mut at = 512;
    while at < MIB - 4096 {
        disk.write_all_at(b"x", AREAS[2] + at).unwrap();
        at += 512;
    }
    let error = volumes(&path).unwrap_err();
    assert_eq!(error.to_string(), "damaged image: the metadata of LVM has another checksum than it should");
}

#[test]
fn a_label_may_be_in_any_of_the_first_four_sectors() {
    let lab = Lab::new();
    let path = group(&lab, b"", b"");
    let disk = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut label = [0; 512];
    disk.read_exact_at(&mut label, PARTITIONS[0] + 512).unwrap();
    for sector in [0u64, 2, 3, 1] {
        disk.write_all_at(&[0; 2048], PARTITIONS[0]).unwrap();
        label[8..16].copy_from_slice(&sector.to_le_bytes());
        disk.write_all_at(&label, PARTITIONS[0] + sector * 512).unwrap();
        assert_eq!(described(&path), BOTH, "{sector}");
        let layout = VirtualDisk::open(&path, &Policy::default()).unwrap().layout().unwrap();
        assert_eq!(layout.logical_volumes.len(), 2, "{sector}");
    }
    label[40] ^= 1;
    disk.write_all_at(&label, PARTITIONS[0] + 512).unwrap();
    let error = volumes(&path).unwrap_err();
    assert!(error.to_string().contains("label of a physical volume of LVM is not whole"), "{error}");
}

#[test]
fn metadata_that_contradicts_itself_is_damage() {
    let lab = Lab::new();
    let path = group(&lab, b"", b"");
    let text = metadata(&path);
    let segment = "start_extent = 6\nextent_count = 6\n\ntype = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"pv0\", 9\n]";
    let segment = if text.contains(segment) { segment.to_owned() } else { segment.replace("\n\n", "\n") };
    assert!(text.contains(&segment), "{text}");
    for (from, to, why) in [
        (segment.as_str(), segment.replace("\"pv0\", 9", "\"pv0\", 7"), "lies where another does"),
        (&segment, segment.replace("\"pv0\", 9", "\"pv0\", 10"), "lies outside its physical volume"),
        (&segment, segment.replace("\"pv0\", 9", "\"pv9\", 9"), "that its group does not have"),
        (&segment, segment.replace("start_extent = 6", "start_extent = 7"), "do not follow one another"),
        (&segment, segment.replace("extent_count = 6", "extent_count = 0"), "do not follow one another"),
        (
            &segment,
            segment.replace("extent_count = 6", "extent_count = 9223372036854775807"),
            "do not follow",
        ),
        (&segment, segment.replace("type = \"striped\"", "kind = \"striped\""), "a segment without a type"),
        (&segment, segment.replace("\"pv0\", 9", "\"pv0\""), "no list `stripes` of names and numbers"),
        ("segment_count = 3", "segment_count = 2".to_owned(), "more or fewer segments than it says"),
        ("extent_size = 8192", "extent_size = 0".to_owned(), "extents of an absurd size"),
        ("extent_size = 8192", "extent_size = 9223372036854775807".to_owned(), "extents of an absurd size"),
        ("extent_size = 8192", "extent_size = 4398046511104".to_owned(), "lies outside its physical volume"),
        ("extent_size = 8192", "extent_size = 16384".to_owned(), "lies outside its physical volume"),
        ("pe_start = 2048", "pe_start = 9223372036854775807".to_owned(), "of an absurd size"),
        ("pe_start = 2048", "pe_start = 140000".to_owned(), "lies outside its physical volume"),
        ("pe_count = 15", "pe_count = -1".to_owned(), "no number `pe_count`"),
        ("seqno = 6", "seqno = \"6\"".to_owned(), "no number `seqno`"),
    ] {
        let changed = text.replacen(from, &to, 1);
        assert_ne!(changed, text, "{to}");
        AREAS.iter().for_each(|area| put_text(&path, *area, 512, changed.as_bytes()));
        let error = volumes(&path).unwrap_err();
        assert!(matches!(error, DiskError::Damaged(_)), "{to}: {error}");
        assert!(error.to_string().contains(why), "{to}: {error}");
    }
    // More text than any area has.
    let disk = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    for area in AREAS {
        let mut header = [0; 512];
        disk.read_exact_at(&mut header, area).unwrap();
        header[48..56].copy_from_slice(&(1u64 << 40).to_le_bytes());
        let sum = sum(&header[4..]);
        header[..4].copy_from_slice(&sum.to_le_bytes());
        disk.write_all_at(&header, area).unwrap();
    }
    assert!(volumes(&path).unwrap_err().to_string().contains("lies outside its area"));
}

#[test]
fn names_and_states_that_lvm_does_not_use_are_said() {
    let lab = Lab::new();
    let path = group(&lab, b"", b"");
    let text = metadata(&path);
    for (from, to, expected) in [
        ("status = [\"RESIZEABLE\"", "status = [\"EXPORTED\"", "is in a volume group that is exported"),
        ("\"pv1\", 0", "\"data-x\", 0", "lies on the volume my-vg/data-x"),
        ("flags = []\ndev_size", "flags = [\"MISSING\"]\ndev_size", "which this disk does not have"),
        ("type = \"striped\"", "type = \"new+thing\"", "is of the kind `new`"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{to}");
        AREAS.iter().for_each(|area| put_text(&path, *area, 512, changed.as_bytes()));
        let found = described(&path);
        assert!(found.last().is_some_and(|root| root.ends_with(expected)), "{to}: {found:?}");
    }
}
