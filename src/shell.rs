//! Words for `/bin/sh`.

/// Quotes a word for `/bin/sh`, if it needs it.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Quotes words, and puts spaces between them.
pub(crate) fn quote_all(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_when_the_shell_would_touch_them() {
        for (word, quoted) in [
            ("mariadb-server=1:10.11", "mariadb-server=1:10.11"),
            ("a b", "'a b'"),
            ("", "''"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }

    #[test]
    fn the_shell_reads_the_word_again() {
        for text in
            ["it's", "a\nb", "$HOME `id` \\ \"", "", "''", "é%s", "~", "a~b", "#x", "!!", "a=b", "*", "{a,b}"]
        {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quote(text))])
                .output()
                .unwrap();
            assert_eq!(output.stdout, text.as_bytes());
        }
    }
}
