//! Attempt after attempt, URL after URL.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use reqwest::Url;

use super::client::Client;
use super::error::Stop;
use super::redact::redact;
use super::{FetchError, Options, Problem, Tried};

/// Waits shorter than this are not worth a message.
const SHORT: Duration = Duration::from_secs(1);

/// Something that can be got from any of several URLs.
pub(crate) trait Attempt {
    type Output;

    /// Tries `url` once.
    async fn attempt(&mut self, url: &Url) -> Result<Self::Output, Stop>;

    /// Whether the last attempt has brought the work on, although it failed.
    fn has_progressed(&mut self) -> bool {
        false
    }

    /// Adapts to the way the last attempt failed. `next` says that another URL follows.
    fn failed(&mut self, _problem: &Problem, _next: bool) -> Result<(), FetchError> {
        Ok(())
    }
}

/// Tries `urls` in order, each as often as it makes sense, until one delivers.
pub(crate) async fn try_all<A: Attempt>(
    client: &Client,
    what: &str,
    urls: &[Url],
    work: &mut A,
) -> Result<A::Output, FetchError> {
    let mut tried = Vec::new();
    for (number, url) in urls.iter().enumerate() {
        let mut retries = Retries::new(&client.options);
        let asked = client.asked(url);
        if asked != redact(url) {
            client.control.events.output("mirror", format!("{what}: `{asked}`"));
        }
        let last = loop {
            retries.attempts += 1;
            let problem = match work.attempt(url).await {
                Ok(output) => return Ok(output),
                Err(Stop::Fatal(error)) => return Err(error),
                Err(Stop::Problem(problem)) => problem,
            };
            if work.has_progressed() {
                retries.forget();
            }
            let wait = retries.wait(&problem);
            work.failed(&problem, wait.is_none())?;
            let Some(wait) = wait else { break problem };
            if wait >= SHORT {
                client
                    .control
                    .events
                    .note(format!("{what}: `{asked}`: {problem}; next attempt in {} s", wait.as_secs()));
            }
            tokio::time::sleep(wait).await;
        };
        let failed = Tried { url: asked, attempts: retries.attempts, problem: last };
        if let Some(next) = urls.get(number + 1) {
            client
                .control
                .events
                .warning(format!("{what}: {failed}; going on with `{}`", client.asked(next)));
        }
        tried.push(failed);
    }
    Err(FetchError::Failed { what: what.to_owned(), tried })
}

/// How often and when one URL is asked again.
#[derive(Debug)]
struct Retries<'a> {
    options: &'a Options,
    backoff: ExponentialBackoff,
    attempts: u32,
}

impl<'a> Retries<'a> {
    fn new(options: &'a Options) -> Self {
        Self { options, backoff: backoff(options), attempts: 0 }
    }

    /// What failed so far no longer counts.
    fn forget(&mut self) {
        self.backoff = backoff(self.options);
    }

    /// How long to wait before the next attempt; `None` if there is to be none.
    fn wait(&mut self, problem: &Problem) -> Option<Duration> {
        if problem.is_final() {
            return None;
        }
        let wait = self.backoff.next()?;
        Some(problem.retry_after().unwrap_or(wait).min(self.options.longest_wait))
    }
}

fn backoff(options: &Options) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(options.backoff)
        .with_max_delay(options.longest_wait)
        .with_max_times(options.retries)
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            backoff: Duration::from_secs(1),
            retries: 4,
            longest_wait: Duration::from_secs(6),
            ..Options::default()
        }
    }

    #[test]
    fn waits_double_with_jitter_up_to_the_longest_and_then_end() {
        let options = options();
        let mut retries = Retries::new(&options);
        let broken = Problem::Broken(String::new());
        let mut waits = Vec::new();
        while let Some(wait) = retries.wait(&broken) {
            waits.push(wait.as_secs_f32());
        }
        assert_eq!(waits.len(), 4);
        for (wait, low) in waits.iter().zip([1.0_f32, 2.0, 4.0, 6.0]) {
            assert!((low..=(2.0 * low).min(6.0)).contains(wait), "{waits:?}");
        }
        retries.forget();
        assert!(retries.wait(&broken).is_some());
    }

    #[test]
    fn a_server_may_ask_for_patience_within_bounds() {
        let options = options();
        let busy = |seconds| Problem::Status { code: 503, retry_after: Some(Duration::from_secs(seconds)) };
        for (asked, expected) in [(0, 0), (3, 3), (600, 6)] {
            let wait = Retries::new(&options).wait(&busy(asked));
            assert_eq!(wait, Some(Duration::from_secs(expected)));
        }
        let gone = Problem::Status { code: 404, retry_after: Some(Duration::ZERO) };
        assert_eq!(Retries::new(&options).wait(&gone), None);
    }
}
