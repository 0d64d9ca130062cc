//! `/etc/shadow`: whether there is a password and how it is hashed. The hash itself goes nowhere.

use schemars::JsonSchema;
use serde::Serialize;

/// Whether somebody can log in with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Password {
    /// Nobody can: no password fits. `passwd -S` says `L`.
    Locked {
        /// How the password is hashed that unlocking would bring back; none when there is none.
        scheme: Option<HashScheme>,
    },
    /// Everybody can: no password is asked for. `passwd -S` says `NP`.
    Empty,
    /// Who knows the password can. `passwd -S` says `P`.
    Set {
        /// How it is hashed.
        scheme: HashScheme,
    },
    /// `/etc/passwd` refers to `/etc/shadow`, which does not know the user: nobody can.
    Missing,
}

/// How a password is hashed, see crypt(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HashScheme {
    /// `$y$`
    Yescrypt,
    /// `$gy$`
    GostYescrypt,
    /// `$7$`
    Scrypt,
    /// `$2b$` and its elder sisters.
    Bcrypt,
    /// `$6$`
    Sha512Crypt,
    /// `$5$`
    Sha256Crypt,
    /// `$sha1`
    Sha1Crypt,
    /// `$md5`
    SunMd5,
    /// `$1$`
    Md5Crypt,
    /// `$3$`, unsalted.
    Nt,
    /// `_`, of BSD.
    Bsdicrypt,
    /// Thirteen characters, of old.
    Descrypt,
    /// Nothing that crypt(5) knows: most likely no password fits.
    Unknown,
}

impl Password {
    /// Judges the second field of `/etc/passwd` or `/etc/shadow`.
    pub(crate) fn of(field: &str) -> Self {
        match field {
            "" => Self::Empty,
            _ if field.starts_with(['!', '*']) => {
                let hash = field.trim_start_matches(['!', '*']);
                Self::Locked { scheme: (!hash.is_empty()).then(|| HashScheme::of(hash)) }
            }
            _ => Self::Set { scheme: HashScheme::of(field) },
        }
    }
}

impl HashScheme {
    fn of(hash: &str) -> Self {
        const PREFIXES: [(&str, HashScheme); 13] = [
            ("$y$", HashScheme::Yescrypt),
            ("$gy$", HashScheme::GostYescrypt),
            ("$7$", HashScheme::Scrypt),
            ("$2a$", HashScheme::Bcrypt),
            ("$2b$", HashScheme::Bcrypt),
            ("$2x$", HashScheme::Bcrypt),
            ("$2y$", HashScheme::Bcrypt),
            ("$6$", HashScheme::Sha512Crypt),
            ("$5$", HashScheme::Sha256Crypt),
            ("$sha1", HashScheme::Sha1Crypt),
            ("$md5", HashScheme::SunMd5),
            ("$1$", HashScheme::Md5Crypt),
            ("$3$", HashScheme::Nt),
        ];
        let salted = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'/');
        match PREFIXES.iter().find(|(prefix, _)| hash.starts_with(prefix)) {
            Some((_, scheme)) => *scheme,
            None if hash.len() == 13 && hash.bytes().all(salted) => Self::Descrypt,
            None if hash.len() == 20 && hash.starts_with('_') && hash[1..].bytes().all(salted) => {
                Self::Bsdicrypt
            }
            None => Self::Unknown,
        }
    }
}

/// A line of `/etc/shadow`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) password: Password,
    /// Days since 1970; 0 asks for a new password at the next login.
    pub(crate) changed: Option<i64>,
    /// Days since 1970 from which the account is closed.
    pub(crate) expires: Option<i64>,
}

/// Reads the file. Lines that are wrong are errors, with their number: an account must not be overlooked.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Entry>, usize> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with(['#', '+', '-']))
        .map(|(number, line)| entry(line).ok_or(number + 1))
        .collect()
}

fn entry(line: &str) -> Option<Entry> {
    let fields: Vec<_> = line.trim_end().split(':').collect();
    // Fields at the end may be left out; an empty or negative number means none.
    if !(2..=9).contains(&fields.len()) || fields[0].is_empty() {
        return None;
    }
    let number = |at: usize| match fields.get(at).copied().unwrap_or_default() {
        "" => Some(None),
        text => text.parse::<i64>().ok().map(|days| Some(days).filter(|days| *days >= 0)),
    };
    for at in 3..8 {
        number(at)?;
    }
    Some(Entry {
        name: fields[0].to_owned(),
        password: Password::of(fields[1]),
        changed: number(2)?,
        expires: number(7)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hashes() {
        // The hashes are those of crypt(5)'s own descriptions, shortened.
        for (field, scheme) in [
            ("$y$j9T$abc$def", HashScheme::Yescrypt),
            ("$gy$j9T$abc$def", HashScheme::GostYescrypt),
            ("$7$DU..../....2Q9obwLhin8qvQl6sisAO/$E1HizYWx", HashScheme::Scrypt),
            ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.", HashScheme::Bcrypt),
            ("$6$rounds=10000$a$b", HashScheme::Sha512Crypt),
            ("$5$a$b", HashScheme::Sha256Crypt),
            ("$sha1$1$a$b", HashScheme::Sha1Crypt),
            ("$md5,rounds=5000$a$$b", HashScheme::SunMd5),
            ("$1$a$b", HashScheme::Md5Crypt),
            ("$3$$8846f7eaee8fb117ad06bdd830b7586c", HashScheme::Nt),
            ("_J9..CCCCXBrJUJV154M", HashScheme::Bsdicrypt),
            ("CCNf8Sbh3HDfQ", HashScheme::Descrypt),
            ("x", HashScheme::Unknown),
            ("$9$a", HashScheme::Unknown),
        ] {
            assert_eq!(Password::of(field), Password::Set { scheme }, "{field}");
            let locked = Password::Locked { scheme: Some(scheme) };
            assert_eq!(Password::of(&format!("!{field}")), locked, "{field}");
        }
        for field in ["!", "*", "!*", "!!"] {
            assert_eq!(Password::of(field), Password::Locked { scheme: None }, "{field}");
        }
        assert_eq!(Password::of(""), Password::Empty);
    }

    #[test]
    fn lines() {
        let text =
            "root:$6$a$b:19000:0:99999:7:::\n\n# c\n+\nold:!:\nnew::0:::::20000:\nnever:*:-1:::::-1:\n";
        let found = parse(text.as_bytes()).unwrap();
        let days: Vec<_> = found.iter().map(|e| (e.name.as_str(), e.changed, e.expires)).collect();
        assert_eq!(
            days,
            [
                ("root", Some(19000), None),
                ("old", None, None),
                ("new", Some(0), Some(20000)),
                ("never", None, None)
            ]
        );
        for bad in ["root", ":x:1", "a:x:b", "a:x:1:2:3:4:5:6:7:8", "a:x:1:x:3:4:5:6:7"] {
            assert_eq!(parse(format!("a:*:1\n{bad}\n").as_bytes()), Err(2), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_fields_are_survived(text in "([a-z0-9:$!*_-]{0,24}\\n){0,8}") {
            let _ = parse(text.as_bytes());
        }
    }
}
