//! Tells readers of lines that a stage which says nothing goes on: some take many minutes, and a log that stands still looks
//! like a program that does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::size::Size;

/// How long nothing may be said while a stage runs.
const LONGEST: Duration = Duration::from_secs(30);
/// How often it is looked.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What is said, and what is not, while a stage runs.
#[derive(Default)]
pub(super) struct Silence(Mutex<Option<Running>>);

struct Running {
    stage: String,
    since: Instant,
    /// When something was last said.
    said: Instant,
    /// The newest of what lines leave out.
    newest: Option<String>,
}

impl Silence {
    /// Takes notice of an event that is told, or left out, as lines are.
    pub(super) fn hear(&self, event: &Event) {
        let mut running = self.lock();
        match event {
            Event::StageStarted { stage, .. } => {
                let now = Instant::now();
                *running = Some(Running { stage: stage.clone(), since: now, said: now, newest: None });
            }
            Event::StageFinished { .. } => *running = None,
            _ => {
                let Some(running) = running.as_mut() else { return };
                match event {
                    Event::Step { number, total, summary } => {
                        running.newest = Some(format!("step {number}/{total}: {summary}"));
                    }
                    Event::Output { line, .. } => running.newest = Some(line.clone()),
                    Event::Progress { what, done, total } => {
                        let of = total.map_or_else(String::new, |total| format!(" of {}", Size(total)));
                        running.newest = Some(format!("{what}, {}{of}", Size(*done)));
                    }
                    _ => running.said = Instant::now(),
                }
            }
        }
    }

    /// Nothing runs any more.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// What is to be said now, if it has been silent for long.
    pub(super) fn due(&self) -> Option<String> {
        self.after(LONGEST)
    }

    fn after(&self, longest: Duration) -> Option<String> {
        let mut running = self.lock();
        let Running { stage, since, said, newest } = running.as_mut()?;
        if said.elapsed() < longest {
            return None;
        }
        *said = Instant::now();
        let newest = newest.as_ref().map_or_else(String::new, |newest| format!(": {newest}"));
        Some(format!("{stage}: still running after {:.0} s{newest}", since.elapsed().as_secs_f64()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stage_that_says_nothing_is_told_of_and_with_its_newest_words() {
        let silence = Silence::default();
        let due = || silence.after(Duration::ZERO);
        let step = |number| Event::Step { number, total: 2, summary: "install x".to_owned() };
        silence.hear(&step(1));
        assert_eq!(due(), None, "nothing runs");
        silence.hear(&Event::StageStarted { stage: "system".to_owned(), detail: String::new() });
        assert_eq!(due().unwrap(), "system: still running after 0 s");
        silence.hear(&step(2));
        assert_eq!(due().unwrap(), "system: still running after 0 s: step 2/2: install x");
        silence.hear(&Event::Progress { what: "download".to_owned(), done: 1 << 20, total: Some(1 << 30) });
        assert_eq!(due().unwrap(), "system: still running after 0 s: download, 1 MiB of 1 GiB");
        assert_eq!(silence.due(), None, "it has just been told");
        silence.hear(&Event::StageFinished {
            stage: "system".to_owned(),
            elapsed: Duration::ZERO,
            cached: false,
        });
        assert_eq!(due(), None);
    }
}
