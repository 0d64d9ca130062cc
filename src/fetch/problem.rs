//! Why one attempt to get something from one URL failed, and whether another may succeed.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

/// Why one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The URL cannot be asked.
    #[error("not a URL of http or https")]
    BadUrl,
    /// No client could be set up on this host.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
    /// The server could not be reached.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The server's certificate, or the way it speaks TLS, is not acceptable.
    #[error("no trusted connection: {0}")]
    Tls(String),
    /// Nothing came for too long.
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    /// The transfer ended before its time.
    #[error("the transfer broke off: {0}")]
    Broken(String),
    /// The server answered with a status that is no success.
    #[error("the server answered {code}{}", reason(*code))]
    Status {
        /// The status.
        code: u16,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// Redirects do not end in something that may be fetched.
    #[error("redirected {0}")]
    Redirect(String),
    /// The server sent another part of the file than it was asked for.
    #[error("the server sent a wrong part: {0}")]
    WrongPart(String),
    /// What the server has now is not what the transfer began with.
    #[error("the file changed on the server")]
    Changed,
    /// The file has another size than it should have.
    #[error("the server's file has {found} bytes instead of {expected}")]
    WrongSize {
        /// What it should have, in bytes.
        expected: u64,
        /// What it has, as far as is known.
        found: u64,
    },
    /// The file is larger than what is taken.
    #[error("the server sends more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
}

impl Problem {
    /// Whether asking the same URL again is pointless.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Status { code, .. } => !matches!(code, 408 | 425 | 429 | 500 | 502..=504 | 506..=599),
            Self::BadUrl
            | Self::Setup(_)
            | Self::Tls(_)
            | Self::Redirect(_)
            | Self::WrongSize { .. }
            | Self::TooLarge { .. } => true,
            Self::Connect(_) | Self::Stalled(_) | Self::Broken(_) | Self::WrongPart(_) | Self::Changed => {
                false
            }
        }
    }

    /// Whether the server said that it has no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Status { code: 404 | 410, .. })
    }

    /// Whether the server delivers, but not what it should.
    pub fn is_content(&self) -> bool {
        matches!(self, Self::WrongSize { .. } | Self::TooLarge { .. })
    }

    /// How long the server asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Classifies an error of the HTTP client by everything in its chain.
    pub(crate) fn of(error: reqwest::Error) -> Self {
        // URLs may hold credentials, and the caller knows which one it was.
        let error = error.without_url();
        let (mut deepest, mut tls): (&dyn Error, _) = (&error, false);
        while let Some(next) = deepest.source() {
            tls |= is_tls(next);
            deepest = next;
        }
        let why = deepest.to_string();
        match error.is_connect() {
            true if tls => Self::Tls(why),
            true => Self::Connect(why),
            false => Self::Broken(why),
        }
    }
}

/// Whether rustls complains. Its errors travel inside [`io::Error`]s, which do not name them as their source.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner))
}

fn reason(code: u16) -> String {
    let status = reqwest::StatusCode::from_u16(code).ok();
    status.and_then(|s| s.canonical_reason()).map_or_else(String::new, |text| format!(" ({text})"))
}

/// Reads the value of `Retry-After`: seconds, or a date, which is compared with `now`.
pub(crate) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_status_is_final_unless_it_is_about_the_moment() {
        let again = [408, 425, 429, 500, 502, 503, 504, 520];
        for code in 100..600 {
            let problem = Problem::Status { code, retry_after: None };
            let expected = again.contains(&code) || (506..600).contains(&code);
            assert_eq!(!problem.is_final(), expected, "{code}");
        }
        assert_eq!(
            Problem::Status { code: 404, retry_after: None }.to_string(),
            "the server answered 404 (Not Found)"
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let cases = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999999", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse_retry_after(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_retry_after_makes_the_parser_panic(text: String) {
            parse_retry_after(&text, SystemTime::now());
        }
    }
}
