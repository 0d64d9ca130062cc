//! What the pages point to is there: files, headings, paths of this repository, and tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Pages whose paths are of this repository, or below `src/`. Other pages speak of paths in images and caches.
const ABOUT_THE_SOURCE: [&str; 2] = ["docs/architecture.md", "docs/contributing.md"];

/// Directories of caches, of tests' caches and of snapshots; and examples.
const ELSEWHERE: [&str; 9] =
    ["downloads/", "layers/", "work/", "images/", "logs/", "snapshots/", "tib/v1/", "a/mod.rs", "a/b.rs"];

/// What a path of the source may end in.
const ENDINGS: [&str; 9] = ["/", ".rs", ".toml", ".sh", ".md", ".json", ".py", "/run", "Makefile"];

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> =
        docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.extend(["README.md", "CHANGELOG.md"].map(PathBuf::from));
    pages
}

/// The page without blocks of code.
fn prose(text: &str) -> String {
    let mut outside = true;
    let mut keep = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        outside ^= fence;
        outside && !fence
    };
    text.lines().filter(&mut keep).collect::<Vec<_>>().join("\n")
}

/// What stands between backticks.
fn codes(text: &str) -> Vec<String> {
    prose(text).split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")).collect()
}

/// Where links lead.
fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    // Brackets in code are none.
    let plain: String = text.split('`').step_by(2).collect::<Vec<_>>().join("code");
    let targets = plain.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The names by which headings are linked to.
fn headings(text: &str) -> BTreeSet<String> {
    let text = prose(text);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
            let name: String =
                line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
            name.replace(' ', "-")
        })
        .collect()
}

/// Why a link of a page leads nowhere, if it does.
fn leads_nowhere(page: &Path, link: &str) -> Option<String> {
    if link.contains("://") {
        return None;
    }
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let path = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if !path.exists() {
        return Some(format!("{}: no {}", page.display(), path.display()));
    }
    let heading =
        heading.filter(|heading| !headings(&fs::read_to_string(&path).unwrap()).contains(*heading))?;
    Some(format!("{}: {} has no heading {heading}", page.display(), path.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        let links = links(&fs::read_to_string(&page).unwrap());
        count += links.len();
        wrong.extend(links.iter().filter_map(|link| leads_nowhere(&page, link)));
    }
    assert_eq!(wrong, [""; 0]);
    assert!(count > 50, "{count}");
}

/// Whether a word is a path of the source: not one of a guest, of a cache or of a pattern.
fn is_path(word: &str) -> bool {
    word.contains(['/', '.'])
        && ENDINGS.iter().any(|ending| word.ends_with(ending))
        && !ELSEWHERE.contains(&word)
        && !word.starts_with(['/', '.', '~', '-', '<', '['])
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-*".contains(c))
        // Words in capitals stand for others.
        && !word.split(['/', '.', '_']).any(|part| part.len() > 2 && part.chars().all(|c| c.is_ascii_uppercase()))
}

fn is_there(word: &str) -> bool {
    // A name with `*` is of several files of a directory.
    if let Some((before, after)) = word.split_once('*') {
        let (directory, start) = before.rsplit_once('/').unwrap_or((".", before));
        let names = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        return names
            .filter_map(|name| name.into_string().ok())
            .any(|name| name.starts_with(start) && name.ends_with(after));
    }
    Path::new(word).exists() || Path::new("src").join(word).exists()
}

#[test]
fn every_path_of_the_source_is_there() {
    let mut count = 0;
    for page in ABOUT_THE_SOURCE {
        let codes = codes(&fs::read_to_string(page).unwrap());
        let paths: Vec<_> =
            codes.iter().flat_map(|code| code.split(' ')).filter(|word| is_path(word)).collect();
        count += paths.len();
        let gone: Vec<_> = paths.into_iter().filter(|path| !is_there(path)).collect();
        assert_eq!(gone, [""; 0], "{page}");
    }
    assert!(count > 50, "{count}");
}

/// All source below a directory, as one text.
fn source(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &source(&path);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

/// Why a command line of nextest or insta runs nothing, if it does not: a file or a test that is gone.
fn runs_nothing(command: &str) -> Option<String> {
    let words: Vec<_> = command.split(' ').collect();
    let file = words.iter().position(|word| *word == "--test").map(|at| words[at + 1]);
    let text = match file {
        None => source(Path::new("src")),
        Some(file) => match fs::read_to_string(format!("tests/{file}.rs")) {
            Ok(text) => text,
            Err(error) => return Some(error.to_string()),
        },
    };
    let filter = words.last().filter(|word| !word.starts_with('-') && Some(**word) != file)?;
    // `room::tests::name`: a part of a name is enough.
    let name = filter.trim_end_matches("::").rsplit("::").next().unwrap();
    let there = ["fn ", "mod "].iter().any(|kind| text.contains(&format!("{kind}{name}")));
    (!there).then(|| format!("{command}: there is no test {name}"))
}

#[test]
fn every_test_that_is_named_is_there() {
    let text = fs::read_to_string("docs/contributing.md").unwrap();
    let commands = codes(&text).into_iter().filter(|code| code.contains("cargo nextest run "));
    let wrong: Vec<_> = commands.filter_map(|command| runs_nothing(&command)).collect();
    assert_eq!(wrong, [""; 0]);
    // Functions and constants that are named on their own.
    let (tests, program) = (source(Path::new("tests")), source(Path::new("src")));
    let of_source = |code: &String| {
        code.contains('_') && code.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !code.ends_with('_')
    };
    for name in codes(&text).iter().filter(|code| of_source(code)) {
        assert!(tests.contains(name.as_str()) || program.contains(name.as_str()), "{name}");
    }
}

#[test]
fn what_is_gone_is_noticed() {
    let text = "# A `b` & c, d\n[x](README.md) `[y](z)` [w](#a-b--c-d)\n```\n[q](r)\n# not\n```\n## Ende\n`src/a.rs b\nc`";
    assert_eq!(links(text), ["README.md", "#a-b--c-d"]);
    assert_eq!(headings(text), BTreeSet::from(["a-b--c-d", "ende"].map(str::to_owned)));
    assert_eq!(codes(text), ["b", "[y](z)", "src/a.rs b c"]);
    let page = Path::new("docs/host.md");
    for (link, wanted) in [
        ("https://example.org/x#y", None),
        ("cache.md", None),
        ("../README.md#limits", None),
        ("gone.md", Some("docs/host.md: no docs/gone.md")),
        ("cache.md#gone", Some("docs/host.md: docs/cache.md has no heading gone")),
    ] {
        assert_eq!(leads_nowhere(page, link).as_deref(), wanted);
    }
    for word in ["src/lib.rs", "cli/", "disk/gate.rs", "tests/options_*.rs", "Cargo.toml", ".ci/run"] {
        assert!(is_there(word), "{word}");
    }
    for word in ["src/gone.rs", "gone/", "tests/gone_*.rs"] {
        assert!(is_path(word) && !is_there(word), "{word}");
    }
    for word in ["recipes/NAME.toml", "/etc/x.toml", "tib", "x.y", "layers/"] {
        assert!(!is_path(word), "{word}");
    }
    for (command, runs) in [
        ("cargo nextest run --test cli recipes", true),
        ("cargo nextest run --test cli", true),
        ("cargo nextest run --test cli no_such_test", false),
        ("cargo nextest run --test no_such_file", false),
        ("cargo nextest run --lib recipe::tests::every_recipe_on_every_system", true),
        ("cargo nextest run --lib recipe::tests::no_such", false),
    ] {
        assert_eq!(runs_nothing(command).is_none(), runs, "{command}");
    }
}
