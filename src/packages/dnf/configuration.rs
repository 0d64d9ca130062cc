//! The repositories and settings of a base image, read as data and written anew.
//!
//! A base image is untrusted, and its repositories are about to be used by the host's dnf. So only keys that are known to be
//! harmless are passed on: none that runs code, leads to a file of the host, or switches verification off.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A section of an INI file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its name: a repository's id, or `main`.
    pub(crate) name: String,
    /// Its keys, in lower case. Of lines that say the same key, the last counts.
    pub(crate) options: BTreeMap<String, String>,
}

/// Settings of `[main]` that are passed on.
const MAIN: [&str; 23] = [
    "allow_vendor_change",
    "best",
    "clean_requirements_on_remove",
    "exclude",
    "excludepkgs",
    "exclude_from_weak",
    "includepkgs",
    "installonly_limit",
    "installonlypkgs",
    "minrate",
    "module_obsoletes",
    "module_platform_id",
    "module_stream_switch",
    "multilib_policy",
    "obsoletes",
    "password",
    "proxy",
    "proxy_password",
    "proxy_username",
    "repo_gpgcheck",
    "retries",
    "throttle",
    "timeout",
];

/// Settings of a repository that are passed on.
const REPOSITORY: [&str; 26] = [
    "baseurl",
    "cost",
    "enabled",
    "exclude",
    "excludepkgs",
    "gpgkey",
    "includepkgs",
    "metalink",
    "mirrorlist",
    "minrate",
    "module_hotfixes",
    "name",
    "password",
    "priority",
    "proxy",
    "proxy_password",
    "proxy_username",
    "repo_gpgcheck",
    "retries",
    // Client certificates: paths, which are looked up in the image.
    "sslcacert",
    "sslclientcert",
    "sslclientkey",
    "throttle",
    "timeout",
    "type",
    "username",
];

/// Settings that switch verification off when they say no.
const CHECKS: [&str; 2] = ["gpgcheck", "sslverify"];

impl Section {
    /// What an INI file holds, as libdnf reads it: comments are lines of their own, indented lines continue a value.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, String> {
        let mut sections: Vec<Self> = Vec::new();
        let mut last: Option<String> = None;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                let value =
                    sections.last_mut().zip(last.as_ref()).and_then(|(s, key)| s.options.get_mut(key));
                let value = value.ok_or_else(|| format!("`{trimmed}` continues nothing"))?;
                value.push('\n');
                value.push_str(trimmed);
            } else if let Some(name) = trimmed.strip_prefix('[') {
                let name = name.split(']').next().map(str::trim).filter(|name| !name.is_empty());
                let name = name
                    .filter(|_| trimmed.contains(']'))
                    .ok_or_else(|| format!("`{trimmed}` is no section"))?;
                sections.push(Self { name: name.to_owned(), ..Self::default() });
                last = None;
            } else {
                let (key, value) =
                    trimmed.split_once('=').ok_or_else(|| format!("`{trimmed}` says nothing"))?;
                let key = key.trim().to_lowercase();
                let section = sections.last_mut().ok_or_else(|| format!("`{trimmed}` is in no section"))?;
                section.options.insert(key.clone(), value.trim().to_owned());
                last = Some(key);
            }
        }
        Ok(sections)
    }

    pub(crate) fn is_enabled(&self) -> bool {
        !self.options.get("enabled").is_some_and(|value| says_no(value))
    }

    /// Checks that the section switches off.
    pub(crate) fn switched_off(&self) -> Vec<&'static str> {
        let off = |key: &&str| self.options.get(*key).is_some_and(|value| says_no(value));
        CHECKS.into_iter().filter(off).collect()
    }

    /// The settings of `[main]` that are passed on.
    pub(crate) fn main(&self) -> Self {
        self.kept(&MAIN)
    }

    /// The settings of a repository that are passed on.
    pub(crate) fn repository(&self) -> Self {
        self.kept(&REPOSITORY)
    }

    fn kept(&self, keys: &[&str]) -> Self {
        let kept = self.options.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        Self { name: self.name.clone(), options: kept.map(|(k, v)| (k.clone(), v.clone())).collect() }
    }

    pub(crate) fn set(&mut self, key: &str, values: &[String]) {
        if values.is_empty() {
            self.options.remove(key);
        } else {
            self.options.insert(key.to_owned(), values.join("\n"));
        }
    }
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "[{}]", self.name)?;
        for (key, value) in &self.options {
            writeln!(f, "{key}={}", value.replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

/// A file of sections.
pub(crate) fn text<'a>(sections: impl IntoIterator<Item = &'a Section>) -> String {
    sections.into_iter().fold(String::new(), |mut text, section| {
        let _ = writeln!(text, "{section}");
        text
    })
}

fn says_no(value: &str) -> bool {
    ["no", "false", "off", "0"].contains(&value.to_lowercase().as_str())
}

/// Whether this would be fetched from elsewhere, and not from the host itself.
pub(crate) fn is_remote(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https" | "ftp")) && !url.contains(|c: char| c.is_control())
}

/// For the fuzzer: whatever a file of repositories holds, what is passed on is read as the same again, and has no other keys.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(bytes: &[u8]) {
    let found = Section::parse(&String::from_utf8_lossy(bytes)).unwrap_or_default();
    for section in found {
        for (written, keys) in [(section.repository(), &REPOSITORY[..]), (section.main(), &MAIN)] {
            assert!(written.options.keys().all(|key| keys.contains(&key.as_str())));
            let again = Section::parse(&text([&written]));
            assert_eq!(again.as_deref(), Ok(&[written][..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_passed_on() {
        let text = "# comment\n[main]\ngpgcheck=1\nbest=True\nplugins=1\npluginpath=/evil\n\n\
            [base os]\nName = Base $releasever\nbaseurl=https://a/$basearch\n   https://b/\n; x\nENABLED=1\n\
            gpgcheck = 0\nsslverify=False\ncountme=1\ngpgkey=file:///etc/k\nlocal=/etc\n\
            [off]\nbaseurl=http://x\nenabled=0\n";
        let sections = Section::parse(text).unwrap();
        assert_eq!(super::text([&sections[0].main()]), "[main]\nbest=True\n\n");
        insta::assert_snapshot!(sections[1].repository(), @r"
        [base os]
        baseurl=https://a/$basearch
          https://b/
        enabled=1
        gpgkey=file:///etc/k
        name=Base $releasever
        ");
        assert_eq!(sections[1].switched_off(), ["gpgcheck", "sslverify"]);
        assert_eq!([sections[1].is_enabled(), sections[2].is_enabled()], [true, false]);
        for bad in ["x=1\n", "[a\n", "[]\n", "[ ]\n", "[a]\nword\n", "[a]\n  indented\n"] {
            assert!(Section::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_remote() {
        for (url, remote) in [
            ("https://a/x", true),
            ("HTTP://a/x", true),
            ("ftp://a/x", true),
            ("file:///etc", false),
            ("/etc", false),
            ("$scheme://a", false),
            ("https://a/\n[x]", false),
        ] {
            assert_eq!(is_remote(url), remote, "{url}");
        }
    }

    proptest! {
        /// Whatever an image holds, what is written is read as the same again, and has no other keys.
        #[test]
        fn nothing_unknown_passes(text in "(?s)((\\[[a-z ]{0,3}\\]|baseurl|gpgkey|plugins|gpgcheck)=?[ -~]{0,12}\n[ \t]?|\\PC{0,10}\n){0,12}") {
            any_text(text.as_bytes());
        }
    }
}
