//! All that is known of a running instance.

use super::broker::{BrokerLog, BrokerState};
use super::console::Console;
use super::leases::{CLIENT, LeaseState, ROUTE};
use super::milestone::Milestone;
use super::probe::{GuestState, UnitStatus};
use super::running::Demands;

/// What is expected of the instance, to compare with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// The agent's unit.
    pub(crate) agent: Option<String>,
    /// Units of the database, one of which must run.
    pub(crate) services: Vec<String>,
    /// Where the database's files belong: one of these, and anywhere if there are none.
    pub(crate) data_directories: Vec<String>,
    /// `user:group` of injected files.
    pub(crate) owner: String,
    /// Injected files.
    pub(crate) files: Vec<String>,
    /// The instance's UUID.
    pub(crate) instance: String,
    /// What must hold once it runs.
    pub(crate) demands: Demands,
}

/// All that is known of a running instance.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) expected: Expected,
    /// The firmware has read from the disk.
    pub(crate) disk_read: bool,
    pub(crate) console: Console,
    pub(crate) guest: GuestState,
    pub(crate) broker: BrokerState,
    pub(crate) broker_log: BrokerLog,
    /// What was asked of the metadata service, if there is one.
    pub(crate) requests: Option<Vec<String>>,
    /// What was asked of the second network's DHCP server.
    pub(crate) leases: LeaseState,
    /// Seconds by which the guest's clock was ahead of the host's when its probe was first heard.
    pub(crate) clock_ahead: Option<f64>,
    /// Why the machine has ended.
    pub(crate) ended: Option<String>,
}

/// Names of the questions that the probe asks a database.
pub(crate) const VERSION: &str = "version";
pub(crate) const DATA: &str = "data";

/// Statuses that an agent tells the conductor: `ServiceStatuses` of `trove/instance/service_status.py`.
const HEALTHY: &str = "healthy";
pub(crate) const FAILED: &str = "failed to spawn";

impl Seen {
    /// Whether the instance has come that far.
    pub(crate) fn has(&self, milestone: Milestone) -> bool {
        let guest = &self.guest;
        match milestone {
            // Consoles may be silent.
            Milestone::Firmware => self.disk_read || self.console.anything || self.is_alive(),
            Milestone::Kernel => self.console.kernel || self.console.init || self.is_alive(),
            Milestone::Init => self.console.init || self.is_alive(),
            Milestone::Network => guest
                .addresses
                .iter()
                .any(|(card, address)| card != "lo" && !card.starts_with("docker") && !address.is_empty()),
            Milestone::DataSource => self.data_source().is_some(),
            Milestone::Files => self.wrong_files().is_empty() && !guest.files.is_empty(),
            Milestone::Docker => {
                guest.docker.socket
                    && guest
                        .units
                        .get("docker.service")
                        .is_none_or(|unit| unit.is_active() || unit.load_state != "loaded")
            }
            Milestone::Service => self
                .expected
                .services
                .iter()
                .any(|name| guest.units.get(name).is_some_and(UnitStatus::is_active)),
            Milestone::Agent => self.agent().is_some_and(UnitStatus::is_active),
            Milestone::Volume => !guest.volume.mounts.is_empty(),
            Milestone::Connection => self.broker_log.connected || self.broker.is_registered(),
            Milestone::Queues => self.broker.is_registered(),
            Milestone::Ping => matches!(self.broker.ping, Some(Ok(()))),
            Milestone::Building => !self.broker.statuses.is_empty(),
            Milestone::Healthy => self.broker.statuses.iter().any(|status| status == HEALTHY),
            Milestone::Route => self.has_leased_address() && guest.routes.contains(&ROUTE.to_string()),
            // What the guest says must be newer than the end of the lease.
            Milestone::Lease => {
                self.leases.renewed > 0 && self.leases.is_over() && self.has(Milestone::Route)
            }
            Milestone::Tests => self.expected.demands.hold(guest),
            Milestone::Login => guest.answers.get(VERSION).is_some_and(|answer| answer.ok),
            Milestone::DataDirectory => {
                let found = guest
                    .answers
                    .get(DATA)
                    .filter(|answer| answer.ok)
                    .and_then(|answer| answer.lines.first());
                let wanted = &self.expected.data_directories;
                let belongs =
                    |found: &String| wanted.iter().any(|wanted| wanted == found.trim_end_matches('/'));
                wanted.is_empty() || found.is_some_and(belongs)
            }
        }
    }

    /// Whether anything in the guest has been heard of.
    pub(crate) fn is_alive(&self) -> bool {
        self.guest.heard.is_some() || self.broker_log.connected || self.broker.is_registered()
    }

    /// Whether a card has the address that the second network's server gives.
    pub(crate) fn has_leased_address(&self) -> bool {
        self.guest.addresses.values().any(|address| *address == CLIENT.to_string())
    }

    /// The agent's unit, as systemd sees it.
    pub(crate) fn agent(&self) -> Option<&UnitStatus> {
        self.guest.units.get(self.expected.agent.as_deref()?)
    }

    /// Where cloud-init has found the instance's data; nothing if it found none.
    pub(crate) fn data_source(&self) -> Option<&str> {
        let name = self.guest.cloud.datasource.as_str();
        (!name.is_empty() && !name.contains("DataSourceNone")).then_some(name)
    }

    /// Files that are missing or belong to somebody else, and how.
    pub(crate) fn wrong_files(&self) -> Vec<String> {
        let (user, group) = self.expected.owner.split_once(':').unwrap_or((&self.expected.owner, ""));
        self.expected
            .files
            .iter()
            .filter_map(|path| match self.guest.files.get(path) {
                None => Some(format!("{path} is not there")),
                Some(file) if file.owner != user || !group.is_empty() && file.group != group => {
                    Some(format!("{path} belongs to {}:{}", file.owner, file.group))
                }
                Some(_) => None,
            })
            .collect()
    }
}
