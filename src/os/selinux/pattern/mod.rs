//! Patterns of file contexts. They are PCRE, of which policies use a small part; that part is read here, byte by byte, and
//! written anew for the `regex` crate. What is not understood is refused, since many expressions mean something else there.

mod class;
mod parser;
#[cfg(test)]
mod tests;

use parser::Parser;

/// A pattern that is understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What everything that it matches begins with.
    pub(super) prefix: Vec<u8>,
    pub(super) form: Form,
}

/// How a pattern is matched, from its beginning to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The prefix is all of it.
    Literal,
    /// The prefix, and whatever is below it: `/srv(/.*)?`.
    Tree,
    /// This, in the syntax of the `regex` crate for bytes.
    Regex(String),
}

impl Pattern {
    /// Reads a pattern, which is ASCII.
    ///
    /// # Errors
    /// A fragment that says what is not understood.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if let Some(start) = text.strip_suffix(b"(/.*)?")
            && let Ok(Self { prefix, form: Form::Literal }) = Self::parse_whole(start)
        {
            return Ok(Self { prefix, form: Form::Tree });
        }
        Self::parse_whole(text)
    }

    fn parse_whole(text: &[u8]) -> Result<Self, String> {
        let Parser { out, prefix, is_literal, .. } = Parser::read(text)?;
        // libselinux puts `^` and `$` around the text, so that of several alternatives the first gets one, and the last the
        // other. PCRE's `$` is also before a newline at the end.
        let form = if is_literal { Form::Literal } else { Form::Regex(format!("^{out}\\n?\\z")) };
        Ok(Self { prefix, form })
    }

    /// What every match of a pattern that is not understood begins with, at the least.
    pub(super) fn plain_start(text: &[u8]) -> Vec<u8> {
        if text.contains(&b'|') {
            return Vec::new();
        }
        let end = text.iter().position(|byte| is_meta(*byte) || matches!(byte, b'\\' | b'}' | b')'));
        let mut start = text[..end.unwrap_or(text.len())].to_vec();
        if end.is_some_and(|end| b"?*{".contains(&text[end])) {
            // It need not be there at all.
            start.pop();
        }
        start
    }

    /// Whether libselinux takes it for a regular expression: literal paths count before those.
    pub(super) fn has_meta(text: &[u8]) -> bool {
        let mut bytes = text.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => _ = bytes.next(),
                byte if is_meta(*byte) => return true,
                _ => {}
            }
        }
        false
    }
}

/// libselinux' own list.
pub(super) fn is_meta(byte: u8) -> bool {
    b".^$?*+|[({".contains(&byte)
}
