//! Whether the test that a row names is there, and whether it speaks of what it is said to cover.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Looks into tests, each once.
#[derive(Default)]
pub(crate) struct Evidence {
    /// The source of a test with what it uses, or why there is none.
    tests: BTreeMap<String, Result<String, String>>,
    /// The items of files.
    files: BTreeMap<PathBuf, BTreeMap<String, String>>,
}

impl Evidence {
    /// Why a row proves nothing, if it does not. `place` is `file::function`.
    pub(crate) fn objection(&mut self, item: &str, place: &str) -> Option<String> {
        if !self.tests.contains_key(place) {
            let source = self.source(place);
            self.tests.insert(place.to_owned(), source);
        }
        match &self.tests[place] {
            Err(objection) => Some(objection.clone()),
            Ok(source) => {
                let missing = needles(item).into_iter().find(|needle| !needle.is_in(source))?;
                Some(format!("`{place}`, with what it uses, has no {missing}"))
            }
        }
    }

    fn source(&mut self, place: &str) -> Result<String, String> {
        let (file, function) =
            place.split_once("::").ok_or_else(|| format!("`{place}` is not of the form `file::function`"))?;
        let candidates = [format!("tests/{file}.rs"), format!("tests/{file}/main.rs")];
        let path = candidates.iter().find(|path| Path::new(path).exists());
        let path = path.ok_or_else(|| format!("there is no tests/{file}.rs"))?;
        let text = read(path);
        let before = text.split_once(&format!("\nfn {function}(")).map_or("", |(before, _)| before);
        let attributes: Vec<&str> = before.lines().rev().take_while(|line| line.starts_with("#[")).collect();
        if !attributes.contains(&"#[test]") {
            return Err(format!("{path} has no test `{function}`"));
        }
        if attributes.iter().any(|attribute| attribute.starts_with("#[ignore")) {
            return Err(format!("`{function}` is not run"));
        }
        Ok(self.with_helpers(Path::new(path), function))
    }

    /// The text of a function and of whatever it mentions: items of its file and of `tests/common`, recipes by name or
    /// file.
    fn with_helpers(&mut self, file: &Path, function: &str) -> String {
        let files: Vec<PathBuf> = [file.to_owned()].into_iter().chain(common()).collect();
        for path in &files {
            self.files.entry(path.clone()).or_insert_with(|| items(&read(path)));
        }
        let (mut seen, mut todo, mut all) = (BTreeSet::new(), vec![function.to_owned()], String::new());
        while let Some(name) = todo.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let recipe = |directory: &str| {
                let path = Path::new(directory).join(format!("{name}.toml"));
                path.exists().then(|| read(path))
            };
            let text = files.iter().find_map(|path| self.files[path].get(&name).cloned());
            let Some(text) = text.or_else(|| recipe("tests/recipes")).or_else(|| recipe("recipes")) else {
                continue;
            };
            todo.extend(text.split(|c| !is_of_word(c)).map(str::to_owned));
            all.push_str(&text);
        }
        all
    }
}

/// Something that the source of a test must hold to be about an item.
enum Needle<'a> {
    Word(&'a str),
    /// A key of TOML that is set, or that is on the way to one.
    Key(&'a str),
}

impl std::fmt::Display for Needle<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Key(key) => write!(f, "`{key} = `"),
        }
    }
}

impl Needle<'_> {
    fn is_in(&self, source: &str) -> bool {
        let (Self::Word(text) | Self::Key(text)) = self;
        source.match_indices(text).any(|(at, _)| {
            let (before, after) = (&source[..at], &source[at + text.len()..]);
            let whole = !before.ends_with(is_of_word) && !after.starts_with(is_of_word);
            whole && (matches!(self, Self::Word(_)) || is_key(before, after))
        })
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

fn is_key(before: &str, after: &str) -> bool {
    let is_set = after.trim_start_matches(['\\', '"', '\'', ' ']).starts_with('=');
    let is_header = before.ends_with(['[', '.']) && after.starts_with([']', '.']);
    is_set || is_header
}

fn needles(item: &str) -> Vec<Needle<'_>> {
    let (item, value) = match item.split_once(" = ") {
        Some((item, value)) => (item, Some(value)),
        None => (item, None),
    };
    let mut found = Vec::new();
    // Positional arguments have no name on the command line.
    for part in item.split(' ').filter(|part| !part.bytes().all(|byte| byte.is_ascii_uppercase())) {
        match part.rsplit_once('.') {
            Some((before, key)) => {
                found.extend(before.split('.').map(Needle::Word));
                found.push(Needle::Key(key));
            }
            None => found.push(Needle::Word(part)),
        }
    }
    found.extend(value.map(Needle::Word));
    found
}

/// The items of a source file by name, formatted as rustfmt does; comments are left out. Line ends within texts count as
/// such.
fn items(source: &str) -> BTreeMap<String, String> {
    let mut items: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        if let Some(new) = item_of(line) {
            name = new;
        }
        let item = items.entry(name.clone()).or_default();
        item.push_str(&line.replace("\\n", "\n"));
        item.push('\n');
    }
    items
}

/// The name of the item that begins with a line, if one does. What is in an `impl` belongs to its type.
fn item_of(line: &str) -> Option<String> {
    let words = line.strip_prefix("pub ").unwrap_or(line);
    let (kind, rest) = words.split_once([' ', '<'])?;
    if !["fn", "const", "static", "struct", "enum", "type", "impl", "macro_rules!"].contains(&kind) {
        return None;
    }
    let named = rest.split_once(" for ").map_or(rest, |(_, of)| of);
    Some(named.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned())
}

fn common() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs_err::read_dir("tests/common").unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths
}

fn read(path: impl AsRef<Path>) -> String {
    fs_err::read_to_string(path.as_ref()).unwrap()
}
