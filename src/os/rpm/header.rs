//! The header of one package: an index of tags, and a store with their values. All numbers are big-endian.

use super::super::Package;
use super::slice;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const SIZE: u32 = 1009;
const ARCH: u32 = 1022;
const LONG_SIZE: u32 = 5009;

const INT32: u32 = 4;
const INT64: u32 = 5;
const STRING: u32 = 6;
const BINARY: u32 = 7;
const STRING_ARRAY: u32 = 8;

/// An entry of the index: tag, type, offset and count.
const ENTRY: usize = 16;

/// The package of a header; `None` for a signing key.
pub(crate) fn package(blob: &[u8]) -> Result<Option<Package>, String> {
    let header = Header::parse(blob).ok_or("a package's header is cut off")?;
    let name = header.text(NAME)?.ok_or("a package has no name")?;
    if name == "gpg-pubkey" {
        return Ok(None);
    }
    let needed = |tag, what| header.text(tag)?.ok_or_else(|| format!("package {name} has no {what}"));
    let (version, release) = (needed(VERSION, "version")?, needed(RELEASE, "release")?);
    let epoch = header.number(EPOCH)?.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let installed_size = header.number(SIZE)?.or(header.number(LONG_SIZE)?);
    Ok(Some(Package {
        version: format!("{epoch}{version}-{release}"),
        arch: header.text(ARCH)?.unwrap_or_default(),
        installed_size,
        name,
    }))
}

/// A header, taken apart.
pub(crate) struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    pub(crate) fn parse(blob: &'a [u8]) -> Option<Self> {
        let entries = usize::try_from(u32_at(blob, 0)?).ok()?;
        let length = usize::try_from(u32_at(blob, 4)?).ok()?;
        let index = slice(blob, 8, entries.checked_mul(ENTRY)?)?;
        let store = slice(blob, 8 + index.len(), length)?;
        Some(Self { index, store })
    }

    /// The bytes from the value of a tag on, if the header has that tag.
    fn value(&self, wanted: u32, kind: u32) -> Result<Option<&'a [u8]>, String> {
        let bad = || format!("the value of tag {wanted} is not where it should be");
        let is_wanted = |entry: &&[u8]| u32_at(entry, 0) == Some(wanted) && u32_at(entry, 4) == Some(kind);
        let Some(entry) = self.index.chunks_exact(ENTRY).find(is_wanted) else { return Ok(None) };
        let offset = u32_at(entry, 8).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| self.store.get(offset..)).map(Some).ok_or_else(bad)
    }

    /// The bytes of a tag.
    pub(crate) fn bytes(&self, tag: u32) -> Result<Option<&'a [u8]>, String> {
        let is_wanted = |entry: &&[u8]| u32_at(entry, 0) == Some(tag) && u32_at(entry, 4) == Some(BINARY);
        let Some(entry) = self.index.chunks_exact(ENTRY).find(is_wanted) else { return Ok(None) };
        let number = |at| u32_at(entry, at).and_then(|number| usize::try_from(number).ok());
        let bytes = number(8).zip(number(12)).and_then(|(offset, count)| slice(self.store, offset, count));
        bytes.map(Some).ok_or_else(|| format!("the value of tag {tag} is cut off"))
    }

    /// The first text of a list.
    pub(crate) fn first(&self, tag: u32) -> Result<Option<String>, String> {
        self.ended(tag, STRING_ARRAY)
    }

    fn text(&self, tag: u32) -> Result<Option<String>, String> {
        self.ended(tag, STRING)
    }

    fn ended(&self, tag: u32, kind: u32) -> Result<Option<String>, String> {
        let Some(value) = self.value(tag, kind)? else { return Ok(None) };
        let end = value.iter().position(|&byte| byte == 0);
        let text = end.map(|end| String::from_utf8_lossy(&value[..end]).into_owned());
        text.map(Some).ok_or_else(|| format!("the value of tag {tag} has no end"))
    }

    pub(crate) fn number(&self, tag: u32) -> Result<Option<u64>, String> {
        let short = || format!("the value of tag {tag} is cut off");
        if let Some(value) = self.value(tag, INT32)? {
            return u32_at(value, 0).map(u64::from).map(Some).ok_or_else(short);
        }
        let Some(value) = self.value(tag, INT64)? else { return Ok(None) };
        value.first_chunk().map(|bytes| Some(u64::from_be_bytes(*bytes))).ok_or_else(short)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
