//! A key file that must hold one pinned key and nothing else, because somebody else is going to trust all of
//! it.

use sequoia_openpgp::Packet;
use sequoia_openpgp::PacketPile;
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

/// Takes the one key out of its armour and checks that `pin` is the fingerprint of every primary key in
/// there.
///
/// Returns the key in binary form, exactly the bytes that were looked at.
pub(crate) fn sole_key(text: &str, pin: &Fingerprint) -> Result<Vec<u8>, KeyProblem> {
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
    let Ok(packets) = PacketPile::from_bytes(&bytes) else { return malformed("holds a damaged packet") };
    let mut found = false;
    for packet in packets.into_children() {
        match packet {
            Packet::PublicKey(key) => {
                let fingerprint = Fingerprint::from(&key.fingerprint());
                // A second primary key in the file would be trusted just as well as the pinned one.
                if fingerprint != *pin {
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
    if found { Ok(bytes) } else { malformed("holds no public key") }
}
