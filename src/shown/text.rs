//! Lines of text that nothing in them can break out of.

use std::fmt;
use std::ops::Deref;

use super::{escape, escape_but};

/// Text for people that grows line by line. Each line is escaped as a whole: nothing that is put into it can end it,
/// colour it or command the terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// The text of a file: its newlines and tabs stay what they are.
    pub fn of_file(content: &str) -> Self {
        Self(escape_but(content, "\n\t"))
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl Into<Line>) {
        self.0.push_str(&line.into().0);
        self.0.push('\n');
    }

    /// Adds an empty line.
    pub fn blank(&mut self) {
        self.0.push('\n');
    }

    /// Adds the lines of another text.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }
}

impl<L: Into<Line>> FromIterator<L> for Text {
    fn from_iter<I: IntoIterator<Item = L>>(lines: I) -> Self {
        let mut text = Self::default();
        for line in lines {
            text.line(line);
        }
        text
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A line, escaped but for the colours that tib gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line(String);

impl Line {
    /// Adds text.
    #[must_use]
    pub fn with(mut self, text: &str) -> Self {
        self.0.push_str(&escape(text));
        self
    }

    /// Adds another line's text and colours.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// Adds text in a colour, an SGR code such as `1;31`; in none if that is empty.
    #[must_use]
    pub fn painted(self, code: &'static str, text: &str) -> Self {
        if code.is_empty() || text.is_empty() {
            return self.with(text);
        }
        let Self(before) = self;
        Self(format!("{before}\u{1b}[{code}m{}\u{1b}[0m", escape(text)))
    }

    /// Takes away blanks at the end.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        self.0.truncate(self.0.trim_end().len());
        self
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::default().with(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        let mut text = Text::default();
        text.line("a\nb\u{1b}[31m\tc");
        text.blank();
        text.line(
            Line::from("x ").painted("32", "ok\u{1b}[0m").painted("", " y").painted("1", "").with("\r"),
        );
        assert_eq!(&*text, "a\\nb\\u{1b}[31m\\tc\n\nx \u{1b}[32mok\\u{1b}[0m\u{1b}[0m y\\r\n");
        assert_eq!(&*Text::of_file("a\n\tb\u{9b}\r\n"), "a\n\tb\\u{9b}\\r\n");
    }
}
