//! SELinux at rest: its configuration, and which labels a policy wants for files. All of it is pure, but for what reads a tree;
//! libselinux is only its judge.

mod config;
mod contexts;
#[cfg(test)]
mod judged_tests;
mod label;
mod pattern;
mod policy;
mod substitutions;
mod walk;

pub(crate) use config::{CONFIG, Config};
pub(crate) use contexts::Wanted;
pub(crate) use label::{LABEL, label_of, type_of};
pub(crate) use policy::{Labelling, Policy};
pub(crate) use walk::{Difference, differences};

/// For the fuzzer: reads any text as the configuration, and as the lines of a policy, and asks for labels.
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn any_text(text: &[u8]) {
    use crate::disk::FileKind;
    use contexts::{ContextFiles, FileContexts};

    Config::parse(text);
    let (lines, paths) = text.split_at(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
    let contexts = vec![("text".to_owned(), lines.to_vec())];
    let files = ContextFiles { contexts, subs: paths.to_vec(), subs_dist: lines.to_vec() };
    let Ok(contexts) = FileContexts::parse(&files) else { return };
    for path in paths.split(|byte| *byte == 0).filter(|path| path.starts_with(b"/")).take(100) {
        contexts.lookup(path, FileKind::File);
    }
}
