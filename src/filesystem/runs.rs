//! Where the content of a file lies, and the way it goes out from there.

use std::io::Write;

use crate::block::DiskError;
use crate::block::window::{PIECE, Window, pass_on};

/// Pieces of one file that are kept in memory: 24 MiB. A file in more pieces is left to the kernel.
pub(super) const MAX_RUNS: usize = 1 << 20;

/// Blocks that lie one behind the other, in the file and on the disk. Between runs there is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// First block in the file.
    pub(super) logical: u64,
    /// Where that is on the disk.
    pub(super) physical: u64,
    /// Blocks.
    pub(super) length: u64,
}

/// Hands the bytes of a file from `offset` to `end`, which lie in `runs` of blocks, to `sink`. Holes are zeros.
pub(super) fn read(
    window: &mut Window,
    runs: &[Run],
    block_size: u64,
    offset: u64,
    end: u64,
    sink: &mut dyn Write,
) -> Result<(), DiskError> {
    let mut next = runs.partition_point(|run| (run.logical + run.length) * block_size <= offset);
    let mut at = offset;
    let mut piece = vec![0; PIECE.min(end.saturating_sub(offset)) as usize];
    while at < end {
        let run = runs.get(next);
        let start = run.map_or(end, |run| (run.logical * block_size).min(end));
        if at < start {
            pass_on_zeros(sink, start - at)?;
            at = start;
        }
        let Some(run) = run.filter(|_| at < end) else { break };
        let run_end = ((run.logical + run.length) * block_size).min(end);
        let length = PIECE.min(run_end - at);
        let place = run.physical * block_size + (at - run.logical * block_size);
        window.read_exact(place, &mut piece[..length as usize])?;
        pass_on(sink, &piece[..length as usize])?;
        at += length;
        next += usize::from(at == run_end);
    }
    Ok(())
}

/// Hands as many zeros to whoever asked.
pub(super) fn pass_on_zeros(sink: &mut dyn Write, mut length: u64) -> Result<(), DiskError> {
    let zeros = vec![0; PIECE.min(length) as usize];
    while length > 0 {
        let piece = PIECE.min(length);
        pass_on(sink, &zeros[..piece as usize])?;
        length -= piece;
    }
    Ok(())
}
