//! Extended attributes (`fs/xfs/libxfs/xfs_da_format.h` in Linux): in the inode, in a block, or in blocks below a tree of
//! hashes. Long values have blocks of their own.

use std::collections::HashSet;

use super::marks::{ATTRIBUTES, REMOTE, damaged};
use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::{be16, be32};
use crate::block::window::Window;
use crate::filesystem::Xattr;
use crate::filesystem::runs::Run;

/// Longest value, as in Linux (`XATTR_SIZE_MAX`).
const MAX_VALUE: usize = 65536;
/// Bytes of names and values that one inode may have.
const MAX_BYTES: usize = 64 << 20;
/// Levels of nodes above the leaves, as in Linux.
const MAX_DEPTH: usize = 5;
/// Blocks of the tree and of attributes, in versions 4 and 5: what is at byte 8, and bytes before the entries.
const NODE: [(u16, usize); 2] = [(0xfebe, 16), (0x3ebe, 64)];
const LEAF: [(u16, usize); 2] = [(0xfbee, 32), (0x3bee, 80)];
/// Where both have the number of their entries. The level of a node follows.
const COUNT: [usize; 2] = [12, 56];
/// What blocks of long values begin with in version 5, and bytes before the value.
const VALUE: u32 = 0x5841_524d;
const VALUE_HEADER: usize = 56;
/// The value lies beside the name.
const BESIDE: u8 = 0x1;
const TRUSTED: u8 = 0x2;
const SECURITY: u8 = 0x4;
/// A link to a parent, which is no attribute to anybody.
const PARENT: u8 = 0x8;
/// It was being written when the machine stopped: Linux does not show it.
const INCOMPLETE: u8 = 0x80;
/// Access control lists, and the names that Linux shows them by as well.
const LISTS: [(&[u8], &[u8]); 2] =
    [(b"SGI_ACL_FILE", b"system.posix_acl_access"), (b"SGI_ACL_DEFAULT", b"system.posix_acl_default")];

/// Reads attributes of one inode.
pub(super) struct Reader<'a> {
    pub(super) window: &'a mut Window,
    pub(super) superblock: &'a Superblock,
    pub(super) inode: u64,
    /// Where the blocks of attributes are.
    pub(super) runs: &'a [Run],
    /// Blocks of the tree that have been read. None may be used twice.
    seen: HashSet<u64>,
    found: Vec<Xattr>,
    bytes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        window: &'a mut Window,
        superblock: &'a Superblock,
        inode: u64,
        runs: &'a [Run],
    ) -> Self {
        Self { window, superblock, inode, runs, seen: HashSet::new(), found: Vec::new(), bytes: 0 }
    }

    /// What was found, sorted by name.
    pub(super) fn into_inner(mut self) -> Vec<Xattr> {
        self.found.sort_unstable();
        self.found
    }

    fn fault(&self, what: &str) -> DiskError {
        damaged(self.inode, what)
    }

    /// Adds what lies in the inode itself.
    pub(super) fn add_local(&mut self, fork: &[u8]) -> Result<(), DiskError> {
        let inode = self.inode;
        let fault = || damaged(inode, "has attributes outside their place");
        let list = fork.get(4..usize::from(be16(fork, 0))).ok_or_else(fault)?;
        let mut rest = list;
        for _ in 0..fork[2] {
            let [name, value, flags, ..] = *rest else { return Err(fault()) };
            let (name, value) = (usize::from(name), usize::from(value));
            let (both, after) = rest[3..].split_at_checked(name + value).ok_or_else(fault)?;
            rest = after;
            self.add(flags, &both[..name], both[name..].to_vec())?;
        }
        Ok(())
    }

    /// Adds what lies in blocks.
    pub(super) fn add_blocks(&mut self) -> Result<(), DiskError> {
        self.add_below(0, MAX_DEPTH, None)
    }

    /// Adds what lies in a block or below it. `level` is what a node has to say about itself, where that is known; leaves
    /// are at 0.
    fn add_below(&mut self, logical: u64, depth: usize, level: Option<u16>) -> Result<(), DiskError> {
        if !self.seen.insert(logical) {
            return Err(self.fault("has a tree of attributes that leads in a circle"));
        }
        let (block, at) = self.block(logical)?;
        let version = usize::from(self.superblock.has_checksums);
        let ((node, nodes), (leaf, leaves)) = (NODE[version], LEAF[version]);
        match be16(&block, 8) {
            magic if magic == leaf && matches!(level, None | Some(0)) => {
                ATTRIBUTES.check(self.superblock, self.inode, &block, at, "has a block of attributes")?;
                self.add_leaf(&block, leaves)
            }
            magic if magic == node && level != Some(0) && depth > 0 => {
                ATTRIBUTES.check(self.superblock, self.inode, &block, at, "has a tree of attributes")?;
                let (count, own) = (be16(&block, COUNT[version]), be16(&block, COUNT[version] + 2));
                if own == 0 || level.is_some_and(|level| level != own) {
                    return Err(self.fault("has a tree of attributes of an impossible height"));
                }
                let entries = block.get(nodes..nodes + 8 * usize::from(count));
                let entries =
                    entries.ok_or_else(|| self.fault("has a tree of attributes that is cut off"))?;
                for entry in entries.as_chunks::<8>().0 {
                    self.add_below(be32(entry, 4).into(), depth - 1, Some(own - 1))?;
                }
                Ok(())
            }
            _ => Err(self.fault("has a block of attributes with something else in it")),
        }
    }

    fn add_leaf(&mut self, block: &[u8], start: usize) -> Result<(), DiskError> {
        let inode = self.inode;
        let fault = || damaged(inode, "has attributes outside their place");
        let count = usize::from(be16(block, COUNT[usize::from(self.superblock.has_checksums)]));
        let entries = block.get(start..start + 8 * count).ok_or_else(fault)?;
        for entry in entries.as_chunks::<8>().0 {
            let flags = entry[6];
            if flags & (INCOMPLETE | PARENT) != 0 {
                continue;
            }
            let item = block.get(usize::from(be16(entry, 4))..).unwrap_or_default();
            let header = if flags & BESIDE != 0 { 3 } else { 9 };
            let length = usize::from(item.get(header - 1).copied().unwrap_or_default());
            let name = item.get(header..header + length).ok_or_else(fault)?;
            let value = if flags & BESIDE != 0 {
                let value = item.get(3 + length..3 + length + usize::from(be16(item, 0)));
                value.ok_or_else(fault)?.to_vec()
            } else {
                self.value(be32(item, 0).into(), be32(item, 4) as usize)?
            };
            self.add(flags, name, value)?;
        }
        Ok(())
    }

    /// A value of `length` bytes that has blocks of its own, from `logical` on.
    fn value(&mut self, logical: u64, length: usize) -> Result<Vec<u8>, DiskError> {
        if length > MAX_VALUE {
            return Err(self.fault("has an attribute that is too long"));
        }
        let mut value = Vec::with_capacity(length);
        let mut next = logical;
        while value.len() < length {
            let (block, at) = self.block(next)?;
            next += 1;
            let left = length - value.len();
            if !self.superblock.has_checksums {
                value.extend_from_slice(&block[..left.min(block.len())]);
                continue;
            }
            REMOTE.check(self.superblock, self.inode, &block, at, "has an attribute")?;
            let here = left.min(block.len() - VALUE_HEADER);
            let (offset, bytes) = (be32(&block, 4) as usize, be32(&block, 8) as usize);
            if be32(&block, 0) != VALUE || offset != value.len() || bytes != here {
                return Err(self.fault("has an attribute whose value is somewhere else"));
            }
            value.extend_from_slice(&block[VALUE_HEADER..VALUE_HEADER + here]);
        }
        Ok(value)
    }

    /// A block of the attributes, and where it lies, in bytes.
    fn block(&mut self, logical: u64) -> Result<(Vec<u8>, u64), DiskError> {
        let index = self.runs.partition_point(|run| run.logical + run.length <= logical);
        let run = self.runs.get(index).filter(|run| run.logical <= logical);
        let run = run.ok_or_else(|| self.fault("has attributes that lead nowhere"))?;
        let at = (run.physical + (logical - run.logical)) << self.superblock.block_log;
        let mut block = vec![0; self.superblock.block_size as usize];
        self.window.read_exact(at, &mut block)?;
        Ok((block, at))
    }

    fn add(&mut self, flags: u8, name: &[u8], value: Vec<u8>) -> Result<(), DiskError> {
        if flags & (INCOMPLETE | PARENT) != 0 {
            return Ok(());
        }
        if name.is_empty() {
            return Err(self.fault("has an attribute without a name"));
        }
        self.bytes += name.len() + value.len() + size_of::<Xattr>();
        if self.bytes > MAX_BYTES {
            return Err(self.fault("has more attributes than tib reads"));
        }
        let prefix: &[u8] = match flags & (TRUSTED | SECURITY) {
            0 => b"user.",
            SECURITY => b"security.",
            _ => b"trusted.",
        };
        let list = LISTS.iter().find(|(stored, _)| flags & TRUSTED != 0 && *stored == name);
        if let Some((_, shown)) = list {
            let value = shown_list(&value)
                .ok_or_else(|| self.fault("has an access control list of no known form"))?;
            self.found.push(Xattr { name: shown.to_vec(), value });
        }
        self.found.push(Xattr { name: [prefix, name].concat(), value });
        Ok(())
    }
}

/// An access control list in the form that `getxattr` gives (Linux, `posix_acl_xattr.h`); `None` if it is none.
pub(super) fn shown_list(stored: &[u8]) -> Option<Vec<u8>> {
    const NOBODY: u32 = u32::MAX;
    let (count, entries) = stored.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    let mut shown = 2u32.to_le_bytes().to_vec();
    for entry in entries.get(..count.checked_mul(12)?)?.as_chunks::<12>().0 {
        let (tag, permissions) = (u16::try_from(be32(entry, 0)).ok()?, be16(entry, 8));
        // Only entries for a certain user or group carry an id.
        let id = match tag {
            0x02 | 0x08 => be32(entry, 4),
            0x01 | 0x04 | 0x10 | 0x20 => NOBODY,
            _ => return None,
        };
        shown.extend_from_slice(&tag.to_le_bytes());
        shown.extend_from_slice(&permissions.to_le_bytes());
        shown.extend_from_slice(&id.to_le_bytes());
    }
    Some(shown)
}
