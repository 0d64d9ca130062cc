//! pip on this host: finding it, running it for the guest's Python, and understanding what it says.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;

use super::error::AgentError;
use crate::cancel::Cancel;
use crate::control::Control;
use crate::distro::Arch;
use crate::event::{Event, EventSink, Events};
use crate::fetch::{Url, redact_text};
use crate::host::process;
use crate::host::process::ProcessError;

/// The oldest pip that is known to say what [`Complaint`] reads.
const OLDEST: u32 = 22;
/// Runs pip with the guest's environment markers.
const SHIM: &str = include_str!("pip_guest.py");
/// Lines kept for an error message.
const TAIL: usize = 20;

/// The variables of this process's environment that are set or unset for programs that are started. Empty, but
/// in tests.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostEnv(pub(crate) Vec<(String, Option<String>)>);

impl HostEnv {
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        match self.0.iter().find(|(name, _)| name == key) {
            Some((_, value)) => value.clone(),
            None => std::env::var(key).ok(),
        }
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (key, value) in &self.0 {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    /// `python3` in every directory of PATH, then in `/usr/bin`; `python3.X` with a minor version.
    pub(crate) fn pythons(&self, minor: Option<u8>) -> Vec<PathBuf> {
        let name = minor.map_or("python3".to_owned(), |minor| format!("python3.{minor}"));
        let path = self.get("PATH").unwrap_or_default();
        let mut found: Vec<PathBuf> = Vec::new();
        for directory in std::env::split_paths(&path).chain([PathBuf::from("/usr/bin")]) {
            let candidate = directory.join(&name);
            if directory.is_absolute() && candidate.is_file() && !found.contains(&candidate) {
                found.push(candidate);
            }
        }
        found
    }
}

/// The Python that the code is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) minor: u8,
    pub(crate) arch: Arch,
    pub(crate) glibc: (u32, u32),
}

impl Target {
    /// Wheel platform tags that run on the guest, best first.
    pub(crate) fn platforms(&self) -> Vec<String> {
        let arch = self.arch.name();
        // manylinux1 means glibc 2.5 and knew x86_64; the first tag for 64-bit ARM is manylinux2014's.
        let oldest = match self.arch {
            Arch::X86_64 => 5,
            Arch::Aarch64 => 17,
        };
        let mut tags = Vec::new();
        for minor in (oldest..=self.glibc.1).rev() {
            tags.push(format!("manylinux_2_{minor}_{arch}"));
            match minor {
                17 => tags.push(format!("manylinux2014_{arch}")),
                12 => tags.push(format!("manylinux2010_{arch}")),
                5 => tags.push(format!("manylinux1_{arch}")),
                _ => {}
            }
        }
        tags.push(format!("linux_{arch}"));
        tags
    }

    fn arguments(&self) -> Vec<String> {
        // Until 3.7 the ABI's name told the memory allocator.
        let abi = if self.minor < 8 { format!("cp3{}m", self.minor) } else { format!("cp3{}", self.minor) };
        let mut arguments = vec!["--python-version".to_owned(), format!("3.{}", self.minor)];
        arguments.extend(
            ["--implementation", "cp", "--abi", &abi, "--abi", "abi3", "--abi", "none"].map(str::to_owned),
        );
        for platform in self.platforms() {
            arguments.extend(["--platform".to_owned(), platform]);
        }
        arguments
    }

    /// The guest's environment markers. The patch level is not known before a guest runs; `.0` makes
    /// requirements of backports (`python_full_version < "3.11.3"`) hold, which costs a small file at worst.
    fn markers(&self) -> serde_json::Value {
        let full = format!("3.{}.0", self.minor);
        serde_json::json!({
            "python_version": format!("3.{}", self.minor),
            "python_full_version": full,
            "implementation_version": full,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "platform_machine": self.arch.name(),
            "platform_system": "Linux",
            "sys_platform": "linux",
            "os_name": "posix",
        })
    }
}

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

    #[test]
    fn platform_tags_follow_the_guests_glibc() {
        let tags = |arch, glibc| Target { minor: 11, arch, glibc }.platforms();
        let debian = tags(Arch::X86_64, (2, 36));
        assert_eq!(debian[0], "manylinux_2_36_x86_64");
        let place = |tag: &str| debian.iter().position(|t| t == tag);
        assert!(place("manylinux_2_17_x86_64") < place("manylinux2014_x86_64"));
        assert!(place("manylinux2014_x86_64") < place("manylinux1_x86_64"));
        assert_eq!(debian.last().unwrap(), "linux_x86_64");
        assert_eq!(
            tags(Arch::Aarch64, (2, 17)),
            ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]
        );
        let old = Target { minor: 6, arch: Arch::X86_64, glibc: (2, 28) }.arguments();
        assert!(old.contains(&"cp36m".to_owned()));
    }

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
