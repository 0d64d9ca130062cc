//! Differences as a person likes to read them.

use std::fmt::{self, Write as _};

use super::{Compared, Diff, FileChange, Lists};
use crate::size::Size;

/// Paths shown where not all are asked for.
const SHORT: usize = 20;

/// How to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Every path, not only the first few.
    pub all_files: bool,
    /// Green for what is new, red for what is gone.
    pub color: bool,
}

impl Diff {
    /// The differences as text.
    pub fn to_text(&self, style: Style) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(style, &mut text);
        text
    }

    fn write(&self, style: Style, out: &mut String) -> fmt::Result {
        writeln!(out, "{} → {}", self.old, self.new)?;
        for (title, lists) in self.lists() {
            match lists {
                Compared::Done(lists) => write_lists(title, lists, style, out)?,
                Compared::Failed { unreadable } => writeln!(out, "\n{title}: not compared: {unreadable}")?,
            }
        }
        self.write_files(style, out)
    }

    fn write_files(&self, style: Style, out: &mut String) -> fmt::Result {
        let files = &self.files;
        let count = |of: fn(&FileChange) -> bool| files.changes.iter().filter(|change| of(change)).count();
        let counts = counts(
            count(|change| change.old.is_none()),
            count(|change| change.new.is_none()),
            count(|change| change.old.is_some() && change.new.is_some()),
        );
        write!(out, "\nFiles: {counts}")?;
        writeln!(out, "; {} → {}", Size(files.old_size), Size(files.new_size))?;
        let shown = if style.all_files { files.changes.len() } else { SHORT };
        for change in files.changes.iter().take(shown) {
            let (sign, note) = match (&change.old, &change.new) {
                (None, _) => ('+', String::new()),
                (_, None) => ('-', String::new()),
                _ => ('~', format!("  {}", change.what.join(", "))),
            };
            line(sign, &format!("{}{note}", change.path), style, out)?;
        }
        match files.changes.len().saturating_sub(shown) {
            0 => Ok(()),
            more => writeln!(out, "  … and {more} more (--files)"),
        }
    }
}

fn write_lists(title: &str, lists: &Lists, style: Style, out: &mut String) -> fmt::Result {
    writeln!(out, "\n{title}: {}", counts(lists.added.len(), lists.removed.len(), lists.changed.len()))?;
    for item in &lists.added {
        line('+', &format!("{}  {}", item.name, item.value), style, out)?;
    }
    for item in &lists.removed {
        line('-', &format!("{}  {}", item.name, item.value), style, out)?;
    }
    for item in &lists.changed {
        line('~', &format!("{}  {} → {}", item.name, item.old, item.new), style, out)?;
    }
    Ok(())
}

fn counts(added: usize, removed: usize, changed: usize) -> String {
    if added + removed + changed == 0 {
        return "no difference".to_owned();
    }
    let counts = [(added, "added"), (removed, "removed"), (changed, "changed")];
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn line(sign: char, text: &str, style: Style, out: &mut String) -> fmt::Result {
    let (on, off) = match (sign, style.color) {
        ('+', true) => ("\u{1b}[32m", "\u{1b}[0m"),
        ('-', true) => ("\u{1b}[31m", "\u{1b}[0m"),
        _ => ("", ""),
    };
    writeln!(out, "  {on}{sign} {text}{off}")
}
