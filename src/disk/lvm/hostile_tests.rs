//! Disks with logical volumes, made to do harm. Checksums are right where they would hide the rest. Whatever is in them, the end is
//! content or a typed error with exit code 5, soon.

use std::os::unix::fs::FileExt;

use super::label::sum;
use super::tests::{AREAS, MIB, PARTITIONS, group, metadata, put_text, system, volumes};
use super::*;
use crate::disk::hostile_tests::read_everything;
use crate::disk::testing::Lab;
use crate::error::{Diagnose, Exit};

fn random(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

/// With a GPT, which has another copy at the end, and with an MBR, of which a cut disk keeps what it has.
#[test]
fn a_disk_cut_off_anywhere_is_content_or_an_error() {
    let lab = Lab::new();
    let path = system(&lab, "/dev/my-vg/root / ext4 defaults 0 1\n");
    let all = read_everything(&path).unwrap();
    let size = path.metadata().unwrap().len();
    lab.run("cp", &["--sparse=always", "disk.raw", "gpt.raw"]);
    for table in ["gpt", "dos"] {
        if table == "dos" {
            let disk = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            for at in [512, size - 33 * 512] {
                disk.write_all_at(&[0; 33 * 512], at).unwrap();
            }
            let script = "label: dos\\nstart=2048, size=64M, type=8e\\nsize=64M, type=8e\\n";
            lab.run("sh", &["-c", &format!("printf '{script}' | sfdisk -q disk.raw")]);
            lab.run("cp", &["--sparse=always", "disk.raw", "dos.raw"]);
            assert_eq!(read_everything(&path).unwrap(), all);
        }
        let (mut seed, mut refused) = (9u64, 0);
        for round in 0..200 {
            // Labels and metadata lie at the front; a quarter of the places is among them.
            let reach = if round % 4 == 0 { 3 << 20 } else { size as usize };
            let length = (random(&mut seed) % reach) as u64;
            lab.run("cp", &["--sparse=always", &format!("{table}.raw"), "cut.raw"]);
            let cut = lab.path("cut.raw");
            std::fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(length).unwrap();
            match read_everything(&cut) {
                // Whatever holds less than its group says has lost its end.
                Ok(count) => assert!(count == all && length > 129 << 20, "{table} {length}"),
                Err(error) => {
                    assert_eq!(error.exit(), Exit::Integrity, "{table} {length}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 180, "{table}: {refused}");
    }
}

/// Changes a text as chance has it: bytes, numbers, lines.
fn mutate(text: &mut Vec<u8>, seed: &mut u64) {
    const NUMBERS: [&str; 8] = [
        "0",
        "1",
        "-1",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "1048577",
    ];
    let at = random(seed) % text.len();
    let line_at = |text: &[u8], at: usize| {
        let start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let end =
            text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |place| at + place + 1);
        start..end
    };
    match random(seed) % 6 {
        0 => text[at] = random(seed) as u8,
        1 | 2 => {
            // The next number.
            let Some(start) = text[at..].iter().position(u8::is_ascii_digit).map(|place| at + place) else {
                return;
            };
            let length = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = NUMBERS[random(seed) % NUMBERS.len()];
            text.splice(start..start + length, number.bytes());
        }
        3 => drop(text.drain(line_at(text, at))),
        4 => {
            let line = text[line_at(text, at)].to_vec();
            let place = line_at(text, random(seed) % text.len()).start;
            text.splice(place..place, line);
        }
        _ => {
            // One name for another: volumes in themselves, and in each other.
            let names = [&b"root"[..], b"data-x", b"pv0", b"pv1", b"striped", b"my-vg"];
            let (from, to) = (names[random(seed) % names.len()], names[random(seed) % names.len()]);
            if let Some(place) = text[at..].windows(from.len()).position(|bytes| bytes == from) {
                text.splice(at + place..at + place + from.len(), to.iter().copied());
            }
        }
    }
}

#[test]
fn metadata_that_lies_behind_right_checksums_is_survived() {
    let lab = Lab::new();
    let path = system(&lab, "/dev/my-vg/root / ext4 defaults 0 1\n");
    let all = read_everything(&path).unwrap();
    let good = metadata(&path);
    let (mut seed, mut refused) = (5u64, 0);
    for round in 0..600 {
        let mut text = good.clone().into_bytes();
        for _ in 0..=round % 4 {
            mutate(&mut text, &mut seed);
        }
        AREAS.iter().for_each(|area| put_text(&path, *area, 512, &text));
        match read_everything(&path) {
            Ok(count) => assert_eq!(count, all, "{}", String::from_utf8_lossy(&text)),
            Err(error) => {
                assert_eq!(error.exit(), Exit::Integrity, "{error}\n{}", String::from_utf8_lossy(&text));
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// As much as an area takes, of what might be counted, kept or descended into for each.
#[test]
fn metadata_without_measure_is_refused() {
    let lab = Lab::new();
    let path = system(&lab, "");
    let good = metadata(&path);
    let (group, _) = good.split_once("logical_volumes {").unwrap();
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let segment = "segment1 {\nstart_extent = 0\nextent_count = 1\ntype = \"striped\"\nstripe_count = 1\n\
                   stripes = [\n\"pv0\", 0\n]\n}\n";
    let volume = |name: String| {
        let status = "[\"READ\", \"WRITE\", \"VISIBLE\"]";
        format!("{name} {{\nid = \"x\"\nstatus = {status}\nsegment_count = 1\n{segment}}}\n")
    };
    for (what, text) in [
        ("sections in sections", "a {".repeat(300_000)),
        ("lists in lists", format!("a = {}", "[".repeat(1_000_000))),
        ("a list without end", format!("a = [{}", "0,".repeat(500_000))),
        ("a text without end", format!("a = \"{}", "x".repeat(1_000_000))),
        ("backslashes without end", format!("a = \"{}", "\\".repeat(1_000_001))),
        ("comments", "#\n".repeat(500_000)),
        (
            "volumes in the same place",
            format!(
                "{group}logical_volumes {{\n{}}}\n}}\n",
                many(5000, &|index| volume(format!("lv{index}")))
            ),
        ),
        (
            "groups",
            many(20_000, &|index| format!("g{index} {{\nid = \"x\"\nseqno = {index}\nextent_size = 1\n}}\n")),
        ),
    ] {
        AREAS.iter().for_each(|area| put_text(&path, *area, 512, text.as_bytes()));
        let error = read_everything(&path).expect_err(what);
        assert_eq!(error.exit(), Exit::Integrity, "{what}: {error}");
        assert!(matches!(error, DiskError::Damaged(_)), "{what}: {error}");
    }
}

/// Of a disk with as many physical volumes as a table has entries, each could have the longest text.
#[test]
fn more_metadata_than_any_disk_has_is_left_to_lvm() {
    const EACH: u64 = 6 * MIB;
    let lab = Lab::new();
    let path = group(&lab, b"", b"");
    let mut text = metadata(&path).into_bytes();
    text.extend(b"# and so on\n".iter().cycle().take(MIB as usize - 8192 - text.len()));
    put_text(&path, AREAS[0], 512, &text);
    let mut front = vec![0; MIB as usize];
    std::fs::File::open(&path).unwrap().read_exact_at(&mut front, PARTITIONS[0]).unwrap();
    let at = front.windows(8).position(|bytes| bytes == b"LABELONE").unwrap();
    let header = at + u32::from_le_bytes(front[at + 20..at + 24].try_into().unwrap()) as usize;
    front[header + 32..header + 40].copy_from_slice(&EACH.to_le_bytes());
    for (count, is_read) in [(15, true), (20, false)] {
        let disk = std::fs::File::create(lab.path("many.raw")).unwrap();
        disk.set_len((count + 1) * EACH).unwrap();
        let table = format!("label: gpt\\n{}", "size=6M\\n".repeat(count as usize));
        lab.run("sh", &["-c", &format!("printf '{table}' | sfdisk -q many.raw")]);
        for index in 0..count {
            front[header] = b'a' + index as u8;
            let sum = sum(&front[at + 20..at + 512]);
            front[at + 16..at + 20].copy_from_slice(&sum.to_le_bytes());
            disk.write_all_at(&front, MIB + index * EACH).unwrap();
        }
        match volumes(&lab.path("many.raw")) {
            Ok(found) => assert!(is_read && found.len() == 2, "{count}"),
            Err(DiskError::Unsupported(why)) => assert!(!is_read && why.contains("16 MiB"), "{why}"),
            Err(error) => panic!("{count}: {error}"),
        }
    }
}
