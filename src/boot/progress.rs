//! Which milestones an instance has reached, and when.

use std::time::Duration;

use super::milestone::Milestone;
use super::seen::Seen;

/// When each milestone was seen, since power-on.
#[derive(Debug, Clone)]
pub struct Progress {
    steps: Vec<(Milestone, Option<Duration>)>,
}

impl Progress {
    pub(crate) fn new(milestones: Vec<Milestone>) -> Self {
        Self { steps: milestones.into_iter().map(|milestone| (milestone, None)).collect() }
    }

    /// Looks for what is new.
    pub(crate) fn look(&mut self, seen: &Seen, now: Duration) {
        let mut all = true;
        for (milestone, time) in &mut self.steps {
            // What is asked of a running system may hold before it runs, and not afterwards.
            let due = all || *milestone != Milestone::Tests;
            if time.is_none() && due && seen.has(*milestone) {
                *time = Some(now);
            }
            all &= time.is_some();
        }
    }

    /// Every milestone, and when it was seen.
    pub fn steps(&self) -> &[(Milestone, Option<Duration>)] {
        &self.steps
    }

    /// The first that is missing.
    pub fn missing(&self) -> Option<Milestone> {
        self.steps.iter().find(|(_, time)| time.is_none()).map(|(milestone, _)| *milestone)
    }

    /// How many were seen.
    pub(crate) fn count(&self) -> usize {
        self.steps.iter().filter(|(_, time)| time.is_some()).count()
    }
}
