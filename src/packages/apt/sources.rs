//! The package sources of a base image, read as data and written anew.
//!
//! A base image is untrusted, and its sources are about to be used by the host's apt. So nothing is passed
//! on as it stands: both formats are parsed, only what is known to be harmless is kept, and one canonical
//! deb822 text comes out. Options that switch verification off are dropped, other transports are refused.

use std::collections::BTreeMap;

/// One stanza of binary package sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Base URLs.
    pub(crate) uris: Vec<String>,
    /// Suites, or directories that end in `/`.
    pub(crate) suites: Vec<String>,
    components: Vec<String>,
    /// Which keys may sign it.
    pub(crate) signed_by: SignedBy,
    /// Further fields that are passed on, by their deb822 name.
    options: BTreeMap<&'static str, String>,
    /// Fields that would have switched verification off.
    pub(crate) dropped: Vec<String>,
}

/// Which keys may sign a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SignedBy {
    /// Any of `trusted.gpg` and `trusted.gpg.d`.
    #[default]
    Trusted,
    /// Paths of keyrings, or fingerprints of trusted keys.
    Items(Vec<String>),
    /// A key written in the stanza itself, its lines as deb822 writes them.
    Inline(Vec<String>),
}

/// Options that are passed on: deb822's name, and that of the one-line format.
const KEPT: [(&str, &str); 11] = [
    ("Architectures", "arch"),
    ("By-Hash", "by-hash"),
    ("Check-Date", "check-date"),
    ("Check-Valid-Until", "check-valid-until"),
    ("Date-Max-Future", "date-max-future"),
    ("Exclude", "exclude"),
    ("Include", "include"),
    ("InRelease-Path", "inrelease-path"),
    ("Snapshot", "snapshot"),
    ("Valid-Until-Max", "valid-until-max"),
    ("Valid-Until-Min", "valid-until-min"),
];

/// Options that switch verification off when they say yes.
const UNSAFE: [&str; 4] = ["trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"];

impl Source {
    /// Reads a `.list` file.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        lines.filter(|line| !line.is_empty()).filter_map(|line| Self::parse_line(line).transpose()).collect()
    }

    fn parse_line(line: &str) -> Result<Option<Self>, String> {
        let (kind, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match kind {
            "deb" => {}
            "deb-src" => return Ok(None),
            _ => return Err(format!("unknown line `{line}`")),
        }
        let mut source = Self::default();
        let mut rest = rest.trim_start();
        if let Some(options) = rest.strip_prefix('[') {
            let (options, after) = options.split_once(']').ok_or("an option list has no end")?;
            for option in options.split_whitespace() {
                let (name, value) = option.split_once('=').ok_or(format!("unknown option `{option}`"))?;
                let name = name.to_lowercase();
                if name == "signed-by" {
                    source.signed_by = SignedBy::Items(value.split(',').map(str::to_owned).collect());
                } else {
                    source.set(&name, &value.replace(',', " "));
                }
            }
            rest = after;
        }
        let mut words = rest.split_whitespace().map(str::to_owned);
        source.uris.push(words.next().ok_or(format!("`{line}` has no URL"))?);
        source.suites.push(words.next().ok_or(format!("`{line}` has no suite"))?);
        source.components = words.collect();
        Ok(Some(source))
    }

    /// Reads a `.sources` file.
    pub(crate) fn parse_deb822(text: &str) -> Result<Vec<Self>, String> {
        let mut sources = Vec::new();
        for stanza in stanzas(text) {
            sources.extend(Self::parse_stanza(&stanza?)?);
        }
        Ok(sources)
    }

    fn parse_stanza(fields: &[(String, Vec<String>)]) -> Result<Option<Self>, String> {
        let mut source = Self::default();
        let (mut kinds, mut enabled) = (Vec::new(), true);
        for (name, lines) in fields {
            let value = lines.join(" ").trim().to_owned();
            let words = || value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            match name.as_str() {
                "types" => kinds = words(),
                "uris" => source.uris = words(),
                "suites" => source.suites = words(),
                "components" => source.components = words(),
                "enabled" => enabled = !says_no(&value),
                "signed-by" if lines.iter().any(|line| line.contains("-----BEGIN")) => {
                    source.signed_by = SignedBy::Inline(lines.clone());
                }
                "signed-by" => {
                    let items = value.split([',', ' ', '\t']).filter(|item| !item.is_empty());
                    source.signed_by = SignedBy::Items(items.map(str::to_owned).collect());
                }
                _ => source.set(name, &value),
            }
        }
        if !enabled || !kinds.iter().any(|kind| kind == "deb") {
            return Ok(None);
        }
        if source.uris.is_empty() || source.suites.is_empty() {
            return Err("a stanza has no URIs or no Suites".to_owned());
        }
        Ok(Some(source))
    }

    /// Takes an option by either format's name, lower case.
    fn set(&mut self, name: &str, value: &str) {
        if UNSAFE.contains(&name) {
            if !says_no(value) {
                self.dropped.push(name.to_owned());
            }
        } else if let Some((field, _)) =
            KEPT.iter().find(|(field, option)| *option == name || field.eq_ignore_ascii_case(name))
        {
            self.options.insert(field, value.to_owned());
        }
        // The rest chooses indexes (languages, targets, diffs) that are not fetched here anyway.
    }
}

fn says_no(value: &str) -> bool {
    ["no", "false", "without", "off", "disable", "0"].contains(&value.to_lowercase().as_str())
}

type Fields = Vec<(String, Vec<String>)>;

/// Stanzas of a deb822 text: names in lower case, values line by line.
fn stanzas(text: &str) -> impl Iterator<Item = Result<Fields, String>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let groups: Vec<Vec<&str>> = lines
        .split(|line| line.trim().is_empty())
        .filter(|group| !group.is_empty())
        .map(<[_]>::to_vec)
        .collect();
    groups.into_iter().map(|group| {
        let mut fields = Fields::new();
        for line in group {
            if line.starts_with([' ', '\t']) {
                let (_, lines) = fields.last_mut().ok_or(format!("`{}` continues nothing", line.trim()))?;
                lines.push(line.trim().to_owned());
            } else {
                let (name, value) = line.split_once(':').ok_or(format!("`{line}` is no field"))?;
                fields.push((name.trim().to_lowercase(), vec![value.trim().to_owned()]));
            }
        }
        Ok(fields)
    })
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "Types: deb")?;
        writeln!(f, "URIs: {}", self.uris.join(" "))?;
        writeln!(f, "Suites: {}", self.suites.join(" "))?;
        if !self.components.is_empty() {
            writeln!(f, "Components: {}", self.components.join(" "))?;
        }
        match &self.signed_by {
            SignedBy::Trusted => {}
            SignedBy::Items(items) => writeln!(f, "Signed-By: {}", items.join(" "))?,
            SignedBy::Inline(lines) => {
                let lines: Vec<_> =
                    lines.iter().map(|line| if line.is_empty() { "." } else { line }).collect();
                // The first line holds what stood behind the colon, which is usually nothing.
                let (first, rest) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
                writeln!(f, "Signed-By:{}", if first == "." { String::new() } else { format!(" {first}") })?;
                rest.iter().try_for_each(|line| writeln!(f, " {line}"))?;
            }
        }
        self.options.iter().try_for_each(|(field, value)| writeln!(f, "{field}: {value}"))
    }
}

/// The first http(s) URL of a mirror list, as `mirror+file:` sources name one.
pub(crate) fn first_mirror(list: &str) -> Option<&str> {
    list.lines().filter_map(|line| line.split_whitespace().next()).find(|url| is_web(url))
}

/// Whether apt would fetch this over HTTP or HTTPS.
pub(crate) fn is_web(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https")) && !url.contains(|c: char| c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn render(sources: &[Source]) -> String {
        sources.iter().map(Source::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn one_line_sources() {
        let text = "# comment\n\
            deb http://a.example/debian bookworm main contrib # more\n\
            deb-src http://a.example/debian bookworm main\n\
            deb [arch=amd64,i386 signed-by=/usr/share/keyrings/x.gpg,/etc/k.asc trusted=yes lang=de] https://b.example/ ./\n";
        let sources = Source::parse_list(text).unwrap();
        insta::assert_snapshot!(render(&sources), @r"
        Types: deb
        URIs: http://a.example/debian
        Suites: bookworm
        Components: main contrib

        Types: deb
        URIs: https://b.example/
        Suites: ./
        Signed-By: /usr/share/keyrings/x.gpg /etc/k.asc
        Architectures: amd64 i386
        ");
        assert_eq!(sources[1].dropped, ["trusted"]);
    }

    #[test]
    fn deb822_sources() {
        let text = "Types: deb deb-src\nURIs: http://a.example/debian\n#URIs: http://old.example\nSuites: trixie\n trixie-updates\nComponents: main\nSigned-By: /usr/share/keyrings/x.pgp\nAllow-Insecure: no\n\n\
            Enabled: no\nTypes: deb\nURIs: http://off.example\nSuites: x\n\n\
            Types: deb-src\nURIs: http://src.example\nSuites: x\n\n\n\
            Types: deb\nURIs: https://c.example\nSuites: stable\nTrusted: yes\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n -----END PGP PUBLIC KEY BLOCK-----\n";
        let sources = Source::parse_deb822(text).unwrap();
        insta::assert_snapshot!(render(&sources), @r"
        Types: deb
        URIs: http://a.example/debian
        Suites: trixie trixie-updates
        Components: main
        Signed-By: /usr/share/keyrings/x.pgp

        Types: deb
        URIs: https://c.example
        Suites: stable
        Signed-By:
         -----BEGIN PGP PUBLIC KEY BLOCK-----
         .
         mQ==
         -----END PGP PUBLIC KEY BLOCK-----
        ");
        assert_eq!(Source::parse_deb822(&render(&sources)).unwrap().len(), 2, "what is written can be read");
        assert_eq!(sources[1].dropped, ["trusted"]);
    }

    #[test]
    fn what_is_not_a_source() {
        for text in
            ["rpm http://a x", "deb", "deb http://a", "deb [arch=amd64 http://a x", "deb [x] http://a x"]
        {
            assert!(Source::parse_list(text).is_err(), "{text}");
        }
        for text in ["Types: deb", " x", "nonsense", "Types: deb\nURIs: http://a"] {
            assert!(Source::parse_deb822(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mirror_lists() {
        let list = "# ours\nfile:/srv/mirror\nhttps://m.example/debian\tpriority:1\nhttp://n.example\n";
        assert_eq!(first_mirror(list), Some("https://m.example/debian"));
        assert_eq!(first_mirror("file:/srv\ncopy:/x\n"), None);
    }

    proptest! {
        /// Whatever an image holds, only the fields we know come out, one per line.
        #[test]
        fn nothing_unknown_passes(text in "(?s)((Types|URIs|Suites|Signed-By|Trusted|X-Y): ?[ -~]{0,20}\n ?|\\PC{0,10}\n){0,12}") {
            for source in Source::parse_deb822(&text).unwrap_or_default() {
                let written = source.to_string();
                for line in written.lines().filter(|line| !line.starts_with(' ')) {
                    let name = line.split(':').next().unwrap_or_default();
                    let known = ["Types", "URIs", "Suites", "Components", "Signed-By"];
                    prop_assert!(known.contains(&name) || KEPT.iter().any(|(field, _)| *field == name), "{line}");
                }
            }
            let _ = Source::parse_list(&text);
        }
    }
}
