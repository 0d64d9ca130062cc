//! LVM: the logical volumes of the physical ones on a disk.
//!
//! Own code: the crate `lvm2` (0.0.3) looks for the label in one place, checks no checksum, knows one physical volume, and
//! panics on metadata that contradicts itself.

#[cfg(any(test, fuzzing, debug_assertions))]
mod any;
mod group;
mod label;
mod linear;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub use any::any_lvm;
use group::Group;
use label::Label;
pub(super) use linear::{Map, view};

use super::DiskError;
use super::partition::{self, Kind, Partition};
use crate::block::{Shared, lock};
use crate::filesystem::FileSystemKind;
use crate::filesystem::usage;
use crate::shown::escape;

/// Logical volumes of a disk that are looked at.
const MAX_VOLUMES: usize = 1000;

/// A logical volume.
#[derive(Debug, Clone)]
pub(super) struct LogicalVolume {
    /// Name of its volume group.
    pub(super) group: String,
    /// Its own name.
    pub(super) name: String,
    /// Its identity, as LVM writes it.
    pub(super) id: String,
    /// Its identity for the device mapper: `LVM-`, and behind it that of its group and its own.
    pub(super) mapper_id: String,
    /// Bytes it has.
    pub(super) size: u64,
    /// How it is laid out, in LVM's words: `linear`, `thin`, `raid1`, …
    pub(super) kind: String,
    /// Numbers of the partitions it lies in, where that is known.
    pub(super) partitions: Vec<u32>,
    /// Where its bytes lie, or why tib does not know, as the end of a sentence that begins with its name.
    pub(super) map: Result<Arc<Map>, String>,
}

impl LogicalVolume {
    /// The volume as a partition that is all of a disk.
    pub(super) fn as_partition(&self) -> Partition {
        Partition { number: 0, start: 0, length: self.size, kind: Kind::Disk, label: None, id: None }
    }
}

impl std::fmt::Display for LogicalVolume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the logical volume {}/{}", escape(&self.group), escape(&self.name))
    }
}

/// A physical volume of this disk.
struct Physical {
    number: u32,
    start: u64,
    length: u64,
}

/// The logical volumes of the physical volumes that lie in these partitions, by group and in the order of their names.
///
/// # Errors
/// [`DiskError::Damaged`] for metadata that is not whole or contradicts itself, or when a physical volume has lost its end.
pub(super) fn find(disk: &Shared, partitions: &[&Partition]) -> Result<Vec<LogicalVolume>, DiskError> {
    let mut physical: BTreeMap<String, Physical> = BTreeMap::new();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let (mut damage, mut left) = (Vec::new(), label::MAX_TEXTS);
    for Partition { number, start, length, .. } in partitions.iter().copied() {
        let mut window = label::window(disk, *start, *length);
        let Some(label) = Label::read(&mut window)? else {
            let place = partition::place(*number);
            return Err(DiskError::Damaged(format!(
                "the label of LVM's physical volume in {place} is not whole"
            )));
        };
        let place = partition::place(*number);
        usage::check_size(&mut **lock(disk), FileSystemKind::Lvm, &place, *start, *length)?;
        match label.metadata(&mut window, &mut left) {
            Ok(Some(text)) => {
                let group = Group::parse(&text)?;
                // Where a physical volume was away, it has older metadata.
                let known = groups.get(&group.id);
                if known.is_none_or(|known| known.number < group.number) {
                    groups.insert(group.id.clone(), group);
                }
            }
            Ok(None) => {}
            Err(error @ DiskError::Damaged(_)) => damage.push((label.id.clone(), error)),
            Err(error) => return Err(error),
        }
        let new = Physical { number: *number, start: *start, length: *length };
        if let Some(other) = physical.insert(label.id, new) {
            let numbers = format!("partitions {} and {number}", other.number);
            return Err(DiskError::Unsupported(format!(
                "{numbers} are the same physical volume of LVM, twice"
            )));
        }
    }
    // Another physical volume may tell what this one could not.
    let is_known = |id: &String| groups.values().any(|group| group.has(id));
    if let Some((_, damage)) = damage.into_iter().find(|(id, _)| !is_known(id)) {
        return Err(damage);
    }
    let mut volumes = Vec::new();
    for group in groups.values() {
        let is_twice = groups.values().filter(|other| other.name == group.name).count() > 1;
        for mut volume in group.volumes(&physical)? {
            if is_twice {
                volume.map = Err(" is in one of two volume groups of the same name".to_owned());
            }
            volumes.push(volume);
        }
    }
    if volumes.len() > MAX_VOLUMES {
        let reason = format!("the disk has more than {MAX_VOLUMES} logical volumes");
        return Err(DiskError::Unsupported(reason));
    }
    volumes.sort_by(|one, other| (&one.group, &one.name).cmp(&(&other.group, &other.name)));
    Ok(volumes)
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
