//! The text in which LVM keeps its metadata (lvm2, `lib/config/config.c`): sections in braces, and values by name.

use std::collections::BTreeMap;

use crate::disk::DiskError;

/// Sections within sections; real metadata has four.
const MAX_DEPTH: usize = 8;

/// What stands behind a name.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Section(Section),
    Text(String),
    Number(i64),
    List(Vec<Item>),
}

/// Names, and what stands behind them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Section(BTreeMap<String, Item>);

impl Section {
    /// Parses a whole text.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] when it is no such text.
    pub(super) fn parse(text: &[u8]) -> Result<Self, DiskError> {
        let mut parser = Parser { rest: text, depth: 0 };
        parser.section(false)
    }

    /// The sections in this one, by name.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.0.iter().filter_map(|(name, item)| match item {
            Item::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }

    /// A section that may be missing.
    pub(super) fn section(&self, name: &str) -> Option<&Self> {
        match self.0.get(name) {
            Some(Item::Section(section)) => Some(section),
            _ => None,
        }
    }

    /// A text that may be missing.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Item::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number that has to be there.
    pub(super) fn number(&self, name: &str) -> Result<u64, DiskError> {
        match self.0.get(name) {
            Some(Item::Number(number)) => u64::try_from(*number).ok(),
            _ => None,
        }
        .ok_or_else(|| damaged(&format!("has no number `{name}`")))
    }

    /// Whether a list of words, such as `status`, has this one.
    pub(super) fn has(&self, name: &str, word: &str) -> bool {
        match self.0.get(name) {
            Some(Item::List(list)) => {
                list.iter().any(|item| matches!(item, Item::Text(text) if text == word))
            }
            Some(Item::Text(text)) => text == word,
            _ => false,
        }
    }

    /// A list of names and numbers in turn, such as `stripes`.
    pub(super) fn pairs(&self, name: &str) -> Result<Vec<(&str, u64)>, DiskError> {
        let fault = || damaged(&format!("has no list `{name}` of names and numbers"));
        let Some(Item::List(list)) = self.0.get(name) else { return Err(fault()) };
        let (pairs, rest) = list.as_chunks::<2>();
        let pairs = pairs.iter().map(|pair| match pair {
            [Item::Text(name), Item::Number(number)] => Some((name.as_str(), u64::try_from(*number).ok()?)),
            _ => None,
        });
        let pairs: Option<Vec<_>> = pairs.collect();
        pairs.filter(|_| rest.is_empty()).ok_or_else(fault)
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Skips blanks and comments; the next byte, if there is one. A zero byte ends the text.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest.first() {
                Some(b'#') => {
                    let end = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                Some(byte) if byte.is_ascii_whitespace() => self.rest = &self.rest[1..],
                Some(0) | None => return None,
                Some(byte) => return Some(*byte),
            }
        }
    }

    /// Takes this byte, if it comes next.
    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// What is between the braces of a section, or a whole text.
    fn section(&mut self, inner: bool) -> Result<Section, DiskError> {
        let mut section = Section::default();
        loop {
            match self.peek() {
                None if !inner => return Ok(section),
                Some(b'}') if inner => {
                    self.rest = &self.rest[1..];
                    return Ok(section);
                }
                None => return Err(damaged("ends within a section")),
                Some(_) => {}
            }
            let name = String::from_utf8_lossy(self.word()?).into_owned();
            let item = if self.take(b'{') {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(damaged("has sections within sections without end"));
                }
                let section = Item::Section(self.section(true)?);
                self.depth -= 1;
                section
            } else if self.take(b'=') {
                self.value()?
            } else {
                return Err(damaged(&format!("has nothing behind `{name}`")));
            };
            if let Some(_twice) = section.0.insert(name.clone(), item) {
                return Err(damaged(&format!("says `{name}` twice")));
            }
        }
    }

    /// A name, or a number.
    fn word(&mut self) -> Result<&'a [u8], DiskError> {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+-/@".contains(byte);
        let end = self.rest.iter().position(|byte| !is_word(byte)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(damaged("has something else where a name should be"));
        }
        self.rest = rest;
        Ok(word)
    }

    fn value(&mut self) -> Result<Item, DiskError> {
        if !self.take(b'[') {
            return self.single();
        }
        let mut list = Vec::new();
        while !self.take(b']') {
            list.push(self.single()?);
            if !self.take(b',') && self.peek() != Some(b']') {
                return Err(damaged("has a list without end"));
            }
        }
        Ok(Item::List(list))
    }

    fn single(&mut self) -> Result<Item, DiskError> {
        if self.peek() == Some(b'"') {
            return self.quoted().map(Item::Text);
        }
        let word = self.word()?;
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        number.map(Item::Number).ok_or_else(|| damaged("has a value that is neither text nor number"))
    }

    /// A text in quotes, in which a backslash takes the meaning from what follows it.
    fn quoted(&mut self) -> Result<String, DiskError> {
        let mut bytes = self.rest.get(1..).unwrap_or_default().iter();
        let mut text = Vec::new();
        loop {
            match bytes.next() {
                Some(b'"') => break,
                Some(b'\\') => text.extend(bytes.next()),
                Some(0) | None => return Err(damaged("ends within a text")),
                Some(byte) => text.push(*byte),
            }
        }
        self.rest = bytes.as_slice();
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn damaged(what: &str) -> DiskError {
    DiskError::Damaged(format!("the metadata of LVM {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_lvm_writes_is_read() {
        let text = b"# a comment { \nvg-1 { # Hint\nid = \"a\\\"b\\\\c\"\nseqno = 6\nminus = -1\n\
            status = [\"READ\", \"WRITE\"]\nflags = []\nalone = \"READ\"\n\
            inner { stripes = [\n\"pv0\", 0,\n\"pv1\", 12\n] }\n}\ncontents = \"x\"\n\0garbage {";
        let all = Section::parse(text).unwrap();
        assert_eq!(all.text("contents"), Some("x"));
        let (name, group) = all.sections().next().unwrap();
        assert_eq!((name, group.text("id"), group.number("seqno").unwrap()), ("vg-1", Some("a\"b\\c"), 6));
        assert!(group.number("minus").is_err() && group.number("gone").is_err());
        assert!(group.has("status", "WRITE") && !group.has("flags", "WRITE") && group.has("alone", "READ"));
        assert!(!group.has("status", "VISIBLE"));
        assert_eq!(group.section("inner").unwrap().pairs("stripes").unwrap(), [("pv0", 0), ("pv1", 12)]);
        assert!(group.pairs("status").is_err() && group.pairs("seqno").is_err());
    }

    #[test]
    fn what_is_no_such_text_is_damage() {
        for (text, why) in [
            ("vg {", "ends within a section"),
            ("vg { a = \"x", "ends within a text"),
            ("vg { a = \"x\\", "ends within a text"),
            ("a = [1, 2", "a list without end"),
            ("a = [1,", "something else where a name should be"),
            ("a = [1 2]", "a list without end"),
            ("a = 1.5", "neither text nor number"),
            ("a = 99999999999999999999", "neither text nor number"),
            ("a", "nothing behind `a`"),
            ("a = 1 a = 2", "says `a` twice"),
            ("= 1", "something else where a name should be"),
            ("}", "something else where a name should be"),
        ] {
            let error = Section::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, DiskError::Damaged(_)), "{text}");
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
        let deep = "a {".repeat(100_000);
        assert!(Section::parse(deep.as_bytes()).unwrap_err().to_string().contains("without end"));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[ \\n\"\\\\{}\\[\\]=,#a-c0-9\\-]{0,200}") {
            drop(Section::parse(text.as_bytes()));
        }
    }
}
