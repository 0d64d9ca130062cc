//! Recognises files that are disk images of another kind, or no disk images at all.
//!
//! tib reads qcow2 and raw. Taking another container for a raw disk would give a broken image at best,
//! and at worst let a hostile file be opened later by something that guesses.

/// What the first bytes say a file is: its name for a person, and what to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Container {
    /// What it is, with its article.
    pub(super) name: &'static str,
    /// What to do instead.
    pub(super) hint: &'static str,
}

const CONVERT: &str = "convert it with `qemu-img convert -O qcow2`, if you trust where it comes from";
const UNPACK: &str = "unpack it first";

/// Offset, bytes found there, name, hint.
const SIGNATURES: &[(usize, &[u8], &str, &str)] = &[
    (0, b"KDMV", "a VMDK image", CONVERT),
    (0, b"COWD", "a VMDK image", CONVERT),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor, which names other files", CONVERT),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI image", CONVERT),
    (0, b"conectix", "a VHD image", CONVERT),
    (0, b"vhdxfile", "a VHDX image", CONVERT),
    (0, b"QED\0", "a QED image", CONVERT),
    (0, b"WithoutFreeSpace", "a Parallels image", CONVERT),
    (0, b"WithouFreSpacExt", "a Parallels image", CONVERT),
    (0, b"LUKS\xba\xbe", "an encrypted (LUKS) image", "decrypt it first"),
    (0, b"\x1f\x8b", "compressed with gzip", UNPACK),
    (0, b"\xfd7zXZ\0", "compressed with xz", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
    (0, b"BZh", "compressed with bzip2", UNPACK),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (257, b"ustar", "a tar archive (an OVA or a root file system)", UNPACK),
    (
        0x8001,
        b"CD001",
        "an ISO 9660 image, an installation medium",
        "use the distribution's cloud image instead",
    ),
];

/// Bytes of a file's beginning that [`recognise`] looks at.
pub(super) const PROBE_BYTES: usize = 64 << 10;

/// Says what a file is, if it is something tib does not read.
///
/// `start` is its beginning, `end` its last 512 bytes.
pub(super) fn recognise(start: &[u8], end: &[u8]) -> Option<Container> {
    if end.starts_with(b"conectix") {
        return Some(Container { name: "a VHD image", hint: CONVERT });
    }
    SIGNATURES
        .iter()
        .find(|(at, bytes, ..)| start.get(*at..).is_some_and(|rest| rest.starts_with(bytes)))
        .map(|&(_, _, name, hint)| Container { name, hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_is_within_the_bytes_read() {
        for (at, bytes, name, _) in SIGNATURES {
            assert!(at + bytes.len() <= PROBE_BYTES, "{name}");
            let mut start = vec![0; at + bytes.len()];
            start[*at..].copy_from_slice(bytes);
            assert_eq!(recognise(&start, &[]).map(|found| found.name), Some(*name));
        }
    }

    #[test]
    fn a_fixed_vhd_is_known_by_its_last_sector() {
        assert_eq!(recognise(&[0; 512], b"conectix\0\0").map(|found| found.name), Some("a VHD image"));
        assert_eq!(recognise(&[0; 512], &[0; 512]), None);
    }
}
