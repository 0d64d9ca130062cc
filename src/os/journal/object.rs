//! Objects in the arena, with every bound checked; and what was wrong with those that could not be read.

/// Where something in a file is not as it must be.
pub(crate) type Damage = String;

/// Kinds of objects.
pub(crate) const DATA: u8 = 1;
pub(crate) const ENTRY: u8 = 3;
pub(crate) const ENTRY_ARRAY: u8 = 6;

/// The part all objects have: kind, flags, size.
pub(crate) const HEAD: u64 = 16;

/// An object: its kind, its flags, and its bytes with the head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Object<'a> {
    /// The object at `offset`. `first` is where objects begin.
    pub(crate) fn at(file: &'a [u8], first: u64, offset: u64) -> Result<Self, Damage> {
        let bad = |problem: &str| format!("the object at {offset:#x} {problem}");
        if offset < first || !offset.is_multiple_of(8) {
            return Err(bad("lies where none can be"));
        }
        let start = usize::try_from(offset).map_err(|_| bad("lies behind the end"))?;
        let rest = file.get(start..).ok_or_else(|| bad("lies behind the end"))?;
        let (Some([kind, flags]), Some(size)) = (rest.get(..2), u64_at(rest, 8)) else {
            return Err(bad("lies behind the end"));
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match rest.get(..size) {
            Some(bytes) if size as u64 >= HEAD => Ok(Self { kind: *kind, flags: *flags, bytes }),
            Some(_) => Err(bad("is empty")),
            None => Err(bad("reaches behind the end")),
        }
    }

    /// As [`at`](Self::at), and it must be of this kind.
    pub(crate) fn of(file: &'a [u8], first: u64, offset: u64, kind: u8) -> Result<Self, Damage> {
        let object = Self::at(file, first, offset)?;
        if object.kind == kind {
            Ok(object)
        } else {
            Err(format!("the object at {offset:#x} is of kind {} instead of {kind}", object.kind))
        }
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// What could not be read of a file. The first few are kept word by word, the others are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    told: Vec<String>,
    more: usize,
}

impl Problems {
    const TOLD: usize = 3;

    pub(crate) fn add(&mut self, problem: impl Into<String>) {
        if self.told.len() < Self::TOLD {
            self.told.push(problem.into());
        } else {
            self.more += 1;
        }
    }

    /// Whether everything could be read.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told.join("; "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more of this sort"),
        }
    }
}
