//! OpenPGP keys of repositories: out of the armour, and the fingerprint of what is inside.
//!
//! Just enough of RFC 9580 to say which primary key a file holds. Whether signatures by it are good is for
//! apt's own verifier to say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// Packet type of a primary public key.
const PUBLIC_KEY: u8 = 6;

/// Why a text is not the key that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyProblem {
    /// It is no key at all; the end of a sentence.
    Malformed(String),
    /// It is another key, or holds another one too.
    OtherKey(String),
}

fn malformed<T>(problem: &str) -> Result<T, KeyProblem> {
    Err(KeyProblem::Malformed(problem.to_owned()))
}

/// Takes the one key out of its armour and checks that `fingerprint` is its primary key's.
///
/// Returns the key in binary form, exactly the bytes that were looked at.
pub(super) fn dearmour(text: &str, fingerprint: &str) -> Result<Vec<u8>, KeyProblem> {
    let bytes = unwrap(text)?;
    let primaries = fingerprints(&bytes)?;
    // A second primary key in the file would be trusted by apt just as well as the pinned one.
    match primaries.iter().find(|found| !found.eq_ignore_ascii_case(fingerprint)) {
        Some(other) => Err(KeyProblem::OtherKey(other.clone())),
        None if primaries.is_empty() => malformed("holds no public key"),
        None => Ok(bytes),
    }
}

fn unwrap(text: &str) -> Result<Vec<u8>, KeyProblem> {
    let mut lines = text.lines().map(str::trim_end).skip_while(|line| *line != BEGIN).skip(1).peekable();
    if lines.peek().is_none() {
        return malformed("is not ASCII-armoured");
    }
    // Headers such as `Version:` end at an empty line; old tools leave out both.
    let mut base64 = String::new();
    let mut ended = false;
    for line in lines {
        match line {
            END if ended => return malformed("is armoured wrongly"),
            END => ended = true,
            BEGIN => return malformed("holds more than one block"),
            _ if ended || line.contains(": ") => {}
            // The checksum (RFC 9580, 6.1: not needed, must not be relied upon).
            _ if line.starts_with('=') => {}
            _ => base64.push_str(line.trim()),
        }
    }
    if !ended {
        return malformed("is cut off");
    }
    match STANDARD.decode(&base64) {
        Ok(bytes) => Ok(bytes),
        Err(error) => malformed(&format!("is armoured wrongly: {error}")),
    }
}

/// The fingerprints of all primary keys in a binary key file, upper case.
fn fingerprints(mut bytes: &[u8]) -> Result<Vec<String>, KeyProblem> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Some((kind, body, rest)) = packet(bytes) else { return malformed("holds a damaged packet") };
        if kind == PUBLIC_KEY {
            match fingerprint(body) {
                Some(fingerprint) => found.push(fingerprint),
                None => return malformed("is of an unknown version"),
            }
        }
        bytes = rest;
    }
    Ok(found)
}

/// Splits off one packet: its type, its body, and what follows.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let number = |count: usize| -> Option<(usize, &[u8])> {
        let (head, tail) = rest.split_at_checked(count)?;
        Some((head.iter().fold(0_usize, |all, &byte| (all << 8) | usize::from(byte)), tail))
    };
    let (kind, (length, rest)) = match (tag & 0x80 != 0, tag & 0x40 != 0) {
        (false, _) => return None,
        // Lengths of the old form; an indeterminate one (3) is not for keys.
        (true, false) => ((tag >> 2) & 0x0f, number([1, 2, 4].get(usize::from(tag & 3)).copied()?)?),
        (true, true) => {
            let (&first, after) = rest.split_first()?;
            let length = match first {
                0..=191 => (usize::from(first), after),
                192..=223 => {
                    let (&second, after) = after.split_first()?;
                    (((usize::from(first) - 192) << 8) + usize::from(second) + 192, after)
                }
                // Partial lengths are not for keys.
                224..=254 => return None,
                255 => {
                    let (head, after) = after.split_at_checked(4)?;
                    (head.iter().fold(0, |all, &byte| (all << 8) | usize::from(byte)), after)
                }
            };
            (tag & 0x3f, length)
        }
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((kind, body, rest))
}

/// RFC 9580, 5.5.4: a hash over a prefix, the body's length, and the body.
fn fingerprint(body: &[u8]) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    let length = u32::try_from(body.len()).ok()?;
    match body.first()? {
        4 => {
            let length = u16::try_from(length).ok()?.to_be_bytes();
            Some(hex(&Sha1::new().chain_update([0x99]).chain_update(length).chain_update(body).finalize()))
        }
        version @ (5 | 6) => {
            let prefix = if *version == 5 { 0x9a } else { 0x9b };
            let hash = Sha256::new().chain_update([prefix]).chain_update(length.to_be_bytes());
            Some(hex(&hash.chain_update(body).finalize()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The version 6 key of RFC 9580, A.3, and the fingerprint given there.
    const RFC_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----

xioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf
GwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy
KwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw
gyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE
QsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn
+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh
BssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8
j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805
I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==
-----END PGP PUBLIC KEY BLOCK-----
";
    const RFC_FINGERPRINT: &str = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";

    #[test]
    fn the_key_of_the_standard() {
        assert!(dearmour(RFC_KEY, &RFC_FINGERPRINT.to_lowercase()).is_ok());
        let wrapped = format!(
            "A vendor's note\n{}\nmore\n",
            RFC_KEY.replace("BLOCK-----\n\n", "BLOCK-----\nVersion: x\n\n")
        );
        assert!(dearmour(&wrapped, RFC_FINGERPRINT).is_ok());
        assert_eq!(
            dearmour(RFC_KEY, &"A".repeat(40)),
            Err(KeyProblem::OtherKey(RFC_FINGERPRINT.to_owned())),
            "another key than pinned"
        );
    }

    #[test]
    fn what_is_not_a_key() {
        let cut = RFC_KEY.split_inclusive('\n').take(5).collect::<String>();
        let two = format!("{RFC_KEY}{RFC_KEY}");
        let short = RFC_KEY.replace("j+VjFM21J0hqWlEg", "");
        for (text, problem) in [
            ("", "is not ASCII-armoured"),
            (&cut, "is cut off"),
            (&two, "holds more than one block"),
            (&short, "holds a damaged packet"),
            (&format!("{BEGIN}\n\n{END}\n"), "holds no public key"),
            (&format!("{BEGIN}\n\n!!\n{END}\n"), "is armoured wrongly: Invalid symbol 33, offset 0."),
        ] {
            assert_eq!(dearmour(text, RFC_FINGERPRINT), Err(KeyProblem::Malformed(problem.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,200}") {
            let _ = fingerprints(&bytes);
            let _ = dearmour(&format!("{BEGIN}\n{text}\n{END}"), RFC_FINGERPRINT);
        }
    }
}
