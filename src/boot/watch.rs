//! Watches a machine until it has come all the way, or will not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::BootError;
use super::background::Background;
use super::broker::{Broker, BrokerLog};
use super::diagnosis::{self, Cause, Context};
use super::follow::Follow;
use super::machine::Machine;
use super::milestone::Milestone;
use super::post_mortem;
use super::probe::Lines;
use super::progress::Progress;
use super::seen::Seen;
use crate::clock;
use crate::control::Control;
use crate::event::Event;

/// Between two looks.
const TICK: Duration = Duration::from_millis(250);
/// Bytes that must be free for the machine's disks.
const ROOM: u64 = 64 << 20;
/// The broker's log is read anew every so many looks.
const LOG_TICKS: u32 = 8;

/// What is watched besides the machine, and for how long.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) background: &'a Background,
    pub(crate) broker: &'a Broker,
    pub(crate) context: Context<'a>,
    pub(crate) patience: Duration,
    pub(crate) emulated: bool,
    /// Somebody who looks on has left.
    pub(crate) left: Option<&'a AtomicBool>,
    /// Somebody looks on, and wants no early end.
    pub(crate) patient: bool,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) progress: Progress,
    pub(crate) seen: Seen,
    /// The causes, if it did not come all the way.
    pub(crate) causes: Vec<Cause>,
    /// How long it was watched.
    pub(crate) elapsed: Duration,
    /// Whether time ran out.
    pub(crate) timed_out: bool,
}

/// Watches. Every milestone is told as a stage, one after the other.
pub(crate) fn watch(
    machine: &mut Machine,
    mut seen: Seen,
    milestones: Vec<Milestone>,
    watched: &Watched<'_>,
    control: &Control,
) -> Result<Found, BootError> {
    let mut progress = Progress::new(milestones);
    let mut input = Input {
        console: Follow::new(machine.console_log()),
        probe: Follow::new(machine.probe()),
        lines: Lines::default(),
        tick: 0,
    };
    let mut told = Told::default();
    let mut verdict = Verdict::default();
    loop {
        control.cancel.check()?;
        input.look(machine, &mut seen, watched, control);
        progress.look(&seen, machine.elapsed());
        told.tell(&progress, control);
        let elapsed = machine.elapsed();
        let left = watched.left.map(|left| left.load(Ordering::Relaxed));
        let Some(missing) = progress.missing() else {
            if left == Some(false) && seen.ended.is_none() {
                std::thread::sleep(TICK);
                continue;
            }
            return Ok(Found { progress, seen, causes: Vec::new(), elapsed, timed_out: false });
        };
        let timed_out = elapsed >= watched.patience;
        let over = verdict.is_over(missing, &progress, &seen, watched) && !watched.patient;
        let again = left.is_none() && diagnosis::timer_was_late(&seen);
        if seen.ended.is_some() || timed_out || over || again || left == Some(true) {
            let silent = missing > Milestone::Init && !seen.is_alive();
            if silent && !watched.patient {
                post_mortem::examine(machine, &mut seen, control);
            }
            let causes = diagnosis::diagnose(missing, &seen, &watched.context);
            return Ok(Found { progress, seen, causes, elapsed, timed_out });
        }
        std::thread::sleep(TICK);
    }
}

/// What comes in.
struct Input {
    console: Follow,
    probe: Follow,
    lines: Lines,
    tick: u32,
}

impl Input {
    fn look(&mut self, machine: &mut Machine, seen: &mut Seen, watched: &Watched<'_>, control: &Control) {
        // Looked at before the rest is read: what it said last still counts.
        seen.ended = machine.ended();
        if !seen.disk_read {
            seen.disk_read = machine.has_read_disk();
        }
        let bytes = self.console.more();
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.trim().is_empty()) {
            control.events.output("console", line.trim_end());
        }
        seen.console.push(&bytes);
        self.lines.push(&self.probe.more());
        while let Some(line) = self.lines.next() {
            seen.guest.hear(&line);
        }
        if let (None, Some(heard)) = (seen.clock_ahead, seen.guest.heard) {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
            let now = clock::now() as f64;
            seen.clock_ahead = Some(heard.clock - now).filter(|ahead| ahead.is_finite());
        }
        seen.broker = watched.background.broker();
        seen.leases = watched.background.leases();
        if self.tick.is_multiple_of(LOG_TICKS) {
            seen.broker_log =
                watched.broker.log().map_or_else(BrokerLog::default, |log| BrokerLog::read(&log));
            seen.requests = watched.background.requests();
            // QEMU would wait for room without a word.
            if machine.room().is_ok_and(|free| free < ROOM) {
                seen.ended = Some("the file system of the cache is full".to_owned());
            }
        }
        if self.console.is_flood() || self.probe.is_flood() {
            seen.ended = Some("the guest wrote without end to its console or its port".to_owned());
        }
        self.tick = self.tick.wrapping_add(1);
    }
}

/// Tells each milestone once, in order, as a stage that took the time since the one before.
#[derive(Debug, Default)]
struct Told {
    /// How many have been told of.
    count: usize,
    /// The one that is awaited has been told of.
    awaited: bool,
    last: Duration,
}

impl Told {
    fn tell(&mut self, progress: &Progress, control: &Control) {
        while let Some((milestone, time)) = progress.steps().get(self.count) {
            if !self.awaited {
                let (stage, detail) =
                    (milestone.name().to_owned(), format!("waiting until {}", milestone.title()));
                control.events.emit(Event::StageStarted { stage, detail });
                self.awaited = true;
            }
            let Some(time) = time else { return };
            let elapsed = time.saturating_sub(self.last);
            control.events.emit(Event::StageFinished {
                stage: milestone.name().to_owned(),
                elapsed,
                cached: false,
            });
            self.last = self.last.max(*time);
            (self.count, self.awaited) = (self.count + 1, false);
        }
    }
}

/// Whether there is any hope left.
#[derive(Debug, Default)]
struct Verdict {
    /// The cause that is believed, how far the instance had come, and since when.
    believed: Option<(String, usize, Instant)>,
}

impl Verdict {
    /// Over is what has a certain cause for a while without getting any further.
    fn is_over(
        &mut self,
        missing: Milestone,
        progress: &Progress,
        seen: &Seen,
        watched: &Watched<'_>,
    ) -> bool {
        let patience = Duration::from_secs(match watched.emulated {
            // cloud-init alone takes half a minute there.
            true if seen.guest.heard.is_none() => 120,
            true => 45,
            false => 20,
        });
        let causes = diagnosis::diagnose(missing, seen, &watched.context);
        let Some(cause) = causes.first().filter(|cause| cause.certain) else {
            self.believed = None;
            return false;
        };
        match &self.believed {
            Some((id, count, since)) if *id == cause.id && *count == progress.count() => {
                since.elapsed() > patience
            }
            _ => {
                self.believed = Some((cause.id.clone(), progress.count(), Instant::now()));
                false
            }
        }
    }
}
