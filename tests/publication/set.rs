//! The set of files that the tests publish, and what must hold for it.

#![allow(unreachable_pub)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};

use fs_err as fs;
use tib::assembly::{BuildError, Publication};
use tib::control::Control;
use tib::event::{Event, EventSink};

use super::common::{outcome, scratch};

/// The set that the tests publish: the evidence, and the image last.
pub const NAMES: [&str; 3] = ["image.manifest", "image.sha256", "image"];

/// What a directory shows, apart from names that begin with `.tib-`.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    /// An image with its own evidence, told by what the image holds.
    Whole(String),
    Else(BTreeSet<String>),
}
pub use Seen::{Else, Nothing, Whole};

impl Seen {
    pub fn old() -> Self {
        Whole("old".to_owned())
    }

    pub fn new() -> Self {
        Whole("new".to_owned())
    }
}

/// Looks at a directory, with sha256sum as judge. There must never be an image without its own evidence.
#[track_caller]
pub fn look(directory: &Path, case: &str) -> Seen {
    let names = listing(directory).into_iter().filter(|name| !name.starts_with(".tib-"));
    let names: BTreeSet<_> = names.map(|name| name.split(' ').next().unwrap().to_owned()).collect();
    if names.is_empty() {
        return Nothing;
    }
    if !names.contains("image") {
        return Else(names);
    }
    assert_eq!(names, BTreeSet::from(NAMES.map(str::to_owned)), "{case}: an image without its evidence");
    let mut check = Command::new("sha256sum");
    let told =
        outcome(check.args(["--check", "--strict", "--status", "image.sha256"]).current_dir(directory));
    assert_eq!(told.code, Some(0), "{case}: an image with evidence of another: {}", told.stderr);
    let [manifest, image] =
        ["image.manifest", "image"].map(|name| fs::read_to_string(directory.join(name)).unwrap());
    assert_eq!(manifest, format!("about {image}"), "{case}: an image with evidence of another");
    Whole(image)
}

/// The content of the three files, the image holding `tag`.
pub fn contents(tag: &str) -> [String; 3] {
    let digest = tib::digest::Digest::of(tag.as_bytes());
    [format!("about {tag}"), format!("{digest}  image\n"), tag.to_owned()]
}

/// A directory to publish in, alone in another.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn path(&self) -> PathBuf {
        self.0.path().join("out")
    }
}

/// A directory, with a set that was published earlier if `old`.
pub fn directory(old: bool) -> Place {
    let directory = Place(scratch());
    fs::create_dir(directory.path()).unwrap();
    if old {
        for (name, content) in NAMES.iter().zip(contents("old")) {
            fs::write(directory.path().join(name), content).unwrap();
        }
    }
    directory
}

pub fn prepare(directory: &Path, force: bool, control: &Control) -> Result<Publication, BuildError> {
    Publication::prepare(directory, NAMES.map(OsString::from).to_vec(), force, control)
}

pub fn publish(directory: &Path, tag: &str, force: bool, control: &Control) -> Result<(), BuildError> {
    let publication = prepare(directory, force, control)?;
    for (name, content) in NAMES.iter().zip(contents(tag)) {
        publication.write(name.as_ref(), content.as_bytes())?;
    }
    publication.publish(control)
}

/// Publishes in this process, without any faults.
pub fn publish_here(directory: &Path, tag: &str, force: bool) -> Result<(), BuildError> {
    publish(directory, tag, force, &Control::none())
}

/// What must hold after the program ended with a code, and after the next publication.
#[track_caller]
pub fn judge(directory: &Path, old: bool, status: ExitStatus, clean: bool, case: &str) {
    let before = if old { Seen::old() } else { Nothing };
    let expected = if status.code() == Some(0) { Seen::new() } else { before };
    assert!(status.code().is_some(), "{case}: {status}");
    assert_eq!(look(directory, case), expected, "{case}: {status}");
    if clean {
        assert_eq!(leftovers(directory), Vec::<String>::new(), "{case}");
    }
    mended(directory, &[expected], case);
}

/// What must hold once the next publication has looked at the directory.
#[track_caller]
pub fn mended(directory: &Path, expected: &[Seen], case: &str) {
    drop(prepare(directory, true, &Control::none()).unwrap_or_else(|error| panic!("{case}: {error}")));
    let seen = look(directory, case);
    assert!(expected.contains(&seen), "{case}: {seen:?} after it was mended");
    assert_eq!(leftovers(directory), Vec::<String>::new(), "{case}: after it was mended");
}

pub fn leftovers(directory: &Path) -> Vec<String> {
    listing(directory).into_iter().filter(|name| name.starts_with(".tib-")).collect()
}

/// Keeps notes and warnings.
#[derive(Clone, Default)]
pub struct Told(pub Arc<Mutex<Vec<String>>>);

impl EventSink for Told {
    fn emit(&self, event: Event) {
        if let Event::Note { message } | Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

/// Names and kinds, sorted.
pub fn listing(directory: &Path) -> Vec<String> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let kind = match () {
                () if kind.is_dir() => "directory",
                () if kind.is_symlink() => "link",
                () if kind.is_fifo() => "fifo",
                () => "file",
            };
            format!("{} {kind}", String::from_utf8_lossy(entry.file_name().as_bytes()))
        })
        .collect();
    found.sort();
    found
}
