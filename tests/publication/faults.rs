//! Every call that changes a name or makes it last fails once, and is the last before a kill once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;
use tib::assembly::BuildError;
use tib::cancel::Cancel;
use tib::control::Control;
use tib::error::{Diagnose, Exit};
use tib::event::Events;

use super::common::run;
use super::set::*;
use super::strace::*;

/// Not a test: the program that the others run under strace.
#[test]
#[ignore = "run by the other tests"]
fn publishes_in_a_process_of_its_own() {
    let directory = PathBuf::from(std::env::var_os("PUBLISH_IN").expect("called by another test"));
    let force = std::env::var_os("PUBLISH_FORCE").is_some();
    let exit = match publish(&directory, "new", force, &Control::none()) {
        Ok(()) => Exit::Done,
        Err(error) => error.exit(),
    };
    // At once: the test runner has files of its own to write, which the faults would hit.
    std::process::exit(exit as i32);
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
                // What the system said is not lost on the way. The test runner fails, with its own code, where a fault
                // hits what it writes itself.
                let failed = match error {
                    "EMFILE" => Exit::Host,
                    "ENOSPC" => Exit::Space,
                    _ => Exit::Usage,
                };
                let codes = [Some(0), Some(failed as i32), Some(101)];
                assert!(codes.contains(&status.code()), "{case}: {status}");
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
    let error = prepare(&directory.path(), false, &Control::new(events.clone(), Cancel::new())).unwrap_err();
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

#[test]
fn a_journal_that_cannot_be_read_costs_nobody_an_image() {
    let before_image = occurrences(true, RENAME, &[]).pop().unwrap();
    let directory = directory(true);
    run_traced(&directory.path(), true, &before_image.inject("signal=KILL", ""));
    let private = leftovers(&directory.path()).into_iter().find(|name| name.ends_with("directory")).unwrap();
    let private = directory.path().join(private.strip_suffix(" directory").unwrap());
    let journal = private.join("journal");
    let text = fs::read_to_string(&journal).unwrap();
    for (what, bad) in [
        ("later format", text.replace("publication 1", "publication 2")),
        ("half", text[..text.len() / 2].to_owned()),
        ("empty", String::new()),
        ("no files", r#"{"format":"tib publication 1","files":[]}"#.to_owned()),
        ("another place", text.replace("[105,", "[47,")),
    ] {
        fs::write(&journal, bad).unwrap();
        let told = Told::default();
        drop(
            prepare(&directory.path(), true, &Control::new(Events::new(told.clone()), Cancel::new()))
                .unwrap(),
        );
        assert_eq!(fs::read(private.join("old/image")).unwrap(), b"old", "{what}");
        let told = told.0.lock().unwrap().join("\n");
        assert!(told.contains(private.to_str().unwrap()) && told.contains("its journal"), "{what}: {told}");
    }
    fs::write(&journal, text).unwrap();
    mended(&directory.path(), &[Seen::old()], "the journal is good again");
}

/// Killed during the last sync, when the whole new set has its names, and with them the user does what he likes.
#[test]
fn a_new_image_that_its_user_has_changed_keeps_its_evidence() {
    let last_sync = |old| {
        let syncs = occurrences(old, SYNC, &[]);
        syncs.last().unwrap().inject("signal=KILL", "")
    };
    let evidence = ["image.manifest file", "image.sha256 file"];
    type Change = fn(&Path);
    let changes: [(&str, Change, bool); 4] = [
        ("touched", |image| drop(run("touch", &[&"-d", &"2001-01-01", &image])), true),
        ("booted", |image| fs::write(image, "new and written to").unwrap(), true),
        ("moved away", |image| fs::rename(image, image.with_file_name("moved")).unwrap(), false),
        (
            "replaced",
            |image| {
                fs::write(image.with_file_name("theirs"), "theirs").unwrap();
                fs::rename(image.with_file_name("theirs"), image).unwrap();
            },
            true,
        ),
    ];
    for old in [false, true] {
        let kill = last_sync(old);
        for (what, change, is_there) in changes {
            let directory = directory(old);
            assert_eq!(run_traced(&directory.path(), old, &kill).code(), None, "{what}");
            assert_eq!(look(&directory.path(), what), Seen::new());
            change(&directory.path().join("image"));
            let before = listing(&directory.path()).into_iter().filter(|name| !name.starts_with(".tib-"));
            let before: Vec<_> = before.collect();
            assert!(evidence.iter().all(|name| before.iter().any(|there| there == name)), "{before:?}");
            let told = Told::default();
            drop(
                prepare(&directory.path(), true, &Control::new(Events::new(told.clone()), Cancel::new()))
                    .unwrap(),
            );
            assert_eq!(listing(&directory.path()), before, "{what}, old set: {old}");
            let told = told.0.lock().unwrap().clone();
            let expected = if is_there { "is complete" } else { "not there any more" };
            assert!(matches!(&told[..], [one] if one.contains(expected)), "{what}: {told:?}");
        }
    }
}

/// The user was told that what was there before comes back.
#[test]
fn an_image_that_cannot_be_taken_back_is_taken_back_by_the_next_publication() {
    let last_sync = occurrences(true, SYNC, &[]).pop().unwrap().inject("error=EIO", "");
    for (names, done) in [(RENAME, occurrences(true, RENAME, &[]).len()), (UNLINK, 0)] {
        for call in &occurrences(true, names, &last_sync)[done..] {
            let directory = directory(true);
            let faults = [&last_sync[..], &call.inject("error=EIO", "+")].concat();
            let case = format!("{faults:?}: {}", call.line);
            assert_eq!(run_traced(&directory.path(), true, &faults).code(), Some(2), "{case}");
            look(&directory.path(), &case);
            mended(&directory.path(), &[Seen::old()], &case);
        }
    }
}

#[test]
fn what_was_mended_is_told() {
    let last = |old, names| occurrences(old, names, &[]).pop().unwrap().inject("signal=KILL", "");
    // Nothing has been moved yet.
    let first_aside = occurrences(true, &["renameat2"], &[]).remove(0).inject("signal=KILL", "");
    for (old, fault, expected) in [
        (true, last(true, RENAME), "back, which a build that was killed"),
        (true, first_aside, "killed left beside"),
        (false, last(false, RENAME), "removed what a build that was killed left of"),
        (false, last(false, SYNC), "is complete: the build was killed only after"),
    ] {
        let directory = directory(old);
        run_traced(&directory.path(), old, &fault);
        let told = Told::default();
        let _ = prepare(&directory.path(), true, &Control::new(Events::new(told.clone()), Cancel::new()))
            .unwrap();
        let told = told.0.lock().unwrap().clone();
        assert!(matches!(&told[..], [one] if one.contains(expected)), "{fault:?}: {told:?}");
    }
}
