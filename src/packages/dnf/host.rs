//! The host's dnf: whether there is one, and how it is run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use serde::de::DeserializeOwned;

use super::error::DnfError;
use crate::control::Control;
use crate::event::{Event, EventSink, Events};
use crate::host::process;

/// Speaks with dnf's API.
const PROGRAM: &str = include_str!("resolve.py");

/// Who may have dnf's modules: a distribution's own Python, not one that a user has put before it.
const PYTHONS: [&str; 3] = ["/usr/bin/python3", "/usr/libexec/platform-python", "python3"];

/// What has to be there, for messages.
const MODULES: &str = "import dnf, hawkey, libdnf, rpm; print(dnf.VERSION)";

/// dnf 4 on this host.
#[derive(Debug)]
pub(crate) struct HostDnf {
    python: &'static str,
    /// Its version.
    pub(crate) version: String,
}

impl HostDnf {
    /// Looks for a dnf that can be used.
    pub(crate) fn probe() -> Result<Self, DnfError> {
        for program in ["rpm", "rpmdb"] {
            if !runs(program) {
                return Err(DnfError::Unusable(format!("`{program}` does not run (package rpm)")));
            }
        }
        for python in PYTHONS {
            let output = Command::new(python).args(["-I", "-c", MODULES]).stdin(Stdio::null()).output();
            if let Ok(output) = output
                && output.status.success()
            {
                let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                return Ok(Self { python, version });
            }
        }
        Err(DnfError::Unusable(missing(runs("dnf5"))))
    }
}

fn runs(program: &str) -> bool {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// What is missing where Python has no dnf 4.
fn missing(has_dnf5: bool) -> String {
    let modules = "the modules of dnf 4 for Python are missing (package python3-dnf)";
    if has_dnf5 { format!("{modules}; dnf 5, which is here, does not serve") } else { modules.to_owned() }
}

/// The host's dnf in a private root.
#[derive(Debug)]
pub(crate) struct Dnf<'a> {
    pub(crate) host: &'a HostDnf,
    /// `HOME`: its `.rpmmacros` says where the database of packages is.
    pub(crate) home: PathBuf,
    /// A directory for what is needed for a moment.
    pub(crate) temp: PathBuf,
    pub(crate) control: &'a Control,
}

/// What dnf refuses.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Refused {
    pub(crate) kind: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) lines: Vec<String>,
    #[serde(default)]
    pub(crate) unknown: Vec<super::error::UnknownPackage>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Refused { error: Refused },
    Done(T),
}

impl Dnf<'_> {
    /// Asks dnf. The outer error is that it could not be asked, the inner one that it refuses.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        doing: &str,
        request: &serde_json::Value,
    ) -> Result<Result<T, Refused>, DnfError> {
        let (program, file) = (self.temp.join("resolve.py"), self.temp.join("request.json"));
        fs::write(&program, PROGRAM).map_err(DnfError::io("write", &program))?;
        fs::write(&file, request.to_string()).map_err(DnfError::io("write", &file))?;
        let mut command = self.command(self.host.python);
        command.args(["-I", "-B"]).arg(program).arg(file);
        let talk = Talk { events: self.control.events.clone(), doing: doing.to_owned() };
        let failed = |source| DnfError::Process { what: "dnf", source };
        let output = process::run(&mut command, &self.control.telling(Events::new(talk)));
        let output = output.map_err(|error| match error {
            process::ProcessError::Cancelled(cancelled) => cancelled.into(),
            error => failed(error),
        })?;
        match serde_json::from_slice(&output) {
            Ok(Answer::Done(answer)) => Ok(Ok(answer)),
            Ok(Answer::Refused { error }) => Ok(Err(error)),
            Err(error) => Err(DnfError::Answer(error.to_string())),
        }
    }

    /// Runs one of RPM's programs on the private database, with `input` as its stdin.
    pub(crate) fn rpm<'s>(
        &self,
        program: &'static str,
        database: &Path,
        arguments: impl IntoIterator<Item = &'s str>,
        input: Option<&Path>,
    ) -> Result<String, DnfError> {
        let mut command = self.command(program);
        command.arg("--dbpath").arg(database).args(arguments).stdout(Stdio::piped());
        match input {
            Some(path) => {
                let file = std::fs::File::open(path).map_err(DnfError::io("open", path))?;
                command.stdin(file);
            }
            None => drop(command.stdin(Stdio::null())),
        }
        let output = process::spawn(&mut command, self.control).and_then(process::Running::wait);
        match output {
            Ok(output) => Ok(String::from_utf8_lossy(&output).into_owned()),
            Err(process::ProcessError::Cancelled(cancelled)) => Err(cancelled.into()),
            Err(source) => Err(DnfError::Process { what: program, source }),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", &self.home).env("TMPDIR", &self.temp).env("LC_ALL", "C.UTF-8");
        // Where dnf looks for what users have of their own.
        for name in
            ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "RPM_CONFIGDIR", "GNUPGHOME", "SUDO_UID", "SUDO_USER"]
        {
            command.env_remove(name);
        }
        command
    }
}

/// Listens to stderr: turns lines about downloads into progress.
struct Talk {
    events: Events,
    doing: String,
}

impl EventSink for Talk {
    fn emit(&self, event: Event) {
        if let Event::Output { line, .. } = &event
            && let Some((done, total)) =
                line.strip_prefix("tib-progress:").and_then(|rest| rest.split_once(':'))
        {
            if let (Ok(done), Ok(total)) = (done.parse(), total.parse()) {
                self.events.progress(&self.doing, done, Some(total));
            }
            return;
        }
        self.events.emit(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_dnf_5_alone_is_told_what_it_lacks() {
        for (has_dnf5, told) in [(false, false), (true, true)] {
            let said = missing(has_dnf5);
            assert!(
                said.contains("package python3-dnf") && said.contains("dnf 5, which is here") == told,
                "{said}"
            );
        }
    }
}
