//! What git says when it fails, and what to do then.

use crate::agent::error::AgentError;
use crate::host::process::ProcessError;

/// What git and its helpers say of servers that want to know who asks.
const REFUSED: [&str; 7] = [
    "could not read Username",
    "could not read Password",
    "terminal prompts disabled",
    "Authentication failed",
    "Permission denied",
    "Host key verification failed",
    "The requested URL returned error: 403",
];
/// Of what is not there.
const ABSENT: [&str; 6] = [
    "does not appear to be a git repository",
    "The requested URL returned error: 404",
    "repository not found",
    "Repository not found",
    "is this a git repository",
    "' not found",
];
/// Of a network, or a server, that may have recovered in a moment.
const PASSING: [&str; 17] = [
    "Could not resolve host",
    "Failed to connect",
    "Couldn't connect",
    "Connection refused",
    "Connection timed out",
    "Connection reset",
    "unable to connect",
    "Operation too slow",
    "Operation timed out",
    "early EOF",
    "RPC failed",
    "the remote end hung up",
    "The requested URL returned error: 429",
    "The requested URL returned error: 5",
    "Empty reply from server",
    "Recv failure",
    "Temporary failure in name resolution",
];

/// Makes of git's words an error that says what to do.
pub(super) fn explain(error: ProcessError, url: &str, action: &str) -> AgentError {
    let tail = match error {
        ProcessError::Cancelled(cancelled) => return cancelled.into(),
        ProcessError::Start { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            return AgentError::NoGit;
        }
        ProcessError::Failed { tail, .. } => tail,
        start => return start.into(),
    };
    let says = |signs: &[&str]| tail.iter().any(|line| signs.iter().any(|sign| line.contains(sign)));
    let url = url.to_owned();
    // ssh's refusal ends with a connection that is gone, too.
    if says(&REFUSED) {
        AgentError::GitRefused { url, tail }
    } else if says(&ABSENT) {
        AgentError::NoRepository { url, tail }
    } else if says(&PASSING) {
        AgentError::GitNetwork { url, passing: true, tail }
    } else if says(&["SSL", "certificate"]) {
        AgentError::GitNetwork { url, passing: false, tail }
    } else {
        AgentError::Git { action: action.to_owned(), url, tail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_understood() {
        let failed = |line: &str| ProcessError::Failed {
            program: "git".to_owned(),
            status: std::os::unix::process::ExitStatusExt::from_raw(128 << 8),
            tail: vec![line.to_owned()],
        };
        let explained = |line: &str| explain(failed(line), "https://h.example/x", "fetch");
        assert!(matches!(
            explained("fatal: could not read Username for 'https://h.example': terminal prompts disabled"),
            AgentError::GitRefused { .. }
        ));
        assert!(matches!(
            explained("fatal: unable to access 'https://h/': The requested URL returned error: 503"),
            AgentError::GitNetwork { passing: true, .. }
        ));
        assert!(matches!(
            explained(
                "fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate"
            ),
            AgentError::GitNetwork { passing: false, .. }
        ));
        assert!(matches!(
            explained("fatal: repository 'https://h.example/x/' not found"),
            AgentError::NoRepository { .. }
        ));
    }
}
