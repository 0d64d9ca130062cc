//! Entries, one after another, and their fields.

use std::borrow::Cow;

use super::object::{DATA, Damage, ENTRY, ENTRY_ARRAY, HEAD, Object, Problems, u32_at, u64_at};
use super::{Header, JournalError, compress};

/// The most fields of an entry; journald itself takes no more.
const FIELDS_LIMIT: usize = 1024;

/// The most bytes of an entry's fields together.
const ENTRY_LIMIT: usize = 64 << 20;

/// The most bytes of fields that one file may give, and what looking at a field counts for: entries can share fields,
/// so that a small file could go on for days.
const PAYLOAD_BUDGET: u64 = 8 << 30;
const FIELD_COST: u64 = 32;

/// One message, with what journald noted about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry<'a> {
    /// Its number among all entries of files with the same [`Header::seqnum_id`].
    pub seqnum: u64,
    /// When journald took it, in microseconds since 1970.
    pub realtime: u64,
    /// The same, in microseconds since that boot.
    pub monotonic: u64,
    /// The boot.
    pub boot_id: [u8; 16],
    /// Where its fields are.
    items: &'a [u8],
}

/// A field of an entry: `NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    payload: Cow<'a, [u8]>,
    equals: usize,
}

impl Field<'_> {
    /// Its name, such as `MESSAGE`.
    pub fn name(&self) -> &[u8] {
        &self.payload[..self.equals]
    }

    /// Its value: any bytes.
    pub fn value(&self) -> &[u8] {
        &self.payload[self.equals + 1..]
    }
}

/// How entries are found.
#[derive(Debug)]
enum Way {
    /// Along the chain of arrays: the array, the next item in it, and how many items are left in all.
    Chain {
        array: u64,
        item: usize,
        left: u64,
    },
    /// The chain is damaged: from object to object.
    Objects {
        at: u64,
    },
    End,
}

/// Reads a journal file, in the order in which it was written.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a [u8],
    header: Header,
    way: Way,
    /// Where the last entry was. Entries only ever follow each other.
    last: u64,
    budget: u64,
    problems: Problems,
}

impl<'a> Reader<'a> {
    /// Begins to read a file.
    ///
    /// # Errors
    /// [`JournalError`]. Damage behind the header is told by [`problems`](Self::problems) instead.
    pub fn new(file: &'a [u8]) -> Result<Self, JournalError> {
        let header = Header::parse(file)?;
        let mut problems = Problems::default();
        if (file.len() as u64) < header.size {
            problems.add(format!("it has {} bytes instead of {}", file.len(), header.size));
        }
        let way = Way::Chain { array: header.entry_array, item: 0, left: header.entries };
        Ok(Self { file, header, way, last: 0, budget: PAYLOAD_BUDGET, problems })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What could not be read so far.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// The fields of an entry, in the order in which the file has them. What cannot be read is left out, and told
    /// by [`problems`](Self::problems).
    pub fn fields(&mut self, entry: &JournalEntry<'a>) -> Vec<Field<'a>> {
        let mut fields = Vec::new();
        let mut room = ENTRY_LIMIT;
        let size = if self.header.compact { 4 } else { 16 };
        let items = entry.items.chunks_exact(size);
        if items.len() > FIELDS_LIMIT {
            self.problems.add(format!("an entry has {} fields", items.len()));
        }
        for item in items.take(FIELDS_LIMIT) {
            let Some(budget) = self.budget.checked_sub(FIELD_COST) else {
                self.problems.add("its fields together are too large");
                break;
            };
            self.budget = budget;
            match self.field(item, room) {
                Ok(field) => {
                    room -= field.payload.len();
                    fields.push(field);
                }
                Err(damage) => self.problems.add(damage),
            }
        }
        fields
    }

    fn field(&mut self, item: &[u8], room: usize) -> Result<Field<'a>, Damage> {
        let offset = self.offset(item, 0).ok_or("an entry is cut off")?;
        let object = Object::of(self.file, self.header.header_size, offset, DATA)?;
        let start = if self.header.compact { 72 } else { 64 };
        let payload =
            object.bytes.get(start..).ok_or_else(|| format!("the field at {offset:#x} is cut off"))?;
        let room = room.min(usize::try_from(self.budget).unwrap_or(usize::MAX));
        let payload = if compress::is_packed(object.flags) {
            let mut spent = 0;
            let unpacked = compress::unpack(object.flags, payload, room, &mut spent);
            self.budget = self.budget.saturating_sub(spent);
            Cow::Owned(unpacked?)
        } else if payload.len() <= room {
            self.budget -= payload.len() as u64;
            Cow::Borrowed(payload)
        } else {
            return Err(format!("the field at {offset:#x} is too large"));
        };
        match payload.iter().position(|&byte| byte == b'=') {
            Some(equals) => Ok(Field { payload, equals }),
            None => Err(format!("the field at {offset:#x} has no name")),
        }
    }

    /// The offset at place `number` of a list.
    fn offset(&self, items: &[u8], number: usize) -> Option<u64> {
        if self.header.compact {
            u32_at(items, number.checked_mul(4)?).map(u64::from)
        } else {
            u64_at(items, number.checked_mul(8)?)
        }
    }

    /// The place of the next entry along the chain; `None` at its end.
    fn next_in_chain(&mut self) -> Result<Option<u64>, Damage> {
        let Way::Chain { array, item, left } = &self.way else { return Ok(None) };
        let (mut array, mut item, left) = (*array, *item, *left);
        if left == 0 {
            return Ok(None);
        }
        loop {
            if array == 0 {
                return Err(format!("its list of entries ends {left} entries early"));
            }
            let object = Object::of(self.file, self.header.header_size, array, ENTRY_ARRAY)?;
            let items = object.bytes.get(24..).ok_or("a list of entries is cut off")?;
            match self.offset(items, item) {
                Some(0) => return Err(format!("its list of entries ends {left} entries early")),
                Some(offset) if offset <= self.last => {
                    return Err("its list of entries leads backwards".to_owned());
                }
                Some(offset) => {
                    self.way = Way::Chain { array, item: item + 1, left: left - 1 };
                    return Ok(Some(offset));
                }
                None => {
                    let next = u64_at(object.bytes, 16).unwrap_or(0);
                    if next != 0 && next <= array {
                        return Err("its chain of lists leads backwards".to_owned());
                    }
                    (array, item) = (next, 0);
                }
            }
        }
    }

    /// The place of the next entry among all objects from `at` on.
    fn next_object(&mut self, mut at: u64) -> Option<u64> {
        while let Ok(object) = Object::at(self.file, self.header.header_size, at) {
            let next = (at + object.bytes.len() as u64).next_multiple_of(8);
            if object.kind == ENTRY && at > self.last {
                self.way = Way::Objects { at: next };
                return Some(at);
            }
            at = next;
        }
        None
    }

    fn entry(&self, offset: u64) -> Result<JournalEntry<'a>, Damage> {
        let object = Object::of(self.file, self.header.header_size, offset, ENTRY)?;
        let bytes = object.bytes;
        let entry = || {
            Some(JournalEntry {
                seqnum: u64_at(bytes, HEAD as usize)?,
                realtime: u64_at(bytes, 24)?,
                monotonic: u64_at(bytes, 32)?,
                boot_id: bytes.get(40..56)?.try_into().ok()?,
                items: bytes.get(64..)?,
            })
        };
        entry().ok_or_else(|| format!("the entry at {offset:#x} is cut off"))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = JournalEntry<'a>;

    fn next(&mut self) -> Option<JournalEntry<'a>> {
        loop {
            let found = match self.way {
                Way::Chain { .. } => match self.next_in_chain() {
                    Ok(found) => found,
                    Err(damage) => {
                        self.problems.add(damage);
                        self.way = Way::Objects { at: self.last.max(self.header.header_size) };
                        continue;
                    }
                },
                Way::Objects { at } => self.next_object(at),
                Way::End => None,
            };
            let Some(offset) = found else {
                self.way = Way::End;
                return None;
            };
            match self.entry(offset) {
                Ok(entry) => {
                    self.last = offset;
                    return Some(entry);
                }
                Err(damage) => self.problems.add(damage),
            }
        }
    }
}
