//! What the table of rooms allows.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{Import, Sources};

/// The rooms of `docs/architecture.md`, from top to bottom.
pub(super) struct Rooms(Vec<String>);

impl Rooms {
    /// Reads the table below the heading `## Rooms`.
    ///
    /// The second column names a directory (`disk/`) or several files (`size`, `event`) in backticks.
    pub(super) fn read(page: &str) -> Self {
        let section = page.split("\n## Rooms\n").nth(1).or_else(|| page.strip_prefix("## Rooms\n"));
        let section = section.unwrap().split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        let cells = rows.map(|row| row.split('|').nth(2).unwrap());
        Self(cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(plain).collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How far below the top a room is.
    fn depth(&self, room: &str) -> Option<usize> {
        self.0.iter().position(|name| name == room)
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('/').to_owned()
}

/// The room that a file of `src/` is in: its first directory, or the file's own name.
pub(super) fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// What joins the rooms and is in none.
fn is_outside(file: &str) -> bool {
    matches!(file, "lib.rs" | "main.rs")
}

/// Rooms without a row, and rows without a room.
pub(super) fn unlisted(sources: &Sources, rooms: &Rooms) -> Vec<String> {
    let there: BTreeMap<&str, &str> = sources
        .keys()
        .filter(|file| !is_outside(file) && !file.ends_with("_tests.rs"))
        .map(|file| (room(file), file.split('/').next().unwrap()))
        .collect();
    let strangers = there.iter().filter(|(room, _)| rooms.depth(room).is_none());
    let strangers = strangers.map(|(_, name)| format!("src/{name} is no room of docs/architecture.md"));
    let missing = rooms.names().filter(|room| !there.contains_key(room));
    let missing =
        missing.map(|room| format!("docs/architecture.md lists `{room}`, which src/ does not have"));
    strangers.chain(missing).collect()
}

/// Imports from a room that does not stand below the importing one.
pub(super) fn upwards(imports: &[Import], rooms: &Rooms) -> Vec<String> {
    let wrong = imports.iter().filter(|import| {
        let (from, to) = (room(&import.file), room(&import.from));
        // One that is not in the table is told by that alone.
        let depths = rooms.depth(from).zip(rooms.depth(to));
        !is_outside(&import.file) && from != to && depths.is_some_and(|(from, to)| from >= to)
    });
    let told: BTreeSet<String> = wrong
        .map(|import| format!("{import}, but `{}` stands above `{}`", room(&import.from), room(&import.file)))
        .collect();
    told.into_iter().collect()
}

/// Circles of imports between files, each told once.
pub(super) fn circles(imports: &[Import]) -> Vec<String> {
    let mut graph: BTreeMap<&str, BTreeMap<&str, &Import>> = BTreeMap::new();
    for import in imports.iter().filter(|import| !is_outside(&import.file) && !is_outside(&import.from)) {
        if !belong_together(&import.file, &import.from) {
            graph.entry(&import.file).or_default().entry(&import.from).or_insert(import);
        }
    }
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for file in graph.keys() {
        follow(file, &graph, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

/// Whether one file is what the other one is a part of: `a.rs` or `a/mod.rs`, and `a/b.rs`.
fn belong_together(one: &str, other: &str) -> bool {
    let whole = |file: &str| file.trim_end_matches(".rs").trim_end_matches("/mod").to_owned() + "/";
    one.starts_with(&whole(other)) || other.starts_with(&whole(one))
}

/// Goes through the graph depth first; a file that is met again on the way there closes a circle.
fn follow<'a>(
    file: &'a str,
    graph: &BTreeMap<&'a str, BTreeMap<&'a str, &'a Import>>,
    way: &mut Vec<&'a Import>,
    done: &mut BTreeSet<&'a str>,
    found: &mut Vec<String>,
) {
    if let Some(start) = way.iter().position(|import| import.file == file) {
        let told: Vec<String> = way[start..].iter().map(|import| import.taking()).collect();
        found.push(format!("src/{file} {}", told.join(", which ")));
        return;
    }
    if !done.insert(file) {
        return;
    }
    for (next, import) in graph.get(file).into_iter().flatten() {
        way.push(import);
        follow(next, graph, way, done, found);
        way.pop();
    }
}
