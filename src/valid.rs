//! What paths, modes, names and keys in a recipe may look like.
//!
//! Each function returns the value in the form steps have it, or a fragment that says what is wrong.

use crate::shown::escape;

/// An absolute path in the guest, without detours.
pub(crate) fn path(text: String) -> Result<String, String> {
    let fault = match text.strip_prefix('/') {
        None => "is not absolute",
        Some("") => "is the root directory",
        Some(rest) if rest.split('/').any(|part| part == "..") => "contains `..`",
        Some(rest) if rest.split('/').any(|part| part.is_empty() || part == ".") => {
            "has an empty or `.` component"
        }
        Some(rest) if rest.contains(char::is_control) => "contains a control character",
        Some(_) => return Ok(text),
    };
    Err(format!("path `{}` {fault}", escape(&text)))
}

/// A path of which everything may be removed; `*` and `?` match within one name. Never so much that it could be a part of the
/// system, nor what is no part of an image.
pub(crate) fn removable(text: String) -> Result<String, String> {
    const IN_NO_IMAGE: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
    let text = path(text)?;
    let parts: Vec<&str> = text.split('/').skip(1).collect();
    let fault = if IN_NO_IMAGE.contains(&parts[0]) {
        "is in no image"
    } else if parts.len() < 2 || parts.iter().take(2).any(|part| part.contains(['*', '?'])) {
        "is so wide that parts of the system would be removed"
    } else if parts.len() == 2 && ["usr", "var"].contains(&parts[0]) {
        "is a directory of the system"
    } else if parts.contains(&"**") {
        "contains `**`; with a directory, all of it is removed"
    } else {
        return Ok(text);
    };
    Err(format!("path `{}` {fault}", escape(&text)))
}

/// Whether a name matches a pattern of literal bytes, `*` and `?`.
pub(crate) fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    // The usual backtracking to the last star: linear in practice, never exponential.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Permission bits, octal.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    octal
        .then(|| u32::from_str_radix(text, 8).ok())
        .flatten()
        .ok_or_else(|| format!("mode `{text}` is not three or four octal digits such as `0644`"))
}

/// The name of a user or group, as `useradd` takes it.
pub(crate) fn account(text: String) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
    if first && rest && text.len() <= 32 {
        Ok(text)
    } else {
        Err(format!("`{}` is not a name for a user or group", escape(&text)))
    }
}

/// The hash of a password, by one of the schemes that are still fit for it. The message never quotes it.
pub(crate) fn password_hash(text: String) -> Result<String, String> {
    // yescrypt, gost-yescrypt, scrypt, bcrypt, SHA-512, SHA-256: their parts, the last of which is the hash itself.
    const SCHEMES: [(&str, usize, std::ops::RangeInclusive<usize>); 7] = [
        ("$y$", 3, 43..=43),
        ("$gy$", 3, 43..=43),
        ("$7$", 2, 43..=43),
        ("$2a$", 2, 53..=53),
        ("$2b$", 2, 53..=53),
        ("$6$", 2, 86..=86),
        ("$5$", 2, 43..=43),
    ];
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./$=,".contains(&byte));
    let whole = SCHEMES.iter().any(|(prefix, parts, length)| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            let found: Vec<&str> = rest.split('$').collect();
            let rounds = usize::from(found[0].starts_with("rounds="));
            found.len() == parts + rounds && found.last().is_some_and(|hash| length.contains(&hash.len()))
        })
    });
    if plain && whole {
        Ok(text)
    } else {
        Err("`password_hash` is not the hash of a password by yescrypt, scrypt, bcrypt, SHA-512 or SHA-256; \
             make one with `mkpasswd`"
            .to_owned())
    }
}

/// A label of SELinux, the type in one, or `policy`.
pub(crate) fn selinux_label(text: String) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    let is_name = |part: &&str| selinux_name((*part).to_owned()).is_ok();
    let range = parts.get(3).is_none_or(|range| {
        !range.is_empty() && range.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":,.-".contains(&byte))
    });
    match parts.len() {
        1 | 3 | 4 if parts.iter().take(3).all(is_name) && range => Ok(text),
        _ => Err(format!("`{}` is not a label of SELinux, nor a type in one", escape(&text))),
    }
}

/// The name of a type, user, role or boolean of SELinux.
pub(crate) fn selinux_name(text: String) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(plain) {
        Ok(text)
    } else {
        Err(format!("`{}` is not a name of SELinux's", escape(&text)))
    }
}

/// A package's name, with `=version` if `install`.
pub(crate) fn package(text: String, install: bool) -> Result<String, String> {
    let (name, version) = text.split_once('=').map_or((text.as_str(), None), |(n, v)| (n, Some(v)));
    let plain = |text: &str, extra: &[u8]| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
    };
    if plain(name, b"+._-") && version.is_none_or(|version| install && plain(version, b"+._-:~^")) {
        Ok(text)
    } else {
        Err(format!("`{}` is not a package name", escape(&text)))
    }
}

/// A word for a file that is made from it: a unit, a repository, a kernel setting.
pub(crate) fn word(text: String, what: &str) -> Result<String, String> {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@:\\/*".contains(&byte));
    let file = !text.contains('/') || what == SYSCTL;
    if plain && file { Ok(text) } else { Err(format!("`{}` is not a {what}", escape(&text))) }
}

/// What [`word`] calls a kernel setting, whose name may have slashes.
pub(crate) const SYSCTL: &str = "kernel setting";

/// The name of an environment variable that is not one of those by which a shell or the package managers are steered.
pub(crate) fn variable(text: String) -> Result<String, String> {
    const STEERING: [&str; 8] =
        ["PATH", "HOME", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "LD_LIBRARY_PATH", "DPKG_ROOT"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && !STEERING.contains(&text.as_str()) {
        Ok(text)
    } else {
        Err(format!("`{}` is not a variable that can be set for packages", escape(&text)))
    }
}

/// One line without surprises: a URL, a suite, a value.
pub(crate) fn line(text: String, what: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        Err(format!("{what} `{}` is not one line of text", escape(&text)))
    } else {
        Ok(text)
    }
}

/// The address of a repository.
pub(crate) fn url(text: String) -> Result<String, String> {
    let known = ["https://", "http://", "file:///"].iter().any(|scheme| text.starts_with(scheme));
    if known && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Ok(text)
    } else {
        Err(format!("`{}` is not an http, https or file URL", escape(&text)))
    }
}

/// An OpenPGP fingerprint, in upper case without spaces.
pub(crate) fn fingerprint(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits.to_ascii_uppercase())
    } else {
        Err(format!("fingerprint `{}` is not 40 or 64 hexadecimal digits", escape(text)))
    }
}

/// An ASCII-armoured public key.
pub(crate) fn armoured_key(text: &str) -> Result<(), String> {
    if text.contains("PRIVATE KEY BLOCK") {
        Err("the key is a private one".to_owned())
    } else if text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        Ok(())
    } else {
        Err("the key is not an ASCII-armoured OpenPGP public key".to_owned())
    }
}

/// A size such as `700 MiB`, in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let fault = || format!("`{}` is not a size such as `700 MiB`", escape(text));
    let digits = text.trim().bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.trim().split_at(digits);
    let factor: u64 = match unit.trim() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(fault()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(path("/etc/trove".to_owned()).as_deref(), Ok("/etc/trove"));
        for (text, fault) in [
            ("etc/x", "path `etc/x` is not absolute"),
            ("", "path `` is not absolute"),
            ("/", "path `/` is the root directory"),
            ("/etc/../x", "path `/etc/../x` contains `..`"),
            ("/etc//x", "path `/etc//x` has an empty or `.` component"),
            ("/etc/", "path `/etc/` has an empty or `.` component"),
            ("/a\nb", "path `/a\\nb` contains a control character"),
        ] {
            assert_eq!(path(text.to_owned()), Err(fault.to_owned()));
        }
    }

    #[test]
    fn paths_that_may_be_removed() {
        for good in ["/var/lib/mysql/auto.cnf", "/var/lib/mysql/*.pem", "/opt/couchdb/data/*", "/etc/hostid"]
        {
            assert_eq!(removable(good.to_owned()).as_deref(), Ok(good));
        }
        for (bad, fault) in [
            ("/", "is the root directory"),
            ("/*", "is so wide"),
            ("/etc", "is so wide"),
            ("/var/*", "is so wide"),
            ("/*/lib/x", "is so wide"),
            ("/var/lib", "is a directory of the system"),
            ("/var/lib/x/**", "contains `**`"),
            ("/var/../etc/x", "contains `..`"),
            ("/proc/1/x", "is in no image"),
        ] {
            let told = removable(bad.to_owned()).unwrap_err();
            assert!(told.contains(fault), "{bad}: {told}");
        }
    }

    #[test]
    fn modes() {
        for (text, bits) in [("644", 0o644), ("0440", 0o440), ("4755", 0o4755)] {
            assert_eq!(mode(text), Ok(bits));
        }
        for text in ["", "44", "0o644", "0888", "00644", "+644", "rw-r--r--"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names() {
        for good in ["ubuntu", "_apt", "systemd-network", "db2inst1"] {
            assert!(account(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "Root", "-x", "a b", "a:b", "../x", &"x".repeat(33)] {
            assert!(account(bad.to_owned()).is_err(), "{bad}");
        }
        for good in ["curl", "g++", "libssl1.1", "mariadb-server=1:10.11.6-0+deb12u1"] {
            assert!(package(good.to_owned(), true).is_ok(), "{good}");
        }
        for bad in ["", "-y", "a b", "a;b", "a=", "a=$(x)", "--reinstall"] {
            assert!(package(bad.to_owned(), true).is_err(), "{bad}");
        }
        assert!(package("curl=7".to_owned(), false).is_err(), "nothing is removed by version");
        for bad in ["../x", "a/b", "", "a b", "-x"] {
            assert!(word(bad.to_owned(), "unit").is_err(), "{bad}");
        }
        assert!(word("postgresql@15-main.service".to_owned(), "unit").is_ok());
        assert!(word("net/ipv4/ip_forward".to_owned(), SYSCTL).is_ok());
    }

    #[test]
    fn hashes_of_passwords() {
        for good in [
            // As mkpasswd 5.5 writes them.
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
            "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiQFdcbYEdFCoEOfaS35inz01",
            "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
        ] {
            assert_eq!(password_hash(good.to_owned()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "secret",
            "!",
            "*",
            "$1$abc$def",
            "$6$salt$short",
            "$y$j9T$salt",
            "$6$a:b$c",
            "aaXXXXXXXXXXX",
        ] {
            let fault = password_hash(bad.to_owned()).unwrap_err();
            assert!(bad.is_empty() || bad.len() < 4 || !fault.contains(bad), "{fault}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("700 MiB", 700 << 20), ("1GiB", 1 << 30), ("5 KiB", 5 << 10)] {
            assert_eq!(size(text), Ok(bytes));
        }
        for text in ["", "MiB", "7", "1 MB", "-1 MiB", "99999999999999999999 KiB", "18014398509481985 KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fingerprints_and_keys() {
        let digits = "0123 4567 89ab cdef 0123  4567 89AB CDEF 0123 4567";
        assert_eq!(fingerprint(digits).as_deref(), Ok("0123456789ABCDEF0123456789ABCDEF01234567"));
        for text in ["", "0123", &"g".repeat(40)] {
            assert!(fingerprint(text).is_err(), "{text}");
        }
        assert!(armoured_key("-----BEGIN PGP PUBLIC KEY BLOCK-----\n…").is_ok());
        assert_eq!(
            armoured_key("-----BEGIN PGP PRIVATE KEY BLOCK-----\n…"),
            Err("the key is a private one".to_owned())
        );
    }
}
