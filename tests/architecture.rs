//! The rooms of `src/`: `docs/architecture.md` has the table, and no file may import against it.
//!
//! * Every directory and file of `src/` is in the table, once, and the table has no others.
//! * A room imports only what stands below it in the table.
//! * Files do not import each other in a circle. A file and those below it (`a/mod.rs` and `a/b.rs`) count as one there.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/rules.rs"]
mod rules;

use std::fs;
use std::path::Path;

use imports::Sources;
use rules::{Rooms, circles, unlisted, upwards};

/// The files of `src/`, by their path below it.
fn sources() -> Sources {
    fn add(directory: &Path, sources: &mut Sources) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix("src").unwrap().to_str().unwrap().to_owned();
                sources.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut sources = Sources::new();
    add(Path::new("src"), &mut sources);
    sources
}

fn rooms() -> Rooms {
    Rooms::read(&fs::read_to_string("docs/architecture.md").unwrap())
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn the_table_has_every_room() {
    assert_none(&unlisted(&sources(), &rooms()));
}

#[test]
fn rooms_import_downwards_only() {
    assert_none(&upwards(&imports::of(&sources()), &rooms()));
}

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    assert_none(&circles(&imports::of(&sources())));
}

/// No room is so large that its name says nothing any more.
#[test]
fn no_room_holds_more_than_a_sixth_of_the_lines() {
    let lines = |text: &String| text.lines().count();
    let sources = sources();
    let all: usize = sources.values().map(lines).sum();
    for room in rooms().names() {
        let own = sources.iter().filter(|(file, _)| rules::room(file) == room).map(|(_, text)| lines(text));
        let own: usize = own.sum();
        assert!(own * 6 <= all, "`{room}` has {own} of {all} lines");
    }
}

/// The rules on a small tree that breaks each of them.
mod broken {
    use super::*;

    const TABLE: &str = "## Rooms\n\n| floor | room | what it does |\n|---|---|---|\n| 1 | `upper/` | all |\n\
                         | 2 | `lower/` | little |\n| 3 | `word`, `size` (files) | words |\n\n## Next\n";

    fn tree(files: &[(&str, &str)]) -> Sources {
        let always =
            [("lib.rs", "mod upper; mod lower; mod word; mod size;"), ("word.rs", ""), ("size.rs", "")];
        always.iter().chain(files).map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn an_import_upwards_says_who_takes_what_from_where() {
        let sources = tree(&[
            ("upper/mod.rs", "mod part; pub use part::Thing; pub fn make() {}"),
            ("upper/part.rs", "use crate::lower::Little; pub struct Thing;"),
            (
                "lower/mod.rs",
                "use crate::upper::{self, Thing}; pub struct Little; fn f() { upper::make(); crate::word::x(); }",
            ),
        ]);
        assert_eq!(
            upwards(&imports::of(&sources), &Rooms::read(TABLE)),
            [
                "src/lower/mod.rs takes `Thing` from src/upper/part.rs, but `upper` stands above `lower`",
                "src/lower/mod.rs takes `make` from src/upper/mod.rs, but `upper` stands above `lower`",
            ]
        );
    }

    #[test]
    fn a_circle_names_every_import_of_it() {
        let sources = tree(&[
            ("upper/mod.rs", "mod a; mod b; mod c; pub use c::C;"),
            ("upper/a.rs", "use super::b; pub struct A; fn f() { b::make() }"),
            ("upper/b.rs", "use super::C; pub fn make() {}"),
            (
                "upper/c.rs",
                "pub struct C(super::a::A); #[cfg(test)] mod tests { use crate::upper::b::make; }",
            ),
            ("lower/mod.rs", ""),
        ]);
        assert_eq!(
            circles(&imports::of(&sources)),
            [
                "src/upper/a.rs takes `make` from src/upper/b.rs, which takes `C` from src/upper/c.rs, which takes \
              `A` from src/upper/a.rs"
            ]
        );
    }

    #[test]
    fn a_module_and_its_own_parts_are_no_circle() {
        let sources = tree(&[
            ("upper/mod.rs", "mod a; pub struct U; fn f() { a::make() }"),
            ("upper/a.rs", "use super::U; pub fn make() -> U { U }"),
            ("lower/mod.rs", ""),
        ]);
        assert!(circles(&imports::of(&sources)).is_empty());
    }

    #[test]
    fn rooms_without_a_row_and_rows_without_a_room_are_told() {
        let mut sources = tree(&[("upper/mod.rs", ""), ("cellar/mod.rs", ""), ("dust.rs", "")]);
        sources.remove("size.rs");
        assert_eq!(
            unlisted(&sources, &Rooms::read(TABLE)),
            [
                "src/cellar is no room of docs/architecture.md",
                "src/dust.rs is no room of docs/architecture.md",
                "docs/architecture.md lists `lower`, which src/ does not have",
                "docs/architecture.md lists `size`, which src/ does not have",
            ]
        );
    }
}
