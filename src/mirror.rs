//! Mirrors: where bytes come from in place of the servers that recipes, images and the catalogue name.
//!
//! What is recorded (plans, manifests, origins) names the source all the same, and what has to be verified is verified as if it
//! came from there.

use std::sync::Arc;

use serde::Deserialize;

use crate::error::{Diagnose, Exit};
use crate::toml_text;

/// The mirrors of a person or a site.
#[derive(Debug, Clone, Default)]
pub struct Mirrors(Arc<[Mirror]>);

/// What takes the place of all URLs that begin with another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    /// Without a `/` at the end, like the mirror's.
    url: String,
    mirror: String,
    in_image: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mirror: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    url: toml::Spanned<String>,
    mirror: toml::Spanned<String>,
    #[serde(default)]
    in_image: bool,
}

/// A file of settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct MirrorError {
    /// The file.
    file: String,
    /// Its line, from 1.
    line: usize,
    /// What is wrong with it.
    message: String,
}

impl Diagnose for MirrorError {
    fn exit(&self) -> Exit {
        Exit::Recipe
    }

    fn hint(&self) -> Option<String> {
        Some("docs/mirrors.md describes what this file can hold".to_owned())
    }
}

/// What a URL of a source may begin with, and that of a mirror.
const SOURCES: [&str; 4] = ["https", "http", "git", "ssh"];
const SERVERS: [&str; 2] = ["https", "http"];

impl Mirrors {
    /// Reads what a file of settings, called `file` in messages, says.
    ///
    /// # Errors
    /// [`MirrorError`], with the line.
    pub fn parse(file: &str, text: &str) -> Result<Self, MirrorError> {
        let wrong = |offset: usize, message: String| MirrorError {
            file: file.to_owned(),
            line: toml_text::line_of(text, offset),
            message,
        };
        let parsed: File = toml::from_str(text).map_err(|error| {
            wrong(error.span().map_or(0, |span| span.start), toml_text::reword(error.message()))
        })?;
        let mut all: Vec<Mirror> = Vec::new();
        for Entry { url, mirror, in_image } in &parsed.mirror {
            let given = |text: &toml::Spanned<String>, key: &str, schemes: &[&str]| {
                normal(text.get_ref(), schemes)
                    .map_err(|problem| wrong(text.span().start, format!("`{key}` {problem}")))
            };
            let found = Mirror {
                url: given(url, "url", &SOURCES)?,
                mirror: given(mirror, "mirror", &SERVERS)?,
                in_image: *in_image,
            };
            if found.mirror.contains('?') {
                return Err(wrong(mirror.span().start, "`mirror` has a query".to_owned()));
            }
            if all.iter().any(|known| known.url == found.url) {
                return Err(wrong(url.span().start, format!("`{}` has a mirror already", found.url)));
            }
            all.push(found);
        }
        // The longest first: it counts.
        all.sort_by_key(|mirror| std::cmp::Reverse(mirror.url.len()));
        let mirrors = Self(all.into());
        for entry in &parsed.mirror {
            if let Some(again) = mirrors.fetched(entry.mirror.get_ref()) {
                let message = format!("`mirror` is mirrored itself, by `{again}`: name that one");
                return Err(wrong(entry.mirror.span().start, message));
            }
        }
        Ok(mirrors)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where to get what `url` names, if that is not where it is.
    pub fn fetched(&self, url: &str) -> Option<String> {
        self.find(url).map(|(mirror, rest)| format!("{}{rest}", mirror.mirror))
    }

    /// Where instances find what `url` names, if the image is to name a mirror.
    pub fn in_image(&self, url: &str) -> Option<String> {
        let (mirror, rest) = self.find(url)?;
        mirror.in_image.then(|| format!("{}{rest}", mirror.mirror))
    }

    /// Sources whose mirrors images name: the beginning of URLs, and what takes its place; the longest first.
    pub fn all_in_image(&self) -> Vec<(&str, &str)> {
        let all = self.0.iter().filter(|mirror| mirror.in_image);
        all.map(|mirror| (mirror.url.as_str(), mirror.mirror.as_str())).collect()
    }

    /// What takes the place of `url` as a whole: a list of mirrors, whose own place nothing follows.
    pub fn of_exactly(&self, url: &str) -> Option<String> {
        self.find(url)
            .filter(|(_, rest)| rest.trim_matches('/').is_empty())
            .map(|(mirror, _)| mirror.mirror.clone())
    }

    fn find(&self, url: &str) -> Option<(&Mirror, String)> {
        if self.0.is_empty() {
            return None;
        }
        let url = normal_case(url);
        self.0.iter().find_map(|mirror| {
            let rest = url.strip_prefix(&mirror.url)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (mirror, rest.to_owned()))
        })
    }
}

/// A URL in the form that is compared, without a `/` at its end.
fn normal(text: &str, schemes: &[&str]) -> Result<String, String> {
    let url = normal_case(text);
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| schemes.contains(scheme)) else {
        return Err(format!("is no URL of {}", schemes.join(", ")));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty()
        || text.contains(|c: char| c.is_whitespace() || c.is_control() || "#'\"\\|`$".contains(c))
    {
        return Err("is no URL: it needs a host, and neither spaces nor a fragment".to_owned());
    }
    // Messages and logs tell URLs.
    if authority.contains('@') && (scheme != "ssh" || authority.contains(':')) {
        return Err(
            "holds credentials, which logs would tell: `--repository-auth FILE` takes them".to_owned()
        );
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// The same URL with scheme and host in lower case and without the port that its scheme has by itself.
fn normal_case(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let authority = authority.strip_suffix(port).filter(|host| !port.is_empty() && !host.is_empty());
    let lower = rest[..rest.len() - path.len()].to_ascii_lowercase();
    format!("{scheme}://{}{path}", authority.unwrap_or(&lower))
}

/// Which URLs were replaced by those of mirrors, to find back from these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced(Vec<(String, String)>);

impl Replaced {
    /// Where to get what `url` names.
    pub fn fetch(&mut self, mirrors: &Mirrors, url: &str) -> String {
        let Some((mirror, rest)) = mirrors.find(url) else { return url.to_owned() };
        let fetched = format!("{}{rest}", mirror.mirror);
        self.remember(&fetched, url);
        // What stands in a URL may stand for something else: `$basearch`.
        self.remember(&mirror.mirror, &mirror.url);
        fetched
    }

    /// Remembers that `fetched` stands for `url`.
    pub fn remember(&mut self, fetched: &str, url: &str) {
        let pair = (fetched.trim_end_matches('/').to_owned(), url.trim_end_matches('/').to_owned());
        if !self.0.contains(&pair) {
            self.0.push(pair);
            // The longest first: it counts.
            self.0.sort_by_key(|(fetched, _)| std::cmp::Reverse(fetched.len()));
        }
    }

    /// What something from a mirror is called where it is from.
    pub fn original(&self, fetched: &str) -> String {
        let found = self.0.iter().find_map(|(mirror, url)| {
            let rest = fetched.strip_prefix(mirror)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{url}{rest}"))
        });
        found.unwrap_or_else(|| fetched.to_owned())
    }

    /// The pairs: what is fetched, and what it stands for.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(text: &str) -> Mirrors {
        Mirrors::parse("config.toml", text).unwrap()
    }

    #[test]
    fn the_longest_prefix_that_ends_at_a_slash_counts() {
        let mirrors = mirrors(
            "[[mirror]]\nurl = 'https://a.example/'\nmirror = 'http://m.example/a/'\n\
             [[mirror]]\nurl = 'https://a.example/deep'\nmirror = 'http://m.example:8080'\nin-image = true\n\
             [[mirror]]\nurl = 'https://l.example/list?repo=BaseOS-9'\nmirror = 'http://m.example/base'\n",
        );
        for (url, expected) in [
            ("https://a.example/x?y", Some("http://m.example/a/x?y")),
            ("https://a.example", Some("http://m.example/a")),
            ("https://a.example/", Some("http://m.example/a/")),
            ("HTTPS://A.Example:443/X", Some("http://m.example/a/X")),
            ("https://a.example/deep/x", Some("http://m.example:8080/x")),
            ("https://a.example/deeper", Some("http://m.example/a/deeper")),
            ("https://l.example/list?repo=BaseOS-9", Some("http://m.example/base")),
            ("https://l.example/list?repo=BaseOS-91", None),
            ("https://a.example.evil/x", None),
            ("https://a.example:8443/x", None),
            ("http://a.example/x", None),
            ("a.example/x", None),
        ] {
            assert_eq!(mirrors.fetched(url).as_deref(), expected, "{url}");
        }
        assert_eq!(mirrors.in_image("https://a.example/deep/x").as_deref(), Some("http://m.example:8080/x"));
        assert_eq!(mirrors.in_image("https://a.example/x"), None);
        assert_eq!(mirrors.all_in_image(), [("https://a.example/deep", "http://m.example:8080")]);
        assert_eq!(mirrors.of_exactly("https://a.example/x"), None);
        assert_eq!(
            mirrors.of_exactly("https://l.example/list?repo=BaseOS-9").as_deref(),
            Some("http://m.example/base")
        );
        assert_eq!(Mirrors::default().fetched("https://a.example/x"), None);
    }

    #[test]
    fn what_came_from_a_mirror_is_called_as_where_it_is_from() {
        let mirrors = mirrors("[[mirror]]\nurl = 'https://a.example/'\nmirror = 'http://m.example/a/'\n");
        let mut replaced = Replaced::default();
        assert_eq!(replaced.fetch(&mirrors, "https://a.example/debian/"), "http://m.example/a/debian/");
        assert_eq!(replaced.fetch(&mirrors, "https://b.example/"), "https://b.example/");
        replaced.remember("http://m.example/a/debian/deep", "https://c.example");
        for (fetched, expected) in [
            ("http://m.example/a/debian/pool/x.deb", "https://a.example/debian/pool/x.deb"),
            ("http://m.example/a/debian/deep/x.deb", "https://c.example/x.deb"),
            ("http://m.example/a/debians/x.deb", "https://a.example/debians/x.deb"),
            ("http://m.example/b/x.deb", "http://m.example/b/x.deb"),
            ("https://b.example/x", "https://b.example/x"),
        ] {
            assert_eq!(replaced.original(fetched), expected);
        }
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let one = |url: &str, mirror: &str| format!("[[mirror]]\nurl = '{url}'\nmirror = '{mirror}'\n");
        let both = |first: &str, second: &str| format!("{first}{second}");
        for (text, expected) in [
            ("[[miror]]\n".to_owned(), "c:1: unknown key `miror`; did you mean `mirror`?"),
            (
                "[[mirror]]\nurl = 'https://a.example'\nin_image = true\n".to_owned(),
                "c:3: unknown key `in_image`",
            ),
            ("[[mirror]]\nurl = 'https://a.example'\n".to_owned(), "missing key `mirror`"),
            (one("ftp://a.example", "http://m.example"), "c:2: `url` is no URL of https, http, git, ssh"),
            (one("https:///x", "http://m.example"), "c:2: `url` is no URL: it needs a host"),
            (one("https://a.example", "file:///srv"), "c:3: `mirror` is no URL of https, http"),
            (one("https://a.example", "http://me:secret@m.example"), "c:3: `mirror` holds credentials"),
            (one("https://a.example", "http://m.example/?x"), "c:3: `mirror` has a query"),
            (one("https://a.example", "https://A.example/m"), "c:3: `mirror` is mirrored itself"),
            (
                both(
                    &one("https://a.example", "http://m.example"),
                    &one("https://a.example/", "http://n.example"),
                ),
                "c:5: `https://a.example` has a mirror already",
            ),
            ("url = \n".to_owned(), "c:1: "),
        ] {
            let error = Mirrors::parse("c", &text).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.to_string().contains("secret"));
        }
        assert!(Mirrors::parse("c", "# nothing yet\n").unwrap().fetched("https://a.example").is_none());
    }
}
