//! A logical volume as a disk of its own: stretches of the disk below it, one behind the other.

use std::sync::{Arc, Mutex};

use crate::block::check_range;
use crate::block::{Shared, lock};
use crate::disk::{BlockRead, DiskError, Extent};

/// A stretch of a logical volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Byte of the volume it begins at.
    pub(super) at: u64,
    /// Length in bytes.
    pub(super) length: u64,
    /// Byte of the disk it lies at.
    pub(super) on_disk: u64,
}

/// Where the bytes of a logical volume lie: from the first to the last, without a gap.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::disk) struct Map(Vec<Stretch>);

impl Map {
    /// Takes stretches that follow one another, the first from 0 on.
    pub(super) fn new(stretches: Vec<Stretch>) -> Self {
        Self(stretches)
    }

    pub(super) fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    fn size(&self) -> u64 {
        self.0.last().map_or(0, |last| last.at + last.length)
    }

    /// Where a byte of the volume lies on the disk, and how many bytes from there on belong together.
    fn find(&self, offset: u64) -> Option<(u64, u64)> {
        let behind = self.0.partition_point(|stretch| stretch.at <= offset);
        let stretch = self.0.get(behind.checked_sub(1)?)?;
        let within = offset - stretch.at;
        Some((stretch.on_disk + within, stretch.length.checked_sub(within).filter(|rest| *rest > 0)?))
    }
}

/// The logical volume that a map describes, on a disk that others read too.
pub(in crate::disk) fn view(disk: &Shared, map: &Arc<Map>) -> Shared {
    Arc::new(Mutex::new(Box::new(Linear { disk: Arc::clone(disk), map: Arc::clone(map) })))
}

struct Linear {
    disk: Shared,
    map: Arc<Map>,
}

impl Linear {
    fn find(&self, offset: u64) -> Result<(u64, u64), DiskError> {
        self.map.find(offset).ok_or_else(|| DiskError::Damaged("a logical volume has a gap".to_owned()))
    }
}

impl BlockRead for Linear {
    fn size(&self) -> u64 {
        self.map.size()
    }

    fn read_exact_at(&mut self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len() as u64)?;
        while !buffer.is_empty() {
            let (at, rest) = self.find(offset)?;
            let length = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
            let (head, tail) = buffer.split_at_mut(length);
            lock(&self.disk).read_exact_at(head, at)?;
            buffer = tail;
            offset += length as u64;
        }
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        check_range(self.size(), offset, 1)?;
        let (at, rest) = self.find(offset)?;
        let Extent { length, zero } = lock(&self.disk).extent(at)?;
        Ok(Extent { length: length.min(rest), zero })
    }

    fn fork(&self) -> Option<Box<dyn BlockRead>> {
        let disk = lock(&self.disk).fork()?;
        Some(Box::new(Self { disk: Arc::new(Mutex::new(disk)), map: Arc::clone(&self.map) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::raw::Raw;
    use super::super::super::testing::{Lab, mixture, read_all, read_extents, write};
    use super::*;

    #[test]
    fn stretches_are_read_as_one() {
        let lab = Lab::new();
        let content = mixture(3 << 20, 12);
        write(&lab.path("disk"), &content);
        // A hole, which must stay one.
        lab.run("sh", &["-c", "fallocate -p -o 1M -l 1M disk"]);
        let content = std::fs::read(lab.path("disk")).unwrap();
        let file = fs_err::File::open(lab.path("disk")).unwrap();
        let disk: Shared = Arc::new(Mutex::new(Box::new(Raw::new(file, &lab.path("disk"), 3 << 20))));
        let pieces = [(2 << 20, 1 << 20), ((1 << 20) - 512, 4096), (0, 512), (1 << 20, 1 << 20)];
        let (mut stretches, mut expected, mut at) = (Vec::new(), Vec::new(), 0);
        for (on_disk, length) in pieces {
            stretches.push(Stretch { at, length, on_disk });
            expected.extend_from_slice(&content[on_disk as usize..(on_disk + length) as usize]);
            at += length;
        }
        let map = Arc::new(Map::new(stretches));
        let volume = view(&disk, &map);
        let mut volume = lock(&volume);
        assert_eq!(volume.size(), expected.len() as u64);
        for step in [expected.len(), 4096, 50_001] {
            assert!(read_all(&mut **volume, step) == expected);
        }
        assert!(read_extents(&mut **volume) == expected);
        assert!(read_all(volume.fork().unwrap().as_mut(), 1 << 20) == expected);
        let hole = volume.extent((1 << 20) + 4096 + 512).unwrap();
        assert_eq!(hole, Extent { length: 1 << 20, zero: true });
        assert!(volume.read_exact_at(&mut [0; 2], expected.len() as u64 - 1).is_err());
        assert!(volume.extent(expected.len() as u64).is_err());
    }
}
