//! What a person sees on stderr: bars, plain lines or JSON lines, and errors.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::error::Failure;
use crate::event::{self, Event, EventSink, Events};
use crate::shown::{self, Line, Text, escape};
use crate::size::Size;

use super::settings::{Progress, Settings};
use super::silence::{self, Silence};

/// How often a plain or JSON reader hears of the same piece of work.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// The only one who writes to stderr. Whatever it is given is escaped here.
#[derive(Clone)]
pub(super) struct Printer(Arc<Inner>);

struct Inner {
    progress: Progress,
    color: bool,
    quiet: bool,
    verbose: bool,
    started: Instant,
    state: Mutex<State>,
    silence: Silence,
}

#[derive(Default)]
struct State {
    /// Draws the lines below one another.
    lines: MultiProgress,
    /// The stage that runs.
    stage: Option<ProgressBar>,
    /// Work within it whose size is known, by what is told of it.
    parts: HashMap<String, ProgressBar>,
    /// When progress was last told of, of which job and what, for those who read lines.
    told: HashMap<(Option<String>, String), Instant>,
}

impl State {
    /// Takes away whatever is drawn.
    fn clear(&mut self) {
        for (_, part) in self.parts.drain() {
            part.finish_and_clear();
        }
        if let Some(stage) = self.stage.take() {
            stage.finish_and_clear();
        }
    }

    fn say(&self, text: String) {
        if let Some(stage) = &self.stage {
            stage.set_message(text);
        }
    }

    fn progress(&mut self, what: String, done: u64, total: Option<u64>) {
        let Some(total) = total else { return self.say(format!("{what} {}", Size(done))) };
        if done >= total {
            if let Some(part) = self.parts.remove(&what) {
                part.finish_and_clear();
            }
            return;
        }
        let lines = &self.lines;
        let part = self.parts.entry(what).or_insert_with_key(|what| {
            let part = lines.add(ProgressBar::new(total).with_style(known()).with_message(what.clone()));
            // What was done before, of a download that goes on, tells nothing of the speed.
            part.set_position(done);
            part.reset_eta();
            part
        });
        part.set_length(total);
        part.set_position(done);
    }
}

impl Printer {
    pub(super) fn new(settings: &Settings) -> Self {
        let inner = Inner {
            progress: settings.progress,
            color: settings.colors.stderr,
            quiet: settings.quiet,
            verbose: settings.verbose,
            started: Instant::now(),
            state: Mutex::default(),
            silence: Silence::default(),
        };
        if inner.progress == Progress::Json {
            inner.json(&serde_json::json!({
                "event": "start",
                "version": event::VERSION,
                "program": concat!("tib ", env!("CARGO_PKG_VERSION")),
            }));
        }
        let inner = Arc::new(inner);
        if inner.progress == Progress::Plain {
            inner.break_silence();
        }
        Self(inner)
    }

    /// The sink for the library's events.
    pub(super) fn events(&self) -> Events {
        Events::new(self.clone())
    }

    /// Tells what failed, why, and what to do next.
    pub(super) fn failure(&self, failure: &Failure) {
        self.0.clear();
        let (chain, context, hint) = (failure.chain(), failure.context(), failure.hint());
        if self.0.progress == Progress::Json {
            self.0.json(&serde_json::json!({
                "event": "error",
                "message": chain.first(),
                "causes": chain.get(1..),
                "output": context,
                "hint": hint,
                "exit_code": failure.exit() as u8,
            }));
            return;
        }
        let mut text = Text::default();
        text.line(self.0.headed("1;31", "error:", chain.first().map_or("", String::as_str)));
        for cause in chain.iter().skip(1) {
            text.line(format!("  because: {cause}"));
        }
        if !context.is_empty() {
            text.line("last lines of output:");
            for line in &context {
                text.line(self.0.paint(Line::from("  "), "2", "|").with(" ").with(line));
            }
        }
        if let Some(hint) = hint {
            text.line(self.0.headed("1;36", "hint:", &hint));
        }
        self.0.write(&text);
    }

    /// Tells that the user ended the work.
    pub(super) fn interrupted(&self) {
        self.0.clear();
        match self.0.progress {
            Progress::Json => self.0.json(&serde_json::json!({ "event": "interrupted", "exit_code": 130 })),
            _ => self.0.line("interrupted"),
        }
    }

    /// Ends whatever is being drawn.
    pub(super) fn finish(&self) {
        self.0.clear();
    }
}

impl EventSink for Printer {
    fn emit(&self, event: Event) {
        match self.0.progress {
            Progress::Json => self.0.emit_json(None, &event),
            // Bars are drawn by a library, which takes a string for what it is.
            Progress::Bars => self.0.emit_bars(event.with_texts(escape)),
            Progress::Plain => self.0.emit_plain(event),
            Progress::Quiet => {
                if let Event::Warning { message } = event {
                    self.0.line(self.0.warning(&message));
                }
            }
        }
    }

    fn emit_of(&self, job: &str, event: Event) {
        match self.0.progress {
            Progress::Json => self.0.emit_json(Some(job), &event),
            // Messages name what they are about.
            Progress::Bars | Progress::Plain | Progress::Quiet => self.emit(event),
        }
    }
}

/// A line of JSON.
#[derive(serde::Serialize)]
struct EventLine<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, text: &Text) {
        write(text);
    }

    fn line(&self, line: impl Into<Line>) {
        self.write(&Text::from_iter([line]));
    }

    fn json(&self, value: &impl serde::Serialize) {
        // Events are plain data.
        if let Ok(text) = shown::json(value) {
            write(&format!("{text}\n"));
        }
    }

    fn paint(&self, line: Line, code: &'static str, text: &str) -> Line {
        line.painted(if self.color { code } else { "" }, text)
    }

    /// A line that begins with a word in a colour.
    fn headed(&self, code: &'static str, word: &str, text: &str) -> Line {
        self.paint(Line::default(), code, word).with(" ").with(text)
    }

    fn warning(&self, message: &str) -> Line {
        self.headed("1;33", "warning:", message)
    }

    fn clear(&self) {
        self.silence.end();
        self.lock().clear();
    }

    /// Has a thread tell of stages that say nothing for long, as long as there is somebody to tell. Without the thread a log
    /// only stands still.
    fn break_silence(self: &Arc<Self>) {
        let inner = Arc::downgrade(self);
        let look = move || {
            while let Some(inner) = inner.upgrade() {
                if let Some(text) = inner.silence.due() {
                    inner.line(format!("[{:6.1}] {text}", inner.started.elapsed().as_secs_f64()));
                }
                drop(inner);
                std::thread::sleep(silence::LOOK);
            }
        };
        let _ = std::thread::Builder::new().name("silence".to_owned()).spawn(look);
    }

    /// Whether enough time has passed to tell of progress again; the end is always told.
    fn due(&self, job: Option<&str>, what: &str, done: u64, total: Option<u64>) -> bool {
        let mut state = self.lock();
        let what = (job.map(str::to_owned), what.to_owned());
        let due = state.told.get(&what).is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
        if due {
            state.told.insert(what, Instant::now());
        }
        due || total == Some(done)
    }

    fn emit_json(&self, job: Option<&str>, event: &Event) {
        match event {
            Event::Warning { .. } => {}
            _ if self.quiet => return,
            Event::Output { .. } if !self.verbose => return,
            Event::Progress { what, done, total } if !self.due(job, what, *done, *total) => return,
            _ => {}
        }
        self.json(&EventLine { event, job });
    }

    fn finished_line(&self, stage: &str, elapsed: Duration, cached: bool) -> Line {
        let note = if cached { " (cached)" } else { "" };
        let text = format!(" {stage:<10} {:>6.1} s{note}", elapsed.as_secs_f64());
        self.paint(Line::default(), "32", "done").with(&text)
    }

    fn emit_plain(&self, event: Event) {
        self.silence.hear(&event);
        let indented = |text: String| Line::from("         ").with(&text);
        self.line(match event {
            Event::StageStarted { stage, detail } => {
                Line::from(format!("[{:6.1}] {stage}: {detail}", self.started.elapsed().as_secs_f64()))
            }
            Event::StageFinished { stage, elapsed, cached } => {
                Line::from("         ").and(&self.finished_line(&stage, elapsed, cached))
            }
            Event::Step { number, total, summary } if self.verbose => {
                indented(format!("step {number}/{total}: {summary}"))
            }
            Event::Output { source, line } if self.verbose => indented(format!("{source}| {line}")),
            Event::Note { message } => indented(message),
            Event::Warning { message } => self.warning(&message),
            Event::Step { .. } | Event::Output { .. } | Event::Progress { .. } => return,
        });
    }

    fn emit_bars(&self, event: Event) {
        let mut state = self.lock();
        let print = |state: &State, line: Line| state.lines.suspend(|| self.line(line));
        match event {
            Event::StageStarted { stage, detail } => {
                state.clear();
                let bar = ProgressBar::new_spinner().with_style(spinner()).with_prefix(stage);
                let bar = state.lines.add(bar.with_message(detail));
                bar.enable_steady_tick(TICK);
                state.stage = Some(bar);
            }
            Event::StageFinished { stage, elapsed, cached } => {
                state.clear();
                self.line(self.finished_line(&stage, elapsed, cached));
            }
            Event::Step { number, total, summary } => state.say(format!("[{number}/{total}] {summary}")),
            Event::Progress { what, done, total } => state.progress(what, done, total),
            // The newest line shows that something moves, without scrolling.
            Event::Output { line, .. } => state.say(line),
            Event::Note { message } => print(&state, Line::from(format!("     {message}"))),
            Event::Warning { message } => print(&state, self.warning(&message)),
        }
    }
}

/// Tells something before there is a [`Printer`].
pub(super) fn tell(text: &Text) {
    write(text);
}

/// Has faults of tib told in the same way as everything else: what a panic says may be of an image, too.
pub(super) fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no reason given");
        let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
        // Empty unless RUST_BACKTRACE asks for it.
        let trace = std::backtrace::Backtrace::capture();
        let is_wanted = trace.status() == std::backtrace::BacktraceStatus::Captured;
        let trace = if is_wanted { trace.to_string() } else { String::new() };
        tell(&fault(message, &place, &trace));
    }));
}

fn fault(message: &str, place: &str, backtrace: &str) -> Text {
    let mut text = Text::default();
    text.line(format!("error: a fault of tib itself{place}: {message}"));
    text.line("hint: please report it, with what is above and the command that led to it");
    text.append(&Text::of_file(backtrace));
    text
}

/// A closed stderr must not stop a build.
#[expect(clippy::disallowed_methods, reason = "everybody else goes through this file")]
fn write(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn spinner() -> ProgressStyle {
    style("{spinner} {prefix:<10} {elapsed:>4} {wide_msg}")
}

fn known() -> ProgressStyle {
    style("  [{bar:24}] {bytes:>11}/{total_bytes:<11} {bytes_per_sec:>13} {eta:>4} left  {wide_msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_tib_cannot_command_the_terminal() {
        let text = fault("index\u{1b}[2J\nout of bounds", " at src/x.rs:1:2", "  0: x\n");
        assert_eq!(
            &*text,
            "error: a fault of tib itself at src/x.rs:1:2: index\\u{1b}[2J\\nout of bounds\n\
             hint: please report it, with what is above and the command that led to it\n  0: x\n"
        );
    }
}
