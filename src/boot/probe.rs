//! The probe: a small program in the guest that tells what goes on there, over a port of its own. What it says comes from
//! the guest, and is not to be believed further than that.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::check::Protocol;

/// The program.
const PROGRAM: &str = include_str!("probe.py");
/// The name of its port.
pub(crate) const PORT: &str = "org.openstack.trove.tib.0";
/// Bytes of a line; a longer one is no message of ours.
const LONGEST: usize = 1 << 20;

/// What the probe looks at.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProbeConfig {
    /// The agent's unit.
    pub(crate) agent: Option<String>,
    /// Other units.
    pub(crate) units: Vec<String>,
    /// Units whose journal is told where there is no agent.
    pub(crate) services: Vec<String>,
    /// Files that are to be written by cloud-init.
    pub(crate) files: Vec<String>,
    /// The agent's own log.
    pub(crate) log: Option<String>,
    /// Questions and the shell commands that answer them, asked until they succeed.
    pub(crate) questions: Vec<(String, String)>,
    /// Shell commands that are asked again and again once the system is up, and how many seconds each may take.
    pub(crate) tests: Vec<(String, u32)>,
    /// Seconds between two looks.
    pub(crate) pause: f64,
}

impl ProbeConfig {
    /// The command that starts it, for cloud-init's `bootcmd`. It goes on in a unit of its own, so that nothing waits for it.
    pub(crate) fn command(&self) -> Vec<String> {
        let units: Vec<_> = self.agent.iter().chain(&self.units).collect();
        let journal = self.agent.as_ref().map_or(self.services.as_slice(), std::slice::from_ref);
        let questions: Vec<_> = self
            .questions
            .iter()
            .map(|(name, command)| json!({ "name": name, "command": command }))
            .collect();
        let tests: Vec<_> = self
            .tests
            .iter()
            .map(|(command, seconds)| json!({ "command": command, "seconds": seconds }))
            .collect();
        let config = json!({
            "port": PORT,
            "journal": journal,
            "units": units,
            "files": self.files,
            "volume": "/dev/vdb",
            "log": self.log.as_deref().unwrap_or(""),
            "questions": questions,
            "tests": tests,
            "pause": self.pause,
        });
        // /run may not hold programs, so it is run through its interpreter. Enterprise Linux 8 hides its Python.
        let script = format!(
            "mkdir -p /run/tib-probe && echo {program} | base64 -d >/run/tib-probe/probe.py && \
             python=$(command -v python3 || echo /usr/libexec/platform-python) && \
             systemd-run --no-block --unit=tib-probe --property=DefaultDependencies=no --property=Nice=5 \
             \"$python\" /run/tib-probe/probe.py \"$(echo {config} | base64 -d)\"",
            program = STANDARD.encode(PROGRAM),
            config = STANDARD.encode(config.to_string()),
        );
        vec!["/bin/sh".to_owned(), "-c".to_owned(), script]
    }
}

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct UnitStatus {
    pub(crate) load_state: String,
    pub(crate) active_state: String,
    pub(crate) sub_state: String,
    pub(crate) unit_file_state: String,
    pub(crate) result: String,
    #[serde(rename = "NRestarts")]
    pub(crate) restarts: String,
    pub(crate) exec_main_status: String,
}

impl UnitStatus {
    pub(crate) fn is_active(&self) -> bool {
        self.active_state == "active"
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.parse().unwrap_or(0)
    }
}

/// A file that cloud-init was to write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct FileStatus {
    pub(crate) owner: String,
    pub(crate) group: String,
    pub(crate) mode: String,
    pub(crate) size: u64,
}

/// What cloud-init says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct CloudStatus {
    pub(crate) id: String,
    pub(crate) datasource: String,
    pub(crate) errors: Vec<String>,
    pub(crate) finished: bool,
    pub(crate) log: Vec<String>,
}

/// The data volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct VolumeStatus {
    pub(crate) there: bool,
    pub(crate) bytes: u64,
    pub(crate) mounts: Vec<MountStatus>,
}

/// Where it is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct MountStatus {
    pub(crate) at: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// docker, as far as the agent needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct DockerStatus {
    pub(crate) socket: bool,
    pub(crate) group: Vec<String>,
}

/// The system as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct SystemStatus {
    pub(crate) state: String,
    pub(crate) host: String,
    pub(crate) kernel: String,
    pub(crate) boot: String,
}

/// A port that is listened on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Listening {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    /// `any`, `loopback` or `one` address.
    pub(crate) on: String,
}

impl Listening {
    /// Whether everybody reaches it.
    pub(crate) fn is_open(&self) -> bool {
        self.on == "any"
    }
}

/// What a test's command printed, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct TestAnswer {
    pub(crate) code: i32,
    pub(crate) out: Vec<String>,
    pub(crate) err: Vec<String>,
}

/// The answer to a question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) ok: bool,
    pub(crate) lines: Vec<String>,
}

/// When the probe was heard first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Heard {
    /// Seconds since 1970 by the guest's clock.
    pub(crate) clock: f64,
}

/// All that the probe has said, the last of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GuestState {
    pub(crate) heard: Option<Heard>,
    /// By the guest's own clock, seconds since its kernel started.
    pub(crate) uptime: f64,
    pub(crate) units: BTreeMap<String, UnitStatus>,
    pub(crate) failed: Vec<String>,
    pub(crate) cloud: CloudStatus,
    pub(crate) files: BTreeMap<String, FileStatus>,
    pub(crate) volume: VolumeStatus,
    pub(crate) addresses: BTreeMap<String, String>,
    /// Networks that are reached through a router.
    pub(crate) routes: Vec<String>,
    pub(crate) listening: Vec<Listening>,
    pub(crate) users: BTreeMap<String, u32>,
    pub(crate) docker: DockerStatus,
    pub(crate) system: SystemStatus,
    pub(crate) journal: Vec<String>,
    pub(crate) log: Vec<String>,
    pub(crate) answers: BTreeMap<String, Answer>,
    /// By their numbers.
    pub(crate) tests: BTreeMap<usize, TestAnswer>,
    /// How often it has looked.
    pub(crate) rounds: u64,
}

/// A message.
#[derive(Debug, Deserialize)]
struct Message {
    key: String,
    #[serde(default)]
    uptime: f64,
    value: Value,
}

impl GuestState {
    /// Takes a line. One that is no message of the probe's is ignored.
    pub(crate) fn hear(&mut self, line: &[u8]) {
        if line.len() > LONGEST {
            return;
        }
        let Ok(message) = serde_json::from_slice::<Message>(line) else { return };
        if message.uptime.is_finite() {
            self.uptime = self.uptime.max(message.uptime);
        }
        let value = message.value;
        match message.key.as_str() {
            "probe" => take(&mut self.heard, value),
            "units" => take(&mut self.units, value),
            "failed" => take(&mut self.failed, value),
            "cloud" => take(&mut self.cloud, value),
            "files" => take(&mut self.files, value),
            "volume" => take(&mut self.volume, value),
            "addresses" => take(&mut self.addresses, value),
            "routes" => take(&mut self.routes, value),
            "listening" => take(&mut self.listening, value),
            "users" => take(&mut self.users, value),
            "docker" => take(&mut self.docker, value),
            "system" => take(&mut self.system, value),
            "journal" => take(&mut self.journal, value),
            "log" => take(&mut self.log, value),
            "round" => take(&mut self.rounds, value),
            other => {
                if let Some(name) = other.strip_prefix("answer ") {
                    take(self.answers.entry(name.to_owned()).or_default(), value);
                } else if let Some(number) =
                    other.strip_prefix("test ").and_then(|number| number.parse().ok())
                    && let Ok(answer) = serde_json::from_value(value)
                {
                    self.tests.insert(number, answer);
                }
            }
        }
    }

    /// Whether the system has come up, with or without failed units.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.system.state.as_str(), "running" | "degraded")
    }

    /// What the agent has said, in its journal and in its own log.
    pub(crate) fn agent_lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.journal.iter().chain(&self.log).map(String::as_str)
    }
}

/// A value of another form is ignored: the probe's program may have been replaced in the guest.
fn take<T: for<'a> Deserialize<'a>>(place: &mut T, value: Value) {
    if let Ok(value) = serde_json::from_value(value) {
        *place = value;
    }
}

/// Cuts what arrives into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
}

impl Lines {
    /// Takes bytes as they come. A line without end is cut.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() > LONGEST {
                self.ready.push_back(std::mem::take(&mut self.rest));
            }
        }
    }

    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// The line that has no end yet.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.rest
    }
}

/// For the fuzz target: takes whatever arrives on the port.
#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn fuzz_probe(bytes: &[u8]) {
    let (mut lines, mut state) = (Lines::default(), GuestState::default());
    for piece in bytes.chunks(97) {
        lines.push(piece);
        while let Some(line) = lines.next() {
            state.hear(&line);
        }
    }
    assert!(state.uptime.is_finite());
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_heard_is_kept() {
        let mut state = GuestState::default();
        for line in [
            r#"{"key": "probe", "uptime": 12.5, "value": {"version": 1, "clock": 1.5e9}}"#,
            r#"{"key": "units", "uptime": 13, "value": {"a.service": {"ActiveState": "active", "NRestarts": "3", "New": "x"}}}"#,
            r#"{"key": "volume", "uptime": 14, "value": {"there": true, "mounts": [{"at": "/var/lib/mysql", "type": "ext4"}]}}"#,
            r#"{"key": "volume", "uptime": 15, "value": 7}"#,
            r#"{"key": "answer version", "uptime": 2, "value": {"ok": true, "lines": ["10.11"]}}"#,
            r#"{"key": "nothing we know", "uptime": 1, "value": null}"#,
            "no JSON",
            "",
        ] {
            state.hear(line.as_bytes());
        }
        assert_eq!(state.heard.unwrap().clock, 1.5e9);
        assert!(state.units["a.service"].is_active());
        assert_eq!(state.units["a.service"].restarts(), 3);
        assert_eq!(state.volume.mounts[0].at, "/var/lib/mysql", "a value of another form changes nothing");
        assert_eq!(state.answers["version"].lines, ["10.11"]);
        assert_eq!(state.uptime, 15.0);
    }

    #[test]
    fn the_program_compiles() {
        let command = ["-c", "import ast, sys; ast.parse(sys.argv[1])", PROGRAM];
        assert!(Command::new("python3").args(command).status().unwrap().success());
    }

    #[test]
    fn the_command_is_one_that_a_shell_takes() {
        let config = ProbeConfig { agent: Some("it's $HOME.service".to_owned()), ..ProbeConfig::default() };
        let command = config.command();
        let checked = Command::new("sh").args(["-n", "-c", &command[2]]).status().unwrap();
        assert!(checked.success());
        // Nova takes 64 KiB of user data in base64.
        assert!(command[2].len() < 24 << 10, "{}", command[2].len());
    }

    proptest! {
        #[test]
        fn lines_are_what_was_pushed(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), cut in 1_usize..50) {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(cut) {
                lines.push(piece);
                while let Some(line) = lines.next() {
                    prop_assert!(line.ends_with(b"\n"));
                    seen.extend(line);
                }
            }
            seen.extend_from_slice(lines.rest());
            prop_assert_eq!(seen, bytes);
        }

        #[test]
        fn nothing_that_is_heard_makes_it_panic(line in "\\PC{0,200}") {
            GuestState::default().hear(line.as_bytes());
        }
    }
}
