//! `file_contexts`: which label a path gets. The rules are those of libselinux (`label_file.c` of 3.4): of all lines that match
//! the last counts, literal paths before regular expressions; a line may be for one kind of file only.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::rc::Rc;

use regex::bytes::{Regex, RegexBuilder};

use super::pattern::{Form, Pattern, is_meta};
use super::substitutions::{Substitutions, is_space};
use crate::disk::FileKind;
use crate::shown::escape;

/// Lines of all files together; Fedora has 6 300.
const LINE_LIMIT: usize = 200_000;
/// Expressions that are compiled, and the most memory that one of them may take, in bytes.
const REGEX_LIMIT: usize = 16_384;
const SIZE_LIMIT: usize = 128 << 10;
/// How often a line may be tried on a path: a minute or so, and a hundred times what half a million files need.
const WORK_LIMIT: u64 = 20_000_000_000;

/// The label that a policy wants for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// This one.
    Label(Rc<str>),
    /// None: the file keeps what it has.
    Nothing,
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// The lines of a policy, ready to be asked.
#[derive(Debug)]
pub(crate) struct FileContexts {
    lines: Vec<Line>,
    /// Literal paths, with their lines in order.
    literal: HashMap<Vec<u8>, Vec<usize>>,
    /// All other lines in order, by the directory below which all that they match lies.
    below: HashMap<Vec<u8>, Vec<usize>>,
    subs: Substitutions,
    subs_dist: Substitutions,
    compiled: Cell<usize>,
    work: Cell<u64>,
}

#[derive(Debug)]
struct Line {
    /// The pattern as it is written.
    text: Vec<u8>,
    /// Literal paths count before other lines.
    is_literal: bool,
    kind: Option<FileKind>,
    /// The first directory, if it is plain: libselinux then tries the line on nothing else.
    stem: Option<Vec<u8>>,
    prefix: Vec<u8>,
    form: Result<Form, String>,
    regex: OnceCell<Result<Regex, String>>,
    /// `None` for `<<none>>`.
    label: Option<Rc<str>>,
}

/// The files of a policy. Those that do not exist are empty.
#[derive(Debug, Default)]
pub(crate) struct ContextFiles {
    /// `file_contexts`, `file_contexts.homedirs` and `file_contexts.local`, with their paths.
    pub(crate) contexts: Vec<(String, Vec<u8>)>,
    /// `file_contexts.subs`.
    pub(crate) subs: Vec<u8>,
    /// `file_contexts.subs_dist`.
    pub(crate) subs_dist: Vec<u8>,
}

impl FileContexts {
    /// Reads the files.
    ///
    /// # Errors
    /// A line that libselinux does not take: the file, and what is wrong with it.
    pub(crate) fn parse(files: &ContextFiles) -> Result<Self, (String, String)> {
        let mut labels = HashMap::new();
        let mut lines = Vec::new();
        for (path, text) in &files.contexts {
            for (number, text) in text.split(|byte| *byte == b'\n').enumerate() {
                let fault = |reason: String| (path.clone(), format!("line {}: {reason}", number + 1));
                lines.extend(line(text, &mut labels).map_err(fault)?);
                if lines.len() > LINE_LIMIT {
                    return Err((path.clone(), format!("it has more than {LINE_LIMIT} lines")));
                }
            }
        }
        // Stable: within both parts the order of the files stays.
        lines.sort_by_key(|line| line.is_literal);
        let (mut literal, mut below) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (index, line) in lines.iter().enumerate() {
            match line.form {
                Ok(Form::Literal) => literal.entry(line.prefix.clone()).or_default().push(index),
                _ => below.entry(directory(line).to_vec()).or_default().push(index),
            }
        }
        Ok(Self {
            lines,
            literal,
            below,
            subs: Substitutions::parse(&files.subs),
            subs_dist: Substitutions::parse(&files.subs_dist),
            compiled: Cell::new(0),
            work: Cell::new(0),
        })
    }

    /// The label for a path, absolute and without links in it, and a kind of file.
    pub(crate) fn lookup(&self, path: &[u8], kind: FileKind) -> Wanted {
        let path = self.substituted(path);
        let stem = path.iter().skip(1).position(|byte| *byte == b'/').map(|length| &path[..=length]);
        let mut best = self.last_literal(&path, kind, stem);
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in [0].into_iter().chain(slashes.map(|at| at + 1)) {
            let Some(indexes) = self.below.get(&path[..end]) else { continue };
            for &index in indexes.iter().rev().take_while(|&&index| best.is_none_or(|best| index > best)) {
                let line = &self.lines[index];
                self.work.set(self.work.get() + 1);
                if self.work.get() > WORK_LIMIT {
                    return Wanted::Unknown("the policy asks for more work than any real one".to_owned());
                }
                if !line.may_match(&path, kind, stem) {
                    continue;
                }
                match self.matches(line, &path) {
                    Ok(false) => {}
                    Ok(true) => {
                        best = Some(index);
                        break;
                    }
                    Err(reason) => {
                        // Only a line behind it could still decide, and those of longer paths may be.
                        if self.decided_behind(&path, kind, stem, index) {
                            continue;
                        }
                        let text = escape(&String::from_utf8_lossy(&line.text));
                        return Wanted::Unknown(format!("the pattern `{text}` is not understood: {reason}"));
                    }
                }
            }
        }
        match best.map(|index| &self.lines[index].label) {
            Some(Some(label)) => Wanted::Label(Rc::clone(label)),
            Some(None) | None => Wanted::Nothing,
        }
    }

    /// The last line that is this very path.
    fn last_literal(&self, path: &[u8], kind: FileKind, stem: Option<&[u8]>) -> Option<usize> {
        // To PCRE the end is before a final newline, too.
        let without = path.strip_suffix(b"\n").and_then(|path| self.literal.get(path));
        let found = self.literal.get(path).into_iter().chain(without).flatten();
        found.copied().filter(|&index| self.lines[index].is_for(kind, stem)).max()
    }

    /// Whether a line behind `index` matches for certain.
    fn decided_behind(&self, path: &[u8], kind: FileKind, stem: Option<&[u8]>, index: usize) -> bool {
        let later = self.lines.iter().skip(index + 1);
        later.filter(|line| line.may_match(path, kind, stem)).any(|line| self.matches(line, path) == Ok(true))
    }

    fn matches(&self, line: &Line, path: &[u8]) -> Result<bool, String> {
        let Some(rest) = path.strip_prefix(line.prefix.as_slice()) else { return Ok(false) };
        match line.form.as_ref().map_err(String::clone)? {
            Form::Literal => Ok(matches!(rest, b"" | b"\n")),
            Form::Tree => Ok(matches!(rest, b"" | b"\n" | [b'/', ..])),
            Form::Regex(text) => {
                let regex = line.regex.get_or_init(|| self.compile(text));
                regex.as_ref().map(|regex| regex.is_match(path)).map_err(String::clone)
            }
        }
    }

    fn compile(&self, text: &str) -> Result<Regex, String> {
        self.compiled.set(self.compiled.get() + 1);
        if self.compiled.get() > REGEX_LIMIT {
            return Err(format!("the policy has more than {REGEX_LIMIT} regular expressions"));
        }
        let mut builder = RegexBuilder::new(text);
        builder.unicode(false).dot_matches_new_line(true).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT);
        builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            _ => "it is no regular expression".to_owned(),
        })
    }

    /// The path that is looked for in the place of `path`.
    fn substituted(&self, path: &[u8]) -> Vec<u8> {
        let own = self.subs.apply(path);
        let dist = self.subs_dist.apply(own.as_deref().unwrap_or(path));
        dist.or(own).unwrap_or_else(|| path.to_vec())
    }
}

impl Line {
    /// Whether the line is for such files at all.
    fn is_for(&self, kind: FileKind, stem: Option<&[u8]>) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.stem.as_deref().is_none_or(|wanted| stem == Some(wanted))
    }

    fn may_match(&self, path: &[u8], kind: FileKind, stem: Option<&[u8]>) -> bool {
        self.is_for(kind, stem) && path.starts_with(&self.prefix)
    }
}

/// Reads one line; `None` if there is nothing on it.
fn line(text: &[u8], labels: &mut HashMap<Vec<u8>, Rc<str>>) -> Result<Option<Line>, String> {
    // To C the line ends there.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut words = text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()).take(3);
    let Some(pattern) = words.next().filter(|word| !word.starts_with(b"#")) else { return Ok(None) };
    let (kind, context) = match (words.next(), words.next()) {
        (Some(context), None) => (None, context),
        (Some(kind), Some(context)) => (Some(kind_of(kind)?), context),
        (None, _) => return Err("it has no label".to_owned()),
    };
    if !pattern.is_ascii() || !context.is_ascii() {
        return Err("it has characters that are not ASCII".to_owned());
    }
    let label = (context != b"<<none>>").then(|| match labels.get(context) {
        Some(label) => Rc::clone(label),
        None => {
            let label: Rc<str> = String::from_utf8_lossy(context).into();
            labels.insert(context.to_vec(), Rc::clone(&label));
            label
        }
    });
    let (prefix, form) = match Pattern::parse(pattern) {
        Ok(Pattern { prefix, form }) => (prefix, Ok(form)),
        Err(reason) => (Pattern::plain_start(pattern), Err(reason)),
    };
    Ok(Some(Line {
        is_literal: !Pattern::has_meta(pattern),
        stem: stem(pattern).map(<[u8]>::to_vec),
        text: pattern.to_vec(),
        kind: kind.flatten(),
        prefix,
        form,
        regex: OnceCell::new(),
        label,
    }))
}

/// `--` and the like.
fn kind_of(text: &[u8]) -> Result<Option<FileKind>, String> {
    Ok(Some(match text {
        b"--" => FileKind::File,
        b"-d" => FileKind::Directory,
        b"-l" => FileKind::Symlink,
        b"-b" => FileKind::Block,
        b"-c" => FileKind::Character,
        b"-p" => FileKind::Fifo,
        b"-s" => FileKind::Socket,
        _ => return Err(format!("`{}` is no kind of file", escape(&String::from_utf8_lossy(text)))),
    }))
}

/// The first directory of a pattern, if it has one in plain letters.
fn stem(pattern: &[u8]) -> Option<&[u8]> {
    let end = pattern.iter().skip(1).position(|byte| *byte == b'/')? + 1;
    let stem = &pattern[..end];
    (!stem.iter().any(|byte| is_meta(*byte))).then_some(stem)
}

/// The directory, with a slash at its end, below which all that a line matches lies; empty if there is none.
fn directory(line: &Line) -> &[u8] {
    let end = line.prefix.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    &line.prefix[..end]
}

#[cfg(test)]
#[path = "contexts_tests.rs"]
mod tests;
