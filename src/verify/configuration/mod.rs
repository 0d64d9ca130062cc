//! Whether Trove's configuration files fit the image, and each other.

mod both;
mod commit;
mod controller;
mod embedded;
mod guest;

use super::agent::Subject;
use super::part::ReportPart;
use crate::disk::Tree;
use crate::os::ReadError;
use crate::oslo::Config;
use crate::report::CheckGroup;

/// Databases whose containers today's agents run.
const DATASTORES: [&str; 3] = ["mariadb", "mysql", "postgresql"];

/// What an operator has beside the image.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// `trove-guestagent.conf`, which Trove injects.
    pub guest: Option<Config>,
    /// The controller's `trove.conf`.
    pub controller: Option<Config>,
    /// Files of the controller's `cloudinit_location`: name and content.
    pub cloudinit: Vec<(String, Vec<u8>)>,
    /// The agent's commit or version, as the control plane has it.
    pub agent: Option<String>,
}

impl Configuration {
    /// Nothing was given.
    pub fn is_empty(&self) -> bool {
        self.guest.is_none() && self.controller.is_none() && self.agent.is_none()
    }
}

/// What is asked about: the agent of an image, and what the kernel is told.
struct Asked<'a> {
    subject: &'a Subject,
    command_line: Option<&'a str>,
}

/// Checks what was given against an image with, or without, an agent.
pub(super) fn check(
    tree: &mut dyn Tree,
    subject: Option<&Subject>,
    command_line: Option<&str>,
    configuration: &Configuration,
) -> ReportPart {
    let mut part = ReportPart::of(CheckGroup::Configuration);
    let Some(subject) = subject else {
        part.check(
            "there is an agent that Trove's configuration files are for",
            Ok(Some("no guest agent was found".to_owned())),
            "nothing in the image would read them",
            "build the image with an agent",
        );
        return part;
    };
    let asked = Asked { subject, command_line };
    let (guest, controller) = (configuration.guest.as_ref(), configuration.controller.as_ref());
    if let Some(guest) = guest {
        guest::check(tree, subject, guest, controller, &mut part);
    }
    if let Some(controller) = controller {
        controller::check(tree, &asked, controller, &mut part);
        controller::check_cloudinit(&configuration.cloudinit, &mut part);
    }
    match (guest, controller) {
        (Some(guest), Some(controller)) => both::check(guest, controller, &mut part),
        (Some(guest), None) => both::check_alone(guest, &mut part),
        _ => {}
    }
    if let Some(wanted) = &configuration.agent {
        commit::check(tree, subject, wanted, &mut part);
    }
    part
}

/// A flag; one that is neither on nor off cannot be judged.
fn flag(config: &Config, section: &str, key: &str) -> Result<bool, ReadError> {
    config.flag(section, key).map(Option::unwrap_or_default).map_err(|_| ReadError::Unsupported {
        what: "a configuration file",
        reason: format!("[{section}] {key} is neither on nor off"),
    })
}
