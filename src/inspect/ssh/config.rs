//! `sshd_config` as sshd takes it: the first value of a setting wins, files are included at their place, and what
//! stands below `Match` holds for some connections only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{escape, glob, join, read_optional, show};

pub(crate) const MAIN: &[u8] = b"/etc/ssh/sshd_config";
const DIRECTORY: &[u8] = b"/etc/ssh";

/// How deeply files may include one another, as in sshd.
const DEPTH_LIMIT: usize = 16;

/// The most lines that are read, of all files together.
const LINE_LIMIT: usize = 200_000;

/// A setting of sshd.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SshdSetting {
    /// Its name, as in sshd_config(5).
    pub name: String,
    /// Its value; a few settings have several.
    pub values: Vec<String>,
    /// The file that sets it; none where it is OpenSSH's own default.
    pub file: Option<String>,
    /// For which connections it holds, as in a `Match` line; none: for all that no such line changes.
    pub matching: Option<String>,
}

/// What a setting may say.
#[derive(Clone, Copy)]
enum Form {
    /// `yes` or `no`.
    Flag,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Port numbers; each one counts.
    Ports,
    /// Anything; several words on a line count.
    Text,
}

/// The settings that are read: name, other names of it, form, OpenSSH's default.
const SETTINGS: [(&str, &[&str], Form, &str); 11] = [
    ("Port", &[], Form::Ports, "22"),
    (
        "PermitRootLogin",
        &[],
        Form::Words(&["yes", "no", "prohibit-password", "without-password", "forced-commands-only"]),
        "prohibit-password",
    ),
    ("PasswordAuthentication", &[], Form::Flag, "yes"),
    (
        "KbdInteractiveAuthentication",
        &["ChallengeResponseAuthentication", "SkeyAuthentication"],
        Form::Flag,
        "yes",
    ),
    ("PubkeyAuthentication", &["DSAAuthentication"], Form::Flag, "yes"),
    ("PermitEmptyPasswords", &[], Form::Flag, "no"),
    ("UsePAM", &[], Form::Flag, "no"),
    ("AuthorizedKeysFile", &[], Form::Text, ".ssh/authorized_keys .ssh/authorized_keys2"),
    ("AuthorizedKeysCommand", &[], Form::Text, "none"),
    ("TrustedUserCAKeys", &[], Form::Text, "none"),
    ("HostKey", &[], Form::Text, ""),
];

/// What sshd's files say.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// The settings for all connections, then those below `Match`.
    pub(crate) settings: Vec<SshdSetting>,
}

impl Config {
    /// Reads the configuration; defaults alone when there is none.
    pub(crate) fn read(tree: &mut dyn Tree) -> Result<Self, ReadError> {
        let mut reader = Reader { found: Vec::new(), lines: 0 };
        reader.read(tree, MAIN, None, 0)?;
        let mut settings = Vec::new();
        for (name, _, form, default) in SETTINGS {
            let of_all: Vec<_> =
                reader.found.iter().filter(|s| s.name == name && s.matching.is_none()).cloned().collect();
            let several = matches!(form, Form::Ports) || name == "HostKey";
            if of_all.is_empty() && !default.is_empty() {
                let values = default.split(' ').map(str::to_owned).collect();
                settings.push(SshdSetting { name: name.to_owned(), values, file: None, matching: None });
            }
            settings.extend(of_all.into_iter().take(if several { usize::MAX } else { 1 }));
        }
        settings.extend(reader.found.into_iter().filter(|setting| setting.matching.is_some()));
        Ok(Self { settings })
    }

    /// The values of a setting for all connections.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_all = self.settings.iter().filter(move |s| s.name == name && s.matching.is_none());
        of_all.flat_map(|setting| &setting.values).map(String::as_str)
    }
}

struct Reader {
    found: Vec<SshdSetting>,
    lines: usize,
}

impl Reader {
    /// Reads a file. A `Match` in it ends with it.
    fn read(
        &mut self,
        tree: &mut dyn Tree,
        path: &[u8],
        outside: Option<&str>,
        depth: usize,
    ) -> Result<(), ReadError> {
        let Some(text) = read_optional(tree, path)? else { return Ok(()) };
        let text = String::from_utf8_lossy(&text);
        let mut matching = outside.map(str::to_owned);
        for (number, line) in text.lines().enumerate() {
            self.lines += 1;
            if self.lines > LINE_LIMIT {
                return Err(ReadError::malformed(path, "it has too many lines"));
            }
            let wrong = |reason: &str| ReadError::malformed(path, format!("line {}: {reason}", number + 1));
            let words = words(line).ok_or_else(|| wrong("a quote is not closed"))?;
            let Some((keyword, values)) = words.split_first() else { continue };
            match keyword.to_ascii_lowercase().as_str() {
                "match" => matching = condition(values, outside).map_err(&wrong)?,
                "include" if depth >= DEPTH_LIMIT => return Err(wrong("files are included too deeply")),
                "include" => {
                    for pattern in values {
                        if pattern.contains(['[', '\\']) {
                            return Err(wrong("tib does not read such a pattern"));
                        }
                        for file in expand(tree, pattern)? {
                            self.read(tree, &file, matching.as_deref(), depth + 1)?;
                        }
                    }
                }
                keyword => {
                    if let Some((name, values)) = setting(keyword, values).map_err(&wrong)? {
                        let values = values.iter().map(|value| escape(value)).collect();
                        let (name, file) = (name.to_owned(), Some(show(path)));
                        self.found.push(SshdSetting { name, values, file, matching: matching.clone() });
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a `Match` line restricts what follows to; `all` restricts nothing.
fn condition(values: &[String], outside: Option<&str>) -> Result<Option<String>, &'static str> {
    if values.is_empty() {
        return Err("`Match` says nothing");
    }
    let all = values.len() == 1 && values[0].eq_ignore_ascii_case("all");
    let own = (!all).then(|| escape(&values.join(" ")));
    Ok(match (outside, own) {
        (Some(outside), Some(own)) => Some(format!("{outside}, {own}")),
        (Some(outside), None) => Some(outside.to_owned()),
        (None, own) => own,
    })
}

/// The name and values of a setting that is read; `None` for all others.
fn setting(keyword: &str, values: &[String]) -> Result<Option<(&'static str, Vec<String>)>, &'static str> {
    let known = SETTINGS.iter().find(|(name, others, ..)| {
        std::iter::once(name).chain(others.iter()).any(|name| name.eq_ignore_ascii_case(keyword))
    });
    let Some((name, _, form, _)) = known else { return Ok(None) };
    let first = values.first().ok_or("a setting has no value")?;
    let lower = first.to_ascii_lowercase();
    let value = match form {
        Form::Text if *name == "AuthorizedKeysFile" => return Ok(Some((name, values.to_vec()))),
        Form::Text => first.clone(),
        Form::Flag if ["yes", "no"].contains(&lower.as_str()) => lower,
        Form::Words(_) if lower == "without-password" => "prohibit-password".to_owned(),
        Form::Words(words) if words.contains(&lower.as_str()) => lower,
        Form::Ports if first.parse::<u16>().is_ok_and(|port| port > 0) => lower,
        _ => return Err("sshd refuses the value of a setting"),
    };
    Ok(Some((name, vec![value])))
}

/// The files a pattern of `Include` means, in order. Names with a dot in front must be asked for.
fn expand(tree: &mut dyn Tree, pattern: &str) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut pattern = pattern.as_bytes().to_vec();
    // Two stars are one here.
    pattern.dedup_by(|a, b| *a == b'*' && *b == b'*');
    if !pattern.starts_with(b"/") {
        pattern = join(DIRECTORY, &pattern);
    }
    let mut found = glob(tree, &pattern)?;
    found.retain(|path| {
        let mut hidden = parts(path).zip(parts(&pattern));
        !hidden.any(|(name, wanted)| name.starts_with(b".") && !wanted.starts_with(b"."))
    });
    Ok(found)
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
}

/// The words of a line: the keyword may be followed by `=`, words may be quoted, `#` begins a comment.
/// `None` when a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let keyword = line.find(|c: char| c.is_whitespace() || c == '=' || c == '"').unwrap_or(line.len());
    let (first, rest) = line.split_at(keyword);
    if first.is_empty() || first.starts_with('#') {
        return Some(Vec::new());
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let mut words = vec![first.to_owned()];
    let mut chars = rest.trim_start().chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none_or(|&c| c == '#') {
            return Some(words);
        }
        let (mut word, mut quote) = (String::new(), None);
        loop {
            match (chars.next(), quote) {
                (None, Some(_)) => return None,
                (None, None) => break,
                (Some('\\'), _) if chars.peek().is_some_and(|c| matches!(c, '"' | '\'' | '\\')) => {
                    word.extend(chars.next());
                }
                (Some('\\'), None) if chars.peek() == Some(&' ') => word.extend(chars.next()),
                (Some(c), Some(open)) if c == open => quote = None,
                (Some(c), None) if c == '"' || c == '\'' => quote = Some(c),
                (Some(c), None) if c.is_whitespace() => break,
                (Some(c), _) => word.push(c),
            }
        }
        words.push(word);
    }
}

/// For the fuzzer: reads each line of a text as a line of the configuration.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    for line in String::from_utf8_lossy(text).lines() {
        if let Some((keyword, values)) = words(line).as_deref().and_then(<[String]>::split_first) {
            let _ = condition(values, Some("x"));
            let _ = setting(keyword, values);
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
