//! What a serial console shows: how far the boot is, and what ended it.

use std::collections::VecDeque;

use super::probe::Lines;

/// Lines that are kept.
const KEPT: usize = 400;

/// What was seen on the console.
#[derive(Debug, Default)]
pub(crate) struct Console {
    lines: Lines,
    last: VecDeque<String>,
    /// Any output, the boot loader's for example.
    pub(crate) anything: bool,
    /// The kernel's first line.
    pub(crate) kernel: bool,
    /// The first line of the init system.
    pub(crate) init: bool,
    /// Somebody could log in.
    pub(crate) login: bool,
    /// The line that says that the boot has come to an end.
    pub(crate) fatal: Option<String>,
}

/// What ends a boot for good.
const FATAL: [&str; 8] = [
    "Kernel panic",
    "You are in emergency mode",
    "Give root password for maintenance",
    "ALERT!",
    "No bootable device",
    "error: no such device",
    "grub rescue>",
    "dracut-initqueue timeout - starting timeout scripts",
];

const INIT: [&str; 4] = ["systemd[1]:", "Welcome to ", "INIT: version", "Starting version "];

impl Console {
    /// Takes bytes as they come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.anything |= !bytes.is_empty();
        self.lines.push(bytes);
        while let Some(line) = self.lines.next() {
            self.look(&plain(&line));
        }
        let rest = plain(self.lines.rest());
        // Prompts have no end.
        self.login |= rest.trim_end().ends_with(" login:");
        if self.fatal.is_none() {
            self.fatal = FATAL.iter().any(|word| rest.contains(word)).then_some(rest);
        }
    }

    fn look(&mut self, line: &str) {
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        self.kernel |= line.contains("Linux version ") || line.contains("Command line: ");
        self.init |= INIT.iter().any(|word| line.contains(word));
        self.login |= line.contains(" login:");
        if self.fatal.is_none() && FATAL.iter().any(|word| line.contains(word)) {
            self.fatal = Some(line.to_owned());
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// The last lines, oldest first.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// The last line that contains `word`.
    pub(crate) fn find(&self, word: &str) -> Option<&str> {
        self.lines().rev().find(|line| line.contains(word))
    }
}

/// Without the sequences that colour text and move the cursor.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // A control sequence ends with a letter, another one after one character.
                Some('[') => {
                    characters.by_ref().find(|character| ('@'..='~').contains(character));
                }
                Some('(' | ')' | '#') => {
                    characters.next();
                }
                _ => {}
            },
            '\r' => {}
            other => plain.push(other),
        }
    }
    plain
}

/// For the fuzz target: takes whatever arrives.
#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn fuzz_console(bytes: &[u8]) {
    let mut console = Console::default();
    for piece in bytes.chunks(61) {
        console.push(piece);
    }
    assert!(console.lines().count() <= KEPT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_a_boot() {
        let mut console = Console::default();
        assert!(!console.anything);
        console.push(b"\x1b[0m\x1b[30mGRUB loading\r\n");
        assert!(console.anything && !console.kernel);
        console.push(b"[    0.000000] Linux ver");
        console.push(b"sion 6.1.0\r\n");
        assert!(console.kernel && !console.init);
        console.push(b"\x1b[0;1;39mWelcome to \x1b[1;31mDebian\x1b[0m!\r\n");
        assert!(console.init && !console.login);
        console.push(b"\r\ntib login: ");
        assert!(console.login && console.fatal.is_none());
        assert_eq!(console.find("Welcome"), Some("Welcome to Debian!"));
    }

    #[test]
    fn what_ends_a_boot() {
        for (text, expected) in [
            ("[1.0] Kernel panic - not syncing: VFS\n", true),
            ("grub rescue> ", true),
            (
                "Begin: Running /scripts/local-block ... done.\nALERT!  UUID=1 does not exist.  Dropping to a shell!\n",
                true,
            ),
            ("all is well\n", false),
        ] {
            let mut console = Console::default();
            console.push(text.as_bytes());
            assert_eq!(console.fatal.is_some(), expected, "{text}");
        }
    }
}
