//! Differences as a person likes to read them.

use super::{Compared, Diff, FileChange, Lists};
use crate::shown::{Line, Text};
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
    pub fn to_text(&self, style: Style) -> Text {
        let mut text = Text::default();
        text.line(format!("{} → {}", self.old, self.new));
        for (title, lists) in self.lists() {
            text.blank();
            match lists {
                Compared::Done(lists) => add_lists(title, lists, style, &mut text),
                Compared::Failed { unreadable } => text.line(format!("{title}: not compared: {unreadable}")),
            }
        }
        text.blank();
        self.add_files(style, &mut text);
        text
    }

    fn add_files(&self, style: Style, text: &mut Text) {
        let files = &self.files;
        let count = |of: fn(&FileChange) -> bool| files.changes.iter().filter(|change| of(change)).count();
        let counts = counts(
            count(|change| change.old.is_none()),
            count(|change| change.new.is_none()),
            count(|change| change.old.is_some() && change.new.is_some()),
        );
        text.line(format!("Files: {counts}; {} → {}", Size(files.old_size), Size(files.new_size)));
        let shown = if style.all_files { files.changes.len() } else { SHORT };
        for change in files.changes.iter().take(shown) {
            let (sign, note) = match (&change.old, &change.new) {
                (None, _) => ('+', String::new()),
                (_, None) => ('-', String::new()),
                _ => ('~', format!("  {}", change.what.join(", "))),
            };
            text.line(line(sign, &format!("{}{note}", change.path), style));
        }
        match files.changes.len().saturating_sub(shown) {
            0 => {}
            more => text.line(format!("  … and {more} more (--files)")),
        }
    }
}

fn add_lists(title: &str, lists: &Lists, style: Style, text: &mut Text) {
    text.line(format!("{title}: {}", counts(lists.added.len(), lists.removed.len(), lists.changed.len())));
    for item in &lists.added {
        text.line(line('+', &format!("{}  {}", item.name, item.value), style));
    }
    for item in &lists.removed {
        text.line(line('-', &format!("{}  {}", item.name, item.value), style));
    }
    for item in &lists.changed {
        text.line(line('~', &format!("{}  {} → {}", item.name, item.old, item.new), style));
    }
}

fn counts(added: usize, removed: usize, changed: usize) -> String {
    if added + removed + changed == 0 {
        return "no difference".to_owned();
    }
    let counts = [(added, "added"), (removed, "removed"), (changed, "changed")];
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn line(sign: char, text: &str, style: Style) -> Line {
    let code = match (sign, style.color) {
        ('+', true) => "32",
        ('-', true) => "31",
        _ => "",
    };
    Line::from("  ").painted(code, &format!("{sign} {text}"))
}
