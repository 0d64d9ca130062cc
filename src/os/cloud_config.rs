//! `datasource_list` in one of cloud-init's files, which are YAML.
//!
//! cloud-init reads them with another parser, for an older YAML, and drops a file that parser refuses. So a list
//! counts only if nothing in its file is known to be read in two ways: guessing would let a wrong list pass.

use saphyr_parser::{Event, Parser, ScalarStyle};

const KEY: &str = "datasource_list";

/// How deeply YAML may be nested; real files have five levels.
const DEPTH_LIMIT: usize = 100;

/// The list that a file sets; `None` if it does not.
///
/// # Errors
/// What cannot be understood, for a person; a file that cannot set the list is never wrong.
pub(crate) fn datasources(text: &[u8]) -> Result<Option<Vec<String>>, String> {
    let found = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned()).and_then(parse);
    match found {
        // Without the word itself, and without an escape that could stand for it, nothing sets it.
        Err(_) if !contains(text, KEY.as_bytes()) && !text.contains(&b'\\') => Ok(None),
        found => found,
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn parse(text: &str) -> Result<Option<Vec<String>>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader::default();
    let (mut chars, mut next) = (text.chars(), 0);
    let mut at_start = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("it is not YAML: {error}"))?;
        if let Some(skipped) = span.start.index().checked_sub(next) {
            at_start = chars.nth(skipped);
            next += skipped + 1;
        }
        let is_key = reader.open.last() == Some(&Open::Key);
        if is_key && matches!(event, Event::Scalar(..)) {
            let behind = chars.clone().skip(span.end.index().saturating_sub(next));
            let has_break = behind.take_while(|c| c.is_whitespace()).any(|c| c == '\n');
            if span.start.line() != span.end.line() || (reader.flow.is_some() && has_break) {
                reader.doubtful = Some("a key of several lines");
            }
        }
        reader.take(event, matches!(at_start, Some('[' | '{')))?;
    }
    if reader.found.is_some() {
        match (reader.doubtful, ambiguous(text)) {
            (Some(what), _) | (None, Some(what)) => return Err(format!("it has {what}, next to `{KEY}`")),
            (None, None) => {}
        }
    }
    Ok(reader.found)
}

/// What YAML 1.1 and 1.2 do not agree on, or only the latter allows.
fn ambiguous(text: &str) -> Option<&'static str> {
    if text.starts_with("## template:") {
        return Some("a template");
    }
    if text.lines().any(|line| line.starts_with("...") || line.starts_with('%')) {
        return Some("an end of a document, or a directive");
    }
    if text.replace("\r\n", "\n").contains('\r') {
        return Some("an old end of a line");
    }
    if text.lines().any(|line| line.contains('\t') && !line.trim_start_matches(' ').starts_with('#')) {
        return Some("a tab");
    }
    let odd = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    text.contains(odd).then_some("a control character")
}

/// What is open around an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    List,
    /// A mapping whose next node is a key.
    Key,
    /// A mapping whose next node is a value.
    Value,
}

/// Where in the wanted list the reader is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Elsewhere,
    /// Behind the key.
    Before,
    Within,
}

#[derive(Debug, Default)]
struct Reader {
    open: Vec<Open>,
    place: Place,
    found: Option<Vec<String>>,
    has_document: bool,
    /// How much is open from the outermost bracket on.
    flow: Option<usize>,
    /// Something that cloud-init may read in another way, or refuse.
    doubtful: Option<&'static str>,
}

impl Reader {
    fn take(&mut self, event: Event, opens_flow: bool) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                if std::mem::replace(&mut self.has_document, true) {
                    return Err("it holds several documents".to_owned());
                }
            }
            Event::Alias(_) => {
                self.doubtful = Some("an alias");
                self.node(false)?;
                if self.open.as_slice() == [Open::Value] {
                    return Err("a key is an alias".to_owned());
                }
            }
            Event::Scalar(value, style, anchor, tag) => {
                self.judge(anchor, tag.is_some());
                self.judge_scalar(&value, style);
                if self.place == Place::Within {
                    self.found.get_or_insert_default().push(name(&value)?);
                    return Ok(());
                }
                let is_key = self.open.as_slice() == [Open::Key];
                self.node(false)?;
                match &*value {
                    KEY if is_key && self.found.is_some() => return Err(format!("`{KEY}` is set twice")),
                    KEY if is_key => self.place = Place::Before,
                    "<<" if is_key => return Err("it merges another mapping into itself".to_owned()),
                    _ => {}
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.judge(anchor, tag.is_some());
                if self.node(true)? {
                    self.place = Place::Within;
                    self.found = Some(Vec::new());
                }
                self.enter(Open::List, opens_flow)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.judge(anchor, tag.is_some());
                self.node(false)?;
                self.enter(Open::Key, opens_flow)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
                self.flow = self.flow.filter(|depth| *depth <= self.open.len());
                if self.open.len() == 1 {
                    self.place = Place::Elsewhere;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// A node begins; says whether it is the value of the key.
    fn node(&mut self, is_list: bool) -> Result<bool, String> {
        if self.place == Place::Within || (self.place == Place::Before && !is_list) {
            return Err(format!("`{KEY}` is not a list of names"));
        }
        let is_wanted = self.place == Place::Before;
        self.place = Place::Elsewhere;
        match self.open.last_mut() {
            Some(open @ Open::Key) => *open = Open::Value,
            Some(open @ Open::Value) => *open = Open::Key,
            Some(Open::List) | None => {}
        }
        Ok(is_wanted)
    }

    fn enter(&mut self, what: Open, opens_flow: bool) -> Result<(), String> {
        if self.open.last() == Some(&Open::Value) {
            self.doubtful = Some("a key that is not a text");
        }
        if self.open.len() >= DEPTH_LIMIT {
            return Err("it is nested too deeply".to_owned());
        }
        self.open.push(what);
        if opens_flow {
            self.flow.get_or_insert(self.open.len());
        }
        Ok(())
    }

    fn judge_scalar(&mut self, value: &str, style: ScalarStyle) {
        let signs = |c: char| !(c.is_ascii_alphanumeric() || "_-./+ ~=()$;".contains(c));
        match style {
            ScalarStyle::Plain => match value {
                "" if self.open.last() == Some(&Open::Key) => self.doubtful = Some("an empty key"),
                "=" | "<<" => self.doubtful = Some("a sign of its own"),
                value
                    if value.starts_with(['|', '>', '%', '@', '`'])
                        || ["---", "..."].iter().any(|sign| value.starts_with(sign))
                        || self.flow.is_some() && value.contains(signs) =>
                {
                    self.doubtful = Some("signs without quotes");
                }
                _ => {}
            },
            ScalarStyle::Literal | ScalarStyle::Folded if self.flow.is_some() => {
                self.doubtful = Some("a block within brackets");
            }
            _ => {}
        }
    }

    /// Names of anchors and meanings of tags differ.
    fn judge(&mut self, anchor: usize, has_tag: bool) {
        if anchor != 0 || has_tag {
            self.doubtful = Some("an anchor or a tag");
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    // Words that are no text in YAML when they stand without quotes; no source is called so.
    const OTHERS: [&str; 7] = ["null", "true", "false", "yes", "no", "on", "off"];
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && !OTHERS.iter().any(|other| other.eq_ignore_ascii_case(text));
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not the name of a data source", super::files::escape(text)))
    }
}

#[cfg(test)]
#[path = "cloud_config_tests.rs"]
mod tests;
