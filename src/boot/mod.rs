//! Starts an instance of an image as Nova and Trove would, on a throw-away overlay, and watches how far it comes. When it does
//! not come all the way, says why.
//!
//! What the guest says, on its console, its port, to the broker and to the metadata service, is foreign: it is read with
//! limits, kept as text, and never believed further than it reaches.

mod background;
mod broker;
mod conf;
mod config_drive;
mod console;
mod diagnosis;
mod error;
mod follow;
mod instance;
mod leases;
mod machine;
mod metadata;
mod milestone;
mod outcome;
mod ports;
mod post_mortem;
mod probe;
mod progress;
mod qmp;
mod relay;
mod request;
mod run;
mod running;
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
#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub use leases::fuzz_frames;
pub use milestone::Milestone;
pub use outcome::BootOutcome;
#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub use probe::fuzz_probe;
pub use progress::Progress;
pub use relay::{RelayTarget, relay};
pub use request::{Afterwards, BootRequest, Firmware, Metadata, Network};

use crate::cache::Cache;
use crate::control::Control;
use crate::disk::Policy;
use crate::error::Result;
use crate::host::{Acceleration, kvm};
use crate::image::Image;
use crate::oslo::Config;

use broker::Broker;
use run::Setup;
use subject::Subject;

/// Boots an image and watches it. `policy` is for opening the image.
///
/// # Errors
/// [`BootError`]: the image could not be tried. That an instance does not come all the way is told in the result.
pub fn boot(request: &BootRequest, policy: &Policy, cache: &Cache, control: &Control) -> Result<BootOutcome> {
    request.check()?;
    let mut image = Image::open(&request.image, policy, control)?;
    let format = image.info().format;
    let layout = image.layout()?.clone();
    let conf = request.conf.as_deref().map(|text| Config::parse(text.as_bytes())).transpose();
    let conf = conf.map_err(BootError::Conf)?;
    let subject = image.read(|tree| Subject::read(tree, request, &layout, conf))?;
    let acceleration = kvm::acceleration(&control.cancel)?;
    if let Acceleration::Emulated { reason } = &acceleration {
        kvm::warn_once(&control.events, "the virtual machine", reason);
    }
    let work = cache.work()?;
    let broker = Broker::choose(request, subject.agent.is_some(), work.path(), control)?;
    let setup = Setup::new(request, &subject, format, &acceleration, &broker, work.path(), control)?;
    let (mut machine, found) = setup.run(control)?;
    let mut outcome = BootOutcome::new(request, &subject, &acceleration, broker.name(), found);
    if request.twice && outcome.report.passed() {
        machine.shut_down();
        drop(machine);
        let again;
        (machine, again) = setup.run(control)?;
        outcome.add(again);
    }
    setup.let_somebody_in(&mut machine, control)?;
    drop(machine);
    outcome.keep_logs(request, work.path(), broker.log().as_deref())?;
    Ok(outcome)
}
