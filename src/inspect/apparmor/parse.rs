//! The first lines of profiles, what they include, and the blocks in between.

use crate::check::ProfileMode;

/// How deeply profiles, hats and conditions may be nested.
const DEPTH_LIMIT: usize = 64;

/// The most profiles of a file, the most that one includes, and the longest name of one.
const PROFILE_LIMIT: usize = 10_000;
const INCLUDE_LIMIT: usize = 1000;
const NAME_LIMIT: usize = 4096;

/// How a profile is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// `PARENT//NAME` for one within another.
    pub(crate) name: String,
    /// The programs it is for.
    pub(crate) attachment: Option<String>,
    /// Its flags.
    pub(crate) flags: Vec<String>,
    /// What it includes: `local/usr.sbin.mysqld`, below `/etc/apparmor.d`, or an absolute path.
    pub(crate) includes: Vec<String>,
    /// Whether it is within another one.
    pub(crate) nested: bool,
}

impl Header {
    /// What its flags make of it, without what links beside it say.
    pub(crate) fn mode(&self) -> ProfileMode {
        let has =
            |flag: &str| self.flags.iter().any(|own| own == flag || own.starts_with(&format!("{flag}.")));
        match () {
            () if has("complain") => ProfileMode::Complain,
            () if has("kill") => ProfileMode::Kill,
            () if has("unconfined") => ProfileMode::Unconfined,
            () if has("prompt") => ProfileMode::Prompt,
            () => ProfileMode::Enforce,
        }
    }

    /// The names of the files in `local/` that it includes.
    pub(crate) fn local(&self) -> impl Iterator<Item = &str> {
        self.includes.iter().filter_map(|path| {
            let path = path.strip_prefix("/etc/apparmor.d/").unwrap_or(path);
            path.strip_prefix("local/").filter(|name| !name.is_empty() && !name.contains('/'))
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A word, without its quotes.
    Word(&'a str),
    /// Words in brackets.
    List(&'a str),
    /// `,` at the end of a rule, or the end of a line that is a statement of its own.
    End,
    Open,
    Close,
}

/// The profiles declared in a file, those within others after them.
pub(crate) fn headers(text: &[u8]) -> Result<Vec<Header>, String> {
    let text = String::from_utf8_lossy(text);
    let mut lexer = Lexer { text: &text, at: 0, statement: Vec::new(), includes: Vec::new() };
    let mut found: Vec<Header> = Vec::new();
    // The profile each open block belongs to, as its place in `found`; none for conditions.
    let mut open: Vec<Option<usize>> = Vec::new();
    while let Some(token) = lexer.next() {
        let parent = open.iter().rev().flatten().next().copied();
        if let Some(parent) = parent {
            found[parent].includes.append(&mut lexer.includes);
            if found[parent].includes.len() > INCLUDE_LIMIT {
                return Err("a profile includes too many files".to_owned());
            }
        }
        lexer.includes.clear();
        match token {
            Token::End => lexer.statement.clear(),
            Token::Open => {
                let statement = std::mem::take(&mut lexer.statement);
                let header = header(&statement, parent.map(|parent| found[parent].name.as_str()));
                open.push(header.as_ref().map(|_| found.len()));
                found.extend(header);
                if open.len() > DEPTH_LIMIT || found.len() > PROFILE_LIMIT {
                    return Err("it has too many profiles, or nested too deeply".to_owned());
                }
                if found.last().is_some_and(|header| header.name.len() > NAME_LIMIT) {
                    return Err("the name of a profile is too long".to_owned());
                }
            }
            Token::Close => {
                lexer.statement.clear();
                open.pop().ok_or("a block ends that never began")?;
            }
            token => lexer.statement.push(token),
        }
    }
    if open.is_empty() { Ok(found) } else { Err("a block does not end".to_owned()) }
}

/// What stands in front of a block, if it declares a profile or a hat.
fn header(statement: &[Token], parent: Option<&str>) -> Option<Header> {
    let (mut words, mut flags, mut expected) = (Vec::new(), Vec::new(), "flags");
    for token in statement {
        match token {
            // The sign may stand apart.
            Token::Word("=") => expected = words.pop().unwrap_or("flags"),
            Token::Word(word) => match word.strip_suffix('=').filter(|_| !words.is_empty()) {
                Some(name) => expected = name,
                None => words.push(*word),
            },
            Token::List(list) => {
                let of = std::mem::replace(&mut expected, "flags");
                let items = list.split(|c: char| c == ',' || c.is_whitespace());
                flags.extend(items.filter(|item| of == "flags" && !item.is_empty()).map(str::to_owned));
            }
            _ => {}
        }
    }
    let (name, attachment) = match words.as_slice() {
        ["if" | "else", ..] | [] => return None,
        ["profile", name, attachment, ..] => (*name, Some(*attachment)),
        ["profile" | "hat", name] => (*name, is_path(name).then_some(*name)),
        [name] => match name.strip_prefix('^') {
            Some(hat) => (hat, None),
            None => (*name, Some(*name)),
        },
        _ => return None,
    };
    let (attachment, includes) = (attachment.map(str::to_owned), Vec::new());
    let name = match parent {
        Some(parent) => format!("{parent}//{name}"),
        None => name.to_owned(),
    };
    Some(Header { name, attachment, flags, includes, nested: parent.is_some() })
}

fn is_path(name: &str) -> bool {
    name.starts_with('/') || name.starts_with("@{")
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// The tokens since the last statement ended: what a character means depends on them.
    statement: Vec<Token<'a>>,
    /// What was included since the last token.
    includes: Vec<String>,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let first = trimmed.chars().next()?;
            if self.statement.is_empty() && is_line(trimmed) || first == '#' {
                let line = trimmed.lines().next().unwrap_or_default();
                self.includes.extend(included(line));
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
                continue;
            }
            return Some(match first {
                ',' => self.take(1, Token::End),
                '}' => self.take(1, Token::Close),
                '{' if !self.statement.is_empty() => self.take(1, Token::Open),
                '(' => {
                    let inside = trimmed[1..].split(')').next().unwrap_or_default();
                    self.take((inside.len() + 2).min(trimmed.len()), Token::List(inside))
                }
                _ => {
                    let (length, word) = word(trimmed);
                    self.take(length, Token::Word(word))
                }
            });
        }
    }

    fn take(&mut self, length: usize, token: Token<'a>) -> Token<'a> {
        self.at += length;
        token
    }
}

/// Whether a statement begins that ends with its line: an include, or values given to a variable.
fn is_line(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix("include") {
        return rest.starts_with([' ', '\t', '<', '"']);
    }
    let rest = match (text.strip_prefix("@{"), text.strip_prefix('$')) {
        (Some(rest), _) => skip_name(rest).strip_prefix('}'),
        (_, Some(rest)) => Some(skip_name(rest)),
        _ => None,
    };
    rest.map(|rest| rest.trim_start_matches([' ', '\t'])).is_some_and(|rest| rest.starts_with(['=', '+']))
}

/// What a line includes: `include <local/x>`, `#include if exists "local/x"`; the number sign stands right before the word.
fn included(line: &str) -> Option<String> {
    let rest = line.strip_prefix('#').unwrap_or(line).strip_prefix("include")?;
    if !rest.starts_with([' ', '\t', '<', '"']) {
        return None;
    }
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix("if").map(str::trim_start).and_then(|rest| rest.strip_prefix("exists"))
    {
        Some(path) if path.starts_with([' ', '\t', '<', '"']) => path.trim_start(),
        _ => rest,
    };
    let path = match (rest.strip_prefix('<'), rest.strip_prefix('"')) {
        (Some(path), _) => path.split_once('>')?.0,
        (_, Some(path)) => path.split_once('"')?.0,
        (None, None) => rest.split([' ', '\t', '#', ',']).next().unwrap_or_default(),
    };
    Some(path.to_owned()).filter(|path| !path.is_empty() && path.len() <= NAME_LIMIT)
}

fn skip_name(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

/// The length of the word a text begins with, and the word without quotes. Braces, and commas in them, belong
/// to a word that has begun; a word before `=(` ends behind the sign.
fn word(text: &str) -> (usize, &str) {
    if let Some(rest) = text.strip_prefix('"') {
        let end = rest.find('"').unwrap_or(rest.len());
        return ((end + 2).min(text.len()), &rest[..end]);
    }
    let (mut depth, mut escaped, mut quoted) = (0_usize, false, false);
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => end = at,
            ',' if depth == 0 => end = at,
            '(' => end = at,
            c if c.is_whitespace() => end = at,
            _ => {}
        }
        if end < text.len() {
            break;
        }
    }
    (end.max(1), &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn short(text: &str) -> Vec<String> {
        let found = headers(text.as_bytes()).unwrap();
        found
            .iter()
            .map(|h| format!("{}|{}|{}", h.name, h.attachment.as_deref().unwrap_or("-"), h.flags.join(" ")))
            .collect()
    }

    #[test]
    fn declarations() {
        for (text, expected) in [
            ("/usr/bin/a { }", "/usr/bin/a|/usr/bin/a|"),
            ("profile a /usr/bin/a flags=(complain, audit) { }", "a|/usr/bin/a|complain audit"),
            ("profile a /usr/bin/a (complain) { }", "a|/usr/bin/a|complain"),
            ("profile a flags=(complain)\n{\n}", "a|-|complain"),
            ("profile /usr/bin/a { }", "/usr/bin/a|/usr/bin/a|"),
            ("profile \"a b\" \"/c d\" xattrs=(user.x=\"y\") flags=(unconfined) {}", "a b|/c d|unconfined"),
            ("@{bin}=/usr/bin\nprofile a @{bin}/{b,c} { /x r, }", "a|@{bin}/{b,c}|"),
            ("@{bin}/x { }", "@{bin}/x|@{bin}/x|"),
            ("/usr/{bin,sbin}/a flags = (complain) { }", "/usr/{bin,sbin}/a|/usr/{bin,sbin}/a|complain"),
        ] {
            assert_eq!(short(text), [expected], "{text}");
        }
    }

    #[test]
    fn what_is_in_profiles() {
        let text = "abi <abi/3.0>,\n#include <tunables/global>\ninclude if exists <local/x>\nalias /a -> /b,\n\
            profile a /a { # } {\n  include <abstractions/base>\n  owner @{HOME}/{x,y}/** rw,\n  deny \"/a }\" r,\n\
            dbus (send) bus=system peer=(name=org.x, label=\"{a}\"),\n  /b Cx -> sub,\n  if $x { /c r, } else { /d r, }\n\
            profile sub { /e r, }\n  ^hat flags=(complain) { /f r, }\n  hat h2 { }\n}\n/z{1,2} { /g r,}\n";
        assert_eq!(short(text), ["a|/a|", "a//sub|-|", "a//hat|-|complain", "a//h2|-|", "/z{1,2}|/z{1,2}|"]);
    }

    #[test]
    fn what_profiles_include_is_theirs() {
        let text = "#include <tunables/global>\ninclude if exists <local/before>\nprofile a /a {\n\
            include <abstractions/base>\n #include if exists <local/a>\n# include <local/comment>\n/x r, # include <local/late>\n\
            profile sub { include \"local/sub\" \n}\n  if $x {\n include /etc/apparmor.d/local/if\n}\n\
            #included <local/word>\n include if exists<local/tight>\n include <local/deep/er>\n}\ninclude <local/after>\n";
        let found = headers(text.as_bytes()).unwrap();
        let local: Vec<(&str, Vec<&str>)> =
            found.iter().map(|header| (header.name.as_str(), header.local().collect())).collect();
        assert_eq!(local, [("a", vec!["a", "if", "tight"]), ("a//sub", vec!["sub"])]);
        assert_eq!(found.iter().map(|header| header.nested).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn blocks_must_end() {
        for text in ["a { ", "/a { /b r, } }", "}", &"/a {".repeat(100)] {
            assert!(headers(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(headers(b"# nothing\n"), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = headers(&bytes);
        }

        #[test]
        fn any_tokens_are_survived(text in "(profile|hat|[ /a\"@{}()=,#\\\\\n^é]){0,30}") {
            let _ = headers(text.as_bytes());
        }
    }
}
