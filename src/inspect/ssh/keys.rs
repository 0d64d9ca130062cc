//! Public keys in OpenSSH's one-line form, and `authorized_keys` files.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::os::files::escape;

/// A public key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PublicKey {
    /// Its type, such as `ssh-ed25519`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its length in bits; none for types tib does not know.
    pub bits: Option<u32>,
    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// What stands behind it; often whose it is.
    pub comment: String,
}

/// A line of an `authorized_keys` file.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct AuthorizedKey {
    /// The key.
    #[serde(flatten)]
    pub key: PublicKey,
    /// What restricts it, such as `command="…"`, `from="…"`, `restrict`.
    pub options: Vec<String>,
    /// Its line.
    pub line: usize,
}

/// The keys of an `authorized_keys` file, and the lines that sshd would skip because they are none.
pub(crate) fn authorized_keys(text: &[u8]) -> (Vec<AuthorizedKey>, Vec<usize>) {
    let text = String::from_utf8_lossy(text);
    let (mut keys, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match authorized_key(line, number + 1) {
            Some(key) => keys.push(key),
            None => wrong.push(number + 1),
        }
    }
    (keys, wrong)
}

fn authorized_key(line: &str, number: usize) -> Option<AuthorizedKey> {
    if let Some(key) = PublicKey::parse(line) {
        return Some(AuthorizedKey { key, options: Vec::new(), line: number });
    }
    let end = end_of_options(line)?;
    let options = split_options(&line[..end]).into_iter().map(escape).collect();
    let key = PublicKey::parse(line[end..].trim_start_matches([' ', '\t']))?;
    Some(AuthorizedKey { key, options, line: number })
}

/// Options end at the first white space outside double quotes; within them `\"` is a quote.
fn end_of_options(line: &str) -> Option<usize> {
    outside_quotes(line, |c| c == ' ' || c == '\t').first().copied()
}

fn split_options(options: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in outside_quotes(options, |c| c == ',') {
        parts.push(&options[start..at]);
        start = at + 1;
    }
    parts.push(&options[start..]);
    parts
}

fn outside_quotes(text: &str, wanted: impl Fn(char) -> bool) -> Vec<usize> {
    let (mut quoted, mut before) = (false, ' ');
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '"' if before != '\\' => quoted = !quoted,
            c if !quoted && wanted(c) => found.push(at),
            _ => {}
        }
        before = c;
    }
    found
}

impl PublicKey {
    /// Reads `TYPE BASE64 [COMMENT]`; `None` when it is no key.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once([' ', '\t'])?;
        let rest = rest.trim_start_matches([' ', '\t']);
        let (data, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        let known = kind.starts_with("ssh-")
            || kind.starts_with("ecdsa-sha2-nistp")
            || kind.starts_with("sk-ssh-")
            || kind.starts_with("sk-ecdsa-");
        // A certificate is no key: who it lets in is said by an authority.
        if !known || kind.contains("-cert-") {
            return None;
        }
        let blob = STANDARD.decode(data).or_else(|_| STANDARD_NO_PAD.decode(data)).ok()?;
        let (name, fields) = field(&blob)?;
        if name != kind.as_bytes() || fields.is_empty() {
            return None;
        }
        let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)));
        let comment = escape(comment.trim_matches([' ', '\t', '\r', '\n']));
        Some(Self { kind: kind.to_owned(), bits: bits(kind, fields), fingerprint, comment })
    }
}

/// A field of a key: four bytes of length, then the content. Gives the rest too.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    bytes[4..].split_at_checked(length)
}

fn bits(kind: &str, fields: &[u8]) -> Option<u32> {
    match kind {
        "ssh-ed25519" | "sk-ssh-ed25519@openssh.com" => Some(256),
        "sk-ecdsa-sha2-nistp256@openssh.com" => Some(256),
        // The modulus comes behind the exponent.
        "ssh-rsa" => length_in_bits(field(field(fields)?.1)?.0),
        "ssh-dss" => length_in_bits(field(fields)?.0),
        _ => kind.strip_prefix("ecdsa-sha2-nistp")?.parse().ok(),
    }
}

fn length_in_bits(number: &[u8]) -> Option<u32> {
    let first = number.iter().position(|&byte| byte != 0)?;
    let bytes = u32::try_from(number.len() - first).ok()?;
    bytes.checked_mul(8)?.checked_sub(number[first].leading_zeros())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ssh_keygen_says_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let mut lines = String::from("# keys\n\n");
        for (kind, bits) in
            [("ed25519", "256"), ("rsa", "2048"), ("rsa", "3072"), ("ecdsa", "256"), ("ecdsa", "521")]
        {
            let file = directory.path().join(format!("{kind}-{bits}"));
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-b", bits, "-N", "", "-C", &format!("{kind} of ops"), "-f"])
                .arg(&file)
                .status()
                .unwrap();
            assert!(status.success());
            let line = fs_err::read_to_string(file.with_extension("pub")).unwrap();
            lines += match kind {
                "rsa" => "command=\"echo \\\"a, b\\\"\",no-pty\t",
                "ecdsa" => "restrict,from=\"10.0.0.0/8,!10.1.1.1\" ",
                _ => "",
            };
            lines += &line;
        }
        let path = directory.path().join("authorized_keys");
        fs_err::write(&path, &lines).unwrap();
        let output = Command::new("ssh-keygen").arg("-lf").arg(&path).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        // `256 SHA256:… comment (ED25519)`
        let expected: Vec<_> = output.lines().map(|line| line.rsplit_once(" (").unwrap().0).collect();
        assert_eq!(expected.len(), 5);
        let (found, wrong) = authorized_keys(lines.as_bytes());
        let shown: Vec<_> = found
            .iter()
            .map(|k| format!("{} {} {}", k.key.bits.unwrap(), k.key.fingerprint, k.key.comment))
            .collect();
        assert_eq!(shown, expected);
        assert!(wrong.is_empty());
        assert_eq!(found[1].options, ["command=\"echo \\\"a, b\\\"\"", "no-pty"]);
        assert_eq!(found[3].options, ["restrict", "from=\"10.0.0.0/8,!10.1.1.1\""]);
        assert_eq!((found[0].line, found[0].key.kind.as_str()), (3, "ssh-ed25519"));
    }

    #[test]
    fn lines_that_are_no_keys_are_counted() {
        let text = "ssh-ed25519 AAAA x\nssh-ed25519 !!!!\nhello\nno-pty\nssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIIiH3kHqY0JZc1n0Q5t1oX1dVbJ9dI4kM3p2Rr0n8G2V\n\"a ssh-rsa\n";
        let (keys, wrong) = authorized_keys(text.as_bytes());
        assert_eq!((keys, wrong), (vec![], vec![1, 2, 3, 4, 5, 6]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = authorized_keys(&bytes);
        }

        #[test]
        fn any_blob_is_survived(fields: Vec<u8>, options in "[a-z\"\\\\=, ]{0,12}") {
            for kind in ["ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256"] {
                let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
                blob.extend_from_slice(kind.as_bytes());
                blob.extend_from_slice(&fields);
                let line = format!("{options} {kind} {}", STANDARD.encode(&blob));
                let _ = authorized_keys(line.as_bytes());
            }
        }
    }
}
