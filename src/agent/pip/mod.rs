//! pip on this host: finding it, running it for the guest's Python, and understanding what it says.

mod complaint;
mod host_env;
mod target;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;

use super::error::AgentError;
use crate::cancel::Cancel;
use crate::control::Control;
use crate::event::{Event, EventSink, Events};
use crate::fetch::{Url, redact_text};
use crate::host::process;
use crate::host::process::ProcessError;

pub(crate) use complaint::Complaint;
pub(crate) use host_env::HostEnv;
pub(crate) use target::Target;

/// The oldest pip that is known to say what [`Complaint`] reads.
const OLDEST: u32 = 22;
/// Runs pip with the guest's environment markers.
const SHIM: &str = include_str!("guest.py");

/// What pip's help says of the index that it asks by itself.
fn index_of_help(help: &str) -> Option<&str> {
    let mut words = help.split_whitespace().skip_while(|word| *word != "--index-url");
    words.find(|word| *word == "(default")?;
    words.next().map(|url| url.trim_end_matches(['.', ')']))
}

/// Whether a server is on this host, as pip sees it.
fn is_loopback(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let number = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || number.is_ok_and(|number| number.is_loopback())
}

/// How a run of pip ended, if not well.
pub(crate) enum Failed {
    /// pip said no.
    Complaint(Box<Complaint>),
    /// pip could not be run, or the user interrupted.
    Error(AgentError),
}

/// A working pip.
#[derive(Debug)]
pub(crate) struct Pip<'a> {
    python: PathBuf,
    env: &'a HostEnv,
    cache: PathBuf,
    target: Target,
}

impl<'a> Pip<'a> {
    /// The first `python3` whose pip is new enough.
    pub(crate) fn find(
        env: &'a HostEnv,
        cache: PathBuf,
        target: Target,
        cancel: &Cancel,
    ) -> Result<Self, AgentError> {
        let mut tried = Vec::new();
        for python in env.pythons(None) {
            let mut command = env.command(&python);
            command.current_dir("/").args(["-m", "pip", "--version"]);
            match process::run(&mut command, &Control::new(Events::none(), cancel.clone())) {
                Ok(out) => {
                    let out = String::from_utf8_lossy(&out);
                    let version = out.split_whitespace().nth(1).unwrap_or_default();
                    let major: u32 = version.split('.').next().and_then(|v| v.parse().ok()).unwrap_or(0);
                    if major >= OLDEST {
                        return Ok(Self { python, env, cache, target });
                    }
                    tried.push(format!("{}: pip {version}", python.display()));
                }
                Err(ProcessError::Cancelled(cancelled)) => return Err(cancelled.into()),
                Err(error) => {
                    let why = error.tail().last().cloned().unwrap_or_else(|| error.to_string());
                    tried.push(format!("{}: {why}", python.display()));
                }
            }
        }
        Err(AgentError::NoPip { tried })
    }

    /// Runs `pip download` for the guest.
    pub(crate) fn download(
        &self,
        arguments: &[String],
        dest: &Path,
        control: &Control,
    ) -> Result<(), Failed> {
        let mut all = vec!["download".to_owned(), "--dest".to_owned(), dest.display().to_string()];
        all.extend(self.target.arguments());
        all.extend_from_slice(arguments);
        self.run("pip", &all, control).map(drop)
    }

    /// Builds a wheel on this host, in an environment of pip's own, from a source tree or sdist.
    pub(crate) fn build(&self, source: &Path, dest: &Path, control: &Control) -> Result<(), Failed> {
        // Requires-Python is the guest's matter: this host only runs the build.
        let mut all =
            ["wheel", "--no-deps", "--ignore-requires-python", "--wheel-dir"].map(str::to_owned).to_vec();
        all.extend([dest.display().to_string(), source.display().to_string()]);
        self.run("pip", &all, control).map(drop)
    }

    /// Runs the check over `bundle` and returns what it printed.
    pub(crate) fn check(&self, bundle: &Path, control: &Control) -> Result<Vec<u8>, Failed> {
        self.run("check", &[bundle.display().to_string()], control)
    }

    /// The index that pip asks, by its environment, its configuration, or itself.
    fn own_index(&self, control: &Control) -> Result<Option<String>, AgentError> {
        if let Some(url) = self.env.get("PIP_INDEX_URL").filter(|url| !url.is_empty()) {
            return Ok(Some(url));
        }
        let mut command = self.env.command(&self.python);
        command.current_dir("/").args(["-m", "pip", "download", "--help"]);
        // In one line each, or long URLs are broken.
        command.env("LC_ALL", "C.UTF-8").env("COLUMNS", "4000");
        let help = process::run(&mut command, &Control::new(Events::none(), control.cancel.clone()))?;
        Ok(index_of_help(&String::from_utf8_lossy(&help)).map(str::to_owned))
    }

    /// The mirror of the index, if there is one.
    fn index(&self, control: &Control) -> Result<Option<String>, AgentError> {
        if control.mirrors.is_empty() {
            return Ok(None);
        }
        let Some(url) = self.own_index(control)? else { return Ok(None) };
        let Some(mirror) = control.mirrors.fetched(&url) else { return Ok(None) };
        // Nothing signs what an index has, and pip leaves out what it cannot believe, without saying so.
        if !mirror.starts_with("https://") && !is_loopback(&mirror) {
            return Err(AgentError::PlainIndex { mirror });
        }
        control.events.output("mirror", format!("pip: `{mirror}` in place of `{}`", redact_text(&url)));
        Ok(Some(mirror))
    }

    fn run(&self, mode: &str, arguments: &[String], control: &Control) -> Result<Vec<u8>, Failed> {
        let talk = Arc::new(Talk { lines: Mutex::default(), events: control.events.clone() });
        let mut command = self.env.command(Path::new("sh"));
        // pip tells its progress on stdout; the check answers there.
        let script = if mode == "pip" { "exec \"$@\" >&2" } else { "exec \"$@\"" };
        command.args(["-c", script, "sh"]).arg(&self.python).args(["-c", SHIM]);
        command.arg(self.target.markers().to_string()).arg(mode).args(arguments);
        command.current_dir("/");
        command.env("PIP_CACHE_DIR", &self.cache).env("PIP_NO_INPUT", "1").env("PIP_PROGRESS_BAR", "off");
        command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_NO_COLOR", "1").env_remove("PIP_QUIET");
        // Messages are read, so they must be in English; wheels built twice shall be equal.
        command.env("LC_ALL", "C.UTF-8").env("SOURCE_DATE_EPOCH", "315532800").env("PYTHONHASHSEED", "0");
        // pbr asks git, in a copy that shall not touch the repository it may point to.
        command.env("GIT_OPTIONAL_LOCKS", "0").env("PYTHONDONTWRITEBYTECODE", "1");
        // Only its log says of every page why it could not be had.
        let log = tempfile::NamedTempFile::new()
            .map_err(|e| Failed::Error(AgentError::io("create", &std::env::temp_dir())(e)))?;
        command.env("PIP_LOG", log.path());
        if mode == "pip"
            && let Some(index) = self.index(control).map_err(Failed::Error)?
        {
            command.env("PIP_INDEX_URL", index);
        }
        let sink = Arc::clone(&talk);
        match process::run(&mut command, &control.telling(Events::new(Forward(sink)))) {
            Ok(out) => Ok(out),
            Err(ProcessError::Failed { .. }) => {
                let lines = talk.lines.lock().unwrap_or_else(PoisonError::into_inner);
                let log = fs::read(log.path()).unwrap_or_default();
                Err(Failed::Complaint(Box::new(Complaint::read(&lines, &String::from_utf8_lossy(&log)))))
            }
            Err(ProcessError::Cancelled(cancelled)) => Err(Failed::Error(cancelled.into())),
            Err(error) => Err(Failed::Error(error.into())),
        }
    }
}

/// Keeps every line, as pip's verdict may stand far above its last line.
struct Talk {
    lines: Mutex<Vec<String>>,
    events: Events,
}

struct Forward(Arc<Talk>);

impl EventSink for Forward {
    fn emit(&self, event: Event) {
        if let Event::Output { line, .. } = event {
            self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
            self.0.events.output("pip", line);
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_says_which_index_it_asks() {
        let long = format!("https://index.example/{}/simple", "a".repeat(200));
        let own = |setting: Option<&str>| {
            let mut pip = std::process::Command::new("python3");
            pip.args(["-m", "pip", "download", "--help"]).env("COLUMNS", "4000").env_remove("PIP_INDEX_URL");
            let help = pip.envs(setting.map(|url| ("PIP_INDEX_URL", url))).output().unwrap().stdout;
            index_of_help(&String::from_utf8(help).unwrap()).unwrap().to_owned()
        };
        assert_eq!(own(Some(&long)), long);
        assert!(own(None).starts_with("https://") && own(None).ends_with("/simple"), "{}", own(None));
        assert_eq!(index_of_help("--index-url <url> without one"), None);
    }
}
