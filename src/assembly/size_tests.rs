use std::path::Path;
use std::process::Command;

use super::*;
use crate::disk::{Policy, Room, Root, RootPlace, VirtualDisk};
use crate::error::{Diagnose, Exit};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn sh(directory: &Path, script: &str) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let status = Command::new("sh").args(["-euc", script]).env("PATH", path).current_dir(directory).status();
    assert!(status.unwrap().success(), "{script}");
}

/// A disk of 2 GiB, of which the root has all but the first MiB, or half if something follows. `free` bytes are free.
fn base(followed: bool, free: u64, lacks: Option<&'static str>) -> GrowthPlan {
    let dir = tempfile::tempdir().unwrap();
    let first = if followed { "size=1G, type=L" } else { "type=L" };
    let second = if followed { "type=L" } else { "" };
    sh(
        dir.path(),
        &format!("truncate -s 2G disk; printf 'label: gpt\\n{first}\\n{second}\\n' | sfdisk -q disk"),
    );
    let size = if followed { GIB } else { 2 * GIB - 2 * MIB };
    let root = Root { place: RootPlace::Partition(1), kind: None, room: Some(Room { size, free }), lacks };
    VirtualDisk::open(&dir.path().join("disk"), &Policy::default()).unwrap().growth(root).unwrap()
}

#[test]
fn a_disk_is_as_large_as_the_recipe_needs() {
    for (asked, free, new, size, grows, why) in [
        (None, GIB, 0, 2 * GIB, false, "the base is large enough"),
        (None, 100 * MIB, 0, 3 * GIB, true, "nearly full: what packages need while they unpack is missing"),
        (None, GIB, GIB, 3 * GIB, true, "rounded up"),
        (None, 0, 3 * GIB, 6 * GIB, true, "more than the base itself has"),
        (Some(2 * GIB), GIB, 0, 2 * GIB, false, "what it has"),
        (Some(10 * GIB + 1), GIB, 0, 10 * GIB + 512, true, "whole sectors"),
    ] {
        let target = decide(asked.map(Size), &base(false, free, None), new).unwrap();
        assert_eq!((target.size, target.growth.is_some()), (size, grows), "{why}");
    }
}

#[test]
fn what_no_image_can_have_is_refused_and_overflows_nothing() {
    for (asked, new) in
        [(Some(u64::MAX), 0), (Some(LARGEST_DISK + 1), 0), (None, u64::MAX), (None, u64::MAX / 2)]
    {
        let error = decide(asked.map(Size), &base(false, GIB, None), new).unwrap_err();
        assert!(matches!(error, BuildError::TooLarge { .. }), "{error}");
        assert_eq!(error.exit(), Exit::Usage);
    }
    assert!(decide(Some(Size(LARGEST_DISK)), &base(false, GIB, None), 0).is_ok());
}

#[test]
fn too_small_is_told_with_what_would_do() {
    let error = decide(Some(Size(GIB)), &base(false, GIB, None), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a disk of 1 GiB is too small: the base's own disk has 2 GiB, so at least 2 GiB are needed"
    );
    let error = decide(Some(Size(2 * GIB)), &base(false, 0, None), GIB).unwrap_err();
    assert!(error.to_string().contains("the base uses 2.0 GiB and the recipe adds about 1 GiB"), "{error}");
    assert_eq!(error.exit(), Exit::Space);
}

#[test]
fn a_root_that_cannot_grow_is_refused_only_if_it_must() {
    let target = decide(None, &base(true, GIB / 2, None), 0).unwrap();
    assert_eq!((target.size, target.growth), (2 * GIB, None), "it has what it needs");

    let error = decide(Some(Size(4 * GIB)), &base(true, GIB / 2, None), 0).unwrap_err();
    assert_eq!(error.to_string(), "the disk cannot grow from 2 GiB to 4 GiB");
    assert_eq!(error.exit(), Exit::Space);
    let hint = error.hint().unwrap();
    assert!(
        hint.starts_with("leave out `--size`: the base's own 2 GiB are enough; for more, give a base"),
        "{hint}"
    );

    // The other partition's room is of no use to the root.
    let error = decide(None, &base(true, GIB / 2, None), GIB).unwrap_err();
    assert!(error.hint().unwrap().contains("virt-resize"), "{error:?}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("partition 2"), "{error:?}");
}

#[test]
fn without_tools_nothing_grows_and_that_is_said() {
    let target = decide(None, &base(false, GIB, Some("XFS")), 0).unwrap();
    assert_eq!((target.size, target.growth), (2 * GIB, None));
    let error = decide(Some(Size(4 * GIB)), &base(false, GIB, Some("XFS")), 0).unwrap_err();
    assert_eq!(error.exit(), Exit::Host);
    assert!(error.hint().unwrap().contains("make setup"), "{error:?}");
}
