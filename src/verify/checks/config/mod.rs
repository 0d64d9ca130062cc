//! Keys of configuration files, decided as the program that reads them does.

mod lines;
mod program;
mod values;

use std::collections::BTreeSet;

use super::{Found, show};
use crate::check::{ConfigCheck, Wins};
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{glob, is_masked};

#[cfg(any(test, fuzzing, debug_assertions))]
pub(super) use lines::assignments;
use lines::folded;
use program::{Program, Reading};

pub(super) fn check(tree: &mut dyn Tree, check: &ConfigCheck) -> Found {
    let files = files(tree, &check.path)?;
    if files.is_empty() {
        return Ok(Some("there is no such file".to_owned()));
    }
    let sections: BTreeSet<_> = check.section.iter().map(|name| folded(name)).collect();
    let program = Program::of(&files);
    let key = program.key(&check.key);
    let settings = Reading::new(tree, program).read(&files)?;
    let ours = settings.into_iter().filter(|setting| match &setting.section {
        Some(section) => sections.contains(&folded(section)),
        None => sections.is_empty(),
    });
    let ours: Vec<_> = ours.filter_map(|setting| program.sets(setting, &key)).collect();
    let counts = match (program, check.wins) {
        // What holds for everybody replaces what was said before. All lines of keys that add up are in effect.
        (Program::Sshd, _) if !program.adds_up(&key) => {
            ours.iter().find(|one| one.over).or_else(|| ours.first()).cloned()
        }
        (Program::Sshd | Program::Any, Wins::First) => ours.into_iter().next(),
        (_, Wins::Last) | (Program::MySql | Program::Postgres | Program::Redis, _) => {
            ours.into_iter().next_back()
        }
    };
    Ok(match (counts, check.set, &check.value) {
        (None, true, _) => Some("nothing sets it".to_owned()),
        (None, false, _) | (Some(_), true, None) => None,
        (Some(found), true, Some(wanted)) if program.value(&found.value) == program.value(wanted) => None,
        (Some(found), ..) => Some(format!("{} sets it to `{}`", show(&found.file), found.value)),
    })
}

/// The files, in the order of the patterns; of one pattern, by name.
fn files(tree: &mut dyn Tree, patterns: &[String]) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut files = Vec::new();
    for pattern in patterns {
        for path in glob(tree, pattern.as_bytes())? {
            // A link that leads nowhere is an error, not a file without settings.
            if is_masked(tree, &path)? || tree.stat(&path)?.kind == FileKind::File {
                files.push(path);
            }
        }
    }
    Ok(files)
}
