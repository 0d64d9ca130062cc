//! An empty qcow2 file in front of another image.

use std::io::Write;
use std::path::Path;

use fs_err::File;

use super::header::{BackingName, Compression, Header, encode};
use super::{DiskError, Format};

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;

/// Bytes of the largest disk that QEMU opens: it reads level-1 tables of up to 32 MiB.
pub const LARGEST_DISK: u64 = (32 << 20) / 8 * CLUSTER * (CLUSTER / 8);

/// Creates a new qcow2 file (version 3, 64 KiB clusters) that reads as `backing` until it is written to.
///
/// `backing` is a path relative to the directory of `path`. The disk may be larger than `backing`; what lies
/// behind the backing file's end reads as zeros.
///
/// # Errors
/// [`DiskError::Io`] when the file exists or cannot be written, [`DiskError::Refused`] for a size or name
/// the format cannot hold.
pub fn create_overlay(
    path: &Path,
    backing: &str,
    backing_format: Format,
    virtual_size: u64,
) -> Result<(), DiskError> {
    let refuse = |reason: String| DiskError::Refused { path: path.to_owned(), reason, hint: None };
    if virtual_size == 0 || !virtual_size.is_multiple_of(512) {
        return Err(refuse(format!("a disk of {virtual_size} bytes is not a whole number of sectors")));
    }
    let l1_entries = virtual_size.div_ceil(CLUSTER * (CLUSTER / 8));
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
    // Header, refcount table, one refcount block, level-1 table: one block counts 32768 clusters.
    let clusters = 3 + l1_clusters;
    if virtual_size > LARGEST_DISK {
        return Err(refuse(format!("a disk of {virtual_size} bytes is too large")));
    }
    if backing.is_empty() || backing.len() > 1023 || backing.contains(':') || Path::new(backing).is_absolute()
    {
        return Err(refuse(format!("`{backing}` cannot be named as a backing file")));
    }
    let header = Header {
        version: 3,
        cluster_bits: CLUSTER_BITS,
        virtual_size,
        l1_entries: l1_entries as u32,
        l1_offset: 3 * CLUSTER,
        refcount_offset: CLUSTER,
        refcount_clusters: 1,
        snapshots: 0,
        compression: Compression::Zlib,
        backing: Some(BackingName {
            name: backing.to_owned(),
            format: Some(backing_format.name().to_owned()),
        }),
    };
    let mut content = encode(&header);
    content.resize(CLUSTER as usize, 0);
    content.extend_from_slice(&(2 * CLUSTER).to_be_bytes());
    content.resize(2 * CLUSTER as usize, 0);
    for _ in 0..clusters {
        content.extend_from_slice(&1u16.to_be_bytes());
    }
    content.resize(3 * CLUSTER as usize, 0);
    let io = |source| DiskError::Io { action: "create", path: path.to_owned(), source };
    let mut file = File::create_new(path).map_err(io)?;
    file.write_all(&content).and_then(|()| file.set_len(clusters * CLUSTER)).map_err(io)
}
