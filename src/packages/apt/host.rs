//! The host's apt: whether there is one, what of its configuration counts here, and how it is run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::{AptError, Fault};
use crate::control::Control;
use crate::event::{Event, EventSink, Events};
use crate::host::process;
use crate::host::process::ProcessError;
use crate::mirror::Replaced;

/// The oldest apt that is trusted with this: same option names and answers from here on.
const OLDEST: (u32, u32) = (2, 0);

/// Settings of the host that say how to reach the network; nothing else of its configuration is used.
const NETWORK: [&str; 7] = [
    "acquire::http::proxy",
    "acquire::https::proxy",
    "acquire::http::proxyautodetect",
    "acquire::http::proxy-auto-detect",
    "acquire::https::cainfo",
    "acquire::https::capath",
    "acquire::http::timeout",
];

/// apt on this host.
#[derive(Debug)]
pub(crate) struct HostApt {
    /// Directory of its download methods.
    pub(crate) methods: PathBuf,
    /// Lines of configuration that say how to reach the network.
    pub(crate) network: Vec<String>,
}

impl HostApt {
    /// Looks for an apt that can be used.
    pub(crate) fn probe() -> Result<Self, AptError> {
        let answer = |program: &str, argument: &str| {
            let output = Command::new(program).arg(argument).env("LC_ALL", "C").output();
            match output {
                Ok(output) if output.status.success() => {
                    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
                }
                Ok(output) => Err(AptError::Unusable(format!("`{program}` fails ({})", output.status))),
                Err(error) => Err(AptError::Unusable(format!("cannot start `{program}`: {error}"))),
            }
        };
        let text = answer("apt-get", "--version")?;
        if version(&text).is_none_or(|version| version < OLDEST) {
            let line = text.lines().next().unwrap_or_default();
            return Err(AptError::Unusable(format!(
                "`{line}` is too old: {}.{} is needed",
                OLDEST.0, OLDEST.1
            )));
        }
        let dump = answer("apt-config", "dump")?;
        let value = |key: &str| {
            let line = dump.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" \""));
            line.and_then(|line| line.strip_suffix("\";")).map(str::to_owned)
        };
        let methods = value("Dir::Bin::methods").unwrap_or_else(|| "/usr/lib/apt/methods".to_owned());
        let network = dump.lines().filter(|line| is_network(line)).map(str::to_owned).collect();
        Ok(Self { methods: methods.into(), network })
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("apt ")?.split_whitespace().next()?.split('.');
    let mut next = || numbers.next()?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    Some((next()?, next().unwrap_or(0)))
}

/// `Acquire::http::Proxy "…";` and the same for one host, `Acquire::http::Proxy::host "…";`.
fn is_network(line: &str) -> bool {
    let key = line.split(' ').next().unwrap_or_default().to_lowercase();
    NETWORK
        .iter()
        .any(|name| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
}

/// The host's apt under a private configuration.
#[derive(Debug)]
pub(crate) struct Apt<'a> {
    /// `APT_CONFIG`.
    pub(crate) config: PathBuf,
    /// `TMPDIR`, so that what a killed apt leaves goes with the private root.
    pub(crate) temp: &'a Path,
    /// Sources that mirrors stand for.
    pub(crate) replaced: &'a Replaced,
    pub(crate) control: &'a Control,
}

impl Apt<'_> {
    /// Runs one of apt's programs and returns what it wrote to stdout.
    pub(crate) fn call<'s>(
        &self,
        doing: &str,
        program: &str,
        arguments: impl IntoIterator<Item = &'s str>,
    ) -> Result<String, AptError> {
        let mut command = Command::new(program);
        command.args(arguments);
        self.run(doing, None, &mut command)
    }

    /// Like [`call`](Self::call), for downloads: tells their progress over `total` bytes.
    pub(crate) fn download<'s>(
        &self,
        doing: &str,
        total: Option<u64>,
        arguments: impl IntoIterator<Item = &'s str>,
    ) -> Result<String, AptError> {
        let mut command = Command::new("apt-get");
        command.args(["-o", "APT::Status-Fd=2"]).args(arguments);
        self.run(doing, Some(total), &mut command)
    }

    /// Runs `apt-get` that failed once more for what it explains on stdout.
    pub(crate) fn explain<'s>(&self, doing: &str, arguments: impl IntoIterator<Item = &'s str>) -> AptError {
        let mut command = Command::new("sh");
        command.args(["-c", "exec apt-get \"$@\" >&2", "apt-get"]).args(arguments);
        match self.run(doing, None, &mut command) {
            Err(AptError::Failed { doing, reason, fault, mut lines }) => {
                // How far it has read says nothing about why it failed.
                lines.retain(|line| {
                    !line.starts_with('\r') && !STAGES.iter().any(|stage| line.starts_with(stage))
                });
                AptError::Failed { doing, reason, fault, lines }
            }
            Err(error) => error,
            Ok(_) => AptError::Answer(format!("{doing} failed once and then succeeded")),
        }
    }

    fn run(
        &self,
        doing: &str,
        progress: Option<Option<u64>>,
        command: &mut Command,
    ) -> Result<String, AptError> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let talk = Talk {
            events: self.control.events.clone(),
            doing: doing.to_owned(),
            progress,
            lines: Arc::clone(&lines),
        };
        command.env("APT_CONFIG", &self.config).env("TMPDIR", self.temp).env("LC_ALL", "C.UTF-8");
        let result = process::run(command, &self.control.telling(Events::new(talk)));
        let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        match result {
            Ok(stdout) => {
                String::from_utf8(stdout).map_err(|_| AptError::Answer(format!("{doing}: not UTF-8")))
            }
            Err(ProcessError::Cancelled(cancelled)) => Err(cancelled.into()),
            Err(ProcessError::Failed { status, .. }) => {
                let (fault, reason) = Fault::classify(&lines);
                let reason = reason.map_or_else(|| format!("apt ended with {status}"), str::to_owned);
                Err(AptError::Failed { doing: doing.to_owned(), reason, fault, lines })
            }
            Err(error) => Err(AptError::Process(error)),
        }
    }
}

/// Listens to apt's stderr: keeps what it says, and turns its status lines into progress.
struct Talk {
    events: Events,
    doing: String,
    /// Whether to tell progress, and over how many bytes.
    progress: Option<Option<u64>>,
    lines: Arc<Mutex<Vec<String>>>,
}

/// What apt says before it says anything.
const STAGES: [&str; 3] =
    ["Reading package lists...", "Building dependency tree...", "Reading state information..."];

/// Lines of apt's output that are kept: the first ones say what is wrong, a flood follows.
const KEPT_LINES: usize = 200;

impl EventSink for Talk {
    fn emit(&self, event: Event) {
        if let Event::Output { line, .. } = &event {
            if let Some(status) = line.strip_prefix("dlstatus:") {
                if let (Some(total), Some(percent)) = (self.progress, percent(status)) {
                    // Without a total, parts of a hundred are better than nothing.
                    let all = total.unwrap_or(100);
                    self.events.progress(&self.doing, (all as f64 * percent / 100.0) as u64, Some(all));
                }
                return;
            }
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() < KEPT_LINES {
                lines.push(line.clone());
            }
        }
        self.events.emit(event);
    }
}

/// `1:20.5:Retrieving file 1 of 3 (5s remaining)`
fn percent(status: &str) -> Option<f64> {
    let percent: f64 = status.split(':').nth(1)?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, found) in [
            ("apt 2.6.1 (amd64)\n", Some((2, 6))),
            ("apt 3.0~rc1 (arm64)\n", Some((3, 0))),
            ("apt 1.8.2.3 (amd64)\n", Some((1, 8))),
            ("apt-rpm\n", None),
        ] {
            assert_eq!(version(text), found, "{text}");
        }
    }

    #[test]
    fn of_the_hosts_configuration_only_the_way_to_the_network_counts() {
        for (line, counts) in [
            ("Acquire::http::Proxy \"http://p:3128\";", true),
            ("Acquire::http::Proxy::deb.example \"DIRECT\";", true),
            ("Acquire::https::CAInfo \"/etc/ca.pem\";", true),
            ("Acquire::https::Verify-Peer \"false\";", false),
            ("Acquire::http::ProxyX \"\";", false),
            ("APT::Update::Pre-Invoke:: \"touch /x\";", false),
        ] {
            assert_eq!(is_network(line), counts, "{line}");
        }
    }

    #[test]
    fn progress_lines() {
        assert_eq!(percent("1:20.5:Retrieving file 1 of 3"), Some(20.5));
        for odd in ["", "1", "1:x:y", "1:nan:y", "1:-4:y"] {
            assert_eq!(percent(odd), None, "{odd}");
        }
    }
}
