//! A hash of Berkeley DB, `Packages`: pages of pairs, key and value, in no order. A value that is longer than a page
//! lies in a chain of pages of its own.

use super::{Budget, Take, slice};

const MAGIC: u32 = 0x0006_1561;
const PAGE_HEAD: usize = 26;

/// Kinds of pages.
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH_META: u8 = 8;
const HASH: u8 = 13;

/// Kinds of items.
const INLINE: u8 = 1;
const OFF_PAGE: u8 = 3;

pub(crate) fn blobs(file: &[u8], take: &mut Take<'_>) -> Result<(), String> {
    let pages = Pages::open(file)?;
    let mut budget = Budget(file.len());
    for number in 1..=pages.last {
        let page = pages.page(number)?;
        if !matches!(page[25], HASH | HASH_UNSORTED) {
            continue;
        }
        let broken = || format!("page {number} contradicts itself");
        let count = usize::from(pages.u16_at(page, 20).ok_or_else(broken)?);
        for pair in 0..count / 2 {
            let key = pages.item(page, pair * 2).ok_or_else(broken)?;
            // Package 0 is none: it holds the highest number.
            if key == [INLINE, 0, 0, 0, 0] {
                continue;
            }
            let value = pages.item(page, pair * 2 + 1).ok_or_else(broken)?;
            match value.first() {
                Some(&INLINE) => {
                    budget.take(value.len())?;
                    take(&value[1..])?;
                }
                Some(&OFF_PAGE) => take(&pages.long_value(value, &mut budget)?)?,
                _ => return Err(broken()),
            }
        }
    }
    Ok(())
}

struct Pages<'a> {
    file: &'a [u8],
    size: usize,
    last: u32,
    little: bool,
}

impl<'a> Pages<'a> {
    fn open(file: &'a [u8]) -> Result<Self, String> {
        let no_hash = || "it is no hash of Berkeley DB".to_owned();
        let magic: [u8; 4] =
            slice(file, 12, 4).and_then(|magic| magic.try_into().ok()).ok_or_else(no_hash)?;
        let little = u32::from_le_bytes(magic) == MAGIC;
        if !little && u32::from_be_bytes(magic) != MAGIC || file.get(25) != Some(&HASH_META) {
            return Err(no_hash());
        }
        if file.get(24) != Some(&0) {
            return Err("it is encrypted".to_owned());
        }
        let mut pages = Self { file, size: 0, last: 0, little };
        let size = pages.u32_at(file, 20).and_then(|size| usize::try_from(size).ok());
        pages.size = size
            .filter(|size| size.is_power_of_two() && (512..=65536).contains(size))
            .ok_or("the size of its pages is impossible")?;
        pages.last = pages.u32_at(file, 32).ok_or_else(no_hash)?;
        if u64::from(pages.last) >= (file.len() / pages.size) as u64 {
            return Err("it is cut off".to_owned());
        }
        Ok(pages)
    }

    fn page(&self, number: u32) -> Result<&'a [u8], String> {
        let start = usize::try_from(number).ok().and_then(|number| number.checked_mul(self.size));
        start
            .and_then(|start| slice(self.file, start, self.size))
            .ok_or_else(|| format!("page {number} lies behind the end"))
    }

    /// An item of a page, with its kind in front. Items fill the page from its end.
    fn item(&self, page: &'a [u8], number: usize) -> Option<&'a [u8]> {
        let offset = |number: usize| self.u16_at(page, PAGE_HEAD + number * 2).map(usize::from);
        let end = match number.checked_sub(1) {
            Some(before) => offset(before)?,
            None => self.size,
        };
        page.get(offset(number)?..end).filter(|item| !item.is_empty())
    }

    /// A value in pages of its own: `value` says which is the first, and how long it is.
    fn long_value(&self, value: &[u8], budget: &mut Budget) -> Result<Vec<u8>, String> {
        let cut = || "a package is cut off".to_owned();
        let mut number = self.u32_at(value, 4).ok_or_else(cut)?;
        let length = self.u32_at(value, 8).and_then(|length| usize::try_from(length).ok()).ok_or_else(cut)?;
        budget.take(length)?;
        let mut content = Vec::with_capacity(length);
        while content.len() < length {
            let page = self.page(number)?;
            let part = usize::from(self.u16_at(page, 22).ok_or_else(cut)?).min(length - content.len());
            let part = slice(page, PAGE_HEAD, part).filter(|part| !part.is_empty() && page[25] == OVERFLOW);
            content.extend_from_slice(part.ok_or_else(cut)?);
            number = self.u32_at(page, 16).ok_or_else(cut)?;
        }
        Ok(content)
    }

    fn u16_at(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}
