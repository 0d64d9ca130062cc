//! Text from elsewhere, for people: the one place where it is escaped.
//!
//! Images, servers, recipes and programs say what they like. A control character in that commands the terminal it is
//! printed on, a format character turns a line around or hides in it, and a newline makes a line that looks like one of
//! tib's own. So nothing is printed but by way of this file: a line as a [`Text`] or a [`Line`], JSON by [`json`], and
//! content of files through a [`Screen`].

mod screen;
mod text;

pub(crate) use screen::Screen;
pub use text::{Line, Text};

/// A path or a name for people: lossy, and with everything escaped that is not to be seen.
pub(crate) fn show(path: &[u8]) -> String {
    escape(&String::from_utf8_lossy(path))
}

/// Text for people, as part of a line: everything that is not to be seen is escaped, newlines and tabs too. What was
/// escaped before stays as it is.
pub(crate) fn escape(text: &str) -> String {
    escape_but(text, "")
}

/// A line of a file: a tab is no harm in it.
pub(crate) fn legible(line: &[u8]) -> String {
    escape_but(&String::from_utf8_lossy(line), "\t")
}

/// Escapes all that is not to be seen but for some characters. Control characters talk to terminals, format characters
/// put a line in another order or hide in it, and what is no character at all has no place in XML.
fn escape_but(text: &str, kept: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) && !kept.contains(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// JSON on one line. It is the same value to a program as any other JSON, and what is not to be seen stands in it as
/// `\u…`, so that it does no harm on a terminal.
///
/// # Errors
/// What has no form in JSON, such as a path that is no UTF-8.
pub(crate) fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|text| escape_json(&text))
}

/// The same on many lines.
///
/// # Errors
/// As [`json`].
pub(crate) fn json_pretty(value: &impl serde::Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|text| escape_json(&text))
}

/// All that JSON itself escapes is escaped already; what else is not to be seen can only be part of a string.
fn escape_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) && c != '\n' {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            shown.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Unicode's categories Cc, Cf, Zl and Zp, and the code points that will never be characters.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(
            c,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_talk_to_the_terminal() {
        assert_eq!(show(b"/a\x1b[2Jb\n\xff"), "/a\\u{1b}[2Jb\\n\u{fffd}");
        assert_eq!(
            show("/a\u{202e}gpj.\u{2066}b\u{feff}\u{fffe}".as_bytes()),
            "/a\\u{202e}gpj.\\u{2066}b\\u{feff}\\u{fffe}"
        );
        assert_eq!(show("/grüße/日本語/😀".as_bytes()), "/grüße/日本語/😀");
    }

    /// The tables of another crate are the judge.
    #[test]
    fn every_character_that_is_not_to_be_seen_is_escaped() {
        let invisible = regex::Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]").unwrap();
        let unassigned = regex::Regex::new(r"\p{Cn}").unwrap();
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            let no_character = u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
            let name = c.escape_unicode();
            if escape(&text) == text {
                assert!(!invisible.is_match(&text) && !no_character, "{name} is shown");
            } else {
                let known = invisible.is_match(&text) || no_character || unassigned.is_match(&text);
                assert!(known, "{name} is not shown");
            }
        }
    }

    #[test]
    fn json_is_the_same_value_and_harmless() {
        let evil = "a\u{1b}\n\t\u{7f}\u{9b}\u{202e}\u{feff}\u{e0041}\u{fffe}\"\\é😀";
        let value = serde_json::json!({ evil: [evil, 1, null] });
        for text in [json(&value).unwrap(), json_pretty(&value).unwrap()] {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value, "{text}");
            assert_eq!(escape_but(&text, "\n"), text);
            assert!(text.contains("\\u009b\\u202e\\ufeff\\udb40\\udc41\\ufffe\\\"\\\\é😀"), "{text}");
        }
    }

    #[test]
    fn what_was_escaped_stays_as_it_is() {
        let once = escape("a\u{1b}\n\u{202e}\\");
        assert_eq!(escape(&once), once);
        assert_eq!(legible(b"a\tb\rc\x9b"), "a\tb\\rc\u{fffd}");
    }
}
