//! Getting the bytes of one file over the network, from wherever they stand to the end.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use reqwest::header::{ACCEPT_RANGES, CONTENT_RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::client::{Answer, Ask, Client, status_problem, text};
use super::error::Stop;
use super::mirrors::{Attempt, try_all};
use super::spans::{ContentRange, Spans};
use super::store::Store;
use super::{Authorization, FetchError, Problem, Request};

/// The network's side of a download.
struct Transfer<'a> {
    client: &'a Client,
    store: RefCell<Store<'a>>,
    authorization: Option<Authorization>,
    /// What is there or on its way.
    claimed: RefCell<Spans>,
    /// Whether this server can be asked for parts.
    ranges: bool,
    /// Connections to use at a time.
    connections: usize,
    /// The most bytes that were there at the end of an attempt.
    best: u64,
}

/// Completes `store`, or says why that is not possible. If a follower fails, the transfer ends early; then the follower
/// has the reason.
pub(crate) fn run<'a>(
    client: &'a Client,
    request: &Request<'_>,
    store: Store<'a>,
) -> (Store<'a>, Result<(), FetchError>) {
    let trouble = Arc::clone(&store.trouble);
    let mut transfer = Transfer {
        client,
        best: store.spans.covered(),
        store: RefCell::new(store),
        authorization: request.authorization.cloned(),
        claimed: RefCell::default(),
        ranges: true,
        connections: client.options.connections,
    };
    let result = client.run(async {
        tokio::select! {
            biased;
            () = trouble.notified() => Ok(()),
            result = try_all(client, request.what, request.urls, &mut transfer) => result,
        }
    });
    (transfer.store.into_inner(), result)
}

impl Attempt for Transfer<'_> {
    type Output = ();

    async fn attempt(&mut self, url: &Url) -> Result<(), Stop> {
        if self.store.borrow().is_complete() {
            return Ok(());
        }
        let ask = self.ask(url)?;
        let answer = self.client.open(Method::GET, url, &ask).await?;
        let start = ask.range.map_or(0, |(start, _)| start);
        self.accept(&answer, start)?;
        if self.store.borrow().is_complete() {
            return Ok(());
        }
        self.receive(answer).await
    }

    fn has_progressed(&mut self) -> bool {
        let covered = self.store.borrow().spans.covered();
        let progressed = covered >= self.best.saturating_add(self.client.options.progress);
        if progressed {
            self.best = covered;
        }
        progressed
    }

    fn failed(&mut self, problem: &Problem, next: bool) -> Result<(), FetchError> {
        let store = self.store.get_mut();
        if problem.is_content() {
            store.start_over(&problem.to_string())?;
        }
        store.save()?;
        // A server may refuse so many connections, or mind parts it has said it does not.
        self.connections = (self.connections / 2).max(1);
        self.ranges &= !matches!(problem, Problem::WrongPart(_));
        if next {
            (self.connections, self.ranges) = (self.client.options.connections, true);
        }
        Ok(())
    }
}

impl Transfer<'_> {
    /// What to ask `url` for.
    fn ask(&self, url: &Url) -> Result<Ask, FetchError> {
        let mut store = self.store.borrow_mut();
        let url = self.client.server_of(url);
        if !self.ranges {
            store.start_over("the server does not send the rest alone")?;
        } else if !store.may_resume(&url) {
            store.start_over("there is nothing to tell whether the rest belongs to it")?;
        }
        let start = store.spans.prefix();
        let whole = Ask { authorization: self.authorization.clone(), ..Ask::default() };
        Ok(match start {
            0 => whole,
            _ => {
                let if_range = store.validator(&url).map(str::to_owned);
                Ask { range: Some((start, None)), if_range, ..whole }
            }
        })
    }

    /// Looks at the head of an answer to a request for everything from `start`.
    fn accept(&self, answer: &Answer, start: u64) -> Result<(), Stop> {
        let mut store = self.store.borrow_mut();
        let status = answer.response.status();
        let total = match status {
            StatusCode::OK => {
                let total = answer.response.content_length();
                if !store.fits(&answer.from, total) {
                    store.start_over(&Problem::Changed.to_string())?;
                } else if start > 0 {
                    store.start_over("the server sends the file from its start")?;
                }
                total
            }
            StatusCode::PARTIAL_CONTENT if start > 0 => {
                let (part, total) = part(&answer.response)?;
                if part.start != start {
                    return Err(Problem::WrongPart(format!("from {} instead of {start}", part.start)).into());
                }
                if !store.fits(&answer.from, total) {
                    store.start_over(&Problem::Changed.to_string())?;
                    return Err(Problem::Changed.into());
                }
                total
            }
            // There is no such part: the file ends where we stand, or it is another one.
            StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => {
                let range = text(answer.response.headers(), &CONTENT_RANGE);
                let total = range.and_then(|range| ContentRange::parse(&range)).and_then(|range| range.total);
                if total != Some(start) || !store.fits(&answer.from, total) {
                    store.start_over("the server has no more than that")?;
                    return Err(Problem::Changed.into());
                }
                total
            }
            _ => return Err(status_problem(&answer.response).into()),
        };
        store.resumed |= !store.spans.is_empty();
        store.expect(answer.from.clone(), total)
    }

    /// Receives what is missing: in one stream, or in parts over several connections.
    async fn receive(&self, answer: Answer) -> Result<(), Stop> {
        let options = &self.client.options;
        let left = self.store.borrow().total.map(|total| total - self.store.borrow().spans.prefix());
        let several = self.ranges
            && self.connections > 1
            && takes_ranges(&answer.response)
            && left.is_some_and(|left| left >= options.parallel_from);
        let (connections, part) = if several { (self.connections, options.part) } else { (1, u64::MAX) };
        *self.claimed.borrow_mut() = self.store.borrow().spans.clone();
        let first = self.claim(part).map(|part| (part, answer.response));
        let mut work: Vec<Work<'_>> = vec![Box::pin(self.work(&answer.url, part, first))];
        for _ in 1..connections {
            work.push(Box::pin(self.work(&answer.url, part, None)));
        }
        all(work).await
    }

    /// One connection's work: the part whose answer is there already, then others until none is left.
    async fn work(&self, url: &Url, size: u64, first: Option<(Range<u64>, Response)>) -> Result<(), Stop> {
        let mut next = first;
        loop {
            let (part, response) = match next.take() {
                Some(first) => first,
                None => match self.claim(size) {
                    Some(part) => (part.clone(), self.open_part(url, &part).await?),
                    None => return Ok(()),
                },
            };
            self.copy(response, part).await?;
        }
    }

    /// Takes the next part that nobody has or fetches, of at most `size` bytes.
    fn claim(&self, size: u64) -> Option<Range<u64>> {
        let end = self.store.borrow().total.unwrap_or(u64::MAX);
        let mut claimed = self.claimed.borrow_mut();
        let gap = claimed.gap(end)?;
        let part = gap.start..gap.end.min(gap.start.saturating_add(size));
        claimed.add(part.clone());
        Some(part)
    }

    /// Asks for a part in the middle of a file that has been looked at.
    async fn open_part(&self, url: &Url, wanted: &Range<u64>) -> Result<Response, Stop> {
        let if_range = self.store.borrow().validator(&self.client.server_of(url)).map(str::to_owned);
        let range = Some((wanted.start, Some(wanted.end)));
        let ask = Ask { range, if_range, authorization: self.authorization.clone(), accept: None };
        let Answer { response, from, .. } = self.client.open(Method::GET, url, &ask).await?;
        let mut store = self.store.borrow_mut();
        let tags = store.from.as_ref().map(|known| (&known.etag, &known.last_modified));
        let same = tags == Some((&from.etag, &from.last_modified));
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let (part, total) = part(&response)?;
                if part != *wanted {
                    let (start, end) = (part.start, part.end);
                    let text = format!("{start} to {end} instead of {} to {}", wanted.start, wanted.end);
                    return Err(Problem::WrongPart(text).into());
                }
                if same && total == store.total {
                    return Ok(response);
                }
            }
            StatusCode::OK if same => return Err(Problem::WrongPart("the whole file".to_owned()).into()),
            StatusCode::OK => {}
            _ => return Err(status_problem(&response).into()),
        }
        store.start_over(&Problem::Changed.to_string())?;
        Err(Problem::Changed.into())
    }

    /// Writes the body of `response` to where `part` is.
    async fn copy(&self, mut response: Response, part: Range<u64>) -> Result<(), Stop> {
        let mut at = part.start;
        while at < part.end {
            let Some(chunk) = self.client.chunk(&mut response).await? else {
                if part.end == u64::MAX {
                    self.store.borrow_mut().end_at(at);
                    return Ok(());
                }
                return Err(Problem::Broken(format!("{} bytes are missing", part.end - at)).into());
            };
            let chunk = chunk.as_ref();
            let wanted = usize::try_from(part.end - at).unwrap_or(usize::MAX).min(chunk.len());
            self.store.borrow_mut().write(at, &chunk[..wanted])?;
            at += wanted as u64;
        }
        Ok(())
    }
}

/// The part that a 206 brings, and the length of the whole.
fn part(response: &Response) -> Result<(Range<u64>, Option<u64>), Problem> {
    let value = text(response.headers(), &CONTENT_RANGE);
    match value.as_deref().and_then(ContentRange::parse) {
        Some(ContentRange { part: Some(part), total }) => Ok((part, total)),
        _ => Err(Problem::WrongPart(format!("`Content-Range: {}`", value.unwrap_or_default()))),
    }
}

fn takes_ranges(response: &Response) -> bool {
    response.status() == StatusCode::PARTIAL_CONTENT
        || text(response.headers(), &ACCEPT_RANGES).is_some_and(|units| units.eq_ignore_ascii_case("bytes"))
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<(), Stop>> + 'a>>;

/// Runs all of `work` at the same time, until one fails or all are done.
async fn all(mut work: Vec<Work<'_>>) -> Result<(), Stop> {
    poll_fn(|context| {
        let mut index = 0;
        while index < work.len() {
            match work[index].as_mut().poll(context) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(())) => drop(work.swap_remove(index)),
                Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
            }
        }
        if work.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
