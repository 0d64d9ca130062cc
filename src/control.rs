//! What long work is given: where to tell what it does, what says that it must stop, and where bytes come from.

use crate::cancel::Cancel;
use crate::event::Events;
use crate::mirror::Mirrors;
use crate::netrc::Netrc;

/// The receiver of events, the cancel flag, mirrors and credentials, handed down together.
#[derive(Debug, Clone)]
pub struct Control {
    /// Where to tell what is done.
    pub events: Events,
    /// Raised when the work must stop.
    pub cancel: Cancel,
    /// Where bytes come from in place of their sources.
    pub mirrors: Mirrors,
    /// Who asks servers of packages.
    pub netrc: Netrc,
}

impl Control {
    /// Tells `events`, and stops when `cancel` is raised.
    pub fn new(events: Events, cancel: Cancel) -> Self {
        Self { events, cancel, mirrors: Mirrors::default(), netrc: Netrc::default() }
    }

    /// The same, with bytes from mirrors.
    #[must_use]
    pub fn with_mirrors(self, mirrors: Mirrors) -> Self {
        Self { mirrors, ..self }
    }

    /// Tells nobody, and is never stopped.
    pub fn none() -> Self {
        Self::new(Events::none(), Cancel::new())
    }

    /// The same, telling nobody.
    #[must_use]
    pub fn quiet(&self) -> Self {
        self.telling(Events::none())
    }

    /// The same, telling somebody else.
    #[must_use]
    pub fn telling(&self, events: Events) -> Self {
        Self { events, ..self.clone() }
    }

    /// The same, for one of several jobs that are done at the same time.
    #[must_use]
    pub fn scoped(&self, job: &str) -> Self {
        self.telling(self.events.scoped(job))
    }

    /// The same, with a flag of its own, which is raised with this one's. Raising it leaves this one's alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { cancel: self.cancel.child(), ..self.clone() }
    }
}
