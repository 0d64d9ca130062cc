//! URLs in messages and records: without the user, the password, the query and the fragment, any of which may be
//! secret.

use reqwest::Url;

/// A URL without what may be secret.
pub(crate) fn redact(url: &Url) -> String {
    let mut url = url.clone();
    // They fail for URLs that can have neither.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// The same for what may be no URL.
pub(crate) fn redact_text(text: &str) -> String {
    if let Ok(url) = Url::parse(text) {
        return redact(&url);
    }
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    // A password may hold `@` itself.
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        let cases = [
            ("https://user:secret@a.example/x?token=secret#y", "https://a.example/x"),
            ("http://a.example:8080/x", "http://a.example:8080/x"),
            ("file:///etc/x", "file:///etc/x"),
            ("ftp://user:secret@a.example/x?secret", "ftp://a.example/x"),
        ];
        for (url, expected) in cases {
            assert_eq!(redact(&url.parse().unwrap()), expected);
            assert_eq!(redact_text(url), expected);
        }
        let not_urls = [
            ("https://user:sec@ret@a.example:port/x?secret#secret", "https://a.example:port/x"),
            ("https://user:secret@", "https://"),
            ("https://?secret", "https://"),
            ("https://a b/x@y", "https://a b/x@y"),
            ("a?secret", "a"),
        ];
        for (text, expected) in not_urls {
            assert!(text.parse::<Url>().is_err(), "{text}");
            assert_eq!(redact_text(text), expected);
        }
    }
}
