//! Files that fit into memory, and what a server says about a file.

use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, Url};

use super::client::{Ask, Client, is_whole, status_problem, text};
use super::error::Stop;
use super::mirrors::{Attempt, try_all};
use super::redact::redact;
use super::{FetchError, Head, Problem, Small};

/// Fetches a small file from the first URL that delivers.
pub(crate) async fn get(client: &Client, urls: &[Url], limit: u64) -> Result<Small, FetchError> {
    let what = urls.first().map_or_else(|| "a file".to_owned(), name);
    try_all(client, &what, urls, &mut Get { client, limit }).await
}

/// Asks for the head of a file.
pub(crate) async fn head(client: &Client, url: &Url) -> Result<Head, FetchError> {
    try_all(client, &name(url), std::slice::from_ref(url), &mut Ping { client }).await
}

struct Get<'a> {
    client: &'a Client,
    limit: u64,
}

impl Attempt for Get<'_> {
    type Output = Small;

    async fn attempt(&mut self, url: &Url) -> Result<Small, Stop> {
        let mut answer = self.client.open(Method::GET, url, &Ask::default()).await?;
        if !is_whole(&answer.response) {
            return Err(status_problem(&answer.response).into());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.client.chunk(&mut answer.response).await? {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() as u64 > self.limit {
                return Err(Problem::TooLarge { limit: self.limit }.into());
            }
        }
        Ok(Small { bytes, from: answer.from })
    }
}

struct Ping<'a> {
    client: &'a Client,
}

impl Attempt for Ping<'_> {
    type Output = Head;

    async fn attempt(&mut self, url: &Url) -> Result<Head, Stop> {
        let answer = self.client.open(Method::HEAD, url, &Ask::default()).await?;
        let problem = status_problem(&answer.response);
        if !answer.response.status().is_success() && !problem.is_final() {
            return Err(problem.into());
        }
        let length = text(answer.response.headers(), &CONTENT_LENGTH).and_then(|length| length.parse().ok());
        Ok(Head { status: answer.response.status().as_u16(), length, from: answer.from })
    }
}

/// What to call a file that has nothing but a URL.
fn name(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    if last.is_empty() { redact(url) } else { last.to_owned() }
}
