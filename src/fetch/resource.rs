//! Small things of a service that wants to know who asks: an answer with its type, or a challenge to say who one is.

use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, Url};

use super::client::{Ask, Client, status_problem, text};
use super::error::Stop;
use super::mirrors::{Attempt, try_all};
use super::{Authorization, FetchError, Problem};

/// Something small that a service has.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// What it is, for messages, as what follows "cannot fetch".
    pub what: &'a str,
    /// The types that are taken, as `Accept` lists them.
    pub accept: &'a str,
    /// Who asks. Servers that the first one redirects to are not told.
    pub authorization: Option<&'a Authorization>,
    /// The largest number of bytes of an answer.
    pub limit: u64,
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The type of what came.
    pub content_type: Option<String>,
    /// How the service wants to be told who asks, if it does not know.
    pub challenges: Vec<String>,
    /// What came; nothing with a status that is no success.
    pub bytes: Vec<u8>,
}

/// Asks as often as it makes sense. Every status that is not about the moment is an answer.
pub(crate) async fn get(client: &Client, wanted: &Resource<'_>) -> Result<Answered, FetchError> {
    try_all(client, wanted.what, std::slice::from_ref(wanted.url), &mut Get { client, wanted }).await
}

struct Get<'a> {
    client: &'a Client,
    wanted: &'a Resource<'a>,
}

impl Attempt for Get<'_> {
    type Output = Answered;

    async fn attempt(&mut self, url: &Url) -> Result<Answered, Stop> {
        let ask = Ask {
            accept: Some(self.wanted.accept.to_owned()),
            authorization: self.wanted.authorization.cloned(),
            ..Ask::default()
        };
        let mut answer = self.client.open(Method::GET, url, &ask).await?;
        let problem = status_problem(&answer.response);
        let succeeded = answer.response.status().is_success();
        if !succeeded && !problem.is_final() {
            return Err(problem.into());
        }
        let headers = answer.response.headers();
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
        let challenges =
            challenges.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect::<Vec<_>>();
        let content_type = text(headers, &CONTENT_TYPE);
        let status = answer.response.status().as_u16();
        let mut bytes = Vec::new();
        while succeeded && let Some(chunk) = self.client.chunk(&mut answer.response).await? {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() as u64 > self.wanted.limit {
                return Err(Problem::TooLarge { limit: self.wanted.limit }.into());
            }
        }
        Ok(Answered { status, content_type, challenges, bytes })
    }
}
