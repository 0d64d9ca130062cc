//! One instance of an image: what it is given, and its machine from power-on to the last milestone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::background::Background;
use super::broker::{Broker, Prepare, RpcKey, Wanted};
use super::instance::{self, CONFIG_DIR, InjectedFile, Instance};
use super::machine::{self, Hardware, Machine};
use super::milestone::Aim;
use super::ports::free_ports;
use super::probe::ProbeConfig;
use super::running::Demands;
use super::seen::{Expected, Seen};
use super::subject::{self, Subject};
use super::watch::{self, Found, Watched};
use super::{Afterwards, BootError, BootRequest, Network, conf, config_drive, diagnosis, leases, session};
use crate::control::Control;
use crate::disk::Format;
use crate::host::Acceleration;
use crate::verify::RunningTest;

/// How long all milestones may take together.
const PATIENCE: Duration = Duration::from_secs(300);
/// The same without KVM.
const PATIENCE_EMULATED: Duration = Duration::from_secs(1200);

/// How often a machine is started whose kernel gives up over its timer.
const STARTS: u32 = 3;

/// What all instances of a boot have in common.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    request: &'a BootRequest,
    subject: &'a Subject,
    image: PathBuf,
    format: Format,
    acceleration: &'a Acceleration,
    broker: &'a Broker,
    /// The directory of the machine, and of all that goes with it.
    work: &'a Path,
    /// The agent's configuration.
    conf: String,
    /// A public key, and the port that leads to ssh, if somebody is let in.
    key: Option<String>,
    ssh: Option<u16>,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(
        request: &'a BootRequest,
        subject: &'a Subject,
        format: Format,
        acceleration: &'a Acceleration,
        broker: &'a Broker,
        work: &'a Path,
        control: &Control,
    ) -> Result<Self, BootError> {
        let image = request.image.canonicalize().map_err(BootError::prepare)?;
        let address = machine::broker_address(request.metadata);
        let transport = broker.transport.as_ref().map(|url| url(address));
        let conf = conf::configuration(request.conf.as_deref(), transport);
        let (key, ssh) = match request.afterwards {
            Afterwards::Ssh | Afterwards::Keep => {
                let [port] = free_ports()?;
                (Some(session::make_key(work, control)?), Some(port))
            }
            Afterwards::End | Afterwards::Console => (None, None),
        };
        Ok(Self { request, subject, image, format, acceleration, broker, work, conf, key, ssh })
    }

    fn is_emulated(&self) -> bool {
        *self.acceleration != Acceleration::Kvm
    }

    /// Starts an instance with an identity of its own, and watches it. The machine runs on. One whose kernel gave up over a late
    /// timer tells of this host alone, and has written nothing: it is started again.
    pub(crate) fn run(&self, control: &Control) -> Result<(Machine, Found), BootError> {
        for _ in 1..STARTS {
            let (machine, found) = self.once(control)?;
            let is_watched = self.request.afterwards == Afterwards::Console;
            if is_watched || !diagnosis::timer_was_late(&found.seen) {
                return Ok((machine, found));
            }
            control.events.warning(
                "the kernel gave up since its emulated timer did not tick in time, which a busy host does: starting again",
            );
        }
        self.once(control)
    }

    fn once(&self, control: &Control) -> Result<(Machine, Found), BootError> {
        let request = self.request;
        let instance = self.instance();
        let metadata =
            instance.metadata(if request.leases { &[machine::MAC, leases::MAC] } else { &[machine::MAC] });
        if request.metadata.has_drive() {
            let iso = self.work.join(machine::CONFIG_DRIVE);
            config_drive::write(&metadata, &self.work.join("config-drive"), &iso, control)?;
        }
        let wanted = self.wanted(&instance.id);
        let background =
            Background::start(self.work, metadata, request.metadata.has_service(), request.leases, wanted)?;
        let hardware = Hardware {
            image: &self.image,
            format: self.format,
            uuid: &instance.id,
            firmware: request.firmware,
            metadata: request.metadata,
            network: request.network,
            leases: request.leases,
            memory: request.memory,
            volume: request.volume,
            broker: self.broker.relay.clone(),
            ssh: self.ssh,
            acceleration: self.acceleration,
        };
        let mut machine = Machine::start(&hardware, self.work, control)?;
        let watched = Watched {
            background: &background,
            broker: self.broker,
            context: diagnosis::Context {
                at_rest: self.subject.report.results.iter().filter(|result| !result.passed()).collect(),
                exchange: request.exchange.clone(),
                has_volume: request.volume.is_some(),
            },
            patience: request.timeout.unwrap_or(if self.is_emulated() {
                PATIENCE_EMULATED
            } else {
                PATIENCE
            }),
            emulated: self.is_emulated(),
            left: None,
            patient: request.afterwards != Afterwards::End,
        };
        let seen = Seen { expected: self.expected(&instance), ..Seen::default() };
        let milestones = self.aim().milestones();
        let found = match request.afterwards {
            Afterwards::Console => session::at_console(&mut machine, |machine, left| {
                let watched = Watched { left: Some(left), ..watched };
                watch::watch(machine, seen, milestones, &watched, &control.quiet())
            })?,
            _ => watch::watch(&mut machine, seen, milestones, &watched, control)?,
        };
        Ok((machine, found))
    }

    /// Lets a person in, if one is to be let in, until they leave.
    pub(crate) fn let_somebody_in(&self, machine: &mut Machine, control: &Control) -> Result<(), BootError> {
        let entry = session::Entry { port: self.ssh, owner: &self.request.owner, directory: self.work };
        session::afterwards(self.request.afterwards, machine, &entry, control)
    }

    fn instance(&self) -> Instance {
        let request = self.request;
        let id = uuid::Uuid::new_v4().to_string();
        let key = request.rpc_key.as_deref();
        let info = instance::guest_info(&id, &request.datastore, &request.datastore_version, key);
        let file = |name: &str, content| InjectedFile { path: format!("{CONFIG_DIR}/{name}"), content };
        // Their owner need not be in an image without an agent.
        let files = match self.subject.agent {
            Some(_) => vec![file("guest_info.conf", info), file("trove-guestagent.conf", self.conf.clone())],
            None => Vec::new(),
        };
        let probe = ProbeConfig {
            agent: self.subject.agent.clone(),
            units: self.subject.units(),
            services: self.subject.services(),
            files: files.iter().map(|file| file.path.clone()).collect(),
            log: self.subject.agent.as_ref().map(|_| "/var/log/trove/trove-guestagent.log".to_owned()),
            questions: self.subject.questions(),
            tests: self.tests().map(|test| (test.command.clone(), test.seconds)).collect(),
            pause: 1.0,
        };
        Instance {
            id,
            owner: request.owner.clone(),
            files,
            early: Some(probe.command()),
            key: self.key.clone(),
        }
    }

    fn wanted(&self, instance: &str) -> Option<Wanted> {
        let request = self.request;
        let prepare = request.prepare.then(|| Prepare {
            datastore_version: request.datastore_version.clone(),
            mount_point: subject::mount_point(&request.datastore).to_owned(),
            configuration: subject::configuration(&request.datastore).to_owned(),
            memory_mb: request.memory.0 >> 20,
        });
        Some(Wanted {
            url: self.broker.url.clone()?,
            exchange: request.exchange.clone(),
            instance: instance.to_owned(),
            key: request.rpc_key.as_deref().map(RpcKey::new),
            prepare,
        })
    }

    fn aim(&self) -> Aim {
        let (request, subject) = (self.request, self.subject);
        Aim {
            agent: subject.agent.is_some(),
            docker: subject.agent.is_some() && subject.docker,
            database: subject.database.is_some(),
            volume: request.volume.is_some() || subject.docker,
            broker: self.broker.url.is_some(),
            log: self.broker.log().is_some(),
            prepare: request.prepare,
            registry: request.network == Network::Open,
            leases: request.leases,
            tests: self.demands().any(),
        }
    }

    /// TCP ports that need not be named: ssh's, and those of the database, be it there or be made.
    fn allowed_ports(&self) -> Vec<u16> {
        let mut ports = self.subject.ports();
        if self.request.prepare {
            ports.extend(subject::container_ports(&self.request.datastore));
        }
        ports
    }

    fn tests(&self) -> impl Iterator<Item = &RunningTest> {
        self.request.goss.iter().flat_map(|goss| &goss.running)
    }

    fn demands(&self) -> Demands {
        Demands {
            listens: self.request.listens.clone(),
            allowed: self.allowed_ports(),
            tests: self.tests().cloned().collect(),
        }
    }

    fn expected(&self, instance: &Instance) -> Expected {
        Expected {
            agent: self.subject.agent.clone(),
            services: self.subject.services(),
            data_directories: self.subject.data_directories(),
            owner: self.request.owner.clone(),
            files: instance.files.iter().map(|file| file.path.clone()).collect(),
            instance: instance.id.clone(),
            demands: self.demands(),
        }
    }
}
