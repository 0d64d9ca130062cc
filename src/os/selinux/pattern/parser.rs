//! A pattern from its beginning to its end: alternatives, groups, repetitions.

use std::fmt::Write;

use super::class::{Escape, Text, write_set};

/// Groups within groups that are followed; real patterns have three.
const DEPTH_LIMIT: usize = 32;
/// The largest number of repetitions that PCRE takes.
const COUNT_LIMIT: u32 = 65_535;

/// A pattern while it is read.
pub(super) struct Parser<'a> {
    text: Text<'a>,
    /// What was read, written anew.
    pub(super) out: String,
    /// The literal beginning, as long as `is_literal`.
    pub(super) prefix: Vec<u8>,
    pub(super) is_literal: bool,
}

/// What was read last.
enum Atom {
    Byte(u8),
    Other,
    /// Nothing that could be repeated.
    Anchor,
}

impl<'a> Parser<'a> {
    /// Reads a whole pattern.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, String> {
        let mut parser = Self {
            text: Text { bytes: text, at: 0 },
            out: String::new(),
            prefix: Vec::new(),
            is_literal: true,
        };
        parser.alternatives(0)?;
        if parser.text.at < text.len() { Err("it has a `)` too many".to_owned()) } else { Ok(parser) }
    }

    fn alternatives(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_LIMIT {
            return Err("its groups are nested too deeply".to_owned());
        }
        loop {
            self.sequence(depth)?;
            if self.text.peek() != Some(b'|') {
                return Ok(());
            }
            self.text.at += 1;
            self.is_literal = false;
            if depth == 0 {
                self.prefix.clear();
            }
            self.out.push('|');
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<(), String> {
        while let Some(byte) = self.text.peek() {
            if matches!(byte, b'|' | b')') {
                return Ok(());
            }
            let atom = self.atom(depth)?;
            let repeated = self.quantifier(&atom)?;
            match atom {
                Atom::Byte(byte) if self.is_literal && !repeated => self.prefix.push(byte),
                _ => self.is_literal = false,
            }
        }
        Ok(())
    }

    fn atom(&mut self, depth: usize) -> Result<Atom, String> {
        let byte = self.text.take().unwrap_or_default();
        match byte {
            b'(' => {
                self.is_literal = false;
                if self.text.peek() == Some(b'*') {
                    return Err("it has a verb, `(*`".to_owned());
                }
                if self.text.peek() == Some(b'?') {
                    if !self.text.bytes[self.text.at..].starts_with(b"?:") {
                        return Err("it has a group that begins with `(?`".to_owned());
                    }
                    self.text.at += 2;
                }
                self.out.push_str("(?:");
                self.alternatives(depth + 1)?;
                if self.text.take() != Some(b')') {
                    return Err("a `)` is missing".to_owned());
                }
                self.out.push(')');
                Ok(Atom::Other)
            }
            b'[' => {
                let set = self.text.class()?;
                write_set(&mut self.out, &set);
                Ok(Atom::Other)
            }
            b'.' => {
                self.out.push('.');
                Ok(Atom::Other)
            }
            b'^' => {
                self.out.push('^');
                Ok(Atom::Anchor)
            }
            // At the very end it is the one that libselinux adds.
            b'$' if self.text.at == self.text.bytes.len() && depth == 0 => Ok(Atom::Anchor),
            b'$' => Err("it has a `$` before its end".to_owned()),
            b'\\' => match self.text.escape()? {
                Escape::Byte(byte) => {
                    self.put(byte);
                    Ok(Atom::Byte(byte))
                }
                Escape::Set(set) => {
                    write_set(&mut self.out, &set);
                    Ok(Atom::Other)
                }
            },
            b'*' | b'+' | b'?' => Err(format!("there is nothing to repeat before `{}`", char::from(byte))),
            b'{' if self.count().is_some() => Err("there is nothing to repeat before `{`".to_owned()),
            byte => {
                self.put(byte);
                Ok(Atom::Byte(byte))
            }
        }
    }

    /// Whether what was read is repeated.
    fn quantifier(&mut self, atom: &Atom) -> Result<bool, String> {
        let start = self.text.at;
        match self.text.peek() {
            Some(byte @ (b'*' | b'+' | b'?')) => {
                self.text.at += 1;
                self.out.push(char::from(byte));
            }
            Some(b'{') => {
                self.text.at += 1;
                let Some((length, low, high)) = self.count() else {
                    // PCRE takes it as it is.
                    self.text.at = start;
                    return Ok(false);
                };
                self.text.at += length;
                if low > COUNT_LIMIT || high.is_some_and(|high| high > COUNT_LIMIT || high < low) {
                    return Err("a number of repetitions makes no sense".to_owned());
                }
                let high = high.map(|high| high.to_string()).unwrap_or_default();
                _ = write!(self.out, "{{{low},{high}}}");
            }
            _ => return Ok(false),
        }
        if matches!(atom, Atom::Anchor) {
            return Err("an anchor is repeated".to_owned());
        }
        match self.text.peek() {
            // As few as possible: the same texts match.
            Some(b'?') => self.text.at += 1,
            Some(b'+') => return Err("it has a possessive quantifier".to_owned()),
            _ => {}
        }
        let again = matches!(self.text.peek(), Some(b'*' | b'+' | b'?'))
            || self.text.peek() == Some(b'{') && self.count_after(1).is_some();
        if again { Err("a repetition is repeated".to_owned()) } else { Ok(true) }
    }

    /// The numbers of `{2,3}` behind the brace, and how long it is.
    fn count(&self) -> Option<(usize, u32, Option<u32>)> {
        self.count_after(0)
    }

    fn count_after(&self, skip: usize) -> Option<(usize, u32, Option<u32>)> {
        let rest = self.text.bytes.get(self.text.at + skip..)?;
        let end = rest.iter().position(|byte| *byte == b'}')?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().unwrap_or(u32::MAX))
        };
        let (low, high) = match text.split_once(',') {
            None => (number(text)?, Some(number(text)?)),
            Some((low, "")) => (number(low)?, None),
            Some((low, high)) => (number(low)?, Some(number(high)?)),
        };
        Some((end + 1, low, high))
    }

    fn put(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() || b"/_".contains(&byte) {
            self.out.push(char::from(byte));
        } else {
            _ = write!(self.out, "\\x{byte:02x}");
        }
    }
}
