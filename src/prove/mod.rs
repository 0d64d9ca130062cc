//! Has a real control plane of Trove make an instance of an image: the program in `tests/control_plane/`, which is compiled in.
//! It is Python, as what it starts is.

mod error;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::cache::Cache;
use crate::control::Control;
use crate::event::{Event, EventSink, Events};
use crate::host::process::{self, ProcessError};

pub use error::ProveError;

static PROGRAM: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/tests/control_plane");

/// Exit code of the program for an image that was not proved, which is a result.
const NOT_PROVED: i32 = 8;

/// What is to be proved, and how.
#[derive(Debug, Clone)]
pub struct ProveRequest {
    /// The image.
    pub image: PathBuf,
    /// `mariadb` or `postgresql`.
    pub datastore: String,
    /// Leave everything running until the user interrupts.
    pub keep: bool,
    /// A metadata service instead of a config drive.
    pub metadata: bool,
    /// For how long to wait until the instance is healthy.
    pub timeout: Duration,
    /// The release of Trove, if the image does not tell.
    pub trove: Option<String>,
    /// Where virtual environments, containers and logs are kept; the program's own place otherwise.
    pub workdir: Option<PathBuf>,
}

/// What came of it: the program's report.
#[derive(Debug, Clone)]
pub struct Proved {
    /// As the program wrote it.
    pub report: serde_json::Value,
}

impl Proved {
    /// Whether Trove made a healthy database of the image, and everything after that.
    pub fn is_proved(&self) -> bool {
        self.report["result"] == "proved"
    }
}

/// Proves an image. Milestones are told as notes.
///
/// # Errors
/// [`ProveError`]: it could not be tried. That an image is not proved is told in the result.
pub fn prove(request: &ProveRequest, cache: &Cache, control: &Control) -> Result<Proved, ProveError> {
    let work = cache.work()?;
    let (program, report) = (work.path().join("program"), work.path().join("report.json"));
    fs_err::create_dir(&program).and_then(|()| PROGRAM.extract(&program)).map_err(ProveError::Unpack)?;
    let mut command = Command::new("python3");
    command.arg("-B").arg(program.join("prove.py")).args(["--progress", "json", "--json"]).arg(&report);
    command.args(["--datastore", &request.datastore, "--timeout", &request.timeout.as_secs().to_string()]);
    command.args(request.keep.then_some("--keep")).args(request.metadata.then_some("--metadata"));
    if let Some(version) = &request.trove {
        command.args(["--trove", version]);
    }
    if let Some(directory) = &request.workdir {
        command.arg("--workdir").arg(directory);
    }
    if let Ok(this) = std::env::current_exe() {
        command.arg("--tib").arg(this);
    }
    // Behind everything that could be taken for an option.
    command.arg("--").arg(std::path::absolute(&request.image).map_err(ProveError::Unpack)?);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let told = control.telling(Events::new(Retold(control.events.clone())));
    // If it is killed, a process of its own ends what it has started.
    match process::spawn(&mut command, &told).and_then(process::Running::wait) {
        Ok(_) => {}
        Err(ProcessError::Failed { status, .. }) if status.code() == Some(NOT_PROVED) => {}
        Err(ProcessError::Cancelled(cancelled)) => return Err(cancelled.into()),
        Err(source) => return Err(ProveError::Program { message: reason(source.tail()), source }),
    }
    let text = fs_err::read(&report).map_err(ProveError::Unpack)?;
    let report = serde_json::from_slice(&text).map_err(|error| ProveError::Unpack(error.into()))?;
    Ok(Proved { report })
}

/// What the program tells, a JSON object a line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    event: String,
    name: String,
    seconds: f64,
    detail: String,
    text: String,
    hint: String,
}

/// Why it has failed, by its last lines.
fn reason(tail: &[String]) -> Option<String> {
    let lines = tail.iter().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.into_iter().find(|line| line.event == "failed").map(|line| match line.hint.is_empty() {
        true => line.detail,
        false => format!("{} ({})", line.detail, line.hint),
    })
}

/// Tells the program's events in tib's words.
struct Retold(Events);

impl EventSink for Retold {
    fn emit(&self, event: Event) {
        let Event::Output { source, line } = event else { return self.0.emit(event) };
        match serde_json::from_str::<Line>(&line) {
            Ok(Line { event, name, seconds, detail, .. }) if event == "milestone" => {
                let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
                self.0.note(format!("{seconds:7.1} s  {name}{detail}"));
            }
            Ok(Line { event, text, .. }) if event == "note" => self.0.note(text),
            Ok(_) => {}
            Err(_) => self.0.output(&source, line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::Notes;

    #[test]
    fn the_program_is_compiled_in_whole() {
        for path in
            ["prove.py", "proving/cli.py", "stand_in/nova.py", "container/mariadb.sh", "locks/trove-26.txt"]
        {
            let there = fs_err::read(format!("tests/control_plane/{path}")).unwrap();
            assert_eq!(
                PROGRAM.get_file(path).map(include_dir::File::contents),
                Some(there.as_slice()),
                "{path}"
            );
        }
    }

    #[test]
    fn what_it_tells_is_told() {
        let notes = Notes::default();
        let retold = Retold(Events::new(notes.clone()));
        let line =
            |line: &str| retold.emit(Event::Output { source: "python3".to_owned(), line: line.to_owned() });
        line(r#"{"event": "milestone", "name": "kernel", "seconds": 51.93, "detail": "", "since_boot": 9}"#);
        line(r#"{"event": "milestone", "name": "RabbitMQ", "seconds": 5, "detail": "port 1"}"#);
        line(r#"{"event": "note", "text": "unpacking", "seconds": 1}"#);
        line("Traceback (most recent call last):");
        assert_eq!(notes.take(), ["   51.9 s  kernel", "    5.0 s  RabbitMQ: port 1", "unpacking"]);
        let tail = [
            r#"{"event": "failed", "detail": "no RabbitMQ", "hint": "install it"}"#,
            r#"{"event": "finished"}"#,
        ];
        assert_eq!(reason(&tail.map(str::to_owned)).unwrap(), "no RabbitMQ (install it)");
    }
}
