//! Whether two parts of a qcow2 file lie in the same place. No writer makes such a file; in a hostile one, a few bytes
//! could stand for a disk of terabytes, or a table for another.

use super::DiskError;

/// Places in use, by cluster of the file.
pub(super) struct Places {
    cluster_bits: u32,
    /// A bit for each cluster that is used as a whole.
    whole: Vec<u64>,
    /// A bit for each cluster that holds compressed ones.
    shared: Vec<u64>,
    /// Where compressed clusters begin.
    compressed: Vec<u64>,
}

impl Places {
    pub(super) fn new(file_size: u64, cluster_bits: u32) -> Self {
        let words = (file_size >> cluster_bits) as usize / 64 + 1;
        Self { cluster_bits, whole: vec![0; words], shared: vec![0; words], compressed: Vec::new() }
    }

    /// Takes all clusters that `length` bytes from `offset` touch.
    pub(super) fn take(&mut self, offset: u64, length: u64) -> Result<(), DiskError> {
        let last = offset.saturating_add(length.max(1) - 1) >> self.cluster_bits;
        for cluster in offset >> self.cluster_bits..=last {
            if has(&self.shared, cluster) || !put(&mut self.whole, cluster) {
                return Err(overlap(cluster << self.cluster_bits));
            }
        }
        Ok(())
    }

    /// Takes the place of a compressed cluster, which others may stand beside.
    pub(super) fn take_compressed(&mut self, offset: u64) -> Result<(), DiskError> {
        let cluster = offset >> self.cluster_bits;
        if has(&self.whole, cluster) {
            return Err(overlap(offset));
        }
        put(&mut self.shared, cluster);
        self.compressed.push(offset);
        Ok(())
    }

    /// Says at the end whether two compressed clusters are one.
    pub(super) fn finish(mut self) -> Result<(), DiskError> {
        self.compressed.sort_unstable();
        match self.compressed.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(overlap(pair[0])),
            None => Ok(()),
        }
    }
}

fn has(bits: &[u64], cluster: u64) -> bool {
    bits.get(cluster as usize / 64).is_some_and(|word| word >> (cluster % 64) & 1 != 0)
}

/// Sets a bit. `false` if it was set, or is past the end, where nothing can lie.
fn put(bits: &mut [u64], cluster: u64) -> bool {
    let Some(word) = bits.get_mut(cluster as usize / 64) else { return false };
    let bit = 1 << (cluster % 64);
    let was = *word & bit != 0;
    *word |= bit;
    !was
}

fn overlap(offset: u64) -> DiskError {
    DiskError::Damaged(format!("two parts of the image lie in the same place, at {offset} of the file"))
}
