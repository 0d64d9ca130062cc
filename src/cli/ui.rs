//! What a person sees on stderr: bars, plain lines or JSON lines, and errors.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::error::Failure;
use crate::event::{self, Event, EventSink, Events};
use crate::size::Size;

use super::settings::{Progress, Settings};

/// How often a plain or JSON reader hears of the same piece of work.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// The only one who writes to stderr.
#[derive(Clone)]
pub(super) struct Printer(Arc<Inner>);

struct Inner {
    progress: Progress,
    color: bool,
    verbose: bool,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Draws the lines below one another.
    lines: MultiProgress,
    /// The stage that runs.
    stage: Option<ProgressBar>,
    /// Work within it whose size is known, by what is told of it.
    parts: HashMap<String, ProgressBar>,
    /// When progress was last told of, for those who read lines.
    told: HashMap<String, Instant>,
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
            color: settings.color,
            verbose: settings.verbose,
            started: Instant::now(),
            state: Mutex::default(),
        };
        if inner.progress == Progress::Json {
            inner.json(&serde_json::json!({
                "event": "start",
                "version": event::VERSION,
                "program": concat!("tib ", env!("CARGO_PKG_VERSION")),
            }));
        }
        Self(Arc::new(inner))
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
        let first = printable(chain.first().map_or("", String::as_str));
        let mut text = format!("{} {first}\n", self.0.paint("1;31", "error:"));
        for cause in chain.iter().skip(1) {
            text.push_str(&format!("  because: {}\n", printable(cause)));
        }
        if !context.is_empty() {
            text.push_str("last lines of output:\n");
            for line in &context {
                text.push_str(&format!("  {} {}\n", self.0.paint("2", "|"), printable(line)));
            }
        }
        if let Some(hint) = hint {
            text.push_str(&format!("{} {hint}\n", self.0.paint("1;36", "hint:")));
        }
        self.0.write(&text);
    }

    /// Tells that the user ended the work.
    pub(super) fn interrupted(&self) {
        self.0.clear();
        match self.0.progress {
            Progress::Json => self.0.json(&serde_json::json!({ "event": "interrupted", "exit_code": 130 })),
            _ => self.0.write("interrupted\n"),
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
            Progress::Json => self.0.emit_json(&event),
            Progress::Bars => self.0.emit_bars(event),
            Progress::Plain => self.0.emit_plain(event),
            Progress::Quiet => {
                if let Event::Warning { message } = event {
                    self.0.write(&format!("{} {message}\n", self.0.paint("1;33", "warning:")));
                }
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A closed stderr must not stop a build.
    fn write(&self, text: &str) {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn json(&self, value: &serde_json::Value) {
        self.write(&format!("{value}\n"));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn clear(&self) {
        self.lock().clear();
    }

    /// Whether enough time has passed to tell of progress again; the end is always told.
    fn due(&self, what: &str, done: u64, total: Option<u64>) -> bool {
        let mut state = self.lock();
        let due = state.told.get(what).is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
        if due {
            state.told.insert(what.to_owned(), Instant::now());
        }
        due || total == Some(done)
    }

    fn emit_json(&self, event: &Event) {
        match event {
            Event::Output { .. } if !self.verbose => return,
            Event::Progress { what, done, total } if !self.due(what, *done, *total) => return,
            _ => {}
        }
        // Events are plain data.
        if let Ok(value) = serde_json::to_value(event) {
            self.json(&value);
        }
    }

    fn finished_line(&self, stage: &str, elapsed: Duration, cached: bool) -> String {
        let note = if cached { " (cached)" } else { "" };
        format!("{} {stage:<10} {:>6.1} s{note}", self.paint("32", "done"), elapsed.as_secs_f64())
    }

    fn emit_plain(&self, event: Event) {
        let text = match event {
            Event::StageStarted { stage, detail } => {
                format!("[{:6.1}] {stage}: {detail}\n", self.started.elapsed().as_secs_f64())
            }
            Event::StageFinished { stage, elapsed, cached } => {
                format!("         {}\n", self.finished_line(&stage, elapsed, cached))
            }
            Event::Step { number, total, summary } if self.verbose => {
                format!("         step {number}/{total}: {summary}\n")
            }
            Event::Output { source, line } if self.verbose => {
                format!("         {source}| {}\n", printable(&line))
            }
            Event::Note { message } => format!("         {message}\n"),
            Event::Warning { message } => format!("{} {message}\n", self.paint("1;33", "warning:")),
            Event::Step { .. } | Event::Output { .. } | Event::Progress { .. } => return,
        };
        self.write(&text);
    }

    fn emit_bars(&self, event: Event) {
        let mut state = self.lock();
        let print = |state: &State, text: &str| state.lines.suspend(|| self.write(text));
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
                self.write(&format!("{}\n", self.finished_line(&stage, elapsed, cached)));
            }
            Event::Step { number, total, summary } => state.say(format!("[{number}/{total}] {summary}")),
            Event::Progress { what, done, total } => state.progress(what, done, total),
            // The newest line shows that something moves, without scrolling.
            Event::Output { line, .. } => state.say(printable(&line)),
            Event::Note { message } => print(&state, &format!("     {message}\n")),
            Event::Warning { message } => {
                print(&state, &format!("{} {message}\n", self.paint("1;33", "warning:")));
            }
        }
    }
}

/// Text from programs and images, without what would command the terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
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
