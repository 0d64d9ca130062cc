//! What the appliance and libguestfs say: cut into lines, kept for errors, logged, told as events.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ffi::Notice;
use crate::event::Events;

/// Console lines that are kept for an error message.
const RING: usize = 40;
/// Lines of script output that are kept for classification.
const SCRIPT_RING: usize = 400;
/// Longest line kept; a guest that writes no line ends must not fill our memory.
const LINE_LIMIT: usize = 8 * 1024;

/// What script output starts with on the console, so that it can be told from kernel messages.
pub(super) const MARK: &str = "tib| ";
/// The line that follows the last line of a script.
pub(super) const END_MARK: &str = "tib. ";

/// The console of one session, shared by the thread that owns the handle and the one that asks.
#[derive(Debug, Clone)]
pub(super) struct Console(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    events: Events,
    log: Option<std::io::BufWriter<fs_err::File>>,
    started: Instant,
    partial: Vec<u8>,
    ring: VecDeque<String>,
    script: VecDeque<String>,
    ended: Option<String>,
    transfer: Option<String>,
    quit: bool,
}

impl Console {
    pub(super) fn new(events: Events, log: Option<&Path>) -> std::io::Result<Self> {
        let open = |path: &Path| {
            fs_err::OpenOptions::new().create(true).append(true).open(path).map(std::io::BufWriter::new)
        };
        Ok(Self(Arc::new(Mutex::new(Inner {
            events,
            log: log.map(open).transpose()?,
            started: Instant::now(),
            partial: Vec::new(),
            ring: VecDeque::new(),
            script: VecDeque::new(),
            ended: None,
            transfer: None,
            quit: false,
        }))))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what libguestfs tells.
    pub(super) fn notice(&self, notice: Notice<'_>) {
        let mut inner = self.lock();
        match notice {
            Notice::Console(bytes) => inner.console(bytes),
            Notice::Library(bytes) => {
                let line = String::from_utf8_lossy(bytes);
                inner.log("libguestfs", line.trim_end());
            }
            Notice::Progress { done, total } => {
                if let Some(what) = &inner.transfer {
                    // 0 of 1 means that the size is not known.
                    let total = (total > 1).then_some(total);
                    inner.events.progress(what, done, total);
                }
            }
            Notice::Quit => inner.quit = true,
        }
    }

    /// Says what the transfer that starts now is, for progress events; `None` when it is over.
    pub(super) fn set_transfer(&self, what: Option<String>) {
        self.lock().transfer = what;
    }

    /// Forgets the output of the script before.
    pub(super) fn begin_script(&self) {
        let mut inner = self.lock();
        inner.script.clear();
        inner.ended = None;
    }

    /// Whether the end of the script with this name has arrived.
    pub(super) fn script_ended(&self, name: &str) -> bool {
        self.lock().ended.as_deref() == Some(name)
    }

    /// The last lines of the current or last script as they came over the console, oldest first.
    pub(super) fn script_lines(&self) -> Vec<String> {
        self.lock().script.iter().cloned().collect()
    }

    /// The last lines of the console, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lock().ring.iter().cloned().collect()
    }

    /// Whether qemu has ended.
    pub(super) fn has_quit(&self) -> bool {
        self.lock().quit
    }
}

impl Inner {
    fn console(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                if self.partial.len() < LINE_LIMIT {
                    self.partial.push(byte);
                }
                continue;
            }
            let bytes = std::mem::take(&mut self.partial);
            let line = clean(&bytes);
            if !line.is_empty() {
                self.line(&line);
            }
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix(END_MARK) {
            self.ended = Some(name.to_owned());
            return;
        }
        if let Some(text) = line.strip_prefix(MARK) {
            self.log("guest", text);
            self.events.output("guest", text);
            push(&mut self.script, SCRIPT_RING, text);
            push(&mut self.ring, RING, text);
        } else {
            self.log("console", line);
            push(&mut self.ring, RING, line);
        }
    }

    fn log(&mut self, source: &str, line: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some(log) = &mut self.log {
            // A log that cannot be written must not end the work it is about.
            let _ = writeln!(log, "{seconds:9.3} {source}: {line}").and_then(|()| log.flush());
        }
    }
}

fn push(ring: &mut VecDeque<String>, limit: usize, line: &str) {
    if ring.len() == limit {
        ring.pop_front();
    }
    ring.push_back(line.to_owned());
}

/// Text of a console line: no escape sequences, no control characters, and of a line that was overwritten with
/// carriage returns (progress bars) the last state only.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end();
    let marked = text.starts_with(MARK);
    let last = text.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default();
    let mut out = String::with_capacity(last.len() + MARK.len());
    if marked && !last.starts_with(MARK) {
        out.push_str(MARK);
    }
    let mut chars = last.chars().peekable();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
            chars.next();
        } else if !char.is_control() || char == '\t' {
            out.push(char);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventSink};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Event>>>);

    impl EventSink for Kept {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn lines_are_cut_marked_and_kept() {
        let kept = Kept::default();
        let console = Console::new(Events::new(kept.clone()), None).unwrap();
        console.notice(Notice::Console(b"[ 1.0] kernel\r\nti"));
        console.notice(Notice::Console(b"b| Setting up x\r\n\r\ntib. 7\r\n"));
        assert_eq!(console.lines(), ["[ 1.0] kernel", "Setting up x"]);
        assert_eq!(console.script_lines(), ["Setting up x"]);
        assert!(console.script_ended("7"));
        let output = Event::Output { source: "guest".to_owned(), line: "Setting up x".to_owned() };
        assert_eq!(*kept.0.lock().unwrap(), [output]);
        console.begin_script();
        assert!(console.script_lines().is_empty() && !console.script_ended("7"));
    }

    #[test]
    fn memory_is_bounded_whatever_the_guest_writes() {
        let console = Console::new(Events::none(), None).unwrap();
        for _ in 0..1000 {
            console.notice(Notice::Console(&[b'x'; 1000]));
        }
        console.notice(Notice::Console(b"\n"));
        assert_eq!(console.lines()[0].len(), LINE_LIMIT);
        for n in 0..1000 {
            console.notice(Notice::Console(format!("{MARK}{n}\n").as_bytes()));
        }
        assert_eq!(console.lines().len(), RING);
        assert_eq!(console.script_lines().len(), SCRIPT_RING);
    }

    #[test]
    fn control_characters_are_dropped() {
        for (bytes, text) in [
            (&b"tib| Reading 5%\rReading 10%\r"[..], "tib| Reading 10%"),
            (b"\x1b[1;31mred\x1b[0m", "red"),
            (b"bell\x07 tab\t.", "bell tab\t."),
            (b"\xff", "\u{fffd}"),
            (b"\x1b[", ""),
        ] {
            assert_eq!(clean(bytes), text, "{bytes:?}");
        }
    }

    #[test]
    fn the_log_holds_everything() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let console = Console::new(Events::none(), Some(file.path())).unwrap();
        console.notice(Notice::Console(b"boot\ntib| out\n"));
        console.notice(Notice::Library(b"guestfs: launch\n"));
        let text = fs_err::read_to_string(file.path()).unwrap();
        for part in ["console: boot\n", "guest: out\n", "libguestfs: guestfs: launch\n"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
