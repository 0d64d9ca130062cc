//! Blocks of ASCII armour in a text.
//!
//! The library finds them by itself, but takes the first only, and is generous about what a marker looks
//! like. Here a marker is a line of its own, spelled out; so what is outside of a block is clear to everyone
//! who reads the file.

use std::io::Read as _;
use std::ops::Range;

use sequoia_openpgp::armor::{Kind, Reader, ReaderMode};

/// Why a text has no blocks to be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArmourProblem {
    #[error("is not ASCII-armoured")]
    Missing,
    #[error("is cut off")]
    Cut,
    #[error("has a block that begins inside of another")]
    Nested,
    #[error("is armoured wrongly: {0}")]
    Malformed(String),
}

/// What a block is marked with.
pub(crate) struct Marks {
    begin: &'static str,
    end: &'static str,
    kind: Kind,
}

pub(crate) const PUBLIC_KEY: Marks = Marks {
    begin: "-----BEGIN PGP PUBLIC KEY BLOCK-----",
    end: "-----END PGP PUBLIC KEY BLOCK-----",
    kind: Kind::PublicKey,
};

pub(crate) const SIGNATURE: Marks = Marks {
    begin: "-----BEGIN PGP SIGNATURE-----",
    end: "-----END PGP SIGNATURE-----",
    kind: Kind::Signature,
};

/// A text and the signature below it.
pub(crate) const CLEAR_SIGNED: Marks =
    Marks { begin: "-----BEGIN PGP SIGNED MESSAGE-----", end: SIGNATURE.end, kind: Kind::Signature };

/// Where the blocks in a text are, markers included.
pub(crate) fn blocks(text: &[u8], marks: &Marks) -> Result<Vec<Range<usize>>, ArmourProblem> {
    let mut found = Vec::new();
    let (mut at, mut begun) = (0, None);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let content = line.trim_ascii_end();
        if content == marks.begin.as_bytes() {
            if begun.replace(at).is_some() {
                return Err(ArmourProblem::Nested);
            }
        } else if content == marks.end.as_bytes()
            && let Some(start) = begun.take()
        {
            found.push(start..at + line.len());
        }
        at += line.len();
    }
    match begun {
        Some(_) => Err(ArmourProblem::Cut),
        None if found.is_empty() => Err(ArmourProblem::Missing),
        None => Ok(found),
    }
}

/// Takes one block out of its armour.
pub(crate) fn dearmour(block: &[u8], marks: &Marks) -> Result<Vec<u8>, ArmourProblem> {
    let mut bytes = Vec::new();
    Reader::from_bytes(block, ReaderMode::Tolerant(Some(marks.kind)))
        .read_to_end(&mut bytes)
        .map_err(|error| ArmourProblem::Malformed(error.to_string()))?;
    Ok(bytes)
}

/// The packets in a file that may be armoured, in several blocks, or binary already.
pub(crate) fn binary(bytes: &[u8], marks: &Marks) -> Result<Vec<u8>, ArmourProblem> {
    // Every packet begins with a byte that is no ASCII (RFC 9580, 4.2).
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Ok(bytes.to_vec());
    }
    let mut packets = Vec::new();
    for block in blocks(bytes, marks)? {
        packets.extend(dearmour(&bytes[block], marks)?);
    }
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_lines_of_their_own() {
        let (begin, end) = (SIGNATURE.begin, SIGNATURE.end);
        type Expected = Result<&'static [&'static str], ArmourProblem>;
        let cases: &[(&str, String, Expected)] = &[
            ("one", format!("{begin}\nx\n{end}\n"), Ok(&["x"])),
            (
                "two, and talk around them",
                format!("a\n{begin}\nx\n{end}\nb\n{begin}\ny\n{end}\nc"),
                Ok(&["x", "y"]),
            ),
            ("CRLF, blanks at the end", format!("{begin}\r\nx\r\n{end}  \r\n"), Ok(&["x"])),
            ("no end of line", format!("{begin}\nx\n{end}"), Ok(&["x"])),
            (
                "escaped or quoted",
                format!("- {begin}\n> {begin}\n {begin}\n{end}\n"),
                Err(ArmourProblem::Missing),
            ),
            ("empty", String::new(), Err(ArmourProblem::Missing)),
            ("cut", format!("{begin}\nx\n"), Err(ArmourProblem::Cut)),
            ("nested", format!("{begin}\n{begin}\n{end}\n"), Err(ArmourProblem::Nested)),
        ];
        for (case, text, expected) in cases {
            let found = blocks(text.as_bytes(), &SIGNATURE).map(|ranges| {
                let inner = |range: Range<usize>| text[range].lines().nth(1).unwrap_or_default();
                ranges.into_iter().map(inner).collect::<Vec<_>>()
            });
            assert_eq!(found, expected.clone().map(<[&str]>::to_vec), "{case}");
        }
    }
}
