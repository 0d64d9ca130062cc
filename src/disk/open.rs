//! Opening images that have passed the gate, with `qcow2-rs` or with tib's own reader.

use std::path::Path;
use std::sync::Arc;

use super::gate::{ChainFile, Content, Policy, chain, empty, io};
use super::library::{self, Library};
use super::qcow2::Qcow2;
use super::raw::Raw;
use super::{BlockRead, DiskError};

/// Level-2 entries that are looked through before an image is read: 256 GiB of 64 KiB clusters.
const AUDIT_ENTRIES: u64 = 4 << 20;

/// Opens an image, through the gate, as the virtual disk it holds.
///
/// `qcow2-rs` reads what it reads right (version 3, nothing compressed); tib's own reader the rest.
///
/// # Errors
/// As [`gate()`](super::gate()).
pub fn open(path: &Path, policy: &Policy) -> Result<Box<dyn BlockRead>, DiskError> {
    disk(&chain(path, policy)?)
}

/// The virtual disk of a chain that has passed the gate.
pub(super) fn disk(chain: &[ChainFile]) -> Result<Box<dyn BlockRead>, DiskError> {
    if library::can_read(chain)
        && tables_are_plain(chain)?
        && let Some(map) = own_qcow2(chain)?
    {
        return Ok(Box::new(Library::new(chain, map)?));
    }
    own(chain)
}

/// Opens an image with tib's own reader alone, whatever it is.
///
/// # Errors
/// As [`gate()`](super::gate()).
pub fn open_own(path: &Path, policy: &Policy) -> Result<Box<dyn BlockRead>, DiskError> {
    own(&chain(path, policy)?)
}

pub(super) fn tables_are_plain(chain: &[ChainFile]) -> Result<bool, DiskError> {
    for layer in chain {
        match own_qcow2(std::slice::from_ref(layer))? {
            Some(reader) if reader.tables_are_plain(AUDIT_ENTRIES)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn own(chain: &[ChainFile]) -> Result<Box<dyn BlockRead>, DiskError> {
    if let Some(qcow2) = own_qcow2(chain)? {
        return Ok(Box::new(qcow2));
    }
    let [layer, ..] = chain else { return Err(empty()) };
    let file = layer.file.try_clone().map_err(|source| io("open", &layer.path, source))?;
    Ok(Box::new(Raw::new(file, &layer.path, layer.file_size)))
}

/// tib's own reader of a chain, if its top is qcow2.
fn own_qcow2(chain: &[ChainFile]) -> Result<Option<Qcow2>, DiskError> {
    let Some((top, behind)) = chain.split_first() else { return Ok(None) };
    let Content::Qcow2(header) = &top.content else { return Ok(None) };
    let backing = if behind.is_empty() { None } else { Some(own(behind)?) };
    let qcow2 = Qcow2::new(Arc::clone(&top.file), &top.path, top.file_size, header.clone(), backing)?;
    qcow2.check_overlaps(AUDIT_ENTRIES)?;
    Ok(Some(qcow2))
}
