//! Values as the program that reads the line takes them: quotes and comments differ.

use super::lines::Assignment;

/// The words of a line of sshd's (`argv_split` in `misc.c`): quotes of both kinds hold words together, `#` at the beginning of
/// a word ends the line.
pub(super) fn sshd(rest: &str) -> Vec<String> {
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let mut words = Vec::new();
    let mut chars = rest.chars().peekable();
    while let Some(&first) = chars.peek() {
        if first.is_ascii_whitespace() {
            chars.next();
            continue;
        }
        if first == '#' {
            break;
        }
        let (mut word, mut quote) = (String::new(), None);
        while let Some(&c) = chars.peek() {
            let next = chars.clone().nth(1);
            match quote {
                None if c.is_ascii_whitespace() => break,
                None if matches!(c, '"' | '\'') => quote = Some(c),
                Some(open) if c == open => quote = None,
                _ if c == '\\'
                    && (next.is_some_and(|next| matches!(next, '\\' | '\'' | '"'))
                        || quote.is_none() && next == Some(' ')) =>
                {
                    chars.next();
                    word.extend(next);
                }
                _ => word.push(c),
            }
            chars.next();
        }
        words.push(word);
    }
    words
}

/// A line of MySQL's (`my_default.c`): outside of quotes `#` begins a comment wherever it stands.
pub(super) fn mysql(line: Assignment) -> Assignment {
    if let Some((key, _)) = line.key.split_once('#') {
        return Assignment { key: key.to_owned(), value: String::new(), ..line };
    }
    let mut quote = None;
    let end = line.rest.char_indices().find(|&(at, c)| {
        let escaped = line.rest[..at].ends_with('\\');
        match quote {
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open && !escaped => quote = None,
            _ => {}
        }
        quote.is_none() && c == '#'
    });
    let rest = line.rest[..end.map_or(line.rest.len(), |(at, _)| at)].trim();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
    let inside = ['"', '\''].iter().find_map(|&quote| rest.strip_prefix(quote)?.strip_suffix(quote));
    let value = inside.unwrap_or(rest).to_owned();
    Assignment { value, ..line }
}

/// A line of `PostgreSQL`'s (`guc-file.l`): `#` begins a comment wherever it stands, and two quotes within quotes are one.
pub(super) fn postgres(line: Assignment) -> Assignment {
    let rest = line.rest.strip_prefix('=').unwrap_or(&line.rest).trim_start();
    let mut value = String::new();
    match rest.strip_prefix('\'') {
        Some(inside) => {
            let mut chars = inside.chars().peekable();
            while let Some(c) = chars.next() {
                match c {
                    '\'' if chars.peek() != Some(&'\'') => break,
                    '\'' | '\\' => value.extend(chars.next()),
                    c => value.push(c),
                }
            }
        }
        None => {
            let end = rest.find(|c: char| c == '#' || c.is_whitespace()).unwrap_or(rest.len());
            value.push_str(&rest[..end]);
        }
    }
    Assignment { value, ..line }
}
