//! What the library tells while it works. Only `cli::ui` turns events into something a person sees.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// The version of the event stream, sent in the first line of `--progress json`.
pub const VERSION: u32 = 1;

/// Something that happened while tib was working.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A stage of the work begins. Stages do not nest.
    StageStarted {
        /// Short name, such as `base`, `datastore`, `export`.
        stage: String,
        /// What is going to happen, for a person.
        detail: String,
    },
    /// The stage that began last is over.
    StageFinished {
        /// The name it began with.
        stage: String,
        /// Seconds it took.
        #[serde(serialize_with = "seconds")]
        elapsed: Duration,
        /// Whether its result was taken from the cache.
        cached: bool,
    },
    /// A step within the stage begins.
    Step {
        /// Counted from 1.
        number: usize,
        /// Steps in this stage.
        total: usize,
        /// What the step does, for a person.
        summary: String,
    },
    /// Part of a piece of work of known or unknown size is done.
    Progress {
        /// What is being worked on.
        what: String,
        /// Bytes done.
        done: u64,
        /// Bytes in all, when known.
        total: Option<u64>,
    },
    /// A line of output of a program that runs on the host or in the guest.
    Output {
        /// `guest`, or the name of the program on the host.
        source: String,
        /// The line, without its end.
        line: String,
    },
    /// Something worth telling.
    Note {
        /// One sentence.
        message: String,
    },
    /// Something the user should look at, although the work goes on.
    Warning {
        /// One sentence.
        message: String,
    },
}

impl Event {
    /// The same with every text in it changed by `change`.
    #[must_use]
    pub fn with_texts(self, change: impl Fn(&str) -> String) -> Self {
        // Without `..`, so that no field can be forgotten.
        match self {
            Self::StageStarted { stage, detail } => {
                Self::StageStarted { stage: change(&stage), detail: change(&detail) }
            }
            Self::StageFinished { stage, elapsed, cached } => {
                Self::StageFinished { stage: change(&stage), elapsed, cached }
            }
            Self::Step { number, total, summary } => Self::Step { number, total, summary: change(&summary) },
            Self::Progress { what, done, total } => Self::Progress { what: change(&what), done, total },
            Self::Output { source, line } => Self::Output { source: change(&source), line: change(&line) },
            Self::Note { message } => Self::Note { message: change(&message) },
            Self::Warning { message } => Self::Warning { message: change(&message) },
        }
    }
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((elapsed.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Receives events. Must not block for long: it is called from the threads that do the work.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);

    /// Takes one event of one of several jobs that are done at the same time.
    fn emit_of(&self, _job: &str, event: Event) {
        self.emit(event);
    }
}

/// A cloneable handle to the receiver of events.
#[derive(Clone)]
pub struct Events {
    sink: Arc<dyn EventSink>,
    job: Option<Arc<str>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// Wraps a receiver.
    pub fn new(sink: impl EventSink + 'static) -> Self {
        Self { sink: Arc::new(sink), job: None }
    }

    /// Events that nobody looks at.
    pub fn none() -> Self {
        struct Nobody;
        impl EventSink for Nobody {
            fn emit(&self, _: Event) {}
        }
        Self::new(Nobody)
    }

    /// The same receiver, which is told that all events are of this one of several jobs.
    #[must_use]
    pub fn scoped(&self, job: &str) -> Self {
        Self { sink: Arc::clone(&self.sink), job: Some(job.into()) }
    }

    /// Sends one event.
    pub fn emit(&self, event: Event) {
        match &self.job {
            Some(job) => self.sink.emit_of(job, event),
            None => self.sink.emit(event),
        }
    }

    /// Sends a [`Event::Note`].
    pub fn note(&self, message: impl Into<String>) {
        self.emit(Event::Note { message: message.into() });
    }

    /// Sends a [`Event::Warning`].
    pub fn warning(&self, message: impl Into<String>) {
        self.emit(Event::Warning { message: message.into() });
    }

    /// Sends a [`Event::Output`] line.
    pub fn output(&self, source: &str, line: impl Into<String>) {
        self.emit(Event::Output { source: source.to_owned(), line: line.into() });
    }

    /// Sends a [`Event::Progress`].
    pub fn progress(&self, what: &str, done: u64, total: Option<u64>) {
        self.emit(Event::Progress { what: what.to_owned(), done, total });
    }

    /// Runs `work` as a stage: start and end are told, with the time taken. The end is told on success only.
    ///
    /// # Errors
    /// Whatever `work` returns.
    pub fn stage<T, E>(
        &self,
        stage: &str,
        detail: impl Into<String>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.emit(Event::StageStarted { stage: stage.to_owned(), detail: detail.into() });
        let started = std::time::Instant::now();
        let result = work()?;
        let elapsed = started.elapsed();
        self.emit(Event::StageFinished { stage: stage.to_owned(), elapsed, cached: false });
        Ok(result)
    }
}

/// What tests share.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, Mutex};

    use super::{Event, EventSink};

    /// Keeps notes and warnings.
    #[derive(Clone, Default)]
    pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

    impl Notes {
        /// What was told since this was called last.
        pub(crate) fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl EventSink for Notes {
        fn emit(&self, event: Event) {
            if let Event::Note { message } | Event::Warning { message } = event {
                self.0.lock().unwrap().push(message);
            }
        }
    }
}
