//! Images and their evidence get their names together or not at all, whatever fails and whenever tib is killed.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod set;
mod strace;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use common::{Outcome, outcome, run, scratch, tib_path};
use fs_err as fs;
use set::*;
use tib::assembly::BuildError;
use tib::cancel::Cancel;
use tib::control::Control;
use tib::error::{Diagnose, Exit};
use tib::event::Events;

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
        let control = Control::none();
        let publication = prepare(&directory.path(), false, &control).unwrap();
        for (name, content) in NAMES.iter().zip(contents("new")) {
            publication.write(name.as_ref(), content.as_bytes()).unwrap();
        }
        let theirs = directory.path().join(name);
        fs::write(&theirs, "theirs").unwrap();
        let error = publication.publish(&control).unwrap_err();
        assert!(matches!(&error, BuildError::Exists(path) if *path == theirs), "{error}");
        assert_eq!(listing(&directory.path()), [format!("{name} file")]);
        assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
    }
}

#[test]
fn evidence_that_the_new_set_lacks_goes_with_the_old_one() {
    let directory = directory(true);
    let control = Control::none();
    let publication = prepare(&directory.path(), true, &control).unwrap();
    for (name, content) in NAMES.iter().zip(contents("new")).skip(1) {
        publication.write(name.as_ref(), content.as_bytes()).unwrap();
    }
    publication.publish(&control).unwrap();
    assert_eq!(listing(&directory.path()), ["image file", "image.sha256 file"]);
}

#[test]
fn an_interruption_counts_until_names_change() {
    let directory = directory(true);
    let control = Control::none();
    let publication = prepare(&directory.path(), true, &control).unwrap();
    publication.write(NAMES[2].as_ref(), b"new").unwrap();
    control.cancel.raise();
    let error = publication.publish(&control).unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted, "{error}");
    assert_eq!(look(&directory.path(), "interrupted"), Seen::old());
    assert_eq!(leftovers(&directory.path()), Vec::<String>::new());

    let control = Control::none();
    publish(&directory.path(), "new", true, &control).unwrap();
    control.cancel.raise();
    assert_eq!(control.cancel.check(), Ok(()), "what is published cannot be interrupted");
}

#[test]
fn waiting_for_a_lock_of_somebody_else_is_told_and_can_be_interrupted() {
    let directory = directory(true);
    let lock = std::fs::File::create(directory.path().join(".tib-publication.lock")).unwrap();
    lock.lock().unwrap();
    let (told, cancel) = (Told::default(), Cancel::new());
    let waiting = {
        let (directory, control) =
            (directory.path(), Control::new(Events::new(told.clone()), cancel.clone()));
        std::thread::spawn(move || publish(&directory, "new", true, &control))
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
        let error = prepare(&directory.path(), false, &Control::none()).unwrap_err();
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
