//! Images and their evidence get their names together or not at all, whatever fails and whenever tib is killed.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use common::{Outcome, outcome, run, scratch, tib_path};
use fs_err as fs;
use tib::build::{BuildError, Publication};
use tib::cancel::Cancel;
use tib::error::{Diagnose, Exit};
use tib::event::{Event, EventSink, Events};

/// A build that looks at its output and then ends with code 4, since the base is not in its empty cache. It is not
/// waited for longer than a minute.
fn fruitless(home: &Path, output: impl AsRef<std::ffi::OsStr>, further: &[&str]) -> Outcome {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "60"]).arg(tib_path()).args(["build", "redis", "--base", "debian-12"]);
    command.args(["--offline", "--cache-dir"]).arg(home.join("cache")).args(further).arg("-o").arg(output);
    outcome(&mut command)
}

#[test]
fn files_of_others_are_not_taken_for_leftovers() {
    let home = scratch();
    let out = home.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join(".tib-notes.txt"), "mine").unwrap();
    fs::write(out.join(".tib-AbCdEf"), "mine").unwrap();
    fs::create_dir(out.join(".tib-AbCdEfGhIjKl.publication")).unwrap();
    fs::write(out.join(".tib-AbCdEfGhIjKl.publication/notes"), "mine").unwrap();
    fs::write(out.join(".tib-MnOpQrStUvWx.publication"), "mine").unwrap();
    symlink(&out, out.join(".tib-aaaaaaaaaaaa.publication")).unwrap();
    for fifo in [".tib-x", ".tib-bbbbbbbbbbbb.publication"] {
        common::run("mkfifo", &[&out.join(fifo)]);
    }
    let before = listing(&out);
    fruitless(home.path(), out.join("a.qcow2"), &[]).expect(4);
    assert_eq!(listing(&out), before);
    assert_eq!(fs::read(out.join(".tib-notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_name_that_does_not_fit_is_refused_before_anything_is_built() {
    let home = scratch();
    let refused = |length: usize| {
        let image = home.path().join(format!("{}.qcow2", "x".repeat(length - 6)));
        fruitless(home.path(), image, &[])
    };
    // `.manifest.json` has 14 bytes, and names may have 255.
    refused(241).expect(4);
    for length in [242, 255, 256] {
        let told = refused(length);
        assert_eq!(told.code, Some(2), "{length}: {}", told.stderr);
        assert!(told.stderr.contains("cannot write") && told.stderr.contains("--output"), "{}", told.stderr);
    }
}

#[test]
fn paths_that_are_not_text_are_refused_at_once_where_they_have_to_be_told() {
    let home = scratch();
    let odd = home.path().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).unwrap();
    fruitless(home.path(), odd.join("a.qcow2"), &[]).expect(4);
    let told = fruitless(home.path(), odd.join("a.qcow2"), &["--json"]);
    assert!(told.stderr.contains("is not UTF-8") && told.stderr.contains("--json"), "{}", told.stderr);
    told.expect(2);
    assert_eq!(listing(&odd), Vec::<String>::new());

    let told = fruitless(&odd, home.path().join("a.qcow2"), &[]);
    assert!(
        told.stderr.contains("the path of the cache") && told.stderr.contains("TIB_CACHE_DIR"),
        "{}",
        told.stderr
    );
    told.expect(2);
}

/// The set that the tests publish: the evidence, and the image last.
const NAMES: [&str; 3] = ["image.manifest", "image.sha256", "image"];

/// What a directory shows, apart from names that begin with `.tib-`.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// An image with its own evidence, told by what the image holds.
    Whole(String),
    Else(BTreeSet<String>),
}
use Seen::{Else, Nothing, Whole};

impl Seen {
    fn old() -> Self {
        Whole("old".to_owned())
    }

    fn new() -> Self {
        Whole("new".to_owned())
    }
}

/// Looks at a directory, with sha256sum as judge. There must never be an image without its own evidence.
#[track_caller]
fn look(directory: &Path, case: &str) -> Seen {
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
fn contents(tag: &str) -> [String; 3] {
    let digest = tib::recipe::Digest::of(tag.as_bytes());
    [format!("about {tag}"), format!("{digest}  image\n"), tag.to_owned()]
}

/// A directory to publish in, alone in another.
struct Place(tempfile::TempDir);

impl Place {
    fn path(&self) -> PathBuf {
        self.0.path().join("out")
    }
}

/// A directory, with a set that was published earlier if `old`.
fn directory(old: bool) -> Place {
    let directory = Place(scratch());
    fs::create_dir(directory.path()).unwrap();
    if old {
        for (name, content) in NAMES.iter().zip(contents("old")) {
            fs::write(directory.path().join(name), content).unwrap();
        }
    }
    directory
}

fn prepare(
    directory: &Path,
    force: bool,
    events: &Events,
    cancel: &Cancel,
) -> Result<Publication, BuildError> {
    Publication::prepare(directory, NAMES.map(OsString::from).to_vec(), force, events, cancel)
}

fn publish(
    directory: &Path,
    tag: &str,
    force: bool,
    events: &Events,
    cancel: &Cancel,
) -> Result<(), BuildError> {
    let publication = prepare(directory, force, events, cancel)?;
    for (name, content) in NAMES.iter().zip(contents(tag)) {
        publication.write(name.as_ref(), content.as_bytes())?;
    }
    publication.publish(events, cancel)
}

/// Publishes in this process, without any faults.
fn publish_here(directory: &Path, tag: &str, force: bool) -> Result<(), BuildError> {
    publish(directory, tag, force, &Events::none(), &Cancel::new())
}

/// Not a test: the program that the others run under strace.
#[test]
#[ignore = "run by the other tests"]
fn publishes_in_a_process_of_its_own() {
    let directory = PathBuf::from(std::env::var_os("PUBLISH_IN").expect("called by another test"));
    let force = std::env::var_os("PUBLISH_FORCE").is_some();
    let exit = match publish(&directory, "new", force, &Events::none(), &Cancel::new()) {
        Ok(()) => Exit::Done,
        Err(error) => error.exit(),
    };
    // At once: the test runner has files of its own to write, which the faults would hit.
    std::process::exit(exit as i32);
}

/// That program under strace, with further arguments of strace.
fn traced(directory: &Path, force: bool, arguments: &[String]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-o"]).arg(log(directory)).args(arguments).arg("--");
    command.arg(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "publishes_in_a_process_of_its_own",
        "--ignored",
        "--test-threads=1",
        "--quiet",
    ]);
    command.env("PUBLISH_IN", directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if force {
        command.env("PUBLISH_FORCE", "yes");
    }
    command
}

fn run_traced(directory: &Path, force: bool, arguments: &[String]) -> ExitStatus {
    traced(directory, force, arguments).status().expect("strace is there (make setup)")
}

/// Where strace writes: beside the directory, which is looked at.
fn log(directory: &Path) -> PathBuf {
    directory.with_file_name("strace")
}

const MKDIR: &[&str] = &["mkdir", "mkdirat"];
const RENAME: &[&str] = &["rename", "renameat", "renameat2"];
const UNLINK: &[&str] = &["unlink", "unlinkat", "rmdir"];
const SYNC: &[&str] = &["fsync"];

/// A system call that the program makes in the directory: strace counts those of each name, from 1.
#[derive(Debug, Clone)]
struct Call {
    name: String,
    number: usize,
    line: String,
}

impl Call {
    /// What strace shall do at this call, and with `+` at all later ones too.
    fn inject(&self, what: &str, later: &str) -> [String; 2] {
        inject(&self.name, what, &format!("{}{later}", self.number))
    }
}

fn inject(name: &str, what: &str, when: &str) -> [String; 2] {
    ["-e".to_owned(), format!("inject={name}:{what}:when={when}")]
}

/// Its calls of these names, with further arguments of strace.
#[track_caller]
fn occurrences(old: bool, names: &[&str], further: &[String]) -> Vec<Call> {
    let directory = directory(old);
    let names: Vec<_> = names.iter().map(|name| format!("?{name}")).collect();
    let trace = ["-e".to_owned(), format!("trace={}", names.join(","))];
    run_traced(&directory.path(), old, &[&trace[..], further].concat());
    let text = fs::read_to_string(log(&directory.path())).unwrap();
    let place = directory.path().to_str().unwrap().to_owned();
    // Each line begins with the thread, and strace counts the calls of each.
    let thread =
        text.lines().find(|line| line.contains(&place)).and_then(|line| line.split_once(' ')).unwrap().0;
    let mut numbers = BTreeMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix(thread) else { continue };
        let Some((name, _)) = line.trim_start().split_once('(') else { continue };
        let number = numbers.entry(name.to_owned()).or_insert(0);
        *number += 1;
        if line.contains(&place) {
            found.push(Call { name: name.to_owned(), number: *number, line: line.trim_start().to_owned() });
        }
    }
    assert!(!found.is_empty(), "{names:?}: {text}");
    found
}

/// What must hold after the program ended with a code, and after the next publication.
#[track_caller]
fn judge(directory: &Path, old: bool, status: ExitStatus, clean: bool, case: &str) {
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
fn mended(directory: &Path, expected: &[Seen], case: &str) {
    drop(
        prepare(directory, true, &Events::none(), &Cancel::new())
            .unwrap_or_else(|error| panic!("{case}: {error}")),
    );
    let seen = look(directory, case);
    assert!(expected.contains(&seen), "{case}: {seen:?} after it was mended");
    assert_eq!(leftovers(directory), Vec::<String>::new(), "{case}: after it was mended");
}

fn leftovers(directory: &Path) -> Vec<String> {
    listing(directory).into_iter().filter(|name| name.starts_with(".tib-")).collect()
}

#[test]
fn whichever_call_fails_all_files_are_new_or_none_is() {
    let kinds: [(&[&str], &str); 7] = [
        (MKDIR, "EIO"),
        (RENAME, "EIO"),
        (UNLINK, "EIO"),
        (SYNC, "EIO"),
        (&["openat"], "EMFILE"),
        (&["write"], "ENOSPC"),
        (&["newfstatat", "fstat"], "EIO"),
    ];
    for (names, error) in kinds {
        for old in [false, true] {
            for call in occurrences(old, names, &[]) {
                let directory = directory(old);
                let status = run_traced(&directory.path(), old, &call.inject(&format!("error={error}"), ""));
                let case = format!("{error}, old set: {old}: {}", call.line);
                // What cannot be removed is for the next one.
                judge(&directory.path(), old, status, names == RENAME || names == SYNC, &case);
            }
        }
    }
}

#[test]
fn killed_before_any_change_of_names_the_next_publication_mends() {
    for old in [false, true] {
        for call in occurrences(old, &[MKDIR, RENAME, UNLINK, SYNC].concat(), &[]) {
            killed(old, &call, &[]);
        }
    }
}

/// Kills it before a call.
#[track_caller]
fn killed(old: bool, call: &Call, further: &[String]) {
    let directory = directory(old);
    let status = run_traced(&directory.path(), old, &[further, &call.inject("signal=KILL", "")].concat());
    let case = format!("killed, old set: {old}: {}", call.line);
    assert_eq!(status.code(), None, "{case}");
    look(&directory.path(), &case);
    mended(&directory.path(), &[if old { Seen::old() } else { Nothing }, Seen::new()], &case);
}

#[test]
fn killed_while_it_undoes_the_next_publication_mends() {
    // The image has arrived when the last sync fails, and everything is to be undone.
    let fails = occurrences(true, SYNC, &[]).pop().unwrap().inject("error=EIO", "");
    for call in occurrences(true, &[RENAME, UNLINK].concat(), &fails) {
        killed(true, &call, &fails);
    }
}

#[test]
fn if_undoing_fails_too_the_next_publication_does_it() {
    for call in occurrences(true, &["renameat2"], &[]) {
        let mut cases = vec![call.inject("error=EIO", "+").to_vec()];
        let fails = call.inject("error=EIO", "");
        for removal in occurrences(true, &["unlinkat"], &fails) {
            cases.push([&fails[..], &removal.inject("error=EIO", "+")].concat());
        }
        for faults in cases {
            let directory = directory(true);
            let status = run_traced(&directory.path(), true, &faults);
            assert_eq!(status.code(), Some(2), "{faults:?}");
            look(&directory.path(), &format!("{faults:?}"));
            mended(&directory.path(), &[Seen::old()], &format!("{faults:?}"));
        }
    }
}

#[test]
fn file_systems_that_cannot_rename_without_replacing_are_no_worse() {
    let simple = inject("renameat2", "error=EINVAL", "1+");
    let no_links = [&simple[..], &inject("linkat", "error=EPERM", "1+")[..]].concat();
    for old in [false, true] {
        for (names, further) in [(&["linkat", "unlinkat"][..], &simple[..]), (&["renameat"], &no_links)] {
            for call in occurrences(old, names, further) {
                killed(old, &call, further);
                let directory = directory(old);
                let faults = [further, &call.inject("error=EIO", "")].concat();
                let status = run_traced(&directory.path(), old, &faults);
                judge(&directory.path(), old, status, false, &format!("{faults:?}: {}", call.line));
            }
        }
    }
}

#[test]
fn directories_that_cannot_be_synced_or_locked_are_published_in_all_the_same() {
    let syncs = occurrences(true, SYNC, &[]).into_iter();
    let of_directories = syncs.filter(|call| !call.line.contains("/new/") && !call.line.contains("journal"));
    let mut cases: Vec<_> = of_directories.map(|call| call.inject("error=EINVAL", "")).collect();
    assert!(cases.len() > 4);
    cases.push(inject("flock", "error=ENOLCK", "1+"));
    for faults in cases {
        let directory = directory(true);
        let status = run_traced(&directory.path(), true, &faults);
        assert_eq!(status.code(), Some(0), "{faults:?}");
        judge(&directory.path(), true, status, true, &format!("{faults:?}"));
    }
}

#[test]
fn of_two_at_once_one_set_is_there() {
    for call in occurrences(true, RENAME, &[]) {
        let directory = directory(true);
        let held = call.inject("delay_enter=400000", "");
        let mut first = traced(&directory.path(), true, &held).spawn().unwrap();
        // Whatever the two do in whatever order, a set is whole.
        let tag = "other".to_owned();
        publish_here(&directory.path(), &tag, true).unwrap();
        assert_eq!(first.wait().unwrap().code(), Some(0));
        mended(&directory.path(), &[Seen::new(), Whole(tag)], &format!("held: {}", call.line));
    }
    let directory = directory(true);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let directory = directory.path();
            scope.spawn(move || {
                for round in 0..5 {
                    publish_here(&directory, &format!("{thread} {round}"), true).unwrap();
                }
            });
        }
    });
    assert!(matches!(look(&directory.path(), "eight threads"), Whole(tag) if tag.ends_with(" 4")));
    assert_eq!(leftovers(&directory.path()), Vec::<String>::new());
}

#[test]
fn without_force_exactly_one_of_many_wins_and_the_others_change_nothing() {
    let directory = directory(false);
    let won = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (directory, won) = (directory.path(), &won);
            scope.spawn(move || match publish_here(&directory, &thread.to_string(), false) {
                Ok(()) => won.lock().unwrap().push(thread.to_string()),
                Err(error) => assert!(matches!(error, BuildError::Exists(_)), "{error}"),
            });
        }
    });
    let won = won.into_inner().unwrap();
    assert_eq!(won.len(), 1);
    assert_eq!(look(&directory.path(), "eight threads"), Whole(won[0].clone()));
}

#[test]
fn what_somebody_makes_meanwhile_is_theirs() {
    for name in NAMES {
        let directory = directory(false);
        let (events, cancel) = (Events::none(), Cancel::new());
        let publication = prepare(&directory.path(), false, &events, &cancel).unwrap();
        for (name, content) in NAMES.iter().zip(contents("new")) {
            publication.write(name.as_ref(), content.as_bytes()).unwrap();
        }
        let theirs = directory.path().join(name);
        fs::write(&theirs, "theirs").unwrap();
        let error = publication.publish(&events, &cancel).unwrap_err();
        assert!(matches!(&error, BuildError::Exists(path) if *path == theirs), "{error}");
        assert_eq!(listing(&directory.path()), [format!("{name} file")]);
        assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
    }
}

#[test]
fn what_somebody_makes_after_a_kill_is_not_replaced_nor_given_other_evidence() {
    // Killed before the image arrives: the old set is aside, the new evidence is there.
    let before_image = occurrences(true, RENAME, &[]).pop().unwrap();
    let directory = directory(true);
    run_traced(&directory.path(), true, &before_image.inject("signal=KILL", ""));
    assert_eq!(
        look(&directory.path(), "killed"),
        Else(BTreeSet::from(["image.manifest", "image.sha256"].map(str::to_owned)))
    );
    fs::write(directory.path().join("image"), "theirs").unwrap();
    let told = Told::default();
    let events = Events::new(told.clone());
    let error = prepare(&directory.path(), false, &events, &Cancel::new()).unwrap_err();
    assert!(matches!(error, BuildError::Exists(_)), "{error}");
    let visible = || listing(&directory.path()).into_iter().filter(|name| !name.starts_with(".tib-"));
    assert_eq!(visible().collect::<Vec<_>>(), ["image file"]);
    assert_eq!(fs::read(directory.path().join("image")).unwrap(), b"theirs");
    let told = told.0.lock().unwrap().join("\n");
    assert!(told.contains("somebody has made") && told.contains("what was there before is in"), "{told}");

    // Once they take it away, what was there before comes back.
    fs::remove_file(directory.path().join("image")).unwrap();
    mended(&directory.path(), &[Seen::old()], "taken away");
}

/// Keeps notes and warnings.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl EventSink for Told {
    fn emit(&self, event: Event) {
        if let Event::Note { message } | Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

#[test]
fn what_was_mended_is_told() {
    let last = |old, names| occurrences(old, names, &[]).pop().unwrap().inject("signal=KILL", "");
    for (old, fault, expected) in [
        (true, last(true, RENAME), "back, which a build that was killed"),
        (false, last(false, RENAME), "removed what a build that was killed left of"),
        (false, last(false, SYNC), "is complete, though"),
    ] {
        let directory = directory(old);
        run_traced(&directory.path(), old, &fault);
        let told = Told::default();
        let _ = prepare(&directory.path(), true, &Events::new(told.clone()), &Cancel::new()).unwrap();
        let told = told.0.lock().unwrap().clone();
        assert!(matches!(&told[..], [one] if one.contains(expected)), "{fault:?}: {told:?}");
    }
}

#[test]
fn evidence_that_the_new_set_lacks_goes_with_the_old_one() {
    let directory = directory(true);
    let (events, cancel) = (Events::none(), Cancel::new());
    let publication = prepare(&directory.path(), true, &events, &cancel).unwrap();
    for (name, content) in NAMES.iter().zip(contents("new")).skip(1) {
        publication.write(name.as_ref(), content.as_bytes()).unwrap();
    }
    publication.publish(&events, &cancel).unwrap();
    assert_eq!(listing(&directory.path()), ["image file", "image.sha256 file"]);
}

#[test]
fn an_interruption_counts_until_names_change() {
    let directory = directory(true);
    let (events, cancel) = (Events::none(), Cancel::new());
    let publication = prepare(&directory.path(), true, &events, &cancel).unwrap();
    publication.write(NAMES[2].as_ref(), b"new").unwrap();
    cancel.raise();
    let error = publication.publish(&events, &cancel).unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted, "{error}");
    assert_eq!(look(&directory.path(), "interrupted"), Seen::old());
    assert_eq!(leftovers(&directory.path()), Vec::<String>::new());

    let cancel = Cancel::new();
    publish(&directory.path(), "new", true, &events, &cancel).unwrap();
    cancel.raise();
    assert_eq!(cancel.check(), Ok(()), "what is published cannot be interrupted");
}

#[test]
fn waiting_for_a_lock_of_somebody_else_is_told_and_can_be_interrupted() {
    let directory = directory(true);
    let lock = std::fs::File::create(directory.path().join(".tib-publication.lock")).unwrap();
    lock.lock().unwrap();
    let (told, cancel) = (Told::default(), Cancel::new());
    let waiting = {
        let (directory, events, cancel) = (directory.path(), Events::new(told.clone()), cancel.clone());
        std::thread::spawn(move || publish(&directory, "new", true, &events, &cancel))
    };
    while told.0.lock().unwrap().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    cancel.raise();
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted, "{error}");
    assert_eq!(told.0.lock().unwrap().len(), 1, "told once");
    drop(lock);
    publish_here(&directory.path(), "new", true).unwrap();
    assert_eq!(look(&directory.path(), "released"), Seen::new());
    assert_eq!(
        leftovers(&directory.path()),
        Vec::<String>::new(),
        "a lock that nobody holds is used and removed"
    );
}

#[test]
fn what_has_the_name_of_the_lock_is_refused_at_once() {
    for make in [
        (|path: &Path| drop(run("mkfifo", &[&path]))) as fn(&Path),
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("/etc/passwd", path).unwrap(),
        |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    ] {
        let directory = directory(true);
        let lock = directory.path().join(".tib-publication.lock");
        make(&lock);
        let error = publish_here(&directory.path(), "new", true).unwrap_err();
        assert!(error.to_string().contains(".tib-publication.lock"), "{error}");
        assert_eq!(error.exit(), Exit::Usage);
        assert_eq!(look(&directory.path(), "lock"), Seen::old());
        assert!(lock.symlink_metadata().is_ok(), "it stays");
    }
}

#[test]
fn links_and_read_only_files_are_replaced_and_what_links_lead_to_is_not() {
    let directory = directory(true);
    let elsewhere = scratch();
    let target = elsewhere.path().join("target");
    fs::write(&target, "theirs").unwrap();
    fs::set_permissions(directory.path().join("image"), PermissionsExt::from_mode(0o444)).unwrap();
    for (name, to) in [("image.sha256", &target), ("image.manifest", &elsewhere.path().join("nowhere"))] {
        fs::remove_file(directory.path().join(name)).unwrap();
        symlink(to, directory.path().join(name)).unwrap();
        let error = prepare(&directory.path(), false, &Events::none(), &Cancel::new()).unwrap_err();
        assert!(matches!(error, BuildError::Exists(_)), "{error}");
    }
    publish_here(&directory.path(), "new", true).unwrap();
    assert_eq!(look(&directory.path(), "links"), Seen::new());
    assert!(listing(&directory.path()).iter().all(|name| name.ends_with(" file")));
    assert_eq!(fs::read(&target).unwrap(), b"theirs");
    for (name, to) in [("image", Path::new("/dev/null")), ("image.sha256", elsewhere.path())] {
        fs::remove_file(directory.path().join(name)).unwrap();
        symlink(to, directory.path().join(name)).unwrap();
        let error = publish_here(&directory.path(), "new", true).unwrap_err();
        assert!(matches!(&error, BuildError::NotAFile(path) if path.ends_with(name)), "{error}");
        fs::remove_file(directory.path().join(name)).unwrap();
    }
}

/// Names and kinds, sorted.
fn listing(directory: &Path) -> Vec<String> {
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
