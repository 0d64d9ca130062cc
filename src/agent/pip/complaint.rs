//! What pip says when it fails.

/// Lines kept for an error message.
const TAIL: usize = 20;

/// What pip said when it failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The requirement nothing fits, without who wanted it.
    pub(crate) unmatched: Option<String>,
    /// Versions it saw, oldest first.
    pub(crate) available: Vec<String>,
    /// Versions that need another Python, and which.
    pub(crate) other_python: Vec<(String, String)>,
    /// A file at hand needs another Python.
    pub(crate) wheel_needs: Option<String>,
    /// It could not reach the index.
    pub(crate) network: bool,
    /// Its last lines.
    pub(crate) tail: Vec<String>,
}

/// Words by which pip's stack reports that a server was not reached or did not deliver.
const NETWORK: [&str; 12] = [
    "connection broken by",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Max retries exceeded",
    "name resolution",
    "ProxyError",
    "SSLError",
    "CERTIFICATE_VERIFY_FAILED",
    "Connection aborted",
    "IncompleteRead",
    "ERROR: HTTP error",
];

impl Complaint {
    /// From what pip told, and its log.
    pub(crate) fn read(lines: &[String], log: &str) -> Self {
        let mut complaint =
            Self { tail: lines[lines.len().saturating_sub(TAIL)..].to_vec(), ..Self::default() };
        for line in lines {
            if let Some((_, rest)) = line.split_once("satisfies the requirement ") {
                let (requirement, versions) = rest.rsplit_once("(from versions:").unwrap_or((rest, ""));
                let requirement = requirement.split(" (from ").next().unwrap_or(requirement).trim();
                complaint.unmatched = Some(requirement.to_owned());
                let versions = versions.trim_end_matches(')').split(',').map(str::trim);
                complaint.available =
                    versions.filter(|v| !v.is_empty() && *v != "none").map(str::to_owned).collect();
            } else if let Some((_, rest)) = line.split_once("require a different python version:") {
                complaint.other_python = rest
                    .split(';')
                    .filter_map(|item| item.trim().split_once(" Requires-Python "))
                    .map(|(version, needs)| (version.to_owned(), needs.trim().to_owned()))
                    .collect();
            } else if let Some((_, rest)) = line.split_once("requires a different Python:") {
                complaint.wheel_needs = rest.split('\'').nth(1).map(str::to_owned);
            }
            complaint.network |= NETWORK.iter().any(|sign| line.contains(sign));
        }
        // A project that the index does not have is an answer, too.
        let unreachable = |line: &str| line.contains("Could not fetch URL") && !line.contains(": 404 ");
        complaint.network |= log.lines().any(unreachable);
        // With versions in hand the index did answer, whatever had to be tried again before.
        complaint.network &= complaint.available.is_empty() && complaint.other_python.is_empty();
        complaint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_understood() {
        let read = |text: &str| Complaint::read(&text.lines().map(str::to_owned).collect::<Vec<_>>(), "");
        let old = read(
            "ERROR: Ignored the following versions that require a different python version: 25.0.0 Requires-Python >=3.10; 26.0.0 Requires-Python >=3.11,<4\n\
             ERROR: Could not find a version that satisfies the requirement trove==26.0.0 (from versions: 8.0.1, 22.0.1)\n\
             ERROR: No matching distribution found for trove==26.0.0",
        );
        assert_eq!(old.unmatched.as_deref(), Some("trove==26.0.0"));
        assert_eq!(old.available, ["8.0.1", "22.0.1"]);
        assert_eq!(old.other_python[1], ("26.0.0".to_owned(), ">=3.11,<4".to_owned()));
        assert!(!old.network);
        let dependency = read(
            "ERROR: Could not find a version that satisfies the requirement c<2 (from trove) (from versions: none)",
        );
        assert_eq!(dependency.unmatched.as_deref(), Some("c<2"));
        assert!(dependency.available.is_empty());
        let down = read(
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('x')': /simple/trove/\n\
             ERROR: Could not find a version that satisfies the requirement trove (from versions: none)",
        );
        assert!(down.network);
        let quiet = |log: &str| {
            Complaint::read(&["satisfies the requirement a (from versions: none)".to_owned()], log)
        };
        assert!(quiet("  Could not fetch URL http://x/a/: connection error: refused - skipping").network);
        assert!(!quiet("  Could not fetch URL http://x/a/: 404 Client Error: Not Found - skipping").network);
        let flaky = read(
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'x'\n\
             ERROR: Could not find a version that satisfies the requirement trove==9 (from versions: 1)",
        );
        assert!(!flaky.network, "the index answered in the end");
        let local = read("ERROR: Package 'trove' requires a different Python: 3.9.0 not in '>=3.10'");
        assert_eq!(local.wheel_needs.as_deref(), Some(">=3.10"));
    }
}
