//! Calls of a service: any method, JSON in a body, and an answer that the caller judges by its status.

use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE};

use super::client::{Client, is_http, status_problem};
use super::error::Stop;
use super::mirrors::{Attempt, try_all};
use super::{FetchError, Problem};

/// What is done to a resource of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads it.
    Get,
    /// Makes something new. It is not said twice unless it is certain that the service did nothing the first time.
    Post,
    /// Changes it.
    Put,
    /// Removes it.
    Delete,
}

/// A call of a service.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// What is done.
    pub verb: Verb,
    /// To what.
    pub url: &'a Url,
    /// What is done, for messages, as what follows "cannot fetch": it must hold no secret.
    pub what: &'a str,
    /// JSON to send.
    pub body: Option<&'a str>,
    /// A user and their password.
    pub login: Option<(&'a str, &'a str)>,
    /// The largest number of bytes of an answer.
    pub limit: u64,
}

// The login and the body are nobody's business.
impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("verb", &self.verb).field("what", &self.what).finish_non_exhaustive()
    }
}

/// What a service answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, which may hold secrets.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.bytes.len())
    }
}

/// A certificate that this client shows, and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity(Vec<u8>);

impl ClientIdentity {
    /// The two in PEM.
    pub fn new(certificate: &str, key: &str) -> Self {
        Self(format!("{certificate}\n{key}\n").into_bytes())
    }

    pub(super) fn pem(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientIdentity(…)")
    }
}

/// Calls a service, as often as it makes sense. Every status that is not about the moment is an answer.
pub(crate) async fn call(client: &Client, call: &Call<'_>) -> Result<Reply, FetchError> {
    try_all(client, call.what, std::slice::from_ref(call.url), &mut Calling { client, call }).await
}

struct Calling<'a> {
    client: &'a Client,
    call: &'a Call<'a>,
}

impl Attempt for Calling<'_> {
    type Output = Reply;

    async fn attempt(&mut self, url: &Url) -> Result<Reply, Stop> {
        self.once(url).await.map_err(|problem| {
            if self.call.verb == Verb::Post && !is_certainly_undone(&problem) {
                let tried = super::Tried { url: super::redact(url), attempts: 1, problem };
                return FetchError::Failed { what: self.call.what.to_owned(), tried: vec![tried] }.into();
            }
            problem.into()
        })
    }
}

/// Whether the service cannot have done what it was asked to do.
fn is_certainly_undone(problem: &Problem) -> bool {
    match problem {
        // Too much to do, or not there at the moment.
        Problem::Status { code, .. } => matches!(code, 429 | 503),
        Problem::Connect(_) | Problem::Tls(_) | Problem::Setup(_) | Problem::BadUrl => true,
        _ => false,
    }
}

impl Calling<'_> {
    async fn once(&self, url: &Url) -> Result<Reply, Problem> {
        if !is_http(url) {
            return Err(Problem::BadUrl);
        }
        let method = match self.call.verb {
            Verb::Get => reqwest::Method::GET,
            Verb::Post => reqwest::Method::POST,
            Verb::Put => reqwest::Method::PUT,
            Verb::Delete => reqwest::Method::DELETE,
        };
        let mut request = self.client.http()?.request(method, url.clone()).header(ACCEPT, "application/json");
        if let Some(body) = self.call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        if let Some((user, password)) = self.call.login {
            request = request.basic_auth(user, Some(password));
        }
        let mut response = self.client.answer(request).await?;
        let status = response.status();
        let problem = status_problem(&response);
        if status.is_redirection() {
            // Neither a password nor a certificate goes where the user did not send it.
            return Err(Problem::Redirect("away from the service, which is not followed".to_owned()));
        }
        if !status.is_success() && !problem.is_final() {
            return Err(problem);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.client.chunk(&mut response).await? {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() as u64 > self.call.limit {
                return Err(Problem::TooLarge { limit: self.call.limit });
            }
        }
        Ok(Reply { status: status.as_u16(), bytes })
    }
}
