//! What files hold.

use std::io::Write;
use std::sync::Arc;

use super::damaged;
use super::extent::{Body, EXTENT, Extent};
use super::forest::Forest;
use super::inode::Inode;
use super::node::Key;
use super::superblock::{Root, SECTOR};
use super::unpack::Packing;
use crate::block::DiskError;
use crate::block::window::{PIECE, pass_on};
use crate::filesystem::runs::pass_on_zeros;

/// The object that all checksums of data are about, and the kind of their keys.
const CHECKSUMS: u64 = 10u64.wrapping_neg();
const CHECKSUM: u8 = 128;

/// Reads the content of files of one of the trees.
pub(super) struct Reader<'a> {
    pub(super) forest: &'a mut Forest,
    /// The tree of the checksums of data.
    pub(super) checksums: Option<Root>,
    /// What was unpacked last, and from where: files are read in pieces.
    pub(super) unpacked: &'a mut Option<(u64, Arc<[u8]>)>,
}

impl Reader<'_> {
    /// Hands `length` bytes from `offset` of an inode of the tree `root` to `sink`, fewer at its end.
    pub(super) fn read(
        &mut self,
        root: Root,
        inode: &Inode,
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let end = inode.size.min(offset.saturating_add(length));
        if offset >= end {
            return Ok(0);
        }
        let key = |offset| Key::new(inode.place.inode, EXTENT, offset);
        let is_ours = |found: &Key| found.object == inode.place.inode && found.kind == EXTENT;
        // The extent that holds the first byte begins before it.
        let first = self.forest.at_or_before(root, key(offset))?.filter(|item| is_ours(&item.key()));
        let mut item = match first {
            Some(item) => Some(item),
            None => self.forest.at_or_after(root, key(offset))?,
        };
        let (mut at, mut before) = (offset, 0);
        while let Some(found) = item.filter(|item| is_ours(&item.key())).filter(|_| at < end) {
            let extent = Extent::parse(inode.place, found.key(), found.data())?;
            if extent.start < before {
                return Err(damaged(inode.place, "has extents that overlap"));
            }
            before = extent.end;
            let start = extent.start.clamp(at, end);
            pass_on_zeros(sink, start - at)?;
            at = extent.end.clamp(start, end);
            self.pass_on_extent(inode, &extent, start, at, sink)?;
            item = match found.key().next() {
                Some(next) => self.forest.at_or_after(root, next)?,
                None => None,
            };
        }
        pass_on_zeros(sink, end - at)?;
        Ok(end - offset)
    }

    /// Hands on an extent's part from byte `from` of the file to byte `to`, both of which are in it.
    fn pass_on_extent(
        &mut self,
        inode: &Inode,
        extent: &Extent<'_>,
        from: u64,
        to: u64,
        sink: &mut dyn Write,
    ) -> Result<(), DiskError> {
        let wrong = || damaged(inode.place, "has compressed content that makes no sense");
        if from >= to {
            return Ok(());
        }
        let part = |bytes: &[u8], from: u64, sink: &mut dyn Write| {
            let length = (to - from).min((bytes.len() as u64).saturating_sub(from));
            let bytes = bytes.get(from as usize..).and_then(|rest| rest.get(..length as usize));
            pass_on(sink, bytes.unwrap_or_default())?;
            pass_on_zeros(sink, to - from - length)
        };
        match extent.body {
            Body::Zeros => pass_on_zeros(sink, to - from),
            Body::Inline { packing, bytes, length } => {
                part(&packing.unpack(bytes, length).ok_or_else(wrong)?, from, sink)
            }
            Body::Stored { packing: Packing::Plain, at, skip, .. } => {
                let first = at.checked_add(skip).ok_or_else(wrong)?;
                self.pass_on_plain(inode, first, from - extent.start, to - extent.start, sink)
            }
            Body::Stored { packing, at, length, unpacked, skip } => {
                let known = self
                    .unpacked
                    .as_ref()
                    .filter(|(known, bytes)| *known == at && bytes.len() as u64 == unpacked);
                let bytes = match known {
                    Some((_, bytes)) => Arc::clone(bytes),
                    None => {
                        let mut packed = vec![0; length as usize];
                        self.read_data(inode, at, &mut packed)?;
                        let bytes: Arc<[u8]> =
                            packing.unpack(&packed, unpacked as usize).ok_or_else(wrong)?.into();
                        *self.unpacked = Some((at, Arc::clone(&bytes)));
                        bytes
                    }
                };
                let from = from - extent.start + skip;
                let bytes = bytes
                    .get(from as usize..)
                    .and_then(|rest| rest.get(..(to - extent.start + skip - from) as usize));
                pass_on(sink, bytes.ok_or_else(wrong)?)
            }
        }
    }

    /// Hands on bytes `from` to `to` of those that lie at an address as they are.
    fn pass_on_plain(
        &mut self,
        inode: &Inode,
        first: u64,
        from: u64,
        to: u64,
        sink: &mut dyn Write,
    ) -> Result<(), DiskError> {
        let mut at = from;
        let mut piece = Vec::new();
        while at < to {
            // Checksums are of whole sectors.
            let start = at - at % SECTOR;
            let stop = to.min(start + PIECE);
            piece.resize((stop.next_multiple_of(SECTOR) - start) as usize, 0);
            let place =
                first.checked_add(start).ok_or_else(|| damaged(inode.place, "has an extent nowhere"))?;
            self.read_data(inode, place, &mut piece)?;
            pass_on(sink, &piece[(at - start) as usize..(stop - start) as usize])?;
            at = stop;
        }
        Ok(())
    }

    /// Fills whole sectors from an address, from the first copy of each whose checksum is right.
    fn read_data(&mut self, inode: &Inode, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let places = self.forest.places(at, buffer.len() as u64)?;
        let Some((first, others)) = places.split_first() else { return Ok(()) };
        self.forest.read_exact(*first, buffer)?;
        if !inode.is_checked {
            return Ok(());
        }
        let checksum = self.forest.superblock.checksum;
        let sums = self.checksums(inode, at, buffer.len() as u64)?;
        let sectors = buffer.chunks_mut(SECTOR as usize).zip(sums.chunks(checksum.length()));
        for (index, (sector, sum)) in (0..).zip(sectors) {
            let mut others = others.iter();
            while !checksum.fits(sector, sum) {
                let Some(other) = others.next() else {
                    return Err(damaged(inode.place, "has content with a wrong checksum"));
                };
                self.forest.read_exact(other.saturating_add(index * SECTOR), sector)?;
            }
        }
        Ok(())
    }

    /// The checksums of the sectors from an address on.
    fn checksums(&mut self, inode: &Inode, at: u64, length: u64) -> Result<Vec<u8>, DiskError> {
        let missing = || damaged(inode.place, "has content without a checksum");
        let size = self.forest.superblock.checksum.length();
        let root = self.checksums.ok_or_else(missing)?;
        let wanted = (length / SECTOR) as usize * size;
        let mut found = Vec::with_capacity(wanted);
        while found.len() < wanted {
            let here = at + (found.len() / size) as u64 * SECTOR;
            let item = self.forest.at_or_before(root, Key::new(CHECKSUMS, CHECKSUM, here))?;
            let item = item.filter(|item| item.key().object == CHECKSUMS && item.key().kind == CHECKSUM);
            let item = item.ok_or_else(missing)?;
            let before = (here - item.key().offset) / SECTOR;
            let start = usize::try_from(before).ok().and_then(|before| before.checked_mul(size));
            let rest = start.and_then(|start| item.data().get(start..)).unwrap_or_default();
            let count = (rest.len() - rest.len() % size).min(wanted - found.len());
            if count == 0 {
                return Err(missing());
            }
            found.extend_from_slice(&rest[..count]);
        }
        Ok(found)
    }
}
