//! Text for people: headings, facts and tables.

use crate::shown::{Line, Text, escape};

/// Rows of a table that are shown unless all are asked for.
const ROWS: usize = 12;

/// How text looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// With ANSI colours.
    pub color: bool,
    /// Tables whole, however long.
    pub all: bool,
}

/// Colours that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Heading,
    Good,
    Bad,
    Quiet,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Heading => "1",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Quiet => "2",
        }
    }
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { tone: Some(tone), ..Self::from(text.into()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: escape(&text), tone: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        Self::from(text.unwrap_or_default())
    }
}

/// Text that grows.
#[derive(Debug)]
pub(crate) struct Page {
    text: Text,
    style: Style,
    /// Something stands below the last heading.
    in_section: bool,
}

impl Page {
    pub(crate) fn new(style: Style) -> Self {
        Self { text: Text::default(), style, in_section: false }
    }

    pub(crate) fn into_text(self) -> Text {
        self.text
    }

    pub(crate) fn all(&self) -> bool {
        self.style.all
    }

    /// The title of a section.
    pub(crate) fn heading(&mut self, title: &str) {
        self.text.blank();
        self.text.line(self.paint(Line::default(), title, Some(Tone::Heading)));
        self.in_section = false;
    }

    /// A line.
    pub(crate) fn line(&mut self, text: impl Into<Cell>) {
        let Cell { text, tone } = text.into();
        self.text.line(self.paint(Line::from("  "), &text, tone));
        self.in_section = true;
    }

    /// Facts, one a line, their names in a column; those without a value are left out.
    pub(crate) fn facts(&mut self, facts: Vec<(&str, Cell)>) {
        let facts: Vec<_> = facts.into_iter().filter(|(_, cell)| !cell.text.is_empty()).collect();
        let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, cell) in facts {
            let line = self.paint(Line::from("  "), &format!("{name:width$}"), Some(Tone::Quiet)).with("  ");
            self.text.line(self.paint(line, &cell.text, cell.tone));
            self.in_section = true;
        }
    }

    /// A table; a title that begins with `>` puts its column to the right. Columns without any content are left
    /// out. Nothing is printed without rows.
    pub(crate) fn table(&mut self, titles: &[&str], mut rows: Vec<Vec<Cell>>) {
        let hidden = if self.style.all { 0 } else { rows.len().saturating_sub(ROWS) };
        // One line more costs no more than the line that says so.
        let hidden = if hidden == 1 { 0 } else { hidden };
        rows.truncate(rows.len() - hidden);
        self.whole_table(titles, rows);
        if hidden > 0 {
            self.line(Cell::toned(format!("… and {hidden} more (--all)"), Tone::Quiet));
        }
    }

    /// A table that is never cut.
    pub(crate) fn whole_table(&mut self, titles: &[&str], mut rows: Vec<Vec<Cell>>) {
        if rows.is_empty() {
            return;
        }
        if self.in_section {
            self.text.blank();
        }
        self.in_section = true;
        let columns: Vec<usize> = (0..titles.len())
            .filter(|&column| {
                rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.text.is_empty()))
            })
            .collect();
        let head: Vec<Cell> =
            titles.iter().map(|title| Cell::toned(title.trim_start_matches('>'), Tone::Quiet)).collect();
        rows.insert(0, head);
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = columns.iter().map(|&column| width(column)).collect();
        for row in &rows {
            let mut line = Line::default();
            for (&column, &width) in columns.iter().zip(&widths) {
                let Some(cell) = row.get(column) else { continue };
                let padding = " ".repeat(width.saturating_sub(cell.text.chars().count()));
                line = line.with("  ");
                line = if titles[column].starts_with('>') {
                    self.paint(line.with(&padding), &cell.text, cell.tone)
                } else {
                    self.paint(line, &cell.text, cell.tone).with(&padding)
                };
            }
            self.text.line(line.trimmed());
        }
    }

    /// A line with text added in a colour.
    fn paint(&self, line: Line, text: &str, tone: Option<Tone>) -> Line {
        line.painted(tone.filter(|_| self.style.color).map_or("", Tone::code), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<Vec<Cell>> {
        (0..count)
            .map(|n| vec![Cell::from(format!("r{n}")), Cell::from(""), Cell::from("9".repeat(n + 1))])
            .collect()
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut page = Page::new(Style::default());
        page.table(&["NAME", "NOTHING", ">SIZE"], rows(2));
        assert_eq!(&*page.into_text(), "  NAME  SIZE\n  r0       9\n  r1      99\n");
    }

    #[test]
    fn long_tables_are_shortened() {
        for (count, all, lines, last) in [
            (ROWS, false, ROWS + 1, "r11"),
            (ROWS + 1, false, ROWS + 2, "r12"),
            (ROWS + 2, false, ROWS + 2, "… and 2 more (--all)"),
            (ROWS + 2, true, ROWS + 3, "r13"),
            (0, false, 0, ""),
        ] {
            let mut page = Page::new(Style { all, color: false });
            page.table(&["NAME"], rows(count));
            let text = page.into_text();
            assert_eq!(text.lines().count(), lines, "{count}");
            assert_eq!(text.lines().last().unwrap_or_default().trim(), last);
        }
    }

    #[test]
    fn colours_do_not_shift_columns_and_names_cannot_make_any() {
        let mut page = Page::new(Style { color: true, all: false });
        page.table(&["A", "B"], vec![vec![Cell::toned("x\u{1b}[31m", Tone::Bad), Cell::from("y")]]);
        page.facts(vec![("name", Cell::from("v")), ("none", Cell::from(None))]);
        page.table(&["C"], vec![vec![Cell::from("z")]]);
        assert_eq!(
            &*page.into_text(),
            "  \u{1b}[2mA\u{1b}[0m            \u{1b}[2mB\u{1b}[0m\n  \u{1b}[31mx\\u{1b}[31m\u{1b}[0m  y\n  \u{1b}[2mname\u{1b}[0m  v\n\n  \u{1b}[2mC\u{1b}[0m\n  z\n"
        );
    }
}
