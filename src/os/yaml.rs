//! YAML as a value, for configuration files of an image. Aliases are replaced by what they stand for, tags do not count, and
//! several documents in one file are refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

/// How deeply values may be nested; real files have five levels.
const DEPTH_LIMIT: usize = 64;

/// How many values a file may hold, those that aliases stand for among them.
const VALUE_LIMIT: usize = 100_000;

/// A value. Nothing, numbers and flags are texts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Yaml {
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Yaml {
    /// Reads a text that holds one value at most; an empty text is an empty mapping.
    ///
    /// # Errors
    /// What cannot be understood, for a person.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut builder = Builder::default();
        for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
            let (event, _) = event.map_err(|error| format!("it is not YAML: {error}"))?;
            builder.take(event)?;
        }
        Ok(builder.root.unwrap_or(Self::Map(Vec::new())))
    }

    /// The value of a key, if this is a mapping that has it; of a key that is there twice the last.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is one and not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() && text != "~" && text != "null" => Some(text),
            _ => None,
        }
    }

    /// The items of a list; a value that is none stands for a list of itself.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => std::slice::from_ref(other),
        }
    }

    /// How many values it is made of.
    fn size(&self) -> usize {
        match self {
            Self::Text(_) => 1,
            Self::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Self::Map(entries) => 1 + entries.iter().map(|(_, value)| value.size()).sum::<usize>(),
        }
    }

    /// Adds what a later file says, as cloud-init does: mappings are merged, all else is replaced.
    pub(crate) fn merge(&mut self, later: Self) {
        match (self, later) {
            (Self::Map(entries), Self::Map(later)) => {
                for (key, value) in later {
                    match entries.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, earlier)) => earlier.merge(value),
                        None => entries.push((key, value)),
                    }
                }
            }
            (earlier, later) => *earlier = later,
        }
    }
}

/// A list or mapping that has not ended, with the number of its anchor; 0 for none.
enum Open {
    List(Vec<Yaml>, usize),
    Map(Vec<(String, Yaml)>, Option<String>, usize),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Yaml>,
    anchors: HashMap<usize, Yaml>,
    values: usize,
}

impl Builder {
    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Scalar(value, _, anchor, _) => self.add(Yaml::Text(value.into_owned()), anchor),
            Event::SequenceStart(anchor, _) => self.enter(Open::List(Vec::new(), anchor)),
            Event::MappingStart(anchor, _) => self.enter(Open::Map(Vec::new(), None, anchor)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items, anchor)) => self.add(Yaml::List(items), anchor),
                Some(Open::Map(entries, _, anchor)) => self.add(Yaml::Map(entries), anchor),
                None => Err("a list or mapping ends that did not begin".to_owned()),
            },
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).ok_or("an alias stands for itself")?;
                self.values += value.size();
                self.check()?;
                let value = value.clone();
                self.add(value, 0)
            }
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.values > VALUE_LIMIT { Err("it holds too much".to_owned()) } else { Ok(()) }
    }

    fn enter(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() >= DEPTH_LIMIT {
            return Err("it is nested too deeply".to_owned());
        }
        self.open.push(open);
        Ok(())
    }

    fn add(&mut self, value: Yaml, anchor: usize) -> Result<(), String> {
        self.values += 1;
        if anchor != 0 {
            // What it stands for is kept once more.
            self.values += value.size();
            self.check()?;
            self.anchors.insert(anchor, value.clone());
        }
        self.check()?;
        match self.open.last_mut() {
            None if self.root.is_some() => Err("it holds several documents".to_owned()),
            None => {
                self.root = Some(value);
                Ok(())
            }
            Some(Open::List(items, _)) => {
                items.push(value);
                Ok(())
            }
            Some(Open::Map(entries, key, _)) => match (key.take(), value) {
                (Some(key), value) => {
                    entries.push((key, value));
                    Ok(())
                }
                (None, Yaml::Text(text)) => {
                    *key = Some(text);
                    Ok(())
                }
                (None, _) => Err("a key is no text".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_and_what_later_files_make_of_them() {
        let mut first =
            Yaml::parse(b"# c\na: [1, 'x y']\nb:\n  - c: d\n    e: ~\nm: {n: 1, o: 2}\n").unwrap();
        assert_eq!(first.get("a").unwrap().items()[1].text(), Some("x y"));
        assert_eq!(first.get("b").unwrap().items()[0].get("c").and_then(Yaml::text), Some("d"));
        assert_eq!(first.get("b").unwrap().items()[0].get("e").and_then(Yaml::text), None);
        first.merge(Yaml::parse(b"a: [2]\nm: {o: 3}\n").unwrap());
        assert_eq!(first.get("a").unwrap().items(), [Yaml::Text("2".to_owned())]);
        let inner = first.get("m").unwrap();
        assert_eq!(
            (inner.get("n").and_then(Yaml::text), inner.get("o").and_then(Yaml::text)),
            (Some("1"), Some("3"))
        );
        assert_eq!(Yaml::parse(b"").unwrap(), Yaml::Map(Vec::new()));
        for bad in ["a: *x\n", "a: &x [*x]\n", "a: [\n", "a: 1\n---\nb: 2\n", "{a: 1}: 2\n", "a: \"\n"] {
            assert!(Yaml::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let shared = Yaml::parse(b"a: &x [1, 2]\nb: *x\n").unwrap();
        assert_eq!(shared.get("a"), shared.get("b"));
        assert!(Yaml::parse("[".repeat(200).as_bytes()).is_err());
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for number in 1..20 {
            let inner = vec![format!("*a{}", number - 1); 10].join(", ");
            bomb += &format!("a{number}: &a{number} [{inner}]\n");
        }
        assert_eq!(Yaml::parse(bomb.as_bytes()), Err("it holds too much".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "([a-c:\\[\\]{}&*'\"#,| -]{0,12}\\n){0,8}") {
            let _ = Yaml::parse(text.as_bytes());
        }
    }
}
