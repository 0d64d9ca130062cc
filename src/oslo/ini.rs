//! The format of the files: sections of assignments, values of several lines, keys that may be repeated.

use std::collections::BTreeMap;

/// The section that stands for no section.
pub const DEFAULT: &str = "DEFAULT";

/// Why a text is no configuration file of OpenStack's; the service would end with the same complaint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The assignments of one section, by key; of a key that is repeated all values, in order.
pub type Section = BTreeMap<String, Vec<String>>;

/// The sections of a text.
pub(super) fn sections(text: &str) -> Result<BTreeMap<String, Section>, ParseError> {
    let mut parser = Parser::default();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (number, line) in text.split('\n').enumerate() {
        parser.line(line.trim_end()).map_err(|problem| ParseError { line: number + 1, problem })?;
    }
    let last = text.split('\n').count();
    parser.flush().map_err(|problem| ParseError { line: last, problem })?;
    Ok(parser.sections)
}

#[derive(Default)]
struct Parser {
    sections: BTreeMap<String, Section>,
    section: Option<String>,
    /// A key, and the lines of its value so far.
    pending: Option<(String, Vec<String>)>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if line.is_empty() {
            return self.flush();
        }
        if line.starts_with([' ', '\t']) {
            let (_, value) =
                self.pending.as_mut().ok_or("it begins with white space, and continues nothing")?;
            value.push(line.trim_start().to_owned());
            return Ok(());
        }
        self.flush()?;
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest.strip_suffix(']').ok_or("a section's name ends in `]`")?;
            if name.is_empty() {
                return Err("a section has no name");
            }
            let name = normalized(name);
            self.sections.entry(name.clone()).or_default();
            self.section = Some(name);
            return Ok(());
        }
        if line.starts_with(['#', ';']) {
            return Ok(());
        }
        let at = line.find(['=', ':']).ok_or("there is no `=` in it")?;
        let key = line[..at].trim();
        if key.is_empty() {
            return Err("there is no key in front of `=`");
        }
        self.pending = Some((key.to_owned(), vec![unquoted(line[at + 1..].trim()).to_owned()]));
        Ok(())
    }

    /// Ends a value, which may have had several lines.
    fn flush(&mut self) -> Result<(), &'static str> {
        let Some((key, value)) = self.pending.take() else { return Ok(()) };
        let section = self.section.as_ref().ok_or("a value stands in front of the first `[section]`")?;
        let section = self.sections.entry(section.clone()).or_default();
        section.entry(key).or_default().push(value.join("\n"));
        Ok(())
    }
}

/// Sections count in any case of letters, but for `[DEFAULT]`.
pub(super) fn normalized(name: &str) -> String {
    if name == DEFAULT { name.to_owned() } else { name.to_lowercase() }
}

/// A value that is in quotes as a whole loses them. One quote alone stands for an empty value.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.len() == 1 && value.starts_with(quote) {
            return "";
        }
        if let Some(inside) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inside;
        }
    }
    value
}
