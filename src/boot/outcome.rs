//! What became of an instance, as a report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::diagnosis::{self, Cause};
use super::milestone::Milestone;
use super::progress::Progress;
use super::subject::Subject;
use super::watch::Found;
use super::{BootError, BootRequest, Firmware, Metadata};
use crate::host::Acceleration;
use crate::report::{CheckGroup, CheckResult, Outcome, Report};

/// What became of an instance.
#[derive(Debug)]
pub struct BootOutcome {
    /// Every milestone as a check.
    pub report: Report,
    /// When each milestone was seen.
    pub progress: Progress,
    /// Why it did not come all the way; the likeliest cause first.
    pub causes: Vec<Cause>,
    /// Where the logs are.
    pub logs: Option<PathBuf>,
}

impl BootOutcome {
    pub(crate) fn new(
        request: &BootRequest,
        subject: &Subject,
        acceleration: &Acceleration,
        broker: &str,
        found: Found,
    ) -> Self {
        let mut report = Report::new(&request.image);
        let os = subject.report.facts.iter().filter(|(name, _)| *name == "Operating system").cloned();
        report.facts.extend(os);
        report.facts.push(("Holds", subject.shown()));
        let machine = match acceleration {
            Acceleration::Kvm => "KVM",
            Acceleration::Emulated { .. } => "emulated",
        };
        let firmware = match request.firmware {
            Firmware::Bios => "BIOS",
            Firmware::Uefi => "UEFI",
        };
        let metadata = match request.metadata {
            Metadata::ConfigDrive => "config drive",
            Metadata::Service => "metadata service",
            Metadata::Both => "config drive and metadata service",
        };
        report.facts.push(("Machine", format!("{machine}, {firmware}, {metadata}")));
        report.facts.push(("Broker", broker.to_owned()));
        report.facts.push(("Instance", found.seen.expected.instance.clone()));
        let version = found.seen.guest.answers.get(super::seen::VERSION).filter(|answer| answer.ok);
        report
            .facts
            .extend(version.and_then(|answer| answer.lines.first()).map(|line| ("Version", line.clone())));
        if !found.seen.guest.failed.is_empty() {
            report.warnings.push(format!("failed units: {}", found.seen.guest.failed.join(", ")));
        }
        report.warnings.extend(open_ports(&found));
        if found.seen.leases.clients.len() > 1 {
            report.warnings.push("more than one DHCP client asks for the second card's address".to_owned());
        }
        report.results = subject.goss_results().collect();
        report.results.extend(results(&found));
        let mut causes = found.causes;
        if let Some(cause) = diagnosis::clock(&found.seen) {
            report.results.push(clock(&cause));
            if causes.is_empty() {
                causes.push(cause);
            }
        }
        Self { report, progress: found.progress, causes, logs: None }
    }

    /// Adds what became of the same disk as another instance.
    pub(crate) fn add(&mut self, found: Found) {
        self.report.facts.push(("Second instance", found.seen.expected.instance.clone()));
        self.report.results.extend(results(&found).into_iter().map(|mut result| {
            result.title = format!("as another instance, {}", result.title);
            result
        }));
        self.causes = found.causes;
    }

    /// The report as JSON, with times and causes.
    pub fn to_json(&self) -> Value {
        let mut value = self.report.to_json();
        let steps = self.progress.steps().iter();
        let milestones: Vec<_> = steps
            .map(|(milestone, time)| json!({ "name": milestone.name(), "seconds": time.map(rounded) }))
            .collect();
        value["milestones"] = json!(milestones);
        value["causes"] = json!(self.causes);
        value["logs"] = json!(self.logs.as_ref().map(|path| path.to_string_lossy()));
        value
    }

    /// Copies logs to where the user wants them; on failure, to a directory of their own otherwise.
    pub(crate) fn keep_logs(
        &mut self,
        request: &BootRequest,
        work: &Path,
        broker: Option<&str>,
    ) -> Result<(), BootError> {
        let directory = match (&request.logs, self.report.passed()) {
            (Some(directory), _) => directory.clone(),
            (None, true) => return Ok(()),
            (None, false) => {
                let made = tempfile::Builder::new().prefix("tib-boot-").tempdir_in(crate::host::temp_dir());
                made.map_err(BootError::prepare)?.keep()
            }
        };
        fs_err::create_dir_all(&directory).map_err(BootError::prepare)?;
        for name in ["console.log", "probe.jsonl"] {
            fs_err::copy(work.join(name), directory.join(name)).map_err(BootError::prepare)?;
        }
        if let Some(broker) = broker {
            fs_err::write(directory.join("broker.log"), broker).map_err(BootError::prepare)?;
        }
        self.report.facts.push(("Logs", directory.display().to_string()));
        self.logs = Some(directory);
        Ok(())
    }
}

/// It comes all the way with a wrong clock, and no further: what has dates is refused.
fn clock(cause: &Cause) -> CheckResult {
    CheckResult {
        title: "the guest's clock is right".to_owned(),
        group: CheckGroup::Boot,
        outcome: Outcome::Failed { found: said(cause, "") },
        why: None,
        fix: Some(cause.fix.clone()),
    }
}

/// Ports that anybody on the network may try, and that nobody needs.
fn open_ports(found: &Found) -> Option<String> {
    let demands = &found.seen.expected.demands;
    // It is a check where the recipe names ports.
    let ports = if demands.listens.is_none() { demands.unnamed(&found.seen.guest) } else { Vec::new() };
    (!ports.is_empty()).then(|| format!("something listens on all addresses: {}", ports.join(", ")))
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// A check for each milestone. The first that is missing has the cause; what comes after it was not awaited.
fn results(found: &Found) -> Vec<CheckResult> {
    let missing = found.progress.missing();
    let mut results = Vec::new();
    for (milestone, time) in found.progress.steps() {
        let title = match time {
            Some(time) => format!("{} (after {:.1} s)", milestone.title(), rounded(*time)),
            None => milestone.title().to_owned(),
        };
        let mut result =
            CheckResult { title, group: CheckGroup::Boot, outcome: Outcome::Passed, why: None, fix: None };
        if time.is_none() {
            result.outcome = Outcome::NotChecked { reason: "the instance did not come so far".to_owned() };
        }
        if *milestone == Milestone::Tests {
            results.extend(found.seen.expected.demands.results(&found.seen.guest));
            continue;
        }
        if missing == Some(*milestone) {
            let cause = found.causes.first();
            let late = if found.timed_out {
                format!(" within {:.0} s", found.elapsed.as_secs_f64())
            } else {
                String::new()
            };
            result.outcome = Outcome::Failed {
                found: cause.map_or_else(|| format!("not seen{late}"), |cause| said(cause, &late)),
            };
            result.fix = cause.map(|cause| cause.fix.clone());
            let others: Vec<_> = found.causes.iter().skip(1).map(|cause| cause.title.clone()).collect();
            result.why = (!others.is_empty()).then(|| format!("or else: {}", others.join("; ")));
        }
        results.push(result);
    }
    results
}

fn said(cause: &Cause, late: &str) -> String {
    match cause.evidence.is_empty() {
        true => format!("{}{late}", cause.title),
        false => format!("{}{late} ({})", cause.title, cause.evidence.join(" | ")),
    }
}
