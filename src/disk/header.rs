//! The qcow2 header: read without trusting a bit of it, and written for tib's own files.
//!
//! This runs before qemu or any library sees a file. Everything that makes qemu open *another* file
//! (backing file, data file) or that tib cannot read exactly is found here.

use serde::Serialize;

/// `QFI\xfb`.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Largest level-1 table that qemu itself accepts, in bytes.
const MAX_L1_BYTES: u64 = 32 << 20;
/// Largest refcount table that qemu itself accepts, in bytes.
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
/// Longest backing file name the format allows.
const MAX_BACKING_NAME: u32 = 1023;
/// Bytes of a version 2 header.
const V2_LENGTH: u32 = 72;
/// Bytes of the shortest version 3 header.
const V3_LENGTH: u32 = 104;
/// Header extension that names the format of the backing file.
const EXTENSION_BACKING_FORMAT: u32 = 0xE279_2ACA;

const BIT_DIRTY: u64 = 1 << 0;
const BIT_CORRUPT: u64 = 1 << 1;
const BIT_DATA_FILE: u64 = 1 << 2;
/// Incompatible bit 3: the compression type is not zlib.
pub(super) const BIT_COMPRESSION: u64 = 1 << 3;
const BIT_EXTENDED_L2: u64 = 1 << 4;

/// How the compressed clusters of an image are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Raw deflate with a 4 KiB window; what every qemu reads.
    Zlib,
    /// Zstandard; qemu 5.1 and later.
    Zstd,
}

/// A qcow2 header that has been checked against itself and the length of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the format, 2 or 3.
    pub version: u32,
    /// Binary logarithm of the cluster size, 9 to 21.
    pub cluster_bits: u32,
    /// Size of the virtual disk in bytes.
    pub virtual_size: u64,
    /// Entries of the level-1 table.
    pub l1_entries: u32,
    /// Where the level-1 table lies.
    pub l1_offset: u64,
    /// Where the refcount table lies.
    pub refcount_offset: u64,
    /// Clusters of the refcount table.
    pub refcount_clusters: u32,
    /// Number of internal snapshots.
    pub snapshots: u32,
    /// How compressed clusters are compressed.
    pub compression: Compression,
    /// The backing file, as the header names it.
    pub backing: Option<BackingName>,
}

/// The backing file a header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackingName {
    /// The name, as it stands in the header.
    pub name: String,
    /// The format the header states for it; without one qemu would guess.
    pub format: Option<String>,
}

/// Why a header is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderFault {
    /// It contradicts itself or its file.
    Damaged(String),
    /// It asks for something tib refuses: the reason, as the end of a sentence, and what to do instead.
    Refused(String, Option<String>),
}

fn damaged<T>(what: impl Into<String>) -> Result<T, HeaderFault> {
    Err(HeaderFault::Damaged(what.into()))
}

fn refused<T>(reason: impl Into<String>, hint: &str) -> Result<T, HeaderFault> {
    Err(HeaderFault::Refused(reason.into(), Some(hint.to_owned())))
}

/// Big-endian fields of a byte slice; reading past the end is `None`.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.0.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_be_bytes(self.0.get(at..at.checked_add(8)?)?.try_into().ok()?))
    }
}

impl Header {
    /// Reads and checks a header.
    ///
    /// `start` is the beginning of the file (the first 64 KiB suffice), `file_size` the length of the
    /// whole file, `limit` the largest virtual size accepted.
    ///
    /// # Errors
    /// [`HeaderFault`]; no input makes this panic.
    pub fn parse(start: &[u8], file_size: u64, limit: u64) -> Result<Self, HeaderFault> {
        let fields = Fields(start);
        let truncated = || HeaderFault::Damaged("the qcow2 header is truncated".to_owned());
        let u32_at = |at| fields.u32(at).ok_or_else(truncated);
        let u64_at = |at| fields.u64(at).ok_or_else(truncated);
        if start.get(..4) != Some(&MAGIC) {
            return damaged("the qcow2 magic number is missing");
        }
        let version = u32_at(4)?;
        let (incompatible, refcount_order, length) = match version {
            2 => (0, 4, V2_LENGTH),
            3 => (u64_at(72)?, u32_at(96)?, u32_at(100)?),
            _ => {
                return refused(
                    format!("it is qcow2 version {version}; versions 2 and 3 exist"),
                    "convert it with `qemu-img convert -O qcow2`",
                );
            }
        };
        refuse_features(incompatible)?;
        if u32_at(32)? != 0 {
            return refused(
                "it is encrypted",
                "decrypt it with `qemu-img convert` and the `--object secret,…` that belongs to it",
            );
        }
        let cluster_bits = u32_at(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return damaged(format!("cluster size 2^{cluster_bits} is outside 2^9 to 2^21"));
        }
        if version == 3 && (length < V3_LENGTH || length % 8 != 0 || length > 1 << cluster_bits) {
            return damaged(format!("the header claims to be {length} bytes long"));
        }
        if refcount_order > 6 {
            return damaged(format!("refcounts of 2^{refcount_order} bits do not exist"));
        }
        let virtual_size = u64_at(24)?;
        check_virtual_size(virtual_size, limit)?;
        let mut header = Self {
            version,
            cluster_bits,
            virtual_size,
            l1_entries: u32_at(36)?,
            l1_offset: u64_at(40)?,
            refcount_offset: u64_at(48)?,
            refcount_clusters: u32_at(56)?,
            snapshots: u32_at(60)?,
            compression: compression(start, length, incompatible)?,
            backing: None,
        };
        header.check_tables(file_size)?;
        header.backing = header.backing_name(start, length, u64_at(8)?, u32_at(16)?)?;
        Ok(header)
    }

    /// Size of a cluster in bytes.
    pub fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of a level-2 table.
    pub fn l2_entries(&self) -> u64 {
        self.cluster_size() / 8
    }

    fn check_tables(&self, file_size: u64) -> Result<(), HeaderFault> {
        let cluster = self.cluster_size();
        let needed = self.virtual_size.div_ceil(cluster * self.l2_entries());
        let l1_bytes = u64::from(self.l1_entries) * 8;
        if u64::from(self.l1_entries) < needed {
            return damaged(format!(
                "the level-1 table has {} entries where {needed} are needed",
                self.l1_entries
            ));
        }
        if l1_bytes > MAX_L1_BYTES {
            return damaged(format!("the level-1 table claims {l1_bytes} bytes"));
        }
        let refcount_bytes = u64::from(self.refcount_clusters) * cluster;
        if refcount_bytes == 0 || refcount_bytes > MAX_REFCOUNT_TABLE_BYTES {
            return damaged(format!("the refcount table claims {refcount_bytes} bytes"));
        }
        let tables =
            [("level-1", self.l1_offset, l1_bytes), ("refcount", self.refcount_offset, refcount_bytes)];
        for (name, offset, length) in tables {
            if offset == 0 || offset % cluster != 0 {
                return damaged(format!("the {name} table lies at {offset}, not at a cluster's start"));
            }
            if offset.checked_add(length).is_none_or(|end| end > file_size) {
                return damaged(format!(
                    "the {name} table lies beyond the end of the file ({file_size} bytes); it is truncated"
                ));
            }
        }
        Ok(())
    }

    fn backing_name(
        &self,
        start: &[u8],
        length: u32,
        offset: u64,
        size: u32,
    ) -> Result<Option<BackingName>, HeaderFault> {
        let format = self.extensions(start, length, offset)?;
        if offset == 0 {
            return Ok(None);
        }
        if size == 0 || size > MAX_BACKING_NAME {
            return damaged(format!("the backing file's name claims {size} bytes"));
        }
        let end = offset.checked_add(u64::from(size)).filter(|end| *end <= self.cluster_size());
        let name = end
            .and_then(|end| start.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?))
            .ok_or_else(|| {
            HeaderFault::Damaged("the backing file's name lies outside the header".into())
        })?;
        let Ok(name) = std::str::from_utf8(name) else {
            return damaged("the backing file's name is not text");
        };
        Ok(Some(BackingName { name: name.to_owned(), format }))
    }

    /// Walks the header extensions and returns the format stated for the backing file.
    fn extensions(&self, start: &[u8], length: u32, backing: u64) -> Result<Option<String>, HeaderFault> {
        let fields = Fields(start);
        let mut limit = self.cluster_size().min(start.len() as u64);
        if backing != 0 {
            limit = limit.min(backing);
        }
        let mut at = u64::from(length);
        let mut format = None;
        // Each round advances by at least 8 bytes within at most one cluster, so this ends.
        while at + 8 <= limit {
            let position = usize::try_from(at).unwrap_or(usize::MAX);
            let (Some(kind), Some(size)) = (fields.u32(position), fields.u32(position.saturating_add(4)))
            else {
                break;
            };
            if kind == 0 {
                break;
            }
            let data = at + 8;
            if data + u64::from(size) > limit {
                return damaged("a header extension runs past the header");
            }
            if kind == EXTENSION_BACKING_FORMAT {
                let range = position + 8..position + 8 + size as usize;
                format = start.get(range).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            }
            at = data + u64::from(size).next_multiple_of(8);
        }
        Ok(format)
    }
}

fn refuse_features(bits: u64) -> Result<(), HeaderFault> {
    if bits & BIT_DIRTY != 0 {
        return refused(
            "it was not closed cleanly (dirty bit)",
            "repair a copy with `qemu-img check -r all`",
        );
    }
    if bits & BIT_CORRUPT != 0 {
        return refused("it is marked as corrupt", "repair a copy with `qemu-img check -r all`");
    }
    if bits & BIT_DATA_FILE != 0 {
        return refused(
            "its data lies in another file",
            "make one file of it with `qemu-img convert -O qcow2`, if you trust where it comes from",
        );
    }
    if bits & BIT_EXTENDED_L2 != 0 {
        return refused(
            "it uses extended level-2 entries, which OpenStack refuses as well",
            "convert it with `qemu-img convert -O qcow2 -o extended_l2=off`",
        );
    }
    let unknown = bits & !BIT_COMPRESSION;
    if unknown != 0 {
        return refused(
            format!("it needs features tib does not know (incompatible bits {unknown:#x})"),
            "convert it with `qemu-img convert -O qcow2`",
        );
    }
    Ok(())
}

fn check_virtual_size(size: u64, limit: u64) -> Result<(), HeaderFault> {
    if size == 0 {
        return damaged("the virtual disk has no size");
    }
    if !size.is_multiple_of(512) {
        return damaged(format!("the virtual size {size} is not a multiple of 512"));
    }
    if size > limit {
        return Err(HeaderFault::Refused(
            format!("its virtual size of {size} bytes is above the limit of {limit}"),
            None,
        ));
    }
    Ok(())
}

fn compression(start: &[u8], length: u32, incompatible: u64) -> Result<Compression, HeaderFault> {
    let kind = if length > V3_LENGTH { start.get(104).copied().unwrap_or(0) } else { 0 };
    match (kind, incompatible & BIT_COMPRESSION != 0) {
        (0, false) => Ok(Compression::Zlib),
        (1, true) => Ok(Compression::Zstd),
        (0 | 1, _) => damaged("the compression type contradicts the feature bits"),
        _ => refused(
            format!("it uses compression type {kind}, which tib does not know"),
            "convert it with `qemu-img convert -O qcow2`",
        ),
    }
}

/// Writes a version 3 header of 112 bytes with 16-bit refcounts, followed by the extension that states
/// the backing file's format and by its name, where there is one.
pub(super) fn encode(header: &Header) -> Vec<u8> {
    const LENGTH: u32 = 112;
    let mut extensions = Vec::new();
    let (mut backing_offset, mut backing_size) = (0u64, 0u32);
    if let Some(format) = header.backing.as_ref().and_then(|backing| backing.format.as_ref()) {
        extensions.extend_from_slice(&EXTENSION_BACKING_FORMAT.to_be_bytes());
        extensions.extend_from_slice(&(format.len() as u32).to_be_bytes());
        extensions.extend_from_slice(format.as_bytes());
        extensions.resize(extensions.len().next_multiple_of(8), 0);
    }
    extensions.extend_from_slice(&[0; 8]);
    if let Some(backing) = &header.backing {
        backing_offset = u64::from(LENGTH) + extensions.len() as u64;
        backing_size = backing.name.len() as u32;
        extensions.extend_from_slice(backing.name.as_bytes());
    }
    let (bit, kind) = match header.compression {
        Compression::Zlib => (0, 0),
        Compression::Zstd => (BIT_COMPRESSION, 1),
    };
    let mut out = Vec::with_capacity(LENGTH as usize + extensions.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&3u32.to_be_bytes());
    out.extend_from_slice(&backing_offset.to_be_bytes());
    out.extend_from_slice(&backing_size.to_be_bytes());
    out.extend_from_slice(&header.cluster_bits.to_be_bytes());
    out.extend_from_slice(&header.virtual_size.to_be_bytes());
    out.extend_from_slice(&0u32.to_be_bytes()); // not encrypted
    out.extend_from_slice(&header.l1_entries.to_be_bytes());
    out.extend_from_slice(&header.l1_offset.to_be_bytes());
    out.extend_from_slice(&header.refcount_offset.to_be_bytes());
    out.extend_from_slice(&header.refcount_clusters.to_be_bytes());
    out.extend_from_slice(&[0; 12]); // no snapshots
    out.extend_from_slice(&bit.to_be_bytes());
    out.extend_from_slice(&[0; 16]); // no compatible, no autoclear features
    out.extend_from_slice(&4u32.to_be_bytes()); // refcounts of 2^4 bits
    out.extend_from_slice(&LENGTH.to_be_bytes());
    out.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&extensions);
    out
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
