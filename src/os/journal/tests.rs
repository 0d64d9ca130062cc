//! journalctl is the oracle for files that systemd's own program has written.

use std::io::Write as _;

use proptest::prelude::*;

use super::object::{u32_at, u64_at};
use super::testing::{Export, START, TINY_ENTRY_ARRAY, journalctl, tiny};
use super::*;

/// An entry with all that is known of it; fields sorted, because nobody promises their order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    realtime: u64,
    monotonic: u64,
    boot: String,
    fields: Vec<(String, Vec<u8>)>,
}

fn read(file: &[u8]) -> (Vec<Read>, String) {
    let mut reader = Reader::new(file).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = reader.next() {
        let fields = reader.fields(&entry);
        let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
        let mut fields: Vec<_> =
            fields.iter().map(|field| (text(field.name()), field.value().to_vec())).collect();
        fields.sort();
        found.push(Read {
            realtime: entry.realtime,
            monotonic: entry.monotonic,
            boot: format!("{:032x}", u128::from_be_bytes(entry.boot_id)),
            fields,
        });
    }
    (found, reader.problems().to_string())
}

/// Fails with the first entry that differs, which is easier to read than all of them.
fn same(found: &[Read], expected: &[Read]) {
    let differing = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert_eq!(differing, None);
    assert_eq!(found.len(), expected.len());
}

/// Reads the export format: `NAME=text`, or `NAME`, a length of 64 bits, and bytes; an empty line ends an entry.
fn parse_export(mut export: &[u8]) -> Vec<Read> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some(end) = export.iter().position(|&byte| byte == b'\n') {
        let line = std::str::from_utf8(&export[..end]).unwrap();
        export = &export[end + 1..];
        if line.is_empty() {
            let mut take = |name: &str| {
                let at = fields.iter().position(|field| field.0 == name).unwrap();
                String::from_utf8(fields.remove(at).1).unwrap()
            };
            take("__CURSOR");
            let (realtime, monotonic) = (take("__REALTIME_TIMESTAMP"), take("__MONOTONIC_TIMESTAMP"));
            // Both the entry and a field say it; it is printed once.
            let boot = take("_BOOT_ID");
            fields.push(("_BOOT_ID".to_owned(), boot.clone().into_bytes()));
            fields.sort();
            entries.push(Read {
                realtime: realtime.parse().unwrap(),
                monotonic: monotonic.parse().unwrap(),
                boot,
                fields: std::mem::take(&mut fields),
            });
        } else if let Some((name, value)) = line.split_once('=') {
            fields.push((name.to_owned(), value.as_bytes().to_vec()));
        } else {
            let length = usize::try_from(u64_at(export, 0).unwrap()).unwrap();
            fields.push((line.to_owned(), export[8..8 + length].to_vec()));
            export = &export[8 + length + 1..];
        }
    }
    entries
}

/// A few hundred entries, with everything that fields can be.
fn mixture() -> Export {
    let mut export = Export::default();
    let noise: Vec<u8> = (0..3000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for number in 0..300u64 {
        let message = format!("message {number}");
        let long = message.repeat(number as usize * 2);
        let mut fields: Vec<(&str, &[u8])> =
            vec![("MESSAGE", message.as_bytes()), ("PRIORITY", b"6"), ("_HOSTNAME", b"guest")];
        match number % 6 {
            0 => fields.push(("LONG", long.as_bytes())),
            1 => fields.push(("NOISE", &noise[..number as usize * 10])),
            2 => fields.push(("BINARY", b"a\x00b\nc\xff")),
            3 => fields.extend([("TWICE", &b"one"[..]), ("TWICE", b"two")]),
            4 => fields.push(("EMPTY", b"")),
            _ => fields.push(("EQUALS", b"a=b=c")),
        }
        export.entry(START + number * 1_000_003, u128::from(number / 100 + 1), &fields);
    }
    let huge = b"0123456789abcdef".repeat(200_000);
    export.entry(START + 400_000_000, 3, &[("MESSAGE", b"huge"), ("HUGE", &huge)]);
    export
}

fn flags(file: &[u8]) -> u32 {
    u32_at(file, 12).unwrap()
}

#[test]
fn journalctl_says_the_same() {
    let export = mixture();
    for compact in [false, true] {
        for compress in [false, true] {
            let file = export.write(compact, compress);
            assert_eq!(flags(&file) & COMPACT != 0, compact);
            let (found, problems) = read(&file);
            assert_eq!(problems, "");
            assert_eq!(found.len(), 301);
            let expected = parse_export(&journalctl(&[&file], &["-o", "export"]));
            same(&found, &expected);
        }
    }
}

/// Packs every field of an uncompressed file that is long enough, in its place.
fn repack(file: &mut [u8], flag: u8, pack: impl Fn(&[u8]) -> Vec<u8>) -> usize {
    let header = Header::parse(file).unwrap();
    let start = if header.compact { 72 } else { 64 };
    let mut at = header.header_size as usize;
    let mut packed = 0;
    while let Some(size @ 16..) = u64_at(file, at + 8) {
        let end = at + size as usize;
        if file[at] == object::DATA && size > 512 {
            let payload = pack(&file[at + start..end]);
            let size = start + payload.len();
            if at + size < end {
                file[at + 1] = flag;
                file[at + 8..at + 16].copy_from_slice(&(size as u64).to_le_bytes());
                file[at + start..at + size].copy_from_slice(&payload);
                packed += 1;
            }
        }
        at = end.next_multiple_of(8);
    }
    file[12] |= flag;
    packed
}

/// journald compresses in one way only, so the others are put into its files afterwards; journalctl reads them all.
#[test]
fn every_compression_is_read_as_journalctl_does() {
    let lz4 = |payload: &[u8]| {
        [&(payload.len() as u64).to_le_bytes(), &*lz4_flex::block::compress(payload)].concat()
    };
    let xz = |payload: &[u8]| {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(payload).unwrap();
        encoder.finish().unwrap()
    };
    // With the length in the frame, which journalctl insists on.
    let zstd = |payload: &[u8]| zstd::bulk::compress(payload, 1).unwrap();
    type Pack<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let ways: [(u8, Pack<'_>); 3] = [(1, &xz), (2, &lz4), (4, &zstd)];
    let plain = [false, true].map(|compact| mixture().write(compact, false));
    for plain in plain {
        for (flag, pack) in ways {
            let mut file = plain.clone();
            assert!(repack(&mut file, flag, pack) > 30, "{flag}");
            let (found, problems) = read(&file);
            assert_eq!(problems, "", "{flag}");
            same(&found, &read(&plain).0);
            same(&found, &parse_export(&journalctl(&[&file], &["-o", "export"])));
        }
    }
}

#[test]
fn a_file_that_is_cut_off_gives_its_beginning() {
    let whole = mixture().write(true, true);
    let (all, _) = read(&whole);
    let used = whole.iter().rposition(|&byte| byte != 0).unwrap();
    let first = u64_at(&whole, 176).unwrap() as usize;
    let mut counts = Vec::new();
    for part in 0..20 {
        let cut = first + (used - first) * part / 20;
        let (found, problems) = read(&whole[..cut]);
        assert!(problems.contains(&format!("it has {cut} bytes instead of {}", whole.len())), "{problems}");
        // Fields may lie behind the cut even of entries before it.
        let times = |entries: &[Read]| entries.iter().map(|entry| entry.realtime).collect::<Vec<_>>();
        assert!(times(&all).starts_with(&times(&found)), "{cut}");
        counts.push(found.len());
    }
    assert!(counts.is_sorted() && counts[19] > 200, "{counts:?}");
}

#[test]
fn entries_are_found_without_their_list() {
    let mut file = mixture().write(false, true);
    let (all, _) = read(&file);
    file[176..184].copy_from_slice(&12345u64.to_le_bytes());
    let (found, problems) = read(&file);
    assert_eq!(problems, "the object at 0x3039 lies where none can be");
    same(&found, &all);
}

fn payloads() -> Vec<(u8, &'static [u8])> {
    vec![(0, b"MESSAGE=one"), (0, b"MESSAGE=two"), (0, b"MESSAGE=three")]
}

#[test]
fn damage_is_said_and_ends() {
    let sound = tiny(&payloads());
    assert_eq!(read(&sound).1, "");
    assert_eq!(read(&sound).0.len(), 3);
    let array = TINY_ENTRY_ARRAY;
    for (what, at, value, expected, count) in [
        ("an array that follows itself", array + 16, array as u64, "chain of lists leads backwards", 3),
        ("no further array", array + 16, 0, "ends 2 entries early", 3),
        ("more entries than there are", 152, u64::MAX, "ends 18446744073709551612 entries early", 3),
        ("an entry that is an array", array + 24, array as u64, "is of kind 6 instead of 3", 2),
        ("an entry outside", array + 24, 1 << 40, "lies behind the end", 2),
        ("an entry in the header", array + 24, 8, "lies where none can be", 2),
        ("an array without a size", array + 8, 0, "is empty", 0),
        ("an array without an end", array + 8, u64::MAX, "reaches behind the end", 0),
        ("an array that is too short", array + 8, 16, "a list of entries is cut off", 0),
        ("a file that should be larger", 96, u64::MAX, "bytes instead of", 3),
    ] {
        let mut file = sound.clone();
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let (found, problems) = read(&file);
        assert!(problems.contains(expected), "{what}: {problems}");
        assert_eq!(found.len(), count, "{what}");
    }
}

#[test]
fn fields_that_cannot_be_read_are_left_out() {
    let bomb = |unpacked: &[u8]| zstd::encode_all(unpacked, 1).unwrap();
    let large = bomb(&vec![b'='; (64 << 20) + 1]);
    let cases: [(u8, &[u8], &str); 8] = [
        (0, b"nameless", "has no name"),
        (1, b"no xz", "an XZ payload"),
        (2, b"short", "an LZ4 payload: it has no length"),
        (2, &[255; 100], "it cannot be that long"),
        (2, &[9, 0, 0, 0, 0, 0, 0, 0, 0x10, b'a'], "an LZ4 payload"),
        (4, b"no zstd", "a Zstandard payload"),
        (4, &large, "a field is larger than 67108864 bytes"),
        (6, b"x", "in two ways at once"),
    ];
    for (flags, payload, expected) in cases {
        let (found, problems) = read(&tiny(&[(flags, payload), (0, b"A=b")]));
        assert!(problems.contains(expected), "{expected}: {problems}");
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0].fields[..], found[1].fields.len()), (&[][..], 1));
    }
}

#[test]
fn what_is_no_journal_is_refused() {
    let sound = tiny(&payloads());
    let mut future = sound.clone();
    future[12] |= 0x20;
    for (file, expected) in [
        (&b""[..], JournalError::NotAJournal),
        (b"LPKSHHRH", JournalError::NotAJournal),
        (&[0; 4096], JournalError::NotAJournal),
        (&sound[..180], JournalError::NotAJournal),
        (&future, JournalError::UnknownFeatures(0x20)),
    ] {
        assert_eq!(Reader::new(file).unwrap_err(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_damage_is_survived(changes in prop::collection::vec((0usize..900, any::<u8>()), 1..12), cut in 0usize..2000) {
        let packed = zstd::encode_all(&b"MESSAGE=packed"[..], 1).unwrap();
        let mut file = tiny(&[payloads(), vec![(4, &packed[..])]].concat());
        for (at, value) in changes {
            let at = at % file.len();
            file[at] = value;
        }
        file.truncate(cut.max(8));
        if let Ok(mut reader) = Reader::new(&file) {
            let mut count = 0;
            while let Some(entry) = reader.next() {
                reader.fields(&entry);
                count += 1;
            }
            // Entries begin at different multiples of 8.
            prop_assert!(count <= file.len() / 8);
        }
    }
}
