//! The variables of the agent's unit, and what systemd makes of them in a command.

use std::collections::BTreeMap;

use crate::disk::{FileKind, Tree};
use crate::os::files::{optional, read_optional};
use crate::os::fnmatch::glob;
use crate::os::{ReadError, UnitFile, users};

/// Variables by name. What is not known at rest stays as it is written.
#[derive(Debug, Default)]
pub(super) struct Variables {
    known: BTreeMap<String, String>,
    /// More may come from files that are not there yet.
    more: bool,
}

impl Variables {
    /// Those of the user, then of `Environment`, then of the files, each of which counts more than those before.
    pub(super) fn read(tree: &mut dyn Tree, unit: &UnitFile, user: &str) -> Result<Self, ReadError> {
        let mut known = BTreeMap::new();
        // Without a variable in a command there is nothing to find out.
        if !unit.last("Service", "ExecStart").is_some_and(|line| line.contains('$')) {
            return Ok(Self::default());
        }
        if let Some(user) = users(tree)?.into_iter().find(|known| known.name == user) {
            known.insert("USER".to_owned(), user.name.clone());
            known.insert("LOGNAME".to_owned(), user.name);
            known.insert("HOME".to_owned(), user.home);
            known.insert("SHELL".to_owned(), user.shell);
        }
        let mut more = !unit.words("Service", "PassEnvironment").is_empty();
        for value in unit.all("Service", "Environment") {
            more |= value.contains('%');
            known.extend(unquoted(value).iter().filter_map(|word| assignment(word)));
        }
        for file in unit.all("Service", "EnvironmentFile") {
            let pattern = file.strip_prefix('-').unwrap_or(file);
            // Trove may inject it.
            more |=
                pattern.starts_with("/etc/trove/") || pattern.starts_with("/run/") || pattern.contains('%');
            // systemd takes whole paths only.
            if !pattern.starts_with('/') {
                continue;
            }
            for path in glob(tree, pattern.as_bytes())? {
                let is_file = optional(tree.stat(&path))?.is_some_and(|stat| stat.kind == FileKind::File);
                if !is_file {
                    continue;
                }
                let text = read_optional(tree, &path)?.unwrap_or_default();
                let text = String::from_utf8_lossy(&text).replace("\\\n", "");
                let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
                known.extend(
                    lines.filter_map(assignment).map(|(name, value)| (name, unquoted(&value).join(" "))),
                );
            }
        }
        Ok(Self { known, more })
    }

    /// The arguments of a command, as systemd hands them over: a word `$NAME` becomes as many words as its value has, and
    /// `${NAME}` the value. What is not set is nothing.
    pub(super) fn expand(&self, words: Vec<String>) -> Vec<String> {
        let mut expanded = Vec::new();
        for word in words {
            match word.strip_prefix('$') {
                Some(name) if is_name(name) => match self.value(name) {
                    Some(value) => expanded.extend(unquoted(value)),
                    None => expanded.push(word),
                },
                _ => expanded.push(self.within(&word)),
            }
        }
        expanded
    }

    fn within(&self, word: &str) -> String {
        let (mut text, mut rest) = (String::new(), word);
        while let Some((before, behind)) = rest.split_once("${") {
            text.push_str(before);
            match behind.split_once('}').map(|(name, end)| (self.value(name), end)) {
                Some((Some(value), end)) => {
                    text.push_str(value);
                    rest = end;
                }
                _ => {
                    text.push_str("${");
                    rest = behind;
                }
            }
        }
        text.push_str(rest);
        text.replace("$$", "$")
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(String::as_str).or((!self.more).then_some(""))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn assignment(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    is_name(name.trim()).then(|| (name.trim().to_owned(), value.to_owned()))
}

/// The words of a text, without the quotes that hold them together.
fn unquoted(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, Some(open)) if letter == open => quote = None,
            (_, None) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
