//! RPM's own database, `Packages.db`: pages of slots, each of which leads to a blob in blocks behind them. All
//! numbers are little-endian.

use super::{Budget, Take, slice};

const PAGE: usize = 4096;
const SLOT: usize = 16;
const BLOCK: usize = 16;

/// As long as two slots, in the place of the first two.
const HEADER: usize = 32;
const BLOB_HEAD: usize = 16;
const BLOB_TAIL: usize = 12;

pub(crate) fn blobs(file: &[u8], take: &mut Take<'_>) -> Result<(), String> {
    if !file.starts_with(b"RpmP") {
        return Err("it is no database of RPM's own form".to_owned());
    }
    if u32_at(file, 4) != Some(0) {
        return Err("its version is not known".to_owned());
    }
    let pages = u32_at(file, 12).and_then(|pages| usize::try_from(pages).ok());
    let slots = pages.and_then(|pages| file.get(HEADER..pages.checked_mul(PAGE)?));
    let slots = slots.ok_or("its slots are cut off")?;
    let mut budget = Budget(file.len());
    for slot in slots.chunks_exact(SLOT) {
        let field = |number: usize| u32_at(slot, number * 4).unwrap_or_default();
        let (number, first, count) = (field(1), field(2), field(3));
        if !slot.starts_with(b"Slot") {
            return Err("a slot does not begin as one".to_owned());
        }
        if first == 0 {
            continue;
        }
        let blob = blob(file, number, first, count)
            .ok_or_else(|| format!("package {number} is not where its slot says"))?;
        budget.take(blob.len())?;
        take(blob)?;
    }
    Ok(())
}

/// The content of a blob: behind its head, and before a tail that ends with the last block.
fn blob(file: &[u8], number: u32, first: u32, count: u32) -> Option<&[u8]> {
    let blocks = |count: u32| usize::try_from(count).ok()?.checked_mul(BLOCK);
    let whole = slice(file, blocks(first)?, blocks(count)?)?;
    let tail = whole.get(whole.len().checked_sub(BLOB_TAIL)?..)?;
    let length = usize::try_from(u32_at(whole, 12)?).ok()?;
    let sound = whole.starts_with(b"BlbS")
        && tail.ends_with(b"BlbE")
        && u32_at(whole, 4) == Some(number)
        && u32_at(tail, 4).map(usize::try_from) == Some(Ok(length));
    let content = slice(whole, BLOB_HEAD, length)?;
    (sound && BLOB_HEAD + length + BLOB_TAIL <= whole.len()).then_some(content)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
