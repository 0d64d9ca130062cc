//! Starts an instance of an image as Nova and Trove would, on a throw-away overlay, and watches how far it comes. When it does
//! not come all the way, says why.
//!
//! What the guest says, on its console, its port, to the broker and to the metadata service, is foreign: it is read with
//! limits, kept as text, and never believed further than it reaches.

mod background;
mod broker;
mod config_drive;
mod console;
mod diagnosis;
mod error;
mod follow;
mod instance;
mod machine;
mod metadata;
mod milestone;
mod outcome;
mod post_mortem;
mod probe;
mod progress;
mod qmp;
mod relay;
mod request;
mod seen;
mod session;
mod subject;
mod watch;

#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub use broker::envelope::fuzz_envelope;
pub use broker::installed as rabbitmq;
#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub use console::fuzz_console;
pub use diagnosis::Cause;
pub use error::BootError;
pub use milestone::Milestone;
pub use outcome::BootOutcome;
#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub use probe::fuzz_probe;
pub use progress::Progress;
pub use relay::{RelayTarget, relay};
pub use request::{Afterwards, BootRequest, Firmware, Metadata, Network};

use std::time::Duration;

use crate::cache::Cache;
use crate::control::Control;
use crate::disk::Policy;
use crate::error::Result;
use crate::host::{Acceleration, kvm};
use crate::image::Image;

use background::Background;
use broker::{Prepare, PrivateBroker, RpcKey, Wanted};
use instance::{CONFIG_DIR, InjectedFile, Instance};
use machine::{Hardware, Machine};
use milestone::Aim;
use probe::ProbeConfig;
use seen::{Expected, Seen};
use subject::Subject;

/// How long all milestones may take together.
const PATIENCE: Duration = Duration::from_secs(300);
/// The same without KVM.
const PATIENCE_EMULATED: Duration = Duration::from_secs(1200);

/// Boots an image and watches it. `policy` is for opening the image.
///
/// # Errors
/// [`BootError`]: the image could not be tried. That an instance does not come all the way is told in the result.
pub fn boot(request: &BootRequest, policy: &Policy, cache: &Cache, control: &Control) -> Result<BootOutcome> {
    let mut image = Image::open(&request.image, policy, control)?;
    let format = image.info().format;
    let layout = image.layout()?.clone();
    let subject = image.read(|tree| Ok(Subject::read(tree, &request.image, &layout)?))?;
    let path = request.image.canonicalize().map_err(BootError::prepare)?;
    let acceleration = kvm::acceleration(&control.cancel)?;
    if let Acceleration::Emulated { reason } = &acceleration {
        kvm::warn_once(&control.events, reason);
    }
    let work = cache.work()?;
    let private = private_broker(request, &subject, work.path(), control)?;
    let broker = Broker::choose(request, private.as_ref())?;
    let id = uuid::Uuid::new_v4().to_string();
    let address = machine::broker_address(request.metadata);
    let conf = configuration(request, &broker, address);
    let exchange = conf.as_deref().map_or_else(|| "trove".to_owned(), control_exchange);
    let key = match request.afterwards {
        Afterwards::Ssh | Afterwards::Keep => Some(session::make_key(work.path(), control)?),
        Afterwards::End | Afterwards::Console => None,
    };
    let files: Vec<_> = conf
        .into_iter()
        .map(|content| InjectedFile { path: format!("{CONFIG_DIR}/trove-guestagent.conf"), content })
        .collect();
    let info =
        instance::guest_info(&id, &request.datastore, &request.datastore_version, request.rpc_key.as_deref());
    let mut injected = vec![InjectedFile { path: format!("{CONFIG_DIR}/guest_info.conf"), content: info }];
    injected.extend(files);
    let probe = ProbeConfig {
        agent: subject.agent.clone(),
        units: subject.units(),
        files: injected.iter().map(|file| file.path.clone()).collect(),
        log: subject.agent.as_ref().map(|_| "/var/log/trove/trove-guestagent.log".to_owned()),
        questions: subject.questions(),
        pause: if acceleration == Acceleration::Kvm { 1.0 } else { 3.0 },
    };
    let instance = Instance {
        id: id.clone(),
        owner: request.owner.clone(),
        files: injected,
        early: Some(probe.command()),
        key: key.clone(),
    };
    let metadata = instance.metadata(machine::MAC);
    if request.metadata.has_drive() {
        let iso = work.path().join(machine::CONFIG_DRIVE);
        config_drive::write(&metadata, &work.path().join("config-drive"), &iso, control)?;
    }
    let prepare = request.prepare.then(|| Prepare {
        datastore_version: request.datastore_version.clone(),
        mount_point: subject::mount_point(&request.datastore).to_owned(),
        memory_mb: request.memory.0 >> 20,
    });
    let wanted = broker.url.clone().filter(|_| subject.agent.is_some()).map(|url| Wanted {
        url,
        exchange: exchange.clone(),
        instance: id.clone(),
        key: request.rpc_key.as_deref().map(RpcKey::new),
        prepare,
    });
    let background = Background::start(work.path(), metadata, request.metadata.has_service(), wanted)?;
    let ssh = match request.afterwards {
        Afterwards::Ssh | Afterwards::Keep => Some(session::free_port()?),
        Afterwards::End | Afterwards::Console => None,
    };
    let hardware = Hardware {
        image: &path,
        format,
        uuid: &id,
        firmware: request.firmware,
        metadata: request.metadata,
        network: request.network,
        memory: request.memory,
        volume: request.volume,
        broker: broker.relay.clone(),
        ssh,
        acceleration: &acceleration,
    };
    let aim = Aim {
        agent: subject.agent.is_some(),
        docker: subject.agent.is_some() && subject.docker,
        database: subject.database.is_some(),
        volume: request.volume.is_some() || subject.docker,
        broker: broker.url.is_some(),
        log: private.is_some(),
        prepare: request.prepare,
    };
    let expected = Expected {
        agent: subject.agent.clone(),
        services: subject.services(),
        data_directory: subject.data_directory(),
        owner: request.owner.clone(),
        files: instance.files.iter().map(|file| file.path.clone()).collect(),
    };
    let mut machine = Machine::start(&hardware, work.path(), control)?;
    let patience = request.timeout.unwrap_or(match acceleration {
        Acceleration::Kvm => PATIENCE,
        Acceleration::Emulated { .. } => PATIENCE_EMULATED,
    });
    let watched = watch::Watched {
        background: &background,
        broker: private.as_ref(),
        context: diagnosis::Context {
            at_rest: subject.report.results.iter().filter(|result| !result.passed()).collect(),
            exchange,
            has_volume: request.volume.is_some(),
        },
        patience,
        emulated: acceleration != Acceleration::Kvm,
        left: None,
        patient: request.afterwards != Afterwards::End,
    };
    let seen = Seen { expected, ..Seen::default() };
    let milestones = aim.milestones();
    let found = match request.afterwards {
        Afterwards::Console => session::at_console(&mut machine, |machine, left| {
            let watched = watch::Watched { left: Some(left), ..watched };
            watch::watch(machine, seen, milestones, &watched, &control.quiet())
        })?,
        _ => watch::watch(&mut machine, seen, milestones, &watched, control)?,
    };
    let mut outcome = BootOutcome::new(request, &subject, &id, &acceleration, broker.shown(), found);
    let entry = session::Entry { port: ssh, owner: &request.owner, directory: work.path() };
    session::afterwards(request.afterwards, &mut machine, &entry, control)?;
    drop(machine);
    outcome.keep_logs(request, work.path(), private.as_ref())?;
    Ok(outcome)
}

/// Makes the guest's URL of the broker, given the address at which the guest reaches it.
type Transport = Box<dyn Fn(&str) -> String>;

/// The broker of a boot.
struct Broker {
    /// Where tib reaches it.
    url: Option<String>,
    /// Where the guest's connections go.
    relay: Option<RelayTarget>,
    /// What the guest's configuration says, for the address at which it reaches it.
    transport: Option<Transport>,
    name: &'static str,
}

impl Broker {
    fn choose(request: &BootRequest, private: Option<&PrivateBroker>) -> Result<Self, BootError> {
        let none = Self { url: None, relay: None, transport: None, name: "none" };
        if let Some(private) = private {
            let target = std::net::SocketAddr::from(([127, 0, 0, 1], private.port()));
            let transport = private.transport_url("HOST");
            return Ok(Self {
                url: Some(private.url()),
                relay: Some(RelayTarget::Tcp(target)),
                transport: Some(Box::new(move |host| transport.replace("HOST", host))),
                name: "a private RabbitMQ",
            });
        }
        let Some(text) = &request.broker else { return Ok(none) };
        let wrong = |problem: String| BootError::Request {
            problem: format!("the broker's URL cannot be used: {problem}"),
            hint: "write it like amqp://USER:PASSWORD@HOST:5672/VHOST".to_owned(),
        };
        let uri = broker::url::parse(text).map_err(wrong)?;
        let url = broker::url::amqp(&uri);
        if request.network == Network::Open {
            // The guest finds its own way, by the configuration as it is.
            return Ok(Self { url: Some(url), relay: None, transport: None, name: "the operator's" });
        }
        if broker::url::is_tls(&uri) {
            return Err(wrong(
                "with TLS the guest must reach it by its own name: add `--network open`".to_owned(),
            ));
        }
        let address = broker::url::resolve(&uri).map_err(wrong)?;
        Ok(Self {
            url: Some(url),
            relay: Some(RelayTarget::Tcp(address)),
            transport: Some(Box::new(move |host| broker::url::transport_url(&uri, host, 5672))),
            name: "the operator's",
        })
    }

    fn shown(&self) -> &'static str {
        self.name
    }
}

/// Starts a broker, if one is of use and the operator gave none.
fn private_broker(
    request: &BootRequest,
    subject: &Subject,
    work: &std::path::Path,
    control: &Control,
) -> Result<Option<PrivateBroker>, BootError> {
    if subject.agent.is_none() || request.broker.is_some() {
        return Ok(None);
    }
    if broker::installed().is_none() {
        control.events.warning(
            "RabbitMQ is not installed on this host (package rabbitmq-server): whether the agent registers is not tried",
        );
        return Ok(None);
    }
    let home = work.join("broker");
    let started = control
        .events
        .stage("broker", "starting a private RabbitMQ", || PrivateBroker::start(&home, control))?;
    Ok(Some(started))
}

/// The agent's configuration: the operator's, or one that suffices. Where the guest reaches the broker is put last: of several
/// values oslo.config takes the last.
fn configuration(request: &BootRequest, broker: &Broker, address: &str) -> Option<String> {
    let transport = broker.transport.as_ref().map(|url| url(address));
    match (&request.conf, transport) {
        (Some(text), Some(url)) => Some(format!("{}\n\n[DEFAULT]\ntransport_url = {url}\n", text.trim_end())),
        (Some(text), None) => Some(text.clone()),
        (None, Some(url)) => Some(instance::default_conf(&url)),
        (None, None) => Some(instance::default_conf("rabbit://nobody:nothing@127.0.0.1:5672/")),
    }
}

/// `control_exchange` of a configuration.
fn control_exchange(conf: &str) -> String {
    let mut in_default = true;
    let mut exchange = "openstack".to_owned();
    for line in conf.lines().map(str::trim_end) {
        if let Some(section) = line.strip_prefix('[') {
            in_default = section.starts_with("DEFAULT]");
        } else if in_default
            && let Some((key, value)) = line.split_once(['=', ':'])
            && key.trim() == "control_exchange"
        {
            exchange = value.trim().trim_matches(['"', '\'']).to_owned();
        }
    }
    exchange
}
