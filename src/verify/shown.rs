//! Names and texts of an image, for people.

/// A path for people: lossy, with everything escaped that is not to be seen, so that a name cannot talk to a terminal.
pub(crate) fn show(path: &[u8]) -> String {
    escape(&String::from_utf8_lossy(path))
}

/// Text from an image for people: what is not to be seen is escaped. Control characters talk to terminals, format
/// characters put a line in another order or hide in it, and what is no character at all has no place in XML.
pub(crate) fn escape(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
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
}
