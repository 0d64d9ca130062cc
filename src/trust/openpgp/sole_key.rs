//! A key file that must hold pinned keys and nothing else, because somebody else is going to trust all of it; and bundles, of which
//! only the pinned keys are taken.

use std::io::Write as _;

use sequoia_openpgp::Packet;
use sequoia_openpgp::PacketPile;
use sequoia_openpgp::armor::{Kind, Writer};
use sequoia_openpgp::cert::raw::RawCertParser;
use sequoia_openpgp::packet::Tag;
use sequoia_openpgp::parse::Parse as _;

use super::Fingerprint;
use super::armour::{self, ArmourProblem};

/// Why a text is not the key that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyProblem {
    /// It is no key at all; the end of a sentence.
    Malformed(String),
    /// It is another key, or holds another one too.
    OtherKey(Fingerprint),
}

fn malformed<T>(problem: impl Into<String>) -> Result<T, KeyProblem> {
    Err(KeyProblem::Malformed(problem.into()))
}

/// Takes what is in the one block out of its armour and checks that every primary key in there has one of the fingerprints `pins`.
///
/// Returns it in binary form, exactly the bytes that were looked at.
pub(crate) fn pinned_keys(text: &str, pins: &[Fingerprint]) -> Result<Vec<u8>, KeyProblem> {
    let text = text.as_bytes();
    let block = match armour::blocks(text, &armour::PUBLIC_KEY) {
        Ok(blocks) => match &blocks[..] {
            [block] => &text[block.clone()],
            _ => return malformed("holds more than one block"),
        },
        Err(ArmourProblem::Nested) => return malformed("holds more than one block"),
        Err(problem) => return malformed(problem.to_string()),
    };
    let bytes =
        armour::dearmour(block, &armour::PUBLIC_KEY).or_else(|problem| malformed(problem.to_string()))?;
    examine(&bytes, pins)?;
    Ok(bytes)
}

/// Takes the keys with the fingerprints `pins` out of a bundle: a text with any number of blocks and of keys in them, and with
/// talk around them. What is no such key is left out, however damaged it is.
///
/// Returns these keys in binary form, each as it is in there.
pub(crate) fn pinned_of_bundle(text: &str, pins: &[Fingerprint]) -> Result<Vec<u8>, KeyProblem> {
    let text = text.as_bytes();
    let blocks =
        armour::blocks(text, &armour::PUBLIC_KEY).or_else(|problem| malformed(problem.to_string()))?;
    let (mut kept, mut other) = (Vec::new(), None);
    for block in blocks {
        let Ok(bytes) = armour::dearmour(&text[block], &armour::PUBLIC_KEY) else { continue };
        let Ok(keys) = RawCertParser::from_bytes(&bytes) else { continue };
        for key in keys.flatten() {
            let fingerprint = Fingerprint::from(&key.fingerprint());
            if !pins.contains(&fingerprint) {
                other.get_or_insert(fingerprint);
                continue;
            }
            examine(key.as_bytes(), pins)?;
            kept.extend_from_slice(key.as_bytes());
        }
    }
    match (kept.is_empty(), other) {
        (false, _) => Ok(kept),
        (true, Some(other)) => Err(KeyProblem::OtherKey(other)),
        (true, None) => malformed("holds no public key"),
    }
}

/// Keys in armour: all in one block, and each in one of its own.
pub(crate) fn armoured(keys: &[u8]) -> Option<(String, String)> {
    let block = |bytes: &[u8]| {
        let mut writer = Writer::new(Vec::new(), Kind::PublicKey).ok()?;
        writer.write_all(bytes).ok()?;
        String::from_utf8(writer.finalize().ok()?).ok().map(|text| text.trim_end().to_owned() + "\n")
    };
    let each = RawCertParser::from_bytes(keys).ok()?.map(|key| block(key.ok()?.as_bytes()));
    Some((block(keys)?, each.collect::<Option<String>>()?))
}

/// Checks that these packets are keys with the fingerprints `pins`, and nothing else.
fn examine(bytes: &[u8], pins: &[Fingerprint]) -> Result<(), KeyProblem> {
    let Ok(packets) = PacketPile::from_bytes(bytes) else { return malformed("holds a damaged packet") };
    let mut found = false;
    for packet in packets.into_children() {
        match packet {
            Packet::PublicKey(key) => {
                let fingerprint = Fingerprint::from(&key.fingerprint());
                // A second primary key in the file would be trusted just as well as the pinned one.
                if !pins.contains(&fingerprint) {
                    return Err(KeyProblem::OtherKey(fingerprint));
                }
                found = true;
            }
            Packet::Unknown(packet) if packet.tag() == Tag::PublicKey => {
                return malformed("is of an unknown version");
            }
            packet => match packet.tag() {
                Tag::PublicSubkey | Tag::UserID | Tag::UserAttribute | Tag::Signature => {}
                // Whatever else it is, other programs may see a key in it.
                tag => return malformed(format!("holds a packet that does not belong in a key: {tag}")),
            },
        }
    }
    if found { Ok(()) } else { malformed("holds no public key") }
}
