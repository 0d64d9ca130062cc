//! One HTTP request, with its redirects.

use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT, AUTHORIZATION, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::problem::parse_retry_after;
use super::redact::redact;
use super::{Authorization, FetchError, Options, Problem, Retrieved};
use crate::cancel::{Cancelled, OnRaise};
use crate::control::Control;
use crate::netrc::Credentials;

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 10;
/// cloud.centos.org answers 403 to a client without a name.
const USER_AGENT: &str = concat!("tib/", env!("CARGO_PKG_VERSION"));

/// Speaks HTTP, until the user interrupts.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) options: Options,
    pub(crate) control: Control,
    runtime: Runtime,
    http: OnceLock<Result<reqwest::Client, Problem>>,
    interrupted: watch::Receiver<bool>,
    _on_raise: OnRaise,
}

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    /// The first byte, and the one after the last.
    pub(crate) range: Option<(u64, Option<u64>)>,
    /// Send the range only if the file is still this one.
    pub(crate) if_range: Option<String>,
    /// Types that are taken, as the header says it.
    pub(crate) accept: Option<String>,
    /// Who asks. Only the server that is asked first is told.
    pub(crate) authorization: Option<Authorization>,
}

/// The head of an answer; the body is still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) from: Retrieved,
    /// The URL that answered, after all redirects.
    pub(crate) url: Url,
}

impl Client {
    pub(crate) fn new(options: Options, control: Control) -> Result<Self, FetchError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (raise, interrupted) = watch::channel(false);
        let on_raise = control.cancel.on_raise(move || {
            // Nobody is left to be told if it fails.
            let _ = raise.send(true);
        });
        Ok(Self {
            options,
            control,
            runtime: runtime.map_err(FetchError::Host)?,
            http: OnceLock::new(),
            interrupted,
            _on_raise: on_raise,
        })
    }

    /// Runs `work` on the calling thread, until it is done or the user interrupts.
    pub(crate) fn run<T>(&self, work: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
        let mut interrupted = self.interrupted.clone();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                // An error means that the flag can no longer be raised.
                Ok(_) = interrupted.wait_for(|raised| *raised) => Err(Cancelled.into()),
                result = work => result,
            }
        })
    }

    /// Asks `url`, following redirects, and returns the head of the last answer, whatever its status.
    pub(crate) async fn open(&self, method: Method, url: &Url, ask: &Ask) -> Result<Answer, Problem> {
        if !is_http(url) {
            return Err(Problem::BadUrl);
        }
        let mirror = self.mirror_of(url)?;
        let mut chain = vec![mirror.clone().unwrap_or_else(|| url.clone())];
        loop {
            let current = chain[chain.len() - 1].clone();
            // Whoever is redirected to was not meant to know who asks, nor is a mirror.
            let known = current.origin() == url.origin();
            let response = self.send(method.clone(), current.clone(), ask, known).await?;
            let Some(next) = redirect(&response, &chain)? else {
                let header = |name| text(response.headers(), &name);
                let from = Retrieved {
                    url: redact(url),
                    mirror: mirror.as_ref().map(redact),
                    redirects: chain[1..].iter().filter(|_| mirror.is_none()).map(redact).collect(),
                    etag: header(ETAG),
                    last_modified: header(LAST_MODIFIED),
                };
                return Ok(Answer { response, from, url: current });
            };
            chain.push(self.mirror_of(&next)?.unwrap_or(next));
        }
    }

    /// What is asked in place of `url`, if the person has a mirror of it.
    pub(crate) fn mirror_of(&self, url: &Url) -> Result<Option<Url>, Problem> {
        let Some(mirror) = self.control.mirrors.fetched(url.as_str()) else { return Ok(None) };
        mirror.parse().map(Some).map_err(|_| Problem::BadUrl)
    }

    /// The URL that is asked for `url`, without what may be secret.
    pub(crate) fn server_of(&self, url: &Url) -> String {
        self.mirror_of(url).ok().flatten().map_or_else(|| redact(url), |mirror| redact(&mirror))
    }

    /// The same, as messages say it.
    pub(crate) fn asked(&self, url: &Url) -> String {
        match self.mirror_of(url) {
            Ok(Some(mirror)) => format!("{}` in place of `{}", redact(&mirror), redact(url)),
            _ => redact(url),
        }
    }

    /// The next bytes of a body; `None` at its end.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<impl AsRef<[u8]>>, Problem> {
        self.patiently(self.options.stall_timeout, response.chunk()).await
    }

    async fn send(&self, method: Method, url: Url, ask: &Ask, known: bool) -> Result<Response, Problem> {
        let credentials = self.control.netrc.find(url.as_str());
        let mut request = self.http()?.request(method, url);
        if let Some(accept) = &ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = ask.authorization.as_ref().filter(|_| known) {
            request = request.header(AUTHORIZATION, authorization.value());
        } else if let Some(Credentials { login, password }) = credentials {
            request = request.basic_auth(login, Some(password));
        }
        if let Some((start, end)) = ask.range {
            let last = end.map_or_else(String::new, |end| (end - 1).to_string());
            request = request.header(RANGE, format!("bytes={start}-{last}"));
            if let Some(validator) = &ask.if_range {
                request = request.header(IF_RANGE, validator);
            }
        }
        self.answer(request).await
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Response, Problem> {
        self.patiently(self.options.connect_timeout + self.options.stall_timeout, request.send()).await
    }

    async fn patiently<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T, Problem> {
        match tokio::time::timeout(patience, work).await {
            Ok(result) => result.map_err(Problem::of),
            Err(_) => Err(Problem::Stalled(patience)),
        }
    }

    /// The client proper. It reads the trusted certificates, so it is made when it is needed.
    pub(crate) fn http(&self) -> Result<&reqwest::Client, Problem> {
        self.http.get_or_init(|| build(&self.options)).as_ref().map_err(Problem::clone)
    }
}

fn build(options: &Options) -> Result<reqwest::Client, Problem> {
    // It fails if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let setup = |error: reqwest::Error| match Problem::of(error) {
        Problem::Broken(why) => Problem::Setup(why),
        problem => problem,
    };
    let roots = options.roots.iter().map(|pem| reqwest::Certificate::from_pem_bundle(pem).map_err(setup));
    let roots: Vec<_> = roots.collect::<Result<Vec<_>, _>>()?.concat();
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        // Followed here: the chain is recorded, and it must not leave https.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout);
    builder =
        if options.system_roots { builder.tls_certs_merge(roots) } else { builder.tls_certs_only(roots) };
    if let Some(identity) = &options.identity {
        builder = builder.identity(reqwest::Identity::from_pem(identity.pem()).map_err(setup)?);
    }
    if !options.proxies {
        builder = builder.no_proxy();
    }
    builder.build().map_err(setup)
}

/// Where an answer sends us, if it does. `chain` is where we have been.
fn redirect(response: &Response, chain: &[Url]) -> Result<Option<Url>, Problem> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let refuse = |why: String| Err(Problem::Redirect(why));
    let Some(location) = text(response.headers(), &LOCATION) else {
        return refuse("to nowhere".to_owned());
    };
    let current = &chain[chain.len() - 1];
    let Some(next) = current.join(&location).ok().filter(is_http) else {
        return refuse("to something that is no URL of http or https".to_owned());
    };
    if current.scheme() == "https" && next.scheme() == "http" {
        return refuse(format!("from https to `{}`", redact(&next)));
    }
    if chain.contains(&next) {
        return refuse(format!("in a circle, by `{}`", redact(&next)));
    }
    if chain.len() > MOST_REDIRECTS {
        return refuse(format!("more than {MOST_REDIRECTS} times"));
    }
    Ok(Some(next))
}

/// The problem that a status stands for which is not the one hoped for.
pub(crate) fn status_problem(response: &Response) -> Problem {
    let wait = text(response.headers(), &RETRY_AFTER);
    let retry_after = wait.and_then(|wait| parse_retry_after(&wait, SystemTime::now()));
    Problem::Status { code: response.status().as_u16(), retry_after }
}

/// Whether an answer brings the whole file.
pub(crate) fn is_whole(response: &Response) -> bool {
    response.status() == StatusCode::OK
}

/// A header as text.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

pub(crate) fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}
