//! The cache under several processes at once, and under processes that are killed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tib::base::{BaseRequest, BaseSpec, resolve};
use tib::cache::{Cache, Layer, LayerMeta};
use tib::cancel::Cancel;
use tib::control::Control;
use tib::digest::Digest;
use tib::disk::{self, Format};

const SIZE: usize = 96 << 20;

fn content() -> Vec<u8> {
    (0..SIZE).map(|index| (index >> 12) as u8 | 1).collect()
}

/// Fills `dir` with a cache that has a base, and with an overlay on it.
fn prepare(dir: &Path) -> Vec<u8> {
    let base = dir.join("base.raw");
    let mut disk = vec![0; 1 << 20];
    // ext4's magic number: a file system without a partition table.
    disk[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    std::fs::write(&base, disk).unwrap();
    let cache = Cache::open(Some(dir.join("cache"))).unwrap();
    let request = BaseRequest::new(BaseSpec::File(base));
    let base = resolve(&request, &cache, &Control::none()).unwrap();
    let overlay = dir.join("overlay");
    disk::create_overlay(&overlay, &format!("../../bases/{}/disk.raw", base.digest), Format::Raw, 1 << 20)
        .unwrap();
    let mut file = std::fs::File::options().append(true).open(&overlay).unwrap();
    file.write_all(&content()).unwrap();
    std::fs::write(dir.join("parent"), base.digest.to_string()).unwrap();
    std::fs::read(&overlay).unwrap()
}

fn meta(dir: &Path) -> LayerMeta {
    let base = Digest::parse(&std::fs::read_to_string(dir.join("parent")).unwrap()).unwrap();
    LayerMeta {
        stage: "system".into(),
        recipe: "test".into(),
        before: base,
        base,
        parent: base,
        tib: "0".into(),
        created: 0,
    }
}

fn digest() -> Digest {
    Digest::of(b"layer")
}

fn layer(cache: &Cache) -> Option<Layer> {
    cache.layer(digest(), &Control::none()).unwrap()
}

/// Not a test: what a child process does when one of the tests below starts this file's program again.
#[test]
#[ignore = "run by the tests that need several processes"]
fn child() {
    let Some(dir) = std::env::var_os("TIB_TEST_CHILD") else { return };
    let dir = Path::new(&dir);
    let cache = Cache::open(Some(dir.join("cache"))).unwrap();
    std::fs::write(dir.join(format!("started-{}", std::process::id())), "").unwrap();
    cache.store_layer(digest(), &dir.join("overlay"), &meta(dir), &Cancel::new()).unwrap().unwrap();
}

fn start_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child"])
        .env("TIB_TEST_CHILD", dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn eight_processes_store_the_same_layer_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let content = prepare(dir.path());
    let children: Vec<Child> = (0..8).map(|_| start_child(dir.path())).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
    let layer = layer(&cache).unwrap();
    assert!(std::fs::read(&layer.path).unwrap() == content);
    assert_eq!(layer.meta, meta(dir.path()));
    assert_eq!(names(&cache.root().join("layers")), [digest().to_string()]);
    assert_eq!(names(&cache.root().join("work")), [""; 0]);
}

#[test]
fn a_killed_process_leaves_a_whole_layer_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let content = prepare(dir.path());
    let (mut without, mut left_work) = (0, 0);
    for round in 0..12 {
        let mut child = start_child(dir.path());
        let started = dir.path().join(format!("started-{}", child.id()));
        while !started.exists() {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_millis(round * round / 2));
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        let root = dir.path().join("cache/v1");
        left_work += names(&root.join("work")).len();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        assert_eq!(names(&root.join("work")), [""; 0], "the next open removes what is left");
        match layer(&cache) {
            Some(layer) => {
                assert!(std::fs::read(&layer.path).unwrap() == content, "round {round}: a partial layer");
                std::fs::remove_dir_all(layer.path.parent().unwrap()).unwrap();
            }
            None => {
                without += 1;
                assert_eq!(names(&root.join("layers")), [""; 0], "round {round}");
            }
        }
    }
    assert!(without > 0 && left_work > 0, "no process was killed at work: {without} {left_work}");
    let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
    cache
        .store_layer(digest(), &dir.path().join("overlay"), &meta(dir.path()), &Cancel::new())
        .unwrap()
        .unwrap();
}
