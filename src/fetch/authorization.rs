//! Who asks, as a server is told.

use reqwest::header::HeaderValue;

/// What says who asks: the value of a header, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization(HeaderValue);

impl Authorization {
    /// A token; `None` if it cannot be one.
    pub fn bearer(token: &str) -> Option<Self> {
        Self::of(&format!("Bearer {token}"))
    }

    /// A user and their password, in the form that stands in the header.
    pub fn basic(encoded: &str) -> Option<Self> {
        Self::of(&format!("Basic {encoded}"))
    }

    fn of(text: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorization(…)")
    }
}
