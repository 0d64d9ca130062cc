//! What the superblock of ext2, ext3 and ext4 tells people (Linux, `fs/ext4/ext4.h`), also of a file system that tib cannot
//! read.

use schemars::JsonSchema;
use serde::Serialize;

use crate::block::{BlockRead, DiskError};

const AT: u64 = 1024;
const LENGTH: usize = 1024;

const HAS_JOURNAL: u32 = 0x4;
const NEEDS_RECOVERY: u32 = 0x4;
const WIDE: u32 = 0x80;
/// What ext3 may have: file types, a journal to recover, meta block groups; sparse superblocks, large files,
/// directories as trees. Anything else makes it ext4.
const EXT3_INCOMPATIBLE: u32 = 0x2 | NEEDS_RECOVERY | 0x10;
const EXT3_READ_ONLY: u32 = 0x1 | 0x2 | 0x4;

/// Which of the family a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExtVersion {
    /// Without a journal.
    Ext2,
    /// With a journal.
    Ext3,
    /// With features that ext3 does not have.
    Ext4,
}

impl ExtVersion {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
        }
    }
}

/// How a file system was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExtState {
    /// Unmounted in order.
    Clean,
    /// Its journal holds changes that are not in place yet.
    NeedsRecovery,
    /// Not unmounted in order.
    NotClean,
    /// The kernel or fsck found errors in it.
    Errors,
}

/// What a superblock tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) version: ExtVersion,
    pub(crate) block_size: u64,
    pub(crate) blocks: u64,
    pub(crate) free_blocks: u64,
    pub(crate) inodes: u64,
    pub(crate) free_inodes: u64,
    pub(crate) last_mounted: Option<String>,
    pub(crate) state: ExtState,
}

impl Summary {
    /// Reads the superblock of the file system at `start`.
    pub(crate) fn read(disk: &mut dyn BlockRead, start: u64) -> Result<Self, DiskError> {
        let mut block = [0; LENGTH];
        disk.read_exact_at(&mut block, start.saturating_add(AT))?;
        Self::parse(&block).ok_or_else(|| DiskError::Damaged("ext: its superblock makes no sense".to_owned()))
    }

    fn parse(block: &[u8; LENGTH]) -> Option<Self> {
        let short = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        let long = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        let (compatible, incompatible, read_only) = (long(92), long(96), long(100));
        // The high halves count only with the feature `64bit`.
        let wide = incompatible & WIDE != 0;
        let count = |low: usize, high: usize| {
            u64::from(long(low)) | if wide { u64::from(long(high)) << 32 } else { 0 }
        };
        let shift = long(24);
        if short(56) != 0xef53 || shift > 6 {
            return None;
        }
        let version = if incompatible & !EXT3_INCOMPATIBLE != 0 || read_only & !EXT3_READ_ONLY != 0 {
            ExtVersion::Ext4
        } else if compatible & HAS_JOURNAL != 0 {
            ExtVersion::Ext3
        } else {
            ExtVersion::Ext2
        };
        let state = match short(58) {
            bits if bits & 2 != 0 => ExtState::Errors,
            _ if incompatible & NEEDS_RECOVERY != 0 => ExtState::NeedsRecovery,
            bits if bits & 1 != 0 => ExtState::Clean,
            _ => ExtState::NotClean,
        };
        let mounted = block[136..200].split(|byte| *byte == 0).next().unwrap_or_default();
        let (block_size, blocks, free_blocks) = (1024 << shift, count(4, 0x150), count(12, 0x158));
        let (inodes, free_inodes) = (long(0).into(), long(16).into());
        if free_blocks > blocks || free_inodes > inodes || blocks.checked_mul(block_size).is_none() {
            return None;
        }
        Some(Self {
            version,
            block_size,
            blocks,
            free_blocks,
            inodes,
            free_inodes,
            last_mounted: (!mounted.is_empty()).then(|| String::from_utf8_lossy(mounted).into_owned()),
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::testing::Lab;
    use crate::disk::{Policy, open};

    /// dumpe2fs and blkid are the judges.
    #[test]
    fn what_dumpe2fs_and_blkid_say() {
        for options in [
            ["-t", "ext2", "-b", "1024", ""],
            ["-t", "ext3", "-b", "4096", ""],
            ["-t", "ext4", "-b", "1024", ""],
            ["-t", "ext4", "-b", "4096", "-Mount"],
            ["-t", "ext4", "-O", "^has_journal,64bit", ""],
            ["-t", "ext2", "-O", "has_journal", ""],
        ] {
            let lab = Lab::new();
            let mut arguments: Vec<&str> = options[..4].to_vec();
            if options[4] == "-Mount" {
                arguments.extend(["-M", "/srv/data"]);
            }
            arguments.extend(["-q", "fs.img", "32M"]);
            lab.run("mke2fs", &arguments);
            let mut disk = open(&lab.path("fs.img"), &Policy::default()).unwrap();
            let found = Summary::read(&mut *disk, 0).unwrap();
            let dump = lab.run("dumpe2fs", &["-h", "fs.img"]);
            let field = |name: &str| {
                let line = dump.lines().find(|line| line.starts_with(name)).unwrap();
                line.split_once(':').unwrap().1.trim().to_owned()
            };
            assert_eq!(found.blocks.to_string(), field("Block count"), "{options:?}");
            assert_eq!(found.free_blocks.to_string(), field("Free blocks"));
            assert_eq!(found.block_size.to_string(), field("Block size"));
            assert_eq!(found.inodes.to_string(), field("Inode count"));
            assert_eq!(found.free_inodes.to_string(), field("Free inodes"));
            let mounted = field("Last mounted on").replace("<not available>", "");
            assert_eq!(found.last_mounted.unwrap_or_default(), mounted);
            assert_eq!((found.state, field("Filesystem state").as_str()), (ExtState::Clean, "clean"));
            let kind = lab.run("blkid", &["-p", "-o", "value", "-s", "TYPE", "fs.img"]);
            assert_eq!(found.version.name(), kind.trim(), "{options:?}");
        }
    }

    /// debugfs sets what an unclean end leaves behind.
    #[test]
    fn how_it_was_left() {
        for (commands, expected) in [
            (&["feature needs_recovery"][..], ExtState::NeedsRecovery),
            (&["set_super_value state 0"], ExtState::NotClean),
            (&["set_super_value state 3"], ExtState::Errors),
        ] {
            let lab = Lab::new();
            lab.run("mke2fs", &["-q", "-t", "ext4", "fs.img", "16M"]);
            for command in commands {
                lab.run("debugfs", &["-w", "-R", command, "fs.img"]);
            }
            let mut disk = open(&lab.path("fs.img"), &Policy::default()).unwrap();
            assert_eq!(Summary::read(&mut *disk, 0).unwrap().state, expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), LENGTH), shift in 0u8..8) {
            let mut block: [u8; LENGTH] = bytes.try_into().unwrap();
            (block[56], block[57]) = (0x53, 0xef);
            block[24..28].copy_from_slice(&[shift, 0, 0, 0]);
            Summary::parse(&block);
        }
    }
}
