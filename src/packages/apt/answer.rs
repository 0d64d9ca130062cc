//! What apt answers: simulated transactions and lists of files to fetch.

use std::collections::HashMap;

use super::error::AptError;
use crate::digest::Digest;
use crate::fetch::redact_text;

/// One line of a simulated transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Simulated {
    /// A package is unpacked.
    Unpack { name: String, version: String, arch: String },
    /// A package is configured.
    Configure { name: String },
    /// A package is removed, with or without its configuration.
    Remove { name: String },
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    /// Where from; without credentials, so that it may be told.
    pub(crate) url: String,
}

/// Reads the output of `apt-get --simulate`.
pub(crate) fn simulation(text: &str) -> Result<Vec<Simulated>, AptError> {
    let mut all = Vec::new();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let name = || rest.split(' ').next().unwrap_or_default().to_owned();
        match word {
            "Inst" => {
                let odd = || AptError::Answer(format!("`{line}`"));
                let (version, arch) = details(rest).ok_or_else(odd)?;
                all.push(Simulated::Unpack { name: name(), version, arch });
            }
            "Conf" => all.push(Simulated::Configure { name: name() }),
            "Remv" | "Purg" => all.push(Simulated::Remove { name: name() }),
            _ => {}
        }
    }
    Ok(all)
}

/// Version and architecture in `name [old] (version Origin:1/suite [arch]) [waiting]`.
fn details(rest: &str) -> Option<(String, String)> {
    let inner = rest.split_once('(')?.1.split_once(')')?.0;
    let version = inner.split(' ').next()?;
    let arch = inner.rsplit_once('[')?.1.strip_suffix(']')?;
    Some((version.to_owned(), arch.to_owned()))
}

/// Packages that apt chose for names that are only provided, by the name asked for.
pub(crate) fn selections(text: &str) -> HashMap<&str, &str> {
    // Note, selecting 'postfix' instead of 'mail-transport-agent'
    let notes = text.lines().filter_map(|line| line.strip_prefix("Note, selecting '"));
    notes
        .filter_map(|note| note.strip_suffix('\'')?.split_once("' instead of '"))
        .map(|(new, old)| (old, new))
        .collect()
}

/// Packages of which an older version takes the place of the installed one.
pub(crate) fn downgraded(text: &str) -> impl Iterator<Item = &str> {
    let list = text.lines().skip_while(|line| *line != "The following packages will be DOWNGRADED:").skip(1);
    list.take_while(|line| line.starts_with(' ')).flat_map(str::split_whitespace)
}

/// Packages that provide a name that is no package's own, as apt lists them when it cannot choose.
pub(crate) fn providers(lines: &[String], name: &str) -> Vec<String> {
    let start = format!("Package {name} is a virtual package provided by:");
    let list = lines.iter().skip_while(|line| **line != start).skip(1);
    let listed = list.take_while(|line| line.starts_with(' '));
    listed.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Reads the output of `apt-get --print-uris`: files by the name apt gives them.
pub(crate) fn fetches(text: &str) -> Result<HashMap<String, Fetch>, AptError> {
    let mut all = HashMap::new();
    for line in text.lines().filter(|line| line.starts_with('\'')) {
        let mut words = line.rsplitn(4, ' ');
        let digest = words.next().and_then(|hash| Digest::parse(hash.strip_prefix("SHA256:")?));
        let size = words.next().and_then(|size| size.parse().ok());
        match (digest, size, words.next(), words.next()) {
            (Some(digest), Some(size), Some(name), Some(url)) => {
                let url = redact_text(url.trim_matches('\''));
                all.insert(name.to_owned(), Fetch { size, digest, url });
            }
            _ => return Err(AptError::Answer(format!("`{line}` has no SHA-256"))),
        }
    }
    Ok(all)
}

/// The name apt gives to a package's file: colons of an epoch are quoted.
pub(crate) fn file_name(name: &str, version: &str, arch: &str) -> String {
    let bare = name.split(':').next().unwrap_or(name);
    format!("{bare}_{}_{arch}.deb", version.replace(':', "%3a"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_transactions() {
        let text = "Reading package lists...\n\
            Remv old [1.0] [x:amd64 ]\n\
            Inst libc6 [2.36-9] (2.36-9+deb12u1 Debian:12.1/stable, Debian-Security:12/stable-security [amd64]) [libc-bin:amd64 ]\n\
            Inst mysql-common (5.8+1.1.0 Debian:12.15/oldstable [all])\n\
            Inst zlib1g:i386 (1:1.2 Debian:12/stable [i386])\n\
            Conf libc6 (2.36-9+deb12u1 Debian:12.1/stable [amd64])\n\
            Purg rest [2]\n";
        let unpack = |name: &str, version: &str, arch: &str| Simulated::Unpack {
            name: name.to_owned(),
            version: version.to_owned(),
            arch: arch.to_owned(),
        };
        assert_eq!(
            simulation(text).unwrap(),
            [
                Simulated::Remove { name: "old".to_owned() },
                unpack("libc6", "2.36-9+deb12u1", "amd64"),
                unpack("mysql-common", "5.8+1.1.0", "all"),
                unpack("zlib1g:i386", "1:1.2", "i386"),
                Simulated::Configure { name: "libc6".to_owned() },
                Simulated::Remove { name: "rest".to_owned() },
            ]
        );
        assert!(simulation("Inst odd\n").is_err());
    }

    #[test]
    fn chosen_providers() {
        let text = "Note, selecting 'postfix' instead of 'mail-transport-agent'\nother 'a' 'b'\n";
        assert_eq!(selections(text), HashMap::from([("mail-transport-agent", "postfix")]));
    }

    #[test]
    fn lists_among_the_talk() {
        let text = "The following packages will be DOWNGRADED:\n  a b\n  c\n0 upgraded, 3 downgraded\n";
        assert_eq!(downgraded(text).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(downgraded("a\n  b\n").count(), 0);
        let lines =
            ["x", "Package mail is a virtual package provided by:", "  postfix 3.7", "  exim4 4.96", "E: y"];
        let lines = lines.map(str::to_owned);
        assert_eq!(providers(&lines, "mail"), ["postfix", "exim4"]);
        assert!(providers(&lines, "other").is_empty());
    }

    #[test]
    fn files_to_fetch() {
        let digest = Digest::of(b"x");
        let name = file_name("x:i386", "1:2~3", "i386");
        assert_eq!(name, "x_1%3a2~3_i386.deb");
        let url = "http://a/pool/x_2.deb".to_owned();
        for at in ["a", "user:p@ss@a"] {
            let text = format!("notes\n'http://{at}/pool/x_2.deb' {name} 27624 SHA256:{digest}\n");
            let file = Fetch { size: 27624, digest, url: url.clone() };
            assert_eq!(fetches(&text).unwrap(), HashMap::from([(name.clone(), file)]));
        }
        for bad in [
            "'http://a' x 1 MD5Sum:00",
            "'http://a' x 1 ",
            "'http://a' x y SHA256:00",
            &format!("'http://a' x y SHA256:{digest}"),
            &format!("'x' 1 SHA256:{digest}"),
        ] {
            assert!(fetches(bad).is_err(), "{bad}");
        }
    }
}
