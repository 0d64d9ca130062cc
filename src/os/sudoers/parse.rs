//! The language of sudoers files, as far as it says who may do what.

use super::rule::{Rule, RunAs};
use crate::clock;

/// The most rules of one line.
const RULE_LIMIT: usize = 64;

/// Words in front of a command that say how it is run.
const TAGS: [&str; 16] = [
    "EXEC",
    "NOEXEC",
    "FOLLOW",
    "NOFOLLOW",
    "INTERCEPT",
    "NOINTERCEPT",
    "LOG_INPUT",
    "NOLOG_INPUT",
    "LOG_OUTPUT",
    "NOLOG_OUTPUT",
    "MAIL",
    "NOMAIL",
    "SETENV",
    "NOSETENV",
    "PASSWD",
    "NOPASSWD",
];

/// The kinds of digests that commands may be bound to.
const DIGESTS: [&str; 4] = ["sha224", "sha256", "sha384", "sha512"];

/// A line of a sudoers file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Statement {
    /// `Defaults`, with what it is bound to and its settings.
    Defaults { binding: Binding, settings: Vec<String> },
    /// `User_Alias NAME = MEMBERS` and the like.
    Alias { kind: AliasKind, name: String, members: Vec<String> },
    /// Who may do what, one rule per run-as list and password tag.
    Rules(Vec<Rule>),
    /// `@include FILE`.
    Include(String),
    /// `@includedir DIRECTORY`.
    IncludeDirectory(String),
}

/// What a list is of; an alias of one kind means nothing in a list of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AliasKind {
    User,
    RunAs,
    Host,
    Command,
}

impl AliasKind {
    fn of(word: &str) -> Option<Self> {
        match word {
            "User_Alias" => Some(Self::User),
            "Runas_Alias" => Some(Self::RunAs),
            "Host_Alias" => Some(Self::Host),
            "Cmnd_Alias" | "Cmd_Alias" => Some(Self::Command),
            _ => None,
        }
    }
}

/// What a `Defaults` line is bound to: `Defaults:USERS`, `Defaults>USERS`, `Defaults@HOSTS`, `Defaults!COMMANDS`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Binding {
    /// It holds always.
    Everything,
    /// It holds for the members of a list.
    To(AliasKind, Vec<String>),
}

/// The statements of a file with the number of the line they begin at.
pub(crate) fn statements(text: &[u8]) -> Vec<(usize, Result<Statement, String>)> {
    let text = String::from_utf8_lossy(text);
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut whole = line.to_owned();
        // An odd number of backslashes at the end: the line goes on, but a comment never does.
        while without_comment(&whole).len() == whole.len()
            && whole.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
        {
            whole.pop();
            let Some((_, next)) = lines.next() else {
                found.push((number + 1, Err("it ends within a rule".to_owned())));
                return found;
            };
            whole.push(' ');
            whole.push_str(next.trim_start());
        }
        found.extend(parse(whole.trim_end()).into_iter().map(|statement| (number + 1, statement)));
    }
    found
}

fn parse(line: &str) -> Vec<Result<Statement, String>> {
    // Behind a blank, `#include` is a comment.
    let old_form = line.starts_with('#');
    let line = line.trim_start();
    for (sign, directory) in [("includedir", true), ("include", false)] {
        let rest = if old_form { line.strip_prefix('#') } else { line.strip_prefix('@') };
        let rest = rest.and_then(|rest| rest.strip_prefix(sign));
        if let Some(rest) = rest.filter(|rest| rest.starts_with(char::is_whitespace)) {
            let name = unescape(first_word(rest.trim()));
            let statement =
                if directory { Statement::IncludeDirectory(name) } else { Statement::Include(name) };
            return vec![Ok(statement)];
        }
    }
    let line = without_comment(line).trim_end();
    if line.is_empty() {
        return Vec::new();
    }
    if let Some(statement) = line.strip_prefix("Defaults").and_then(defaults) {
        return vec![Ok(statement)];
    }
    if let Some((word, rest)) = line.split_once(char::is_whitespace)
        && let Some(kind) = AliasKind::of(word)
    {
        return aliases(rest).into_iter().map(|text| alias(kind, text)).collect();
    }
    vec![rules(line).map(Statement::Rules)]
}

/// What stands before the first space that is neither quoted nor escaped; a comment may follow.
fn first_word(text: &str) -> &str {
    let mut state = Scan::default();
    let end = text.char_indices().find(|&(_, c)| state.plain(c) && c.is_whitespace());
    end.map_or(text, |(at, _)| &text[..at])
}

/// What follows `Defaults`; `None` if it is the beginning of another word.
fn defaults(rest: &str) -> Option<Statement> {
    let (binding, settings) = match rest.chars().next() {
        None => (Binding::Everything, rest),
        Some(c) if c.is_whitespace() => (Binding::Everything, rest),
        Some(sign) => {
            let kind = match sign {
                ':' => AliasKind::User,
                '>' => AliasKind::RunAs,
                '@' => AliasKind::Host,
                '!' => AliasKind::Command,
                _ => return None,
            };
            let rest = rest[sign.len_utf8()..].trim_start();
            let (members, settings) = rest.split_at(end_of_list(rest));
            (Binding::To(kind, list(members)), settings)
        }
    };
    let settings = split(settings, ',').into_iter().map(|text| text.trim().to_owned());
    Some(Statement::Defaults { binding, settings: settings.filter(|text| !text.is_empty()).collect() })
}

/// Splits definitions of aliases at their colons. Other colons (an IPv6 address, a digest) are not followed by
/// `NAME =`.
fn aliases(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in separators(text, ':') {
        let after = text[at + 1..].trim_start();
        let end = after.find(|c: char| !is_of_alias(c)).unwrap_or(after.len());
        if end > 0 && after[end..].trim_start().starts_with('=') {
            parts.push(&text[start..at]);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

fn is_of_alias(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
}

fn alias(kind: AliasKind, text: &str) -> Result<Statement, String> {
    let (name, members) = text.split_once('=').ok_or("an alias is given no members")?;
    let (first, valid) = (name.trim().chars().next(), name.trim().chars().all(is_of_alias));
    if !valid || !first.is_some_and(|c| c.is_ascii_uppercase()) {
        return Err("the name of an alias has other letters than capitals".to_owned());
    }
    Ok(Statement::Alias { kind, name: name.trim().to_owned(), members: list(members) })
}

/// `USERS HOSTS = COMMANDS [: HOSTS = COMMANDS]…`
fn rules(line: &str) -> Result<Vec<Rule>, String> {
    let end = end_of_list(line);
    let (who, rest) = (list(&line[..end]), &line[end..]);
    let mut found = Vec::new();
    for part in privileges(rest) {
        let (hosts, commands) = part.split_once('=').ok_or("it says who, but not what")?;
        let hosts = list(hosts);
        if who.is_empty() || hosts.is_empty() {
            return Err("it does not say who, or where".to_owned());
        }
        let (mut run_as, mut free): (Option<RunAs>, Option<bool>) = (None, None);
        let mut last: Option<Rule> = None;
        for command in split(commands, ',') {
            let Some(command) = specification(command.trim(), &mut run_as, &mut free)? else { continue };
            match &mut last {
                Some(rule) if rule.run_as == run_as && rule.free == free => {
                    rule.commands.push(command);
                }
                _ if found.len() >= RULE_LIMIT => return Err("it says too much".to_owned()),
                _ => {
                    let (who, hosts) = (who.clone(), hosts.clone());
                    let run_as = run_as.clone();
                    let commands = vec![command];
                    found.extend(last.replace(Rule { who, hosts, run_as, free, commands }));
                }
            }
        }
        found.extend(last);
    }
    Ok(found)
}

/// Takes `(RUNAS)`, options and tags off a command; they hold for those after it too. `None` for one whose time it is not.
fn specification(
    mut text: &str,
    run_as: &mut Option<RunAs>,
    free: &mut Option<bool>,
) -> Result<Option<String>, String> {
    const OPTIONS: [&str; 9] =
        ["CWD", "CHROOT", "TIMEOUT", "NOTBEFORE", "NOTAFTER", "ROLE", "TYPE", "APPARMOR_PROFILE", "PRIVS"];
    if let Some(rest) = text.strip_prefix('(') {
        let (inside, rest) = rest.split_once(')').ok_or("a bracket is not closed")?;
        let mut parts = split(inside, ':').into_iter().map(list);
        let (users, groups) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        *run_as = Some(RunAs { users, groups });
        text = rest.trim_start();
    }
    let mut is_now = true;
    loop {
        let end = text.find(|c: char| !(c.is_ascii_uppercase() || c == '_')).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix(':').filter(|_| !word.is_empty()) {
            match word {
                "NOPASSWD" => *free = Some(true),
                "PASSWD" => *free = Some(false),
                word if TAGS.contains(&word) => {}
                _ => return Err("it has a tag that sudo does not know".to_owned()),
            }
            text = rest.trim_start();
        } else if let Some(rest) = rest.strip_prefix('=').filter(|_| OPTIONS.contains(&word)) {
            let rest = rest.trim_start();
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            // A command that is not allowed any more, or not yet, is none that a rule is about.
            let day =
                rest[..end].trim_matches('"').get(..8).filter(|day| day.bytes().all(|b| b.is_ascii_digit()));
            let today = clock::today().strftime("%Y%m%d").to_string();
            is_now &= match (word, day) {
                ("NOTAFTER", Some(day)) => *today <= *day,
                ("NOTBEFORE", Some(day)) => *today >= *day,
                _ => true,
            };
            text = rest[end..].trim_start();
        } else {
            break;
        }
    }
    if text.is_empty() {
        return Err("a command is missing".to_owned());
    }
    if !is_command(text) {
        return Err("a command is no absolute path".to_owned());
    }
    Ok(is_now.then(|| unescape(text)))
}

/// What sudo takes for a command: a path, an alias, a pattern, or one of its own words; behind digests of it.
fn is_command(text: &str) -> bool {
    const OWN: [&str; 3] = ["sudoedit", "list", "ALL"];
    let mut text = text.trim_start_matches(|c: char| c == '!' || c.is_whitespace());
    while let Some((kind, rest)) = text.split_once(':').filter(|(kind, _)| DIGESTS.contains(&kind.trim_end()))
    {
        let rest = rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if !is_digest(kind.trim_end(), rest[..end].trim_end_matches(',')) {
            return false;
        }
        text = rest[end..].trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }
    // A digest of several, the last of which the command stands behind.
    let is_digest_alone = text.is_empty();
    let text = text.trim_start_matches('"');
    let first = text.split_whitespace().next().unwrap_or_default();
    is_digest_alone
        || text.starts_with(['/', '^'])
        || OWN.contains(&first)
        || (first.starts_with(|c: char| c.is_ascii_uppercase()) && first.chars().all(is_of_alias))
}

/// A digest is hexadecimal or base64, and as long as its kind is.
fn is_digest(kind: &str, text: &str) -> bool {
    let bytes = DIGESTS.iter().position(|known| *known == kind).map_or(0, |at| [28, 32, 48, 64][at]);
    let is_hex = text.len() == 2 * bytes && text.chars().all(|c| c.is_ascii_hexdigit());
    let letters = text.trim_end_matches('=');
    let is_base64 = letters.len() == (4 * bytes).div_ceil(3)
        && letters.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'));
    is_hex || is_base64
}

/// Splits at the colons between privileges, which follow a command; other colons belong to tags, run-as lists
/// and digests.
fn privileges(text: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = Vec::new();
    let mut start = 0;
    for at in separators(text, ':') {
        let word = text[start..at].trim_end();
        let word = word.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
        let tag = !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if (tag && word != "ALL") || DIGESTS.contains(&word) {
            continue;
        }
        parts.push(&text[start..at]);
        start = at + 1;
    }
    parts.push(&text[start..]);
    parts
}

/// Where the first list of a line ends: at white space that is not beside a comma.
fn end_of_list(line: &str) -> usize {
    let mut state = Scan::default();
    let (mut last, mut space) = (',', None);
    for (at, c) in line.char_indices() {
        let plain = state.plain(c);
        if plain && c.is_whitespace() {
            space = space.or(Some(at));
            continue;
        }
        if let Some(end) = space.take()
            && !matches!(last, ',' | '!')
            && !(plain && c == ',')
        {
            return end;
        }
        last = if plain { c } else { ' ' };
    }
    line.len()
}

/// The items of a list, unquoted.
fn list(text: &str) -> Vec<String> {
    let items = split(text, ',').into_iter().map(|item| {
        let item: String = unescape(item.trim());
        item
    });
    items.filter(|item| !item.is_empty()).collect()
}

fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in separators(text, separator) {
        parts.push(&text[start..at]);
        start = at + separator.len_utf8();
    }
    parts.push(&text[start..]);
    parts
}

/// Where a character stands outside quotes and brackets and without a backslash.
fn separators(text: &str, separator: char) -> Vec<usize> {
    let mut state = Scan::default();
    let mut depth = 0_u32;
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        if !state.plain(c) {
            continue;
        }
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 => found.push(at),
            _ => {}
        }
    }
    found
}

/// Quotes and backslashes, followed from character to character.
#[derive(Default)]
struct Scan {
    quoted: bool,
    escaped: bool,
}

impl Scan {
    /// Whether the character is itself: not quoted, not escaped, and no quote or backslash.
    fn plain(&mut self, c: char) -> bool {
        if std::mem::take(&mut self.escaped) {
            return false;
        }
        match c {
            '\\' => self.escaped = true,
            '"' => self.quoted = !self.quoted,
            _ => return !self.quoted,
        }
        false
    }
}

/// `#` begins a comment unless a number follows it: then it is a user's id.
fn without_comment(line: &str) -> &str {
    let mut state = Scan::default();
    let at = line.char_indices().find(|&(at, c)| {
        let id = line[at + c.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
        state.plain(c) && c == '#' && !id
    });
    at.map_or(line, |(at, _)| &line[..at])
}

/// Text without its backslashes, and without quotes if it is quoted as a whole.
fn unescape(text: &str) -> String {
    let (sign, quoted) = match text.strip_prefix(['%', '!']) {
        Some(rest) if rest.starts_with('"') => (&text[..1], rest),
        _ => ("", text),
    };
    if let Some(inside) = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
        && !inside.contains('"')
    {
        return format!("{sign}{inside}");
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { plain.extend(chars.next()) } else { plain.push(c) }
    }
    plain
}
