//! How far an instance has come: what is awaited, in order, and when it was seen.

use serde::Serialize;

/// Something that an instance must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The firmware reads the disk.
    Firmware,
    /// A kernel runs.
    Kernel,
    /// The init system runs.
    Init,
    /// A card has an address.
    Network,
    /// cloud-init has found Nova's data.
    DataSource,
    /// cloud-init has written Trove's files.
    Files,
    /// docker listens.
    Docker,
    /// The database's unit runs.
    Service,
    /// The agent's unit runs.
    Agent,
    /// The data volume is formatted and mounted.
    Volume,
    /// The agent is logged in to the broker.
    Connection,
    /// The agent consumes from its queues.
    Queues,
    /// The agent answers.
    Ping,
    /// The agent has taken the order to make a database.
    Building,
    /// The agent says that the database answers.
    Healthy,
    /// The database can be logged in to, as an agent does it.
    Login,
    /// The database keeps its files where an agent expects them.
    DataDirectory,
    /// A second card has an address, and the route that its DHCP server gives.
    Route,
    /// That card keeps its address when its first lease is over.
    Lease,
    /// What is asked of the running system holds.
    Tests,
}

impl Milestone {
    /// One word: `data-source`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Kernel => "kernel",
            Self::Init => "init",
            Self::Network => "network",
            Self::DataSource => "data-source",
            Self::Files => "files",
            Self::Docker => "docker",
            Self::Service => "service",
            Self::Agent => "agent",
            Self::Volume => "volume",
            Self::Connection => "connection",
            Self::Queues => "queues",
            Self::Ping => "ping",
            Self::Building => "building",
            Self::Healthy => "healthy",
            Self::Login => "login",
            Self::DataDirectory => "data-directory",
            Self::Route => "route",
            Self::Lease => "lease",
            Self::Tests => "tests",
        }
    }

    /// What is awaited, as a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Firmware => "the firmware reads the disk",
            Self::Kernel => "a kernel starts",
            Self::Init => "the init system starts",
            Self::Network => "the network card gets an address",
            Self::DataSource => "cloud-init finds the instance's data",
            Self::Files => "cloud-init writes Trove's files, with their owner",
            Self::Docker => "docker is ready",
            Self::Service => "the database's unit runs",
            Self::Agent => "the agent's unit runs",
            Self::Volume => "the agent formats and mounts the data volume",
            Self::Connection => "the agent logs in to the message broker",
            Self::Queues => "the agent's queues have consumers",
            Self::Ping => "the agent answers a ping",
            Self::Building => "the agent takes the order to make a database",
            Self::Healthy => "the database that was ordered answers",
            Self::Login => "the database answers a login",
            Self::DataDirectory => "the database's files are where they belong",
            Self::Route => "a second card gets an address and a route by DHCP",
            Self::Lease => "it keeps them when the first lease is over",
            Self::Tests => "what is asked of the running system holds",
        }
    }
}

/// What an image is tried for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aim {
    /// It has an agent.
    pub(crate) agent: bool,
    /// Its agent runs databases in containers.
    pub(crate) docker: bool,
    /// It has a database as packages.
    pub(crate) database: bool,
    /// The agent has a data volume.
    pub(crate) volume: bool,
    /// There is a broker.
    pub(crate) broker: bool,
    /// The broker is our own, and its log can be read.
    pub(crate) log: bool,
    /// A database is ordered.
    pub(crate) prepare: bool,
    /// The guest reaches the registry that the database's container is in.
    pub(crate) registry: bool,
    /// There is a second network, with short leases.
    pub(crate) leases: bool,
    /// Something is asked of the running system.
    pub(crate) tests: bool,
}

impl Aim {
    /// What is awaited, in the order in which it comes about.
    pub(crate) fn milestones(self) -> Vec<Milestone> {
        use Milestone::*;
        [
            (Firmware, true),
            (Kernel, true),
            (Init, true),
            (Network, true),
            (DataSource, true),
            (Files, self.agent),
            (Docker, self.docker),
            (Service, self.database),
            (Login, self.database),
            (DataDirectory, self.database),
            (Agent, self.agent),
            (Volume, self.agent && self.volume),
            (Connection, self.agent && self.log),
            (Queues, self.agent && self.broker),
            (Ping, self.agent && self.broker),
            (Building, self.agent && self.broker && self.prepare),
            (Healthy, self.agent && self.broker && self.prepare && self.registry),
            (Route, self.leases),
            (Lease, self.leases),
            (Tests, self.tests),
        ]
        .into_iter()
        .filter_map(|(milestone, awaited)| awaited.then_some(milestone))
        .collect()
    }
}
