//! Sets of bytes: character classes, and the escapes that stand for one byte or several.

use std::fmt::Write;

/// A pattern, and how much of it was read.
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// Members of a character class.
pub(super) type Set = [bool; 256];

/// What an escape stands for.
pub(super) enum Escape {
    Byte(u8),
    Set(Box<Set>),
}

impl Text<'_> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// What stands behind a `\`.
    pub(super) fn escape(&mut self) -> Result<Escape, String> {
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
    pub(super) fn class(&mut self) -> Result<Box<Set>, String> {
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
            let next = self.bytes.get(self.at + 1);
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
        let rest = &self.bytes[self.at..];
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
}

/// Writes a set for the `regex` crate.
pub(super) fn write_set(out: &mut String, set: &Set) {
    out.push('[');
    let mut at = 0;
    while at < set.len() {
        let Some(start) = set[at..].iter().position(|member| *member).map(|skip| at + skip) else {
            break;
        };
        let end = set[start..].iter().position(|member| !*member).map_or(set.len(), |length| start + length);
        _ = write!(out, "\\x{start:02x}-\\x{:02x}", end - 1);
        at = end;
    }
    if !set.contains(&true) {
        // Nothing is in it.
        out.push_str("^\\x00-\\xff");
    }
    out.push(']');
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
