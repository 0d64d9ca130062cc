//! Mirrors of repositories, made and brought up to date.

use std::time::Duration;

use super::explain::explain;
use super::{Patience, is_hash};
use crate::agent::error::AgentError;
use crate::cache::{Cache, MirrorMeta, MirrorPlace};
use crate::cancel::Cancel;
use crate::clock;
use crate::control::Control;
use crate::host::git::git;
use crate::host::process;
use crate::host::process::ProcessError;
use crate::recipe::GitSource;

/// Everything that may be asked for by name. Reviews and the like would be many times as much.
const EVERYTHING: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// The protocols that git may speak for a URL: its own; and a server of http may send to one with TLS.
fn protocols(url: &str) -> &'static [&'static str] {
    match url.split_once("://") {
        Some(("https", _)) => &["https"],
        Some(("http", _)) => &["http", "https"],
        Some(("ssh", _)) => &["ssh"],
        Some(("git", _)) => &["git"],
        _ => &["file"],
    }
}
/// Makes or updates a mirror, with its lock held.
pub(super) fn update(
    place: &MirrorPlace,
    url: &str,
    source: &GitSource,
    cache: &Cache,
    patience: Patience,
    control: &Control,
) -> Result<(), AgentError> {
    let work = cache.work()?;
    let known = place.meta();
    let repository = match &known {
        Some(_) => place.repository(),
        None => {
            let path = work.path().join("repository.git");
            let mut init = git(&[]);
            init.args(["init", "--quiet", "--bare", "--template="]).arg(&path);
            process::run(&mut init, control).map_err(|error| explain(error, url, "make a mirror of"))?;
            path
        }
    };
    let mirror = control.mirrors.fetched(url);
    let from = mirror.as_deref().unwrap_or(url);
    match &mirror {
        Some(mirror) => control.events.note(format!("fetching {url} from its mirror {mirror}")),
        None => control.events.note(format!("fetching {url}")),
    }
    let run = |arguments: &[&str]| {
        retried(from, patience, control, || {
            let mut command = git(protocols(from));
            command.arg("--git-dir").arg(&repository).args(arguments);
            process::run(&mut command, control)
        })
    };
    let head = match source.reference {
        Some(_) => known.and_then(|meta| meta.head),
        None => head_of(&run(&["ls-remote", "--symref", "--", from, "HEAD"])?),
    };
    let mut fetch =
        vec!["fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head", "--", from];
    fetch.extend(EVERYTHING);
    run(&fetch)?;
    // What is neither a branch nor a tag is asked for by itself; that it is not there is told with what is.
    if let Some(reference) =
        source.reference.as_deref().filter(|name| is_hash(name) || name.starts_with("refs/"))
    {
        let into =
            if is_hash(reference) { format!("refs/commits/{reference}") } else { reference.to_owned() };
        let refspec = format!("+{reference}:{into}");
        match run(&[
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-write-fetch-head",
            "--",
            from,
            &refspec,
        ]) {
            Ok(_) | Err(AgentError::Git { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let meta = MirrorMeta { url: url.to_owned(), head, fetched: clock::now() };
    match place.meta() {
        Some(_) => place.write_meta(&work, &meta)?,
        None => place.publish(&work, &repository, &meta)?,
    }
    Ok(())
}

/// The branch in what `ls-remote --symref` says: `ref: refs/heads/master<TAB>HEAD`.
fn head_of(out: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(out);
    text.lines().find_map(|line| line.strip_prefix("ref: refs/heads/")?.split('\t').next().map(str::to_owned))
}

/// Asks a server again where that may help.
fn retried(
    url: &str,
    patience: Patience,
    control: &Control,
    ask: impl Fn() -> Result<Vec<u8>, ProcessError>,
) -> Result<Vec<u8>, AgentError> {
    let mut wait = patience.backoff;
    for attempt in 0.. {
        let error = match ask() {
            Ok(out) => return Ok(out),
            Err(error) => explain(error, url, "fetch"),
        };
        let passing = matches!(error, AgentError::GitNetwork { passing: true, .. });
        if !passing || attempt == patience.retries {
            return Err(error);
        }
        control.events.note(format!("{url} did not deliver: trying again in {:.1} s", wait.as_secs_f32()));
        sleep(wait, &control.cancel)?;
        wait *= 2;
    }
    unreachable!("the loop has no end but by returning")
}

fn sleep(time: Duration, cancel: &Cancel) -> Result<(), AgentError> {
    let step = Duration::from_millis(50);
    for _ in 0..time.as_millis().div_ceil(step.as_millis()) {
        cancel.check()?;
        std::thread::sleep(step);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_branch_of_a_repository_is_found() {
        assert_eq!(head_of(b"ref: refs/heads/master\tHEAD\nabc\tHEAD\n").as_deref(), Some("master"));
        assert_eq!(head_of(b"abc\tHEAD\n"), None);
    }
}
