//! What a machine's disk tells once it is off, for instances that said nothing while they ran.

use std::path::Path;

use super::machine::Machine;
use super::seen::Seen;
use crate::control::Control;
use crate::disk::{Policy, Tree};
use crate::error::Result;
use crate::image::Image;
use crate::look::log::{Filter, Form, Selection, journal_files, print_journal};
use crate::os::files::read_optional;

/// Lines of each log.
const LINES: usize = 60;

/// Shuts the machine down, so that its file systems are whole, and reads its logs into what was seen. What cannot be read is
/// told as a note, and missing: the boot has failed for another reason.
pub(crate) fn examine(machine: &mut Machine, seen: &mut Seen, control: &Control) {
    let quiet = control.quiet();
    control.events.note("the guest did not tell anything: shutting it down to read its logs");
    if seen.ended.is_none() {
        machine.shut_down();
    }
    let read = read(&machine.overlay(), seen.expected.agent.clone(), &quiet);
    match read {
        Ok(logs) => {
            seen.guest.cloud.log = logs.cloud;
            seen.guest.journal = logs.journal;
            seen.guest.log = logs.agent;
        }
        Err(error) => control
            .events
            .note(format!("the logs on its disk could not be read: {}", error.chain().join(": "))),
    }
}

#[derive(Debug, Default)]
struct Logs {
    cloud: Vec<String>,
    journal: Vec<String>,
    agent: Vec<String>,
}

fn read(overlay: &Path, agent: Option<String>, control: &Control) -> Result<Logs> {
    // The overlay is ours; what it lies on has passed the gate.
    let image = Image::open(overlay, &Policy::within("/"), control)?;
    image.read(|tree| {
        let mut logs = Logs {
            cloud: text(tree, "/var/log/cloud-init.log")?
                .into_iter()
                .filter(|line| ["WARNING", "ERROR", "Error: "].iter().any(|word| line.contains(word)))
                .collect(),
            agent: text(tree, "/var/log/trove/trove-guestagent.log")?,
            journal: Vec::new(),
        };
        let units = agent.into_iter().collect();
        let filter = Filter { units, last_boot: true, ..Filter::default() };
        let selection = Selection { filter, lines: Some(LINES), form: Form::Text };
        let files = journal_files(tree)?;
        let mut out = Vec::new();
        if !files.is_empty() {
            print_journal(tree, &files, &selection, &mut out)?;
        }
        logs.journal = String::from_utf8_lossy(&out).lines().map(str::to_owned).collect();
        Ok(logs)
    })
}

/// The last lines of a file that may not be there.
fn text(tree: &mut dyn Tree, path: &str) -> Result<Vec<String>> {
    let bytes = read_optional(tree, path.as_bytes()).map_err(crate::os::ReadError::from)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> =
        text.lines().rev().filter(|line| !line.trim().is_empty()).take(LINES).map(str::to_owned).collect();
    Ok(lines.into_iter().rev().collect())
}
