//! Recognises what lies in a stretch of a disk, and reads the names it can be mounted by.

use serde::Serialize;

use crate::block::{BlockRead, DiskError};

/// Something in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSystem {
    /// What it is.
    pub kind: FileSystemKind,
    /// `UUID`, lower case, where tib reads it.
    pub uuid: Option<String>,
    /// `LABEL`, where tib reads it.
    pub label: Option<String>,
}

/// Kinds of content tib recognises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileSystemKind {
    /// ext2, ext3 or ext4.
    Ext,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// FAT.
    Vfat,
    /// Swap space.
    Swap,
    /// A physical volume of LVM.
    Lvm,
    /// LUKS encryption.
    Luks,
    /// A member of a software RAID.
    Raid,
    /// SquashFS.
    Squashfs,
}

impl FileSystemKind {
    /// The name for a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext => "ext4",
            Self::Xfs => "XFS",
            Self::Btrfs => "Btrfs",
            Self::Vfat => "FAT",
            Self::Swap => "swap",
            Self::Lvm => "LVM",
            Self::Luks => "LUKS",
            Self::Raid => "RAID",
            Self::Squashfs => "SquashFS",
        }
    }
}

/// What the label of a physical volume of LVM begins with, in one of the first four sectors.
pub(crate) const LVM_LABEL: &[u8; 8] = b"LABELONE";

/// Offset, bytes found there, what they stand for.
const SIGNATURES: &[(usize, &[u8], FileSystemKind)] = &[
    (0, b"LUKS\xba\xbe", FileSystemKind::Luks),
    (0, b"XFSB", FileSystemKind::Xfs),
    (0, b"hsqs", FileSystemKind::Squashfs),
    (0x1000, b"\xfc\x4e\x2b\xa9", FileSystemKind::Raid),
    (0, LVM_LABEL, FileSystemKind::Lvm),
    (512, LVM_LABEL, FileSystemKind::Lvm),
    (1024, LVM_LABEL, FileSystemKind::Lvm),
    (1536, LVM_LABEL, FileSystemKind::Lvm),
    (4086, b"SWAPSPACE2", FileSystemKind::Swap),
    (0x1_0040, b"_BHRfS_M", FileSystemKind::Btrfs),
    (0x52, b"FAT32   ", FileSystemKind::Vfat),
    (0x36, b"FAT16   ", FileSystemKind::Vfat),
    (0x36, b"FAT12   ", FileSystemKind::Vfat),
    (0x438, b"\x53\xef", FileSystemKind::Ext),
];

/// Bytes looked at.
const PROBE: usize = 0x1_1000;

/// Says what lies in `length` bytes from `start`, if tib recognises it.
///
/// # Errors
/// [`DiskError`] when the disk cannot be read there.
pub fn detect(disk: &mut dyn BlockRead, start: u64, length: u64) -> Result<Option<FileSystem>, DiskError> {
    let there = length.min(disk.size().saturating_sub(start));
    let mut bytes = vec![0; PROBE.min(usize::try_from(there).unwrap_or(PROBE))];
    disk.read_exact_at(&mut bytes, start)?;
    Ok(recognise(&bytes))
}

/// What encrypts the stretch from `start`, for people: `LUKS1` or `LUKS2`.
///
/// # Errors
/// [`DiskError`] when the disk cannot be read there.
pub(crate) fn luks_version(disk: &mut dyn BlockRead, start: u64) -> Result<String, DiskError> {
    let mut version = [0; 2];
    disk.read_exact_at(&mut version, start + 6)?;
    Ok(format!("LUKS{}", u16::from_be_bytes(version)))
}

/// Zeros read, at the most, to find out whether a stretch of a disk is blank.
const MAX_ZEROS: u64 = 64 << 20;

/// Whether nothing at all lies in `length` bytes from `start`. `false` if that would take long to find out.
///
/// # Errors
/// [`DiskError`] when the disk cannot be read there.
pub(crate) fn is_blank(disk: &mut dyn BlockRead, start: u64, length: u64) -> Result<bool, DiskError> {
    let end = start.saturating_add(length).min(disk.size());
    let mut piece = vec![0; 64 << 10];
    let (mut at, mut seen) = (start, 0);
    while at < end {
        let extent = disk.extent(at)?;
        let mut length = extent.length.min(end - at);
        if !extent.zero {
            length = length.min(piece.len() as u64);
            let piece = &mut piece[..length as usize];
            disk.read_exact_at(piece, at)?;
            seen += length;
            if seen > MAX_ZEROS || piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        at += length;
    }
    Ok(true)
}

fn recognise(bytes: &[u8]) -> Option<FileSystem> {
    let found = |(at, magic, _): &&(usize, &[u8], FileSystemKind)| {
        bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    let kind = SIGNATURES.iter().find(found)?.2;
    // Where the identity lies: offset of 16 bytes of UUID; offset and length of the label.
    let (uuid, label) = match kind {
        FileSystemKind::Ext => (Some(0x468), Some((0x478, 16))),
        FileSystemKind::Xfs => (Some(32), Some((108, 12))),
        FileSystemKind::Btrfs => (Some(0x1_0020), Some((0x1_012b, 256))),
        FileSystemKind::Swap => (Some(0x40c), Some((0x41c, 16))),
        _ => (None, None),
    };
    let uuid = match kind {
        FileSystemKind::Luks => bytes
            .get(168..208)
            .and_then(|text| text.split(|byte| *byte == 0).next())
            .filter(|text| !text.is_empty())
            .map(|text| String::from_utf8_lossy(text).to_lowercase()),
        FileSystemKind::Vfat => bytes
            .get(if bytes.get(0x52..0x57) == Some(b"FAT32") { 0x43..0x47 } else { 0x27..0x2b })
            .map(|id| format!("{:02x}{:02x}-{:02x}{:02x}", id[3], id[2], id[1], id[0])),
        _ => uuid.and_then(|at| bytes.get(at..at + 16)).map(hyphenated),
    };
    let label = label
        .and_then(|(at, length)| bytes.get(at..at + length))
        .and_then(|label| label.split(|byte| *byte == 0).next())
        .filter(|label| !label.is_empty())
        .map(|label| String::from_utf8_lossy(label).into_owned());
    Some(FileSystem { kind, uuid, label })
}

fn hyphenated(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
