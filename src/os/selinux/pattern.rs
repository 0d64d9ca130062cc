//! Patterns of file contexts. They are PCRE, of which policies use a small part; that part is read here, byte by byte, and
//! written anew for the `regex` crate. What is not understood is refused, since many expressions mean something else there.

use std::fmt::Write;

/// Groups within groups that are followed; real patterns have three.
const DEPTH_LIMIT: usize = 32;
/// The largest number of repetitions that PCRE takes.
const COUNT_LIMIT: u32 = 65_535;

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
        let mut parser = Parser { text, at: 0, out: String::new(), prefix: Vec::new(), is_literal: true };
        parser.alternatives(0)?;
        if parser.at < text.len() {
            return Err("it has a `)` too many".to_owned());
        }
        let Parser { out, prefix, is_literal, .. } = parser;
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

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    out: String,
    /// The literal beginning, as long as `is_literal`.
    prefix: Vec<u8>,
    is_literal: bool,
}

/// Members of a character class.
type Set = [bool; 256];

/// What was read last.
enum Atom {
    Byte(u8),
    Other,
    /// Nothing that could be repeated.
    Anchor,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn alternatives(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_LIMIT {
            return Err("its groups are nested too deeply".to_owned());
        }
        loop {
            self.sequence(depth)?;
            if self.peek() != Some(b'|') {
                return Ok(());
            }
            self.at += 1;
            self.is_literal = false;
            if depth == 0 {
                self.prefix.clear();
            }
            self.out.push('|');
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<(), String> {
        while let Some(byte) = self.peek() {
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
        let byte = self.take().unwrap_or_default();
        match byte {
            b'(' => {
                self.is_literal = false;
                if self.peek() == Some(b'*') {
                    return Err("it has a verb, `(*`".to_owned());
                }
                if self.peek() == Some(b'?') {
                    if !self.text[self.at..].starts_with(b"?:") {
                        return Err("it has a group that begins with `(?`".to_owned());
                    }
                    self.at += 2;
                }
                self.out.push_str("(?:");
                self.alternatives(depth + 1)?;
                if self.take() != Some(b')') {
                    return Err("a `)` is missing".to_owned());
                }
                self.out.push(')');
                Ok(Atom::Other)
            }
            b'[' => {
                let set = self.class()?;
                self.put_set(&set);
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
            b'$' if self.at == self.text.len() && depth == 0 => Ok(Atom::Anchor),
            b'$' => Err("it has a `$` before its end".to_owned()),
            b'\\' => match self.escape()? {
                Escape::Byte(byte) => {
                    self.put(byte);
                    Ok(Atom::Byte(byte))
                }
                Escape::Set(set) => {
                    self.put_set(&set);
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
        let start = self.at;
        match self.peek() {
            Some(byte @ (b'*' | b'+' | b'?')) => {
                self.at += 1;
                self.out.push(char::from(byte));
            }
            Some(b'{') => {
                self.at += 1;
                let Some((length, low, high)) = self.count() else {
                    // PCRE takes it as it is.
                    self.at = start;
                    return Ok(false);
                };
                self.at += length;
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
        match self.peek() {
            // As few as possible: the same texts match.
            Some(b'?') => self.at += 1,
            Some(b'+') => return Err("it has a possessive quantifier".to_owned()),
            _ => {}
        }
        let again = matches!(self.peek(), Some(b'*' | b'+' | b'?'))
            || self.peek() == Some(b'{') && self.count_after(1).is_some();
        if again { Err("a repetition is repeated".to_owned()) } else { Ok(true) }
    }

    /// The numbers of `{2,3}` behind the brace, and how long it is.
    fn count(&self) -> Option<(usize, u32, Option<u32>)> {
        self.count_after(0)
    }

    fn count_after(&self, skip: usize) -> Option<(usize, u32, Option<u32>)> {
        let rest = self.text.get(self.at + skip..)?;
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

    fn escape(&mut self) -> Result<Escape, String> {
        let Some(byte) = self.take() else { return Err("it ends with a `\\`".to_owned()) };
        Ok(match byte {
            b't' => Escape::Byte(b'\t'),
            b'n' => Escape::Byte(b'\n'),
            b'r' => Escape::Byte(b'\r'),
            b'f' => Escape::Byte(0x0c),
            b'a' => Escape::Byte(0x07),
            b'e' => Escape::Byte(0x1b),
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' => {
                let is_in = |byte: u8| match byte.to_ascii_lowercase() {
                    b'd' => |byte: u8| byte.is_ascii_digit(),
                    b'w' => |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_',
                    _ => |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r'),
                };
                Escape::Set(set_of(is_in(byte), byte.is_ascii_uppercase()))
            }
            byte if byte.is_ascii_alphanumeric() => return Err(format!("it has `\\{}`", char::from(byte))),
            byte => Escape::Byte(byte),
        })
    }

    /// A character class, behind its `[`.
    fn class(&mut self) -> Result<Box<Set>, String> {
        let open = || "a `]` is missing".to_owned();
        let mut set = Box::new([false; 256]);
        let negated = self.peek() == Some(b'^');
        self.at += usize::from(negated);
        let mut is_first = true;
        loop {
            let byte = self.take().ok_or_else(open)?;
            let first = match byte {
                b']' if !is_first => break,
                b'[' if matches!(self.peek(), Some(b':' | b'.' | b'=')) => match self.posix()? {
                    Some(members) => {
                        add(&mut set, &members);
                        is_first = false;
                        continue;
                    }
                    None => Escape::Byte(byte),
                },
                b'\\' => self.class_escape()?,
                byte => Escape::Byte(byte),
            };
            is_first = false;
            let low = match first {
                Escape::Set(members) => {
                    add(&mut set, &members);
                    continue;
                }
                Escape::Byte(low) => low,
            };
            let next = self.text.get(self.at + 1);
            if self.peek() != Some(b'-') || next.is_none_or(|next| *next == b']') {
                set[usize::from(low)] = true;
                continue;
            }
            self.at += 1;
            let high = match self.take().ok_or_else(open)? {
                b'\\' => self.class_escape()?,
                b'[' if matches!(self.peek(), Some(b':' | b'.' | b'=')) => {
                    return Err("a range ends with a class".to_owned());
                }
                byte => Escape::Byte(byte),
            };
            match high {
                Escape::Byte(high) if low <= high => set[usize::from(low)..=usize::from(high)].fill(true),
                _ => return Err("a range makes no sense".to_owned()),
            }
        }
        if negated {
            set.iter_mut().for_each(|member| *member = !*member);
        }
        Ok(set)
    }

    fn class_escape(&mut self) -> Result<Escape, String> {
        if self.peek() == Some(b'b') {
            self.at += 1;
            return Ok(Escape::Byte(0x08));
        }
        self.escape()
    }

    /// `[:alpha:]`, behind its first bracket; `None` if it is none.
    fn posix(&mut self) -> Result<Option<Box<Set>>, String> {
        let rest = &self.text[self.at..];
        if rest.first() != Some(&b':') {
            return Err("it has a collating element".to_owned());
        }
        let Some(end) = rest.windows(2).skip(1).position(|pair| pair == b":]") else { return Ok(None) };
        let (negated, name) = match &rest[1..=end] {
            [b'^', name @ ..] => (true, name),
            name => (false, name),
        };
        if !name.iter().all(u8::is_ascii_lowercase) {
            return Ok(None);
        }
        let is_in: fn(u8) -> bool = match name {
            b"alpha" => |byte| byte.is_ascii_alphabetic(),
            b"digit" => |byte| byte.is_ascii_digit(),
            b"alnum" => |byte| byte.is_ascii_alphanumeric(),
            b"upper" => |byte| byte.is_ascii_uppercase(),
            b"lower" => |byte| byte.is_ascii_lowercase(),
            b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
            b"blank" => |byte| matches!(byte, b' ' | b'\t'),
            b"punct" => |byte| byte.is_ascii_punctuation(),
            b"print" => |byte| matches!(byte, b' '..=b'~'),
            b"graph" => |byte| byte.is_ascii_graphic(),
            b"cntrl" => |byte| byte.is_ascii_control(),
            b"xdigit" => |byte| byte.is_ascii_hexdigit(),
            b"word" => |byte| byte.is_ascii_alphanumeric() || byte == b'_',
            b"ascii" => |byte| byte.is_ascii(),
            _ => return Err("it has a class of an unknown name".to_owned()),
        };
        self.at += end + 3;
        Ok(Some(set_of(is_in, negated)))
    }

    fn put(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() || b"/_".contains(&byte) {
            self.out.push(char::from(byte));
        } else {
            _ = write!(self.out, "\\x{byte:02x}");
        }
    }

    fn put_set(&mut self, set: &Set) {
        self.out.push('[');
        let mut at = 0;
        while at < set.len() {
            let Some(start) = set[at..].iter().position(|member| *member).map(|skip| at + skip) else {
                break;
            };
            let end =
                set[start..].iter().position(|member| !*member).map_or(set.len(), |length| start + length);
            _ = write!(self.out, "\\x{start:02x}-\\x{:02x}", end - 1);
            at = end;
        }
        if !set.contains(&true) {
            // Nothing is in it.
            self.out.push_str("^\\x00-\\xff");
        }
        self.out.push(']');
    }
}

enum Escape {
    Byte(u8),
    Set(Box<Set>),
}

fn set_of(is_in: impl Fn(u8) -> bool, negated: bool) -> Box<Set> {
    let mut set = Box::new([false; 256]);
    for byte in 0..=u8::MAX {
        set[usize::from(byte)] = is_in(byte) != negated;
    }
    set
}

fn add(set: &mut Set, members: &Set) {
    set.iter_mut().zip(members).for_each(|(member, new)| *member |= new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(text: &str) -> String {
        match Pattern::parse(text.as_bytes()).unwrap().form {
            Form::Regex(regex) => regex,
            form => panic!("{text}: {form:?}"),
        }
    }

    #[test]
    fn literal_paths_and_trees_need_no_expression() {
        for (text, prefix, form) in [
            ("/etc/passwd", "/etc/passwd", Form::Literal),
            (r"/etc/resolv\.conf", "/etc/resolv.conf", Form::Literal),
            ("/a{b}c]", "/a{b}c]", Form::Literal),
            (r"/usr/lib\.d(/.*)?", "/usr/lib.d", Form::Tree),
            ("(/.*)?", "", Form::Tree),
        ] {
            let pattern = Pattern::parse(text.as_bytes()).unwrap();
            assert_eq!(pattern, Pattern { prefix: prefix.into(), form }, "{text}");
        }
    }

    #[test]
    fn a_quantifier_takes_the_last_byte_of_the_literal_start() {
        for (text, prefix) in [
            ("/ab*", "/a"),
            ("/ab?c", "/a"),
            ("/ab+", "/a"),
            ("/ab{2}", "/a"),
            ("/ab.*", "/ab"),
            ("/ab(c|d)", "/ab"),
            ("/ab|/cd", ""),
            ("/a|/b", ""),
            ("/a[b]", "/a"),
            ("^/a.", ""),
        ] {
            assert_eq!(Pattern::parse(text.as_bytes()).unwrap().prefix, prefix.as_bytes(), "{text}");
        }
    }

    #[test]
    fn what_is_written_anew() {
        for (text, expected) in [
            ("/a.b", r"^/a.b\n?\z"),
            (r"/a\.?-", r"^/a\x2e?\x2d\n?\z"),
            ("/a(b|c)+", r"^/a(?:b|c)+\n?\z"),
            ("/a(?:b)?", r"^/a(?:b)?\n?\z"),
            ("/[^/]*", r"^/[\x00-\x2e\x30-\xff]*\n?\z"),
            (r"/[]a\]-]x", r"^/[\x2d-\x2d\x5d-\x5d\x61-\x61]x\n?\z"),
            ("/[[:digit:]a]", r"^/[\x30-\x39\x61-\x61]\n?\z"),
            ("/[[a]", r"^/[\x5b-\x5b\x61-\x61]\n?\z"),
            (r"/\d{2,}?", r"^/[\x30-\x39]{2,}\n?\z"),
            ("/a{2}", r"^/a{2,2}\n?\z"),
            ("/.{x}", r"^/.\x7bx\x7d\n?\z"),
            ("/.$", r"^/.\n?\z"),
            (r"/\<.", r"^/\x3c.\n?\z"),
        ] {
            assert_eq!(regex(text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_crate_would_take_otherwise_is_refused() {
        for text in [
            "/a++",
            "/a*+",
            "/a?+",
            "/a{2}+",
            "/a**",
            "/a{1}{2}",
            "/(?=a)",
            "/(?i)a",
            "/(?R)",
            "/(?#x)",
            "/(?|a)",
            r"/\1",
            r"/\Qa\E",
            r"/\p{L}",
            r"/\x41",
            r"/\v",
            r"/\bx",
            r"/\z",
            "/a$b",
            "/(a$)",
            "*",
            "/(*UTF)",
            "/(a",
            "/a)",
            "/[a",
            "/[z-a]",
            r"/[a-\d]",
            "/[[:nothing:]]",
            "/[[.a.]]",
            "/a{3,2}",
            "/a{99999}",
            "^*",
            r"/a\",
            "{1}",
            "|+",
        ] {
            assert!(Pattern::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Pattern::parse("(".repeat(1000).as_bytes()).is_err());
    }

    #[test]
    fn literal_in_the_sense_of_libselinux() {
        for (text, meta) in
            [("/a", false), (r"/a\.b", false), ("/a.b", true), (r"/a\\.b", true), ("/a]b}", false)]
        {
            assert_eq!(Pattern::has_meta(text.as_bytes()), meta, "{text}");
        }
    }
}
