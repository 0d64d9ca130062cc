//! The B-trees, all in one room of addresses.

use std::collections::HashMap;
use std::sync::Arc;

use super::chunks::{CHUNK, Chunks};
use super::node::{Key, Node};
use super::superblock::{self, Root, Superblock, damaged};
use crate::block::DiskError;
use crate::block::window::Window;

/// Bytes of tree blocks kept in memory.
const KEEP: usize = 8 << 20;

/// A device with trees on it.
pub(super) struct Forest {
    window: Window,
    pub(super) superblock: Arc<Superblock>,
    chunks: Arc<Chunks>,
    /// Blocks by address, each with the time of its last use.
    nodes: HashMap<u64, (u64, Arc<Node>)>,
    /// Counts uses.
    clock: u64,
}

/// An item of a leaf.
pub(super) struct Item {
    leaf: Arc<Node>,
    index: usize,
}

impl Item {
    pub(super) fn key(&self) -> Key {
        self.leaf.key(self.index)
    }

    pub(super) fn data(&self) -> &[u8] {
        self.leaf.data(self.index)
    }
}

impl Forest {
    /// Finds the trees of a device. `check` says whether checksums are looked at.
    pub(super) fn open(mut window: Window, check: bool) -> Result<Self, DiskError> {
        let mut bytes = [0; superblock::LENGTH];
        window.read_exact(superblock::OFFSET, &mut bytes)?;
        let superblock = Superblock::parse(&bytes, window.length, check)?;
        let chunks = Chunks::of_superblock(&superblock)?;
        let mut forest = Self::new(window, Arc::new(superblock), Arc::new(chunks));
        // The tree of chunks holds those of the superblock too.
        let (superblock, mut chunks) = (Arc::clone(&forest.superblock), Chunks::default());
        forest.each(superblock.chunk_root, Key::MIN, Key::MAX, |key, data| match key.kind {
            CHUNK => chunks.add(&superblock, key.offset, data),
            _ => Ok(()),
        })?;
        forest.chunks = Arc::new(chunks.sorted()?);
        Ok(forest)
    }

    fn new(window: Window, superblock: Arc<Superblock>, chunks: Arc<Chunks>) -> Self {
        Self { window, superblock, chunks, nodes: HashMap::new(), clock: 0 }
    }

    /// The same on a fork of the disk.
    pub(super) fn on(&self, disk: &crate::block::Shared) -> Self {
        Self::new(self.window.on(disk), Arc::clone(&self.superblock), Arc::clone(&self.chunks))
    }

    /// Where the copies of `length` bytes at an address are.
    pub(super) fn places(&self, at: u64, length: u64) -> Result<Vec<u64>, DiskError> {
        self.chunks.places(at, length).ok_or_else(|| damaged("uses addresses that are in no chunk"))
    }

    /// Reads bytes of the device itself.
    pub(super) fn read_exact(&mut self, place: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.window.read_exact(place, buffer)
    }

    fn node(&mut self, root: Root) -> Result<Arc<Node>, DiskError> {
        self.clock += 1;
        if let Some((used, node)) = self.nodes.get_mut(&root.at) {
            *used = self.clock;
            // Another path may have led here before.
            if node.level != root.level || node.generation != root.generation {
                return Err(damaged("has a tree block in two places of its trees"));
            }
            return Ok(Arc::clone(node));
        }
        let node = Arc::new(self.read_node(root)?);
        if self.nodes.len() >= KEEP / self.superblock.node_size {
            self.forget_half();
        }
        self.nodes.insert(root.at, (self.clock, Arc::clone(&node)));
        Ok(node)
    }

    fn read_node(&mut self, root: Root) -> Result<Node, DiskError> {
        let size = self.superblock.node_size;
        let mut fault = "is in no chunk";
        for place in self.places(root.at, size as u64)? {
            let mut bytes = vec![0; size];
            self.window.read_exact(place, &mut bytes)?;
            match Node::parse(&self.superblock, root, bytes) {
                Ok(node) => return Ok(node),
                // There may be another copy.
                Err(what) => fault = what,
            }
        }
        Err(damaged(&format!("has a tree block at {:#x} that {fault}", root.at)))
    }

    /// Forgets the blocks whose last use is longest ago.
    fn forget_half(&mut self) {
        let mut uses: Vec<u64> = self.nodes.values().map(|(used, _)| *used).collect();
        let middle = uses.len() / 2;
        let (_, median, _) = uses.select_nth_unstable(middle);
        self.nodes.retain(|_, (used, _)| *used > *median);
    }

    /// The leaf in which a key is, or would be, and the first key of the one behind it.
    fn leaf(&mut self, root: Root, key: Key) -> Result<(Arc<Node>, Option<Key>), DiskError> {
        let mut node = self.node(root)?;
        let mut limit = None;
        // Each is a level nearer to the leaves than the one before, so this ends.
        while node.level > 0 {
            let index = node.before(key, true).saturating_sub(1);
            if index + 1 < node.count {
                limit = Some(node.key(index + 1));
            }
            let child = self.node(node.child(index))?;
            let last = child.count.checked_sub(1).map(|last| child.key(last));
            let is_within = last.is_some_and(|last| limit.is_none_or(|limit| last < limit));
            if !is_within || child.key(0) != node.key(index) {
                return Err(damaged("has a tree whose branches hold each other's keys"));
            }
            node = child;
        }
        Ok((node, limit))
    }

    /// The item with this very key.
    pub(super) fn get(&mut self, root: Root, key: Key) -> Result<Option<Item>, DiskError> {
        Ok(self.at_or_before(root, key)?.filter(|item| item.key() == key))
    }

    /// The last item up to a key.
    pub(super) fn at_or_before(&mut self, root: Root, key: Key) -> Result<Option<Item>, DiskError> {
        let (leaf, _) = self.leaf(root, key)?;
        Ok(leaf.before(key, true).checked_sub(1).map(|index| Item { leaf, index }))
    }

    /// The first item from a key on.
    pub(super) fn at_or_after(&mut self, root: Root, key: Key) -> Result<Option<Item>, DiskError> {
        let (mut leaf, limit) = self.leaf(root, key)?;
        let mut index = leaf.before(key, false);
        if let Some(next) = limit.filter(|_| index == leaf.count) {
            (leaf, _) = self.leaf(root, next)?;
            index = leaf.before(next, false);
        }
        Ok((index < leaf.count).then_some(Item { leaf, index }))
    }

    /// Hands all items from one key to another, both included, to `take`, in order.
    pub(super) fn each(
        &mut self,
        root: Root,
        from: Key,
        to: Key,
        mut take: impl FnMut(Key, &[u8]) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let mut from = from;
        loop {
            let (leaf, limit) = self.leaf(root, from)?;
            for index in leaf.before(from, false)..leaf.count {
                let key = leaf.key(index);
                if key > to {
                    return Ok(());
                }
                take(key, leaf.data(index))?;
            }
            // Keys only ever grow, so no block of the tree comes twice.
            match limit.filter(|limit| *limit <= to) {
                Some(limit) => from = limit,
                None => return Ok(()),
            }
        }
    }
}
