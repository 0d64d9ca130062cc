//! The allocation table: which cluster follows which.

use super::boot_sector::{Geometry, Kind};
use super::{Window, damaged};
use crate::block::DiskError;
use crate::block::bytes::{le16, le32};

/// Pieces of one chain.
const MAX_RUNS: usize = 1 << 20;
/// Bytes of the table read at once: whole entries, however wide they are.
const PIECE: u64 = 12 << 12;

/// Clusters that lie one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// Clusters in the order of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) runs: Vec<Run>,
    pub(super) clusters: u64,
    /// The chain ends here.
    pub(super) is_whole: bool,
}

/// Follows a chain for `limit` clusters at the most.
///
/// # Errors
/// [`DiskError::Damaged`] for one that leads out of the file system, to a free cluster, or runs in a circle.
pub(super) fn follow(
    window: &mut Window,
    geometry: &Geometry,
    first: u32,
    limit: u64,
) -> Result<Chain, DiskError> {
    let mut chain = Chain::default();
    let mut cluster = first;
    // Brent's: who stays where the walk was after 1, 2, 4, … steps is met again on a circle.
    let (mut met, mut steps, mut until) = (first, 0u64, 1u64);
    while chain.clusters < limit {
        if geometry.place(cluster).is_none() {
            return damaged("a chain of clusters leads out of it");
        }
        if chain.runs.len() >= MAX_RUNS {
            return Err(DiskError::Unsupported("a FAT file is in a million pieces".to_owned()));
        }
        match chain.runs.last_mut() {
            Some(run) if run.first.checked_add(run.count) == Some(cluster) => run.count += 1,
            _ => chain.runs.push(Run { first: cluster, count: 1 }),
        }
        chain.clusters += 1;
        let Some(next) = next(window, geometry, cluster)? else {
            chain.is_whole = true;
            break;
        };
        if next == met {
            return damaged("a chain of clusters runs in a circle");
        }
        steps += 1;
        if steps == until {
            (met, steps, until) = (next, 0, until * 2);
        }
        cluster = next;
    }
    Ok(chain)
}

/// What follows a cluster; `None` if it is the last of its chain.
fn next(window: &mut Window, geometry: &Geometry, cluster: u32) -> Result<Option<u32>, DiskError> {
    let at = u64::from(cluster) * geometry.kind.bits() / 8;
    let mut bytes = [0; 4];
    let length = if geometry.kind == Kind::Fat32 { 4 } else { 2 };
    window.read_exact(geometry.table + at, &mut bytes[..length])?;
    let link = link(geometry.kind, cluster.into(), &bytes);
    // A cluster marked as bad ends a chain as well, as in Linux.
    let end = match geometry.kind {
        Kind::Fat12 => 0xff7,
        Kind::Fat16 => 0xfff7,
        Kind::Fat32 => 0x0fff_fff7,
    };
    match link {
        0 => damaged("a chain of clusters leads to a free one"),
        link if link >= end => Ok(None),
        link => Ok(Some(link)),
    }
}

/// The entry of a cluster, which `bytes` begins with.
fn link(kind: Kind, cluster: u64, bytes: &[u8]) -> u32 {
    match kind {
        Kind::Fat12 if cluster.is_multiple_of(2) => u32::from(le16(bytes, 0) & 0xfff),
        Kind::Fat12 => u32::from(le16(bytes, 0) >> 4),
        Kind::Fat16 => le16(bytes, 0).into(),
        Kind::Fat32 => le32(bytes, 0) & 0x0fff_ffff,
    }
}

/// How many clusters are free.
pub(super) fn free(window: &mut Window, geometry: &Geometry) -> Result<u64, DiskError> {
    let bits = geometry.kind.bits();
    let end = ((geometry.clusters + 2) * bits).div_ceil(8);
    let mut piece = vec![0; PIECE as usize];
    let mut free = 0;
    let mut at = 0;
    while at < end {
        let length = PIECE.min(end - at);
        let piece = &mut piece[..length as usize];
        window.read_exact(geometry.table + at, piece)?;
        let first = at * 8 / bits;
        let last = (first + PIECE * 8 / bits).min(geometry.clusters + 2);
        for cluster in first.max(2)..last {
            let entry = piece.get(((cluster - first) * bits / 8) as usize..).unwrap_or_default();
            free += u64::from(link(geometry.kind, cluster, entry) == 0);
        }
        at += length;
    }
    Ok(free)
}
