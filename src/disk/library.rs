//! Reading through the `qcow2-rs` library.
//!
//! The library reads version 3 images and chains of them. It is made for trusted images: it takes sizes from the
//! header as they are, opens backing files by itself, and panics on table entries and on compressed clusters that
//! make no sense. So it only ever gets
//!
//! * a header tib has checked and written anew, and files tib has opened;
//! * images whose tables have been looked through entry by entry, with nothing compressed
//!   ([`Qcow2::tables_are_plain`]);
//! * reads of one cluster: longer ones lose errors, and shorter ones may be unaligned, which it refuses;
//! * zeroed buffers: past the end of a shorter backing file it leaves the buffer as it was.
//!
//! Its futures never wait, because [`Io`] is synchronous; polling them once is enough.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fs_err::File;
use qcow2_rs::dev::{Qcow2Dev, Qcow2DevParams};
use qcow2_rs::error::Qcow2Result;
use qcow2_rs::meta::Qcow2Header;
use qcow2_rs::ops::Qcow2IoOps;

use super::gate::{ChainFile, Content};
use super::header::{BackingName, Compression, Header, encode};
use super::qcow2::Qcow2;
use super::raw::read_padded;
use super::{BlockRead, DiskError, Extent};
use crate::block::check_range;

/// Smallest cluster the library reads: its level-2 cache works in slices of 4 KiB.
const MIN_CLUSTER_BITS: u32 = 12;

/// A chain of images, read by `qcow2-rs`; where it is empty is answered by tib's own reader.
pub(super) struct Library {
    device: Qcow2Dev<Io>,
    map: Qcow2,
    cluster_size: u64,
    /// The cluster read last, by its number.
    cluster: Vec<u8>,
    held: Option<u64>,
}

/// Whether the library reads this chain right. Top first.
pub(super) fn can_read(chain: &[ChainFile]) -> bool {
    let headers: Option<Vec<&Header>> = chain.iter().map(ChainFile::header).collect();
    let Some(headers) = headers else { return false };
    let Some(top) = headers.first() else { return false };
    let plain = headers.iter().all(|header| {
        header.version == 3
            && header.compression == Compression::Zlib
            && header.cluster_bits == top.cluster_bits
            && header.cluster_bits >= MIN_CLUSTER_BITS
    });
    // In the last, partial cluster of a shorter backing file the library would read what lies behind its end.
    let ends = headers.iter().zip(headers.iter().skip(1)).all(|(above, below)| {
        below.virtual_size >= above.virtual_size || below.virtual_size % below.cluster_size() == 0
    });
    plain && ends
}

impl Library {
    /// Opens a chain for which [`can_read`] said yes; `map` is tib's own reader of the same chain.
    pub(super) fn new(chain: &[ChainFile], map: Qcow2) -> Result<Self, DiskError> {
        let mut device: Option<Qcow2Dev<Io>> = None;
        for layer in chain.iter().rev() {
            let Content::Qcow2(header) = &layer.content else {
                return Err(DiskError::Unsupported("qcow2-rs reads qcow2 only".to_owned()));
            };
            device = Some(Self::device(layer, header, device)?);
        }
        let device = device.ok_or_else(|| DiskError::Unsupported("an empty chain".to_owned()))?;
        now(device.qcow2_prep_io())?.map_err(|error| failed(&error))?;
        let cluster_size = 1 << device.info.cluster_bits();
        Ok(Self { device, map, cluster_size, cluster: Vec::new(), held: None })
    }

    fn device(
        layer: &ChainFile,
        header: &Header,
        backing: Option<Qcow2Dev<Io>>,
    ) -> Result<Qcow2Dev<Io>, DiskError> {
        let mut clean = header.clone();
        clean.backing = backing.is_some().then(|| BackingName { name: "backing".to_owned(), format: None });
        let mut bytes = encode(&clean);
        bytes.resize(4096, 0);
        let parsed = Qcow2Header::from_buf(&bytes).map_err(|error| failed(&error))?;
        let params = Qcow2DevParams::new(9, None, None, true, false);
        if !layer.is_top {
            params.mark_backing_dev(Some(true));
        }
        let io = Io { file: Arc::clone(&layer.file), path: layer.path.clone() };
        let mut device = Qcow2Dev::new(&layer.path, parsed, &params, io).map_err(|error| failed(&error))?;
        if let Some(backing) = backing {
            device.set_backing_dev(Box::new(backing));
        }
        Ok(device)
    }

    /// Makes `self.cluster` hold the cluster with that number.
    fn load(&mut self, number: u64) -> Result<(), DiskError> {
        if self.held == Some(number) {
            return Ok(());
        }
        let offset = number * self.cluster_size;
        let length = self.cluster_size.min(self.size() - offset) as usize;
        self.held = None;
        self.cluster.clear();
        self.cluster.resize(length, 0);
        read_cluster(&self.device, &mut self.cluster, offset)?;
        self.held = Some(number);
        Ok(())
    }
}

fn read_cluster(device: &Qcow2Dev<Io>, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
    let count = now(device.read_at(buffer, offset))?.map_err(|error| failed(&error))?;
    if count == buffer.len() {
        Ok(())
    } else {
        Err(DiskError::Damaged(format!("{count} bytes at {offset} where {} were asked for", buffer.len())))
    }
}

impl BlockRead for Library {
    fn size(&self) -> u64 {
        self.device.info.virtual_size()
    }

    fn read_exact_at(&mut self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len() as u64)?;
        while !buffer.is_empty() {
            let within = (offset % self.cluster_size) as usize;
            let piece = (self.cluster_size as usize - within).min(buffer.len());
            let (head, rest) = buffer.split_at_mut(piece);
            let extent = self.map.extent(offset)?;
            if extent.zero && extent.length >= piece as u64 {
                head.fill(0);
            } else if piece as u64 == self.cluster_size {
                head.fill(0);
                read_cluster(&self.device, head, offset)?;
            } else {
                self.load(offset / self.cluster_size)?;
                head.copy_from_slice(&self.cluster[within..within + piece]);
            }
            buffer = rest;
            offset += piece as u64;
        }
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        self.map.extent(offset)
    }

    fn fork(&self) -> Option<Box<dyn BlockRead>> {
        // The library's devices stay in one thread; tib's own reader gives the same.
        self.map.fork()
    }
}

/// What the library reads from: a file tib has opened, read-only, with zeros past its end.
struct Io {
    file: Arc<File>,
    path: std::path::PathBuf,
}

impl Qcow2IoOps for Io {
    async fn read_to(&self, offset: u64, buffer: &mut [u8]) -> Qcow2Result<usize> {
        read_padded(&self.file, &self.path, buffer, offset).map_err(|error| error.to_string())?;
        Ok(buffer.len())
    }

    async fn write_from(&self, _: u64, _: &[u8]) -> Qcow2Result<()> {
        Err("the image is open for reading only".into())
    }

    async fn fallocate(&self, _: u64, _: usize, _: u32) -> Qcow2Result<()> {
        Err("the image is open for reading only".into())
    }

    async fn fsync(&self, _: u64, _: usize, _: u32) -> Qcow2Result<()> {
        Ok(())
    }
}

/// The result of a future that never waits.
fn now<F: Future>(future: F) -> Result<F::Output, DiskError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => Err(DiskError::Damaged("reading the image came to a halt".to_owned())),
    }
}

fn failed(error: &qcow2_rs::error::Qcow2Error) -> DiskError {
    DiskError::Damaged(format!("qcow2-rs: {error}"))
}
