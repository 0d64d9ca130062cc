//! The records that the POSIX form of tar has before an entry, for what the old header has no room for.

use crate::disk::Timestamp;

/// Records, as they stand in a tar file.
#[derive(Debug, Default)]
pub(crate) struct Records(Vec<u8>);

impl Records {
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        // The number counts its own digits too: two steps reach it from below.
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        for _ in 0..2 {
            length = rest + length.to_string().len();
        }
        for part in [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"] {
            self.0.extend_from_slice(part);
        }
    }

    /// An extended attribute. The first `=` ends a key, so GNU tar writes one in a name, and what stands for it, as
    /// in a URL.
    pub(crate) fn add_xattr(&mut self, name: &[u8], value: &[u8]) {
        let mut key = b"SCHILY.xattr.".to_vec();
        for &byte in name {
            match byte {
                b'%' => key.extend_from_slice(b"%25"),
                b'=' => key.extend_from_slice(b"%3D"),
                byte => key.push(byte),
            }
        }
        self.add(&key, value);
    }

    /// The time of the last change; before 1970 it has a sign.
    pub(crate) fn add_mtime(&mut self, time: Timestamp) {
        const SECOND: u128 = 1_000_000_000;
        let all = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
        let sign = if all < 0 { "-" } else { "" };
        let (seconds, nanoseconds) = (all.unsigned_abs() / SECOND, all.unsigned_abs() % SECOND);
        self.add(b"mtime", format!("{sign}{seconds}.{nanoseconds:09}").as_bytes());
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_themselves() {
        for length in (0..120).chain(980..1010).chain(9980..10_010) {
            let mut records = Records::default();
            records.add(b"k", &vec![b'v'; length]);
            let text = String::from_utf8(records.0).unwrap();
            let (number, _) = text.split_once(' ').unwrap();
            assert_eq!(number.parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn times() {
        for (seconds, nanoseconds, expected) in [
            (0, 0, "0.000000000"),
            (1_700_000_000, 5, "1700000000.000000005"),
            (-1, 0, "-1.000000000"),
            (-1, 500_000_000, "-0.500000000"),
            (-2, 999_999_999, "-1.000000001"),
        ] {
            let mut records = Records::default();
            records.add_mtime(Timestamp { seconds, nanoseconds });
            let text = String::from_utf8(records.0).unwrap();
            assert!(text.ends_with(&format!("mtime={expected}\n")), "{text}");
        }
        Records::default().add_mtime(Timestamp { seconds: i64::MIN, nanoseconds: 0 });
    }
}
