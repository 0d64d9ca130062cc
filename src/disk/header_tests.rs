use proptest::prelude::*;

use super::super::testing::Lab;
use super::*;

const LIMIT: u64 = 2 << 40;

fn sample() -> Vec<u8> {
    let header = Header {
        version: 3,
        cluster_bits: 16,
        virtual_size: 10 << 30,
        l1_entries: 20,
        l1_offset: 0x3_0000,
        refcount_offset: 0x1_0000,
        refcount_clusters: 1,
        snapshots: 0,
        compression: Compression::Zstd,
        backing: Some(BackingName { name: "../base".to_owned(), format: Some("raw".to_owned()) }),
    };
    let mut bytes = encode(&header);
    bytes.resize(65536, 0);
    assert_eq!(Header::parse(&bytes, FILE, LIMIT), Ok(header), "what is written is read");
    bytes
}

const FILE: u64 = 0x4_0000;

fn with(changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = sample();
    for (at, change) in changes {
        bytes[*at..at + change.len()].copy_from_slice(change);
    }
    bytes
}

#[test]
fn what_is_wrong_with_a_header_is_said() {
    let be = |value: u32| value.to_be_bytes();
    let be64 = |value: u64| value.to_be_bytes();
    let cases: &[(&str, Vec<u8>)] = &[
        ("magic", with(&[(0, b"QFI\0")])),
        ("version 1", with(&[(4, &be(1))])),
        ("version 4", with(&[(4, &be(4))])),
        ("backing name far away", with(&[(8, &be64(u64::MAX))])),
        ("backing name of no length", with(&[(16, &be(0))])),
        ("backing name too long", with(&[(16, &be(1024))])),
        ("backing name is not text", with(&[(136, &[0xff])])),
        ("clusters of 256 bytes", with(&[(20, &be(8))])),
        ("clusters of 4 MiB", with(&[(20, &be(22))])),
        ("no size", with(&[(24, &be64(0))])),
        ("odd size", with(&[(24, &be64(513))])),
        ("huge size", with(&[(24, &be64(1 << 50))])),
        ("encrypted with AES", with(&[(32, &be(1))])),
        ("encrypted with LUKS", with(&[(32, &be(2))])),
        ("level-1 table too short", with(&[(36, &be(19))])),
        ("level-1 table huge", with(&[(36, &be(u32::MAX))])),
        ("level-1 table not aligned", with(&[(40, &be64(0x3_0200))])),
        ("level-1 table beyond the end", with(&[(40, &be64(0x4_0000))])),
        ("level-1 table overflowing", with(&[(40, &be64(u64::MAX << 16))])),
        ("refcount table at the header", with(&[(48, &be64(0))])),
        ("refcount table beyond the end", with(&[(48, &be64(0x5_0000))])),
        ("no refcount table", with(&[(56, &be(0))])),
        ("huge refcount table", with(&[(56, &be(u32::MAX))])),
        ("dirty", with(&[(72, &be64(9))])),
        ("corrupt", with(&[(72, &be64(10))])),
        ("external data", with(&[(72, &be64(12))])),
        ("extended level 2", with(&[(72, &be64(24))])),
        ("unknown features", with(&[(72, &be64(1 << 63 | 0x28))])),
        ("refcounts of 128 bits", with(&[(96, &be(7))])),
        ("header of 80 bytes", with(&[(100, &be(80))])),
        ("header longer than a cluster", with(&[(100, &be(1 << 20))])),
        ("zstd bit without zstd", with(&[(104, &[0])])),
        ("zstd without zstd bit", with(&[(72, &be64(0))])),
        ("unknown compression", with(&[(104, &[7])])),
        ("extension past the header", with(&[(112, &be(5)), (116, &be(70_000))])),
        ("cut short", sample()[..60].to_vec()),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(name, bytes)| match Header::parse(bytes, FILE, LIMIT) {
            Err(HeaderFault::Damaged(what)) => format!("{name}: damaged: {what}"),
            Err(HeaderFault::Refused(reason, hint)) => {
                format!("{name}: refused: {reason} -> {}", hint.unwrap_or_default())
            }
            Ok(_) => format!("{name}: ACCEPTED"),
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_extension_shadowed_by_the_backing_name_is_not_read() {
    // The backing format is stated behind the end-of-extensions mark: it counts as not stated.
    let bytes = with(&[(112, &[0; 8])]);
    let header = Header::parse(&bytes, FILE, LIMIT).unwrap();
    assert_eq!(header.backing, Some(BackingName { name: "../base".to_owned(), format: None }));
}

#[test]
fn headers_by_qemu_are_accepted() {
    let lab = Lab::new();
    lab.run("qemu-img", &["create", "-f", "qcow2", "base.qcow2", "1G"]);
    let cases: &[(&str, u32, Compression)] = &[
        ("compat=0.10", 2, Compression::Zlib),
        ("compat=0.10,cluster_size=512", 2, Compression::Zlib),
        ("compat=1.1,cluster_size=2M", 3, Compression::Zlib),
        ("compat=1.1,compression_type=zstd,lazy_refcounts=on", 3, Compression::Zstd),
        ("compat=1.1,refcount_bits=1", 3, Compression::Zlib),
        ("compat=1.1,preallocation=metadata", 3, Compression::Zlib),
    ];
    for (options, version, compression) in cases {
        for backing in [false, true] {
            if backing && options.contains("preallocation") {
                continue;
            }
            let mut arguments = vec!["create", "-f", "qcow2", "-o", options];
            if backing {
                arguments.extend(["-b", "base.qcow2", "-F", "qcow2"]);
            }
            arguments.extend(["image.qcow2", "1000000000"]);
            lab.run("qemu-img", &arguments);
            let bytes = std::fs::read(lab.path("image.qcow2")).unwrap();
            let header = Header::parse(&bytes, bytes.len() as u64, LIMIT).unwrap();
            assert_eq!((header.version, header.compression), (*version, *compression), "{options}");
            assert_eq!(header.virtual_size, 1_000_000_000u64.next_multiple_of(512));
            let expected = BackingName { name: "base.qcow2".to_owned(), format: Some("qcow2".to_owned()) };
            assert_eq!(header.backing, backing.then_some(expected), "{options}");
        }
    }
}

proptest! {
    /// Any header is accepted or told to be wrong; what is accepted keeps its promises.
    #[test]
    fn mutated_headers_never_panic(
        changes in prop::collection::vec((0usize..160, any::<u8>()), 0..6),
        length in 0usize..70_000,
        file_size in prop_oneof![Just(FILE), any::<u64>()],
    ) {
        let mut bytes = sample();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(length);
        if let Ok(header) = Header::parse(&bytes, file_size, LIMIT) {
            prop_assert!(header.virtual_size <= LIMIT && header.virtual_size > 0);
            prop_assert!(u64::from(header.l1_entries) * 8 <= 32 << 20);
            prop_assert!(header.l1_offset + u64::from(header.l1_entries) * 8 <= file_size);
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut start = b"QFI\xfb\0\0\0\x03".to_vec();
        start.extend(bytes);
        let _ = Header::parse(&start, start.len() as u64, LIMIT);
    }
}
