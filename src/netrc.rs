//! Who asks servers of packages: credentials from a file in the form of netrc, as apt's `auth.conf` has it too.

use std::fmt::Write as _;
use std::sync::Arc;

/// Credentials, by server. Nothing prints them.
#[derive(Clone, Default)]
pub struct Netrc(Arc<[Entry]>);

/// What one server is told.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    /// `http` if it is to be told without TLS.
    scheme: &'static str,
    /// Host, and port if it is not the scheme's own.
    authority: String,
    /// Of the URL, from a slash on; empty for all.
    path: String,
    login: String,
    password: String,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub login: String,
    /// Their password.
    pub password: String,
}

impl std::fmt::Debug for Netrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Netrc({} entries)", self.0.len())
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Netrc {
    /// Reads `machine [http://]HOST[:PORT][/PATH] login NAME password SECRET`, once or more. Without a scheme, https is meant.
    ///
    /// # Errors
    /// What is wrong, with the line, and without what stands there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut all: Vec<Entry> = Vec::new();
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with('#'));
        let mut words =
            lines.flat_map(|(line, number)| line.split_whitespace().map(move |word| (word, number)));
        while let Some((word, number)) = words.next() {
            let mut value = || {
                let (value, _) =
                    words.next().ok_or_else(|| format!("line {number}: `{word}` has no value"))?;
                Ok::<_, String>(value.to_owned())
            };
            match (word, all.last_mut()) {
                ("machine", _) => all.push(machine(&value()?).ok_or_else(|| {
                    format!("line {number}: `machine` names no host, or another scheme than https and http")
                })?),
                ("login", Some(entry)) => entry.login = value()?,
                ("password", Some(entry)) => entry.password = value()?,
                ("login" | "password", None) => {
                    return Err(format!("line {number}: no `machine` stands before `{word}`"));
                }
                // Whatever stands in the wrong place may be a secret.
                _ => {
                    return Err(format!(
                        "line {number}: there is something else than `machine`, `login` and `password`"
                    ));
                }
            }
        }
        match all.iter().find(|entry| entry.login.is_empty() || entry.password.is_empty()) {
            Some(entry) => Err(format!("`machine {}` has no login or no password", entry.authority)),
            None => Ok(Self(all.into())),
        }
    }

    /// What the server of `url` is told; the first entry that fits counts.
    pub fn find(&self, url: &str) -> Option<Credentials> {
        let wanted = machine(url)?;
        let entry = self.0.iter().find(|entry| {
            let rest = wanted.path.strip_prefix(&entry.path);
            entry.scheme == wanted.scheme
                && entry.authority == wanted.authority
                && rest
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || entry.path.ends_with('/'))
        })?;
        Some(Credentials { login: entry.login.clone(), password: entry.password.clone() })
    }

    /// The same for apt.
    pub fn for_apt(&self) -> String {
        let mut text = String::new();
        for Entry { scheme, authority, path, login, password } in self.0.iter() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "machine {scheme}://{authority}{path} login {login} password {password}");
        }
        text
    }
}

fn machine(text: &str) -> Option<Entry> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let (scheme, port) = match scheme.to_ascii_lowercase().as_str() {
        "https" => ("https", ":443"),
        "http" => ("http", ":80"),
        _ => return None,
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let authority = authority.strip_suffix(port).unwrap_or(&authority).to_owned();
    let (login, password) = (String::new(), String::new());
    (!authority.is_empty()).then(|| Entry { scheme, authority, path: path.to_owned(), login, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_its_own_and_without_tls_only_if_that_is_said() {
        let text = "# ours\nmachine a.example/private login me password s#1\n\
                    machine http://b.example:8080\n  login you\n  password s2\nmachine a.example login all password s3\n";
        let netrc = Netrc::parse(text).unwrap();
        let password = |url: &str| netrc.find(url).map(|found| found.password);
        for (url, expected) in [
            ("https://a.example/private/x", Some("s#1")),
            ("https://A.example:443/private", Some("s#1")),
            ("https://a.example/privates", Some("s3")),
            ("http://a.example/private/x", None),
            ("https://a.example:8443/", None),
            ("http://b.example:8080/x", Some("s2")),
            ("https://b.example:8080/x", None),
            ("https://xa.example/", None),
        ] {
            assert_eq!(password(url).as_deref(), expected, "{url}");
        }
        assert!(netrc.for_apt().contains("machine http://b.example:8080 login you password s2\n"));
        assert_eq!(
            format!("{netrc:?} {:?}", netrc.find("https://a.example/")),
            "Netrc(3 entries) Some(Credentials(…))"
        );
    }

    #[test]
    fn mistakes_are_told_without_what_stands_there() {
        for (text, expected) in [
            ("login me password s3cret", "line 1: no `machine` stands before `login`"),
            ("machine a.example login me password", "line 1: `password` has no value"),
            ("machine a.example login me\n", "`machine a.example` has no login or no password"),
            ("machine a.example\nlogin me password s3cret more", "line 2: there is something else"),
            ("machine ftp://a.example login me password s3cret", "line 1: `machine` names no host"),
            ("default login me password s3cret", "line 1: there is something else"),
        ] {
            let error = Netrc::parse(text).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("s3cret"), "{error}");
        }
        assert!(Netrc::parse("# nothing\n").unwrap().find("https://a.example").is_none());
    }
}
