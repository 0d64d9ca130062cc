//! SQLite's file format, as far as reading one table needs it: its b-tree, records, and chains of overflow pages.
//! All numbers are big-endian.

use super::{Budget, Take, slice};

const MAGIC: &[u8] = b"SQLite format 3\0";

/// The header of the file, in front of the first page's.
const FILE_HEADER: usize = 100;

/// Kinds of pages of a table.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

pub(crate) fn blobs(file: &[u8], take: &mut Take<'_>) -> Result<(), String> {
    let database = Database::open(file)?;
    let mut budget = Budget(file.len());
    let mut root = None;
    // type, name, tbl_name, rootpage, sql
    database.rows(1, &mut budget, &mut |row| {
        let columns = columns(row)?;
        if let [Value::Text(b"table"), Value::Text(b"Packages"), _, Value::Number(page), ..] = columns[..] {
            root = u32::try_from(page).ok();
        }
        Ok(())
    })?;
    let root = root.ok_or("it has no table `Packages`")?;
    // hnum, which is the row's number and so not in the row, and the header.
    let mut budget = Budget(file.len());
    database.rows(root, &mut budget, &mut |row| match columns(row)?[..] {
        [_, Value::Blob(blob), ..] => take(blob),
        _ => Err("a row of `Packages` holds no header".to_owned()),
    })
}

struct Database<'a> {
    file: &'a [u8],
    page_size: usize,
    /// Bytes of a page without what is reserved at its end.
    usable: usize,
}

impl<'a> Database<'a> {
    fn open(file: &'a [u8]) -> Result<Self, String> {
        let header = file.get(..FILE_HEADER).filter(|header| header.starts_with(MAGIC));
        let header = header.ok_or("it is no SQLite database")?;
        let page_size = match u16_at(header, 16) {
            Some(1) => 65536,
            Some(size) => usize::from(size),
            None => 0,
        };
        if !page_size.is_power_of_two() || page_size < 512 {
            return Err("the size of its pages is impossible".to_owned());
        }
        // Both ways of writing, with and without a log, give the same file in the end.
        if !matches!(header[19], 1 | 2) {
            return Err("its version is not known".to_owned());
        }
        let usable = page_size - usize::from(header[20]);
        if usable < 480 {
            return Err("too much of its pages is reserved".to_owned());
        }
        Ok(Self { file, page_size, usable })
    }

    /// A page, and where its own header begins. Pages are numbered from 1 on.
    fn page(&self, number: u32) -> Result<(&'a [u8], usize), String> {
        let start = number.checked_sub(1).and_then(|number| usize::try_from(number).ok());
        let page =
            start.and_then(|number| slice(self.file, number.checked_mul(self.page_size)?, self.usable));
        let page = page.ok_or_else(|| format!("page {number} is not in the file"))?;
        Ok((page, if number == 1 { FILE_HEADER } else { 0 }))
    }

    /// Hands each row of a table to `take`, by number.
    fn rows(&self, root: u32, budget: &mut Budget, take: &mut Take<'_>) -> Result<(), String> {
        let mut visited = vec![false; self.file.len() / self.page_size + 1];
        let mut pending = vec![root];
        while let Some(number) = pending.pop() {
            let (page, head) = self.page(number)?;
            let seen = usize::try_from(number).ok().and_then(|number| visited.get_mut(number));
            if seen.is_none_or(|seen| std::mem::replace(seen, true)) {
                return Err(format!("page {number} is part of the table twice"));
            }
            let broken = || format!("page {number} contradicts itself");
            let count = usize::from(u16_at(page, head + 3).ok_or_else(broken)?);
            let cell = |cells: usize, number: usize| u16_at(page, cells + number * 2).map(usize::from);
            match page[head] {
                INTERIOR => {
                    let last = u32_at(page, head + 8).ok_or_else(broken)?;
                    let children = (0..count).map(|number| u32_at(page, cell(head + 12, number)?));
                    let children: Option<Vec<u32>> = children.collect();
                    pending.push(last);
                    pending.extend(children.ok_or_else(broken)?.into_iter().rev());
                    if pending.len() > visited.len() {
                        return Err("its table has more pages than the file".to_owned());
                    }
                }
                LEAF => {
                    for number in 0..count {
                        let at = cell(head + 8, number).ok_or_else(broken)?;
                        take(&self.row(page, at, budget)?)?;
                    }
                }
                _ => return Err(format!("page {number} is not part of a table")),
            }
        }
        Ok(())
    }

    /// The content of the row whose cell begins at `at`: its beginning lies there, the rest in overflow pages.
    fn row(&self, page: &[u8], at: usize, budget: &mut Budget) -> Result<Vec<u8>, String> {
        let broken = || "a row is cut off".to_owned();
        let (length, at) = varint(page, at).ok_or_else(broken)?;
        let (_number, at) = varint(page, at).ok_or_else(broken)?;
        let length = usize::try_from(length).map_err(|_| broken())?;
        budget.take(length)?;
        let here = self.length_in_cell(length);
        let mut row = Vec::with_capacity(length);
        row.extend_from_slice(slice(page, at, here).ok_or_else(broken)?);
        if here == length {
            return Ok(row);
        }
        let mut next = u32_at(page, at + here).ok_or_else(broken)?;
        while row.len() < length {
            let (page, _) = self.page(next)?;
            let part = (length - row.len()).min(self.usable - 4);
            row.extend_from_slice(slice(page, 4, part).ok_or_else(broken)?);
            next = u32_at(page, 0).ok_or_else(broken)?;
        }
        Ok(row)
    }

    /// How much of a row of this length lies in its cell ("B-tree Cell Format" in SQLite's documentation).
    fn length_in_cell(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let filling = least + (length - least) % (self.usable - 4);
        if filling <= most { filling } else { least }
    }
}

/// A value in a row. Floating-point numbers are of no interest here.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Other,
    Number(i64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// The first values of a row: as many as anything here looks at.
fn columns(row: &[u8]) -> Result<Vec<Value<'_>>, String> {
    const WANTED: usize = 5;
    let parse = || {
        let (header, mut at) = varint(row, 0)?;
        let header = usize::try_from(header).ok()?;
        let mut body = header;
        let mut values = Vec::new();
        while at < header && values.len() < WANTED {
            let kind;
            (kind, at) = varint(row, at)?;
            let length = match kind {
                0 | 8 | 9 => 0,
                1..=4 => usize::try_from(kind).ok()?,
                5 => 6,
                6 | 7 => 8,
                10 | 11 => return None,
                _ => usize::try_from((kind - 12) / 2).ok()?,
            };
            let bytes = slice(row, body, length)?;
            body += length;
            values.push(match kind {
                1..=6 => Value::Number(number(bytes)),
                8 => Value::Number(0),
                9 => Value::Number(1),
                12.. if kind % 2 == 0 => Value::Blob(bytes),
                12.. => Value::Text(bytes),
                _ => Value::Other,
            });
        }
        Some(values)
    };
    parse().ok_or_else(|| "a row contradicts itself".to_owned())
}

/// A signed number of one to eight bytes.
fn number(bytes: &[u8]) -> i64 {
    let first = bytes.first().map_or(0, |byte| i64::from(byte.cast_signed()));
    bytes.iter().skip(1).fold(first, |number, byte| number << 8 | i64::from(*byte))
}

/// A number of one to nine bytes, seven bits in each and eight in the ninth; and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for number in 0..9 {
        let byte = *bytes.get(at.checked_add(number)?)?;
        if number == 8 {
            return Some((value << 8 | u64::from(byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + number + 1));
        }
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (bytes, expected) in [
            (&[0x7f][..], Some((0x7f, 1))),
            (&[0x81, 0x00], Some((0x80, 2))),
            (&[0xff; 9], Some((u64::MAX, 9))),
            (&[0x80; 8], None),
            (&[], None),
        ] {
            assert_eq!(varint(bytes, 0), expected, "{bytes:?}");
        }
        assert_eq!(number(&[0xff]), -1);
        assert_eq!(number(&[0x01, 0x00]), 256);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0]), i64::MIN);
    }
}
