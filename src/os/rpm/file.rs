//! A package file: a lead that says nothing any more, a header with signatures, the package's own header, and its content,
//! compressed.

use std::io::{self, Read};

use super::super::Package;
use super::header::{self, Header};

const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
/// Of a header: three bytes of magic, the version, four reserved; then the number of entries and the length of the store.
const INTRODUCTION: usize = 16;
pub(crate) const HEADER_MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
const ENTRY: usize = 16;

/// RPM's own limits.
const MOST_ENTRIES: usize = 0xffff;
const LARGEST_STORE: usize = 256 << 20;
const LARGEST_SIGNATURES: usize = 64 << 20;

/// Tags of signatures over the package's header, the newer way.
const HEADER_SIGNATURES: [u32; 2] = [268, 267];
/// And over header and content together.
const WHOLE_SIGNATURES: [u32; 2] = [1002, 1005];

const PAYLOAD_DIGEST: u32 = 5092;
const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
const SHA256: u64 = 8;

/// The beginning of a package file.
pub(crate) struct PackageFile {
    signatures: Vec<u8>,
    /// The package's header with its introduction: what is signed.
    pub(crate) header: Vec<u8>,
}

impl PackageFile {
    /// Reads up to the content, which `file` is at then.
    pub(crate) fn read(file: &mut impl Read) -> io::Result<Self> {
        let mut lead = [0; LEAD];
        file.read_exact(&mut lead)?;
        if lead[..4] != LEAD_MAGIC {
            return Err(damaged("it is no package of RPM"));
        }
        let signatures = read_header(file, LARGEST_SIGNATURES)?;
        let mut padding = [0; 8];
        file.read_exact(&mut padding[..signatures.len().wrapping_neg() % 8])?;
        let header = read_header(file, LARGEST_STORE)?;
        Ok(Self { signatures, header })
    }

    /// What package it is.
    pub(crate) fn package(&self) -> Result<Package, String> {
        header::package(&self.header[8..])?.ok_or_else(|| "it is a signing key".to_owned())
    }

    /// The signature over the header.
    pub(crate) fn header_signature(&self) -> Result<Option<&[u8]>, String> {
        self.signature(HEADER_SIGNATURES)
    }

    /// The signature over header and content.
    pub(crate) fn whole_signature(&self) -> Result<Option<&[u8]>, String> {
        self.signature(WHOLE_SIGNATURES)
    }

    fn signature(&self, tags: [u32; 2]) -> Result<Option<&[u8]>, String> {
        let header = Header::parse(&self.signatures[8..]).ok_or("the header with signatures is cut off")?;
        for tag in tags {
            if let Some(signature) = header.bytes(tag)? {
                return Ok(Some(signature));
            }
        }
        Ok(None)
    }

    /// SHA-256 of the content, as the header says; packages older than RPM 4.14 do not say it.
    pub(crate) fn content_digest(&self) -> Result<Option<String>, String> {
        let header = Header::parse(&self.header[8..]).ok_or("the header is cut off")?;
        match header.number(PAYLOAD_DIGEST_ALGORITHM)? {
            Some(SHA256) => header.first(PAYLOAD_DIGEST),
            _ => Ok(None),
        }
    }
}

fn read_header(file: &mut impl Read, largest: usize) -> io::Result<Vec<u8>> {
    let mut header = vec![0; INTRODUCTION];
    file.read_exact(&mut header)?;
    if header[..8] != HEADER_MAGIC {
        return Err(damaged("a header does not begin as one"));
    }
    let number =
        |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
    let (entries, store) = (number(8), number(12));
    if entries > MOST_ENTRIES || store > largest {
        return Err(damaged("a header is impossibly large"));
    }
    let length = entries * ENTRY + store;
    // What a damaged file claims is not made room for before it is there.
    let read = file.take(length as u64).read_to_end(&mut header)?;
    if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(header) }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
